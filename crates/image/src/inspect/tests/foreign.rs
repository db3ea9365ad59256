//! Images of other makers: discs and containers.

use bootway_exec::{Cmd, run};
use bootway_plan::{Millis, step::Healthcheck};

use super::*;
use crate::fs::iso::tests::{hybrid, image};

fn one(expect: impl FnOnce(&mut Expect)) -> Expect {
    let mut it = Expect::default();
    expect(&mut it);
    it
}

fn inside(path: &str, contains: &str) -> Expect {
    one(|it| {
        it.inside = Some("live/*.squashfs".to_owned());
        it.path = Some(path.to_owned());
        it.contains = Some(contains.to_owned());
    })
}

/// Acceptance D.3.14: a file in the squashfs of an image that xorriso and mksquashfs made.
#[test]
fn a_file_in_the_squashfs_of_a_disc_is_held_against_its_text() {
    let runner = SystemRunner::default();
    let mut sandbox = Sandbox::new(&runner);
    let path = hybrid(&sandbox);
    let disc = input(&mut sandbox, "disc", path, ArtifactKind::Iso);
    let keys = "srv/.ssh/authorized_keys";
    let expectations = vec![
        one(|it| it.boot = vec!["bios".to_owned(), "uefi".to_owned()]),
        one(|it| (it.hybrid, it.fs) = (Some(true), Some("iso9660".to_owned()))),
        expect_path("a/b/*/d/**/deep.txt", "deep"),
        expect_path("many/link", ""),
        inside(keys, "ssh-ed25519 AAAAkey1 "),
        one(|it| (it.inside, it.fs) = (Some("isolinux/efi.img".to_owned()), Some("fat12".to_owned()))),
        inside(keys, "ssh-ed25519 AAAAkey2 "),
        inside("srv/.ssh/id_ed25519", ""),
        one(|it| (it.inside, it.path) = (Some("many/*".to_owned()), Some("x".to_owned()))),
        one(|it| (it.inside, it.path) = (Some("big".to_owned()), Some("x".to_owned()))),
        one(|it| it.hybrid = Some(false)),
        one(|it| it.label = [("a".to_owned(), "b".to_owned())].into()),
        expect_path("nothing", ""),
    ];
    insta::with_settings!({filters => vec![(r"squashfs [0-9.]+ K?i?B", "squashfs SIZE"), ("[0-9A-F]{4}-[0-9A-F]{4}", "SERIAL")]}, {
        insta::assert_snapshot!(outcome(&sandbox, &disc, expectations), @r#"
        Passed: boots with bios, boots with uefi: boots with bios, uefi; hybrid (mbr, gpt); 3 MiB
        Passed: is iso9660, is hybrid: boots with bios, uefi; hybrid (mbr, gpt); 3 MiB
        Passed: has a/b/*/d/**/deep.txt, with "deep": boots with bios, uefi; hybrid (mbr, gpt); 3 MiB; /a/b/c/d/e/f/g/h/i/deep.txt
        Passed: has many/link: boots with bios, uefi; hybrid (mbr, gpt); 3 MiB; /many/link
        Passed: inside live/*.squashfs, has srv/.ssh/authorized_keys, with "ssh-ed25519 AAAAkey1 ": boots with bios, uefi; hybrid (mbr, gpt); live/*.squashfs; squashfs SIZE, gzip, blocks of 128KiB, 4 files; /srv/.ssh/authorized_keys
        Passed: inside isolinux/efi.img, is fat12: boots with bios, uefi; hybrid (mbr, gpt); isolinux/efi.img; fat12 1.41 MiB, SERIAL
        Failed: inside live/*.squashfs, has srv/.ssh/authorized_keys, with "ssh-ed25519 AAAAkey2 ": "ssh-ed25519 AAAAkey2 " is not in /srv/.ssh/authorized_keys
        Failed: inside live/*.squashfs, has srv/.ssh/id_ed25519, with "": nothing matches `srv/.ssh/id_ed25519` among 4 files
        Failed: inside many/*, has x: `many/*` must match one file: /many/file-000, /many/file-001, /many/file-002, /many/file-003, /many/file-004 and 116 more
        Failed: inside big, has x: it cannot be read: no file system is recognised
        Failed: is not hybrid: it has a partition table: boots with bios, uefi; hybrid (mbr, gpt)
        Failed: label a=b: `label a=b` is about a container image: WORK/hybrid.iso: 3 MiB, ISO 9660 image DEMO, rock-ridge, 127 files, boots with bios, uefi; hybrid (mbr, gpt)
        Failed: has nothing: nothing matches `nothing` among 141 files
        Check: 7 of 13 expectations failed:
        inside live/*.squashfs, has srv/.ssh/authorized_keys, with "ssh-ed25519 AAAAkey2 ": "ssh-ed25519 AAAAkey2 " is not in /srv/.ssh/authorized_keys
        inside live/*.squashfs, has srv/.ssh/id_ed25519, with "": nothing matches `srv/.ssh/id_ed25519` among 4 files
        inside many/*, has x: `many/*` must match one file: /many/file-000, /many/file-001, /many/file-002, /many/file-003, /many/file-004 and 116 more
        inside big, has x: it cannot be read: no file system is recognised
        is not hybrid: it has a partition table: boots with bios, uefi; hybrid (mbr, gpt)
        label a=b: `label a=b` is about a container image: WORK/hybrid.iso: 3 MiB, ISO 9660 image DEMO, rock-ridge, 127 files, boots with bios, uefi; hybrid (mbr, gpt)
        has nothing: nothing matches `nothing` among 141 files
        "#);
    });
}

fn expect_path(path: &str, contains: &str) -> Expect {
    one(|it| {
        (it.path, it.contains) =
            (Some(path.to_owned()), Some(contains.to_owned()).filter(|it| !it.is_empty()));
    })
}

#[test]
fn a_disc_of_data_boots_nothing() {
    let runner = SystemRunner::default();
    let mut sandbox = Sandbox::new(&runner);
    let path = image(&sandbox, "data.iso", &["-R"]);
    let disc = input(&mut sandbox, "disc", path, ArtifactKind::File);
    let expectations = vec![one(|it| it.boot = vec!["uefi".to_owned()]), one(|it| it.hybrid = Some(false))];
    insta::assert_snapshot!(outcome(&sandbox, &disc, expectations), @"
    Failed: boots with uefi: uefi cannot start it: data only: it has no boot catalogue
    Passed: is not hybrid: data only: it has no boot catalogue; 2.2 MiB
    Check: 1 of 2 expectations failed:
    boots with uefi: uefi cannot start it: data only: it has no boot catalogue
    ");
}

/// A container of the sample tree, packed as Nix packs it: `docker save` in gzip.
fn container(sandbox: &mut Sandbox<'_>) -> Source {
    let from = made(sandbox, "root");
    let step = step::Oci {
        from,
        format: step::OciFormat::Docker,
        tag: Some("demo:1".to_owned()),
        arch: step::OciArch::Arm64,
        entrypoint: vec!["/bin/busybox".to_owned(), "httpd".to_owned()],
        cmd: Vec::new(),
        env: [("METRICS_PORT".to_owned(), "9100".to_owned())].into(),
        labels: [("hls.profile".to_owned(), "default".to_owned())].into(),
        ports: vec!["9100".to_owned()],
        volumes: Vec::new(),
        user: None,
        workdir: None,
        stop_signal: None,
        healthcheck: Some(Healthcheck {
            run: Vec::new(),
            shell: Some("wget -q http://localhost:9100 || exit 1".to_owned()),
            interval: Some(Millis::new(30_000)),
            timeout: None,
            start_period: None,
            retries: Some(3),
        }),
        layers: vec![vec!["many".parse().unwrap()]],
        compression: None,
    };
    let path = crate::oci(&sandbox.cx(), &step).unwrap().remove(0).path;
    run(&sandbox.cx(), &Cmd::user("gzip").args(["-n", path.as_str()])).unwrap();
    input(sandbox, "container", format!("{path}.gz").into(), ArtifactKind::Container)
}

fn health(change: impl FnOnce(&mut Healthcheck)) -> Expect {
    let mut check = Healthcheck {
        run: Vec::new(),
        shell: None,
        interval: None,
        timeout: None,
        start_period: None,
        retries: None,
    };
    change(&mut check);
    one(|it| it.healthcheck = Some(check))
}

#[test]
fn a_container_is_held_against_what_it_must_be() {
    let runner = SystemRunner::default();
    let mut sandbox = Sandbox::new(&runner);
    let image = container(&mut sandbox);
    let map = |key: &str, value: &str| [(key.to_owned(), value.to_owned())].into();
    let expectations = vec![
        one(|it| it.entrypoint = Some(vec!["/bin/busybox".to_owned(), "httpd".to_owned()])),
        one(|it| (it.env, it.label) = (map("METRICS_PORT", "9100"), map("hls.profile", "default"))),
        one(|it| (it.port, it.layers, it.max_layers) = (vec!["9100/tcp".to_owned()], Some(2), Some(100))),
        health(|it| (it.interval, it.retries) = (Some(Millis::new(30_000)), Some(3))),
        Expect { lacks: Some("**/*.py".to_owned()), ..expect_path("etc/os-release", "ID=debian") },
        expect_path("many/file-0599", "599"),
        one(|it| it.entrypoint = Some(vec!["/bin/sh".to_owned()])),
        one(|it| it.env = map("METRICS_PORT", "9101")),
        one(|it| it.env = map("CLIENTS", "1")),
        one(|it| it.label = map("hls.profile", "stress")),
        one(|it| it.label = map("title", "x")),
        one(|it| it.port = vec!["80".to_owned()]),
        one(|it| it.user = Some("1000".to_owned())),
        health(|it| it.timeout = Some(Millis::new(5000))),
        health(|it| it.run = vec!["true".to_owned()]),
        one(|it| it.max_layers = Some(1)),
        one(|it| it.boot = vec!["bios".to_owned()]),
        one(|it| it.lacks = Some("usr/lib/*".to_owned())),
    ];
    insta::with_settings!({filters => vec![(r"linux/arm64/v8, [0-9.]+ K?i?B", "linux/arm64/v8, SIZE")]}, {
        insta::assert_snapshot!(outcome(&sandbox, &image, expectations), @r#"
        Passed: entrypoint ["/bin/busybox", "httpd"]: linux/arm64/v8, 1.13 MiB; ["/bin/busybox", "httpd"]
        Passed: env METRICS_PORT=9100, label hls.profile=default: linux/arm64/v8, 1.13 MiB
        Passed: port 9100/tcp, 2 layers, at most 100 layers: linux/arm64/v8, 1.13 MiB; 2 layers
        Passed: healthcheck: linux/arm64/v8, 1.13 MiB; ["CMD-SHELL", "wget -q http://localhost:9100 || exit 1"], every 30s, 3 retries
        Passed: has etc/os-release, with "ID=debian", lacks **/*.py: linux/arm64/v8, 1.13 MiB; /etc/os-release
        Passed: has many/file-0599, with "599": linux/arm64/v8, 1.13 MiB; /many/file-0599
        Failed: entrypoint ["/bin/sh"]: its entrypoint is ["/bin/busybox", "httpd"], and not ["/bin/sh"]
        Failed: env METRICS_PORT=9101: `METRICS_PORT` in its environment is "9100", and not "9101"
        Failed: env CLIENTS=1: `CLIENTS` is not in its environment
        Failed: label hls.profile=stress: its label `hls.profile` is "default", and not "stress"
        Failed: label title=x: it has no label `title`: it has `hls.profile`
        Failed: port 80: it does not listen on 80: it does on `9100/tcp`
        Failed: user 1000: its user is ``, and not `1000`
        Failed: healthcheck: the timeout of its health check is the engine's, and not 5s
        Failed: healthcheck: its health check is ["CMD-SHELL", "wget -q http://localhost:9100 || exit 1"], and not ["CMD", "true"]
        Failed: at most 1 layers: it has 2 layers, and may have 1
        Failed: boots with bios: `boot` and `hybrid` are about ISO images: this is none
        Failed: lacks usr/lib/*: `usr/lib/*` is there: /usr/lib/os-release
        Check: 12 of 18 expectations failed:
        entrypoint ["/bin/sh"]: its entrypoint is ["/bin/busybox", "httpd"], and not ["/bin/sh"]
        env METRICS_PORT=9101: `METRICS_PORT` in its environment is "9100", and not "9101"
        env CLIENTS=1: `CLIENTS` is not in its environment
        label hls.profile=stress: its label `hls.profile` is "default", and not "stress"
        label title=x: it has no label `title`: it has `hls.profile`
        port 80: it does not listen on 80: it does on `9100/tcp`
        user 1000: its user is ``, and not `1000`
        healthcheck: the timeout of its health check is the engine's, and not 5s
        healthcheck: its health check is ["CMD-SHELL", "wget -q http://localhost:9100 || exit 1"], and not ["CMD", "true"]
        at most 1 layers: it has 2 layers, and may have 1
        boots with bios: `boot` and `hybrid` are about ISO images: this is none
        lacks usr/lib/*: `usr/lib/*` is there: /usr/lib/os-release
        "#);
    });
}

#[test]
fn a_program_says_what_starts_it() {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let script = sandbox.root().join("script");
    fs_err::write(&script, "#!/bin/sh\n").unwrap();
    let own = Utf8PathBuf::from_path_buf(std::env::current_exe().unwrap()).unwrap();
    let text = look(&script).unwrap().to_string() + &look(&own).unwrap().to_string();
    assert!(text.contains("script: 10 B, script, started by /bin/sh\n"), "{text}");
    assert!(text.contains("program for ") && text.contains("started by /"), "{text}");
    let wrong = crate::verify(ArtifactKind::Program, &script).unwrap_err().to_string();
    assert!(wrong.ends_with("found one that nobody may execute: its mode is 0644"), "{wrong}");
    crate::verify(ArtifactKind::Program, &own).unwrap();
}

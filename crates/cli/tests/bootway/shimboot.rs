//! The plan for Chromebooks: both layouts, four ways with drivers, and what other people's tools say of the disks.
//!
//! The shim is the one that `cargo xtask fixtures shim` makes.

use std::os::unix::fs::FileExt as _;

use camino::{Utf8Path, Utf8PathBuf};

use crate::{
    chromeos::{as_ordinary_user, bad_checks, checks},
    project::{Project, Run, digest, from_error, program, run},
    shim_fixture::shim_fixture,
};

const PLAN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/plans/shimboot.plan.toml");

/// The first program of a root: says what it has, and that it is up.
const INIT: &str = r#"#!/bin/busybox sh
export PATH=/bin
exec >/dev/console 2>&1 </dev/console
/bin/busybox --install -s /bin
say() { echo "test-root: $*"; }
say "modules of $(ls /lib/modules 2>/dev/null | wc -l) kernels, $(modprobe dummy 2>/dev/null && echo dummy is loaded)"
say "firmware $([ -n "$(find /lib/firmware -type f 2>/dev/null)" ] && echo is there)"
touch /written && say "written"
say "up"
exec sleep 600
"#;

/// A root as an archive, whose owners and modes do not depend on who makes it.
fn root(project: &Project) -> Utf8PathBuf {
    let dir = project.path().join("root");
    for name in ["bin", "dev", "etc", "proc", "run", "sys", "tmp", "usr/lib"] {
        fs_err::create_dir_all(dir.join(name)).unwrap();
    }
    let init = project.write("root/init", INIT);
    fs_err::set_permissions(init, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    project.write("root/etc/machine-id", "0123456789abcdef0123456789abcdef\n");
    project.write("root/usr/lib/once", vec![7; 70_000]);
    fs_err::hard_link(dir.join("usr/lib/once"), dir.join("usr/lib/twice")).unwrap();
    fs_err::os::unix::fs::symlink("usr/lib/once", dir.join("link")).unwrap();
    fs_err::copy("/bin/busybox", dir.join("bin/busybox"))
        .unwrap_or_else(|error| panic!("{error}: apt-get install busybox-static"));
    let tar = project.path().join("root.tar");
    let sorted = ["--sort=name", "--mtime=@0", "-C", dir.as_str()];
    let ours = ["--owner=0", "--group=0", "--mode=a+rX", "--exclude=./usr/lib/*", "-cf", tar.as_str(), "."];
    ask("tar", &[sorted.as_slice(), &ours].concat());
    let theirs =
        ["--owner=7", "--group=8", "--mode=4755", "-rf", tar.as_str(), "./usr/lib/once", "./usr/lib/twice"];
    ask("tar", &[sorted.as_slice(), &theirs].concat());
    tar
}

/// Builds the plan with variables in `work` below the project, up to `phase`.
fn build(project: &Project, work: &str, phase: &str, vars: &[&str]) -> Run {
    let root = project.path().join("root.tar");
    let root = if root.exists() { root } else { self::root(project) };
    let mut all = vec![
        format!("shim={}", shim_fixture("shim.bin")),
        format!("recovery={}", shim_fixture("recovery.bin")),
        format!("root={root}"),
        "root-format=tar".to_owned(),
        "rootfs-least=1MiB".to_owned(),
        "ready=test-root: up".to_owned(),
    ];
    all.extend(vars.iter().map(|it| (*it).to_owned()));
    let mut args = vec!["build", PLAN, "--work", work, "--no-report", "--phase", phase];
    for var in &all {
        args.extend(["--var", var]);
    }
    project.bootway(&args)
}

fn disk(project: &Project, work: &str) -> Utf8PathBuf {
    project.path().join(work).join("out/disk/disk.raw")
}

#[track_caller]
fn ask(name: &str, args: &[&str]) -> String {
    let output = run(program(name).args(args));
    assert_eq!(output.code, 0, "{name} {args:?}: {}{}", output.stdout, output.stderr);
    output.stdout
}

/// Number, start, size and label of every partition, by cgpt.
fn partitions(disk: &Utf8Path) -> Vec<(u32, u64, u64, String)> {
    let of = |number: u32, flag: &str| {
        ask("cgpt", &["show", "-i", &number.to_string(), flag, disk.as_str()]).trim().to_owned()
    };
    let quick = ask("cgpt", &["show", "-q", disk.as_str()]);
    let numbers = quick.lines().map(|line| line.split_whitespace().nth(2).unwrap().parse().unwrap());
    numbers
        .map(|number| {
            (number, of(number, "-b").parse().unwrap(), of(number, "-s").parse().unwrap(), of(number, "-l"))
        })
        .collect()
}

fn bytes(disk: &Utf8Path, sector: u64, sectors: u64) -> Vec<u8> {
    let mut bytes = vec![0; (sectors * 512) as usize];
    fs_err::File::open(disk).unwrap().file().read_exact_at(&mut bytes, sector * 512).unwrap();
    bytes
}

/// Partition `number` as a file of its own.
fn carved(project: &Project, disk: &Utf8Path, number: u32) -> Utf8PathBuf {
    let (_, start, sectors, _) = partitions(disk).into_iter().find(|it| it.0 == number).unwrap();
    project.write(&format!("part{number}"), bytes(disk, start, sectors))
}

/// What sgdisk, cgpt and e2fsck say of a disk with `roots` ext partitions behind the first three.
#[track_caller]
fn judged(project: &Project, disk: &Utf8Path) -> String {
    assert!(ask("sgdisk", &["-v", disk.as_str()]).contains("No problems found"));
    let shown = ask("cgpt", &["show", "-n", disk.as_str()]);
    assert_eq!(bytes(disk, 2, 1)[128 + 48..128 + 56], 0x015A_0000_0000_0000_u64.to_le_bytes());
    let kernel = fs_err::read(shim_fixture("kern-a.bin")).unwrap();
    let slot = bytes(disk, 4096, 65_536);
    let (same, rest) = slot.split_at(kernel.len());
    assert!(same == kernel && rest.iter().all(|byte| *byte == 0), "the kernel is what was signed");
    for (number, ..) in partitions(disk) {
        if number != 2 {
            ask("e2fsck", &["-fn", carved(project, disk, number).as_str()]);
        }
    }
    let lines = shown.lines().skip(4).filter(|line| !line.contains("UUID") && !line.contains("Sec GPT"));
    let lines: Vec<String> =
        lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    lines.join("\n").replace("\nType: ", " ").replace("\nAttr: ", " ")
}

#[test]
fn the_layout_of_nixos_shimboot_has_drivers_in_a_partition_of_their_own() {
    let project = Project::new("");
    let built = build(&project, "work", "assemble", &[]);
    assert_eq!(built.code, 0, "{}", built.stderr);
    insta::assert_snapshot!(judged(&project, &disk(&project, "work")), @r#"
    2048 2048 1 Label: "STATE" 0FC63DAF-8483-4772-8E79-3D69D8477DE4 [0]
    4096 65536 2 Label: "KERNEL" FE3A2A5D-4F32-41A7-B725-ACCC3285A309 [15a]
    69632 40960 3 Label: "BOOT" 3CB8E202-3B7E-47DD-8A3C-7FF2A13CFCEC [0]
    110592 43008 4 Label: "shimboot_rootfs:vendor" 0FC63DAF-8483-4772-8E79-3D69D8477DE4 [0]
    153600 210944 5 Label: "shimboot_rootfs:bootway" 3CB8E202-3B7E-47DD-8A3C-7FF2A13CFCEC [0]
    "#);
}

#[test]
fn the_layout_of_shimboot_has_one_root() {
    let project = Project::new("");
    let built =
        build(&project, "work", "assemble", &["layout=shimboot", "drivers=inject", "rootfs-name=debian"]);
    assert_eq!(built.code, 0, "{}", built.stderr);
    insta::assert_snapshot!(judged(&project, &disk(&project, "work")), @r#"
    2048 2048 1 Label: "" 0FC63DAF-8483-4772-8E79-3D69D8477DE4 [0]
    4096 65536 2 Label: "kernel" FE3A2A5D-4F32-41A7-B725-ACCC3285A309 [15a]
    69632 40960 3 Label: "" 3CB8E202-3B7E-47DD-8A3C-7FF2A13CFCEC [0]
    110592 212992 4 Label: "shimboot_rootfs:debian" 0FC63DAF-8483-4772-8E79-3D69D8477DE4 [0]
    "#);
}

#[test]
fn a_root_survives_with_its_owners_modes_and_links_and_gets_what_it_lacks() {
    let project = Project::new("");
    let built = build(&project, "work", "assemble", &["drivers=inject", "recovery="]);
    assert_eq!(built.code, 0, "{}", built.stderr);
    let disk = disk(&project, "work");
    let part = carved(&project, &disk, 4);
    let stat = |path: &str| ask("debugfs", &["-R", &format!("stat {path}"), part.as_str()]);
    let once = stat("/usr/lib/once");
    for said in ["Mode:  04755", "User:     7   Group:     8", "Links: 2", "Size: 70000"] {
        assert!(once.contains(said), "{said}: {once}");
    }
    assert!(stat("/etc/machine-id").contains("Size: 0"));
    assert!(stat("/sbin/init").contains("Fast link dest: \"/init\""));
    insta::assert_snapshot!(ask("debugfs", &["-R", "cat /etc/shimboot-build.json", part.as_str()]), @r#"
    {
      "build_date": "2025-01-01T00:00:00Z",
      "build_host": "bootway",
      "board": "dedede",
      "rootfs_flavor": "base",
      "drivers_mode": "inject",
      "firmware_upstream": "false",
      "nix_version": "none",
      "script_version": "bootway",
      "git_commit": "unknown",
      "image_size_mb": 0
    }
    "#);
    // The same root again, now out of the disk that it is in.
    let image = format!("root={disk}");
    let again =
        build(&project, "again", "assemble", &["drivers=inject", "recovery=", "root-format=image", &image]);
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert_eq!(digest(&disk), digest(&self::disk(&project, "again")));
}

#[test]
fn two_builds_are_the_same_to_the_byte_and_sparse() {
    let project = Project::new("");
    for work in ["one", "other"] {
        let built = build(&project, work, "assemble", &["drivers=both"]);
        assert_eq!(built.code, 0, "{}", built.stderr);
    }
    let (one, other) = (disk(&project, "one"), disk(&project, "other"));
    assert_eq!(digest(&one), digest(&other));
    let metadata = fs_err::metadata(&one).unwrap();
    let allocated = std::os::unix::fs::MetadataExt::blocks(&metadata) * 512;
    assert!(allocated < metadata.len() / 2, "{allocated} of {}", metadata.len());
}

#[test]
fn a_root_with_next_to_nothing_in_it_is_a_mistake() {
    let project = Project::new("");
    let built = build(&project, "work", "assemble", &["rootfs-least=500MiB"]);
    assert_eq!(built.code, 3);
    let error = built.stderr.split("error: ").nth(1).unwrap_or_default();
    insta::assert_snapshot!(error.split("\n  rerun").next().unwrap_or_default(), @"
    step `disk` failed
      caused by: the content of partition `shimboot_rootfs:bootway` is suspiciously small: 1.97 MiB, and `min-content` is 500 MiB
      hint: look whether it is the tree that was meant; if it is, lower `min-content` or leave it out
    ");
    assert!(!disk(&project, "work").exists());
}

/// What the guest said, and that every check passed.
fn boots(vars: &[&str]) -> String {
    let project = Project::new("");
    let built = build(&project, "work", "all", vars);
    assert_eq!(built.code, 0, "{}", built.stderr);
    let log = fs_err::read_to_string(project.path().join("work/runs/latest/events.jsonl")).unwrap();
    let said = log.lines().filter_map(|line| {
        let text = &line[line.find("test-root: ").or_else(|| line.find("bootway-bootloader: mounted"))?..];
        Some(text.split('"').next()?.to_owned())
    });
    let mut lines: Vec<String> = Vec::new();
    for line in said {
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines.join("\n")
}

#[test]
fn drivers_in_a_partition_of_their_own_are_there_when_the_root_is_up() {
    insta::assert_snapshot!(boots(&["drivers=vendor"]), @"
    bootway-bootloader: mounted /dev/sda5 ext4 rw
    test-root: modules of 1 kernels, dummy is loaded
    test-root: firmware is there
    test-root: written
    test-root: up
    ");
}

#[test]
fn drivers_in_the_root_are_there_when_it_is_up() {
    insta::assert_snapshot!(boots(&["drivers=inject", "layout=shimboot"]), @"
    bootway-bootloader: mounted /dev/sda4 ext4 rw
    test-root: modules of 1 kernels, dummy is loaded
    test-root: firmware is there
    test-root: written
    test-root: up
    ");
}

#[test]
fn drivers_in_both_places_are_there_when_the_root_is_up() {
    insta::assert_snapshot!(boots(&["drivers=both", "layout=shimboot"]), @"
    bootway-bootloader: mounted /dev/sda5 ext4 rw
    test-root: modules of 1 kernels, dummy is loaded
    test-root: firmware is there
    test-root: written
    test-root: up
    ");
}

#[test]
fn a_root_without_drivers_boots() {
    insta::assert_snapshot!(boots(&["drivers=none"]), @"
    bootway-bootloader: mounted /dev/sda4 ext4 rw
    test-root: modules of 0 kernels, 
    test-root: firmware 
    test-root: written
    test-root: up
    ");
}

#[test]
fn a_packed_root_can_be_written_once_it_is_up() {
    insta::assert_snapshot!(boots(&["root-kind=squashfs"]), @"
    bootway-bootloader: mounted /dev/sda5 squashfs with an overlay in memory
    test-root: modules of 1 kernels, dummy is loaded
    test-root: firmware is there
    test-root: written
    test-root: up
    ");
}

/// As whoever runs the tests: no device-mapper, no loop device. cryptsetup takes it apart again.
#[test]
fn a_locked_root_opens_with_its_passphrase_and_is_whole() {
    let project = Project::new("");
    let key = project.write("key", "correct horse");
    let built = build(&project, "work", "assemble", &["luks=yes", &format!("luks-key={key}")]);
    assert_eq!(built.code, 0, "{}", built.stderr);
    let part = carved(&project, &disk(&project, "work"), 5);
    let header = project.path().join("header");
    let unlock = [
        "reencrypt",
        "--decrypt",
        "--disable-locks",
        "--force-offline-reencrypt",
        "--batch-mode",
        "--header",
        header.as_str(),
        "--key-file",
        key.as_str(),
        part.as_str(),
    ];
    ask("cryptsetup", &unlock);
    ask("e2fsck", &["-fn", part.as_str()]);
    assert!(ask("debugfs", &["-R", "stat /usr/lib/once", part.as_str()]).contains("Links: 2"));
}

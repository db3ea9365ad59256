use std::sync::Arc;

use bootway_exec::{Input, Sandbox, SystemRunner};
use bootway_plan::{
    ArtifactKind, Bytes, Digest, Source,
    step::{Compressor, Disk, DiskFormat, FsKind, Partition, PartitionType, Size, Squashfs},
};
use camino::Utf8PathBuf;

use super::*;
use crate::tree::{Content, Node, NodeKind, Tree};

mod foreign;

fn sample(sub: &str) -> Tree {
    let mut composer = tree::Composer::new();
    let mut add = |path: &str, kind| {
        composer.place(&path.parse().unwrap(), Node::new(0o755, kind)).unwrap();
    };
    let text = |text: &str| NodeKind::File(Content::Bytes(Arc::from(text.as_bytes())));
    if sub == "esp" {
        add("EFI/BOOT/BOOTX64.EFI", text("MZ"));
        return composer.finish();
    }
    add("usr/bin/busybox", text(&"busybox v1.35\n".repeat(40_000)));
    add("usr/lib/os-release", text("ID=debian\nVERSION_ID=\"12\"\n"));
    add("etc/os-release", NodeKind::Symlink { target: "../usr/lib/os-release".to_owned() });
    add("bin", NodeKind::Symlink { target: "usr/bin".to_owned() });
    add("dev/null", NodeKind::CharDevice { major: 1, minor: 3 });
    add("empty", text(""));
    for number in 0..600 {
        add(&format!("many/file-{number:04}"), text(&number.to_string()));
    }
    composer.finish()
}

fn input(sandbox: &mut Sandbox<'_>, name: &str, path: Utf8PathBuf, kind: ArtifactKind) -> Source {
    let source: Source = name.parse().unwrap();
    let input = Input { path, kind, digest: Digest::of(name.as_bytes()), size: Bytes::new(0), made: true };
    sandbox.inputs.insert(source.clone(), input);
    source
}

fn made(sandbox: &mut Sandbox<'_>, name: &str) -> Source {
    let path = sandbox.root().join(name);
    tree::write(&sandbox.cx(), &sample(name), &path).unwrap();
    input(sandbox, name, path, ArtifactKind::Tree)
}

fn partition(label: &str, kind: PartitionType, fs: Option<FsKind>, content: Source) -> Partition {
    Partition {
        label: label.to_owned(),
        kind,
        size: Size::Fit,
        fs,
        fs_label: None,
        journal: None,
        content: Some(content),
        owners: step::Owners::Root,
        min_content: None,
        boot: None,
        grow: false,
        attributes: Vec::new(),
        number: None,
    }
}

fn squashfs_of(sandbox: &mut Sandbox<'_>, root: &Source, compressor: Compressor) -> Source {
    let step = Squashfs {
        from: root.clone(),
        compressor: Some(compressor),
        level: None,
        block_size: Some(Bytes::new(4096)),
        exclude: Vec::new(),
    };
    let path = crate::squashfs(&sandbox.cx(), &step).unwrap().remove(0).path;
    let place = sandbox.root().join(format!("{compressor}.squashfs"));
    fs_err::rename(path, &place).unwrap();
    input(sandbox, compressor.as_str(), place, ArtifactKind::Squashfs)
}

/// A disk with an ESP, a squashfs root and an ext4 partition with the same tree.
fn disk(sandbox: &mut Sandbox<'_>) -> Source {
    let root = made(sandbox, "root");
    let esp = made(sandbox, "esp");
    let image = squashfs_of(sandbox, &root, Compressor::Zstd);
    let step = Disk {
        partitions: vec![
            partition("ESP", PartitionType::Esp, Some(FsKind::Fat32), esp),
            partition("ROOT", PartitionType::RootX8664, None, image),
            partition("DATA", PartitionType::LinuxData, Some(FsKind::Ext4), root),
        ],
        size: None,
        sector_size: Bytes::new(512),
        format: DiskFormat::Raw,
        table: step::Table::Gpt,
    };
    let path = crate::disk(&sandbox.cx(), &step).unwrap().remove(0).path;
    input(sandbox, "disk", path, ArtifactKind::Disk)
}

/// Each check with its verdict and detail, and the error.
fn outcome(sandbox: &Sandbox<'_>, image: &Source, expect: Vec<Expect>) -> String {
    let before = sandbox.events().len();
    let result = inspect(&sandbox.cx(), &step::Inspect { image: image.clone(), expect });
    let mut out = String::new();
    for event in &sandbox.events()[before..] {
        if let EventKind::Check { name, verdict, detail, .. } = event {
            out += &format!("{verdict:?}: {name}: {}\n", detail.as_deref().unwrap_or_default());
        }
    }
    out += &result.map_or_else(|error| format!("{:?}: {error}", error.class()), |_| "good".to_owned());
    out.replace(sandbox.root().as_str(), "WORK")
}

fn expect(partition: &str, path: &str, contains: Option<&str>) -> Expect {
    Expect {
        partition: Some(partition.to_owned()),
        path: Some(path.to_owned()),
        contains: contains.map(str::to_owned),
        ..Expect::default()
    }
}

/// Identities are cut from digests of the content, which no reader of a snapshot can check; how small a compressor is
/// today is not what these tests are about.
fn without_identities() -> insta::internals::SettingsBindDropGuard {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "GUID");
    settings.add_filter("[0-9A-F]{4}-[0-9A-F]{4}", "SERIAL");
    settings.add_filter("squashfs [0-9.]+ KiB", "squashfs SIZE");
    settings.bind_to_scope()
}

#[test]
fn looks_into_every_file_system_of_a_disk() {
    let runner = SystemRunner::default();
    let mut sandbox = Sandbox::new(&runner);
    let disk = disk(&mut sandbox);
    let mut expectations = vec![expect("ESP", "EFI/BOOT/*.EFI", Some("MZ"))];
    for label in ["ROOT", "DATA"] {
        expectations.push(expect(label, "etc/os-release", Some("VERSION_ID=\"12\"")));
        expectations.push(expect(label, "bin/busybox", Some("v1.35\nbusybox")));
        expectations.push(expect(label, "many/file-*", Some("599")));
    }
    let more = [
        Expect { lacks: Some("**/*.py".to_owned()), ..expect("ROOT", "dev/null", None) },
        Expect {
            partition: Some("DATA".to_owned()),
            kind: Some(PartitionType::LinuxData),
            fs: Some("ext4".to_owned()),
            min_size: Some(Bytes::new(1 << 20)),
            ..Expect::default()
        },
    ];
    expectations.extend(more);
    let _guard = without_identities();
    insta::assert_snapshot!(outcome(&sandbox, &disk, expectations), @r#"
    Passed: partition ESP, has EFI/BOOT/*.EFI, with "MZ": fat32 33 MiB, ESP, SERIAL; /EFI/BOOT/BOOTX64.EFI
    Passed: partition ROOT, has etc/os-release, with "VERSION_ID=\"12\"": squashfs SIZE, zstd, blocks of 4KiB, 613 files; /etc/os-release
    Passed: partition ROOT, has bin/busybox, with "v1.35\nbusybox": squashfs SIZE, zstd, blocks of 4KiB, 613 files; /bin/busybox
    Passed: partition ROOT, has many/file-*, with "599": squashfs SIZE, zstd, blocks of 4KiB, 613 files; /many/file-0599
    Passed: partition DATA, has etc/os-release, with "VERSION_ID=\"12\"": ext4 16 MiB, 7.11 MiB used, DATA, GUID; /etc/os-release
    Passed: partition DATA, has bin/busybox, with "v1.35\nbusybox": ext4 16 MiB, 7.11 MiB used, DATA, GUID; /bin/busybox
    Passed: partition DATA, has many/file-*, with "599": ext4 16 MiB, 7.11 MiB used, DATA, GUID; /many/file-0599
    Passed: partition ROOT, has dev/null, lacks **/*.py: squashfs SIZE, zstd, blocks of 4KiB, 613 files; /dev/null
    Passed: partition DATA, is linux-data, is ext4, has 1MiB: ext4 16 MiB, 7.11 MiB used, DATA, GUID
    good
    "#);
}

#[test]
fn every_expectation_that_fails_is_named() {
    let runner = SystemRunner::default();
    let mut sandbox = Sandbox::new(&runner);
    let disk = disk(&mut sandbox);
    let of = |label: &str| Expect { partition: Some(label.to_owned()), ..Expect::default() };
    let expectations = vec![
        of("HOME"),
        Expect { kind: Some(PartitionType::Swap), ..of("DATA") },
        Expect { fs: Some("ext4".to_owned()), ..of("ROOT") },
        Expect { min_size: Some(Bytes::new(1 << 40)), ..of("DATA") },
        expect("DATA", "etc/passwd", None),
        expect("ROOT", "many/file-000?", Some("x")),
        Expect { lacks: Some("many/*".to_owned()), ..of("DATA") },
        Expect { path: Some("etc".to_owned()), ..Expect::default() },
        expect("DATA", "../x", None),
        of("DATA"),
    ];
    let _guard = without_identities();
    insta::assert_snapshot!(outcome(&sandbox, &disk, expectations), @r#"
    Failed: partition HOME: there is no such partition: the disk has `ESP`, `ROOT`, `DATA`
    Failed: partition DATA, is swap: it is of type linux-data, and not swap
    Failed: partition ROOT, is ext4: found squashfs, and not ext4
    Failed: partition DATA, has 1024GiB: it has 16 MiB, and not 1024 GiB
    Failed: partition DATA, has etc/passwd: nothing matches `etc/passwd` among 614 files
    Failed: partition ROOT, has many/file-000?, with "x": "x" is not in /many/file-0000, /many/file-0001, /many/file-0002, /many/file-0003, /many/file-0004 and 5 more
    Failed: partition DATA, lacks many/*: `many/*` is there: /many/file-0000, /many/file-0001, /many/file-0002, /many/file-0003, /many/file-0004 and 595 more
    Failed: has etc: this is a disk: say in which `partition`
    Failed: partition DATA, has ../x: `../x` is not a path inside a tree: `..`, empty names and NUL are not allowed
    Passed: partition DATA: ext4 16 MiB, 7.11 MiB used, DATA, GUID
    Check: 9 of 10 expectations failed:
    partition HOME: there is no such partition: the disk has `ESP`, `ROOT`, `DATA`
    partition DATA, is swap: it is of type linux-data, and not swap
    partition ROOT, is ext4: found squashfs, and not ext4
    partition DATA, has 1024GiB: it has 16 MiB, and not 1024 GiB
    partition DATA, has etc/passwd: nothing matches `etc/passwd` among 614 files
    partition ROOT, has many/file-000?, with "x": "x" is not in /many/file-0000, /many/file-0001, /many/file-0002, /many/file-0003, /many/file-0004 and 5 more
    partition DATA, lacks many/*: `many/*` is there: /many/file-0000, /many/file-0001, /many/file-0002, /many/file-0003, /many/file-0004 and 595 more
    has etc: this is a disk: say in which `partition`
    partition DATA, has ../x: `../x` is not a path inside a tree: `..`, empty names and NUL are not allowed
    "#);
}

#[test]
fn a_tree_is_looked_into_by_its_manifest() {
    let runner = SystemRunner::default();
    let mut sandbox = Sandbox::new(&runner);
    let root = made(&mut sandbox, "root");
    let path = |path: &str| Expect { path: Some(path.to_owned()), ..Expect::default() };
    let expectations = vec![
        path("dev/null"),
        Expect { contains: Some("debian".to_owned()), ..path("etc/os-release") },
        expect("ROOT", "bin", None),
    ];
    insta::assert_snapshot!(outcome(&sandbox, &root, expectations), @r#"
    Passed: has dev/null: 549 KiB; /dev/null
    Passed: has etc/os-release, with "debian": 549 KiB; /etc/os-release
    Failed: partition ROOT, has bin: there is no partition table: WORK/root: 549 KiB, tree of 613 files
    Check: 1 of 3 expectations failed:
    partition ROOT, has bin: there is no partition table: WORK/root: 549 KiB, tree of 613 files
    "#);
}

#[test]
fn every_compressor_is_read() {
    let runner = SystemRunner::default();
    let mut sandbox = Sandbox::new(&runner);
    let root = made(&mut sandbox, "root");
    let mut seen = Vec::new();
    for compressor in [Compressor::Gzip, Compressor::Xz, Compressor::Zstd, Compressor::Lz4, Compressor::Lz4hc]
    {
        let image = squashfs_of(&mut sandbox, &root, compressor);
        let wanted = Expect {
            path: Some("usr/bin/busybox".to_owned()),
            contains: Some("v1.35".to_owned()),
            ..Expect::default()
        };
        let text = outcome(&sandbox, &image, vec![wanted]);
        seen.push(format!("{compressor}: {}", text.lines().last().unwrap_or_default()));
    }
    insta::assert_snapshot!(seen.join("\n"), @"
    gzip: good
    xz: good
    zstd: good
    lz4: good
    lz4hc: good
    ");
}

#[test]
fn damage_is_an_error_and_not_a_panic() {
    let runner = SystemRunner::default();
    let mut sandbox = Sandbox::new(&runner);
    let root = made(&mut sandbox, "root");
    let image = squashfs_of(&mut sandbox, &root, Compressor::Gzip);
    let path = sandbox.inputs[&image].path.clone();
    let good = fs_err::read(&path).unwrap();
    // A step that meets every byte of the tables at the end, and some of the data.
    let places = (0..96).chain((96..good.len()).step_by(good.len() / 150 + 1));
    for at in places {
        let mut bytes = good.clone();
        bytes[at] ^= 0xff;
        fs_err::write(&path, &bytes).unwrap();
        drop(outcome(
            &sandbox,
            &image,
            vec![Expect {
                path: Some("**".to_owned()),
                contains: Some("\0none".to_owned()),
                ..Expect::default()
            }],
        ));
    }
}

#[test]
fn says_what_any_image_is() {
    let runner = SystemRunner::default();
    let mut sandbox = Sandbox::new(&runner);
    let disk = disk(&mut sandbox);
    let _guard = without_identities();
    let shown = look(&sandbox.inputs[&disk].path).unwrap();
    let root = sandbox.root().to_string();
    insta::assert_snapshot!(shown.to_string().replace(&root, "WORK"), @"
    WORK/out/disk.raw: 52 MiB, GPT disk GUID, sectors of 512B
      1      1 MiB     33 MiB  esp  ESP  GUID
         fat32 33 MiB, ESP, SERIAL
      2     34 MiB      1 MiB  root-x86-64  ROOT  GUID
         squashfs SIZE, zstd, blocks of 4KiB, 613 files
      3     35 MiB     16 MiB  linux-data  DATA  GUID
         ext4 16 MiB, 7.11 MiB used, DATA, GUID
    ");
    let json = serde_json::to_value(&shown).unwrap();
    assert_eq!(json["image"]["disk"]["partitions"][1]["fs"]["name"], "squashfs");
    let files = [
        ("stub", crate::format::pe::tests::stub()),
        ("vmlinuz", crate::format::kernel::tests::bzimage("6.1.0-t (b) #1")),
        ("text", b"hello\n\xff".to_vec()),
    ];
    let mut text = look(&sandbox.inputs[&"root".parse().unwrap()].path).unwrap().to_string();
    for (name, bytes) in files {
        let path = sandbox.root().join(name);
        fs_err::write(&path, bytes).unwrap();
        text += &look(&path).unwrap().to_string();
    }
    insta::assert_snapshot!(text.replace(&root, "WORK"), @r"
    WORK/root: 549 KiB, tree of 613 files
    WORK/stub: 1 KiB, EFI program for x86-64
             300 B  .text
    WORK/vmlinuz: 1 KiB, Linux kernel 6.1.0-t, bzImage
    WORK/text: 7 B, unknown: it begins with `hello\n\xff`
    ");
}

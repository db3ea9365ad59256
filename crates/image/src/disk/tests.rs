use std::{
    io::{Read, Seek, SeekFrom},
    os::unix::fs::FileExt,
};

use bootway_exec::{Cmd, Input, Sandbox, SystemRunner, run};
use bootway_plan::{Digest, Failure};
use camino::Utf8Path;

use super::*;
use crate::{format::gpt, fs::fat::FatReader};

const PLAN: &str = r#"{ "partition": [
    { "label": "EFI", "type": "esp", "size": "fit", "fs": "fat32", "content": "./esp" },
    { "label": "KERN", "type": "chromeos-kernel", "content": "./kernel", "boot": { "priority": 10, "tries": 5 } },
    { "label": "ROOT", "type": "root-x86-64", "size": "fit", "fs": "ext4", "content": "./root", "owners": "keep" },
    { "label": "DATA", "type": "linux-data", "size": "64MiB", "fs": "ext4" }
] }"#;

/// Adds `./name`, which is at `path`, to the inputs.
fn provide(sandbox: &mut Sandbox<'_>, name: &str, path: &Utf8Path) {
    let kind = if path.is_dir() { ArtifactKind::Tree } else { ArtifactKind::Kernel };
    let digest = Digest::of(name.as_bytes());
    let input = Input { path: path.to_owned(), kind, digest, size: Bytes::new(0), made: false };
    sandbox.inputs.insert(format!("./{name}").parse().unwrap(), input);
}

/// An ESP, a kernel and a root below `dir`; `backwards` makes them in another order.
fn sources(dir: &Utf8Path, backwards: bool) {
    let mut files: Vec<(String, Vec<u8>)> =
        (0..300).map(|n| (format!("root/usr/share/doc/{n:04}/copyright"), vec![n as u8; n * 40])).collect();
    files.push(("root/usr/lib/big".to_owned(), vec![3; 5 << 20]));
    files.push(("esp/EFI/BOOT/BOOTX64.EFI".to_owned(), vec![4; 300_000]));
    files.push(("esp/loader/loader.conf".to_owned(), b"timeout 3\n".to_vec()));
    files.push(("kernel".to_owned(), vec![5; 3_000_001]));
    if backwards {
        files.reverse();
    }
    for (path, bytes) in files {
        let path = dir.join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, bytes).unwrap();
    }
    fs_err::os::unix::fs::symlink("usr/lib", dir.join("root/lib")).unwrap();
    fs_err::os::unix::fs::symlink("x".repeat(200), dir.join("root/long")).unwrap();
    fs_err::hard_link(dir.join("root/usr/lib/big"), dir.join("root/usr/lib/same")).unwrap();
}

fn provide_all(sandbox: &mut Sandbox<'_>, backwards: bool) {
    let dir = sandbox.root().join("plan");
    sources(&dir, backwards);
    for name in ["esp", "kernel", "root"] {
        provide(sandbox, name, &dir.join(name));
    }
}

fn step(json: &str) -> Disk {
    serde_json::from_str(json).unwrap()
}

fn made(sandbox: &Sandbox<'_>, json: &str) -> Utf8PathBuf {
    disk(&sandbox.cx(), &step(json)).unwrap().remove(0).path
}

/// Runs an oracle; what it printed.
#[track_caller]
fn ask(sandbox: &Sandbox<'_>, program: &str, args: &[&str]) -> String {
    match run(&sandbox.cx(), &Cmd::user(program).args(args.iter().copied())) {
        Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
        Err(error) => panic!(
            "{error}\napt-get install gdisk fdisk dosfstools e2fsprogs\n{}",
            sandbox.lines().join("\n")
        ),
    }
}

/// The partition with `label`, as a file of its own.
fn carved(sandbox: &Sandbox<'_>, disk: &Utf8Path, label: &str) -> Utf8PathBuf {
    let mut file = fs_err::File::open(disk).unwrap();
    let table = gpt::read(&mut file).unwrap();
    let entry = table.entries.iter().find(|entry| entry.label == label).unwrap();
    let path = sandbox.root().join(label);
    file.seek(SeekFrom::Start(entry.first * table.sector_size)).unwrap();
    let len = (entry.last + 1 - entry.first) * table.sector_size;
    std::io::copy(&mut file.take(len), &mut fs_err::File::create(&path).unwrap()).unwrap();
    path
}

#[test]
fn no_tool_finds_anything_wrong() {
    let runner = SystemRunner::default();
    let mut sandbox = Sandbox::new(&runner);
    provide_all(&mut sandbox, false);
    let disk = made(&sandbox, PLAN);
    let verified = ask(&sandbox, "sgdisk", &["-v", disk.as_str()]);
    assert!(verified.contains("No problems found"), "{verified}");
    ask(&sandbox, "sfdisk", &["--verify", disk.as_str()]);
    ask(&sandbox, "fsck.fat", &["-n", carved(&sandbox, &disk, "EFI").as_str()]);
    for label in ["ROOT", "DATA"] {
        ask(&sandbox, "e2fsck", &["-fn", carved(&sandbox, &disk, label).as_str()]);
    }
    let mut kernel = fs_err::read(carved(&sandbox, &disk, "KERN")).unwrap();
    assert!(kernel.split_off(3_000_001).iter().all(|byte| *byte == 0));
    assert_eq!(kernel, fs_err::read(sandbox.root().join("plan/kernel")).unwrap());
    let mut esp = FatReader::open(fs_err::File::open(&disk).unwrap(), 1 << 20).unwrap();
    assert_eq!(esp.read("EFI/BOOT/BOOTX64.EFI", 1 << 20).unwrap(), vec![4; 300_000]);
}

#[test]
fn sgdisk_recovers_every_partition_from_the_backup() {
    let runner = SystemRunner::default();
    let mut sandbox = Sandbox::new(&runner);
    provide_all(&mut sandbox, false);
    let disk = made(&sandbox, PLAN);
    let json = |disk: &Utf8Path| ask(&sandbox, "sfdisk", &["--json", disk.as_str()]);
    let before = json(&disk);
    let recovered = || {
        let verified = ask(&sandbox, "sgdisk", &["-v", disk.as_str()]);
        assert!(verified.contains("No problems found"), "{verified}");
        assert_eq!(json(&disk), before);
    };
    let erase = |first: u64| {
        let file = fs_err::OpenOptions::new().write(true).open(&disk).unwrap();
        file.file().write_all_at(&vec![0; (34 - first as usize) * 512], first * 512).unwrap();
    };
    erase(1);
    ask(&sandbox, "sgdisk", &["-e", disk.as_str()]);
    recovered();
    // Without the protective MBR sgdisk asks what to do, and only its sister reads the answer: use the backup.
    erase(0);
    let answers = sandbox.root().join("answers");
    fs_err::write(&answers, "1\nw\ny\n").unwrap();
    run(&sandbox.cx(), &Cmd::user("gdisk").arg(disk.as_str()).stdin_file(&answers)).unwrap();
    recovered();
    for label in ["EFI", "KERN", "ROOT", "DATA"] {
        assert!(before.contains(&format!(r#""name": "{label}""#)), "{before}");
    }
}

#[test]
fn sectors_of_four_kib_make_a_sound_disk() {
    let runner = SystemRunner::default();
    let mut sandbox = Sandbox::new(&runner);
    provide_all(&mut sandbox, false);
    let json = PLAN.replacen('{', r#"{ "sector-size": "4KiB", "#, 1);
    let disk = made(&sandbox, &json);
    let listed = ask(&sandbox, "fdisk", &["-b", "4096", "-l", disk.as_str()]);
    assert!(listed.contains("Disklabel type: gpt") && listed.contains("EFI System"), "{listed}");
    ask(&sandbox, "fsck.fat", &["-n", carved(&sandbox, &disk, "EFI").as_str()]);
    ask(&sandbox, "e2fsck", &["-fn", carved(&sandbox, &disk, "ROOT").as_str()]);
}

/// Another directory, files made in another order, another run: the same bytes.
#[test]
fn the_same_inputs_make_the_same_bytes() {
    let runner = SystemRunner::default();
    let digest = |backwards| {
        let mut sandbox = Sandbox::new(&runner);
        provide_all(&mut sandbox, backwards);
        Digest::of(&fs_err::read(made(&sandbox, PLAN)).unwrap())
    };
    assert_eq!(digest(false), digest(true));
}

#[test]
fn the_disk_is_sparse_and_its_map_is_known_before() {
    let runner = SystemRunner::default();
    let mut sandbox = Sandbox::new(&runner);
    provide_all(&mut sandbox, false);
    let map = disk_layout(&sandbox.cx(), &step(PLAN)).unwrap();
    let show = |it: &bootway_plan::PartitionMap| {
        format!(
            "{} {} {} {}: {} at {}, {} used",
            it.number,
            it.label,
            it.kind,
            it.fs.as_deref().unwrap_or("-"),
            it.size,
            it.offset,
            it.used.human(),
        )
    };
    let lines: Vec<String> = map.partitions.iter().map(show).collect();
    insta::assert_snapshot!(format!("{}\ndisk {}", lines.join("\n"), map.size), @"
    1 EFI esp fat32: 33MiB at 1MiB, 316 KiB used
    2 KERN chromeos-kernel raw: 3MiB at 34MiB, 2.86 MiB used
    3 ROOT root-x86-64 ext4: 16MiB at 37MiB, 12.7 MiB used
    4 DATA linux-data ext4: 64MiB at 53MiB, 4.79 MiB used
    disk 118MiB
    ");
    let disk = made(&sandbox, PLAN);
    assert!(sandbox.events().contains(&EventKind::Layout(map.clone())));
    let metadata = fs_err::metadata(&disk).unwrap();
    assert_eq!(metadata.len(), map.size.get());
    let allocated = std::os::unix::fs::MetadataExt::blocks(&metadata) * 512;
    assert!(allocated < 20 << 20, "{allocated}");
}

/// The partitions of a `ChromeOS` disk: an ext4 of 1 MiB, and ext2 for its kernels.
#[test]
fn ext2_and_the_smallest_ext4_are_sound() {
    let runner = SystemRunner::default();
    let mut sandbox = Sandbox::new(&runner);
    provide_all(&mut sandbox, false);
    let disk = made(
        &sandbox,
        r#"{ "partition": [
            { "label": "STATE", "type": "linux-data", "size": "1MiB", "fs": "ext4" },
            { "label": "BOOT", "type": "chromeos-rootfs", "size": "fit", "fs": "ext2", "content": "./root", "owners": "keep" }
        ] }"#,
    );
    assert_eq!(sandbox.lines(), ["partition `STATE` is too small for a journal: its ext4 has none"]);
    for label in ["STATE", "BOOT"] {
        ask(&sandbox, "e2fsck", &["-fn", carved(&sandbox, &disk, label).as_str()]);
    }
}

/// The kernel is the judge of what it will mount.
#[test]
fn the_kernel_mounts_the_root_and_sees_the_tree() {
    let runner = SystemRunner::default();
    let mut sandbox = Sandbox::new(&runner);
    provide_all(&mut sandbox, false);
    let disk = made(&sandbox, PLAN);
    let root = carved(&sandbox, &disk, "ROOT");
    let mounted = sandbox.root().join("mounted");
    fs_err::create_dir(&mounted).unwrap();
    let mount = Cmd::user("mount").args(["-t", "ext4", "-o", "ro,loop", root.as_str(), mounted.as_str()]);
    if let Err(error) = run(&sandbox.cx(), &mount) {
        eprintln!(
            "SKIPPED: this machine cannot mount an image, which takes root and loop devices: {error}\n{}",
            sandbox.lines().join("\n")
        );
        return;
    }
    let tree = sandbox.root().join("plan/root");
    let compared = run(
        &sandbox.cx(),
        &Cmd::user("diff").args([
            "-r",
            "--no-dereference",
            "-x",
            "lost+found",
            tree.as_str(),
            mounted.as_str(),
        ]),
    );
    let links =
        std::os::unix::fs::MetadataExt::nlink(&fs_err::metadata(mounted.join("usr/lib/big")).unwrap());
    run(&sandbox.cx(), &Cmd::user("umount").arg(mounted.as_str())).unwrap();
    compared.unwrap();
    assert_eq!(links, 2);
}

#[test]
fn what_cannot_be_made_says_why() {
    let runner = SystemRunner::default();
    let mut sandbox = Sandbox::new(&runner);
    provide_all(&mut sandbox, false);
    let failure = |partition: &str| {
        let json = format!(r#"{{ "partition": [{{ "label": "X", "type": "linux-data", {partition} }}] }}"#);
        let text = Failure::of(&disk(&sandbox.cx(), &step(&json)).unwrap_err()).to_string();
        text.replace(sandbox.root().as_str(), "DIR")
    };
    let shown = [
        failure(r#""fs": "ext4", "content": "./root", "size": "16MiB""#),
        failure(r#""fs": "fat32", "content": "./esp", "size": "16MiB""#),
        failure(r#""fs": "ext4", "content": "./root", "size": "4MiB""#),
        failure(r#""fs": "ext2", "content": "./root", "size": "4MiB""#),
        failure(r#""fs": "fat32", "content": "./root""#),
        failure(r#""content": "./root""#),
        failure(r#""fs": "ext4", "content": "./kernel""#),
        failure(r#""content": "./absent""#),
    ];
    insta::assert_snapshot!(shown.join("\n"), @r#"
    error: partition `X` needs 18 MiB, has 16 MiB
      hint: write `size = "fit"`, or at least `size = "18MiB"`
    error: partition `X` needs 33 MiB, has 16 MiB
      hint: write `size = "fit"`, or at least `size = "33MiB"`; FAT32 has at least 65525 clusters, or firmware takes it for FAT16
    error: partition `X` needs 14 MiB, has 4 MiB
      hint: write `size = "fit"`, or at least `size = "14MiB"`
    error: partition `X` needs 14 MiB, has 4 MiB
      hint: write `size = "fit"`, or at least `size = "14MiB"`
    error: cannot make the file system of partition `X`
      caused by: `/lib` is a symbolic link, and FAT has none: remove it from the tree, or use `fs = "ext4"`
    error: partition `X` has the tree `./root` as content and no `fs`: say which, such as `fs = "ext4"`
    error: cannot read the content of partition `X`
      caused by: `./kernel` is a file, not a tree: name a directory, or a step that makes a tree
    error: `./absent` is not among the inputs of this step: this is a bug of bootway
    "#);
    assert!(!sandbox.root().join("out/disk.raw").exists());
}

#[test]
fn a_file_system_without_room_is_said_before_a_byte_is_written() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: a small file system can be mounted by root only; run this test as root");
        return;
    }
    let runner = SystemRunner::default();
    let mut sandbox = Sandbox::new(&runner);
    provide_all(&mut sandbox, false);
    let out = sandbox.root().join("small");
    fs_err::create_dir(&out).unwrap();
    let mount = Cmd::user("mount").args(["-t", "tmpfs", "-o", "size=1m", "tmpfs", out.as_str()]);
    run(&sandbox.cx(), &mount).expect("root can mount a tmpfs");
    let made = disk(&Cx { out: &out, ..sandbox.cx() }, &step(PLAN));
    let empty = fs_err::read_dir(&out).unwrap().next().is_none();
    run(&sandbox.cx(), &Cmd::user("umount").arg(out.as_str())).unwrap();
    let text = Failure::of(&made.unwrap_err()).to_string().replace(sandbox.root().as_str(), "DIR");
    insta::assert_snapshot!(text, @"
    error: the disk needs 11.3 MiB, the file system of `DIR/small` has 1 MiB
      hint: free some space there, or give another place with `--work`
    ");
    assert!(empty);
}

mod chromeos;

/// The same disk in QEMU's own format, by the word of `qemu-img`; small, verified and looked into by us.
#[test]
fn as_qcow2_it_is_the_same_disk() {
    let runner = SystemRunner::default();
    let mut sandbox = Sandbox::new(&runner);
    provide_all(&mut sandbox, false);
    let raw = disk(&sandbox.cx(), &step(PLAN)).unwrap();
    let kept = sandbox.root().join("kept.raw");
    fs_err::rename(&raw[0].path, &kept).unwrap();
    let made = disk(&sandbox.cx(), &Disk { format: DiskFormat::Qcow2, ..step(PLAN) }).unwrap();
    let (kind, path) = (made[0].kind, &made[0].path);
    assert_eq!((kind, path.file_name()), (ArtifactKind::Qcow2, Some("disk.qcow2")));
    assert!(!path.with_file_name("disk.raw").exists(), "the raw one is left");
    for args in [
        vec!["check", "-f", "qcow2", path.as_str()],
        vec!["compare", "-f", "raw", "-F", "qcow2", kept.as_str(), path.as_str()],
    ] {
        run(&sandbox.cx(), &Cmd::user("qemu-img").args(args)).expect("`apt-get install qemu-utils`");
    }
    crate::verify(kind, path).unwrap();
    let (disk_size, stored) = (fs_err::metadata(&kept).unwrap().len(), fs_err::metadata(path).unwrap().len());
    assert!(stored * 2 < disk_size, "{stored} bytes for a disk of {disk_size}");
    let report = crate::look(path).unwrap();
    let crate::ImageKind::Qcow2 { flaw: None, partitions, .. } = &report.image else { panic!("{report}") };
    let labels: Vec<_> = partitions.iter().map(|it| it.label.as_str()).collect();
    assert_eq!(labels, ["EFI", "KERN", "ROOT", "DATA"]);
    // A table that is damaged inside is found through the image.
    let mut bytes = fs_err::read(path).unwrap();
    let at = bytes.windows(8).position(|it| it == b"EFI PART").unwrap();
    bytes[at + 60] ^= 1;
    fs_err::write(path, bytes).unwrap();
    let said = crate::verify(kind, path).unwrap_err().to_string();
    assert!(said.contains("a qcow2 image with a whole GUID partition table"), "{said}");
}

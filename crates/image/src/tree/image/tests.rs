use std::{fs::File, os::unix::fs::FileExt};

use bootway_exec::{Cmd, Input, Sandbox, SystemRunner, run};
use bootway_plan::{
    ArtifactKind, Digest, EventKind, Explain, Name,
    step::{self, Owners, TreeFrom, TreePart},
};
use camino::Utf8PathBuf;

use super::*;
use crate::{NodeKind, tree as compose_tree, tree::load::load_made};

const MIB: u64 = 1 << 20;

fn tool(sandbox: &Sandbox<'_>, program: &str, args: &[&str]) {
    let output = run(&sandbox.cx(), &Cmd::user(program).args(args.iter().copied()));
    output.unwrap_or_else(|error| panic!("{error} (apt-get install e2fsprogs gdisk dosfstools)"));
}

/// A file system of 4 MiB with a file that says what it is.
fn ext(sandbox: &Sandbox<'_>, label: &str, kind: &str, size: &str) -> Vec<u8> {
    let (source, image) = (sandbox.root().join(label), sandbox.root().join(format!("{label}.img")));
    fs_err::create_dir_all(source.join("etc")).unwrap();
    fs_err::write(source.join("etc/which"), label).unwrap();
    std::os::unix::fs::lchown(source.join("etc/which"), Some(1234), Some(5678)).unwrap();
    let args = ["-q", "-F", "-t", kind, "-L", label, "-d", source.as_str(), image.as_str(), size];
    tool(sandbox, "mke2fs", &args);
    fs_err::read(image).unwrap()
}

/// As a Nix configuration makes one: an EFI partition, and the root.
fn disk(sandbox: &Sandbox<'_>) -> Utf8PathBuf {
    let path = sandbox.root().join("the-disk");
    let file = File::create(&path).unwrap();
    file.set_len(40 * MIB).unwrap();
    let args = [
        "-n",
        "1:2048:+16M",
        "-t",
        "1:ef00",
        "-c",
        "1:ESP",
        "-n",
        "2:0:+4M",
        "-c",
        "2:small",
        "-n",
        "3:0:+8M",
        "-c",
        "3:primary",
    ];
    tool(sandbox, "sgdisk", &[&args[..], &[path.as_str()]].concat());
    file.write_all_at(&ext(sandbox, "state", "ext2", "4M"), 17 * MIB).unwrap();
    file.write_all_at(&ext(sandbox, "nixos", "ext4", "8M"), 21 * MIB).unwrap();
    path
}

fn compose(sandbox: &mut Sandbox<'_>, image: &Utf8Path, partition: &str) -> Result<String, TreeError> {
    let source: Source = "./nixos.img".parse().unwrap();
    let input = Input {
        path: image.to_owned(),
        kind: ArtifactKind::Disk,
        digest: Digest::of(b""),
        size: Bytes::new(0),
        made: false,
    };
    sandbox.inputs.insert(source.clone(), input);
    let part = TreePart {
        source,
        partition: Some(partition.to_owned()),
        at: bootway_plan::TreePath::root(),
        keep: Vec::new(),
        drop: vec!["lost+found".to_owned()],
    };
    let step = step::Tree { from: vec![TreeFrom::Part(part)], edits: Vec::new(), owners: Owners::Root };
    let made = compose_tree(&sandbox.cx(), &step)?;
    assert_eq!(made[0].name, Name::fixed("tree"));
    let tree = load_made(&made[0].path).unwrap();
    let node = &tree.nodes[&"etc/which".parse().unwrap()];
    assert_eq!((tree.nodes.len(), node.uid, node.gid), (3, 1234, 5678));
    let NodeKind::File(content) = &node.kind else { panic!("a file") };
    let text = std::io::read_to_string(content.open().unwrap()).unwrap();
    fs_err::remove_dir_all(&made[0].path).unwrap();
    Ok(text)
}

#[test]
fn a_disk_image_becomes_a_tree_of_the_partition_that_is_named_or_largest() {
    let runner = SystemRunner::default();
    let mut sandbox = Sandbox::new(&runner);
    let disk = disk(&sandbox);
    for (wanted, found) in [
        ("largest", "nixos"),
        ("primary", "nixos"),
        ("nixos", "nixos"),
        ("small", "state"),
        ("state", "state"),
    ] {
        assert_eq!(compose(&mut sandbox, &disk, wanted).unwrap(), found, "{wanted}");
    }
    let mut said = |wanted: &str| compose(&mut sandbox, &disk, wanted).unwrap_err().to_string();
    insta::assert_snapshot!(said("ESP"), @r#"`./nixos.img` has no ext2, ext3 or ext4 for `partition = "ESP"`: it has partition 1 (`ESP`) of 16 MiB with nothing that is known, partition 2 (`small`) of 4 MiB with ext2 `state`, partition 3 (`primary`) of 8 MiB with ext4 `nixos`"#);
    insta::assert_snapshot!(said("whole"), @r#"`./nixos.img` has no ext2, ext3 or ext4 for `partition = "whole"`: it has partition 1 (`ESP`) of 16 MiB with nothing that is known, partition 2 (`small`) of 4 MiB with ext2 `state`, partition 3 (`primary`) of 8 MiB with ext4 `nixos`"#);
}

#[test]
fn a_disk_with_its_first_partition_table_gone_is_still_read() {
    let runner = SystemRunner::default();
    let mut sandbox = Sandbox::new(&runner);
    let disk = disk(&sandbox);
    let file = fs_err::OpenOptions::new().write(true).open(&disk).unwrap();
    file.file().write_all_at(&vec![0; 34 * 512], 0).unwrap();
    assert_eq!(compose(&mut sandbox, &disk, "largest").unwrap(), "nixos");
}

#[test]
fn an_image_with_an_old_partition_table_or_none_becomes_a_tree() {
    let runner = SystemRunner::default();
    let mut sandbox = Sandbox::new(&runner);
    let plain = sandbox.root().join("plain");
    fs_err::write(&plain, ext(&sandbox, "rootfs", "ext3", "4M")).unwrap();
    for wanted in ["whole", "largest", "rootfs"] {
        assert_eq!(compose(&mut sandbox, &plain, wanted).unwrap(), "rootfs", "{wanted}");
    }
    let mut disk = vec![0; MIB as usize];
    disk[446..462].copy_from_slice(&[0x80, 0, 0, 0, 0x83, 0, 0, 0, 0, 8, 0, 0, 0, 0x20, 0, 0]);
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    disk.extend(fs_err::read(&plain).unwrap());
    let path = sandbox.root().join("mbr");
    fs_err::write(&path, &disk).unwrap();
    assert_eq!(compose(&mut sandbox, &path, "largest").unwrap(), "rootfs");
    let mut said = |bytes: &[u8], wanted: &str| {
        fs_err::write(&path, bytes).unwrap();
        let error = compose(&mut sandbox, &path, wanted).unwrap_err();
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
        format!("{:?}: {error}{}", error.class(), cause.unwrap_or_default())
    };
    insta::assert_snapshot!(said(&disk[..2 << 20], "largest"), @"Plan: the file system at byte 1048576 of `./nixos.img` cannot be read: the superblock at byte 1049604: `s_blocks_count` is 4096, so the file system is bytes 1048576 to 5242880, and the image ends at 2097152: it is cut");
    insta::assert_snapshot!(said(b"no image", "largest"), @r#"Plan: `./nixos.img` has no ext2, ext3 or ext4 for `partition = "largest"`: it has no partition table, and is no file system that is known"#);
    insta::assert_snapshot!(said(&disk[..MIB as usize], "whole"), @r#"Plan: `./nixos.img` has no ext2, ext3 or ext4 for `partition = "whole"`: it has partition 1 of 4 MiB with nothing that is known"#);
}

#[test]
fn what_was_left_out_is_noted() {
    use std::os::unix::ffi::OsStrExt;
    let runner = SystemRunner::default();
    let mut sandbox = Sandbox::new(&runner);
    let odd = sandbox.root().as_std_path().join("rootfs/etc");
    fs_err::create_dir_all(&odd).unwrap();
    for n in 0..7 {
        fs_err::write(odd.join(std::ffi::OsStr::from_bytes(&[b'x', 0xf0 + n])), "").unwrap();
    }
    let plain = sandbox.root().join("plain");
    fs_err::write(&plain, ext(&sandbox, "rootfs", "ext4", "4M")).unwrap();
    assert_eq!(compose(&mut sandbox, &plain, "whole").unwrap(), "rootfs");
    let events = sandbox.events();
    let note =
        events.iter().find_map(|event| if let EventKind::Note { text } = event { Some(text) } else { None });
    let note = note.expect("a note");
    assert!(note.contains("`/etc`: its name is not UTF-8") && note.ends_with("; and 2 more"), "{note}");
}

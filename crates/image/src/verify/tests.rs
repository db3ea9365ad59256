use std::{io::Write, sync::Arc};

use bootway_exec::{Sandbox, SystemRunner};
use bootway_plan::step::Compression;

use super::*;
use crate::{
    format::{cpio::Header, kernel::tests::bzimage, pe::tests::stub},
    tree::{Content, Tree},
};

fn check(kind: ArtifactKind, bytes: &[u8]) -> String {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let path = sandbox.root().join("it");
    fs_err::write(&path, bytes).unwrap();
    match verify(kind, &path) {
        Ok(()) => "good".to_owned(),
        Err(error) => error.to_string().replace(path.as_str(), "it"),
    }
}

fn archive(name: &str) -> Vec<u8> {
    let header = Header { size: 3, ..Header::default() };
    [&cpio::encode(&header, name)[..], b"abc", cpio::padding(3), &cpio::trailer()].concat()
}

fn compressed(compression: Compression, bytes: &[u8]) -> Vec<u8> {
    let mut encoder = compress::Encoder::new(compression, Vec::new()).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn an_initramfs_is_read_to_its_end() {
    let plain = archive("init");
    for compression in [Compression::None, Compression::Gzip, Compression::Zstd, Compression::Xz] {
        let bytes = compressed(compression, &plain);
        assert_eq!(check(ArtifactKind::Initramfs, &bytes), "good", "{compression:?}");
        let cut = check(ArtifactKind::Initramfs, &bytes[..bytes.len() - 20]);
        assert!(cut.contains("a damaged one"), "{compression:?}: {cut}");
    }
    let microcode = [archive("kernel/x86"), vec![0; 512], compressed(Compression::Zstd, &plain)].concat();
    assert_eq!(check(ArtifactKind::Initramfs, &microcode), "good");
    let bad = [archive("sbin/init"), b"MZ".to_vec(), compressed(Compression::Gzip, b"no archive")];
    insta::assert_snapshot!(bad.map(|bytes| check(ArtifactKind::Initramfs, &bytes)).join("\n"), @"
    `it` is not a newc archive with an /init: found one without
    `it` is not a newc archive with an /init: found a damaged one (compression: none): the archive ends inside the file at byte 0, or before its trailer
    `it` is not a newc archive with an /init: found a damaged one (compression: gzip): the archive ends inside the file at byte 0, or before its trailer
    ");
}

#[test]
fn says_what_was_expected_and_what_was_found() {
    let mut console = stub();
    console[88 + 68] = 3;
    let squashfs = empty_squashfs();
    let cases = [
        (ArtifactKind::File, &b""[..]),
        (ArtifactKind::Kernel, b"#!/bin/sh\n"),
        (ArtifactKind::Squashfs, b"x"),
        (ArtifactKind::Squashfs, b"hsqs"),
        (ArtifactKind::Squashfs, &squashfs[..100]),
        (ArtifactKind::Squashfs, &squashfs[..4095]),
        (ArtifactKind::Ext4, b"x"),
        (ArtifactKind::Efi, &console),
        (ArtifactKind::Efi, &stub()[..600]),
        (ArtifactKind::Disk, b"x"),
        (ArtifactKind::Tar, &[b'a'; 512]),
        (ArtifactKind::Tar, b"short"),
        (ArtifactKind::Text, b"caf\xe9"),
        (ArtifactKind::Tree, b"x"),
    ];
    let messages: Vec<_> =
        cases.iter().map(|(kind, bytes)| format!("{kind}: {}", check(*kind, bytes))).collect();
    insta::assert_snapshot!(messages.join("\n"), @r"
    file: `it` is not a file with something in it: found an empty file
    kernel: `it` is not a Linux kernel: a bzImage with `HdrS`, an arm64 Image, or ELF: found a file that begins with `#!/bin/sh\n`
    squashfs: `it` is not a squashfs 4.0 image: found a file that begins with `x`
    squashfs: `it` is not a squashfs 4.0 image: found one that cannot be read: the superblock is cut short: 4 bytes are missing
    squashfs: `it` is not a squashfs 4.0 image: found one that cannot be read: the image would be at 0 to 168, and the image has 100 bytes: it is cut short or damaged
    squashfs: `it` is not a squashfs 4.0 image: found 4095 bytes, which is not a multiple of 4096
    ext4: `it` is not an ext2, ext3 or ext4 file system: found no superblock at byte 1024
    efi: `it` is not an EFI program: found a PE file of subsystem 3, and not 10
    efi: `it` is not an EFI program: found 600 bytes, and a section `.text` that ends after them
    disk: `it` is not a disk with a whole GUID partition table: found there is no GUID partition table: neither at byte 512 nor at byte 4096 stands `EFI PART`
    tar: `it` is not a tar archive: found a first header whose checksum is wrong
    tar: `it` is not a tar archive: found a file that begins with `short`: failed to fill whole buffer
    text: `it` is not UTF-8 text: found byte 0xe9 at offset 3
    tree: `it` is not a tree: found a file
    ");
}

/// An image of an empty directory.
fn empty_squashfs() -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("it");
    let writer = bootway_squashfs::Writer::new(bootway_squashfs::Options::default());
    writer.write(&bootway_squashfs::Tree::default(), &path).unwrap();
    fs_err::read(path).unwrap()
}

#[test]
fn good_ones_are_good() {
    let squashfs = empty_squashfs();
    let mut tar = tar::Builder::new(Vec::new());
    tar.append_data(&mut tar::Header::new_gnu(), "a", &b""[..]).unwrap();
    let tar = tar.into_inner().unwrap();
    let cases = [
        (ArtifactKind::File, b"x".to_vec()),
        (ArtifactKind::Kernel, bzimage("6.1")),
        (ArtifactKind::Kernel, b"\x7fELF".to_vec()),
        (ArtifactKind::Squashfs, squashfs),
        (ArtifactKind::Efi, stub()),
        (ArtifactKind::Tar, compressed(Compression::Gzip, &tar)),
        (ArtifactKind::Tar, tar),
        (ArtifactKind::Text, "é".into()),
    ];
    for (kind, bytes) in cases {
        assert_eq!(check(kind, &bytes), "good", "{kind}");
    }
}

#[test]
fn a_tree_and_its_manifest_must_agree() {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let mut messages = Vec::new();
    let mut damage = |name: &str, damage: fn(&Utf8Path)| {
        let dir = sandbox.root().join(name);
        let mut tree = Tree::default();
        let mut add = |path: &str, kind| {
            tree.nodes.insert(path.parse().unwrap(), Node::new(0o644, kind));
        };
        add("", NodeKind::Directory);
        add("file", NodeKind::File(Content::Bytes(Arc::from(*b"abc"))));
        add("link", NodeKind::HardLink { to: "file".parse().unwrap() });
        add("null", NodeKind::CharDevice { major: 1, minor: 3 });
        add("sym", NodeKind::Symlink { target: "file".to_owned() });
        tree::write(&sandbox.cx(), &tree, &dir).unwrap();
        verify(ArtifactKind::Tree, &dir).unwrap();
        damage(&dir);
        let message = verify(ArtifactKind::Tree, &dir).unwrap_err().to_string();
        messages.push(message.replace(sandbox.root().as_str(), "WORK"));
    };
    damage("short", |dir| fs_err::write(dir.join("file"), "ab").unwrap());
    damage("gone", |dir| fs_err::remove_file(dir.join("sym")).unwrap());
    damage("more", |dir| fs_err::write(dir.join("new"), "").unwrap());
    damage("manifest", |dir| fs_err::write(format!("{dir}.manifest"), "{").unwrap());
    insta::assert_snapshot!(messages.join("\n"), @"
    `WORK/short/file` is not what the manifest says: found a file of 2 bytes
    `WORK/gone/sym` is not what the manifest says: found nothing
    `WORK/more/new` is not what the manifest says: found a file that is not in it
    the manifest `WORK/manifest.manifest` cannot be read
    ");
}

//! Disks, file systems and archives that steps make.

use std::sync::Arc;

use bootway_exec::Input;
use bootway_plan::{
    ArtifactKind, Bytes, Digest, Source, TreePath,
    step::{self, Compression, Compressor, Disk, Squashfs},
};

use super::*;
use crate::{Content, Node, NodeKind, Tree};

/// A tree in which `text` is in one file, with a mode.
fn tree(text: &str, mode: u16, with_link: bool) -> Tree {
    let mut tree = Tree::default();
    let mut add = |path: &str, node: Node| tree.nodes.insert(path.parse::<TreePath>().unwrap(), node);
    let file = |text: &str| NodeKind::File(Content::Bytes(Arc::from(text.as_bytes())));
    add("", Node::new(0o755, NodeKind::Directory));
    add("etc", Node::new(0o755, NodeKind::Directory));
    add("etc/issue", Node::new(0o644, file(text)));
    add("etc/motd", Node::new(mode, file("welcome\n")));
    if with_link {
        add("etc/link", Node::new(0o777, NodeKind::Symlink { target: "motd".to_owned() }));
    }
    add("init", Node::new(0o755, file("#!/bin/sh\n")));
    tree
}

/// What a step made of each of two trees.
fn made(two: &Two, with_link: bool, make: impl Fn(&mut Sandbox<'_>, Source) -> Utf8PathBuf) -> String {
    let runner = SystemRunner::default();
    let mut kept = Vec::new();
    for (side, text, mode) in [("a", "built on 2026-11-22\n", 0o644), ("b", "built on 2026-11-23\n", 0o600)] {
        let mut sandbox = Sandbox::new(&runner);
        let path = sandbox.root().join("root");
        crate::write_tree(&sandbox.cx(), &tree(text, mode, with_link), &path).unwrap();
        let source: Source = "root".parse().unwrap();
        let digest = Digest::of(side.as_bytes());
        let input = Input { path, kind: ArtifactKind::Tree, digest, size: Bytes::new(0), made: true };
        sandbox.inputs.insert(source.clone(), input);
        let image = make(&mut sandbox, source);
        let to = two.path(&format!("{side}.image"));
        fs::copy(image, &to).unwrap();
        kept.push(to);
    }
    said(&compare(&kept[0], &kept[1], &Cancel::default()).unwrap())
}

#[test]
fn a_disk_differs_in_a_file_of_a_partition() {
    let two = Two::new();
    for (fs, format) in [("ext4", "raw"), ("fat32", "raw"), ("ext4", "qcow2")] {
        let found = made(&two, fs != "fat32", |sandbox, source| {
            let disk: Disk = serde_json::from_value(serde_json::json!({
                "format": format,
                "partition": [{ "label": "root", "type": "root-x86-64", "fs": fs, "content": source, "size": "64MiB" }],
            }))
            .unwrap();
            crate::disk(&sandbox.cx(), &disk).unwrap()[0].path.clone()
        });
        assert_snapshot!(format!("disk_with_{fs}"), found);
    }
}

#[test]
fn a_squashfs_differs_in_a_file_and_a_mode() {
    let found = made(&Two::new(), true, |sandbox, source| {
        let step: Squashfs =
            serde_json::from_value(serde_json::json!({ "from": source, "compressor": Compressor::Gzip }))
                .unwrap();
        crate::squashfs(&sandbox.cx(), &step).unwrap()[0].path.clone()
    });
    assert_snapshot!(found);
}

#[test]
fn an_initramfs_differs_in_a_file_and_a_mode() {
    let found = made(&Two::new(), true, |sandbox, source| {
        let step: step::Initramfs =
            serde_json::from_value(serde_json::json!({ "from": [source], "compression": Compression::Zstd }))
                .unwrap();
        crate::initramfs(&sandbox.cx(), &step).unwrap()[0].path.clone()
    });
    assert_snapshot!(found);
}

/// Bytes of which no file is made: the two must not be said to be the same.
#[test]
fn what_no_file_has_is_found_as_well() {
    let two = Two::new();
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let path = two.path("root");
    crate::write_tree(&sandbox.cx(), &tree("x", 0o644, true), &path).unwrap();
    for (side, hash) in
        [("a", "11111111-1111-1111-1111-111111111111"), ("b", "22222222-2222-2222-2222-222222222222")]
    {
        let image = two.path(&format!("{side}.ext4"));
        let args = ["-q", "-F", "-U", "33333333-3333-3333-3333-333333333333", "-E"];
        let seed = format!("hash_seed={hash},root_owner=0:0");
        let args: Vec<&str> =
            args.into_iter().chain([seed.as_str(), "-d", path.as_str(), image.as_str(), "4M"]).collect();
        run(&two.path("a"), "mke2fs", &args);
    }
    let found = compare(&two.path("a.ext4"), &two.path("b.ext4"), &Cancel::default()).unwrap();
    let [Difference { what: What::Content { part: Some(part), .. }, .. }] = &found.differences[..] else {
        panic!("{}", said(&found))
    };
    assert_eq!(part, OUTSIDE);
}

//! What is taken of a root, and what is not: without any image.

use std::sync::Arc;

use bootway_exec::{Sandbox, SystemRunner};
use bootway_image::{Content, Node, NodeKind, Tree};
use bootway_plan::TreePath;

use super::{
    firmware::{self, Remarks},
    layer::{Layer, Origin},
    modprobe, modules,
    unpacked::Unpacker,
};

fn path(text: &str) -> TreePath {
    text.parse().unwrap()
}

fn file(bytes: &[u8]) -> NodeKind {
    NodeKind::File(Content::Bytes(Arc::from(bytes)))
}

fn link(target: &str) -> NodeKind {
    NodeKind::Symlink { target: target.to_owned() }
}

/// A root with these files, and the directories that they are in.
fn root(files: &[(&str, NodeKind)]) -> Tree {
    let mut tree = Tree::default();
    tree.nodes.insert(TreePath::root(), Node::new(0o755, NodeKind::Directory));
    for (name, kind) in files {
        let mut parent = path(name).parent();
        while let Some(at) = parent {
            parent = at.parent();
            tree.nodes.entry(at).or_insert_with(|| Node::new(0o755, NodeKind::Directory));
        }
        tree.nodes.insert(path(name), Node::new(0o644, kind.clone()));
    }
    tree
}

fn shown(tree: &Tree) -> String {
    let line = |(path, node): (&TreePath, &Node)| match &node.kind {
        NodeKind::File(content) => {
            let mut bytes = Vec::new();
            content.open().unwrap().read_to_end(&mut bytes).unwrap();
            Some(format!("{path} {:?}\n", String::from_utf8_lossy(&bytes)))
        }
        NodeKind::Symlink { target } => Some(format!("{path} -> {target}\n")),
        NodeKind::Directory => None,
        other => Some(format!("{path} {other:?}\n")),
    };
    tree.nodes.iter().filter_map(line).collect()
}

fn taken(roots: &[(Origin, &Tree)]) -> (Layer, Remarks) {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let cx = sandbox.cx();
    let unpacker = Unpacker::new(&cx).unwrap();
    let (mut layer, mut remarks) = (Layer::new(), Remarks::default());
    for (origin, root) in roots {
        firmware::take(root, *origin, &unpacker, &mut layer, &mut remarks).unwrap();
    }
    // Unpacked files end with the sandbox.
    let files: Vec<TreePath> = layer.tree().nodes.keys().cloned().collect();
    let mut kept = Layer::new();
    for at in files {
        match &layer.tree().nodes[&at].kind {
            NodeKind::Directory => kept.directory(&at),
            NodeKind::File(content) => {
                let mut bytes = Vec::new();
                content.open().unwrap().read_to_end(&mut bytes).unwrap();
                kept.put(&at, file(&bytes), layer.origin[&at]);
            }
            other => drop(kept.put(&at, other.clone(), layer.origin[&at])),
        }
    }
    (kept, remarks)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut encoder, bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn links_are_resolved_inside_their_root_and_compressed_files_unpacked() {
    let shim = root(&[
        ("lib/firmware/plain.fw", file(b"shim")),
        ("lib/firmware/shared.bin", file(b"old")),
        ("lib/firmware/intel/a.bin", file(b"a")),
        ("lib/firmware/near.bin", link("intel/a.bin")),
        ("lib/firmware/intel/absolute.bin", link("/lib/firmware/plain.fw")),
        ("lib/firmware/touch.bin", link("/opt/google/touch/elan.bin")),
        ("lib/firmware/up.bin", link("../../../../../opt/google/touch/elan.bin")),
        ("opt/google/touch/elan.bin", file(b"touch")),
        ("lib/firmware/gone.bin", link("/opt/nowhere.bin")),
        ("lib/firmware/round.bin", link("round.bin")),
    ]);
    let recovery = root(&[
        ("lib/firmware/shared.bin", file(b"new")),
        ("lib/firmware/zip.bin.gz", file(&gzip(b"unpacked"))),
        ("lib/firmware/zip-link.bin.gz", link("zip.bin.gz")),
        ("lib/firmware/both.bin", file(b"both")),
        ("lib/firmware/both.bin.gz", file(&gzip(b"never read"))),
        ("lib/firmware/folder", link("/usr/share/folder")),
        ("usr/share/folder/deep/x.bin", file(b"x")),
    ]);
    let (layer, remarks) = taken(&[(Origin::Shim, &shim), (Origin::Recovery, &recovery)]);
    insta::assert_snapshot!(shown(layer.tree()), @r#"
    /lib/firmware/both.bin "both"
    /lib/firmware/folder/deep/x.bin "x"
    /lib/firmware/intel/a.bin "a"
    /lib/firmware/intel/absolute.bin -> ../plain.fw
    /lib/firmware/near.bin -> intel/a.bin
    /lib/firmware/plain.fw "shim"
    /lib/firmware/shared.bin "new"
    /lib/firmware/touch.bin "touch"
    /lib/firmware/up.bin "touch"
    /lib/firmware/zip-link.bin -> zip.bin
    /lib/firmware/zip.bin "unpacked"
    "#);
    insta::assert_debug_snapshot!(remarks, @r#"
    Remarks {
        dangling: [
            "gone.bin -> /opt/nowhere.bin",
            "round.bin -> round.bin",
        ],
        resolved: [
            "touch.bin -> /opt/google/touch/elan.bin",
            "up.bin -> ../../../../../opt/google/touch/elan.bin",
            "folder -> /usr/share/folder",
        ],
        unpacked: [
            "zip.bin.gz",
        ],
        replaced: [
            "shared.bin",
        ],
        left_out: [
            "both.bin.gz",
        ],
    }
    "#);
    assert_eq!(layer.origin[&path("lib/firmware/shared.bin")], Origin::Recovery);
}

#[test]
fn what_is_hostile_in_lib_firmware_stays_outside() {
    let bad = root(&[
        ("lib/firmware/all", link("/")),
        ("lib/firmware/lib", link("/lib")),
        ("lib/firmware/self", link(".")),
        ("lib/firmware/disk", NodeKind::BlockDevice { major: 8, minor: 0 }),
        ("lib/firmware/pipe", NodeKind::Fifo),
        ("lib/firmware/etc", link("/etc")),
        ("etc/null", NodeKind::CharDevice { major: 1, minor: 3 }),
        ("etc/shadow", file(b"of the image, not of the host")),
    ]);
    let (layer, remarks) = taken(&[(Origin::Shim, &bad)]);
    insta::assert_snapshot!(shown(layer.tree()), @r#"/lib/firmware/etc/shadow "of the image, not of the host""#);
    insta::assert_debug_snapshot!(remarks.left_out, @r#"
    [
        "all, a link to a directory that holds lib/firmware",
        "disk",
        "etc/null",
        "lib, a link to a directory that holds lib/firmware",
        "pipe",
        "self, a link to a directory that holds lib/firmware",
    ]
    "#);
}

#[test]
fn a_bomb_is_refused_when_it_has_grown_too_big() {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let cx = sandbox.cx();
    let bomb = zstd::bulk::compress(&vec![0; 300 << 20], 1).unwrap();
    assert!(bomb.len() < 1 << 20);
    let tree = root(&[("lib/firmware/bomb.bin.zst", file(&bomb))]);
    let unpacker = Unpacker::new(&cx).unwrap();
    let error = firmware::take(&tree, Origin::Shim, &unpacker, &mut Layer::new(), &mut Remarks::default());
    let error = crate::examine::chain(&error.unwrap_err());
    insta::assert_snapshot!(error, @"cannot unpack `/lib/firmware/bomb.bin.zst`: it unpacks to more than 268435456 bytes");
}

#[test]
fn options_in_etc_mask_those_in_lib() {
    let recovery = root(&[
        ("lib/modprobe.d/cros.conf", file(b"lib\n")),
        ("etc/modprobe.d/cros.conf", file(b"etc\n")),
        ("lib/modprobe.d/only.conf", link("/usr/share/only.conf")),
        ("usr/share/only.conf", file(b"only\n")),
        ("lib/modprobe.d/README", file(b"not read\n")),
    ]);
    let mut layer = Layer::new();
    insta::assert_debug_snapshot!(modprobe::take(&recovery, &mut layer), @r#"
    [
        "lib/modprobe.d/cros.conf is masked by etc/modprobe.d/cros.conf",
    ]
    "#);
    insta::assert_snapshot!(shown(layer.tree()), @r#"
    /lib/modprobe.d/cros.conf "etc\n"
    /lib/modprobe.d/only.conf "only\n"
    "#);
}

#[test]
fn modules_of_another_kernel_are_an_error() {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let cx = sandbox.cx();
    let unpacker = Unpacker::new(&cx).unwrap();
    let take = |tree: &Tree| {
        let error = modules::take(&cx, tree, "5.4.1", &unpacker, &mut Layer::new()).err().unwrap();
        crate::examine::chain(&error)
    };
    let other =
        root(&[("lib/modules/4.14.0/kernel/a.ko", file(b"")), ("lib/modules/6.1/kernel/a.ko", file(b""))]);
    insta::assert_snapshot!(take(&other), @"the shim has no `lib/modules/5.4.1`, the modules of its kernel: it has `4.14.0`, `6.1`; `modules = false` takes none");
    insta::assert_snapshot!(take(&root(&[("etc/x", file(b""))])), @"the shim has no `lib/modules/5.4.1`, the modules of its kernel: it has none at all; `modules = false` takes none");
    let none = root(&[("lib/modules/5.4.1/kernel/a.ko", file(b"not ELF"))]);
    insta::assert_snapshot!(take(&none), @"`/lib/modules/5.4.1/kernel/a.ko` is no module of kernel 5.4.1: it is not an ELF file");
    let cut = root(&[("lib/modules/5.4.1/kernel/a.ko.gz", file(&gzip(b"x")[..12]))]);
    insta::assert_snapshot!(take(&cut), @"cannot unpack `/lib/modules/5.4.1/kernel/a.ko.gz`: incomplete deflate stream");
}

use std::{collections::BTreeMap, sync::Arc};

use bootway_exec::{Cmd, Sandbox, SystemRunner, run};
use camino::Utf8PathBuf;
use proptest::prelude::*;

use super::*;

const MIB: u64 = 1 << 20;

fn node(kind: NodeKind) -> Node {
    Node { mode: 0o755, uid: 1000, gid: 70_000, xattrs: BTreeMap::new(), kind }
}

fn file(bytes: Vec<u8>) -> NodeKind {
    NodeKind::File(Content::Bytes(Arc::from(bytes)))
}

fn tree(files: Vec<(String, NodeKind)>) -> Tree {
    let mut nodes = BTreeMap::from([(TreePath::root(), node(NodeKind::Directory))]);
    for (path, kind) in files {
        let path: TreePath = path.parse().unwrap();
        let mut parent = path.parent();
        while let Some(dir) = parent {
            parent = dir.parent();
            nodes.entry(dir).or_insert_with(|| node(NodeKind::Directory));
        }
        nodes.insert(path, node(kind));
    }
    Tree { nodes }
}

fn options(extents: bool) -> Options {
    Options { uuid: [0x42; 16], label: "test".to_owned(), epoch: 1_735_689_600, extents }
}

fn written(sandbox: &Sandbox<'_>, tree: &Tree, size: u64, extents: bool) -> Utf8PathBuf {
    let ext2 = Ext2::plan(tree, size, least(tree, 4096).unwrap(), &options(extents)).unwrap();
    let path = sandbox.root().join("ext2.img");
    let cx = sandbox.cx();
    let mut sink = Sink::create(&cx, &path, size, ext2.written()).unwrap();
    ext2.write(&mut sink).unwrap();
    sink.finish().unwrap();
    path
}

fn fsck(sandbox: &Sandbox<'_>, image: &Utf8PathBuf) -> Result<(), String> {
    let checked = run(&sandbox.cx(), &Cmd::user("e2fsck").args(["-fn", image.as_str()]));
    checked
        .map(drop)
        .map_err(|error| format!("{error} (apt-get install e2fsprogs)\n{}", sandbox.lines().join("\n")))
}

fn debugfs(sandbox: &Sandbox<'_>, image: &Utf8PathBuf, ask: &str) -> String {
    let output = run(&sandbox.cx(), &Cmd::user("debugfs").args(["-R", ask, image.as_str()])).unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// What `setfacl -m g:4:rx` makes of mode 0755, as e2fsprogs shows it: zeros where nobody is named.
const ACL: [u8; 44] = [
    2, 0, 0, 0, //
    1, 0, 7, 0, 0, 0, 0, 0, //
    4, 0, 5, 0, 0, 0, 0, 0, //
    8, 0, 5, 0, 4, 0, 0, 0, //
    16, 0, 5, 0, 0, 0, 0, 0, //
    32, 0, 5, 0, 0, 0, 0, 0,
];

/// One of everything.
fn everything() -> Tree {
    let to = || "usr/bin/busybox".parse().unwrap();
    let mut tree = tree(vec![
        ("usr/bin/busybox".to_owned(), file(vec![1; 900_000])),
        ("usr/bin/sh".to_owned(), NodeKind::HardLink { to: to() }),
        ("var/big".to_owned(), file(vec![2; 6 << 20])),
        ("var/empty".to_owned(), file(Vec::new())),
        ("bin".to_owned(), NodeKind::Symlink { target: "usr/bin".to_owned() }),
        ("long".to_owned(), NodeKind::Symlink { target: "x".repeat(300) }),
        ("dev/console".to_owned(), NodeKind::CharDevice { major: 5, minor: 1 }),
        ("dev/loop300".to_owned(), NodeKind::BlockDevice { major: 7, minor: 300 }),
        ("run/fifo".to_owned(), NodeKind::Fifo),
        ("run/socket".to_owned(), NodeKind::Socket),
    ]);
    let attributed = tree.nodes.get_mut(&to()).unwrap();
    attributed.xattrs.insert("user.comment".to_owned(), b"hello".to_vec());
    attributed.xattrs.insert("system.posix_acl_access".to_owned(), ACL.to_vec());
    attributed.xattrs.insert(
        "security.capability".to_owned(),
        vec![1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    );
    tree
}

#[test]
fn e2fsck_finds_nothing_wrong_with_one_of_everything() {
    let runner = SystemRunner::default();
    let tree = everything();
    for (size, extents) in [(least(&tree, 4096).unwrap(), false), (64 * MIB, false), (300 * MIB, true)] {
        let sandbox = Sandbox::new(&runner);
        let image = written(&sandbox, &tree, size, extents);
        fsck(&sandbox, &image).unwrap();
        let out = sandbox.root().join("dumped");
        debugfs(&sandbox, &image, &format!("dump /usr/bin/sh {out}"));
        assert_eq!(fs_err::read(&out).unwrap(), vec![1; 900_000]);
        debugfs(&sandbox, &image, &format!("dump /var/big {out}"));
        assert_eq!(fs_err::read(&out).unwrap(), vec![2; 6 << 20]);
        let attributes = debugfs(&sandbox, &image, "ea_list /usr/bin/busybox");
        assert!(
            attributes.contains("user.comment (5) = \"hello\"") && attributes.contains("security.capability"),
            "{attributes}"
        );
        debugfs(&sandbox, &image, &format!("ea_get -f {out} /usr/bin/busybox system.posix_acl_access"));
        assert_eq!(fs_err::read(&out).unwrap(), ACL);
        let stat = debugfs(&sandbox, &image, "stat /dev/loop300");
        assert!(
            stat.contains("Device major/minor number: 07:300") && stat.contains("Group: 70000"),
            "{stat}"
        );
    }
}

#[test]
fn a_partition_of_one_mib_holds_an_empty_ext4() {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let image = written(&sandbox, &tree(Vec::new()), MIB, true);
    fsck(&sandbox, &image).unwrap();
    let kind =
        run(&sandbox.cx(), &Cmd::user("blkid").args(["-p", "-o", "value", "-s", "TYPE", image.as_str()]))
            .unwrap();
    assert_eq!(kind.stdout, b"ext4\n");
}

#[test]
fn counting_maps_is_taking_them() {
    let geometry = Geometry::of(16 << 30, 16).unwrap();
    for count in [
        0,
        1,
        12,
        13,
        12 + 1024,
        13 + 1024,
        12 + 1024 + 2048,
        12 + 1024 + 1024 * 1024,
        13 + 1024 + 1024 * 1024,
        2_000_000,
    ] {
        let mut allocator = Allocator::new(&geometry);
        let mapped = Mapped::take(&mut allocator, count);
        assert_eq!((mapped.data.len() + mapped.maps.len()) as u64, inode::with_maps(count), "{count}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn fit_is_the_least_and_every_tree_is_sound(
        files in proptest::collection::btree_map("[a-d]{1,3}(/[a-z]{1,60}){1,2}x", 0_usize..300_000, 0..120), extra in 0_u64..200,
    ) {
        let tree = tree(files.iter().map(|(path, len)| (path.clone(), file(vec![9; *len]))).collect());
        let size = least(&tree, 4096).unwrap();
        prop_assert!(Ext2::plan(&tree, size - 4096, size, &options(false)).is_err());
        let runner = SystemRunner::default();
        let sandbox = Sandbox::new(&runner);
        let image = written(&sandbox, &tree, size + extra * MIB, false);
        prop_assert_eq!(fsck(&sandbox, &image), Ok(()));
    }
}

//! Witnesses: what `mke2fs` made of a directory, what the kernel wrote and shows, and what our own writers make.

use std::{
    collections::BTreeMap,
    io::Read,
    os::unix::fs::{FileExt, symlink},
};

use bootway_exec::{Cmd, Sandbox, SystemRunner, run};
use bootway_plan::step::Owners;
use camino::Utf8PathBuf;

use super::*;
use crate::{
    Content, Node, NodeKind, Tree,
    fs::{ext2, ext4},
    sink::Sink,
    tree::load_directory,
};

mod damage;
mod hostile;

const MIB: u64 = 1 << 20;

/// Runs a program that must be there and succeed; what it says.
fn tool(sandbox: &Sandbox<'_>, program: &str, args: &[&str]) -> String {
    let output = run(&sandbox.cx(), &Cmd::user(program).args(args.iter().copied()));
    let output = output.unwrap_or_else(|error| {
        panic!("{error}: {}\n(apt-get install e2fsprogs mount acl; run as root)", sandbox.lines().join("\n"))
    });
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A file system that `mke2fs` made, with what is in `source`.
fn mke2fs(sandbox: &Sandbox<'_>, source: Option<&Utf8Path>, options: &str, size: &str) -> Utf8PathBuf {
    let image = sandbox.root().join(format!("{}.img", options.replace([' ', ',', '^', '='], "_")));
    let mut args = vec!["-q", "-F"];
    args.extend(options.split_whitespace());
    if let Some(source) = source {
        args.extend(["-d", source.as_str()]);
    }
    args.extend([image.as_str(), size]);
    tool(sandbox, "mke2fs", &args);
    image
}

/// `len` bytes, of which no block is like another.
fn bytes(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..len).map(next).collect()
}

fn set_xattr(path: &Utf8Path, name: &str, value: &[u8]) {
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::lsetxattr(path.as_std_path(), name, value, flags).unwrap();
}

/// One of everything, as files of the host.
fn populate(dir: &Utf8Path) {
    let at = |path: &str| dir.join(path);
    for path in ["bin", "etc/init.d", "dev", "many", "deep/er/still", "acl"] {
        fs_err::create_dir_all(at(path)).unwrap();
    }
    for (path, len) in
        [("bin/tool", 300_000), ("etc/empty", 0), ("etc/tiny", 12), ("etc/inline", 150), ("block", 4096)]
    {
        fs_err::write(at(path), bytes(len, len as u64)).unwrap();
    }
    let sparse = fs_err::File::create(at("sparse")).unwrap();
    for place in [5_u64, 300 << 10, 65 << 20] {
        sparse.file().write_all_at(&bytes(5000, place), place).unwrap();
    }
    sparse.file().write_all_at(b"the end", 66 * MIB).unwrap();
    fs_err::File::create(at("hole")).unwrap().set_len(1_000_001).unwrap();
    for n in 0..700 {
        fs_err::write(at(&format!("many/a rather long name for a file, {n:04}")), format!("{n}")).unwrap();
    }
    fs_err::hard_link(at("bin/tool"), at("deep/er/still/the same")).unwrap();
    fs_err::hard_link(at("bin/tool"), at("also")).unwrap();
    symlink("tool", at("bin/link")).unwrap();
    symlink("/etc/../../out", at("out")).unwrap();
    symlink("x/".repeat(200), at("long")).unwrap();
    symlink("y".repeat(59), at("fifty-nine")).unwrap();
    symlink("y".repeat(60), at("sixty")).unwrap();
    fs_err::write(at("ümläut 名"), "name").unwrap();
    for (path, kind, major, minor) in [
        ("dev/console", rustix::fs::FileType::CharacterDevice, 5, 1),
        ("dev/loop300", rustix::fs::FileType::BlockDevice, 7, 300),
        ("dev/pipe", rustix::fs::FileType::Fifo, 0, 0),
    ] {
        let device = rustix::fs::makedev(major, minor);
        let mode = rustix::fs::Mode::from(0o640);
        rustix::fs::mknodat(rustix::fs::CWD, at(path).as_std_path(), kind, mode, device).unwrap();
    }
    for (path, uid, gid) in [("etc/tiny", 70_000, 4_000_000_000), ("etc/init.d", 1000, 100), ("long", 7, 8)] {
        std::os::unix::fs::lchown(at(path), Some(uid), Some(gid)).unwrap();
    }
    for (path, mode) in [("bin/tool", 0o4755), ("etc/empty", 0o000), ("deep", 0o1777)] {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        fs_err::set_permissions(at(path), mode).unwrap();
    }
    set_xattr(&at("etc/tiny"), "user.comment", b"short");
    set_xattr(&at("etc/inline"), "user.comment", &bytes(90, 3));
    set_xattr(&at("etc/inline"), "user.other", b"");
    set_xattr(&at("block"), "user.much", &bytes(700, 4));
    set_xattr(&at("bin"), "trusted.of-a-directory", &bytes(33, 5));
    set_xattr(
        &at("bin/tool"),
        "security.capability",
        &[1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    );
}

/// Two trees are the same, to the last byte; `lost+found` is nobody's.
#[track_caller]
fn assert_same(expected: &Tree, found: &Tree, of: &str) {
    let lost = TreePath::root().join("lost+found").unwrap();
    let names = |tree: &Tree| -> Vec<String> {
        tree.nodes.keys().filter(|path| **path != lost).map(ToString::to_string).collect()
    };
    assert_eq!(names(expected), names(found), "{of}");
    for (path, node) in expected.nodes.iter().filter(|(path, _)| **path != lost) {
        let other = &found.nodes[path];
        let mode =
            |node: &Node| if matches!(node.kind, NodeKind::Symlink { .. }) { 0o777 } else { node.mode };
        let facts = |node: &Node| (mode(node), node.uid, node.gid, node.xattrs.clone());
        if !path.is_root() {
            assert_eq!(facts(node), facts(other), "{of}: {path}");
        }
        match (&node.kind, &other.kind) {
            (NodeKind::File(one), NodeKind::File(other)) => {
                assert_content(one, other, &format!("{of}: {path}"));
            }
            (one, other) => assert_eq!(one, other, "{of}: {path}"),
        }
    }
}

#[track_caller]
fn assert_content(one: &Content, other: &Content, of: &str) {
    assert_eq!(one.size(), other.size(), "{of}");
    let (mut from, mut with) = (one.open().unwrap(), other.open().unwrap());
    let (mut left, mut right) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    let mut todo = one.size();
    while todo > 0 {
        let len = todo.min(1 << 20) as usize;
        from.read_exact(&mut left[..len]).unwrap();
        with.read_exact(&mut right[..len]).unwrap();
        assert!(left[..len] == right[..len], "{of}, in the MiB that ends {todo} before the end");
        todo -= len as u64;
    }
    assert_eq!(with.read(&mut right).unwrap(), 0, "{of}");
}

fn opened(image: &Utf8Path) -> ExtReader {
    ExtReader::open(image, 0, u64::MAX).unwrap_or_else(|error| panic!("{image}: {error}"))
}

fn tree_of(image: &Utf8Path) -> Tree {
    let (tree, left) =
        opened(image).tree(&Cancel::default()).unwrap_or_else(|error| panic!("{image}: {error}"));
    assert_eq!(left, Vec::<String>::new(), "{image}");
    tree
}

/// A mounted image; unmounted when it is dropped.
struct Mounted(Utf8PathBuf);

impl Mounted {
    fn new(sandbox: &Sandbox<'_>, image: &Utf8Path, options: &str) -> Self {
        let place = sandbox.root().join("mounted");
        fs_err::create_dir_all(&place).unwrap();
        tool(sandbox, "mount", &["-o", options, image.as_str(), place.as_str()]);
        Self(place)
    }

    fn unmount(self) {
        drop(self);
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let runner = SystemRunner::default();
        let sandbox = Sandbox::new(&runner);
        tool(&sandbox, "umount", &[self.0.as_str()]);
    }
}

/// What `mke2fs` is asked for, and whether a kernel with pages of 4 KiB mounts it.
const SETS: [(&str, bool); 24] = [
    ("-t ext2 -b 1024", true),
    ("-t ext2 -b 2048", true),
    ("-t ext2 -b 4096 -I 128", true),
    ("-t ext2 -b 1024 -O ^sparse_super,^resize_inode,^filetype", true),
    ("-t ext3 -b 1024", true),
    ("-t ext3 -b 4096 -O dir_index", true),
    ("-t ext4 -b 1024", true),
    ("-t ext4 -b 2048 -I 512", true),
    ("-t ext4 -b 4096", true),
    ("-t ext4 -O ^extents,^64bit", true),
    ("-t ext4 -O ^metadata_csum,uninit_bg", true),
    ("-t ext4 -O ^metadata_csum,^64bit,^uninit_bg -I 128", true),
    ("-t ext4 -O metadata_csum_seed,orphan_file", false),
    ("-t ext4 -O inline_data -I 256", true),
    ("-t ext4 -O inline_data -I 1024 -b 1024", true),
    ("-t ext4 -O ^has_journal,64bit,meta_bg,^resize_inode -b 1024", true),
    ("-t ext4 -O ^has_journal,meta_bg,^resize_inode,^64bit -b 1024 -g 1024", true),
    ("-t ext4 -O bigalloc -C 16384", true),
    ("-t ext4 -O bigalloc -b 1024 -C 4096", true),
    ("-t ext4 -O ea_inode,large_dir", true),
    ("-t ext4 -O sparse_super2,^resize_inode -b 1024 -g 512", true),
    ("-t ext4 -O encrypt,casefold,project,quota,verity", false),
    ("-t ext4 -b 16384", false),
    ("-t ext4 -b 65536", false),
];

#[test]
fn what_mke2fs_makes_of_a_directory_is_that_directory_in_every_feature_set() {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let source = sandbox.root().join("source");
    populate(&source);
    let expected = load_directory(&source, Owners::Keep, &Cancel::default()).unwrap();
    for (options, _) in SETS {
        let image = mke2fs(&sandbox, Some(&source), options, "64M");
        assert_same(&expected, &tree_of(&image), options);
        fs_err::remove_file(image).unwrap();
    }
}

#[test]
fn the_kernel_shows_the_same_files() {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let source = sandbox.root().join("source");
    populate(&source);
    for (options, _) in SETS.into_iter().filter(|(_, mounts)| *mounts) {
        let image = mke2fs(&sandbox, Some(&source), options, "64M");
        let mounted = Mounted::new(&sandbox, &image, "loop,ro");
        let shown = load_directory(&mounted.0, Owners::Keep, &Cancel::default()).unwrap();
        assert_same(&shown, &tree_of(&image), options);
        mounted.unmount();
        fs_err::remove_file(image).unwrap();
    }
}

#[test]
fn what_the_kernel_wrote_is_read() {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    for (options, _) in SETS.into_iter().filter(|(_, mounts)| *mounts) {
        let image = mke2fs(&sandbox, None, options, "64M");
        let mounted = Mounted::new(&sandbox, &image, "loop");
        populate(&mounted.0);
        // Blocks that were never written, holes that were, and a file in many pieces.
        let at = |name: &str| mounted.0.join(name);
        let file = fs_err::File::create(at("allocated")).unwrap();
        file.file().write_all_at(b"begin", 0).unwrap();
        if rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, 400_000).is_ok() {
            file.file().write_all_at(b"middle", 200_000).unwrap();
        }
        let tail = fs_err::File::create(at("tail")).unwrap();
        tail.file().write_all_at(b"and nothing behind", 0).unwrap();
        tail.set_len(3_333_333).unwrap();
        let [one, two] = ["one", "two"].map(|name| fs_err::File::create(at(name)).unwrap());
        for n in 0..400_u64 {
            one.file().write_all_at(&bytes(1024, n), n * 3 * 1024).unwrap();
            two.file().write_all_at(&bytes(1024, n + 1), n * 1024).unwrap();
            if n % 40 == 0 {
                one.sync_all().unwrap();
            }
        }
        let acl = [2, 0, 0, 0, 1, 0, 7, 0, 255, 255, 255, 255, 4, 0, 5, 0, 255, 255, 255, 255];
        let acl = [&acl[..], &[8, 0, 5, 0, 4, 0, 0, 0, 16, 0, 5, 0, 255, 255, 255, 255]].concat();
        let acl = [&acl[..], &[32, 0, 5, 0, 255, 255, 255, 255]].concat();
        set_xattr(&at("acl"), "system.posix_acl_default", &acl);
        set_xattr(&at("one"), "system.posix_acl_access", &acl);
        for n in 0..300 {
            fs_err::remove_file(at(&format!("many/a rather long name for a file, {:04}", n * 2))).unwrap();
        }
        drop((file, tail, one, two));
        let shown = load_directory(&mounted.0, Owners::Keep, &Cancel::default()).unwrap();
        // What is in the files is compared with what is in memory: the directory is gone then.
        let shown = in_memory(shown);
        mounted.unmount();
        assert_same(&shown, &tree_of(&image), options);
        fs_err::remove_file(image).unwrap();
    }
}

/// The same with all contents in memory; of big ones only what can be compared.
fn in_memory(mut tree: Tree) -> Tree {
    for node in tree.nodes.values_mut() {
        if let NodeKind::File(content) = &node.kind {
            let mut bytes = Vec::new();
            content.open().unwrap().read_to_end(&mut bytes).unwrap();
            node.kind = NodeKind::File(Content::Bytes(Arc::from(bytes)));
        }
    }
    tree
}

/// One of everything that our writers can write.
fn everything() -> Tree {
    let file = |len| NodeKind::File(Content::Bytes(Arc::from(bytes(len, len as u64))));
    let mut nodes = BTreeMap::from([(TreePath::root(), Node::new(0o755, NodeKind::Directory))]);
    let mut add = |path: &str, kind: NodeKind| {
        let node = Node { uid: 70_000, gid: 3, ..Node::new(0o750, kind) };
        nodes.insert(path.parse().unwrap(), node);
    };
    for dir in ["usr", "usr/bin", "dev", "many"] {
        add(dir, NodeKind::Directory);
    }
    add("usr/bin/tool", file(900_000));
    add("usr/bin/zsh", NodeKind::HardLink { to: "usr/bin/tool".parse().unwrap() });
    add("empty", file(0));
    add("big", file(6 << 20));
    add("bin", NodeKind::Symlink { target: "usr/bin".to_owned() });
    add("long", NodeKind::Symlink { target: "x".repeat(300) });
    add("dev/console", NodeKind::CharDevice { major: 5, minor: 1 });
    add("dev/loop300", NodeKind::BlockDevice { major: 7, minor: 300 });
    add("dev/pipe", NodeKind::Fifo);
    add("dev/log", NodeKind::Socket);
    for n in 0..600 {
        add(&format!("many/{n:0100}"), file(n % 7));
    }
    let acl = [2, 0, 0, 0, 1, 0, 7, 0, 255, 255, 255, 255, 8, 0, 5, 0, 4, 0, 0, 0];
    let xattrs = [("user.it".to_owned(), vec![1; 80]), ("system.posix_acl_access".to_owned(), acl.to_vec())];
    nodes.get_mut(&"usr/bin/tool".parse().unwrap()).unwrap().xattrs = xattrs.clone().into();
    nodes.get_mut(&"usr/bin/zsh".parse().unwrap()).unwrap().xattrs = xattrs.into();
    Tree { nodes }
}

#[test]
fn what_our_own_writers_write_is_read() {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let cx = sandbox.cx();
    let tree = everything();
    let options = |extents| ext2::Options { uuid: [7; 16], label: "own".to_owned(), epoch: 1, extents };
    for extents in [false, true] {
        let path = sandbox.root().join(format!("ext2-{extents}"));
        let least = ext2::least(&tree, 4096).unwrap();
        let ext2 = ext2::Ext2::plan(&tree, least, least, &options(extents)).unwrap();
        let mut sink = Sink::create(&cx, &path, least, ext2.written()).unwrap();
        ext2.write(&mut sink).unwrap();
        sink.finish().unwrap();
        assert_same(&tree, &tree_of(&path), "our own ext2");
    }
    let ext4 = ext4::Options { uuid: [7; 16], label: "own".to_owned(), epoch: 1 };
    let ext4 = ext4::fit(&tree, &ext4, MIB).unwrap();
    let path = sandbox.root().join("ext4");
    let mut sink = Sink::create(&cx, &path, ext4.size(), ext4.written()).unwrap();
    ext4.write(&mut sink).unwrap();
    sink.finish().unwrap();
    assert_same(&tree, &tree_of(&path), "mkext4");
}

#[test]
fn the_byte_that_forbids_writing_makes_no_difference_and_is_told() {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let source = sandbox.root().join("source");
    fs_err::create_dir(&source).unwrap();
    fs_err::write(source.join("lsb-release"), "CHROMEOS_RELEASE_BOARD=x\n").unwrap();
    for options in ["-t ext2 -L ROOT-A", "-t ext4 -L ROOT-A"] {
        let image = mke2fs(&sandbox, Some(&source), options, "4M");
        let before = opened(&image).facts().clone();
        assert!(!before.read_only_bit);
        fs_err::OpenOptions::new()
            .write(true)
            .open(&image)
            .unwrap()
            .file()
            .write_all_at(&[0xff], 0x467)
            .unwrap();
        let reader = opened(&image);
        assert_eq!(*reader.facts(), ExtFacts { read_only_bit: true, ..before });
        assert_eq!(reader.facts().label, "ROOT-A");
        let (tree, left) = reader.tree(&Cancel::default()).unwrap();
        assert_eq!((tree.nodes.len(), left), (3, vec![]));
        let read = reader.read(&"lsb-release".parse().unwrap(), 100).unwrap();
        assert_eq!(read, b"CHROMEOS_RELEASE_BOARD=x\n");
    }
}

#[test]
fn a_file_is_found_through_links_that_never_lead_out() {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let source = sandbox.root().join("source");
    fs_err::create_dir_all(source.join("usr/lib")).unwrap();
    fs_err::write(source.join("usr/lib/file"), "inside").unwrap();
    for (target, link) in [
        ("/usr/lib", "lib"),
        ("../../../../usr/./lib/file", "usr/up"),
        ("loop", "loop"),
        ("/../../usr/lib/../../lib/file", "all"),
    ] {
        symlink(target, source.join(link)).unwrap();
    }
    let reader = opened(&mke2fs(&sandbox, Some(&source), "-t ext4 -O inline_data", "4M"));
    let read = |path: &str, limit| reader.read(&path.parse().unwrap(), limit);
    for path in ["usr/lib/file", "lib/file", "usr/up", "all"] {
        assert_eq!(read(path, 6).unwrap(), b"inside", "{path}");
    }
    let said = |path: &str| read(path, 5).unwrap_err().to_string();
    insta::assert_snapshot!(said("lib/file"), @"`/lib/file` has 6 bytes: at most 5 are read at once");
    insta::assert_snapshot!(said("lib"), @"`/lib` is no regular file that can be read");
    insta::assert_snapshot!(said("loop"), @"`/loop` is not there");
    insta::assert_snapshot!(said("usr/lib/file/x"), @"`/usr/lib/file/x` is not there");
    let names: Vec<_> =
        reader.list(&"lib".parse().unwrap()).unwrap().into_iter().map(|it| (it.name, it.size)).collect();
    assert_eq!(names, [("file".to_owned(), 6)]);
}

#[test]
fn names_that_are_not_utf_8_are_left_out_and_told() {
    use std::os::unix::ffi::OsStrExt;
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let source = sandbox.root().join("source");
    fs_err::create_dir_all(source.join("etc")).unwrap();
    let odd = std::ffi::OsStr::from_bytes(b"caf\xe9");
    fs_err::write(source.as_std_path().join("etc").join(odd), "").unwrap();
    symlink(odd, source.join("link")).unwrap();
    let reader = opened(&mke2fs(&sandbox, Some(&source), "-t ext4", "4M"));
    let (tree, mut left) = reader.tree(&Cancel::default()).unwrap();
    left.sort();
    insta::assert_snapshot!(left.join("\n"), @r"
    `/link`: it links to `caf\xe9`, which is not UTF-8
    `caf\xe9` in `/etc`: its name is not UTF-8
    ");
    assert_eq!(tree.nodes.len(), 3);
    assert_eq!(reader.listing().unwrap().nodes.len(), 5);
}

#[test]
fn what_cannot_be_read_is_refused_by_name_and_bit() {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let image = mke2fs(&sandbox, None, "-t ext2 -b 1024", "1M");
    let file = fs_err::OpenOptions::new().write(true).open(&image).unwrap();
    file.file().write_all_at(&(0x2_u32 | 0x1 | 0x8 | 0x4000_0000).to_le_bytes(), 1024 + 96).unwrap();
    let error = ExtReader::open(&image, 0, u64::MAX).unwrap_err();
    insta::assert_snapshot!(error, @"the superblock at byte 1120: it needs `compression (incompatible, 0x1)`, `journal_dev (incompatible, 0x8)`, `FEATURE_I30 (incompatible, 0x40000000)`, which cannot be read here");
    file.file().write_all_at(&0x6_u32.to_le_bytes(), 1024 + 96).unwrap();
    let reader = opened(&image);
    assert!(reader.facts().needs_recovery);
    let (_, left) = reader.tree(&Cancel::default()).unwrap();
    insta::assert_snapshot!(left.join("\n"), @"its journal has changes that were not played back: files are as they are without them");
    insta::assert_snapshot!(reader.facts().features.join(" "), @"ext_attr resize_inode dir_index filetype needs_recovery sparse_super large_file");
}

#[test]
fn a_walk_stops_when_asked() {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let reader = opened(&mke2fs(&sandbox, None, "-t ext4", "4M"));
    let cancel = Cancel::default();
    cancel.cancel();
    assert!(matches!(reader.tree(&cancel), Err(ExtError::Cancelled)));
}

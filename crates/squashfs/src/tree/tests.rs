use std::{
    fs::File,
    ops::ControlFlow,
    os::unix::{fs::MetadataExt, net::UnixListener},
    path::Path,
};

use fs_err::os::unix::fs::symlink;
use rustix::fs::{
    CWD, FileType, Mode, Timespec, Timestamps, XattrFlags, lsetxattr, makedev, mknodat, utimensat,
};

use super::*;

/// Every path of a tree with what it is, for snapshots.
pub(super) fn listing(tree: &Tree) -> String {
    let mut text = String::new();
    let mut walk = tree.walk();
    while let Some((path, id)) = walk.next() {
        let node = tree.node(id);
        let what = match &node.kind {
            Kind::Directory(_) => "directory".to_owned(),
            Kind::File(content) => format!("file of {}", content.size()),
            Kind::Symlink(target) => format!("-> {}", String::from_utf8_lossy(target)),
            Kind::CharDevice { major, minor } => format!("char {major}:{minor}"),
            Kind::BlockDevice { major, minor } => format!("block {major}:{minor}"),
            Kind::Fifo => "fifo".to_owned(),
            Kind::Socket => "socket".to_owned(),
        };
        let path = if path.is_empty() { "/".into() } else { String::from_utf8_lossy(path) };
        let Node { mode, uid, gid, mtime, .. } = node;
        text += &format!("{path}: {what} {mode:04o} {uid}:{gid} @{mtime} x{}", tree.links(id));
        for (name, value) in &node.xattrs {
            text += &format!(" {}={}", String::from_utf8_lossy(name), value.escape_ascii());
        }
        text.push('\n');
    }
    for note in tree.notes() {
        text += &format!("note: {note}\n");
    }
    text
}

fn message(result: Result<impl Sized, TreeError>) -> String {
    result.err().unwrap().to_string()
}

#[test]
fn missing_directories_are_made_like_the_root() {
    let mut tree = Tree::new(Node::directory(0o700).owner(5, 6).mtime(7)).unwrap();
    tree.insert("/a//b/c/", Node::file(0o644, *b"xyz").mtime(1)).unwrap();
    tree.insert("a", Node::directory(0o711).xattr("user.k", "v")).unwrap();
    insta::assert_snapshot!(listing(&tree), @"
    /: directory 0700 5:6 @7 x3
    a: directory 0711 0:0 @0 x3 user.k=v
    a/b: directory 0755 5:6 @7 x2
    a/b/c: file of 3 0644 0:0 @1 x1
    ");
}

#[test]
fn a_later_file_replaces_an_earlier_one_and_not_its_other_names() {
    let mut tree = Tree::default();
    let old = tree.insert("a", Node::file(0o644, *b"old")).unwrap();
    tree.link("b", old).unwrap();
    tree.link("b", old).unwrap();
    assert_eq!(tree.links(old), 2);
    let new = tree.insert("a", Node::file(0o600, *b"newer")).unwrap();
    assert_eq!((tree.links(old), tree.links(new)), (1, 1));
    tree.link("b", new).unwrap();
    assert_eq!((tree.links(old), tree.links(new)), (0, 2));
    tree.insert("", Node::directory(0o500)).unwrap();
    insta::assert_snapshot!(listing(&tree), @"
    /: directory 0500 0:0 @0 x2
    a: file of 5 0600 0:0 @0 x2
    b: file of 5 0600 0:0 @0 x2
    ");
    assert_eq!(tree.counts(), Counts { names: 3, files: 2, directories: 1, regular: 1, bytes: 5 });
}

#[test]
fn a_walk_is_in_the_order_of_bytes_within_each_directory() {
    let mut tree = Tree::default();
    for path in ["b/x", "a-b", "a/z", "a/b/c", "a.b", "\u{e9}", "A"] {
        tree.insert(path, Node::new(0o600, Kind::Fifo)).unwrap();
    }
    let mut walk = tree.walk();
    let mut paths = Vec::new();
    while let Some((path, id)) = walk.next() {
        assert_eq!(tree.find(path), Some(id));
        paths.push(String::from_utf8(path.to_vec()).unwrap());
    }
    assert_eq!(paths, ["", "A", "a", "a/b", "a/b/c", "a/z", "a-b", "a.b", "b", "b/x", "\u{e9}"]);
    assert_eq!(tree.find("a/b/c/d"), None);
}

#[test]
fn what_the_format_cannot_hold_is_refused_with_path_limit_and_remedy() {
    let mut tree = Tree::default();
    let long = "n".repeat(257);
    let messages = [
        tree.insert(&long, Node::directory(0o755)),
        tree.insert("a/../b", Node::directory(0o755)),
        tree.insert("a/./b", Node::directory(0o755)),
        tree.insert(b"a\0b", Node::directory(0o755)),
        tree.insert("link", Node::symlink("")),
        tree.insert("link", Node::symlink(vec![b'x'; 4096])),
        tree.insert("dev", Node::new(0o600, Kind::CharDevice { major: 4096, minor: 0 })),
        tree.insert("dev", Node::new(0o600, Kind::BlockDevice { major: 0, minor: 1 << 20 })),
        tree.insert("file", Node::new(0o644, Kind::File(Content::Streamed { size: (1 << 44) + 1 }))),
        tree.insert("file", Node::file(0o100_644, *b"")),
        tree.insert("file", Node::file(0o644, *b"").xattr("system.posix_acl_access", "")),
        tree.insert("file", Node::file(0o644, *b"").xattr("user.", "")),
        tree.insert("file", Node::file(0o644, *b"").xattr("user.a", vec![0; 65_537])),
        tree.insert("file", Node::file(0o644, *b"").xattr(format!("user.{}", "n".repeat(251)), "")),
        tree.insert("", Node::symlink("a")),
        tree.insert(
            "full",
            Node::new(0o755, Kind::Directory(BTreeMap::from([((*b"x").into(), Tree::ROOT)]))),
        ),
        limits::next_id(b"last", u32::MAX as usize - 1),
    ]
    .map(message);
    insta::assert_snapshot!(messages.join("\n"), @r"
    the name of `nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn…nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn` has 257 bytes, squashfs holds 256: rename it or leave it out
    `a/../b` has `..` in it, which is no name of a file: rename it
    `a/./b` has `.` in it, which is no name of a file: rename it
    `a\u{0}b` has a NUL in it, which is no name of a file: rename it
    the symbolic link `link` says 0 bytes, squashfs holds 1 to 4095: make it shorter or leave it out
    the symbolic link `link` says 4096 bytes, squashfs holds 1 to 4095: make it shorter or leave it out
    the device `dev` is 4096:0, squashfs holds up to 4095:1048575: leave it out
    the device `dev` is 0:1048576, squashfs holds up to 4095:1048575: leave it out
    `file` has 17592186044417 bytes, which is more than the 17592186044416 that are taken here: leave it out
    the mode of `file` is 0o100644, squashfs holds 0 to 0o7777: give only permission bits
    `file` has the extended attribute `system.posix_acl_access`, squashfs holds `user.`, `trusted.` and `security.`: drop such attributes by a rule
    the extended attribute `user.` of `file` has a name of 5 and a value of 0 bytes, squashfs holds 255 and 65536: remove it
    the extended attribute `user.a` of `file` has a name of 6 and a value of 65537 bytes, squashfs holds 255 and 65536: remove it
    the extended attribute `user.nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn…nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn` of `file` has a name of 256 and a value of 0 bytes, squashfs holds 255 and 65536: remove it
    the root is not an empty directory: make it one and put files in by their paths
    `full` is a directory with files in it: put in directories empty, and take files out before it is replaced
    `last` is file number 4294967295, squashfs holds 4294967294: make two images
    ");
    assert_eq!(tree.counts().names, 2, "a directory on the way was made, and nothing else");
    tree.insert("n".repeat(256), Node::symlink(vec![b'x'; 4095])).unwrap();
    tree.insert("v", Node::file(0o7777, *b"").xattr("user.a", vec![0; 65_536])).unwrap();
    tree.insert("d", Node::new(0, Kind::CharDevice { major: 4095, minor: (1 << 20) - 1 })).unwrap();
}

#[test]
fn nothing_makes_way_for_what_it_holds() {
    let mut tree = Tree::default();
    let file = tree.insert("dir/file", Node::file(0o644, *b"")).unwrap();
    let messages = [
        tree.insert("dir", Node::symlink("x")).map(drop),
        tree.insert("dir/file/more", Node::symlink("x")).map(drop),
        tree.link("dir", file),
        tree.link("other", Tree::ROOT),
        tree.link("/", file),
        Tree::new(Node::symlink("x")).map(drop),
    ]
    .map(message);
    insta::assert_snapshot!(messages.join("\n"), @"
    `dir` is a directory with files in it: put in directories empty, and take files out before it is replaced
    `dir/file/more` cannot be put into `file`, which is no directory: name the directory itself
    `dir` is a directory with files in it: put in directories empty, and take files out before it is replaced
    `other` cannot be a hard link to a directory: make it a symbolic link
    the root is not an empty directory: make it one and put files in by their paths
    the root is not an empty directory: make it one and put files in by their paths
    ");
    assert_eq!(tree.counts().names, 3);
}

#[test]
fn owners_and_groups_together_are_at_most_65_535() {
    let mut tree = Tree::default();
    for id in 0..65_535_u32 {
        tree.insert(format!("{}", id % 10), Node::symlink("x").owner(id, id)).unwrap();
    }
    insta::assert_snapshot!(message(tree.insert("one", Node::symlink("x").owner(0, 65_535))), @"`one` has the 65536th different owner or group, squashfs holds 65535: set owners by a rule");
}

/// A directory of the host with a file of every kind.
pub(super) fn every_kind(at: &Path) {
    let device = |name: &str, kind, number| {
        mknodat(CWD, at.join(name), kind, Mode::from_raw_mode(0o620), number)
            .expect("devices can be made: run this test as root");
    };
    fs_err::create_dir_all(at.join("dir/deeper")).unwrap();
    fs_err::write(at.join("dir/file"), "hello").unwrap();
    fs_err::hard_link(at.join("dir/file"), at.join("again")).unwrap();
    symlink("dir/file", at.join("link")).unwrap();
    device("char", FileType::CharacterDevice, makedev(4, 300));
    device("block", FileType::BlockDevice, makedev(259, 70_000));
    device("fifo", FileType::Fifo, 0);
    drop(UnixListener::bind(at.join("socket")).unwrap());
    let xattr = |name: &str, key: &str, value: &[u8]| {
        lsetxattr(at.join(name), key, value, XattrFlags::empty()).unwrap();
    };
    xattr("dir/file", "user.note", b"a\0b\n");
    xattr("link", "trusted.t", b"");
    xattr("char", "security.capability", &[1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    xattr("dir", "user.on-a-directory", b"x");
    let acl =
        [2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 4, 0, 1, 0, 0, 0, 4, 0, 4, 0, 255, 255, 255, 255];
    let acl = [&acl[..], &[16, 0, 4, 0, 255, 255, 255, 255, 32, 0, 4, 0, 255, 255, 255, 255]].concat();
    xattr("dir/file", "system.posix_acl_access", &acl);
    for name in ["dir/deeper", "dir/file", "dir", "link", "char", "block", "fifo", "socket", "."] {
        touch(&at.join(name), 1_000_000_000);
        rustix::fs::chownat(
            CWD,
            at.join(name),
            Some(rustix::fs::Uid::from_raw(1000)),
            Some(rustix::fs::Gid::from_raw(70_000)),
            rustix::fs::AtFlags::SYMLINK_NOFOLLOW,
        )
        .unwrap();
    }
    xattr("char", "security.capability", &[1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    for (name, mode) in [("dir/file", 0o664), ("dir", 0o1755), ("dir/deeper", 0o755), ("socket", 0o755)] {
        rustix::fs::chmod(at.join(name), Mode::from_raw_mode(mode)).unwrap();
    }
    rustix::fs::chmod(at, Mode::from_raw_mode(0o700)).unwrap();
}

fn touch(path: &Path, seconds: i64) {
    let time = Timespec { tv_sec: seconds, tv_nsec: 999_999_999 };
    let times = Timestamps { last_access: time, last_modification: time };
    utimensat(CWD, path, &times, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

pub(super) fn scan(at: &Path, rules: &Rules) -> Result<Tree, TreeError> {
    Tree::scan(at, rules, &mut Tree::unwatched())
}

#[test]
fn a_scan_finds_every_kind_of_file_and_all_that_is_known_of_it() {
    let dir = tempfile::tempdir().unwrap();
    every_kind(dir.path());
    insta::assert_snapshot!(listing(&scan(dir.path(), &Rules::default()).unwrap()), @r"
    /: directory 0700 1000:70000 @1000000000 x3
    again: file of 5 0664 1000:70000 @1000000000 x2 user.note=a\x00b\n
    block: block 259:70000 0600 1000:70000 @1000000000 x1
    char: char 4:300 0600 1000:70000 @1000000000 x1 security.capability=\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00
    dir: directory 1755 1000:70000 @1000000000 x3 user.on-a-directory=x
    dir/deeper: directory 0755 1000:70000 @1000000000 x2
    dir/file: file of 5 0664 1000:70000 @1000000000 x2 user.note=a\x00b\n
    fifo: fifo 0600 1000:70000 @1000000000 x1
    link: -> dir/file 0777 1000:70000 @1000000000 x1 trusted.t=
    socket: socket 0755 1000:70000 @1000000000 x1
    note: `again` loses the extended attribute `system.posix_acl_access`, which squashfs cannot hold
    ");
}

#[test]
fn rules_set_owners_modes_and_times_and_leave_out() {
    let dir = tempfile::tempdir().unwrap();
    every_kind(dir.path());
    let fifo = fs_err::symlink_metadata(dir.path().join("fifo")).unwrap();
    let rules = Rules {
        uid: Some(0),
        gid: Some(1),
        directories: Mask::set(0o755),
        files: Mask { keep: 0o7755, add: 0o004 },
        times: Times::AtMost(999_999_999),
        xattrs: Xattrs::None,
        exclude: Exclude::new(|path| path == b"dir/deeper" || path == b"char"),
        skip: [(fifo.dev(), fifo.ino())].into(),
        ..Rules::default()
    };
    insta::assert_snapshot!(listing(&scan(dir.path(), &rules).unwrap()), @"
    /: directory 0755 0:1 @999999999 x3
    again: file of 5 0644 0:1 @999999999 x2
    block: block 259:70000 0604 0:1 @999999999 x1
    dir: directory 0755 0:1 @999999999 x2
    dir/file: file of 5 0644 0:1 @999999999 x2
    link: -> dir/file 0777 0:1 @999999999 x1
    socket: socket 0755 0:1 @999999999 x1
    ");
}

#[test]
fn attributes_that_the_format_cannot_hold_can_be_refused() {
    let dir = tempfile::tempdir().unwrap();
    every_kind(dir.path());
    let rules = Rules { unsupported: Unsupported::Refuse, ..Rules::default() };
    insta::assert_snapshot!(message(scan(dir.path(), &rules)), @"`again` has the extended attribute `system.posix_acl_access`, squashfs holds `user.`, `trusted.` and `security.`: drop such attributes by a rule");
}

#[test]
fn times_that_the_format_cannot_hold_are_refused_or_clamped() {
    let dir = tempfile::tempdir().unwrap();
    fs_err::write(dir.path().join("old"), "").unwrap();
    touch(&dir.path().join("old"), -2);
    insta::assert_snapshot!(message(scan(dir.path(), &Rules::default())), @"`old` was changed -2 s after 1970-01-01, squashfs holds 0 to 4294967295: set or clamp times by a rule");
    for (rule, becomes) in [(Times::Set(5), 5), (Times::AtMost(7), 0)] {
        let tree = scan(dir.path(), &Rules { times: rule, ..Rules::default() }).unwrap();
        assert_eq!(tree.node(tree.find("old").unwrap()).mtime, becomes);
    }
}

#[test]
fn several_sources_are_in_the_root_by_their_names() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    fs_err::create_dir_all(path("one/two")).unwrap();
    fs_err::create_dir_all(path("other/one")).unwrap();
    fs_err::write(path("file"), "abc").unwrap();
    symlink("one", path("link")).unwrap();
    let rules = Rules { uid: Some(0), gid: Some(0), times: Times::Set(9), ..Rules::default() };
    let all = |names: &[&str]| {
        let sources: Vec<_> = names.iter().map(|name| path(name)).collect();
        Tree::scan_all(&sources, &rules, &mut Tree::unwatched())
    };
    insta::assert_snapshot!(listing(&all(&["one", "file", "link"]).unwrap()), @"
    /: directory 0755 0:0 @9 x3
    file: file of 3 0644 0:0 @9 x1
    link: -> one 0777 0:0 @9 x1
    one: directory 0755 0:0 @9 x3
    one/two: directory 0755 0:0 @9 x2
    ");
    insta::assert_snapshot!(listing(&all(&["link"]).unwrap()), @"
    /: directory 0755 0:0 @9 x3
    two: directory 0755 0:0 @9 x2
    ");
    insta::assert_snapshot!(listing(&all(&["file"]).unwrap()), @"
    /: directory 0755 0:0 @9 x2
    file: file of 3 0644 0:0 @9 x1
    ");
    insta::assert_snapshot!(listing(&all(&[]).unwrap()), @"/: directory 0755 0:0 @9 x2");
    insta::assert_snapshot!(message(all(&["one", "other/one"])), @"two sources are called `one`: rename one, or put both into one directory");
    let unnamed = Tree::scan_all(&["..", "."], &rules, &mut Tree::unwatched());
    insta::assert_snapshot!(message(unnamed), @"`..` has no name of its own: give it by its name when there are several sources");
}

#[test]
fn a_scan_names_what_it_cannot_read() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().join("gone");
    let shown = |error: TreeError| {
        let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        format!("{error}: {source}").replace(&dir.path().display().to_string(), "DIR")
    };
    insta::assert_snapshot!(shown(scan(&at, &Rules::default()).unwrap_err()), @"cannot read `DIR/gone`: No such file or directory (os error 2)");
    fs_err::write(&at, "").unwrap();
    insta::assert_snapshot!(shown(scan(&at, &Rules::default()).unwrap_err()), @"cannot read `DIR/gone`: Not a directory (os error 20)");
    fs_err::create_dir_all(dir.path().join("open/closed")).unwrap();
    for path in [dir.path().join("open"), dir.path().to_owned()] {
        rustix::fs::chmod(path, Mode::from_raw_mode(0o755)).unwrap();
    }
    rustix::fs::chmod(dir.path().join("open/closed"), Mode::empty()).unwrap();
    let at = dir.path().to_owned();
    // Root may read everything: only this thread becomes somebody else.
    let nobody = std::thread::spawn(move || {
        let nobody = rustix::fs::Uid::from_raw(65_534);
        rustix::thread::set_thread_uid(nobody).expect("root may become anybody: run this test as root");
        scan(&at, &Rules::default()).unwrap_err()
    });
    insta::assert_snapshot!(shown(nobody.join().unwrap()), @"cannot read `DIR/open/closed`: Permission denied (os error 13)");
}

#[test]
fn a_scan_can_be_stopped() {
    let dir = tempfile::tempdir().unwrap();
    for name in 0..1100 {
        fs_err::write(dir.path().join(name.to_string()), "").unwrap();
    }
    let mut seen = Vec::new();
    let tree = Tree::scan(dir.path(), &Rules::default(), &mut |files| {
        seen.push(files);
        ControlFlow::Continue(())
    });
    assert_eq!(tree.unwrap().counts().names, 1101);
    assert_eq!(seen, [512, 1024, 1101]);
    let stopped = Tree::scan(dir.path(), &Rules::default(), &mut |_| ControlFlow::Break(()));
    assert_eq!(message(stopped), "stopped");
}

#[test]
fn a_file_that_changed_since_the_scan_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    fs_err::write(&path, [7; 5000]).unwrap();
    let tree = scan(dir.path(), &Rules::default()).unwrap();
    let Kind::File(content) = &tree.node(tree.find("file").unwrap()).kind else { panic!("a file") };
    let mut buffer = [0; 1000];
    let opened = content.open().unwrap();
    opened.read(4000, &mut buffer).unwrap();
    assert_eq!(buffer, [7; 1000]);
    opened.unchanged().unwrap();
    assert!(!opened.is_hole(0, 5000));
    let shown = |error: TreeError| error.to_string().replace(&dir.path().display().to_string(), "DIR");
    File::options().write(true).open(&path).unwrap().set_len(4500).unwrap();
    let mut messages = vec![shown(opened.read(4000, &mut buffer).unwrap_err())];
    messages.push(shown(opened.unchanged().unwrap_err()));
    File::options().write(true).open(&path).unwrap().set_len(5000).unwrap();
    touch(&path, 5);
    messages.push(shown(opened.unchanged().unwrap_err()));
    fs_err::remove_file(&path).unwrap();
    mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    messages.push(shown(content.open().unwrap_err()));
    insta::assert_snapshot!(messages.join("\n"), @"
    `DIR/file` changed while it was read (it had 5000 bytes and ends after 4500): build again when nothing writes to it
    `DIR/file` changed while it was read (it had 5000 bytes and has 4500): build again when nothing writes to it
    `DIR/file` changed while it was read (something wrote to it): build again when nothing writes to it
    `DIR/file` changed while it was read (another file has its name): build again when nothing writes to it
    ");
}

#[test]
fn holes_are_known_without_reading_them() {
    let dir = tempfile::tempdir().unwrap();
    let file = File::create(dir.path().join("file")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[1; 4096], 1 << 20).unwrap();
    file.set_len(4 << 20).unwrap();
    let tree = scan(dir.path(), &Rules::default()).unwrap();
    let Kind::File(content) = &tree.node(tree.find("file").unwrap()).kind else { panic!("a file") };
    let opened = content.open().unwrap();
    let holes = [(0, 1 << 20), (0, 2 << 20), (2 << 20, 4 << 20), (1 << 20, (1 << 20) + 1)];
    assert_eq!(holes.map(|(at, end)| opened.is_hole(at, end)), [true, false, true, false]);
}

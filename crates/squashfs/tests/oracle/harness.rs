//! Whether the witnesses are heard: images of `mksquashfs` are right, and what is wrong on purpose is seen.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

use crate::{
    host::{self, Ask},
    program::output,
    trees::{self, chmod, touch, xattr},
    witness::{Witnesses, agree, disagreements},
};

fn mksquashfs(tree: &Path, image: &Path, arguments: &[&str]) {
    let quiet = ["-noappend", "-no-progress", "-quiet"].map(OsStr::new);
    let arguments = arguments.iter().map(OsStr::new);
    output("mksquashfs", [tree.as_os_str(), image.as_os_str()].into_iter().chain(quiet).chain(arguments));
}

fn rich() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("tree");
    fs::create_dir(&tree).unwrap();
    trees::rich(&tree);
    (dir, tree)
}

#[test]
fn images_of_mksquashfs_are_what_they_should_be() {
    let (dir, tree) = rich();
    // It forgets that symbolic links can have several names.
    fs::remove_file(tree.join("links/up-again")).unwrap();
    let facts = host::facts(&tree, Ask::Source);
    let image = dir.path().join("image");
    for arguments in
        [&["-comp", "zstd", "-Xcompression-level", "3"][..], &["-comp", "lz4", "-b", "4096", "-tailends"]]
    {
        mksquashfs(&tree, &image, arguments);
        agree(&image, &facts, Witnesses { holes: false, ..Witnesses::COMPLETE });
    }
}

#[test]
fn backhand_reads_what_has_no_extended_nodes() {
    let (dir, tree) = rich();
    for path in ["links", "xattrs", "nodes"] {
        fs::remove_dir_all(tree.join(path)).unwrap();
    }
    let image = dir.path().join("image");
    mksquashfs(&tree, &image, &["-comp", "zstd", "-Xcompression-level", "1"]);
    agree(&image, &host::facts(&tree, Ask::Source), Witnesses { holes: false, ..Witnesses::ALL });
}

/// A tree, and one thing that is different in it when its image is made.
#[test]
fn whatever_is_wrong_is_seen_by_all_who_can() {
    type Change = fn(&Path);
    let changes: [(&str, Change); 12] = [
        ("mode", |at| chmod(&at.join("a/file"), 0o640)),
        ("time", |at| touch(&at.join("a"), 5)),
        ("owner", |at| std::os::unix::fs::chown(at.join("a/file"), Some(7), None).unwrap()),
        ("group of the root", |at| std::os::unix::fs::chown(at, None, Some(7)).unwrap()),
        ("content", |at| write(&at.join("a/file"), "Hello")),
        ("length", |at| write(&at.join("a/file"), "hello ")),
        ("attribute", |at| xattr(&at.join("a/file"), "user.a", b"c")),
        ("new attribute", |at| xattr(&at.join("b"), "trusted.new", b"")),
        ("target", |at| {
            fs::remove_file(at.join("link")).unwrap();
            std::os::unix::fs::symlink("b", at.join("link")).unwrap();
            touch(&at.join("link"), 9);
            touch(at, 9);
        }),
        ("link", |at| {
            fs::remove_file(at.join("hard")).unwrap();
            fs::copy(at.join("a/file"), at.join("hard")).unwrap();
            xattr(&at.join("hard"), "user.a", b"b");
            touch(&at.join("hard"), 9);
            touch(at, 9);
        }),
        ("missing", |at| {
            fs::remove_dir(at.join("b")).unwrap();
            touch(at, 9);
        }),
        ("one more", |at| {
            write(&at.join("more"), "");
            touch(at, 9);
        }),
    ];
    let mut text = String::new();
    for (name, change) in changes {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("tree");
        fs::create_dir_all(tree.join("a")).unwrap();
        fs::create_dir_all(tree.join("b")).unwrap();
        write(&tree.join("a/file"), "hello");
        xattr(&tree.join("a/file"), "user.a", b"b");
        fs::hard_link(tree.join("a/file"), tree.join("hard")).unwrap();
        std::os::unix::fs::symlink("a", tree.join("link")).unwrap();
        for path in ["link", "a", "b", ""] {
            touch(&tree.join(path), 9);
        }
        let facts = host::facts(&tree, Ask::Source);
        change(&tree);
        let image = dir.path().join("image");
        mksquashfs(&tree, &image, &[]);
        let differences = disagreements(&image, &facts, Witnesses::COMPLETE);
        text += &format!("{name}:\n  {}\n", differences.join("\n  "));
    }
    insta::assert_snapshot!(text, @r#"
    mode:
      the kernel: `a/file`: mode should be 0644 and is 0640
      the kernel: `hard`: mode should be 0644 and is 0640
      our reader: `a/file`: mode should be 0644 and is 0640
      our reader: `hard`: mode should be 0644 and is 0640
      unsquashfs: `a/file`: mode should be 0644 and is 0640
      unsquashfs: `hard`: mode should be 0644 and is 0640
      sqfs2tar: `a/file`: mode should be 0644 and is 0640
      sqfs2tar: `hard`: mode should be 0644 and is 0640
    time:
      the kernel: `a`: mtime should be 9 and is 5
      our reader: `a`: mtime should be 9 and is 5
      unsquashfs: `a`: mtime should be 9 and is 5
      sqfs2tar: `a`: mtime should be 9 and is 5
    owner:
      the kernel: `a/file`: uid should be 0 and is 7
      the kernel: `hard`: uid should be 0 and is 7
      our reader: `a/file`: uid should be 0 and is 7
      our reader: `hard`: uid should be 0 and is 7
      unsquashfs: `a/file`: uid should be 0 and is 7
      unsquashfs: `hard`: uid should be 0 and is 7
      sqfs2tar: `a/file`: uid should be 0 and is 7
      sqfs2tar: `hard`: uid should be 0 and is 7
    group of the root:
      the kernel: ``: gid should be 0 and is 7
      our reader: ``: gid should be 0 and is 7
      unsquashfs: ``: gid should be 0 and is 7
    content:
      the kernel: `a/file`: digest should be Some(5 bytes, hash 1f7f86075d7e) and is Some(5 bytes, hash 0d4cd71702f4)
      the kernel: `hard`: digest should be Some(5 bytes, hash 1f7f86075d7e) and is Some(5 bytes, hash 0d4cd71702f4)
      our reader: `a/file`: digest should be Some(5 bytes, hash 1f7f86075d7e) and is Some(5 bytes, hash 0d4cd71702f4)
      our reader: `hard`: digest should be Some(5 bytes, hash 1f7f86075d7e) and is Some(5 bytes, hash 0d4cd71702f4)
      unsquashfs: `a/file`: digest should be Some(5 bytes, hash 1f7f86075d7e) and is Some(5 bytes, hash 0d4cd71702f4)
      unsquashfs: `hard`: digest should be Some(5 bytes, hash 1f7f86075d7e) and is Some(5 bytes, hash 0d4cd71702f4)
      sqfs2tar: `a/file`: digest should be Some(5 bytes, hash 1f7f86075d7e) and is Some(5 bytes, hash 0d4cd71702f4)
      sqfs2tar: `hard`: digest should be Some(5 bytes, hash 1f7f86075d7e) and is Some(5 bytes, hash 0d4cd71702f4)
    length:
      the kernel: `a/file`: digest should be Some(5 bytes, hash 1f7f86075d7e) and is Some(6 bytes, hash ba0f3351491d)
      the kernel: `hard`: digest should be Some(5 bytes, hash 1f7f86075d7e) and is Some(6 bytes, hash ba0f3351491d)
      our reader: `a/file`: digest should be Some(5 bytes, hash 1f7f86075d7e) and is Some(6 bytes, hash ba0f3351491d)
      our reader: `hard`: digest should be Some(5 bytes, hash 1f7f86075d7e) and is Some(6 bytes, hash ba0f3351491d)
      unsquashfs: `a/file`: digest should be Some(5 bytes, hash 1f7f86075d7e) and is Some(6 bytes, hash ba0f3351491d)
      unsquashfs: `hard`: digest should be Some(5 bytes, hash 1f7f86075d7e) and is Some(6 bytes, hash ba0f3351491d)
      sqfs2tar: `a/file`: digest should be Some(5 bytes, hash 1f7f86075d7e) and is Some(6 bytes, hash ba0f3351491d)
      sqfs2tar: `hard`: digest should be Some(5 bytes, hash 1f7f86075d7e) and is Some(6 bytes, hash ba0f3351491d)
    attribute:
      the kernel: `a/file`: xattrs should be Some({[117, 115, 101, 114, 46, 97]: [98]}) and is Some({[117, 115, 101, 114, 46, 97]: [99]})
      the kernel: `hard`: xattrs should be Some({[117, 115, 101, 114, 46, 97]: [98]}) and is Some({[117, 115, 101, 114, 46, 97]: [99]})
      our reader: `a/file`: xattrs should be Some({[117, 115, 101, 114, 46, 97]: [98]}) and is Some({[117, 115, 101, 114, 46, 97]: [99]})
      our reader: `hard`: xattrs should be Some({[117, 115, 101, 114, 46, 97]: [98]}) and is Some({[117, 115, 101, 114, 46, 97]: [99]})
      unsquashfs: `a/file`: xattrs should be Some({[117, 115, 101, 114, 46, 97]: [98]}) and is Some({[117, 115, 101, 114, 46, 97]: [99]})
      unsquashfs: `hard`: xattrs should be Some({[117, 115, 101, 114, 46, 97]: [98]}) and is Some({[117, 115, 101, 114, 46, 97]: [99]})
      sqfs2tar: `a/file`: xattrs should be Some({[117, 115, 101, 114, 46, 97]: [98]}) and is Some({[117, 115, 101, 114, 46, 97]: [99]})
      sqfs2tar: `hard`: xattrs should be Some({[117, 115, 101, 114, 46, 97]: [98]}) and is Some({[117, 115, 101, 114, 46, 97]: [99]})
    new attribute:
      the kernel: `b`: xattrs should be Some({}) and is Some({[116, 114, 117, 115, 116, 101, 100, 46, 110, 101, 119]: []})
      our reader: `b`: xattrs should be Some({}) and is Some({[116, 114, 117, 115, 116, 101, 100, 46, 110, 101, 119]: []})
      unsquashfs: `b`: xattrs should be Some({}) and is Some({[116, 114, 117, 115, 116, 101, 100, 46, 110, 101, 119]: []})
      sqfs2tar: `b`: xattrs should be Some({}) and is Some({[116, 114, 117, 115, 116, 101, 100, 46, 110, 101, 119]: []})
    target:
      the kernel: `link`: what should be "symlink to a" and is "symlink to b"
      our reader: `link`: what should be "symlink to a" and is "symlink to b"
      unsquashfs: `link`: what should be "symlink to a" and is "symlink to b"
      sqfs2tar: `link`: what should be "symlink to a" and is "symlink to b"
    link:
      the kernel: the file system says 6 inodes and has 5
      the kernel: `a/file`: links should be Some(2) and is Some(1)
      the kernel: `hard`: links should be Some(2) and is Some(1)
      the kernel: `hard`: first should be Some([97, 47, 102, 105, 108, 101]) and is Some([104, 97, 114, 100])
      our reader: `a/file`: links should be Some(2) and is Some(1)
      our reader: `hard`: links should be Some(2) and is Some(1)
      our reader: `hard`: first should be Some([97, 47, 102, 105, 108, 101]) and is Some([104, 97, 114, 100])
      unsquashfs: `a/file`: links should be Some(2) and is Some(1)
      unsquashfs: `hard`: links should be Some(2) and is Some(1)
      unsquashfs: `hard`: first should be Some([97, 47, 102, 105, 108, 101]) and is Some([104, 97, 114, 100])
      sqfs2tar: `hard`: first should be Some([97, 47, 102, 105, 108, 101]) and is Some([104, 97, 114, 100])
    missing:
      the kernel: the file system says 4 inodes and has 5
      the kernel: ``: links should be Some(4) and is Some(3)
      the kernel: `b` is missing
      our reader: ``: links should be Some(4) and is Some(3)
      our reader: `b` is missing
      unsquashfs: ``: links should be Some(4) and is Some(3)
      unsquashfs: `b` is missing
      sqfs2tar: `b` is missing
    one more:
      the kernel: the file system says 6 inodes and has 5
      the kernel: `more` is there and should not be
      our reader: `more` is there and should not be
      unsquashfs: `more` is there and should not be
      sqfs2tar: `more` is there and should not be
    "#);
}

/// Writes without a trace in the times.
fn write(path: &Path, content: &str) {
    fs::write(path, content).unwrap();
    touch(path, 9);
    chmod(path, 0o644);
}

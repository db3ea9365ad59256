//! Other writers and other readers: `gensquashfs` writes what we read, `sqfs2tar` reads what we read.

use std::{collections::BTreeMap, ffi::OsStr, fs, io::Read, os::unix::fs::MetadataExt};

use super::{
    assert_same, host_files,
    made::{COMPRESSORS, Made, odd_tree, run},
};
use crate::read::{Image, Verify, What};

#[test]
fn what_gensquashfs_wrote_is_what_it_was_given() {
    let tree = odd_tree();
    // It cannot keep them, and has no option for that.
    for name in ["fifo", "socket"] {
        fs::remove_file(tree.path().join(name)).unwrap();
    }
    let host = host_files(tree.path());
    let dir = tempfile::tempdir().unwrap();
    for compressor in COMPRESSORS {
        for block in ["4096", "131072", "1048576"] {
            let path = dir.path().join(format!("{compressor}-{block}"));
            let mut args =
                ["-c", compressor, "-b", block, "-q", "-e", "-k", "-x", "-D"].map(OsStr::new).to_vec();
            args.extend([tree.path().as_os_str(), path.as_os_str()]);
            run("gensquashfs", "squashfs-tools-ng", &args);
            let image = Image::open(&path).unwrap();
            let verified = image.verify(&Verify::default());
            assert!(verified.is_sound(), "{compressor} {block}: {:#?}", verified.problems);
            let mut names = 0;
            for entry in image.entries() {
                let entry = entry.unwrap();
                // It does not look for hard links, nor at the root.
                if !entry.path().as_os_str().is_empty() && host[entry.path()].nlink() == 1 {
                    assert_same(&image, &entry, tree.path(), &host[entry.path()]);
                }
                names += 1;
            }
            assert_eq!(names, host.len());
        }
    }
}

#[test]
fn sqfs2tar_reads_the_same() {
    let tree = odd_tree();
    fs::remove_file(tree.path().join("socket")).unwrap();
    let made = Made::new(tree.path(), &["-comp", "zstd"]);
    let image = made.open();
    let tar = run("sqfs2tar", "squashfs-tools-ng", &[made.image.as_os_str()]);
    let mut theirs = BTreeMap::new();
    for member in tar::Archive::new(&tar[..]).entries().unwrap() {
        let mut member = member.unwrap();
        let path = member.path().unwrap().into_owned();
        let mut bytes = Vec::new();
        member.read_to_end(&mut bytes).unwrap();
        let head = member.header();
        theirs.insert(path, (head.mode().unwrap() as u16 & 0o7777, head.mtime().unwrap() as u32, bytes));
    }
    for entry in image.entries().skip(1) {
        let entry = entry.unwrap();
        let mut bytes = Vec::new();
        if let What::File { .. } = entry.stat().what {
            image.read(&entry).unwrap().read_to_end(&mut bytes).unwrap();
        }
        let (mode, mtime, content) = theirs.remove(entry.path()).unwrap();
        assert_eq!((entry.stat().mode, entry.stat().mtime), (mode, mtime), "{:?}", entry.path());
        // Further names of a file have no content in an archive.
        assert!(content == bytes || entry.stat().links > 1, "{:?}", entry.path());
    }
    assert_eq!(theirs.len(), 0);
}

//! What `mksquashfs` writes of odd trees, read and compared with what was put in; then the same under damage.

mod damage;
mod made;
mod others;

use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Seek, SeekFrom},
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use super::{Chunk, Entry, Extract, ExtractError, Image, Limits, Progress, Verify, What};
use made::{COMPRESSORS, Made, list_xattrs, odd_tree};

/// Every file of the tree, from its root.
fn host_files(root: &Path) -> BTreeMap<PathBuf, fs::Metadata> {
    let mut all = BTreeMap::new();
    let mut left = vec![PathBuf::new()];
    while let Some(path) = left.pop() {
        let data = fs::symlink_metadata(root.join(&path)).unwrap();
        if data.is_dir() {
            left.extend(
                fs::read_dir(root.join(&path)).unwrap().map(|entry| path.join(entry.unwrap().file_name())),
            );
        }
        all.insert(path, data);
    }
    all
}

#[track_caller]
fn assert_same(image: &Image, entry: &Entry, root: &Path, host: &fs::Metadata) {
    let (path, stat) = (entry.path(), entry.stat());
    let full = root.join(path);
    assert_eq!(u32::from(stat.mode), host.mode() & 0o7777, "{path:?}");
    assert_eq!((stat.uid, stat.gid), (host.uid(), host.gid()), "{path:?}");
    assert_eq!(i64::from(stat.mtime), host.mtime(), "{path:?}");
    if !host.is_dir() {
        assert_eq!(u64::from(stat.links), host.nlink(), "{path:?}");
    }
    let kind = match &stat.what {
        What::Directory => 0o040_000,
        What::File { size } => {
            let expected = fs::read(&full).unwrap();
            assert_eq!(*size, expected.len() as u64, "{path:?}");
            let mut found = Vec::new();
            image.read(entry).unwrap().read_to_end(&mut found).unwrap();
            assert!(found == expected, "{path:?}");
            0o100_000
        }
        What::Symlink { target } => {
            assert_eq!(fs::read_link(&full).unwrap().as_os_str().as_bytes(), &**target);
            0o120_000
        }
        What::Fifo => 0o010_000,
        What::Socket => 0o140_000,
        What::CharDevice { .. } => 0o020_000,
        What::BlockDevice { .. } => 0o060_000,
    };
    assert_eq!(kind, host.mode() & 0o170_000, "{path:?}");
    assert_eq!(image.xattrs(entry).unwrap(), list_xattrs(&full), "{path:?}");
}

#[test]
fn what_mksquashfs_wrote_is_what_it_was_given() {
    let tree = odd_tree();
    let host = host_files(tree.path());
    for compressor in COMPRESSORS {
        for block in ["4K", "128K", "1M"] {
            let made = Made::new(tree.path(), &["-comp", compressor, "-b", block]);
            let image = made.open();
            assert_eq!(image.facts().compressor, compressor);
            let mut names = 0;
            for entry in image.entries() {
                let entry = entry.unwrap();
                assert_same(&image, &entry, tree.path(), &host[entry.path()]);
                names += 1;
            }
            assert_eq!(names, host.len(), "{compressor} {block}");
        }
    }
}

#[test]
fn entries_come_depth_first_and_sorted() {
    let tree = odd_tree();
    let image = Made::new(tree.path(), &[]).open();
    let found: Vec<PathBuf> = image.entries().map(|entry| entry.unwrap().path().to_owned()).collect();
    // Paths compare component by component, which is the order of a walk.
    assert_eq!(found, host_files(tree.path()).into_keys().collect::<Vec<_>>());
}

#[test]
fn a_path_leads_to_the_same_entry_as_a_walk() {
    let tree = odd_tree();
    let image = Made::new(tree.path(), &[]).open();
    for entry in image.entries().step_by(7) {
        let entry = entry.unwrap();
        let found = image.entry(Path::new("/").join(entry.path())).unwrap();
        assert_eq!((found.path(), found.stat()), (entry.path(), entry.stat()));
    }
    let refused = |path: &str| image.entry(path).unwrap_err().to_string();
    let all = [refused("nothing"), refused("one-byte/x"), refused("../etc/passwd"), refused("to-nowhere/x")];
    insta::assert_snapshot!(all.join("\n"), @"
    `nothing`: there is no such file
    `one-byte/x`: it is not a directory
    `../etc/passwd`: there is no such file
    `to-nowhere/x`: it is not a directory
    ");
    let directory = image.entry("").unwrap();
    assert_eq!(image.read(&directory).unwrap_err().to_string(), "`/`: it is not a regular file");
}

#[test]
fn a_file_can_be_read_from_any_place() {
    let tree = odd_tree();
    let image = Made::new(tree.path(), &["-b", "4K"]).open();
    for name in ["mixed", "sparse", "noise"] {
        let expected = fs::read(tree.path().join(name)).unwrap();
        let mut reader = image.read(&image.entry(name).unwrap()).unwrap();
        let mut at = 1_234_567_u64;
        for _ in 0..400 {
            at = at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let offset = (at >> 20) % (expected.len() as u64 + 10);
            let mut out = [0xaa; 700];
            let n = reader.read_at(&mut out, offset).unwrap();
            let rest = expected.get(offset as usize..).unwrap_or_default();
            assert!(n > 0 || rest.is_empty());
            assert_eq!(out[..n], rest[..n]);
        }
        reader.seek(SeekFrom::End(-5)).unwrap();
        let mut end = Vec::new();
        reader.read_to_end(&mut end).unwrap();
        assert_eq!(end, expected[expected.len() - 5..]);
        assert!(reader.seek(SeekFrom::Current(-1 << 40)).is_err());
    }
}

#[test]
fn holes_are_told() {
    let tree = odd_tree();
    let image = Made::new(tree.path(), &["-b", "4K"]).open();
    let mut reader = image.read(&image.entry("sparse").unwrap()).unwrap();
    let (mut holes, mut data) = (0, 0);
    while let Some(chunk) = reader.next_chunk().unwrap() {
        match chunk {
            Chunk::Hole(len) => holes += len,
            Chunk::Data(bytes) => data += bytes.len() as u64,
        }
    }
    assert_eq!((holes, data), (3_000_000 - 4096, 4096));
}

#[test]
fn an_image_can_be_a_part_of_a_disk() {
    let tree = odd_tree();
    let made = Made::new(tree.path(), &[]);
    let bytes = fs::read(&made.image).unwrap();
    let disk = made.dir.path().join("disk");
    fs::write(&disk, [&[0xff; 777], &bytes[..], &[0xff; 99]].concat()).unwrap();
    let file = fs::File::open(&disk).unwrap();
    let image = Image::at(file, 777, bytes.len() as u64).unwrap();
    assert_eq!(image.entries().count(), host_files(tree.path()).len());
    let short = Image::at(fs::File::open(&disk).unwrap(), 777, 5000).unwrap_err().to_string();
    assert!(short.contains("the image has 5000 bytes"), "{short}");
}

#[test]
fn what_mksquashfs_wrote_is_sound() {
    let tree = odd_tree();
    for compressor in COMPRESSORS {
        for options in
            [&["-b", "4K"][..], &["-always-use-fragments"], &["-b", "1M", "-no-fragments", "-no-exports"]]
        {
            let made = Made::new(tree.path(), &[&["-comp", compressor], options].concat());
            let verified = made.open().verify(&Verify::default());
            assert!(verified.is_sound(), "{compressor} {options:?}: {:#?}", verified.problems);
            assert_eq!(verified.checked.inodes, u64::from(made.open().facts().inodes));
            assert_eq!(verified.checked.names + 1, host_files(tree.path()).len() as u64);
        }
    }
    let plain = Made::new(tree.path(), &["-noI", "-noD", "-noF", "-noX", "-noId", "-nopad"]);
    let verified = plain.open().verify(&Verify::default());
    assert!(verified.is_sound(), "{:#?}", verified.problems);
}

#[test]
fn an_extracted_tree_is_what_was_put_in() {
    let tree = odd_tree();
    let image = Made::new(tree.path(), &[]).open();
    let dir = tempfile::tempdir().unwrap();
    let dest = dir.path().join("root");
    let seen = AtomicU64::new(0);
    let progress = |it: Progress| {
        seen.fetch_max(it.bytes, Ordering::Relaxed);
    };
    let done = image.extract(&dest, &Extract { progress: Some(&progress), ..Extract::default() }).unwrap();
    assert_eq!(done.skipped, []);
    assert_eq!(done.bytes, seen.into_inner());
    let (before, after) = (host_files(tree.path()), host_files(&dest));
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    for (path, expected) in &before {
        let found = &after[path];
        let stat = |it: &fs::Metadata| (it.mode(), it.uid(), it.gid(), it.mtime(), it.nlink());
        assert_eq!(stat(found), stat(expected), "{path:?}");
        assert_eq!(list_xattrs(&dest.join(path)), list_xattrs(&tree.path().join(path)), "{path:?}");
        if found.is_file() {
            assert!(
                fs::read(dest.join(path)).unwrap() == fs::read(tree.path().join(path)).unwrap(),
                "{path:?}"
            );
        } else if found.is_symlink() {
            assert_eq!(
                fs::read_link(dest.join(path)).unwrap(),
                fs::read_link(tree.path().join(path)).unwrap()
            );
        }
    }
    assert!(after[Path::new("sparse")].blocks() * 512 < 200_000, "{}", after[Path::new("sparse")].blocks());
    assert_eq!(after[Path::new("noise")].ino(), after[Path::new("deep/er/noise-too")].ino());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn devices_are_made_by_root_and_named_for_others() {
    let tree = tempfile::tempdir().unwrap();
    let image =
        Made::new(tree.path(), &["-p", "null c 666 0 0 1 3", "-p", "disk b 600 0 0 259 70000"]).open();
    let whats: Vec<What> = image.entries().map(|entry| entry.unwrap().stat().what.clone()).collect();
    let disk = What::BlockDevice { major: 259, minor: 70000 };
    assert_eq!(whats, [What::Directory, disk, What::CharDevice { major: 1, minor: 3 }]);
    let dest = tree.path().join("out");
    let done = image.extract(&dest, &Extract { owners: false, ..Extract::default() }).unwrap();
    assert_eq!(done.special + done.skipped.len() as u64, 2);
    if let [skipped, ..] = &done.skipped[..] {
        let text = skipped.to_string();
        assert!(text.starts_with("`disk`: the block device is left out: "), "{text}");
    } else {
        let data = fs::symlink_metadata(dest.join("disk")).unwrap();
        assert_eq!(data.rdev(), rustix::fs::makedev(259, 70000));
        assert_eq!(data.mode() & 0o7777, 0o600);
    }
}

#[test]
fn what_is_there_already_is_left_alone() {
    let tree = tempfile::tempdir().unwrap();
    let image = Made::new(tree.path(), &[]).open();
    let dest = tree.path().join("taken");
    fs::create_dir(&dest).unwrap();
    image.extract(&dest, &Extract::default()).unwrap();
    fs::write(dest.join("mine"), "").unwrap();
    let error = image.extract(&dest, &Extract::default()).unwrap_err().to_string();
    assert!(error.ends_with("is there and is not an empty directory: name one that is not there"), "{error}");
    std::os::unix::fs::symlink("taken", tree.path().join("link")).unwrap();
    assert!(matches!(
        image.extract(tree.path().join("link"), &Extract::default()),
        Err(ExtractError::Exists { .. })
    ));
    assert!(dest.join("mine").exists());
}

#[test]
fn limits_end_an_extraction_and_nothing_is_left_of_it() {
    let tree = odd_tree();
    let image = Made::new(tree.path(), &[]).open();
    let dir = tempfile::tempdir().unwrap();
    let refused = |limits: Limits| {
        let error =
            image.extract(dir.path().join("out"), &Extract { limits, ..Extract::default() }).unwrap_err();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        error.to_string()
    };
    let all = [
        refused(Limits { bytes: 1_000_000, ..Limits::default() }),
        refused(Limits { entries: 100, ..Limits::default() }),
        refused(Limits { depth: 3, ..Limits::default() }),
    ];
    insta::assert_snapshot!(all.join("\n"), @"
    the files have more than 1000000 bytes together: raise the limit if that can be
    there are more than 100 names: raise the limit if that can be
    `deep/er/and/deep`: there are more than 3 directories in each other
    ");
    let cancel = AtomicBool::new(true);
    let options = Extract { cancel: Some(&cancel), ..Extract::default() };
    assert!(matches!(image.extract(dir.path().join("out"), &options), Err(ExtractError::Cancelled)));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

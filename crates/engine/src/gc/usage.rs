//! What something takes on the disk.

use std::{collections::BTreeMap, io, os::unix::fs::MetadataExt as _};

use bootway_plan::Bytes;
use camino::Utf8Path;

/// Bytes of all blocks that are free when `path` is removed: a file with a link elsewhere stays.
///
/// Blocks that a reflink shares with other files count in full: nobody says which they are. A symbolic link counts
/// nothing: whether it takes a block depends on the file system and on how long it is.
pub(super) fn usage(path: &Utf8Path) -> io::Result<Bytes> {
    let mut size = 0;
    let mut linked: BTreeMap<(u64, u64), (u64, u64)> = BTreeMap::new();
    for entry in walkdir::WalkDir::new(path).follow_root_links(false) {
        let metadata = entry.and_then(|entry| entry.metadata()).map_err(io::Error::from)?;
        if metadata.is_symlink() {
            continue;
        }
        let taken = metadata.blocks() * 512;
        if metadata.is_dir() || metadata.nlink() == 1 {
            size += taken;
            continue;
        }
        let (seen, _) = linked.entry((metadata.dev(), metadata.ino())).or_insert((0, taken));
        *seen += 1;
        if *seen == metadata.nlink() {
            size += taken;
        }
    }
    Ok(Bytes::new(size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_counts_once_and_only_if_all_its_links_go() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap();
        let (here, there) = (root.join("here"), root.join("there"));
        for dir in [&here, &there] {
            fs_err::create_dir(dir).unwrap();
        }
        let empty = usage(&here).unwrap().get();
        fs_err::write(here.join("a"), vec![1; 1 << 20]).unwrap();
        fs_err::hard_link(here.join("a"), here.join("b")).unwrap();
        fs_err::os::unix::fs::symlink("/usr", here.join("link")).unwrap();
        let megabyte = usage(&here).unwrap().get() - empty;
        assert!((1 << 20..1 << 21).contains(&megabyte), "{megabyte}");
        fs_err::hard_link(here.join("a"), there.join("c")).unwrap();
        assert!(usage(&here).unwrap().get() - empty < 1 << 20, "a link elsewhere keeps the file");
    }

    #[test]
    fn a_link_is_not_what_it_leads_to() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap();
        fs_err::write(root.join("file"), vec![1; 1 << 20]).unwrap();
        for target in [root.as_str(), "/nowhere/at/all"] {
            let link = root.join("link");
            fs_err::os::unix::fs::symlink(target, &link).unwrap();
            assert_eq!(usage(&link).unwrap().get(), 0, "{target}");
            fs_err::remove_file(&link).unwrap();
        }
    }
}

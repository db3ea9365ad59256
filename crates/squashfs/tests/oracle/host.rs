//! The facts of a directory of the host, seen through the system's calls and nothing of ours.

use std::{
    collections::{BTreeMap, HashMap},
    ffi::{OsStr, OsString},
    fs::{self, File, Metadata},
    mem::MaybeUninit,
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::{FileTypeExt, MetadataExt},
    },
    path::Path,
};

use rustix::fs::{RawDir, lgetxattr, llistxattr, major, minor};

use crate::facts::{Digest, Fact, Facts, symlink};

/// What is asked beside what every directory can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// The tree that an image is made of: links are counted within it, attributes that squashfs has no place for are
    /// left out.
    Source,
    /// A mounted image: links are as it says, names are in order. If its block size is given, blocks are counted.
    Image(Option<u64>),
}

/// The facts of everything below `root`.
pub(crate) fn facts(root: &Path, ask: Ask) -> Facts {
    let mut facts = Facts::default();
    let mut first = HashMap::new();
    let mut names: HashMap<u64, u64> = HashMap::new();
    let mut inodes: HashMap<Vec<u8>, u64> = HashMap::new();
    // Depth first and by bytes, so that the first name of a file is the same everywhere.
    let mut stack = vec![Vec::new()];
    while let Some(path) = stack.pop() {
        let place = if path.is_empty() { root.to_owned() } else { root.join(OsStr::from_bytes(&path)) };
        let stat =
            fs::symlink_metadata(&place).unwrap_or_else(|error| panic!("{}: {error}", place.display()));
        let mut links = stat.nlink();
        if stat.is_dir() {
            let children = list(&place);
            if ask != Ask::Source && !children.is_sorted() {
                facts.faults.push(format!("`{}` lists its names in disorder", path.escape_ascii()));
            }
            let directories = children.iter().filter(|(_, is_directory)| *is_directory).count();
            if ask == Ask::Source {
                links = 2 + directories as u64;
            }
            let mut children: Vec<_> = children.into_iter().map(|(name, _)| name).collect();
            children.sort();
            for name in children.into_iter().rev() {
                let separator: &[u8] = if path.is_empty() { b"" } else { b"/" };
                stack.push([&path, separator, &name.into_vec()].concat());
            }
        }
        let fact = Fact {
            what: what(&place, &stat),
            mode: stat.mode() & 0o7777,
            uid: stat.uid(),
            gid: stat.gid(),
            mtime: stat.mtime(),
            digest: stat.is_file().then(|| {
                Digest::read(File::open(&place).unwrap())
                    .unwrap_or_else(|error| panic!("{}: {error}", place.display()))
            }),
            links: Some(links),
            first: Some(first.entry(stat.ino()).or_insert_with(|| path.clone()).clone()),
            xattrs: Some(xattrs(&place)),
        };
        if let (Ask::Image(Some(block)), Some(digest)) = (ask, &fact.digest) {
            facts.faults.extend(blocks(&path, &stat, &fact, digest, block));
        }
        *names.entry(stat.ino()).or_default() += 1;
        inodes.insert(path.clone(), stat.ino());
        facts.files.insert(path, fact);
    }
    if ask == Ask::Source {
        for (path, fact) in &mut facts.files {
            if fact.what != "directory" {
                fact.links = Some(names[&inodes[path]]);
            }
        }
    }
    facts.settled()
}

/// The names of a directory as the system gives them, and whether each is a directory.
fn list(directory: &Path) -> Vec<(OsString, bool)> {
    let file = File::open(directory).unwrap();
    let mut buffer = vec![MaybeUninit::uninit(); 32 << 10];
    let mut entries = RawDir::new(file, &mut buffer);
    let mut names = Vec::new();
    while let Some(entry) = entries.next() {
        let entry = entry.unwrap();
        let name = entry.file_name().to_bytes();
        if !matches!(name, b"." | b"..") {
            names.push((
                OsString::from_vec(name.to_vec()),
                entry.file_type() == rustix::fs::FileType::Directory,
            ));
        }
    }
    names
}

fn what(place: &Path, stat: &Metadata) -> String {
    let kind = stat.file_type();
    let device = || format!("{}:{}", major(stat.rdev()), minor(stat.rdev()));
    if kind.is_dir() {
        "directory".to_owned()
    } else if kind.is_file() {
        "file".to_owned()
    } else if kind.is_symlink() {
        symlink(fs::read_link(place).unwrap().as_os_str().as_bytes())
    } else if kind.is_char_device() {
        format!("char {}", device())
    } else if kind.is_block_device() {
        format!("block {}", device())
    } else if kind.is_fifo() {
        "fifo".to_owned()
    } else {
        assert!(kind.is_socket(), "{}: {kind:?}", place.display());
        "socket".to_owned()
    }
}

fn xattrs(place: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut names = vec![0; 4 << 10];
    let length = match llistxattr(place, &mut *names) {
        Ok(length) => length,
        // A squashfs without any.
        Err(rustix::io::Errno::NOTSUP) => 0,
        Err(error) => panic!("{}: {error}", place.display()),
    };
    let mut value = vec![0; if length == 0 { 0 } else { 64 << 10 }];
    names[..length]
        .split(|byte| *byte == 0)
        .filter(|name| {
            [&b"user."[..], b"trusted.", b"security."].iter().any(|prefix| name.starts_with(prefix))
        })
        .map(|name| {
            let length = lgetxattr(place, OsStr::from_bytes(name), &mut *value)
                .unwrap_or_else(|error| panic!("{} of {}: {error}", name.escape_ascii(), place.display()));
            (name.to_vec(), value[..length].to_vec())
        })
        .collect()
}

/// Whether the blocks that a file takes are those of it that are no holes.
///
/// Every block of zeros may be a hole. Writers do not agree whether an end that is shorter than a block is one; and of
/// a file of nothing else, one byte may be counted as none. Extended attributes count as stored: four bytes before the
/// name, which is without its prefix, four before the value.
fn blocks(path: &[u8], stat: &Metadata, fact: &Fact, digest: &Digest, block: u64) -> Option<String> {
    let pages = block as usize / Digest::PAGE;
    let (mut whole, mut end) = (0, 0);
    for (index, pages) in digest.zeros.chunks(pages).enumerate() {
        if pages.iter().all(|zero| *zero) {
            let length = block.min(digest.size - index as u64 * block);
            if length == block { whole += length } else { end = length }
        }
    }
    let xattrs = fact.xattrs.iter().flatten().map(|(name, value)| {
        let prefix = name.iter().position(|byte| *byte == b'.').unwrap() + 1;
        4 + name.len() - prefix + 4 + value.len()
    });
    let xattrs = xattrs.sum::<usize>().div_ceil(512) as u64;
    let taken = [digest.size - whole, digest.size - whole - end, 1.min(digest.size)]
        .map(|bytes| bytes.div_ceil(512) + xattrs);
    let all_zeros = whole + end == digest.size;
    let fits =
        stat.blocks() == taken[0] || stat.blocks() == taken[1] || all_zeros && stat.blocks() == taken[2];
    (!fits).then(|| {
        format!(
            "`{}`: of {} bytes with {whole} in holes, {} blocks of 512 are taken, and not {} or {}",
            path.escape_ascii(),
            digest.size,
            stat.blocks(),
            taken[0],
            taken[1]
        )
    })
}

//! What goes, so that the cache stays within its bounds.

use std::{cmp::Reverse, collections::HashMap, fs::File, io, os::unix::fs::MetadataExt as _, path::Path};

use fs_err as fs;
use rustix::time::{ClockId, clock_gettime};

use super::Cache;

/// Packs that a cache has at most, whatever their sizes.
const PACKS: usize = 256;
/// Lists of seen files that a cache has at most.
const SEEN: usize = 64;
/// Seconds after which a list that was not used goes.
const SEEN_AGE: i64 = 30 * 24 * 60 * 60;

/// Both files of a pack, as far as they are there.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct OnDisk {
    /// Bytes that they occupy.
    pub(super) bytes: u64,
    /// When it was last used: seconds and nanoseconds.
    used: (i64, i64),
    index: bool,
    pack: bool,
}

impl OnDisk {
    /// Whether both are there.
    pub(super) fn whole(&self) -> bool {
        self.index && self.pack
    }
}

/// A file of the cache.
#[derive(Debug)]
pub(super) struct Sized {
    name: String,
    /// Bytes that it occupies.
    pub(super) bytes: u64,
    changed: (i64, i64),
}

/// Packs by their names.
pub(super) fn packs(dir: &Path) -> io::Result<HashMap<String, OnDisk>> {
    let mut packs: HashMap<String, OnDisk> = HashMap::new();
    for file in files(dir)? {
        let Some((name, extension)) = file.name.split_once('.') else { continue };
        let index = extension == "index";
        if !is_name(name) || !(index || extension == "pack") {
            continue;
        }
        let pack = packs.entry(name.to_owned()).or_default();
        pack.bytes += file.bytes;
        if index {
            (pack.index, pack.used) = (true, file.changed);
        } else {
            pack.pack = true;
        }
    }
    Ok(packs)
}

/// Lists of seen files.
pub(super) fn seen(dir: &Path) -> io::Result<Vec<Sized>> {
    let mut files = files(dir)?;
    files.retain(|file| file.name.strip_suffix(".seen").is_some_and(is_name));
    Ok(files)
}

fn is_name(name: &str) -> bool {
    name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn files(dir: &Path) -> io::Result<Vec<Sized>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let meta = match entry.metadata() {
            Ok(meta) if meta.is_file() => meta,
            Ok(_) => continue,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        if let Ok(name) = entry.file_name().into_string() {
            let changed = (meta.mtime(), meta.mtime_nsec());
            files.push(Sized { name, bytes: meta.blocks() * 512, changed });
        }
    }
    Ok(files)
}

/// What to remove and what not.
pub(super) struct Evict<'a> {
    pub(super) cache: &'a Cache,
    /// Packs that were just used.
    pub(super) keep: &'a [String],
    /// Packs that are damaged, or of no use any more.
    pub(super) drop: &'a [String],
}

impl Evict<'_> {
    /// How many packs were removed. None are while somebody else builds; the next build makes up for it.
    pub(super) fn run(&self, lock: &File) -> io::Result<usize> {
        match lock.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => return Ok(0),
            Err(std::fs::TryLockError::Error(error)) => return Err(error),
        }
        self.seen()?;
        let dir = self.cache.packs();
        let mut packs: Vec<(String, OnDisk)> = packs(&dir)?.into_iter().collect();
        packs.sort_by(|(a, x), (b, y)| x.used.cmp(&y.used).then_with(|| a.cmp(b)));
        let lists: u64 = seen(&self.cache.seen())?.iter().map(|file| file.bytes).sum();
        let mut bytes = lists + packs.iter().map(|(_, pack)| pack.bytes).sum::<u64>();
        let of_use = |name: &String, pack: &OnDisk| pack.whole() && !self.drop.contains(name);
        let (left, useless): (Vec<_>, Vec<_>) =
            packs.into_iter().partition(|(name, pack)| of_use(name, pack));
        for (name, pack) in &useless {
            remove(&dir, name)?;
            bytes -= pack.bytes;
        }
        let mut count = left.len();
        for (name, pack) in left.iter().filter(|(name, _)| !self.keep.contains(name)) {
            if bytes <= self.cache.limit && count <= PACKS {
                break;
            }
            remove(&dir, name)?;
            (bytes, count) = (bytes - pack.bytes, count - 1);
        }
        Ok(useless.len() + left.len() - count)
    }

    fn seen(&self) -> io::Result<()> {
        let dir = self.cache.seen();
        let mut files = seen(&dir)?;
        files.sort_by_key(|file| Reverse(file.changed));
        let now = clock_gettime(ClockId::RealtimeCoarse).tv_sec;
        for (number, file) in files.iter().enumerate() {
            if number >= SEEN || file.changed.0 < now - SEEN_AGE {
                fs::remove_file(dir.join(&file.name))?;
            }
        }
        Ok(())
    }
}

/// Removes both files of a pack. The index first: one without a pack would name what is not there.
fn remove(dir: &Path, name: &str) -> io::Result<()> {
    for extension in ["index", "pack"] {
        match fs::remove_file(dir.join(format!("{name}.{extension}"))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

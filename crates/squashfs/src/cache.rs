//! What was compressed before, kept so that a rebuild compresses only what changed.
//!
//! A [`Cache`] is a directory. A build opens a `Session` on it, looks for each block by its `Key` (a hash of the
//! content, never of a part of it), takes the compressed bytes of those that are there, and hands in at the end what
//! its image holds, from which the session makes a new pack of what was not there.
//!
//! ```text
//! lock                 sessions hold it shared; who removes packs holds it alone, and never waits for that
//! packs/ID.pack        compressed bytes, at the offsets at which they are in the image that they came from
//! packs/ID.index       what is where in it, with a checksum of each entry and one of the whole
//! seen/ID.seen         what files of the host contained, by device, inode, size and times
//! */.tmp-…             being written, and locked by who writes it: one without a lock is rubbish
//! ```
//!
//! A pack mirrors the data area of an image: a file system that shares blocks between files stores them once, and a
//! run of the last image becomes a run of the next without being copied.
//!
//! Nothing here is trusted: an index or a list of seen files with a wrong checksum counts as absent, and each entry is
//! compared with its own checksum when it is read. So nothing is synced to the disk either; what a power cut tears
//! is noticed, and made anew. Checksums guard against accidents: whoever may write to the directory may choose what
//! is in the next image, so the directory is made for its owner alone.
//!
//! The cache is an aid. Whatever goes wrong in it, a full disk for example, costs time and no image.

use std::{
    fmt, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use fs_err as fs;
use thiserror::Error;

mod commit;
mod evict;
mod index;
mod pack;
mod seen;
mod session;
mod temporary;

pub(crate) use self::{
    commit::Entry,
    seen::{HOLE, Hash, Seen, SeenWriter},
    session::{Damaged, Place, Session},
};

/// Bytes that a cache may have on disk if it is not told.
const LIMIT: u64 = 4 << 30;
/// Marks the directory as a cache, for programs that make backups, and as ours.
const TAG: &str = "CACHEDIR.TAG";
/// The first line is what <https://bford.info/cachedir/> asks for.
const TAG_TEXT: &str =
    "Signature: 8a477f597d28d172789f06886806bc55\n# Compressed blocks, kept by bootway-squashfs.\n";

/// A directory with what was compressed before.
///
/// Any number of builds may use one at once, of any images and with any options. A build that is killed leaves
/// nothing behind that the next one does not remove, and a damaged cache costs time only.
///
/// ```
/// use bootway_squashfs::Cache;
///
/// let dir = tempfile::tempdir()?;
/// let cache = Cache::open(&dir.path().join("cache"))?.limit(512 << 20);
/// assert_eq!(cache.usage()?.packs, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Cache {
    dir: PathBuf,
    limit: u64,
}

impl Cache {
    /// The cache in `dir`, which is made if it is not there.
    ///
    /// An error if there are files in it that are not a cache's.
    pub fn open(dir: &Path) -> Result<Self, CacheError> {
        let cache = Self { dir: dir.to_owned(), limit: LIMIT };
        make(dir)?;
        if !fs::read_to_string(dir.join(TAG)).is_ok_and(|text| text == TAG_TEXT) {
            cache.adopt()?;
        }
        for name in ["packs", "seen"] {
            make(&dir.join(name))?;
        }
        Ok(cache)
    }

    /// At most so many bytes on disk, once a build is done; 4 GiB if not given.
    ///
    /// What was not used for longest goes first.
    #[must_use]
    pub fn limit(mut self, bytes: u64) -> Self {
        self.limit = bytes;
        self
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What it takes on disk now.
    pub fn usage(&self) -> Result<Usage, CacheError> {
        let packs = evict::packs(&self.packs())?;
        let seen: u64 = evict::seen(&self.seen())?.iter().map(|file| file.bytes).sum();
        Ok(Usage {
            bytes: seen + packs.values().map(|pack| pack.bytes).sum::<u64>(),
            packs: packs.values().filter(|pack| pack.whole()).count(),
        })
    }

    /// What a build holds while it uses the cache. `recipe` says all that compressed bytes depend on beside the input.
    pub(crate) fn session(&self, recipe: &str) -> Result<Session, CacheError> {
        Session::open(self.clone(), recipe)
    }

    fn packs(&self) -> PathBuf {
        self.dir.join("packs")
    }

    fn seen(&self) -> PathBuf {
        self.dir.join("seen")
    }

    /// Makes an empty directory ours.
    fn adopt(&self) -> Result<(), CacheError> {
        for entry in fs::read_dir(&self.dir)? {
            let name = entry?.file_name();
            let ours = name == TAG || name == "lock" || name == "packs" || name == "seen";
            if !ours && !temporary::is(&name) {
                let name = name.to_string_lossy().into_owned();
                return Err(CacheError::Foreign { dir: self.dir.clone(), name });
            }
        }
        let mut tag = temporary::Temporary::new(&self.dir)?;
        tag.write(TAG_TEXT.as_bytes())?;
        tag.rename(&self.dir.join(TAG))?;
        Ok(())
    }
}

/// A directory for its owner alone, and all above it, unless it is there.
fn make(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|error| {
        io::Error::new(error.kind(), format!("failed to create directory `{}`: {error}", dir.display()))
    })
}

/// What a cache takes on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes that its files occupy. Blocks that the file system shares with images count here too.
    pub bytes: u64,
    /// Packs, one for each build that compressed something anew.
    pub packs: usize,
}

/// The cache cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CacheError {
    /// The directory has something else in it.
    #[error("`{}` is not a cache, for `{name}` is in it: name an empty directory", dir.display())]
    Foreign {
        /// The directory.
        dir: PathBuf,
        /// The first name found that is not a cache's.
        name: String,
    },
    /// An image is larger than the cache.
    #[error("the image's blocks have {bytes} bytes, and the cache has room for {limit}: raise its limit")]
    Limit {
        /// Of the image's compressed blocks.
        bytes: u64,
        /// Of the cache.
        limit: u64,
    },
    /// The system refuses.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What an entry is found by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key([u8; 32]);

impl Key {
    /// Of a data block, by the hash of its content.
    pub(crate) fn block(content: &[u8; 32]) -> Self {
        Self::of(b"block", content)
    }

    /// Of a fragment, by the hash and the length in bytes of each of its members in their order.
    pub(crate) fn fragment<'a>(members: impl Iterator<Item = (&'a [u8; 32], u32)>) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"fragment\0");
        for (hash, length) in members {
            hasher.update(hash).update(&length.to_le_bytes());
        }
        Self(hasher.finalize().into())
    }

    /// Of a metadata block, by the hash of its content.
    pub(crate) fn metadata(content: &[u8; 32]) -> Self {
        Self::of(b"metadata", content)
    }

    fn of(domain: &[u8], content: &[u8; 32]) -> Self {
        Self(blake3::Hasher::new().update(domain).update(b"\0").update(content).finalize().into())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", hex(&self.0[..4]))
    }
}

/// What notices a damaged entry: 128 bits of XXH3.
pub(crate) fn sum(bytes: &[u8]) -> u128 {
    xxhash_rust::xxh3::xxh3_128(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;

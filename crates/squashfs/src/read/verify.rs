//! Everything in an image, unpacked and compared with everything else that the image says about it.
//!
//! There are no checksums in squashfs, so that this finds what is damaged in structure, and what a compressor notices;
//! not a changed byte in a block that is stored as it is. For that, compare with what the image was made of.

mod data;
mod inodes;
mod names;
mod problem;
mod tables;

use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use super::{Image, InodeRef, ReadError, extract::Progress};
use crate::format::inode::Type;
pub use problem::{Fault, Place, Problem};

/// Problems that are kept; the rest is counted.
const PROBLEMS_KEPT: usize = 1000;
/// Names that are looked through for those of files with problems.
const NAMES_SEARCHED: usize = 1 << 20;

/// How an image is verified.
#[derive(Clone)]
pub struct Verify<'a> {
    /// How many threads unpack; all processors if not given.
    pub threads: Option<NonZeroUsize>,
    /// Bytes that are unpacked at most: a small image can have a great deal. Without limit unless told otherwise.
    pub limit: u64,
    /// Told how far it is, often, by any thread. `entries` counts files, and blocks that are shared count once.
    pub progress: Option<&'a (dyn Fn(Progress) + Sync)>,
    /// Ends the work soon when it becomes true.
    pub cancel: Option<&'a AtomicBool>,
}

impl Default for Verify<'_> {
    fn default() -> Self {
        Self { threads: None, limit: u64::MAX, progress: None, cancel: None }
    }
}

impl std::fmt::Debug for Verify<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verify")
            .field("threads", &self.threads)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

/// What was found.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Verified {
    /// What is wrong, the first thousand, in the order of the tables.
    pub problems: Vec<Problem>,
    /// How many there were beyond those.
    pub more_problems: u64,
    /// What was looked at; only that is known to be sound.
    pub checked: Checked,
    /// Whether that is everything: neither cancelled nor beyond the limit, and nothing was hidden by a problem.
    pub complete: bool,
}

impl Verified {
    /// Whether everything was looked at and nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.complete && self.problems.is_empty()
    }
}

/// What was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Checked {
    /// Metadata blocks, of all tables.
    pub metadata_blocks: u64,
    /// Inodes.
    pub inodes: u64,
    /// Directories, entry by entry.
    pub directories: u64,
    /// Their entries.
    pub names: u64,
    /// Regular files, block by block.
    pub files: u64,
    /// Data blocks; those that several files share count once.
    pub data_blocks: u64,
    /// Blocks that are not stored because they are zeros.
    pub holes: u64,
    /// Fragments.
    pub fragments: u64,
    /// Bytes of data blocks and fragments, unpacked.
    pub bytes: u64,
    /// Sets of extended attributes.
    pub xattr_sets: u64,
    /// References of the export table.
    pub references: u64,
}

impl Image {
    /// Unpacks everything, and compares what the tables say of each other. It always ends, and says how much it saw.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use bootway_squashfs::read::{Image, Verify};
    ///
    /// let verified = Image::open("root.squashfs")?.verify(&Verify::default());
    /// for problem in &verified.problems {
    ///     println!("{problem}");
    /// }
    /// println!("{} files are sound: {}", verified.checked.files, verified.is_sound());
    /// # Ok(())
    /// # }
    /// ```
    pub fn verify(&self, options: &Verify<'_>) -> Verified {
        let run = Run {
            image: self,
            options,
            out: Mutex::new(Verified { complete: true, ..Verified::default() }),
            unpacked: AtomicU64::new(0),
            files: AtomicU64::new(0),
        };
        let ended = run.all().is_err();
        let mut out = run.out.into_inner().unwrap_or_else(PoisonError::into_inner);
        out.complete &= !ended;
        self.name_problems(&mut out.problems);
        out
    }

    /// Finds the paths of files with problems, as far as they can be found.
    fn name_problems(&self, problems: &mut [Problem]) {
        let mut unnamed: BTreeMap<u32, Vec<&mut Place>> = BTreeMap::new();
        for problem in problems {
            if let Place::Inode { number, path: None } = problem.place {
                unnamed.entry(number).or_default().push(&mut problem.place);
            }
        }
        let entries = if unnamed.is_empty() { 0 } else { NAMES_SEARCHED };
        // What cannot be walked has no paths, and that is among the problems already.
        for entry in self.entries().take(entries).map_while(Result::ok) {
            for place in unnamed.remove(&entry.stat().inode).unwrap_or_default() {
                *place = Place::Inode { number: entry.stat().inode, path: Some(entry.path().to_owned()) };
            }
            if unnamed.is_empty() {
                break;
            }
        }
    }
}

/// Cancelled, or beyond the limit.
struct Ended;

struct Run<'a> {
    image: &'a Image,
    options: &'a Verify<'a>,
    out: Mutex<Verified>,
    unpacked: AtomicU64,
    files: AtomicU64,
}

/// What is known of an inode.
struct Known {
    place: InodeRef,
    kind: Type,
    /// How many names it says that it has.
    links: u32,
    /// How many it has.
    names: u32,
}

/// All inodes by their numbers.
type Inodes = BTreeMap<u32, Known>;

impl Run<'_> {
    fn all(&self) -> Result<(), Ended> {
        self.tables()?;
        let mut inodes = self.inodes()?;
        self.names(&mut inodes)?;
        self.export(&inodes)?;
        self.xattr_sets()?;
        let fragments = self.fragments()?;
        self.files(&inodes, &fragments)
    }

    fn count(&self, count: impl FnOnce(&mut Checked)) {
        count(&mut self.out.lock().unwrap_or_else(PoisonError::into_inner).checked);
    }

    fn problem(&self, place: Place, fault: impl Into<Fault>) {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        if out.problems.len() < PROBLEMS_KEPT {
            out.problems.push(Problem { place, fault: fault.into() });
        } else {
            out.more_problems += 1;
        }
    }

    /// Something that stands in the way of looking at what is behind it.
    fn obstacle(&self, place: Place, fault: impl Into<Fault>) {
        self.problem(place, fault);
        self.out.lock().unwrap_or_else(PoisonError::into_inner).complete = false;
    }

    /// The value, or an obstacle.
    fn readable<T>(&self, place: impl FnOnce() -> Place, result: Result<T, ReadError>) -> Option<T> {
        result.map_err(|error| self.obstacle(place(), error)).ok()
    }

    /// Whether so many more bytes may be unpacked.
    fn spend(&self, bytes: u64) -> Result<(), Ended> {
        let before = self.unpacked.fetch_add(bytes, Ordering::Relaxed);
        let cancelled = self.options.cancel.is_some_and(|cancel| cancel.load(Ordering::Relaxed));
        if cancelled || before.saturating_add(bytes) > self.options.limit {
            return Err(Ended);
        }
        if let Some(progress) = self.options.progress {
            progress(Progress { entries: self.files.load(Ordering::Relaxed), bytes: before + bytes });
        }
        Ok(())
    }
}

//! A build's view of the cache: finds entries, and gives their bytes if they are sound.

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    hash::{BuildHasherDefault, Hasher},
    io::{self, Read as _},
    ops::Range,
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use fs_err as fs;
use rustix::{
    io::Errno,
    time::{ClockId, clock_gettime},
};

use super::{
    Cache, CacheError, Key,
    index::{self, HEADER, Item},
    pack, sum, temporary,
};

/// Shorter stretches are written faster than shared.
const WORTH_SHARING: u64 = 64 << 10;
/// No index is larger: it would name 70 million entries.
const INDEX_LIMIT: u64 = 4 << 30;

/// A build's view of the cache. While there is one, no pack goes away.
pub(crate) struct Session {
    pub(super) cache: Cache,
    pub(super) lock: File,
    pub(super) recipe: [u8; 32],
    /// Of this recipe, the newest first: what is in several is taken from the newest, for the image that it came from
    /// is most like the next.
    pub(super) packs: Vec<Pack>,
    /// Names of indexes that are damaged.
    pub(super) broken: Vec<String>,
    map: HashMap<Key, (u32, u32), BuildHasherDefault<Direct>>,
    /// By pack and offset.
    damaged: Mutex<HashSet<(u32, u64)>>,
    any_damaged: AtomicBool,
    shares: OnceLock<bool>,
    refused: AtomicBool,
    began: i128,
}

/// Of one earlier build.
pub(super) struct Pack {
    pub(super) name: String,
    path: PathBuf,
    pub(super) items: Vec<Item>,
    /// Bytes that the file has.
    size: u64,
    file: OnceLock<Option<File>>,
}

/// Where compressed bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Which pack, counted from 0.
    pub(crate) pack: u32,
    /// Where in it, bytes.
    pub(crate) offset: u64,
    /// How many bytes.
    pub(crate) length: u32,
    /// Whether they are the content itself, since it did not become shorter.
    pub(crate) stored: bool,
    pub(super) sum: u128,
}

impl Place {
    pub(super) fn of(pack: u32, item: &Item) -> Self {
        let Item { offset, length, stored, sum, .. } = *item;
        Self { pack, offset, length, stored, sum }
    }

    /// The first byte behind it.
    pub(crate) fn end(&self) -> u64 {
        self.offset + u64::from(self.length)
    }
}

/// An entry has other bytes than were put in. It is not found again: [`Session::find`] may know another place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Damaged {
    /// Which of the run, counted from 0; the first, if there are several.
    pub(crate) at: usize,
}

/// Keys are hashes already.
#[derive(Default)]
pub(super) struct Direct(u64);

impl Hasher for Direct {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 ^= u64::from_ne_bytes(*first);
        }
    }
}

impl Session {
    pub(super) fn open(cache: Cache, recipe: &str) -> Result<Self, CacheError> {
        let clock = clock_gettime(ClockId::RealtimeCoarse); // What the times of files are taken from.
        let mut options = fs::OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let lock = options.open(cache.dir.join("lock"))?.into_file();
        lock.lock_shared()?;
        let dir = cache.packs();
        for dir in [&cache.dir, &dir, &cache.seen()] {
            temporary::sweep(dir)?;
        }
        let mut session = Self {
            cache,
            lock,
            recipe: blake3::hash(recipe.as_bytes()).into(),
            packs: Vec::new(),
            broken: Vec::new(),
            map: HashMap::default(),
            damaged: Mutex::default(),
            any_damaged: AtomicBool::new(false),
            shares: OnceLock::new(),
            refused: AtomicBool::new(false),
            began: i128::from(clock.tv_sec) * 1_000_000_000 + i128::from(clock.tv_nsec),
        };
        session.load(&dir)?;
        Ok(session)
    }

    /// When it was opened, nanoseconds since 1970, by the clock that times of files are taken from: what is read from
    /// now on is read after this moment.
    pub(crate) fn began(&self) -> i128 {
        self.began
    }

    /// Where the bytes of that key are, if they are anywhere.
    pub(crate) fn find(&self, key: &Key) -> Option<Place> {
        let &(pack, item) = self.map.get(key)?;
        let place = Place::of(pack, &self.packs[pack as usize].items[item as usize]);
        if !self.any_damaged.load(Ordering::Acquire) || !self.is_damaged(&place) {
            return Some(place);
        }
        (pack + 1..self.packs.len() as u32).find_map(|pack| {
            let items = &self.packs[pack as usize].items;
            let item = items.binary_search_by(|item| item.key.cmp(key)).ok()?;
            Some(Place::of(pack, &items[item])).filter(|place| !self.is_damaged(place))
        })
    }

    /// The bytes of those places, one behind the other, in place of what is in `out`. It is one read for all that lie
    /// one behind the other in a pack. If any is damaged, what is in `out` is good for nothing.
    pub(crate) fn read(&self, run: &[Place], out: &mut Vec<u8>) -> Result<(), Damaged> {
        let total: usize = run.iter().map(|place| place.length as usize).sum();
        out.resize(total, 0);
        let mut first = None;
        let (mut at, mut filled) = (0, 0);
        while at < run.len() {
            let stretch = &run[at..at + contiguous(&run[at..])];
            let length: usize = stretch.iter().map(|place| place.length as usize).sum();
            let bytes = &mut out[filled..filled + length];
            if let Some(damaged) = self.stretch(stretch, bytes) {
                first = first.or(Some(Damaged { at: at + damaged }));
            }
            at += stretch.len();
            filled += length;
        }
        first.map_or(Ok(()), Err)
    }

    /// Lets `to` have at `at` the blocks of a run that was read and found sound, without copying them. Returns which
    /// bytes of the run are there now: none, unless the places lie one behind the other, the file system shares blocks,
    /// and both offsets are at the same place in a block. The others are for the caller to write.
    pub(crate) fn share(&self, run: &[Place], to: &File, at: u64) -> io::Result<Range<u64>> {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { return Ok(0..0) };
        if contiguous(run) != run.len() || self.refused.load(Ordering::Relaxed) {
            return Ok(0..0);
        }
        let block = pack::BLOCK;
        let (from, end) = (first.offset.next_multiple_of(block), last.end() - last.end() % block);
        if first.offset % block != at % block || end < from + WORTH_SHARING || !self.shares() {
            return Ok(0..0);
        }
        let Some(file) = self.packs[first.pack as usize].file() else { return Ok(0..0) };
        let skipped = from - first.offset;
        let (mut source, mut target) = (from, at + skipped);
        while source < end {
            let length = (end - source) as usize;
            match rustix::fs::copy_file_range(file, Some(&mut source), to, Some(&mut target), length) {
                Ok(0) => break,
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) if pack::is_refusal(error) => {
                    self.refused.store(true, Ordering::Relaxed);
                    break;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(skipped..source - first.offset)
    }

    /// How many entries turned out to be damaged.
    pub(crate) fn damaged(&self) -> usize {
        self.damaged.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Reads every index of this recipe.
    fn load(&mut self, dir: &Path) -> io::Result<()> {
        let mut packs = Vec::new();
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != "index") {
                continue;
            }
            let Some(name) = path.file_stem().and_then(|stem| stem.to_str()) else { continue };
            let items = match self.index(&path)? {
                index::Read::Items(items) => items,
                index::Read::Other => continue,
                index::Read::Damaged => {
                    self.broken.push(name.to_owned());
                    continue;
                }
            };
            let data = path.with_extension("pack");
            let Ok(meta) = std::fs::metadata(&data) else {
                self.broken.push(name.to_owned());
                continue;
            };
            let made = (meta.mtime(), meta.mtime_nsec());
            let name = name.to_owned();
            packs.push((made, Pack { name, path: data, items, size: meta.len(), file: OnceLock::new() }));
        }
        packs.sort_by(|(a, x), (b, y)| b.cmp(a).then_with(|| y.name.cmp(&x.name)));
        self.packs = packs.into_iter().map(|(_, pack)| pack).collect();
        self.map.reserve(self.packs.iter().map(|pack| pack.items.len()).sum());
        for (number, pack) in (0..).zip(&self.packs) {
            for (position, item) in (0..).zip(&pack.items) {
                if pack.holds(item) {
                    self.map.entry(item.key).or_insert((number, position));
                }
            }
        }
        Ok(())
    }

    fn index(&self, path: &Path) -> io::Result<index::Read> {
        let mut file = match fs::File::open(path) {
            Ok(file) => file.into_file(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(index::Read::Other),
            Err(error) => return Err(error),
        };
        let size = file.metadata()?.len();
        let mut header = [0; HEADER];
        if size > INDEX_LIMIT || file.read_exact(&mut header).is_err() {
            return Ok(index::Read::Damaged);
        }
        if !index::concerns(&header, &self.recipe) {
            return Ok(index::Read::Other);
        }
        let mut bytes = Vec::with_capacity(size as usize + 1);
        bytes.extend_from_slice(&header);
        Ok(match file.take(INDEX_LIMIT).read_to_end(&mut bytes) {
            Ok(_) => index::decode(&bytes, &self.recipe),
            Err(_) => index::Read::Damaged,
        })
    }

    pub(super) fn is_damaged(&self, place: &Place) -> bool {
        !self.packs[place.pack as usize].reaches(place.end())
            || (self.any_damaged.load(Ordering::Acquire)
                && self
                    .damaged
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .contains(&(place.pack, place.offset)))
    }

    /// Reads places that lie one behind the other, and says which is the first that is damaged.
    fn stretch(&self, stretch: &[Place], bytes: &mut [u8]) -> Option<usize> {
        let file = self.packs[stretch[0].pack as usize].file();
        let read = file.is_some_and(|file| file.read_exact_at(bytes, stretch[0].offset).is_ok());
        if !read && stretch.len() > 1 {
            // Some may be readable still.
            let mut first = None;
            let mut at = 0;
            for (number, place) in stretch.iter().enumerate() {
                let length = place.length as usize;
                let damaged = self.stretch(&[*place], &mut bytes[at..at + length]);
                first = first.or(damaged.map(|_| number));
                at += length;
            }
            return first;
        }
        let mut first = None;
        let mut at = 0;
        for (number, place) in stretch.iter().enumerate() {
            let length = place.length as usize;
            if !read || sum(&bytes[at..at + length]) != place.sum {
                self.damaged
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .insert((place.pack, place.offset));
                self.any_damaged.store(true, Ordering::Release);
                first = first.or(Some(number));
            }
            at += length;
        }
        first
    }

    fn shares(&self) -> bool {
        *self.shares.get_or_init(|| pack::shares_blocks(&self.cache.packs()))
    }
}

impl Pack {
    fn holds(&self, item: &Item) -> bool {
        self.reaches(item.offset + u64::from(item.length))
    }

    fn reaches(&self, end: u64) -> bool {
        end <= self.size
    }

    fn file(&self) -> Option<&File> {
        self.file.get_or_init(|| File::open(&self.path).ok()).as_ref()
    }
}

/// How many places from the first on lie one behind the other.
fn contiguous(run: &[Place]) -> usize {
    let follows = |pair: &[Place]| pair[0].pack == pair[1].pack && pair[0].end() == pair[1].offset;
    run.windows(2).take_while(|pair| follows(pair)).count() + usize::from(!run.is_empty())
}

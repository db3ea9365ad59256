//! The end of a build: what its image holds goes into the cache.

use std::{collections::HashSet, fs::File, hash::BuildHasherDefault, io};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW};

use super::{
    CacheError, Key,
    evict::Evict,
    index::Item,
    pack,
    seen::SeenWriter,
    session::{Direct, Place, Session},
};

/// An image whose entries are in more packs than this gets one pack of its own.
const PACKS: usize = 16;

/// What an image holds at an offset.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    item: Item,
    fresh: bool,
}

impl Entry {
    /// Compressed by this build: `length` bytes at `offset` of the image, whose [`sum`](super::sum) is `sum`.
    pub(crate) fn fresh(key: Key, offset: u64, length: u32, stored: bool, sum: u128) -> Self {
        Self { item: Item { key, offset, length, stored, sum }, fresh: true }
    }

    /// Taken from the cache, and now at `offset` of the image.
    pub(crate) fn reused(key: Key, offset: u64, place: &Place) -> Self {
        let Place { length, stored, sum, .. } = *place;
        Self { item: Item { key, offset, length, stored, sum }, fresh: false }
    }

    /// Whether this build compressed it.
    #[cfg(test)]
    pub(super) fn is_fresh(&self) -> bool {
        self.fresh
    }
}

/// What became of what a build gave to the cache.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Committed {
    /// Why the next build will take longer than it need, if it will.
    pub(crate) warning: Option<String>,
    /// Bytes of compressed blocks that went into a new pack.
    pub(crate) added: u64,
    /// Packs that were removed.
    pub(crate) removed: usize,
    /// Entries that were found damaged.
    pub(crate) damaged: usize,
}

type Missing = HashSet<Key, BuildHasherDefault<Direct>>;

/// Which packs this build lives from, and whether it should rather have one of its own.
struct Plan {
    /// Positions in the session's packs; together they have all that was reused.
    used: Vec<usize>,
    merge: bool,
}

impl Session {
    /// Keeps what the image holds, and what its files contained. `entries` is all that the image holds, in any order,
    /// so that a full pack can be made if it is scattered over many; `image` can be read, and is not changed any more.
    pub(crate) fn commit(self, image: &File, entries: &[Entry], seen: Option<SeenWriter>) -> Committed {
        let mut committed = Committed { damaged: self.damaged(), ..Committed::default() };
        let entries = unique(entries);
        let plan = self.plan(&entries);
        let saved = seen.map_or(Ok(()), |seen| seen.save(&self.cache));
        let kept = self.keep(image, &entries, &plan);
        let (keep, merged) = match &kept {
            Ok(Some(written)) if plan.merge => (vec![written.clone()], true),
            Ok(written) => (self.names(&plan.used).chain(written.clone()).collect(), false),
            Err(_) => (self.names(&plan.used).collect(), false),
        };
        if let Ok(Some(_)) = kept {
            committed.added = bytes(entries.iter().filter(|entry| merged || entry.fresh));
        }
        let touched: Result<(), CacheError> =
            if merged { Ok(()) } else { self.names(&plan.used).try_for_each(|name| self.touch(&name)) };
        let mut drop = self.broken.clone();
        if merged {
            let has = |key: &Key| entries.binary_search_by(|entry| entry.item.key.cmp(key)).is_ok();
            let inside = self.packs.iter().filter(|pack| pack.items.iter().all(|item| has(&item.key)));
            drop.extend(inside.map(|pack| pack.name.clone()));
        }
        // What was broken may be whole again, under the same name.
        drop.retain(|name| !keep.contains(name));
        let evicted = Evict { cache: &self.cache, keep: &keep, drop: &drop }.run(&self.lock);
        committed.removed = *evicted.as_ref().unwrap_or(&0);
        let errors = [kept.err(), saved.err(), touched.err(), evicted.err().map(CacheError::from)];
        committed.warning = errors
            .into_iter()
            .flatten()
            .next()
            .map(|error| format!("what was compressed could not be kept for the next build: {error}"));
        committed
    }

    /// Makes a pack if one is to be made, and says its name.
    fn keep(&self, image: &File, entries: &[Entry], plan: &Plan) -> Result<Option<String>, CacheError> {
        let chosen: Vec<Item> =
            entries.iter().filter(|entry| plan.merge || entry.fresh).map(|entry| entry.item).collect();
        if chosen.is_empty() {
            return Ok(None);
        }
        let (all, limit) = (bytes(entries.iter()), self.cache.limit);
        if all > limit {
            return Err(CacheError::Limit { bytes: all, limit });
        }
        Ok(Some(pack::write(&self.cache.packs(), image, &self.recipe, &chosen)?.name))
    }

    /// `entries` ascend by key.
    fn plan(&self, entries: &[Entry]) -> Plan {
        let mut missing: Missing = HashSet::default();
        missing.extend(entries.iter().filter(|entry| !entry.fresh).map(|entry| entry.item.key));
        // How much of each is of this image: those with most first.
        let mut live: Vec<(u64, usize)> = Vec::new();
        for (number, pack) in self.packs.iter().enumerate() {
            let of_this = pack.items.iter().filter(|item| missing.contains(&item.key));
            let sum: u64 = of_this.map(|item| u64::from(item.length)).sum();
            if sum > 0 {
                live.push((sum, number));
            }
        }
        live.sort_by_key(|&(sum, number)| (u64::MAX - sum, number));
        let mut used = Vec::new();
        let (mut biggest, mut mostly_dead, mut whole) = (0, false, 0);
        for (sum, number) in live {
            if missing.is_empty() {
                break;
            }
            if !self.helps(number, &mut missing) {
                continue;
            }
            used.push(number);
            let size: u64 = self.packs[number].items.iter().map(|item| u64::from(item.length)).sum();
            whole += size;
            if size > biggest {
                (biggest, mostly_dead) = (size, sum * 2 < size);
            }
        }
        let fresh = bytes(entries.iter().filter(|entry| entry.fresh));
        let (packs, limit) = (used.len() + usize::from(fresh > 0), self.cache.limit);
        let crowded = packs > PACKS || mostly_dead || (fresh > 0 && whole + fresh > limit);
        let merge = !used.is_empty() && crowded && bytes(entries.iter()) <= limit;
        Plan { used, merge }
    }

    /// Takes what that pack has off the keys that are missing, and says whether there was any.
    fn helps(&self, number: usize, missing: &mut Missing) -> bool {
        let mut helps = false;
        for item in &self.packs[number].items {
            let place = Place::of(number as u32, item);
            helps |= !self.is_damaged(&place) && missing.remove(&item.key);
        }
        helps
    }

    fn names(&self, packs: &[usize]) -> impl Iterator<Item = String> {
        packs.iter().map(|&pack| self.packs[pack].name.clone())
    }

    /// Says that a pack was used now.
    fn touch(&self, name: &str) -> Result<(), CacheError> {
        Ok(now(&self.cache.packs().join(format!("{name}.index")))?)
    }
}

/// Sets when the file was changed to now, by the file system's clock.
pub(super) fn now(path: &std::path::Path) -> io::Result<()> {
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    let times = Timestamps { last_access: now, last_modification: now };
    Ok(rustix::fs::utimensat(CWD, path, &times, AtFlags::empty())?)
}

fn bytes<'a>(entries: impl Iterator<Item = &'a Entry>) -> u64 {
    entries.map(|entry| u64::from(entry.item.length)).sum()
}

/// By key; of what is there twice, the one nearest to the beginning.
fn unique(entries: &[Entry]) -> Vec<Entry> {
    let mut items = entries.to_vec();
    items.sort_unstable_by(|a, b| a.item.key.cmp(&b.item.key).then(a.item.offset.cmp(&b.item.offset)));
    items.dedup_by_key(|entry| entry.item.key);
    items
}

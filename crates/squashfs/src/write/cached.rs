//! Takes blocks from the cache into the image, in runs, and makes anew what turns out to be damaged.

use std::time::Instant;

use super::{
    WriteError,
    emit::{Emitter, Item, Purpose},
    pool::Ticket,
    work::{Done, Job, Part, Piece},
};
use crate::cache::{self, Hash, Key, Place};

/// Bytes that are fetched from the cache at once.
pub(super) const RUN: u64 = 1 << 20;
/// Bytes that are fetched before it is their turn.
const FETCH_AHEAD: u64 = 4 * RUN;

/// How the bytes of a cached block are made if the cache turns out to be damaged.
pub(super) enum Recovery<'t> {
    Content(Vec<(Piece<'t>, Hash)>),
    Metadata(Box<[u8]>),
}

/// A cached block.
pub(super) struct Cached<'t> {
    pub(super) place: Place,
    pub(super) purpose: Purpose,
    pub(super) key: Key,
    /// Bytes of its content.
    pub(super) raw: u64,
    pub(super) recovery: Recovery<'t>,
}

impl<'t> Emitter<'t, '_> {
    /// Takes a block from the cache, with its neighbours.
    pub(super) fn take(&mut self, entry: Cached<'t>) -> Result<(), WriteError> {
        self.tally.cached += entry.raw;
        if let (Some(first), Some(last)) = (self.run.first(), self.run.last()) {
            let end = last.place.offset + u64::from(last.place.length);
            if (last.place.pack, end) != (entry.place.pack, entry.place.offset)
                || end - first.place.offset >= RUN
            {
                self.send_run();
            }
        }
        self.run.push(entry);
        self.drain()
    }

    pub(super) fn send_run(&mut self) {
        if self.run.is_empty() {
            return;
        }
        let entries = std::mem::take(&mut self.run);
        self.ahead += entries.iter().map(|entry| entry.raw).sum::<u64>();
        self.queue.push_back(Item::Run { ticket: None, entries });
    }

    /// Lets the next runs be fetched, but not all: what has been fetched takes memory.
    pub(super) fn fetch(&mut self) {
        while self.fetching < FETCH_AHEAD
            && let Some(item) = self.queue.get_mut(self.looked_at)
        {
            self.looked_at += 1;
            if let Item::Run { ticket, entries } = item {
                let places = entries.iter().map(|entry| entry.place).collect();
                self.fetching += entries.iter().map(Cached::weight).sum::<u64>();
                *ticket = Some(self.pool.submit(Job::Fetch(places), true));
            }
        }
    }

    pub(super) fn find(&self, key: Option<Key>) -> Option<(Key, Place)> {
        let (session, key) = (self.session?, key?);
        session.find(&key).map(|place| (key, place))
    }

    /// Where the cache has a block; if it cannot be made again later, it is looked at now.
    pub(super) fn find_sound(&self, key: Option<Key>, gone: bool) -> Option<(Key, Place)> {
        let (key, place) = self.find(key)?;
        let sound = !gone || self.session?.read(&[place], &mut Vec::new()).is_ok();
        sound.then_some((key, place))
    }

    pub(super) fn write_run(&mut self, ticket: Ticket, entries: Vec<Cached<'t>>) -> Result<(), WriteError> {
        let Done::Fetched { data, damaged } = self.pool.wait(ticket) else {
            unreachable!("a worker answers what it was asked")
        };
        self.fetching -= entries.iter().map(Cached::weight).sum::<u64>();
        self.ahead -= entries.iter().map(|entry| entry.raw).sum::<u64>();
        if damaged.is_some() {
            return entries.into_iter().try_for_each(|entry| self.write_entry(entry));
        }
        let begun = Instant::now();
        let at = self.output.position();
        let places: Vec<Place> = entries.iter().map(|entry| entry.place).collect();
        let session = self.session.expect("only a session gives places");
        // A file system that cannot share says so by sharing nothing; whatever is not shared is written.
        let shared = session.share(&places, self.output.file(), at).unwrap_or(0..0);
        let (from, to) = (shared.start as usize, shared.end as usize);
        self.output.put(&data[..from], at)?;
        self.output.put(&data[to..], at + shared.end)?;
        self.output.advance(data.len() as u64);
        self.tally.shared += shared.end - shared.start;
        self.writing += begun.elapsed();
        let mut offset = at;
        for entry in entries {
            self.place(entry.purpose, offset, entry.place.length, entry.place.stored);
            self.entries.push(cache::Entry::reused(entry.key, offset, &entry.place));
            self.tally.done += entry.raw;
            offset += u64::from(entry.place.length);
        }
        Ok(())
    }

    /// Writes one block of a run of which some are damaged.
    fn write_entry(&mut self, entry: Cached<'t>) -> Result<(), WriteError> {
        let session = self.session.expect("only a session gives places");
        let mut data = Vec::new();
        if session.read(&[entry.place], &mut data).is_ok() {
            let offset = self.output.position();
            self.append(&data)?;
            self.tally.done += entry.raw;
            self.place(entry.purpose, offset, entry.place.length, entry.place.stored);
            self.entries.push(cache::Entry::reused(entry.key, offset, &entry.place));
            return Ok(());
        }
        self.tally.damaged += 1;
        self.tally.cached -= entry.raw;
        self.tally.compressed += entry.raw;
        let job = match entry.recovery {
            Recovery::Metadata(raw) => Job::Metadata(raw),
            Recovery::Content(members) if members.iter().any(|(piece, _)| piece.is_gone()) => {
                return Err(WriteError::CacheChanged);
            }
            Recovery::Content(members) => {
                Job::Pack(members.into_iter().map(|(piece, hash)| Part::Again { piece, hash }).collect())
            }
        };
        let ticket = self.pool.submit(job, true);
        let packed = self.packed(ticket)?;
        self.write_packed(entry.purpose, Some(entry.key), &packed)?;
        self.tally.done += entry.raw;
        Ok(())
    }
}

impl Cached<'_> {
    /// Bytes in memory when it has been fetched.
    fn weight(&self) -> u64 {
        self.place.length.into()
    }
}

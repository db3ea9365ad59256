//! Puts blocks into the image in their order, whoever is done first.

use std::{
    collections::VecDeque,
    num::NonZeroUsize,
    ops::Range,
    sync::Arc,
    thread::Scope,
    time::{Duration, Instant},
};

use super::{
    WriteError,
    buffers::{Buffer, Buffers},
    cached::{Cached, Recovery},
    layout::Block,
    output::Output,
    pool::{Pool, Ticket},
    work::{Done, Hashed, Job, Packed, Part, Piece, Spent, Worker},
};
use crate::{
    BlockSize, Compressor,
    cache::{self, Hash, Key, Place, Session},
    format::block::{DataBlock, METADATA},
};

/// Bytes of content that wait for a worker, if blocks are small.
const WAITING: u64 = 2 << 20;
/// Bytes of content from the cache that wait for what is before them: as much as it takes to find work for all workers
/// where little has changed.
const AHEAD: u64 = 64 << 20;

/// What a block of the image is, beside its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Block(Block),
    Fragment(u32),
    Metadata,
}

/// What comes next in the image.
pub(super) enum Item<'t> {
    /// A worker compresses it.
    Packing { ticket: Ticket, purpose: Purpose, key: Option<Key>, raw: u64 },
    /// It lies in the cache, one behind the other.
    Run { ticket: Option<Ticket>, entries: Vec<Cached<'t>> },
    /// It is the same as an earlier block.
    Repeat { block: Block, of: Block, raw: u64 },
}

/// A metadata block that is not in the image yet.
#[derive(Debug)]
pub(super) struct Loose {
    /// With its header.
    pub(super) bytes: Vec<u8>,
    key: Option<Key>,
    sum: u128,
    place: Option<Place>,
}

/// Where blocks have been put.
#[derive(Debug, Default)]
pub(super) struct Placed {
    /// For each data block, where it begins in the image, and its size there.
    pub(super) blocks: Vec<(u64, DataBlock)>,
    /// The same for each fragment.
    pub(super) fragments: Vec<(u64, DataBlock)>,
    /// For each metadata block since they were taken last, where it begins.
    pub(super) metadata: Vec<u64>,
}

/// What was done, in bytes of content.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Dealt with, in whatever way.
    pub(super) done: u64,
    /// Compressed now.
    pub(super) compressed: u64,
    /// Taken from the cache.
    pub(super) cached: u64,
    /// Copied from earlier in the image.
    pub(super) repeated: u64,
    /// Bytes of the image that share the cache's place on the disk.
    pub(super) shared: u64,
    /// Entries of the cache that were damaged.
    pub(super) damaged: u64,
}

/// The image, what is on its way into it, and the threads that work for it.
pub(super) struct Emitter<'t, 'w> {
    pub(super) pool: Pool<Job<'t>, Done>,
    pub(super) output: Output,
    pub(super) session: Option<&'w Session>,
    pub(super) queue: VecDeque<Item<'t>>,
    /// Bytes of content in the queue that wait for a worker.
    waiting: u64,
    most_waiting: u64,
    /// Bytes of content in the queue that come from the cache; of those that have been asked for, bytes of the image.
    pub(super) ahead: u64,
    pub(super) fetching: u64,
    /// How much of the queue has been asked for.
    pub(super) looked_at: usize,
    pub(super) run: Vec<Cached<'t>>,
    pub(super) placed: Placed,
    /// All that the image holds, for the cache.
    pub(super) entries: Vec<cache::Entry>,
    pub(super) tally: Tally,
    pub(super) writing: Duration,
    report: &'w (dyn Fn(&Tally, u64) + Sync),
}

impl<'t, 'w> Emitter<'t, 'w> {
    /// Starts the threads.
    #[expect(clippy::too_many_arguments, reason = "each is a different thing, said once")]
    pub(super) fn start<'scope, 'env>(
        scope: &'scope Scope<'scope, 'env>,
        output: Output,
        (compressor, block_size): (Compressor, BlockSize),
        threads: NonZeroUsize,
        session: Option<&'w Session>,
        raw: &Buffers,
        spent: &'w Spent,
        report: &'w (dyn Fn(&Tally, u64) + Sync),
    ) -> Result<Self, WriteError>
    where
        't: 'scope,
        'w: 'scope,
    {
        let (packed, fetched) = (Buffers::default(), Buffers::default());
        let pool = Pool::start(scope, threads, || {
            let packer = compressor.packer(block_size)?;
            let (raw, packed, fetched) = (raw.clone(), packed.clone(), fetched.clone());
            let mut worker = Worker { packer, session, raw, packed, fetched, spent };
            Ok::<_, WriteError>(move |job: Job<'t>| worker.work(job))
        })?;
        Ok(Self {
            pool,
            output,
            session,
            queue: VecDeque::new(),
            waiting: 0,
            most_waiting: (u64::from(block_size.get()) * (threads.get() as u64 * 2 + 1)).max(WAITING),
            ahead: 0,
            fetching: 0,
            looked_at: 0,
            run: Vec::new(),
            placed: Placed::default(),
            entries: Vec::new(),
            tally: Tally::default(),
            writing: Duration::ZERO,
            report,
        })
    }

    /// Lets somebody read, or hash what has been read; before anything is compressed, since that waits for it.
    pub(super) fn hash(&mut self, job: Job<'t>) -> Ticket {
        self.pool.submit(job, true)
    }

    /// What was read.
    pub(super) fn hashed(&mut self, ticket: Ticket) -> Result<Hashed, WriteError> {
        match self.pool.wait(ticket) {
            Done::Read(read) => read,
            _ => unreachable!("a worker answers what it was asked"),
        }
    }

    /// Puts a data block into the image; `data` is its content if it is at hand, `piece` where it can be read.
    pub(super) fn block(
        &mut self,
        block: Block,
        hash: Hash,
        piece: Piece<'t>,
        data: Option<(Arc<Buffer>, Range<usize>)>,
    ) -> Result<(), WriteError> {
        let raw = u64::from(piece.length);
        let key = self.session.map(|_| Key::block(&hash));
        if let Some((key, place)) = self.find_sound(key, piece.is_gone()) {
            let recovery = Recovery::Content(vec![(piece, hash)]);
            return self.take(Cached { place, purpose: Purpose::Block(block), key, raw, recovery });
        }
        let part = match data {
            Some((data, range)) => Part::Ready { data, range },
            None => Part::Again { piece, hash },
        };
        self.pack(Job::Pack(vec![part]), Purpose::Block(block), key, raw)
    }

    /// Puts a data block into the image that is the same as an earlier one.
    pub(super) fn repeat(&mut self, block: Block, of: Block, raw: u64) -> Result<(), WriteError> {
        self.send_run();
        self.tally.repeated += raw;
        self.queue.push_back(Item::Repeat { block, of, raw });
        self.drain()
    }

    fn fragment_key(&self, members: &[(Piece<'t>, Hash)]) -> Option<Key> {
        self.session.map(|_| Key::fragment(members.iter().map(|(piece, hash)| (hash, piece.length))))
    }

    /// Puts a fragment into the image: as `parts` if they are at hand.
    pub(super) fn fragment(
        &mut self,
        number: u32,
        members: Vec<(Piece<'t>, Hash)>,
        parts: Vec<Part<'t>>,
    ) -> Result<(), WriteError> {
        let raw = members.iter().map(|(piece, _)| u64::from(piece.length)).sum();
        let key = self.fragment_key(&members);
        let purpose = Purpose::Fragment(number);
        let gone = members.iter().any(|(piece, _)| piece.is_gone());
        if let Some((key, place)) = self.find_sound(key, gone) {
            return self.take(Cached { place, purpose, key, raw, recovery: Recovery::Content(members) });
        }
        self.pack(Job::Pack(parts), purpose, key, raw)
    }

    /// Puts a metadata block into the image.
    pub(super) fn metadata(&mut self, raw: Box<[u8]>) -> Result<(), WriteError> {
        debug_assert!(!raw.is_empty() && raw.len() <= METADATA);
        let key = self.session.map(|_| Key::metadata(blake3::hash(&raw).as_bytes()));
        if let Some((key, place)) = self.find(key) {
            let recovery = Recovery::Metadata(raw);
            return self.take(Cached { place, purpose: Purpose::Metadata, key, raw: 0, recovery });
        }
        self.pack(Job::Metadata(raw), Purpose::Metadata, key, 0)
    }

    /// Makes a metadata block, header included, that is put into the image later: see [`Self::loose`].
    pub(super) fn make_metadata(&mut self, raw: Box<[u8]>) -> Result<Loose, WriteError> {
        let key = self.session.map(|_| Key::metadata(blake3::hash(&raw).as_bytes()));
        if let (Some(session), Some((key, place))) = (self.session, self.find(key)) {
            let mut bytes = Vec::new();
            if session.read(&[place], &mut bytes).is_ok() {
                return Ok(Loose { bytes, key: Some(key), sum: 0, place: Some(place) });
            }
            self.tally.damaged += 1;
        }
        let ticket = self.pool.submit(Job::Metadata(raw), true);
        let packed = self.packed(ticket)?;
        Ok(Loose { bytes: packed.data.to_vec(), key, sum: packed.sum, place: None })
    }

    /// Puts a metadata block into the image, behind everything that is on its way.
    pub(super) fn loose(&mut self, block: &Loose) -> Result<(), WriteError> {
        self.flush()?;
        let (offset, length) = (self.output.position(), block.bytes.len() as u32);
        self.append(&block.bytes)?;
        if let Some(key) = block.key {
            self.entries.push(match &block.place {
                Some(place) => cache::Entry::reused(key, offset, place),
                None => cache::Entry::fresh(key, offset, length, false, block.sum),
            });
        }
        Ok(())
    }

    fn pack(&mut self, job: Job<'t>, purpose: Purpose, key: Option<Key>, raw: u64) -> Result<(), WriteError> {
        self.send_run();
        let ticket = self.pool.submit(job, false);
        self.queue.push_back(Item::Packing { ticket, purpose, key, raw });
        self.waiting += raw.max(METADATA as u64);
        self.tally.compressed += raw;
        self.drain()
    }

    /// Writes what is done, and waits while too much is not.
    pub(super) fn drain(&mut self) -> Result<(), WriteError> {
        self.fetch();
        while self.waiting > self.most_waiting || self.ahead > AHEAD || self.front_is_done() {
            self.retire()?;
        }
        Ok(())
    }

    fn front_is_done(&mut self) -> bool {
        match self.queue.front() {
            None | Some(Item::Run { ticket: None, .. }) => false,
            Some(Item::Repeat { .. }) => true,
            Some(Item::Packing { ticket, .. } | Item::Run { ticket: Some(ticket), .. }) => {
                self.pool.is_done(*ticket)
            }
        }
    }

    /// Writes everything that is on its way.
    pub(super) fn flush(&mut self) -> Result<(), WriteError> {
        self.send_run();
        while !self.queue.is_empty() {
            self.retire()?;
        }
        Ok(())
    }

    /// Writes the front of the queue.
    fn retire(&mut self) -> Result<(), WriteError> {
        self.fetch();
        self.looked_at = self.looked_at.saturating_sub(1);
        match self.queue.pop_front() {
            None => return Ok(()),
            Some(Item::Repeat { block, of, raw }) => {
                self.write_again(block, of)?;
                self.tally.done += raw;
            }
            Some(Item::Packing { ticket, purpose, key, raw }) => {
                self.waiting -= raw.max(METADATA as u64);
                let packed = self.packed(ticket)?;
                self.write_packed(purpose, key, &packed)?;
                self.tally.done += raw;
            }
            Some(Item::Run { ticket, entries }) => {
                let ticket = ticket.expect("the front of the queue has been asked for");
                self.write_run(ticket, entries)?;
            }
        }
        (self.report)(&self.tally, self.output.position());
        Ok(())
    }

    pub(super) fn packed(&mut self, ticket: Ticket) -> Result<Packed, WriteError> {
        match self.pool.wait(ticket) {
            Done::Packed(packed) => packed,
            _ => unreachable!("a worker answers what it was asked"),
        }
    }

    pub(super) fn write_packed(
        &mut self,
        purpose: Purpose,
        key: Option<Key>,
        packed: &Packed,
    ) -> Result<(), WriteError> {
        let (offset, length) = (self.output.position(), packed.data.len() as u32);
        self.append(&packed.data)?;
        self.place(purpose, offset, length, packed.stored);
        if let Some(key) = key {
            self.entries.push(cache::Entry::fresh(key, offset, length, packed.stored, packed.sum));
        }
        Ok(())
    }

    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        let begun = Instant::now();
        self.output.append(bytes)?;
        self.writing += begun.elapsed();
        Ok(())
    }

    pub(super) fn place(&mut self, purpose: Purpose, offset: u64, length: u32, stored: bool) {
        let block = if stored { DataBlock::Stored(length) } else { DataBlock::Packed(length) };
        match purpose {
            Purpose::Block(number) => {
                debug_assert_eq!(number.0 as usize, self.placed.blocks.len());
                self.placed.blocks.push((offset, block));
            }
            Purpose::Fragment(number) => {
                debug_assert_eq!(number as usize, self.placed.fragments.len());
                self.placed.fragments.push((offset, block));
            }
            Purpose::Metadata => self.placed.metadata.push(offset),
        }
    }

    /// Writes a block that is in the image already.
    fn write_again(&mut self, block: Block, of: Block) -> Result<(), WriteError> {
        let (offset, size) = self.placed.blocks[of.0 as usize];
        let mut bytes = vec![0; size.len() as usize];
        self.output.read(&mut bytes, offset)?;
        let at = self.output.position();
        self.append(&bytes)?;
        debug_assert_eq!(block.0 as usize, self.placed.blocks.len());
        self.placed.blocks.push((at, size));
        Ok(())
    }
}

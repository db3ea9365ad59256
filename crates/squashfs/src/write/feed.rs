//! Takes the files of a tree one after the other; reading and hashing run ahead in other threads.

use std::{
    collections::VecDeque,
    io::Read,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use super::{
    WriteError,
    buffers::{Buffer, Buffers},
    decide::{Begin, Data, Decider, Fed},
    layout::Packing,
    pool::Ticket,
    work::{Job, Origin, Piece},
};
use crate::{
    cache::{HOLE, Hash, Seen},
    tree::{Content, Id},
};

/// Bytes that are read at once, if blocks are smaller.
const BATCH: usize = 128 << 10;
/// Files that are read at once.
const BATCH_PIECES: usize = 128;
/// Events that wait for their turn.
const WINDOW: usize = 2048;

/// What happens next, in the order of the image.
enum Event<'t> {
    Begin(Begin<'t>),
    /// Some bytes, whose hash is known or comes with the next batch.
    Piece(Piece<'t>, Option<Hash>),
}

/// A batch that has been read.
struct Batch {
    data: Arc<Buffer>,
    hashes: Vec<Hash>,
    next: usize,
    at: usize,
}

/// The way of contents into the image.
pub(super) struct Feed<'t, 'w> {
    decider: Decider<'t, 'w>,
    raw: Buffers,
    seen: Option<&'w Seen>,
    window: VecDeque<Event<'t>>,
    batches: VecDeque<Ticket>,
    most_batches: usize,
    pending: Vec<Piece<'t>>,
    pending_bytes: usize,
    batch: Option<Batch>,
    cancel: Option<&'w AtomicBool>,
}

impl<'t, 'w> Feed<'t, 'w> {
    /// `seen` says what files contained that have not changed.
    pub(super) fn new(
        decider: Decider<'t, 'w>,
        threads: usize,
        raw: Buffers,
        seen: Option<&'w Seen>,
        cancel: Option<&'w AtomicBool>,
    ) -> Self {
        Self {
            decider,
            raw,
            seen,
            window: VecDeque::new(),
            batches: VecDeque::new(),
            most_batches: threads * 2 + 1,
            pending: Vec::new(),
            pending_bytes: 0,
            batch: None,
            cancel,
        }
    }

    /// Takes a regular file of a tree; `path` is its first name.
    pub(super) fn file(&mut self, id: Id, content: &'t Content, path: &[u8]) -> Result<(), WriteError> {
        let size = content.size();
        if size == 0 {
            return Ok(());
        }
        let begin = |origin: &Origin<'t>| {
            let (origin, closes) = (origin.clone(), Packing::closes(path));
            Event::Begin(Begin { id, origin, content: Some(content), size, closes })
        };
        let pieces = self.decider.pieces(size);
        if let Some(seen) = self.seen
            && let Content::File { ident, .. } = content
            && let Some(hashes) = seen.lookup(ident)
            && hashes.len() as u64 == pieces
        {
            // What has changed since is read now, and not when it is waited for.
            self.send_pending();
            let origin = Origin::Content(content);
            self.push(begin(&origin))?;
            for (index, hash) in hashes.iter().enumerate() {
                let piece = self.decider.piece(&origin, size, index as u64);
                self.push(Event::Piece(piece, Some(*hash)))?;
            }
            return Ok(());
        }
        if pieces == 1 {
            let origin = Origin::Content(content);
            self.push(begin(&origin))?;
            return self.read(self.decider.piece(&origin, size, 0));
        }
        let opened = Arc::new(content.open()?);
        let origin = Origin::Opened(Arc::clone(&opened));
        self.push(begin(&origin))?;
        for index in 0..pieces {
            let piece = self.decider.piece(&origin, size, index);
            if piece.block && opened.is_hole(piece.offset, piece.offset + u64::from(piece.length)) {
                if piece.last {
                    opened.unchanged()?;
                }
                self.push(Event::Piece(piece, Some(HOLE)))?;
            } else {
                self.read(piece)?;
            }
        }
        Ok(())
    }

    /// Takes a regular file of `size` bytes out of a stream.
    pub(super) fn stream(
        &mut self,
        id: Id,
        size: u64,
        path: &[u8],
        reader: &mut dyn Read,
    ) -> Result<(), WriteError> {
        if size == 0 {
            return Ok(());
        }
        let closes = Packing::closes(path);
        self.push(Event::Begin(Begin { id, origin: Origin::Gone, content: None, size, closes }))?;
        for index in 0..self.decider.pieces(size) {
            let piece = self.decider.piece(&Origin::Gone, size, index);
            let length = piece.length as usize;
            let mut data = self.raw.at_least(length);
            let read = reader.read_exact(&mut data[..length]);
            read.map_err(|error| WriteError::Stream { member: path.into(), error })?;
            let ticket = self.decider.emitter.hash(Job::Hash { data, pieces: vec![piece.clone()] });
            self.batches.push_back(ticket);
            self.push(Event::Piece(piece, None))?;
        }
        Ok(())
    }

    /// Lets a piece be read, with others.
    fn read(&mut self, piece: Piece<'t>) -> Result<(), WriteError> {
        let length = piece.length as usize;
        if self.pending_bytes + length > BATCH.max(self.decider.block_size as usize)
            || self.pending.len() == BATCH_PIECES
        {
            self.send_pending();
        }
        self.pending_bytes += length;
        self.pending.push(piece.clone());
        self.push(Event::Piece(piece, None))
    }

    fn send_pending(&mut self) {
        if !self.pending.is_empty() {
            self.pending_bytes = 0;
            let ticket = self.decider.emitter.hash(Job::Read(std::mem::take(&mut self.pending)));
            self.batches.push_back(ticket);
        }
    }

    fn push(&mut self, event: Event<'t>) -> Result<(), WriteError> {
        self.window.push_back(event);
        self.make_room()
    }

    fn make_room(&mut self) -> Result<(), WriteError> {
        while self.batches.len() > self.most_batches || self.window.len() > WINDOW {
            self.step()?;
        }
        Ok(())
    }

    /// Deals with the next event.
    fn step(&mut self) -> Result<(), WriteError> {
        if self.cancel.is_some_and(|cancel| cancel.load(Ordering::Relaxed)) {
            return Err(WriteError::Cancelled);
        }
        match self.window.pop_front() {
            None => Ok(()),
            Some(Event::Begin(file)) => {
                self.decider.begin(file);
                Ok(())
            }
            Some(Event::Piece(piece, Some(hash))) => self.decider.take(piece, hash, None),
            Some(Event::Piece(piece, None)) => {
                let (hash, data) = self.next_of_batch(piece.length as usize)?;
                self.decider.take(piece, hash, data)
            }
        }
    }

    fn next_of_batch(&mut self, length: usize) -> Result<(Hash, Data), WriteError> {
        if self.batch.as_ref().is_none_or(|batch| batch.next == batch.hashes.len()) {
            self.batch = None;
            if self.batches.is_empty() {
                self.send_pending();
            }
            let ticket = self.batches.pop_front().expect("every piece was given to somebody");
            let hashed = self.decider.emitter.hashed(ticket)?;
            self.batch = Some(Batch { data: Arc::new(hashed.data), hashes: hashed.hashes, next: 0, at: 0 });
        }
        let batch = self.batch.as_mut().expect("it has just been looked at");
        let range = batch.at..batch.at + length;
        let hash = batch.hashes[batch.next];
        batch.at = range.end;
        batch.next += 1;
        let data = Some((Arc::clone(&batch.data), range));
        if batch.next == batch.hashes.len() {
            self.batch = None;
        }
        Ok((hash, data))
    }

    /// Deals with all that was given, and waits until it is in the image.
    pub(super) fn complete(mut self) -> Result<Fed<'t, 'w>, WriteError> {
        while !self.window.is_empty() {
            self.step()?;
        }
        self.decider.complete()
    }
}

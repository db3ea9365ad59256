//! Takes the files of a tree one after the other, and decides what of them the image holds.
//!
//! Reading and hashing run ahead in other threads; decisions are made here, in order, and from hashes alone. So they
//! are the same whether a file was read now or by an earlier build.

use std::{
    collections::VecDeque,
    fs::File,
    io::Read,
    ops::Range,
    os::unix::fs::FileExt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use super::{
    WriteError,
    buffers::{Buffer, Buffers},
    emit::Emitter,
    fragment::OpenFragment,
    layout::{Block, Layout, Packing, Tail},
    pool::Ticket,
    work::{Job, Origin, Piece},
};
use crate::{
    BlockSize,
    cache::{HOLE, Hash, Seen, SeenWriter},
    tree::{Content, Id},
};

/// Bytes that are read at once, if blocks are smaller.
const BATCH: usize = 128 << 10;
/// Files that are read at once.
const BATCH_PIECES: usize = 128;
/// Events that wait for their turn.
const WINDOW: usize = 2048;

/// Where a file's content is in the image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FilePlace {
    /// The first of its blocks that are no holes.
    pub(super) first: Option<Block>,
    /// Its blocks, holes too; not its end in a fragment.
    pub(super) blocks: u32,
    /// Which of them are holes: ascending ranges.
    pub(super) holes: Vec<Range<u32>>,
    /// Its end, if that is in a fragment.
    pub(super) tail: Option<Tail>,
}

/// What happens next, in the order of the image.
enum Event<'t> {
    Begin {
        id: Id,
        origin: Origin<'t>,
        content: Option<&'t Content>,
        size: u64,
        closes: bool,
    },
    /// Some bytes, whose hash is known or comes with the next batch.
    Piece {
        piece: Piece<'t>,
        hash: Option<Hash>,
    },
}

/// How the blocks of a file that has begun are dealt with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// All so far were holes.
    Undecided,
    /// Its first block is new, so all of its blocks are put into the image.
    Fresh,
    /// Its first block is in the image already: perhaps it needs none of its own.
    Waiting,
}

/// A file that has begun.
struct Begun<'t> {
    id: Id,
    origin: Origin<'t>,
    /// As the tree says; not for what streams.
    content: Option<&'t Content>,
    size: u64,
    closes: bool,
    mode: Mode,
    hashes: Vec<Hash>,
    place: FilePlace,
}

/// Bytes of a batch.
type Data = Option<(Arc<Buffer>, Range<usize>)>;

/// A batch that has been read.
struct Batch {
    data: Arc<Buffer>,
    hashes: Vec<Hash>,
    next: usize,
    at: usize,
}

/// What was done without compressing.
#[derive(Debug, Default)]
pub(super) struct Saved {
    /// Bytes that are in the image once already.
    pub(super) duplicates: u64,
    /// Bytes of holes.
    pub(super) holes: u64,
}

/// The way of contents into the image.
pub(super) struct Feed<'t, 'w> {
    pub(super) emitter: Emitter<'t, 'w>,
    layout: Layout,
    packing: Packing,
    block_size: u32,
    tail_ends: bool,
    raw: Buffers,
    seen: Option<&'w Seen>,
    recorder: Option<(SeenWriter, i128)>,
    window: VecDeque<Event<'t>>,
    batches: VecDeque<Ticket>,
    most_batches: usize,
    pending: Vec<Piece<'t>>,
    pending_bytes: usize,
    batch: Option<Batch>,
    begun: Option<Begun<'t>>,
    fragment: OpenFragment<'t>,
    fragments: u32,
    spool: Option<Arc<File>>,
    spooled: u64,
    places: Vec<Option<FilePlace>>,
    pub(super) saved: Saved,
    cancel: Option<&'w AtomicBool>,
}

impl<'t, 'w> Feed<'t, 'w> {
    pub(super) fn new(
        emitter: Emitter<'t, 'w>,
        (block_size, tail_ends, threads): (BlockSize, bool, usize),
        raw: Buffers,
        (seen, recorder): (Option<&'w Seen>, Option<(SeenWriter, i128)>),
        cancel: Option<&'w AtomicBool>,
    ) -> Self {
        Self {
            emitter,
            layout: Layout::default(),
            packing: Packing::new(block_size.get()),
            block_size: block_size.get(),
            tail_ends,
            raw,
            seen,
            recorder,
            window: VecDeque::new(),
            batches: VecDeque::new(),
            most_batches: threads * 2 + 1,
            pending: Vec::new(),
            pending_bytes: 0,
            batch: None,
            begun: None,
            fragment: OpenFragment::default(),
            fragments: 0,
            spool: None,
            spooled: 0,
            places: Vec::new(),
            saved: Saved::default(),
            cancel,
        }
    }

    /// Takes a regular file of a tree; `path` is its first name.
    pub(super) fn file(&mut self, id: Id, content: &'t Content, path: &[u8]) -> Result<(), WriteError> {
        let size = content.size();
        if size == 0 {
            return Ok(());
        }
        let closes = Packing::closes(path);
        let pieces = size.div_ceil(self.block_size.into()) as usize;
        if let Some(seen) = self.seen
            && let Content::File { ident, .. } = content
            && let Some(hashes) = seen.lookup(ident)
            && hashes.len() == pieces
        {
            let origin = Origin::Content(content);
            self.push(Event::Begin { id, origin: origin.clone(), content: Some(content), size, closes })?;
            for (index, hash) in hashes.iter().enumerate() {
                let piece = self.piece(&origin, size, index as u64);
                self.push(Event::Piece { piece, hash: Some(*hash) })?;
            }
            return Ok(());
        }
        if pieces == 1 {
            let origin = Origin::Content(content);
            self.push(Event::Begin { id, origin: origin.clone(), content: Some(content), size, closes })?;
            return self.read(self.piece(&origin, size, 0));
        }
        let opened = Arc::new(content.open()?);
        let origin = Origin::Opened(Arc::clone(&opened));
        self.push(Event::Begin { id, origin: origin.clone(), content: Some(content), size, closes })?;
        for index in 0..pieces as u64 {
            let piece = self.piece(&origin, size, index);
            if piece.block && opened.is_hole(piece.offset, piece.offset + u64::from(piece.length)) {
                if piece.last {
                    opened.unchanged()?;
                }
                self.push(Event::Piece { piece, hash: Some(HOLE) })?;
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
        self.push(Event::Begin { id, origin: Origin::Gone, content: None, size, closes })?;
        for index in 0..size.div_ceil(self.block_size.into()) {
            let piece = self.piece(&Origin::Gone, size, index);
            let length = piece.length as usize;
            let mut data = self.raw.at_least(length);
            reader.read_exact(&mut data[..length]).map_err(WriteError::Stream)?;
            self.push(Event::Piece { piece: piece.clone(), hash: None })?;
            let ticket = self.emitter.hash(Job::Hash { data, pieces: vec![piece] });
            self.batches.push_back(ticket);
            self.make_room()?;
        }
        Ok(())
    }

    /// Says that one more file is this one.
    fn put_place(&mut self, id: Id, place: FilePlace) {
        let index = id.index();
        if self.places.len() <= index {
            self.places.resize(index + 1, None);
        }
        self.places[index] = Some(place);
    }

    /// The part of a file of `size` bytes that is its block of that number.
    fn piece(&self, origin: &Origin<'t>, size: u64, index: u64) -> Piece<'t> {
        let offset = index * u64::from(self.block_size);
        let length = (size - offset).min(self.block_size.into()) as u32;
        let last = offset + u64::from(length) == size;
        let block = length == self.block_size || (offset > 0 && !self.tail_ends);
        Piece { origin: origin.clone(), offset, length, last, block }
    }

    /// Lets a piece be read, with others.
    fn read(&mut self, piece: Piece<'t>) -> Result<(), WriteError> {
        let length = piece.length as usize;
        if self.pending_bytes + length > BATCH.max(self.block_size as usize)
            || self.pending.len() == BATCH_PIECES
        {
            self.send_pending();
        }
        self.pending_bytes += length;
        self.pending.push(piece.clone());
        self.push(Event::Piece { piece, hash: None })
    }

    fn send_pending(&mut self) {
        if !self.pending.is_empty() {
            self.pending_bytes = 0;
            let ticket = self.emitter.hash(Job::Read(std::mem::take(&mut self.pending)));
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
            Some(Event::Begin { id, origin, content, size, closes }) => {
                self.begun = Some(Begun {
                    id,
                    origin,
                    content,
                    size,
                    closes,
                    mode: Mode::Undecided,
                    hashes: Vec::new(),
                    place: FilePlace::default(),
                });
                Ok(())
            }
            Some(Event::Piece { piece, hash: Some(hash) }) => self.take(piece, hash, None),
            Some(Event::Piece { piece, hash: None }) => {
                let (hash, data) = self.next_of_batch(piece.length as usize)?;
                self.take(piece, hash, data)
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
            let hashed = self.emitter.hashed(ticket)?;
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

    /// Decides about a piece of the file that has begun.
    fn take(&mut self, piece: Piece<'t>, hash: Hash, data: Data) -> Result<(), WriteError> {
        let mut begun = self.begun.take().expect("a file begins before its pieces");
        let index = begun.hashes.len() as u32;
        begun.hashes.push(hash);
        let (last, length) = (piece.last, u64::from(piece.length));
        if !piece.block {
            self.finish_blocks(&mut begun, None)?;
            begun.place.tail = Some(self.tail(piece, hash, data, begun.closes)?);
            self.finish(begun);
            return Ok(());
        }
        begun.place.blocks += 1;
        let mut kept = None;
        if hash == HOLE {
            self.saved.holes += length;
            self.emitter.tally.done += length;
            match begun.place.holes.last_mut() {
                Some(range) if range.end == index => range.end += 1,
                _ => begun.place.holes.push(index..index + 1),
            }
        } else {
            if begun.mode == Mode::Undecided {
                begun.mode = if self.layout.holds(&hash) { Mode::Waiting } else { Mode::Fresh };
            }
            if begun.mode == Mode::Fresh {
                let block = self.block(piece, hash, data)?;
                begun.place.first.get_or_insert(block);
            } else {
                let piece =
                    if begun.content.is_none() { self.keep(&mut begun, piece, &data)? } else { piece };
                kept = Some((piece, hash, data));
            }
        }
        if last {
            self.finish_blocks(&mut begun, kept)?;
            self.finish(begun);
            return Ok(());
        }
        self.begun = Some(begun);
        Ok(())
    }

    /// Keeps a piece of a stream that may be needed again, in a file that has no name.
    fn keep(
        &mut self,
        begun: &mut Begun<'t>,
        mut piece: Piece<'t>,
        data: &Data,
    ) -> Result<Piece<'t>, WriteError> {
        if matches!(begun.origin, Origin::Gone) {
            if self.spool.is_none() {
                self.spool = Some(Arc::new(tempfile::tempfile().map_err(WriteError::Spool)?));
            }
            let file = Arc::clone(self.spool.as_ref().expect("it is there now"));
            begun.origin = Origin::Spooled { file, offset: self.spooled };
        }
        let Origin::Spooled { file, offset } = &begun.origin else { return Ok(piece) };
        let (bytes, range) = data.as_ref().expect("a stream is read as it comes");
        file.write_all_at(&bytes[range.clone()], offset + piece.offset).map_err(WriteError::Spool)?;
        piece.origin = begun.origin.clone();
        Ok(piece)
    }

    /// All blocks of a file are known; `last` is the last one, if it is not in the image.
    fn finish_blocks(
        &mut self,
        begun: &mut Begun<'t>,
        last: Option<(Piece<'t>, Hash, Data)>,
    ) -> Result<(), WriteError> {
        if begun.mode != Mode::Waiting {
            return Ok(());
        }
        let blocks = begun.place.blocks as usize;
        if let Some(first) = self.layout.run(&begun.hashes[..blocks]) {
            begun.place.first = Some(first);
            self.save(begun, blocks);
            return Ok(());
        }
        if let Some((mut piece, hash, data)) = last
            && piece.last
            && piece.length < self.block_size
            && let Some(first) = self.layout.run(&begun.hashes[..blocks - 1])
        {
            begun.place.first = Some(first);
            begun.place.blocks -= 1;
            self.save(begun, blocks - 1);
            piece.block = false;
            begun.place.tail = Some(self.tail(piece, hash, data, begun.closes)?);
            return Ok(());
        }
        // Whatever of it went by is read again.
        for (index, hash) in begun.hashes[..blocks].iter().enumerate() {
            if *hash != HOLE {
                let piece = self.piece(&begun.origin, begun.size, index as u64);
                let block = self.block(piece, *hash, None)?;
                begun.place.first.get_or_insert(block);
            }
        }
        if matches!(begun.origin, Origin::Spooled { .. }) {
            self.spooled += begun.size;
        }
        Ok(())
    }

    /// Counts the first blocks of a file, which are in the image already.
    fn save(&mut self, begun: &Begun<'t>, blocks: usize) {
        let size = u64::from(self.block_size);
        let length = |index: usize| size.min(begun.size - index as u64 * size);
        let solid = begun.hashes[..blocks].iter().enumerate().filter(|(_, hash)| **hash != HOLE);
        let bytes: u64 = solid.map(|(index, _)| length(index)).sum();
        self.saved.duplicates += bytes;
        self.emitter.tally.done += bytes;
    }

    fn block(&mut self, piece: Piece<'t>, hash: Hash, data: Data) -> Result<Block, WriteError> {
        let earlier = self.layout.latest(&hash);
        let block = self.layout.append(hash);
        match earlier {
            Some(of) => self.emitter.repeat(block, of, piece.length.into())?,
            None => self.emitter.block(block, hash, piece, data)?,
        }
        Ok(block)
    }

    fn tail(&mut self, piece: Piece<'t>, hash: Hash, data: Data, closes: bool) -> Result<Tail, WriteError> {
        let length = piece.length;
        if let Some(tail) = self.layout.tail(hash, length) {
            self.saved.duplicates += u64::from(length);
            self.emitter.tally.done += u64::from(length);
            return Ok(tail);
        }
        if self.packing.ends(self.fragment.filled, length, closes) {
            self.close_fragment()?;
        }
        let tail = Tail { fragment: self.fragments, offset: self.fragment.filled };
        self.fragment.add(piece, hash, data, &self.raw, self.block_size);
        self.layout.put_tail(hash, length, tail);
        Ok(tail)
    }

    fn close_fragment(&mut self) -> Result<(), WriteError> {
        let fragment = std::mem::take(&mut self.fragment);
        if fragment.filled == 0 {
            return Ok(());
        }
        let number = self.fragments;
        self.fragments += 1;
        let (members, parts) = fragment.close();
        self.emitter.fragment(number, members, parts)
    }

    /// Remembers where a file is, and what it contains.
    fn finish(&mut self, begun: Begun<'t>) {
        if let (Some((recorder, began)), Some(Content::File { ident, .. })) =
            (&mut self.recorder, begun.content)
        {
            recorder.record(ident, &begun.hashes, *began);
        }
        self.put_place(begun.id, begun.place);
    }

    /// Deals with all that was given, and waits until it is in the image.
    pub(super) fn complete(mut self) -> Result<Fed<'t, 'w>, WriteError> {
        while !self.window.is_empty() {
            self.step()?;
        }
        self.close_fragment()?;
        self.emitter.flush()?;
        Ok(Fed {
            emitter: self.emitter,
            places: self.places,
            saved: self.saved,
            recorder: self.recorder.map(|(recorder, _)| recorder),
        })
    }
}

/// What is left when all contents are in the image.
pub(super) struct Fed<'t, 'w> {
    pub(super) emitter: Emitter<'t, 'w>,
    /// By the number of the file in the tree.
    pub(super) places: Vec<Option<FilePlace>>,
    pub(super) saved: Saved,
    pub(super) recorder: Option<SeenWriter>,
}

//! Decides, in the order of the tree and from hashes alone, which bytes the image holds and which files share them.

use std::{ops::Range, os::unix::fs::FileExt, sync::Arc};

use super::{
    WriteError,
    buffers::{Buffer, Buffers},
    emit::Emitter,
    fragment::OpenFragment,
    layout::{Block, Layout, Packing, Tail},
    work::{Origin, Piece},
};
use crate::{
    BlockSize,
    cache::{HOLE, Hash, SeenWriter},
    tree::{Content, Id},
};

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

/// A file whose pieces are about to come.
pub(super) struct Begin<'t> {
    pub(super) id: Id,
    /// Where its bytes can be read, again if need be.
    pub(super) origin: Origin<'t>,
    /// As the tree says; nothing for what streams.
    pub(super) content: Option<&'t Content>,
    /// Bytes.
    pub(super) size: u64,
    /// Whether its path closes fragments.
    pub(super) closes: bool,
}

/// A file that has begun.
struct Begun<'t> {
    file: Begin<'t>,
    mode: Mode,
    hashes: Vec<Hash>,
    place: FilePlace,
}

/// The bytes of a piece, if they are at hand.
pub(super) type Data = Option<(Arc<Buffer>, Range<usize>)>;

/// What was done without compressing.
#[derive(Debug, Default)]
pub(super) struct Saved {
    /// Bytes that are in the image once already.
    pub(super) duplicates: u64,
    /// Bytes of holes.
    pub(super) holes: u64,
}

/// Decides what becomes of each file.
pub(super) struct Decider<'t, 'w> {
    pub(super) emitter: Emitter<'t, 'w>,
    layout: Layout,
    packing: Packing,
    pub(super) block_size: u32,
    tail_ends: bool,
    raw: Buffers,
    recorder: Option<(SeenWriter, i128)>,
    begun: Option<Begun<'t>>,
    fragment: OpenFragment<'t>,
    fragments: u32,
    spool: Option<Arc<std::fs::File>>,
    spooled: u64,
    places: Vec<Option<FilePlace>>,
    saved: Saved,
}

impl<'t, 'w> Decider<'t, 'w> {
    pub(super) fn new(
        emitter: Emitter<'t, 'w>,
        (block_size, tail_ends): (BlockSize, bool),
        raw: Buffers,
        recorder: Option<(SeenWriter, i128)>,
    ) -> Self {
        Self {
            emitter,
            layout: Layout::default(),
            packing: Packing::new(block_size.get()),
            block_size: block_size.get(),
            tail_ends,
            raw,
            recorder,
            begun: None,
            fragment: OpenFragment::default(),
            fragments: 0,
            spool: None,
            spooled: 0,
            places: Vec::new(),
            saved: Saved::default(),
        }
    }

    /// The pieces that come now are of this file, which is not empty.
    pub(super) fn begin(&mut self, file: Begin<'t>) {
        let (hashes, place) = (Vec::new(), FilePlace::default());
        self.begun = Some(Begun { file, mode: Mode::Undecided, hashes, place });
    }

    /// How many pieces a file of `size` bytes has.
    pub(super) fn pieces(&self, size: u64) -> u64 {
        size.div_ceil(self.block_size.into())
    }

    /// The part of a file of `size` bytes that is its block of that number.
    pub(super) fn piece(&self, origin: &Origin<'t>, size: u64, index: u64) -> Piece<'t> {
        let offset = index * u64::from(self.block_size);
        let length = (size - offset).min(self.block_size.into()) as u32;
        let last = offset + u64::from(length) == size;
        let block = length == self.block_size || (offset > 0 && !self.tail_ends);
        Piece { origin: origin.clone(), offset, length, last, block }
    }

    /// Decides about a piece of the file that has begun.
    pub(super) fn take(&mut self, piece: Piece<'t>, hash: Hash, data: Data) -> Result<(), WriteError> {
        let mut begun = self.begun.take().expect("a file begins before its pieces");
        let index = begun.hashes.len() as u32;
        begun.hashes.push(hash);
        let (last, length) = (piece.last, u64::from(piece.length));
        if !piece.block {
            self.finish_blocks(&mut begun, None)?;
            begun.place.tail = Some(self.tail(piece, hash, data, begun.file.closes)?);
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
                    if begun.file.content.is_none() { self.keep(&mut begun, piece, &data)? } else { piece };
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
        if matches!(begun.file.origin, Origin::Gone) {
            if self.spool.is_none() {
                self.spool = Some(Arc::new(tempfile::tempfile().map_err(WriteError::Spool)?));
            }
            let file = Arc::clone(self.spool.as_ref().expect("it is there now"));
            begun.file.origin = Origin::Spooled { file, offset: self.spooled };
        }
        let Origin::Spooled { file, offset } = &begun.file.origin else { return Ok(piece) };
        let (bytes, range) = data.as_ref().expect("a stream is read as it comes");
        file.write_all_at(&bytes[range.clone()], offset + piece.offset).map_err(WriteError::Spool)?;
        piece.origin = begun.file.origin.clone();
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
            begun.place.tail = Some(self.tail(piece, hash, data, begun.file.closes)?);
            return Ok(());
        }
        // Whatever of it went by is read again.
        for (index, hash) in begun.hashes[..blocks].iter().enumerate() {
            if *hash != HOLE {
                let piece = self.piece(&begun.file.origin, begun.file.size, index as u64);
                let block = self.block(piece, *hash, None)?;
                begun.place.first.get_or_insert(block);
            }
        }
        if matches!(begun.file.origin, Origin::Spooled { .. }) {
            self.spooled += begun.file.size;
        }
        Ok(())
    }

    /// Counts the first blocks of a file, which are in the image already.
    fn save(&mut self, begun: &Begun<'t>, blocks: usize) {
        let size = u64::from(self.block_size);
        let length = |index: usize| size.min(begun.file.size - index as u64 * size);
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
        self.layout.gap();
        let (members, parts) = fragment.close();
        self.emitter.fragment(number, members, parts)
    }

    /// Remembers where a file is, and what it contains.
    fn finish(&mut self, begun: Begun<'t>) {
        if let (Some((recorder, began)), Some(Content::File { ident, .. })) =
            (&mut self.recorder, begun.file.content)
        {
            recorder.record(ident, &begun.hashes, *began);
        }
        self.put_place(begun.file.id, begun.place);
    }

    /// Says that one more file is this one.
    fn put_place(&mut self, id: Id, place: FilePlace) {
        let index = id.index();
        if self.places.len() <= index {
            self.places.resize(index + 1, None);
        }
        self.places[index] = Some(place);
    }

    /// Waits until everything is in the image.
    pub(super) fn complete(mut self) -> Result<Fed<'t, 'w>, WriteError> {
        self.close_fragment()?;
        self.emitter.flush()?;
        let recorder = self.recorder.map(|(recorder, _)| recorder);
        Ok(Fed { emitter: self.emitter, places: self.places, saved: self.saved, recorder })
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

//! What workers do: read and hash pieces of files, fetch cached blocks, compress.

use std::{
    borrow::Cow,
    fs::File,
    ops::Range,
    os::unix::fs::FileExt,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    WriteError,
    buffers::{Buffer, Buffers},
};
use crate::{
    cache::{Damaged, HOLE, Hash, Place, Session, sum},
    codec::Packer,
    tree::{Content, Opened, TreeError},
};

/// Where a file's bytes are, seen from any thread.
#[derive(Clone)]
pub(super) enum Origin<'t> {
    /// As the tree says.
    Content(&'t Content),
    /// The same, open already: for files of several pieces.
    Opened(Arc<Opened<'t>>),
    /// From this byte on in a file of our own.
    Spooled { file: Arc<File>, offset: u64 },
    /// It came from a stream, and is gone.
    Gone,
}

/// Some bytes of one file, at most a block.
#[derive(Clone)]
pub(super) struct Piece<'t> {
    pub(super) origin: Origin<'t>,
    /// Where they begin in the file.
    pub(super) offset: u64,
    pub(super) length: u32,
    /// Whether they are all that the file has, or its end: then it is looked at once more when they have been read.
    pub(super) last: bool,
    /// Whether they may become a hole: a block, but not the end of a file inside a fragment.
    pub(super) block: bool,
}

/// Work for any worker.
pub(super) enum Job<'t> {
    /// Read these, and hash each.
    Read(Vec<Piece<'t>>),
    /// These have been read from a stream; hash each.
    Hash { data: Buffer, pieces: Vec<Piece<'t>> },
    /// Compress what these make together.
    Pack(Vec<Part<'t>>),
    /// Compress a metadata block, header included.
    Metadata(Box<[u8]>),
    /// Read these from the cache.
    Fetch(Vec<Place>),
}

/// A part of what is compressed.
pub(super) enum Part<'t> {
    /// In memory.
    Ready { data: Arc<Buffer>, range: Range<usize> },
    /// To be read once more; it must still be the same.
    Again { piece: Piece<'t>, hash: Hash },
}

/// What became of a job.
pub(super) enum Done {
    Read(Result<Hashed, WriteError>),
    Packed(Result<Packed, WriteError>),
    Fetched { data: Buffer, damaged: Option<Damaged> },
}

/// What was read, and the hash of each piece.
pub(super) struct Hashed {
    pub(super) data: Buffer,
    pub(super) hashes: Vec<Hash>,
}

/// A compressed block.
pub(super) struct Packed {
    pub(super) data: Buffer,
    /// Whether it is stored as it was, since it did not become smaller.
    pub(super) stored: bool,
    /// Over `data`, for the cache.
    pub(super) sum: u128,
}

/// Time that all workers together spent, in nanoseconds.
#[derive(Debug, Default)]
pub(super) struct Spent {
    pub(super) read: AtomicU64,
    pub(super) hash: AtomicU64,
    pub(super) pack: AtomicU64,
    pub(super) fetch: AtomicU64,
    /// Bytes, not time: what was read of the host's files.
    pub(super) bytes: AtomicU64,
}

impl Spent {
    fn time<T>(counter: &AtomicU64, work: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let result = work();
        counter.fetch_add(begun.elapsed().as_nanos() as u64, Ordering::Relaxed);
        result
    }

    pub(super) fn get(counter: &AtomicU64) -> Duration {
        Duration::from_nanos(counter.load(Ordering::Relaxed))
    }
}

/// What a worker has.
pub(super) struct Worker<'w> {
    pub(super) packer: Packer,
    pub(super) session: Option<&'w Session>,
    pub(super) raw: Buffers,
    pub(super) packed: Buffers,
    /// For runs from the cache, which are larger than blocks.
    pub(super) fetched: Buffers,
    pub(super) spent: &'w Spent,
}

impl Worker<'_> {
    pub(super) fn work(&mut self, job: Job<'_>) -> Done {
        match job {
            Job::Read(pieces) => Done::Read(self.read(&pieces)),
            Job::Hash { data, pieces } => {
                let hashes = self.hash(&data, &pieces);
                Done::Read(Ok(Hashed { data, hashes }))
            }
            Job::Pack(parts) => Done::Packed(self.pack(&parts)),
            Job::Metadata(raw) => Done::Packed(self.metadata(&raw)),
            Job::Fetch(places) => self.fetch(&places),
        }
    }

    fn read(&self, pieces: &[Piece<'_>]) -> Result<Hashed, WriteError> {
        let length = pieces.iter().map(|piece| piece.length as usize).sum();
        let mut data = self.raw.at_least(length);
        Spent::time(&self.spent.read, || {
            let mut at = 0;
            for piece in pieces {
                let end = at + piece.length as usize;
                piece.read(&mut data[at..end])?;
                at = end;
            }
            Ok::<_, WriteError>(())
        })?;
        self.spent.bytes.fetch_add(length as u64, Ordering::Relaxed);
        let hashes = self.hash(&data, pieces);
        Ok(Hashed { data, hashes })
    }

    fn hash(&self, data: &[u8], pieces: &[Piece<'_>]) -> Vec<Hash> {
        let mut at = 0;
        let next = |piece: &Piece<'_>| {
            let bytes = &data[at..at + piece.length as usize];
            at += piece.length as usize;
            content_hash(bytes, piece.block)
        };
        Spent::time(&self.spent.hash, || pieces.iter().map(next).collect())
    }

    fn pack(&mut self, parts: &[Part<'_>]) -> Result<Packed, WriteError> {
        let raw: Cow<'_, [u8]> = match parts {
            [Part::Ready { data, range }] => Cow::Borrowed(&data[range.clone()]),
            parts => Cow::Owned(self.gather(parts)?),
        };
        let mut data = self.packed.take();
        let smaller = Spent::time(&self.spent.pack, || self.packer.pack(&raw, &mut data))?;
        if !smaller {
            data.clear();
            data.extend_from_slice(&raw);
        }
        let sum = self.sum(&data);
        Ok(Packed { data, stored: !smaller, sum })
    }

    fn gather(&self, parts: &[Part<'_>]) -> Result<Vec<u8>, WriteError> {
        let mut raw = Vec::with_capacity(parts.iter().map(Part::length).sum());
        for part in parts {
            match part {
                Part::Ready { data, range } => raw.extend_from_slice(&data[range.clone()]),
                Part::Again { piece, hash } => {
                    let at = raw.len();
                    raw.resize(at + piece.length as usize, 0);
                    Spent::time(&self.spent.read, || piece.read(&mut raw[at..]))?;
                    self.spent.bytes.fetch_add(piece.length.into(), Ordering::Relaxed);
                    let found = Spent::time(&self.spent.hash, || content_hash(&raw[at..], piece.block));
                    if found != *hash {
                        let what = "its content is not what it was a moment ago".to_owned();
                        return Err(TreeError::Changed { path: piece.name(), what }.into());
                    }
                }
            }
        }
        Ok(raw)
    }

    /// A metadata block with the header that it has in the image.
    fn metadata(&mut self, raw: &[u8]) -> Result<Packed, WriteError> {
        let mut data = self.packed.take();
        Spent::time(&self.spent.pack, || metadata_block(&mut self.packer, raw, &mut data))?;
        let sum = self.sum(&data);
        Ok(Packed { data, stored: false, sum })
    }

    fn fetch(&self, places: &[Place]) -> Done {
        let session = self.session.expect("only a session gives places");
        let mut data = self.fetched.take();
        let read = Spent::time(&self.spent.fetch, || session.read(places, &mut data));
        Done::Fetched { data, damaged: read.err() }
    }

    /// For the cache; nobody asks without one.
    fn sum(&self, data: &[u8]) -> u128 {
        if self.session.is_some() { sum(data) } else { 0 }
    }
}

/// Writes a metadata block with its header into `out`.
pub(super) fn metadata_block(packer: &mut Packer, raw: &[u8], out: &mut Vec<u8>) -> Result<(), WriteError> {
    let smaller = packer.pack(raw, out)?;
    let header = if smaller { out.len() as u16 } else { raw.len() as u16 | 0x8000 };
    if !smaller {
        out.clear();
        out.extend_from_slice(raw);
    }
    out.splice(..0, header.to_le_bytes());
    Ok(())
}

/// Names some bytes; a block of zeros is a hole.
fn content_hash(bytes: &[u8], block: bool) -> Hash {
    if block && is_zero(bytes) { HOLE } else { *blake3::hash(bytes).as_bytes() }
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.first() == Some(&0)
        && bytes.chunks(4096).all(|chunk| chunk.iter().fold(0, |all, byte| all | byte) == 0)
}

impl Part<'_> {
    pub(super) fn length(&self) -> usize {
        match self {
            Self::Ready { range, .. } => range.len(),
            Self::Again { piece, .. } => piece.length as usize,
        }
    }
}

impl Piece<'_> {
    /// Reads it into `to`, which has its length; the file must be what it was when the tree was made.
    fn read(&self, to: &mut [u8]) -> Result<(), WriteError> {
        match &self.origin {
            Origin::Content(content) => {
                let opened = content.open()?;
                opened.read(self.offset, to)?;
                Ok(opened.unchanged()?)
            }
            Origin::Opened(opened) => {
                opened.read(self.offset, to)?;
                if self.last { Ok(opened.unchanged()?) } else { Ok(()) }
            }
            Origin::Spooled { file, offset } => {
                file.read_exact_at(to, offset + self.offset).map_err(WriteError::Spool)
            }
            Origin::Gone => unreachable!("what streams is kept as long as it may be needed"),
        }
    }

    /// Whether it cannot be read any more.
    pub(super) const fn is_gone(&self) -> bool {
        matches!(self.origin, Origin::Gone)
    }

    /// For messages.
    fn name(&self) -> PathBuf {
        match &self.origin {
            Origin::Content(Content::File { path, .. }) => path.to_path_buf(),
            Origin::Opened(opened) => opened.path().to_path_buf(),
            _ => "(the archive)".into(),
        }
    }
}

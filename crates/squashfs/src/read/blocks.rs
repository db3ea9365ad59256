//! Unpacked blocks: metadata and fragments, the last ones used of which are kept.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use super::{ReadError, source::Source, unpack::Unpacker};
use crate::format::block::{DataBlock, METADATA, MetadataHeader};

/// Metadata blocks that are kept: 4 MiB of them.
const METADATA_KEPT: usize = 512;
/// Fragments that are kept: 16 MiB of the largest.
const FRAGMENTS_KEPT: usize = 16;

/// A metadata block, unpacked.
#[derive(Debug)]
pub(crate) struct Metadata {
    /// 1 to 8192 bytes.
    pub(crate) bytes: Box<[u8]>,
    /// Where the next one begins in the image.
    pub(crate) next: u64,
}

/// The image as blocks. Any number of threads can read at once.
pub(crate) struct Blocks {
    pub(crate) source: Source,
    compressor: u16,
    unpackers: Mutex<Vec<Unpacker>>,
    metadata: Mutex<Kept<Metadata>>,
    fragments: Mutex<Kept<[u8]>>,
}

impl Blocks {
    pub(crate) fn new(source: Source, compressor: u16) -> Result<Self, ReadError> {
        let first = Unpacker::new(compressor).ok_or(ReadError::Compressor { id: compressor })?;
        Ok(Self {
            source,
            compressor,
            unpackers: Mutex::new(vec![first]),
            metadata: Mutex::new(Kept::new(METADATA_KEPT)),
            fragments: Mutex::new(Kept::new(FRAGMENTS_KEPT)),
        })
    }

    /// The metadata block whose header is at `at`; it must end at `end` or before.
    pub(crate) fn metadata(&self, at: u64, end: u64) -> Result<Arc<Metadata>, ReadError> {
        if let Some(block) = lock(&self.metadata).get(at) {
            return Ok(block);
        }
        let block = Arc::new(self.read_metadata(at, end)?);
        lock(&self.metadata).put(at, &block);
        Ok(block)
    }

    /// The same, from the image and not from memory.
    pub(crate) fn read_metadata(&self, at: u64, end: u64) -> Result<Metadata, ReadError> {
        let what = "a metadata block";
        let beyond = |len: u64| at.checked_add(len).is_none_or(|its| its > end);
        if beyond(MetadataHeader::LEN) {
            return Err(ReadError::Beyond {
                what,
                at,
                end: at.saturating_add(MetadataHeader::LEN),
                len: end,
            });
        }
        let mut header = [0; 2];
        self.source.fill(what, at, &mut header)?;
        let header = MetadataHeader::decode(header)?;
        let len = MetadataHeader::LEN + u64::from(header.len);
        if beyond(len) {
            return Err(ReadError::Beyond { what, at, end: at + len, len: end });
        }
        let mut packed = vec![0; header.len.into()];
        self.source.fill(what, at + MetadataHeader::LEN, &mut packed)?;
        let bytes = if header.stored {
            packed
        } else {
            let mut bytes = Vec::with_capacity(METADATA);
            self.unpack(at, &packed, &mut bytes, METADATA)?;
            bytes
        };
        if bytes.is_empty() {
            return Err(ReadError::BlockLen { at, found: 0, expected: METADATA });
        }
        Ok(Metadata { bytes: bytes.into(), next: at + len })
    }

    /// The fragment at `at`, from 1 to `limit` bytes.
    pub(crate) fn fragment(&self, at: u64, block: DataBlock, limit: usize) -> Result<Arc<[u8]>, ReadError> {
        if let Some(bytes) = lock(&self.fragments).get(at) {
            return Ok(bytes);
        }
        let mut bytes = Vec::new();
        self.data(at, block, limit, &mut Vec::new(), &mut bytes)?;
        let bytes: Arc<[u8]> = bytes.into();
        lock(&self.fragments).put(at, &bytes);
        Ok(bytes)
    }

    /// A data block or fragment, which is not a hole, of at most `limit` bytes, into `out`; `packed` is memory that is
    /// used again.
    pub(crate) fn data(
        &self,
        at: u64,
        block: DataBlock,
        limit: usize,
        packed: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<(), ReadError> {
        let what = "a data block";
        match block {
            DataBlock::Hole => out.clear(),
            DataBlock::Stored(len) if len as usize > limit => {
                return Err(ReadError::BlockLen { at, found: len as usize, expected: limit });
            }
            DataBlock::Stored(len) => {
                self.source.check(what, at, len.into())?;
                out.resize(len as usize, 0);
                self.source.fill(what, at, out)?;
            }
            DataBlock::Packed(len) => {
                self.source.check(what, at, len.into())?;
                packed.resize(len as usize, 0);
                self.source.fill(what, at, packed)?;
                self.unpack(at, packed, out, limit)?;
            }
        }
        Ok(())
    }

    fn unpack(&self, at: u64, packed: &[u8], out: &mut Vec<u8>, limit: usize) -> Result<(), ReadError> {
        let kept = lock(&self.unpackers).pop();
        let id = self.compressor;
        let mut unpacker = kept.or_else(|| Unpacker::new(id)).ok_or(ReadError::Compressor { id })?;
        let result = unpacker.unpack(packed, out, limit);
        lock(&self.unpackers).push(unpacker);
        result.map_err(|error| ReadError::Unpack { at, error })
    }
}

/// What is behind these locks is whole whenever they are open, so that a panic elsewhere does not matter.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The blocks that were used last, by their place.
struct Kept<T: ?Sized> {
    limit: usize,
    now: u64,
    blocks: HashMap<u64, (u64, Arc<T>)>,
}

impl<T: ?Sized> Kept<T> {
    fn new(limit: usize) -> Self {
        Self { limit, now: 0, blocks: HashMap::new() }
    }

    fn get(&mut self, at: u64) -> Option<Arc<T>> {
        self.now += 1;
        let (used, block) = self.blocks.get_mut(&at)?;
        *used = self.now;
        Some(Arc::clone(block))
    }

    /// Makes room for half of all at once, so that looking for the oldest is cheap.
    fn put(&mut self, at: u64, block: &Arc<T>) {
        if self.blocks.len() >= self.limit {
            let mut used: Vec<u64> = self.blocks.values().map(|(used, _)| *used).collect();
            let (_, median, _) = used.select_nth_unstable(self.limit / 2);
            let median = *median;
            self.blocks.retain(|_, (used, _)| *used > median);
        }
        self.now += 1;
        self.blocks.insert(at, (self.now, Arc::clone(block)));
    }
}

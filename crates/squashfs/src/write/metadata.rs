//! A table of metadata blocks, of which every place can be named while it is written.

use super::{
    WriteError,
    emit::{Emitter, Loose},
};
use crate::format::{InodeRef, block::METADATA};

/// A table in memory, compressed block by block.
#[derive(Debug, Default)]
pub(super) struct Metadata {
    blocks: Vec<Loose>,
    /// Where the block that is being filled will begin.
    start: u64,
    open: Vec<u8>,
}

impl Metadata {
    /// Where the next byte will be.
    pub(super) const fn position(&self) -> InodeRef {
        InodeRef { block: self.start, offset: self.open.len() as u16 }
    }

    pub(super) fn push(&mut self, emitter: &mut Emitter<'_, '_>, mut bytes: &[u8]) -> Result<(), WriteError> {
        while !bytes.is_empty() {
            let (now, rest) = bytes.split_at(bytes.len().min(METADATA - self.open.len()));
            self.open.extend_from_slice(now);
            bytes = rest;
            if self.open.len() == METADATA {
                self.close(emitter)?;
            }
        }
        Ok(())
    }

    fn close(&mut self, emitter: &mut Emitter<'_, '_>) -> Result<(), WriteError> {
        if !self.open.is_empty() {
            let block = emitter.make_metadata(std::mem::take(&mut self.open).into())?;
            self.start += block.bytes.len() as u64;
            self.blocks.push(block);
        }
        Ok(())
    }

    /// Puts the table into the image; says where it is.
    pub(super) fn finish(mut self, emitter: &mut Emitter<'_, '_>) -> Result<u64, WriteError> {
        self.close(emitter)?;
        emitter.flush()?;
        let at = emitter.output.position();
        self.blocks.iter().try_for_each(|block| emitter.loose(block))?;
        Ok(at)
    }
}

/// Puts records into the image, and behind their blocks the list of the places of these; says where that list is.
pub(super) fn listed(emitter: &mut Emitter<'_, '_>, records: &[u8]) -> Result<u64, WriteError> {
    let places = blocks(emitter, records)?;
    let at = emitter.output.position();
    let list: Vec<u8> = places.iter().flat_map(|place| place.to_le_bytes()).collect();
    emitter.output.append(&list)?;
    Ok(at)
}

/// Puts `bytes` into the image as metadata blocks; says where each begins.
pub(super) fn blocks(emitter: &mut Emitter<'_, '_>, bytes: &[u8]) -> Result<Vec<u64>, WriteError> {
    emitter.flush()?;
    emitter.placed.metadata.clear();
    bytes.chunks(METADATA).try_for_each(|block| emitter.metadata(block.into()))?;
    emitter.flush()?;
    Ok(std::mem::take(&mut emitter.placed.metadata))
}

//! The bytes of a table, across its blocks.

use std::sync::Arc;

use super::{
    ReadError,
    blocks::{Blocks, Metadata},
};
use crate::format::{Bytes, InodeRef, Malformed};

/// A place in a table, from which bytes can be read.
#[derive(Clone)]
pub(crate) struct Cursor<'a> {
    blocks: &'a Blocks,
    /// Where the table ends at the latest.
    end: u64,
    /// The place of the block, from the beginning of the image.
    at: u64,
    block: Option<Arc<Metadata>>,
    offset: usize,
}

/// Where a [`Cursor`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Position {
    pub(crate) at: u64,
    pub(crate) offset: usize,
}

impl<'a> Cursor<'a> {
    /// In the table from `start` to `end`.
    pub(crate) fn new(blocks: &'a Blocks, start: u64, end: u64, place: InodeRef) -> Self {
        let at = start.saturating_add(place.block);
        Self { blocks, end, at, block: None, offset: place.offset.into() }
    }

    /// In the same table.
    pub(crate) fn seek(&mut self, position: Position) {
        if position.at != self.at {
            self.block = None;
        }
        self.at = position.at;
        self.offset = position.offset;
    }

    pub(crate) fn position(&self) -> Position {
        Position { at: self.at, offset: self.offset }
    }

    /// The same place, but at the beginning of the next block and not at the end of this one.
    pub(crate) fn normal_position(&self) -> Position {
        match &self.block {
            Some(block) if self.offset == block.bytes.len() => Position { at: block.next, offset: 0 },
            _ => self.position(),
        }
    }

    /// Whether nothing follows.
    pub(crate) fn is_at_end(&self) -> bool {
        self.normal_position() == Position { at: self.end, offset: 0 }
    }

    /// Without unpacking what is passed over within a block.
    pub(crate) fn skip(&mut self, what: &'static str, mut len: u64) -> Result<(), ReadError> {
        while len > 0 {
            let rest = self.rest(what)?.len();
            let step = len.min(rest as u64);
            self.offset += step as usize;
            len -= step;
        }
        Ok(())
    }

    /// What remains of the current block, which is not empty.
    fn rest(&mut self, what: &'static str) -> Result<&[u8], ReadError> {
        let mut block = match self.block.take() {
            Some(block) => block,
            None => self.blocks.metadata(self.at, self.end)?,
        };
        if self.offset == block.bytes.len() && block.next < self.end {
            self.at = block.next;
            self.offset = 0;
            block = self.blocks.metadata(self.at, self.end)?;
        }
        if self.offset >= block.bytes.len() {
            let needed = 1 + self.offset as u64 - block.bytes.len() as u64;
            self.block = Some(block);
            return Err(Malformed::Short { what, needed }.into());
        }
        Ok(&self.block.insert(block).bytes[self.offset..])
    }
}

impl Bytes for Cursor<'_> {
    type Error = ReadError;

    fn fill(&mut self, what: &'static str, mut out: &mut [u8]) -> Result<(), ReadError> {
        while !out.is_empty() {
            let rest = self.rest(what)?;
            let step = rest.len().min(out.len());
            let (head, tail) = out.split_at_mut(step);
            head.copy_from_slice(&rest[..step]);
            out = tail;
            self.offset += step;
        }
        Ok(())
    }
}

//! The part of a file that a file system is in.

use std::sync::Arc;

use super::error::{ExtError, Structure};
use crate::tree::Backing;

/// From a byte of a file on; nothing outside of it is ever read.
#[derive(Debug)]
pub(super) struct Window {
    file: Arc<Backing>,
    start: u64,
    len: u64,
}

impl Window {
    /// At most `len` bytes from `start` on, and fewer if the file is shorter.
    pub(super) fn new(file: Arc<Backing>, start: u64, len: u64) -> Self {
        let len = len.min(file.size().saturating_sub(start)).min(i64::MAX as u64);
        Self { file, start, len }
    }

    pub(super) const fn file(&self) -> &Arc<Backing> {
        &self.file
    }

    /// Bytes.
    pub(super) const fn len(&self) -> u64 {
        self.len
    }

    /// Where a byte of the file system is in the file.
    pub(super) const fn absolute(&self, offset: u64) -> u64 {
        self.start.saturating_add(offset)
    }

    /// Fills `buffer` from `offset` on with what belongs to `structure`.
    pub(super) fn read(&self, offset: u64, buffer: &mut [u8], structure: Structure) -> Result<(), ExtError> {
        let end = offset.checked_add(buffer.len() as u64);
        if end.is_none_or(|end| end > self.len) {
            let offset = self.absolute(offset);
            let end = offset.saturating_add(buffer.len() as u64);
            return Err(ExtError::Cut { structure, offset, end, has: self.absolute(self.len) });
        }
        Ok(self.file.read_exact_at(buffer, self.absolute(offset))?)
    }
}

/// The number of two bytes at `at`, which must be there.
pub(super) fn le16(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

/// The number of four bytes at `at`, which must be there.
pub(super) fn le32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

//! Where the bytes of an image are.

use std::{fs::File, io, os::unix::fs::FileExt, sync::Arc};

use super::ReadError;

/// A part of a file, or bytes in memory.
#[derive(Debug)]
pub(crate) enum Source {
    File { file: File, start: u64, len: u64 },
    Bytes(Arc<[u8]>),
}

impl Source {
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::File { len, .. } => *len,
            Self::Bytes(bytes) => bytes.len() as u64,
        }
    }

    /// Fills all of `out` from `at` on; nothing is read beyond the end.
    pub(crate) fn fill(&self, what: &'static str, at: u64, out: &mut [u8]) -> Result<(), ReadError> {
        let end = self.check(what, at, out.len() as u64)?;
        match self {
            Self::File { file, start, .. } => file.read_exact_at(out, start + at).map_err(|error| {
                let text = format!("cannot read bytes {at} to {end}: {error}");
                ReadError::Io(io::Error::new(error.kind(), text))
            }),
            Self::Bytes(bytes) => {
                out.copy_from_slice(&bytes[at as usize..end as usize]);
                Ok(())
            }
        }
    }

    /// The end of so many bytes from `at` on, if they are there.
    pub(crate) fn check(&self, what: &'static str, at: u64, len: u64) -> Result<u64, ReadError> {
        match at.checked_add(len) {
            Some(end) if end <= self.len() => Ok(end),
            end => Err(ReadError::Beyond { what, at, end: end.unwrap_or(u64::MAX), len: self.len() }),
        }
    }

    pub(crate) fn u64(&self, what: &'static str, at: u64) -> Result<u64, ReadError> {
        let mut bytes = [0; 8];
        self.fill(what, at, &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }
}

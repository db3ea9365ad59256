//! A file that is written from its begin to its end, and in which zeros stay holes.

use std::os::unix::fs::FileExt;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err::File;

use super::OpenError;

/// Zeros are looked for in blocks of this; what file systems count in.
const BLOCK: usize = 4096;

/// The file.
pub(super) struct Sparse {
    file: File,
    path: Utf8PathBuf,
    size: u64,
    at: u64,
}

impl Sparse {
    /// A new file that will have `size` bytes.
    pub(super) fn create(path: &Utf8Path, size: u64) -> Result<Self, OpenError> {
        let dir = path.parent().unwrap_or(Utf8Path::new("."));
        let stat = rustix::fs::statvfs(dir.as_std_path()).map_err(std::io::Error::from)?;
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        if size > free {
            return Err(OpenError::NoRoom { path: path.to_owned(), size, free, dir: dir.to_owned() });
        }
        let file = File::create(path)?;
        file.set_len(size)?;
        Ok(Self { file, path: path.to_owned(), size, at: 0 })
    }

    /// Bytes that are still missing.
    pub(super) const fn left(&self) -> u64 {
        self.size - self.at
    }

    /// What comes next; never more than is left.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), OpenError> {
        debug_assert!(bytes.len() as u64 <= self.left());
        // Runs of blocks that are not zero are written together.
        let mut run = 0..0;
        for (index, block) in bytes.chunks(BLOCK).enumerate() {
            let begin = index * BLOCK;
            if is_zero(block) {
                self.put(&bytes[run.clone()], run.start)?;
                run = begin + block.len()..begin + block.len();
            } else {
                run.end = begin + block.len();
            }
        }
        self.put(&bytes[run.clone()], run.start)?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    fn put(&self, bytes: &[u8], after: usize) -> Result<(), OpenError> {
        if !bytes.is_empty() {
            self.file.file().write_all_at(bytes, self.at + after as u64).map_err(|error| {
                std::io::Error::new(error.kind(), format!("failed to write to file `{}`: {error}", self.path))
            })?;
        }
        Ok(())
    }

    /// Says that it is whole.
    pub(super) fn finish(self) {
        debug_assert_eq!(self.at, self.size, "whoever writes counts");
    }
}

/// Whether nothing in `block` is set; words at a time.
fn is_zero(block: &[u8]) -> bool {
    let (words, rest) = block.as_chunks::<16>();
    words.iter().all(|word| u128::from_ne_bytes(*word) == 0) && rest.iter().all(|byte| *byte == 0)
}

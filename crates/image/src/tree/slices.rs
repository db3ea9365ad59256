//! Contents that lie in pieces of another file, such as a disk image.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt,
    sync::Arc,
};

use camino::{Utf8Path, Utf8PathBuf};

/// A file that the contents of others lie in, open. All contents of an image share one.
#[derive(Debug)]
pub struct Backing {
    path: Utf8PathBuf,
    file: Arc<File>,
    size: u64,
}

impl Backing {
    /// Opens the file at `path`, to be read only.
    ///
    /// # Errors
    ///
    /// If it cannot be opened.
    pub fn open(path: &Utf8Path) -> io::Result<Arc<Self>> {
        Self::of(fs_err::File::open(path)?.into_file(), path)
    }

    /// A file that is open already; `path` is what messages call it.
    ///
    /// # Errors
    ///
    /// If its size cannot be found out.
    pub fn of(file: File, path: &Utf8Path) -> io::Result<Arc<Self>> {
        let size = file.metadata()?.len();
        Ok(Arc::new(Self { path: path.to_owned(), file: Arc::new(file), size }))
    }

    /// Where it is, for messages.
    pub fn path(&self) -> &Utf8Path {
        &self.path
    }

    /// Its size in bytes when it was opened.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The file itself.
    pub const fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// Fills `buffer` from byte `offset` on.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or has become shorter; the error names it.
    pub fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset).map_err(|error| {
            io::Error::new(
                error.kind(),
                format!(
                    "cannot read {} bytes at byte {offset} of `{}`, which had {} bytes: {error}",
                    buffer.len(),
                    self.path,
                    self.size
                ),
            )
        })
    }
}

impl PartialEq for Backing {
    /// Whether it is the same file: what is in it is not looked at.
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path && self.size == other.size
    }
}

impl Eq for Backing {}

/// A piece of a file with holes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// Where it is in the file that is meant, in bytes.
    pub at: u64,
    /// Where its bytes are in the file that has them.
    pub offset: u64,
    /// How many there are.
    pub len: u64,
}

/// A stretch of a file from one byte to another: of data, or of zeros that are stored nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stretch {
    /// Bytes of the file that has them, from there on.
    Data { offset: u64, len: u64 },
    /// Zeros.
    Hole { len: u64 },
}

/// The stretches of a file of `size` bytes from `from` to `until`, in order.
pub(crate) fn stretches(slices: &[Slice], size: u64, from: u64, until: u64) -> impl Iterator<Item = Stretch> {
    let until = until.min(size);
    let first = slices.partition_point(|slice| slice.at.saturating_add(slice.len) <= from);
    let mut rest = slices[first..].iter();
    let mut next = rest.next();
    let mut at = from;
    std::iter::from_fn(move || {
        if at >= until {
            return None;
        }
        let (stretch, len) = match next {
            Some(slice) if slice.at <= at => {
                let skipped = at - slice.at;
                let len = (slice.len - skipped).min(until - at);
                let stretch = Stretch::Data { offset: slice.offset + skipped, len };
                next = rest.next();
                (stretch, len)
            }
            other => {
                let len = other.map_or(until, |slice| slice.at.min(until)) - at;
                (Stretch::Hole { len }, len)
            }
        };
        at += len;
        Some(stretch)
    })
}

/// Reads a content from its first byte to its last.
pub(super) struct SliceReader<'a> {
    pub(super) file: &'a Backing,
    pub(super) slices: &'a [Slice],
    pub(super) size: u64,
    pub(super) at: u64,
}

impl Read for SliceReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let until = self.at.saturating_add(buffer.len() as u64);
        let mut filled = 0;
        for stretch in stretches(self.slices, self.size, self.at, until) {
            match stretch {
                Stretch::Data { offset, len } => {
                    self.file.read_exact_at(&mut buffer[filled..][..len as usize], offset)?;
                    filled += len as usize;
                }
                Stretch::Hole { len } => {
                    buffer[filled..][..len as usize].fill(0);
                    filled += len as usize;
                }
            }
        }
        self.at += filled as u64;
        Ok(filled)
    }
}

#[cfg(test)]
mod tests;

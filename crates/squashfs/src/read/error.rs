//! Why an image cannot be read.

use std::{
    io,
    path::{Path, PathBuf},
};

use thiserror::Error;

use super::unpack::UnpackError;
use crate::Malformed;

/// Why an image, or a file in it, cannot be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The file that the image is cannot be opened or read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Something is said to be beyond the end.
    #[error("{what} would be at {at} to {end}, and the image has {len} bytes: it is cut short or damaged")]
    Beyond {
        /// What.
        what: &'static str,
        /// Where it would begin.
        at: u64,
        /// Where it would end.
        end: u64,
        /// Where it may end at most.
        len: u64,
    },
    /// Bytes that mean nothing.
    #[error("{0}")]
    Malformed(#[from] Malformed),
    /// A compressor that squashfs does not have.
    #[error("it is compressed with number `{id}`: squashfs has 1 to 6")]
    Compressor {
        /// Its number.
        id: u16,
    },
    /// A block that cannot be unpacked.
    #[error("the block at {at} cannot be unpacked: {error}")]
    Unpack {
        /// Its place in the image.
        at: u64,
        /// Why.
        error: UnpackError,
    },
    /// A block that has another size than its place demands.
    #[error("the block at {at} has {found} bytes where {expected} are expected")]
    BlockLen {
        /// Its place in the image.
        at: u64,
        /// Bytes in it.
        found: usize,
        /// Bytes that there must be.
        expected: usize,
    },
    /// A reference to what is not there.
    #[error("{what} {index} is meant, and there are {count}")]
    Index {
        /// Of what.
        what: &'static str,
        /// Which.
        index: u64,
        /// How many there are.
        count: u64,
    },
    /// The tail of a file that is not in its fragment.
    #[error("the file's end is at {offset} to {end} of a fragment of {len} bytes")]
    Tail {
        /// Where it would begin.
        offset: u64,
        /// Where it would end.
        end: u64,
        /// Bytes of the fragment.
        len: usize,
    },
    /// A directory that has two names, or is in itself.
    #[error("the directory is also somewhere else: no directory has two names")]
    DirectoryTwice,
    /// Directories in directories in directories.
    #[error("there are more than {limit} directories in each other")]
    TooDeep {
        /// How many there may be.
        limit: usize,
    },
    /// A directory says that an entry is one kind of file, and its inode says another.
    #[error("its directory and its inode do not agree on what it is")]
    Kind,
    /// Extended attributes that are more than a file can have.
    #[error("the extended attributes of one file have more than {limit} bytes")]
    XattrsTooLarge {
        /// Bytes that they may have.
        limit: usize,
    },
    /// No file of this name.
    #[error("there is no such file")]
    NotFound,
    /// A path through something that is not a directory.
    #[error("it is not a directory")]
    NotADirectory,
    /// The contents of something that is not a file.
    #[error("it is not a regular file")]
    NotAFile,
    /// One of the above, at a path.
    #[error("`{}`: {error}", shown(path))]
    At {
        /// Which file of the image.
        path: PathBuf,
        /// What is wrong with it.
        error: Box<Self>,
    },
}

impl ReadError {
    /// The same, with the path at which it was seen, unless it has one.
    pub(crate) fn at(self, path: impl AsRef<Path>) -> Self {
        match self {
            Self::At { .. } => self,
            error => Self::At { path: path.as_ref().to_owned(), error: Box::new(error) },
        }
    }
}

impl From<ReadError> for io::Error {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Io(error) => error,
            error => Self::new(io::ErrorKind::InvalidData, error),
        }
    }
}

/// The root has an empty path, which would not be seen.
pub(crate) fn shown(path: &Path) -> std::path::Display<'_> {
    if path.as_os_str().is_empty() { Path::new("/").display() } else { path.display() }
}

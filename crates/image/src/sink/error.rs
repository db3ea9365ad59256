//! Why a disk could not be written.

use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use thiserror::Error;

/// The disk could not be written.
#[derive(Debug, Error)]
pub enum SinkError {
    /// A source could not be read.
    #[error(transparent)]
    Read(io::Error),
    /// A source is not what it was when the disk was laid out.
    #[error(
        "`{path}` had {was} bytes when the disk was laid out, and {now} when it was copied: something writes to it"
    )]
    Changed {
        /// The file.
        path: Utf8PathBuf,
        /// Its size in bytes at first.
        was: u64,
        /// Its size, or at least its size, later.
        now: u64,
    },
    /// There is no room.
    #[error("no space is left for `{path}`")]
    Full {
        /// The disk's file.
        path: Utf8PathBuf,
        /// As the operating system has it.
        #[source]
        source: io::Error,
    },
    /// It could not be written for another reason.
    #[error("failed to write to file `{path}`")]
    Write {
        /// The disk's file.
        path: Utf8PathBuf,
        /// As the operating system has it.
        #[source]
        source: io::Error,
    },
    /// Someone asked to stop.
    #[error("cancelled")]
    Cancelled,
}

impl SinkError {
    pub(super) fn write(path: &Utf8Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path, source },
            _ => Self::Write { path, source },
        }
    }
}

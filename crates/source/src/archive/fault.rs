//! What can be wrong with an archive.

use std::io;

use bootway_plan::{Bytes, Class, Explain};
use thiserror::Error;

/// An archive cannot be unpacked.
#[derive(Debug, Error)]
pub enum ArchiveError {
    /// Something is wrong with the archive itself.
    #[error("cannot unpack `{archive}`: {fault}")]
    Fault {
        /// How the plan or the archive's index names it.
        archive: String,
        /// What is wrong.
        fault: Fault,
    },
    /// A file of ours could not be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Someone asked to stop.
    #[error("cancelled")]
    Cancelled,
}

/// What is wrong with an archive.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    /// It ends too early.
    #[error("{part} is truncated at byte {at}: download or make it again")]
    Truncated {
        /// Which part of it.
        part: String,
        /// Where its bytes end, from the start of the part.
        at: u64,
    },
    /// Its bytes make no sense.
    #[error("{part} is damaged at byte {at}: {reason}")]
    Damaged {
        /// Which part of it.
        part: String,
        /// Where, from the start of the part.
        at: u64,
        /// What is wrong there.
        reason: String,
    },
    /// It is well formed and not for us.
    #[error("it is {what}, which is not supported: {remedy}")]
    Unsupported {
        /// What it is.
        what: String,
        /// What to do.
        remedy: &'static str,
    },
    /// An entry has a path that no tree can have.
    #[error("entry `{path}` {reason}")]
    Path {
        /// As the archive has it, cut to a readable length.
        path: String,
        /// Why not.
        reason: &'static str,
    },
    /// An entry contradicts another one.
    #[error("entry `{path}` {reason} `{other}`")]
    Conflict {
        /// As the archive has it.
        path: String,
        /// In which way.
        reason: &'static str,
        /// The other one.
        other: String,
    },
    /// It is too big to be true.
    #[error("{what}: {value} is over the limit of {limit}")]
    Limit {
        /// Of what.
        what: &'static str,
        /// How much there is, with its unit.
        value: String,
        /// How much there may be.
        limit: String,
    },
}

impl Fault {
    /// More bytes than allowed.
    pub(crate) fn too_big(what: &'static str, value: u64, limit: u64) -> Self {
        Self::Limit { what, value: Bytes::new(value).human(), limit: Bytes::new(limit).human() }
    }

    /// More things than allowed.
    pub(crate) fn too_many(what: &'static str, limit: usize) -> Self {
        Self::Limit { what, value: format!("more than {limit}"), limit: limit.to_string() }
    }
}

/// What stops the unpacking of an archive whose name the caller knows.
#[derive(Debug)]
pub(crate) enum Stop {
    Fault(Fault),
    Io(io::Error),
    Cancelled,
    /// Its members should be in one directory, and are not.
    Apart,
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Stop {
    /// The same, with the archive's name.
    pub(crate) fn of(self, archive: &str) -> ArchiveError {
        match self {
            Self::Fault(fault) => ArchiveError::Fault { archive: archive.to_owned(), fault },
            Self::Io(error) => ArchiveError::Io(error),
            Self::Cancelled => ArchiveError::Cancelled,
            Self::Apart => {
                let fault = Fault::Path { path: "/".to_owned(), reason: "has more than one directory" };
                ArchiveError::Fault { archive: archive.to_owned(), fault }
            }
        }
    }
}

/// Whose problem an I/O error is: a full or read-only disk is the machine's.
pub(crate) fn class_of_io(error: &io::Error) -> Class {
    match error.kind() {
        io::ErrorKind::StorageFull
        | io::ErrorKind::QuotaExceeded
        | io::ErrorKind::ReadOnlyFilesystem
        | io::ErrorKind::PermissionDenied => Class::Environment,
        _ => Class::Step,
    }
}

impl Explain for ArchiveError {
    fn class(&self) -> Class {
        match self {
            Self::Fault { .. } => Class::Step,
            Self::Io(error) => class_of_io(error),
            Self::Cancelled => Class::Cancelled,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Io(error) if error.kind() == io::ErrorKind::StorageFull => {
                Some("free some space, or work elsewhere with `--work DIR`".to_owned())
            }
            _ => None,
        }
    }
}

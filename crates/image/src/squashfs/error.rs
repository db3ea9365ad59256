//! Why a squashfs image cannot be made, and whose problem that is.

use std::io;

use bootway_exec::MissingInput;
use bootway_plan::{Class, Explain};
use bootway_squashfs::{BadBlockSize, BadCompressor, CodecError, TreeError as Unpackable, WriteError};
use thiserror::Error;

use crate::{
    class::{class_of, hint_of},
    tree::TreeError,
};

/// A squashfs image cannot be made.
#[derive(Debug, Error)]
pub enum SquashfsError {
    /// The engine did not provide an input.
    #[error(transparent)]
    Input(#[from] MissingInput),
    /// What it is made of.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// What it is made of, and what the format can hold.
    #[error(transparent)]
    Unpackable(#[from] Unpackable),
    /// A compressor cannot be set so.
    #[error(transparent)]
    Compressor(#[from] BadCompressor),
    /// A size that the format does not have.
    #[error(transparent)]
    BlockSize(#[from] BadBlockSize),
    /// A time that the format cannot hold.
    #[error("the epoch {epoch} is after 2106-02-07, the last day that a squashfs image can hold")]
    Epoch {
        /// Seconds since 1970-01-01 UTC.
        epoch: u64,
    },
    /// Someone asked to stop.
    #[error("cancelled")]
    Cancelled,
    /// It cannot be written.
    #[error(transparent)]
    Write(WriteError),
}

impl From<WriteError> for SquashfsError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Cancelled | WriteError::Tree(Unpackable::Cancelled) => Self::Cancelled,
            WriteError::Tree(error) => Self::Unpackable(error),
            WriteError::Codec(CodecError::Setting(error)) => Self::Compressor(error),
            error => Self::Write(error),
        }
    }
}

impl SquashfsError {
    /// What the system said, if it was that.
    fn system(&self) -> Option<&io::Error> {
        match self {
            Self::Unpackable(Unpackable::Read { error, .. })
            | Self::Write(
                WriteError::Image { error, .. } | WriteError::Stream { error, .. } | WriteError::Spool(error),
            ) => Some(error),
            _ => None,
        }
    }
}

impl Explain for SquashfsError {
    fn class(&self) -> Class {
        if let Some(error) = self.system() {
            return class_of(error);
        }
        match self {
            Self::Input(error) => error.class(),
            Self::Tree(error) => error.class(),
            Self::Unpackable(Unpackable::Changed { .. }) => Class::Step,
            Self::Unpackable(Unpackable::Cancelled) | Self::Cancelled => Class::Cancelled,
            // Everything else about a tree is what the format cannot hold.
            Self::Unpackable(_)
            | Self::Compressor(_)
            | Self::BlockSize(_)
            | Self::Epoch { .. }
            | Self::Write(
                WriteError::Owners { .. }
                | WriteError::Xattr { .. }
                | WriteError::Device { .. }
                | WriteError::Listing { .. },
            ) => Class::Plan,
            Self::Write(WriteError::Cache(_)) => Class::Environment,
            Self::Write(_) => Class::Step,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Tree(error) => error.hint(),
            error => error.system().and_then(hint_of),
        }
    }
}

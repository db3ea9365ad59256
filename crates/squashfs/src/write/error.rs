//! Why an image cannot be written.

use std::{
    io,
    path::{Path, PathBuf},
};

use thiserror::Error;

use crate::{CodecError, cache::CacheError, tree::TreeError};

/// An image cannot be written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WriteError {
    /// What it is made of.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The compressor, or how it was asked to work.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The cache.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The image itself.
    #[error("cannot write `{}`: {error}", image.display())]
    Image {
        /// Which.
        image: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// A stream ended or failed.
    #[error("cannot read `{}` in the archive: {error}", member.escape_ascii())]
    Stream {
        /// What was being read.
        member: Box<[u8]>,
        /// Why it cannot be.
        error: io::Error,
    },
    /// Memory on the disk for what came from a stream and may be needed again.
    #[error("cannot keep a part of the archive in the directory for temporary files: {0}")]
    Spool(io::Error),
    /// More than the format has numbers for.
    #[error(
        "the files have more than {limit} different owners and groups, which is all that squashfs can hold: give some to one owner"
    )]
    Owners {
        /// How many it can hold.
        limit: usize,
    },
    /// A name of an extended attribute that the format cannot hold.
    #[error("squashfs cannot hold the extended attribute `{}`: it has those of `user.`, `trusted.` and `security.` only", name.escape_ascii())]
    Xattr {
        /// In full.
        name: Box<[u8]>,
    },
    /// A device number that the format cannot hold.
    #[error("squashfs cannot hold the device {major}:{minor}: numbers end at 4095 and 1048575")]
    Device {
        /// Its first number.
        major: u32,
        /// Its second.
        minor: u32,
    },
    /// A directory that is too long.
    #[error(
        "a directory's listing has {bytes} bytes, and squashfs ends at 4 GiB: move some of its files into others"
    )]
    Listing {
        /// Its size.
        bytes: u64,
    },
    /// An entry of the cache was sound, and then was not.
    #[error("somebody changed the cache while a stream was read, which cannot be read again: try again")]
    CacheChanged,
    /// Somebody asked to stop.
    #[error("it was interrupted")]
    Cancelled,
}

impl WriteError {
    pub(super) fn write(image: &Path, error: io::Error) -> Self {
        Self::Image { image: image.to_owned(), error }
    }
}

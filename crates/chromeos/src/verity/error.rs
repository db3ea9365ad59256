//! What is not as a root digest has it.

use std::io;

use bootway_plan::{Class, Explain};
use thiserror::Error;

use super::{BLOCK, MOST_SALT};

/// Data are not what a root digest vouches for, or cannot be looked at.
#[derive(Debug, Error)]
pub enum VerityError {
    /// The file cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Data that are no whole blocks of the file.
    #[error("bytes {start} to {end} are not whole blocks of {BLOCK} bytes of a file of {has} bytes")]
    Range {
        /// First byte.
        start: u64,
        /// Byte after the last.
        end: u64,
        /// Bytes of the file.
        has: u64,
    },
    /// More salt than there can be.
    #[error("the salt has {has} bytes, and {MOST_SALT} are the most")]
    Salt {
        /// Bytes.
        has: usize,
    },
    /// A root digest of another hash.
    #[error("the root digest has {has} bytes, and the hash {needs}")]
    Digest {
        /// Bytes.
        has: usize,
        /// Bytes.
        needs: usize,
    },
    /// No room for the tree.
    #[error("the hash tree at byte {offset} needs {needs} bytes, and {has} are there: the image is cut")]
    TreeCut {
        /// Where it should begin.
        offset: u64,
        /// Bytes.
        needs: u64,
        /// Bytes.
        has: u64,
    },
    /// The root of the tree is not what is signed.
    #[error("the root of the hash tree, at byte {offset}, has the digest {computed}, and not {wanted}")]
    Root {
        /// Of the block.
        offset: u64,
        /// As it should be.
        wanted: String,
        /// As it is.
        computed: String,
    },
    /// A block of the tree is damaged.
    #[error(
        "block {block} of level {level} of the hash tree, at byte {offset}, has the digest {computed}, and not {stored}"
    )]
    Tree {
        /// 0 is the level of the hashes of data.
        level: u32,
        /// In that level, from 0.
        block: u64,
        /// Where it is in the file.
        offset: u64,
        /// As the level above has it.
        stored: String,
        /// As it is.
        computed: String,
    },
    /// A block of data is damaged.
    #[error("block {block} of the data, at byte {offset}, has the digest {computed}, and not {stored}")]
    Data {
        /// From 0.
        block: u64,
        /// Where it is in the file.
        offset: u64,
        /// As the tree has it.
        stored: String,
        /// As it is.
        computed: String,
    },
    /// Someone asked to stop.
    #[error("cancelled")]
    Cancelled,
}

impl Explain for VerityError {
    fn class(&self) -> Class {
        match self {
            Self::Io(_) => Class::Step,
            Self::Cancelled => Class::Cancelled,
            _ => Class::Check,
        }
    }
}

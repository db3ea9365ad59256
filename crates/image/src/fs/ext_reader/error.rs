//! Why an ext file system cannot be read.

use std::{fmt, io};

use bootway_plan::{Class, Explain};
use thiserror::Error;

use crate::class::class_of;

/// A part of an ext file system, as errors name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Structure {
    /// The superblock, 1024 bytes from byte 1024 on.
    Superblock,
    /// The descriptor of a group of blocks, by its number.
    Group(u32),
    /// An inode, by its number.
    Inode(u32),
    /// The extents of an inode.
    Extents(u32),
    /// The block map of an inode.
    BlockMap(u32),
    /// An entry of a directory, by the number of its inode.
    Directory(u32),
    /// Extended attributes of an inode.
    Xattrs(u32),
    /// The content of an inode.
    Content(u32),
}

impl fmt::Display for Structure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Superblock => write!(f, "the superblock"),
            Self::Group(number) => write!(f, "the descriptor of group {number}"),
            Self::Inode(number) => write!(f, "inode {number}"),
            Self::Extents(number) => write!(f, "the extents of inode {number}"),
            Self::BlockMap(number) => write!(f, "the block map of inode {number}"),
            Self::Directory(number) => write!(f, "the directory of inode {number}"),
            Self::Xattrs(number) => write!(f, "the extended attributes of inode {number}"),
            Self::Content(number) => write!(f, "the content of inode {number}"),
        }
    }
}

/// An ext2, ext3 or ext4 file system cannot be read. Every byte offset is one of the file that the image is.
#[derive(Debug, Error)]
pub enum ExtError {
    /// The file that the image is.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// There is no such file system.
    #[error("no ext file system: byte {offset} has {found:#06x}, and not the 0xef53 of a superblock")]
    NotExt {
        /// Where the superblock's number should be.
        offset: u64,
        /// What is there.
        found: u16,
    },
    /// The image ends too soon.
    #[error("{structure} is cut: it needs bytes {offset} to {end}, and the image ends at {has}")]
    Cut {
        /// What is cut.
        structure: Structure,
        /// Where it begins.
        offset: u64,
        /// Where it should end.
        end: u64,
        /// Where the image ends.
        has: u64,
    },
    /// It has something that changes how it must be read, and that is not known here.
    #[error("{} at byte {offset}: it needs `{}`, which cannot be read here", Structure::Superblock, features.join("`, `"))]
    Features {
        /// Where the superblock says so.
        offset: u64,
        /// By name and bit.
        features: Vec<String>,
    },
    /// A field has a value that it cannot have.
    #[error("{structure} at byte {offset}: `{field}` is {value}, and must be {wanted}")]
    Field {
        /// What it is in.
        structure: Structure,
        /// Where the field is, or what it is in.
        offset: u64,
        /// As Linux calls it.
        field: &'static str,
        /// What it says.
        value: u64,
        /// What it should say.
        wanted: String,
    },
    /// A checksum is wrong.
    #[error(
        "{structure} at byte {offset}: its checksum is {stored:#010x}, and its bytes have {computed:#010x}"
    )]
    Checksum {
        /// Of what.
        structure: Structure,
        /// Where that begins.
        offset: u64,
        /// As it is stored.
        stored: u32,
        /// As it should be.
        computed: u32,
    },
    /// Something is wrong that no single field shows.
    #[error("{structure} at byte {offset}: {problem}")]
    Damaged {
        /// In what.
        structure: Structure,
        /// Where that is.
        offset: u64,
        /// What it is.
        problem: String,
    },
    /// More than is taken from any image.
    #[error("the file system has more than {limit} {what}: it is damaged, or not for this")]
    TooMuch {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        limit: u64,
    },
    /// There is no such file.
    #[error("`{path}` is not there")]
    NotFound {
        /// Which path.
        path: String,
    },
    /// It is something else.
    #[error("`{path}` is no {wanted}")]
    WrongKind {
        /// Which path.
        path: String,
        /// What it must be.
        wanted: &'static str,
    },
    /// A file is too big to be read into memory.
    #[error("`{path}` has {size} bytes: at most {limit} are read at once")]
    TooBig {
        /// Which path.
        path: String,
        /// Bytes.
        size: u64,
        /// Bytes.
        limit: u64,
    },
    /// Someone asked to stop.
    #[error("cancelled")]
    Cancelled,
}

impl Explain for ExtError {
    fn class(&self) -> Class {
        match self {
            Self::Io(error) => class_of(error),
            Self::Cancelled => Class::Cancelled,
            Self::NotExt { .. }
            | Self::NotFound { .. }
            | Self::WrongKind { .. }
            | Self::TooBig { .. }
            | Self::Cut { .. }
            | Self::Features { .. }
            | Self::Field { .. }
            | Self::Checksum { .. }
            | Self::Damaged { .. }
            | Self::TooMuch { .. } => Class::Plan,
        }
    }
}

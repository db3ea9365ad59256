//! How an image is made.

use std::{fmt, num::NonZeroUsize};

use thiserror::Error;

use crate::codec::Compressor;

/// Bytes of a data block: a power of two from 4 KiB to 1 MiB.
///
/// Larger blocks compress better and make a read of one byte unpack more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockSize(u32);

impl BlockSize {
    /// 4 KiB, the smallest.
    pub const MIN: Self = Self(4 << 10);
    /// 128 KiB, what `mksquashfs` takes if it is not told.
    pub const COMMON: Self = Self(128 << 10);
    /// 1 MiB, the largest.
    pub const MAX: Self = Self(1 << 20);

    /// A size in bytes.
    pub const fn new(bytes: u64) -> Result<Self, BadBlockSize> {
        if bytes.is_power_of_two() && bytes >= Self::MIN.get() as u64 && bytes <= Self::MAX.get() as u64 {
            Ok(Self(bytes as u32))
        } else {
            Err(BadBlockSize { bytes })
        }
    }

    /// Bytes.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Its logarithm to base 2, 12 to 20.
    pub const fn log(self) -> u16 {
        self.0.trailing_zeros() as u16
    }
}

impl Default for BlockSize {
    /// 256 KiB: 3 % smaller than 128 KiB, and a read of one byte still unpacks a quarter of the largest.
    fn default() -> Self {
        Self(256 << 10)
    }
}

impl fmt::Display for BlockSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == Self::MAX.0 { f.write_str("1MiB") } else { write!(f, "{}KiB", self.0 >> 10) }
    }
}

/// A block size that the format does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the block size is {bytes} bytes: squashfs has powers of two from 4KiB to 1MiB")]
pub struct BadBlockSize {
    /// As it was asked for.
    pub bytes: u64,
}

/// How an image is made. The defaults are the measured best of all trees tried: see the decisions.
#[derive(Clone, Debug)]
pub struct Options {
    /// What blocks are compressed with.
    pub compressor: Compressor,
    /// How large they are.
    pub block_size: BlockSize,
    /// When the file system was made, seconds since 1970.
    pub made: u32,
    /// Whether it can be exported over NFS, which needs a table of all inodes.
    pub export: bool,
    /// Whether the end of a file that is larger than a block is packed with other files' ends.
    pub tail_ends: bool,
    /// Whether the image ends on a boundary of 4 KiB, as loop devices want it.
    pub pad: bool,
    /// How many threads compress; all processors if not given. It never changes the bytes.
    pub threads: Option<NonZeroUsize>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            compressor: Compressor::default(),
            block_size: BlockSize::default(),
            made: 0,
            export: true,
            tail_ends: false,
            pad: true,
            threads: None,
        }
    }
}

//! Compressors: one block in, one block out, with everything that can be used again kept.
//!
//! A [`Compressor`] is a value: which one, and how hard it tries. [`Compressor::packer`] makes the working memory of
//! one thread, a [`Packer`], which takes data blocks, fragments and metadata blocks alike; what it makes of a block
//! depends on nothing but the block and [`Compressor::recipe`], not on what it packed before.
//!
//! Source: squashfs-tools-ng, `doc/format.adoc`, "Compression options"; squashfs-tools 4.7.5, `*_wrapper.c`; Linux,
//! `fs/squashfs/*_wrapper.c`. LZO is not among them: the one crate that writes it is 740 lines of raw pointers
//! translated from C++, without a test that would hold them to their bounds.

mod gzip;
mod lz4;
mod name;
mod xz;
mod zstd;

use std::fmt;

use thiserror::Error;

use crate::BlockSize;

pub use name::BadCompressor;
pub use xz::Bcj;

/// Bytes of a metadata block, before compression; what the kernel has ready whatever the block size.
const METADATA: u32 = 8 << 10;

/// What blocks are compressed with.
///
/// Written as a name and a level, `zstd-15`; the name alone takes the compressor's usual level.
///
/// ```
/// use bootway_squashfs::Compressor;
///
/// let compressor: Compressor = "zstd-19".parse()?;
/// assert_eq!(compressor, Compressor::Zstd { level: 19 });
/// assert_eq!(compressor.to_string(), "zstd-19");
/// assert_eq!(Compressor::parse("gzip", None)?, Compressor::Gzip { level: 6 });
/// # Ok::<(), bootway_squashfs::BadCompressor>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Compressor {
    /// zlib streams, made by libdeflate. Its level 6 is smaller than zlib's 9, in a tenth of the time.
    Gzip {
        /// 1 to 12; `mksquashfs` has 1 to 9.
        level: u8,
    },
    /// Zstandard. Some levels are tuned for blocks: see the decision on the default.
    Zstd {
        /// 1 to 22.
        level: u8,
    },
    /// .xz streams.
    Xz {
        /// The preset, 0 to 9; `mksquashfs` has 6.
        level: u8,
        /// A filter for machine code, tried on each data block and taken where it helps.
        bcj: Option<Bcj>,
    },
    /// LZ4 blocks.
    Lz4 {
        /// The slow and smaller way; it unpacks as fast.
        high: bool,
    },
}

impl Default for Compressor {
    /// `zstd-9`: smaller than `gzip-9` of zlib, in a tenth of its time. See the decision on the default.
    fn default() -> Self {
        Self::Zstd { level: 9 }
    }
}

impl Compressor {
    /// Its number in the superblock.
    pub const fn id(self) -> u16 {
        match self {
            Self::Gzip { .. } => 1,
            Self::Xz { .. } => 4,
            Self::Lz4 { .. } => 5,
            Self::Zstd { .. } => 6,
        }
    }

    /// Everything that its output depends on, beside the input: part of the name of a cached block.
    ///
    /// Two recipes are equal if and only if the same bytes come out.
    pub(crate) fn recipe(self, block_size: BlockSize) -> String {
        let how = match self {
            Self::Gzip { level } => gzip::recipe(level),
            Self::Zstd { level } => zstd::recipe(level, block_size),
            Self::Xz { level, bcj } => xz::recipe(level, bcj, block_size),
            Self::Lz4 { high } => lz4::recipe(high),
        };
        format!("{self} {block_size}: {how}")
    }

    /// The options record that follows the superblock, without its metadata header; most have none.
    ///
    /// Source: `*_dump_options` of squashfs-tools. The kernel needs those of LZ4, and those of XZ to know of filters;
    /// the rest tells `unsquashfs -s` how the image was made.
    pub(crate) fn options(self, block_size: BlockSize) -> Option<Vec<u8>> {
        match self {
            Self::Gzip { level } => gzip::options(level),
            Self::Zstd { level } => zstd::options(level),
            Self::Xz { bcj, .. } => xz::options(bcj, block_size),
            Self::Lz4 { high } => Some(lz4::options(high)),
        }
    }

    /// Working memory for one thread, for blocks of at most `block_size`.
    ///
    /// # Errors
    ///
    /// If there is no such level, or no memory.
    pub fn packer(self, block_size: BlockSize) -> Result<Packer, CodecError> {
        self.check()?;
        Ok(Packer(match self {
            Self::Gzip { level } => Inner::Gzip(gzip::Packer::new(level)?),
            Self::Zstd { level } => Inner::Zstd(zstd::Packer::new(level, block_size)?),
            Self::Xz { level, bcj } => Inner::Xz(xz::Packer::new(level, bcj, block_size)?),
            Self::Lz4 { high } => Inner::Lz4(lz4::Packer::new(high)),
        }))
    }
}

/// A compressor's working memory, for one thread.
///
/// ```
/// use bootway_squashfs::{BlockSize, Compressor};
///
/// let mut packer = Compressor::Gzip { level: 6 }.packer(BlockSize::COMMON)?;
/// let mut packed = Vec::new();
/// assert!(packer.pack(&[b'a'; 5000], &mut packed)?);
/// assert!(packed.len() < 50);
/// assert!(!packer.pack(b"too short to gain anything", &mut packed)?);
/// # Ok::<(), bootway_squashfs::CodecError>(())
/// ```
pub struct Packer(Inner);

enum Inner {
    Gzip(gzip::Packer),
    Zstd(zstd::Packer),
    Xz(xz::Packer),
    Lz4(lz4::Packer),
}

impl fmt::Debug for Packer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packer").finish_non_exhaustive()
    }
}

impl Packer {
    /// Compresses `raw` (a data block, a fragment, or a metadata block; never empty) into `out`, whose old content is
    /// dropped. Returns false, and leaves `out` undefined, if that is not smaller than `raw`: then it is stored as it is.
    pub fn pack(&mut self, raw: &[u8], out: &mut Vec<u8>) -> Result<bool, CodecError> {
        out.clear();
        match &mut self.0 {
            Inner::Gzip(packer) => packer.pack(raw, out),
            Inner::Zstd(packer) => packer.pack(raw, out)?,
            Inner::Xz(packer) => packer.pack(raw, out)?,
            Inner::Lz4(packer) => packer.pack(raw, out)?,
        }
        Ok(!out.is_empty() && out.len() < raw.len())
    }
}

/// A block cannot be compressed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The compressor cannot be set so.
    #[error(transparent)]
    Setting(#[from] BadCompressor),
    /// What the library says.
    #[error("{library} cannot compress a block: {message}")]
    Library {
        /// Its name.
        library: &'static str,
        /// In its words.
        message: String,
    },
}

impl CodecError {
    fn library(library: &'static str, message: impl Into<String>) -> Self {
        Self::Library { library, message: message.into() }
    }
}

#[cfg(test)]
mod tests;

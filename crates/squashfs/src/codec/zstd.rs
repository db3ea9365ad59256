//! Zstandard frames: one context for all blocks of a thread, with parameters that suit blocks.

use std::fmt;

use zstd_safe::{CCtx, CParameter, SafeResult, Strategy};

use super::CodecError;
use crate::BlockSize;

/// What no options record means.
const USUAL: u8 = 15;

/// What a level is changed to, where the library's own table is not the best for that size of block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tuning {
    strategy: Strategy,
    search_log: u32,
    target_length: u32,
    /// Where blocks are so large that a table of every position is worth its memory: logarithms of chain and hash.
    tables: Option<(u32, u32)>,
}

impl Tuning {
    /// Found by measurement over real trees: see the decision on the default. The other levels are as good as they are.
    const fn of(level: u8, block_size: BlockSize) -> Option<Self> {
        match (level, block_size.log()) {
            (15, ..=18) => Some(Self {
                strategy: Strategy::ZSTD_btultra,
                search_log: 3,
                target_length: 20,
                tables: None,
            }),
            (15, log) => Some(Self {
                strategy: Strategy::ZSTD_btlazy2,
                search_log: 4,
                target_length: 16,
                tables: Some((log as u32 - 1, 18)),
            }),
            _ => None,
        }
    }

    fn parameters(self) -> impl Iterator<Item = CParameter> {
        let tables =
            self.tables.map(|(chain, hash)| [CParameter::ChainLog(chain), CParameter::HashLog(hash)]);
        [
            CParameter::Strategy(self.strategy),
            CParameter::SearchLog(self.search_log),
            CParameter::TargetLength(self.target_length),
        ]
        .into_iter()
        .chain(tables.into_iter().flatten())
    }
}

impl fmt::Display for Tuning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { strategy, search_log, target_length, tables } = self;
        write!(f, "{strategy:?} searchLog {search_log} targetLength {target_length}")?;
        tables.map_or(Ok(()), |(chain, hash)| write!(f, " chainLog {chain} hashLog {hash}"))
    }
}

/// Keeps the context, whose tables are then cleared and not made again.
///
/// Frames have the size of their content and no checksum, as those of `mksquashfs` do; since the size is known, the
/// window is no larger than it, which is what the kernel has memory for.
pub(super) struct Packer {
    context: CCtx<'static>,
}

impl Packer {
    pub(super) fn new(level: u8, block_size: BlockSize) -> Result<Self, CodecError> {
        let mut context =
            CCtx::try_create().ok_or_else(|| CodecError::library("libzstd", "there is no memory"))?;
        library(context.set_parameter(CParameter::CompressionLevel(level.into())))?;
        for parameter in Tuning::of(level, block_size).into_iter().flat_map(Tuning::parameters) {
            library(context.set_parameter(parameter))?;
        }
        Ok(Self { context })
    }

    pub(super) fn pack(&mut self, raw: &[u8], out: &mut Vec<u8>) -> Result<(), CodecError> {
        out.reserve(zstd_safe::compress_bound(raw.len()));
        library(self.context.compress2(out, raw))?;
        Ok(())
    }
}

fn library(result: SafeResult) -> Result<usize, CodecError> {
    result.map_err(|code| CodecError::library("libzstd", zstd_safe::get_error_name(code)))
}

pub(super) fn recipe(level: u8, block_size: BlockSize) -> String {
    let tuning =
        Tuning::of(level, block_size).map_or_else(|| "as it is".to_owned(), |tuning| tuning.to_string());
    format!("libzstd {} level {level} {tuning}", zstd_safe::version_string())
}

/// Level (u32); nothing for level 15.
pub(super) fn options(level: u8) -> Option<Vec<u8>> {
    (level != USUAL).then(|| u32::from(level).to_le_bytes().to_vec())
}

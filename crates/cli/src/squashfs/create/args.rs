//! How an image is made, as the command line says it.

use std::{num::NonZeroUsize, path::PathBuf};

use bootway_plan::{Class, Failure};
use bootway_squashfs::{Bcj, BlockSize, Compressor, Mask, Options, Rules, Times, Xattrs};
use clap::Args;

use crate::squashfs::values;

const PACK: &str = "How it is packed";
const IMAGE: &str = "What is in the image";
const SPEED: &str = "Speed";

/// How it is packed
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(super) struct PackArgs {
    /// gzip, zstd, xz, lz4 or lz4hc; with a level if you like: `zstd-19`
    #[arg(
        long,
        value_name = "NAME",
        value_parser = values::CompressorParser,
        hide_possible_values = true,
        default_value_t = Options::default().compressor,
        help_heading = PACK
    )]
    pub(super) compressor: Compressor,
    /// How hard it tries: gzip 1-12, zstd 1-22, xz 0-9
    #[arg(long, value_name = "N", help_heading = PACK)]
    pub(super) level: Option<i64>,
    /// Bytes of a block, 4K to 1M: larger is smaller, and slower to read here and there
    #[arg(
        long,
        value_name = "SIZE",
        value_parser = block_size,
        default_value_t = Options::default().block_size,
        help_heading = PACK
    )]
    pub(super) block_size: BlockSize,
    /// With xz, a filter for machine code: x86, arm, armthumb, arm64, powerpc, sparc, ia64, riscv
    #[arg(long, value_name = "FILTER", help_heading = PACK)]
    pub(super) bcj: Option<Bcj>,
    /// With lz4, the same as `--compressor lz4hc`
    #[arg(long, hide = true)]
    pub(super) high: bool,
    /// Pack the ends of large files together, too
    #[arg(long, help_heading = PACK)]
    pub(super) tail_ends: bool,
    /// Leave out the table that NFS needs
    #[arg(long, help_heading = PACK)]
    pub(super) no_exports: bool,
    /// Do not fill the last 4 KiB
    #[arg(long, help_heading = PACK)]
    pub(super) no_pad: bool,
}

/// What owners, modes and times become
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(super) struct RuleArgs {
    /// Everything belongs to root
    #[arg(long, conflicts_with_all = ["owner", "group"], help_heading = IMAGE)]
    pub(super) all_root: bool,
    /// Everything belongs to this user
    #[arg(long, value_name = "UID", value_parser = values::id, help_heading = IMAGE)]
    pub(super) owner: Option<u32>,
    /// Everything belongs to this group
    #[arg(long, value_name = "GID", value_parser = values::id, help_heading = IMAGE)]
    pub(super) group: Option<u32>,
    /// Every file was changed then: seconds since 1970
    #[arg(long, value_name = "TIME", value_parser = values::time, help_heading = IMAGE)]
    pub(super) all_time: Option<u32>,
    /// The image was made then; `SOURCE_DATE_EPOCH` unless said, else when its newest file was changed
    #[arg(long, value_name = "TIME", value_parser = values::time, help_heading = IMAGE)]
    pub(super) mkfs_time: Option<u32>,
    /// The mode of the root, in octal
    #[arg(long, value_name = "MODE", value_parser = values::mode, help_heading = IMAGE)]
    pub(super) root_mode: Option<u16>,
    /// The mode of every directory, in octal
    #[arg(long, value_name = "MODE", value_parser = values::mode, help_heading = IMAGE)]
    pub(super) dir_mode: Option<u16>,
    /// The mode of every other file, in octal
    #[arg(long, value_name = "MODE", value_parser = values::mode, help_heading = IMAGE)]
    pub(super) file_mode: Option<u16>,
    /// Leave out extended attributes, such as capabilities
    #[arg(long, help_heading = IMAGE)]
    pub(super) no_xattrs: bool,
    /// Leave what is mounted in the source empty
    #[arg(long, help_heading = IMAGE)]
    pub(super) one_file_system: bool,
    /// Store a single source under its name: a directory as a directory, a tar archive as a file
    #[arg(long, help_heading = IMAGE)]
    pub(super) under_name: bool,
}

/// What it costs
#[derive(Debug, Args)]
pub(super) struct SpeedArgs {
    /// How many threads compress; as many as there are processors unless said. It never changes the image
    #[arg(long, value_name = "N", help_heading = SPEED)]
    pub(super) threads: Option<NonZeroUsize>,
    /// Where compressed blocks are kept; `$XDG_CACHE_HOME/bootway/squashfs` or `~/.cache/bootway/squashfs` unless said
    #[arg(long, value_name = "DIR", help_heading = SPEED)]
    pub(super) cache: Option<PathBuf>,
    /// How large the cache may become; 4 GiB unless said
    #[arg(long, value_name = "SIZE", value_parser = values::size, help_heading = SPEED)]
    pub(super) cache_size: Option<u64>,
    /// Compress everything, and keep nothing
    #[arg(long, conflicts_with_all = ["cache", "cache_size"], help_heading = SPEED)]
    pub(super) no_cache: bool,
    /// Read every file, also those that have not changed by their times
    #[arg(long, help_heading = SPEED)]
    pub(super) paranoid: bool,
}

fn block_size(text: &str) -> Result<BlockSize, String> {
    BlockSize::new(values::size(text)?).map_err(|error| error.to_string())
}

impl PackArgs {
    /// The compressor with everything that was said about it.
    pub(super) fn compressor(&self) -> Result<Compressor, Failure> {
        let wrong = |text: String| Failure::new(Class::Plan, text);
        let mut compressor = self.compressor;
        if self.high {
            compressor = match compressor {
                Compressor::Lz4 { .. } => Compressor::Lz4 { high: true },
                _ => return Err(wrong("`-Xhc` is for lz4: add `-comp lz4`".to_owned())),
            };
        }
        if let Some(level) = self.level {
            compressor = compressor.with_level(level).map_err(|error| wrong(error.to_string()))?;
        }
        match (compressor, self.bcj) {
            (compressor, None) => Ok(compressor),
            (Compressor::Xz { level, .. }, bcj) => Ok(Compressor::Xz { level, bcj }),
            _ => Err(wrong("`--bcj` is for xz: add `--compressor xz`".to_owned())),
        }
    }
}

impl RuleArgs {
    /// What becomes of owners, modes and times.
    pub(super) fn rules(&self, epoch: Option<u32>) -> Rules {
        let root = self.all_root.then_some(0);
        let mask = |mode: Option<u16>| mode.map_or_else(Mask::default, Mask::set);
        Rules {
            uid: root.or(self.owner),
            gid: root.or(self.group),
            directories: mask(self.dir_mode),
            files: mask(self.file_mode),
            times: match (self.all_time, epoch) {
                (Some(time), _) => Times::Set(time),
                (None, Some(epoch)) => Times::AtMost(epoch),
                (None, None) => Times::Keep,
            },
            xattrs: if self.no_xattrs { Xattrs::None } else { Xattrs::Keep },
            one_file_system: self.one_file_system,
            ..Rules::default()
        }
    }
}

//! .xz streams, by liblzma.

use std::{fmt, str::FromStr};

use liblzma::stream::{Action, Check, Filters, LzmaOptions, Status, Stream};

use super::{BadCompressor, CodecError, METADATA};
use crate::BlockSize;

/// The version that is linked: the crate does not tell, so a test holds this to `Cargo.lock`.
pub(super) const VERSION: &str = "0.4.9";

/// A filter that makes machine code more alike before xz compresses it.
///
/// Source: `xz_wrapper.c` of squashfs-tools, `bcj[]`, whose order gives the bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bcj {
    /// 32 and 64 bits.
    X86,
    /// Big endian.
    PowerPc,
    /// Itanium.
    Ia64,
    /// 32 bits.
    Arm,
    /// The compact instructions of 32-bit ARM.
    ArmThumb,
    /// 32 and 64 bits.
    Sparc,
    /// 64 bits; Linux 6.12 or later reads it.
    Arm64,
    /// 32 and 64 bits; Linux 6.12 or later reads it.
    RiscV,
}

impl Bcj {
    /// All of them, in the order of their bits.
    pub(super) const ALL: [Self; 8] = [
        Self::X86,
        Self::PowerPc,
        Self::Ia64,
        Self::Arm,
        Self::ArmThumb,
        Self::Sparc,
        Self::Arm64,
        Self::RiscV,
    ];

    /// As `-Xbcj` of `mksquashfs` has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::X86 => "x86",
            Self::PowerPc => "powerpc",
            Self::Ia64 => "ia64",
            Self::Arm => "arm",
            Self::ArmThumb => "armthumb",
            Self::Sparc => "sparc",
            Self::Arm64 => "arm64",
            Self::RiscV => "riscv",
        }
    }

    /// Its bit in the options record.
    const fn bit(self) -> u32 {
        1 << self as u32
    }

    /// Bits of (literal context, literal position, position) that suit the length of its instructions.
    const fn bits(self) -> Option<(u32, u32, u32)> {
        match self {
            Self::X86 => None,
            Self::ArmThumb | Self::RiscV => Some((3, 1, 2)),
            Self::PowerPc | Self::Arm | Self::Sparc | Self::Arm64 => Some((2, 2, 2)),
            Self::Ia64 => Some((0, 4, 4)),
        }
    }

    fn add_to(self, filters: &mut Filters) {
        match self {
            Self::X86 => filters.x86(),
            Self::PowerPc => filters.powerpc(),
            Self::Ia64 => filters.ia64(),
            Self::Arm => filters.arm(),
            Self::ArmThumb => filters.arm_thumb(),
            Self::Sparc => filters.sparc(),
            Self::Arm64 => filters.arm64(),
            Self::RiscV => filters.riscv(),
        };
    }
}

impl fmt::Display for Bcj {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Bcj {
    type Err = BadCompressor;

    fn from_str(name: &str) -> Result<Self, BadCompressor> {
        Self::ALL
            .into_iter()
            .find(|it| it.name() == name)
            .ok_or_else(|| BadCompressor::Filter { name: name.into() })
    }
}

/// The library makes its memory new for each stream; what is kept is how to ask for it, and a buffer.
pub(super) struct Packer {
    level: u8,
    bcj: Option<Bcj>,
    block_size: BlockSize,
    second: Vec<u8>,
}

impl Packer {
    pub(super) fn new(level: u8, bcj: Option<Bcj>, block_size: BlockSize) -> Result<Self, CodecError> {
        filters(level, METADATA, bcj)?;
        Ok(Self { level, bcj, block_size, second: Vec::new() })
    }

    /// Leaves `out` empty if it would not be smaller.
    pub(super) fn pack(&mut self, raw: &[u8], out: &mut Vec<u8>) -> Result<(), CodecError> {
        // What fits into a metadata block needs no larger dictionary, which the library's tables grow with; and it is
        // metadata, or so little code that a second try is not worth it.
        let small = raw.len() <= METADATA as usize;
        let dictionary = if small { METADATA } else { dictionary(self.block_size) };
        encode(&filters(self.level, dictionary, None)?, raw, out)?;
        let Some(bcj) = self.bcj.filter(|_| !small || self.block_size.get() <= METADATA) else {
            return Ok(());
        };
        encode(&filters(self.level, dictionary, Some(bcj))?, raw, &mut self.second)?;
        if !self.second.is_empty() && (out.is_empty() || self.second.len() < out.len()) {
            std::mem::swap(out, &mut self.second);
        }
        Ok(())
    }
}

/// Writes nothing if it would not be smaller than `raw`.
fn encode(filters: &Filters, raw: &[u8], out: &mut Vec<u8>) -> Result<(), CodecError> {
    out.clear();
    out.reserve_exact(raw.len());
    let mut stream = Stream::new_stream_encoder(filters, Check::Crc32).map_err(library)?;
    let ended = stream.process_vec(raw, out, Action::Finish).map_err(library)? == Status::StreamEnd;
    if !ended || out.len() >= raw.len() {
        out.clear();
    }
    Ok(())
}

fn filters(level: u8, dictionary: u32, bcj: Option<Bcj>) -> Result<Filters, CodecError> {
    let mut lzma = LzmaOptions::new_preset(level.into()).map_err(library)?;
    lzma.dict_size(dictionary);
    if let Some((context, literal, position)) = bcj.and_then(Bcj::bits) {
        lzma.literal_context_bits(context).literal_position_bits(literal).position_bits(position);
    }
    let mut filters = Filters::new();
    if let Some(bcj) = bcj {
        bcj.add_to(&mut filters);
    }
    filters.lzma2(&lzma);
    Ok(filters)
}

/// What the kernel has ready, and takes no more than: a block, and at least a metadata block.
fn dictionary(block_size: BlockSize) -> u32 {
    block_size.get().max(METADATA)
}

fn library(error: liblzma::stream::Error) -> CodecError {
    CodecError::library("liblzma", error.to_string())
}

pub(super) fn recipe(level: u8, bcj: Option<Bcj>, block_size: BlockSize) -> String {
    let bcj = bcj.map_or_else(|| "plain".to_owned(), |bcj| format!("plain or {bcj}"));
    format!("liblzma {VERSION} preset {level} dictionary {} {bcj}", dictionary(block_size))
}

/// Dictionary (u32), filters (u32); nothing if there is no filter, since the dictionary is then what is expected.
pub(super) fn options(bcj: Option<Bcj>, block_size: BlockSize) -> Option<Vec<u8>> {
    bcj.map(|bcj| {
        let mut record = dictionary(block_size).to_le_bytes().to_vec();
        record.extend(bcj.bit().to_le_bytes());
        record
    })
}

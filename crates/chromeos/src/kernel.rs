//! The kernel inside of a kernel partition: its boot image, its payload, its embedded initramfs, its configuration.
//!
//! Nothing is guessed: a bzImage says where its payload is, an ELF file where its initial data is, and the linker how
//! long the initramfs is.
//!
//! ```
//! use bootway_chromeos::kernel::{Compression, initramfs, Arch, KernelError};
//!
//! assert_eq!(Compression::of(b"\xfd7zXZ\0..."), Some(Compression::Xz));
//! // Whatever the bytes are, the answer names what is missing.
//! let error = initramfs(b"no kernel", Arch::X8664).unwrap_err();
//! assert!(matches!(error, KernelError::NoInitramfs { seen: 0, searched: 9 }));
//! ```

use std::{collections::BTreeMap, ops::Range};

use crate::vboot::KernelPartition;

mod config;
mod cpio;
mod elf;
mod error;
mod fit;
pub mod fitness;
mod initramfs;
mod setup;
#[cfg(any(test, fuzzing))]
pub mod specimen;
mod stream;

pub use self::{
    config::config,
    cpio::CpioError,
    error::{KernelError, Layer, Within},
    initramfs::initramfs,
    stream::StreamError,
};

/// No kernel and no initramfs is larger, unpacked.
#[cfg(not(fuzzing))]
const LIMIT: usize = 512 << 20;
/// Enough for every path through the code.
#[cfg(fuzzing)]
const LIMIT: usize = 8 << 20;
/// The longest version that is believed.
const VERSION_MAX: usize = 128;

/// A kernel in the form that boot loaders start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootKernel {
    /// The processor it is for.
    pub arch: Arch,
    /// A bzImage byte for byte as it was packed, or an arm64 Image, unpacked.
    pub image: Vec<u8>,
    /// How the image was made whole, if the partition does not hold all of it.
    pub note: Option<String>,
    /// Where in `image` the compressed kernel is; all of it where nothing is compressed. Empty if the kernel is so old
    /// that it does not say.
    pub payload: Range<usize>,
    /// What the payload is compressed with.
    pub compression: Compression,
}

/// A processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arch {
    /// 64-bit PC.
    X8664,
    /// 64-bit Arm.
    Arm64,
}

/// A compression that kernels and initramfs come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Nothing.
    None,
    /// RFC 1952.
    Gzip,
    /// The .xz format.
    Xz,
    /// The .lzma format.
    Lzma,
    /// RFC 8878.
    Zstd,
    /// The LZ4 legacy format of Linux.
    Lz4Legacy,
    /// The LZ4 frame format.
    Lz4Frame,
    /// bzip2.
    Bzip2,
    /// lzop; recognised and named, not read.
    Lzo,
}

/// The initramfs that is linked into a kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Initramfs {
    /// First byte in the decompressed kernel.
    pub offset: usize,
    /// Bytes there, as the linker says.
    pub stored: usize,
    /// What it is compressed with; the first of its archives, if there are several.
    pub compression: Compression,
    /// The archive, decompressed; several follow each other at multiples of four.
    pub cpio: Vec<u8>,
}

/// A kernel's own configuration (`CONFIG_IKCONFIG`), without the `CONFIG_`: `y`, `m`, numbers, and strings unquoted.
///
/// What is not set is not there.
pub type Config = BTreeMap<String, String>;

/// The kernel of `partition`, of which `bytes` are the bytes.
///
/// # Errors
///
/// If something in it is damaged; the error names the structure and its offset.
pub fn boot_kernel(bytes: &[u8], partition: &KernelPartition) -> Result<BootKernel, KernelError> {
    let body = part(bytes, "body", &partition.body)?;
    if fit::is(body) { fit::kernel(body, partition.body.start) } else { setup::kernel(bytes, partition) }
}

/// Reads `body` as a FIT, without a partition around it: for the fuzzer.
///
/// # Errors
///
/// As [`boot_kernel`].
#[cfg(fuzzing)]
pub fn fuzz_fit(body: &[u8]) -> Result<BootKernel, KernelError> {
    fit::kernel(body, 0)
}

impl BootKernel {
    /// The kernel as it runs: an ELF file, or an arm64 Image.
    ///
    /// # Errors
    ///
    /// If it cannot be unpacked to its last byte, or its size is not the one that was stored with it.
    pub fn decompress(&self) -> Result<Vec<u8>, KernelError> {
        let payload = part_of(&self.image, Within::BootImage, "payload", &self.payload)?;
        if self.arch == Arch::X8664 && payload.is_empty() {
            return Err(KernelError::OldProtocol { protocol: setup::protocol(&self.image) });
        }
        let Self { compression, .. } = *self;
        if compression == Compression::None {
            return Ok(payload.to_vec());
        }
        let layer = Layer { number: 1, compression, offset: self.payload.start, within: Within::BootImage };
        let fail = |error| KernelError::Stream { layer, error };
        let Some((stored, word)) = payload.split_last_chunk::<4>() else {
            return Err(fail(StreamError::Short { stored: payload.len() }));
        };
        // gzip has this word of its own; for the others, the build of the kernel appends it.
        let said = u32::from_le_bytes(*word) as usize;
        let stored = if compression == Compression::Gzip { payload } else { stored };
        let unpacked = stream::unpack(compression, stored, LIMIT, Some(said)).map_err(fail)?;
        if unpacked.consumed != stored.len() {
            return Err(fail(StreamError::Trailing { consumed: unpacked.consumed, stored: stored.len() }));
        }
        if unpacked.bytes.len() != said {
            return Err(fail(StreamError::Size { found: unpacked.bytes.len(), said }));
        }
        Ok(unpacked.bytes)
    }

    /// What `uname -r` will say.
    pub fn version(&self) -> Option<String> {
        match self.arch {
            Arch::X8664 => setup::version(&self.image).or_else(|| banner(&self.decompress().ok()?)),
            Arch::Arm64 => banner(&self.image),
        }
    }
}

/// The version that `vmlinux`, a decompressed kernel, says when it starts.
pub fn banner(vmlinux: &[u8]) -> Option<String> {
    const BANNER: &[u8] = b"Linux version ";
    memchr::memmem::find_iter(vmlinux, BANNER).find_map(|at| release(&vmlinux[at + BANNER.len()..]))
}

/// A version is the first word, and begins with a digit.
fn release(text: &[u8]) -> Option<String> {
    let text = &text[..text.len().min(VERSION_MAX)];
    let end = text.iter().position(|byte| !byte.is_ascii_graphic())?;
    let version = std::str::from_utf8(&text[..end]).ok()?;
    version.starts_with(|first: char| first.is_ascii_digit()).then(|| version.to_owned())
}

/// A part of the kernel partition.
fn part<'a>(bytes: &'a [u8], structure: &'static str, range: &Range<usize>) -> Result<&'a [u8], KernelError> {
    part_of(bytes, Within::Partition, structure, range)
}

fn part_of<'a>(
    bytes: &'a [u8],
    within: Within,
    structure: &'static str,
    range: &Range<usize>,
) -> Result<&'a [u8], KernelError> {
    bytes.get(range.clone()).ok_or_else(|| {
        let what = format!("it would end at byte {}, and {within} ends at {}", range.end, bytes.len());
        KernelError::Damaged { structure, offset: range.start, within, what }
    })
}

#[cfg(test)]
pub(crate) mod tests;

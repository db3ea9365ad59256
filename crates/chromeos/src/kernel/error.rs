//! What can be wrong with a kernel, and where.

use bootway_plan::{Class, Explain};
use thiserror::Error;

use super::{Compression, cpio::CpioError, stream::StreamError};

/// What an offset is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Within {
    /// The kernel partition.
    Partition,
    /// The boot image: bzImage or arm64 Image.
    BootImage,
    /// The decompressed kernel.
    Vmlinux,
}

impl std::fmt::Display for Within {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Partition => "the kernel partition",
            Self::BootImage => "the boot image",
            Self::Vmlinux => "the decompressed kernel",
        })
    }
}

/// A compressed stream inside of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layer {
    /// 1 is the kernel's payload, 2 the embedded initramfs, 3 what is wrongly compressed inside of that.
    pub number: u8,
    /// How it is compressed.
    pub compression: Compression,
    /// First byte of the stream.
    pub offset: usize,
    /// In what.
    pub within: Within,
}

impl std::fmt::Display for Layer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { number, compression, offset, within } = self;
        let what = match number {
            1 => "the kernel",
            2 => "the initramfs",
            _ => "inside of the initramfs",
        };
        write!(f, "layer {number}, {what}: {compression} at byte {offset} of {within}")
    }
}

/// A kernel cannot be taken apart.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum KernelError {
    /// A structure is damaged.
    #[error("{structure} at byte {offset} of {within}: {what}")]
    Damaged {
        /// Its name.
        structure: &'static str,
        /// First byte of what is wrong.
        offset: usize,
        /// What the offset is counted in.
        within: Within,
        /// The field, its value, and what would be right.
        what: String,
    },
    /// It is nothing that this crate knows.
    #[error(
        "the body at byte {offset} of the kernel partition is {what}: a bzImage or a FIT for arm64 is needed"
    )]
    Unknown {
        /// First byte of the body.
        offset: usize,
        /// What it looks like.
        what: String,
    },
    /// The kernel does not say where its payload is.
    #[error(
        "the boot protocol of the kernel is {}.{:02}, and the place of the payload is known from 2.08 on (Linux 2.6.26)",
        protocol >> 8, protocol & 0xff
    )]
    OldProtocol {
        /// Major in the high byte, minor in the low one.
        protocol: u16,
    },
    /// The payload is compressed with something unknown.
    #[error(
        "the payload at byte {offset} of the boot image begins with {begin:02x?}, which is no compression that Linux knows"
    )]
    UnknownPayload {
        /// First byte.
        offset: usize,
        /// The first bytes.
        begin: Vec<u8>,
    },
    /// A compressed stream cannot be read to its end.
    #[error("{layer}: {error}")]
    Stream {
        /// Which one.
        layer: Layer,
        /// What is wrong with it.
        error: StreamError,
    },
    /// Nothing in the kernel is confirmed to be an initramfs.
    #[error(
        "no initramfs in the decompressed kernel: of {searched} bytes that were searched, {seen} begin like one, \
         and none of these is followed by the length that the linker writes"
    )]
    NoInitramfs {
        /// Places that begin with the magic number of an archive or a compressor.
        seen: usize,
        /// Bytes that were searched.
        searched: usize,
    },
    /// More than one place is confirmed by a length word, and more than one can be unpacked, or none.
    #[error("{} places in the decompressed kernel claim to be its initramfs, and contradict each other: {}", found.len(), found.join("; "))]
    Contradiction {
        /// Each with its offset, its length, and what came of it.
        found: Vec<String>,
    },
    /// What follows in the region of the initramfs is neither padding, nor an archive, nor a stream.
    #[error(
        "layer 2, the initramfs: what follows at byte {offset} of the decompressed kernel is neither padding nor an archive: {begin:02x?}"
    )]
    Junk {
        /// First byte.
        offset: usize,
        /// The first bytes.
        begin: Vec<u8>,
    },
    /// The archive is damaged.
    #[error("layer 2, the initramfs at byte {offset} of the decompressed kernel: {error}")]
    Cpio {
        /// First byte of the initramfs.
        offset: usize,
        /// What is wrong with it.
        error: CpioError,
    },
    /// The archive is compressed once more, which the kernel would not unpack.
    #[error("{layer} is compressed again, once unpacked: the kernel would not start with it")]
    Nested {
        /// The inner one.
        layer: Layer,
    },
    /// The archive has no `/init`.
    #[error(
        "not a shim: the initramfs of this kernel has {files} files in {size} bytes and no `/init`{}",
        if *size <= 1024 { ": it is the default archive of a kernel without one" } else { "" }
    )]
    NoInit {
        /// Names in the archive.
        files: usize,
        /// Bytes of the archive.
        size: usize,
    },
}

impl Explain for KernelError {
    fn class(&self) -> Class {
        Class::Step
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NoInit { .. } | Self::NoInitramfs { .. } => Some(
                "RMA shims have their initramfs in the kernel; a recovery image or an installed system is no shim".to_owned(),
            ),
            Self::Unknown { .. } | Self::OldProtocol { .. } | Self::UnknownPayload { .. } => None,
            _ => Some("the image is damaged: compare its SHA-256 with the one that it was published with".to_owned()),
        }
    }
}

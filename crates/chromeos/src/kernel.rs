//! The kernel inside of a kernel partition: its boot image, its payload, its embedded initramfs, its configuration.

use std::{collections::BTreeMap, ops::Range};

use thiserror::Error;

use crate::vboot::KernelPartition;

/// A kernel in the form that boot loaders start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootKernel {
    /// The processor it is for.
    pub arch: Arch,
    /// A bzImage, or an arm64 Image, byte for byte as it was packed.
    pub image: Vec<u8>,
    /// How the image was made whole, if the partition does not hold all of it.
    pub note: Option<String>,
    /// Where in `image` the compressed kernel is; all of it where nothing is compressed.
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
    /// What it is compressed with.
    pub compression: Compression,
    /// The archive, decompressed.
    pub cpio: Vec<u8>,
}

/// A kernel's own configuration (`CONFIG_IKCONFIG`), without the `CONFIG_`: `y`, `m`, numbers, and strings unquoted.
pub type Config = BTreeMap<String, String>;

/// The kernel of `partition`, of which `bytes` are the bytes.
///
/// # Errors
///
/// If something in it is damaged; the error names the structure and its offset.
pub fn boot_kernel(bytes: &[u8], partition: &KernelPartition) -> Result<BootKernel, KernelError> {
    let _ = (bytes, partition);
    Err(KernelError::Todo)
}

impl BootKernel {
    /// The kernel as it runs: an ELF file, or an arm64 Image.
    pub fn decompress(&self) -> Result<Vec<u8>, KernelError> {
        Err(KernelError::Todo)
    }

    /// What `uname -r` will say.
    pub fn version(&self) -> Option<String> {
        None
    }
}

/// The initramfs that is linked into `vmlinux`, a decompressed kernel for `arch`.
///
/// # Errors
///
/// If there is none, or it cannot be unpacked to its last byte.
pub fn initramfs(vmlinux: &[u8], arch: Arch) -> Result<Initramfs, KernelError> {
    let _ = (vmlinux, arch);
    Err(KernelError::Todo)
}

/// The configuration that `vmlinux` carries, if it does.
pub fn config(vmlinux: &[u8]) -> Option<Config> {
    let _ = vmlinux;
    None
}

/// A kernel cannot be taken apart.
#[derive(Debug, Error)]
pub enum KernelError {
    /// To be replaced.
    #[error("not written yet")]
    Todo,
}

//! The verified-boot wrapping of a kernel partition: keyblock, preamble and body.
//!
//! Source: vboot `firmware/2lib/include/2struct.h`, `firmware/include/vb2_*`, `host/lib/host_kernel.c`.

use std::ops::Range;

use thiserror::Error;

/// Where the parts of a kernel partition are, in bytes from its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelPartition {
    /// Signed by whoever the firmware trusts; holds the key of the preamble.
    pub keyblock: Keyblock,
    /// Signed with that key; holds the signature of the body.
    pub preamble: Preamble,
    /// Everything that is loaded: kernel, config page, zero page, boot loader stub, setup header.
    pub body: Range<usize>,
    /// The page of the command line.
    pub config: Range<usize>,
    /// The page with the copy of the setup header ("zero page", boot parameters).
    pub zero_page: Range<usize>,
    /// The boot loader stub.
    pub bootloader: Range<usize>,
    /// The real-mode part of the bzImage, if the preamble (2.1 and later) says where it is.
    pub vmlinuz_header: Option<Range<usize>>,
}

/// A keyblock (`struct vb2_keyblock`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keyblock {
    /// Bytes.
    pub size: usize,
    /// Format, major and minor.
    pub version: (u32, u32),
    /// When it may be used: bit 0 not developer mode, 1 developer, 2 not recovery, 3 recovery, 4 not miniOS, 5 miniOS.
    pub flags: u32,
    /// The key that signs the preamble.
    pub data_key: Key,
}

/// A public RSA key as vboot packs it (`struct vb2_packed_key`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// vboot's number for the algorithm: 4 is RSA2048 SHA256, 8 is RSA4096 SHA512 …
    pub algorithm: u32,
    /// Of the key, against rollback.
    pub version: u32,
    /// Its bytes, as they are signed over.
    pub bytes: Vec<u8>,
}

/// A kernel preamble (`struct vb2_kernel_preamble`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preamble {
    /// Bytes.
    pub size: usize,
    /// Format, major and minor.
    pub version: (u32, u32),
    /// Of the kernel, against rollback.
    pub kernel_version: u32,
    /// Where the body is loaded.
    pub load_address: u64,
    /// Flags, from 2.2 on: bits 0 and 1 are 0 for a `ChromeOS` kernel.
    pub flags: u32,
}

impl KernelPartition {
    /// Reads the headers of a kernel partition, of which `bytes` holds at least everything that is signed.
    ///
    /// # Errors
    ///
    /// If a structure is damaged or leads outside of the partition; the error names it and its offset.
    pub fn parse(bytes: &[u8]) -> Result<Self, VbootError> {
        let _ = bytes;
        Err(VbootError::NoKeyblock { offset: 0 })
    }

    /// The signed command line, without its padding.
    pub fn cmdline(&self, bytes: &[u8]) -> String {
        let page = &bytes[self.config.clone()];
        let end = page.iter().position(|byte| *byte == 0).unwrap_or(page.len());
        String::from_utf8_lossy(&page[..end]).into_owned()
    }
}

/// A kernel partition cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum VbootError {
    /// It is none.
    #[error("no keyblock at byte {offset}: a kernel partition begins with `CHROMEOS`")]
    NoKeyblock {
        /// Where it was looked for.
        offset: usize,
    },
}

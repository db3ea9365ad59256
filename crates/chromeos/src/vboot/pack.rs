//! Making kernel partitions: what `vbutil_kernel --pack` does, byte for byte.
//!
//! Source: vboot `futility/vb1_helper.c` (`CreateKernelBlob`, `SignKernelBlob`), `host/lib/host_common.c`.

use thiserror::Error;

use super::{FIRMWARE_READS, Keyblock, PAGE, PrivateKey};

/// What a kernel partition is made of.
///
/// [`Pack::new`] has what is usual; set the other fields as needed.
#[derive(Clone, Copy, Debug)]
pub struct Pack<'a> {
    /// A bzImage, or on Arm a FIT.
    pub kernel: &'a [u8],
    /// The command line, at most 4095 bytes; newlines become spaces. Newer versions of vboot's tool also take the white
    /// space from its end.
    pub cmdline: &'a str,
    /// The boot loader stub; may be empty.
    pub bootloader: &'a [u8],
    /// Vouches for the public half of `key`.
    pub keyblock: &'a Keyblock,
    /// Signs preamble and body.
    pub key: &'a PrivateKey,
    /// The processor.
    pub arch: Arch,
    /// Of the kernel, against rollback.
    pub version: u32,
    /// Where the firmware loads the body.
    pub load_address: u64,
    /// Flags of the preamble; none before 2.2.
    pub flags: u32,
    /// Minor version of the preamble, 0 to 2.
    pub preamble_minor: u32,
    /// Keyblock and preamble are padded to this many bytes.
    pub padding: usize,
}

/// A processor, as far as packing is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arch {
    /// The kernel is a bzImage, and its real-mode part is put behind the rest.
    X86,
    /// The kernel is packed as it is.
    Arm,
}

impl<'a> Pack<'a> {
    /// A kernel for a PC, version 1, loaded where such kernels are loaded.
    pub const fn new(
        kernel: &'a [u8],
        cmdline: &'a str,
        keyblock: &'a Keyblock,
        key: &'a PrivateKey,
    ) -> Self {
        Self {
            kernel,
            cmdline,
            bootloader: &[],
            keyblock,
            key,
            arch: Arch::X86,
            version: 1,
            load_address: 0x10_0000,
            flags: 0,
            preamble_minor: 2,
            padding: FIRMWARE_READS,
        }
    }
}

/// The bytes of a kernel partition, without the padding up to the partition's size.
///
/// # Errors
///
/// If a part of it is too large, or the kernel is no bzImage where it must be.
pub fn pack(pack: &Pack<'_>) -> Result<Vec<u8>, PackError> {
    let body = Body::of(pack)?;
    let mut bytes = pack.keyblock.bytes().to_vec();
    bytes.extend(preamble(pack, &body));
    bytes.extend(&body.bytes);
    Ok(bytes)
}

/// Everything that is loaded, and where two of its parts are.
struct Body {
    bytes: Vec<u8>,
    bootloader: (usize, usize),
    vmlinuz_header: (usize, usize),
}

impl Body {
    fn of(pack: &Pack<'_>) -> Result<Self, PackError> {
        let cmdline = config_page(pack.cmdline)?;
        let setup = match pack.arch {
            Arch::X86 => setup_len(pack.kernel)?,
            Arch::Arm => 0,
        };
        let (header, kernel) = pack.kernel.split_at(setup);
        let mut bytes = padded(kernel);
        let config_at = bytes.len();
        bytes.extend_from_slice(&cmdline);
        let zero_page_at = bytes.len();
        bytes.resize(zero_page_at + PAGE, 0);
        if pack.arch == Arch::X86 {
            // vboot's tool means to skip what is before a lone `--`, and looks for it before the page is filled.
            let line = (pack.load_address as u32).wrapping_add(config_at as u32);
            zero_page(&mut bytes[zero_page_at..], header, line);
        }
        let bootloader = (bytes.len(), pack.bootloader.len().next_multiple_of(PAGE));
        bytes.extend(padded(pack.bootloader));
        let vmlinuz_header = (bytes.len(), header.len());
        bytes.extend(padded(header));
        match u32::try_from(bytes.len()) {
            Ok(_) => Ok(Self { bytes, bootloader, vmlinuz_header }),
            Err(_) => Err(PackError::TooLarge { len: bytes.len() }),
        }
    }
}

/// `bytes`, and zeros up to the end of the page.
fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut page = bytes.to_vec();
    page.resize(bytes.len().next_multiple_of(PAGE), 0);
    page
}

/// Bytes of the real-mode part of a bzImage (Linux, "The Linux/x86 Boot Protocol").
fn setup_len(kernel: &[u8]) -> Result<usize, PackError> {
    let odd = |reason| PackError::NoBzImage { reason };
    if kernel.len() < 0x2d0 || &kernel[0x202..0x206] != b"HdrS" {
        return Err(odd("it has no `HdrS` at byte 514"));
    }
    // Older than protocol 2.00 a kernel may say 0 and mean 4; none of those has a `HdrS`.
    let setup = (usize::from(kernel[0x1f1]) + 1) * 512;
    if setup < 0x2d0 {
        return Err(odd("its real-mode part, by the sectors at byte 497, ends within its header"));
    }
    if setup < kernel.len() {
        Ok(setup)
    } else {
        Err(odd("its real-mode part, by the sectors at byte 497, is longer than all of it"))
    }
}

/// The page with the command line.
fn config_page(cmdline: &str) -> Result<Vec<u8>, PackError> {
    let line = cmdline.replace('\n', " ");
    if cmdline.len() >= PAGE {
        return Err(PackError::CommandLine { len: cmdline.len() });
    }
    let mut page = line.as_bytes().to_vec();
    page.resize(PAGE, 0);
    Ok(page)
}

/// The boot parameters: a copy of the setup header with what a boot loader fills in.
fn zero_page(page: &mut [u8], header: &[u8], cmdline: u32) {
    page[0x1f1..0x2d0].copy_from_slice(&header[0x1f1..0x2d0]);
    let mut put = |at: usize, bytes: &[u8]| page[at..at + bytes.len()].copy_from_slice(bytes);
    put(0x1fe, &[0; 2]);
    put(0x210, &[0xff]);
    put(0x218, &[0; 8]);
    put(0x228, &cmdline.to_le_bytes());
    put(0x1e8, &[2]);
    for (at, start, kind) in [(0x2d0, 0_u64, 1_u32), (0x2e4, 0xffff_f000, 2)] {
        put(at, &start.to_le_bytes());
        put(at + 8, &0x1000_u64.to_le_bytes());
        put(at + 16, &kind.to_le_bytes());
    }
}

fn preamble(pack: &Pack<'_>, body: &Body) -> Vec<u8> {
    let header: usize = match pack.preamble_minor {
        0 => 96,
        1 => 112,
        _ => 116,
    };
    let signature = pack.key.algorithm().bytes();
    let signed = header + signature;
    let len = (signed + signature).max(pack.padding.saturating_sub(pack.keyblock.size));
    let mut bytes = vec![0; len];
    let address = |offset: usize| pack.load_address.wrapping_add(offset as u64).to_le_bytes();
    let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
    let word = |number: usize| (number as u32).to_le_bytes();
    put(0, &word(len));
    put(8, &word(signed - 8));
    put(16, &word(signature));
    put(24, &word(signed));
    put(32, &word(2));
    put(36, &pack.preamble_minor.to_le_bytes());
    put(40, &pack.version.to_le_bytes());
    put(48, &pack.load_address.to_le_bytes());
    put(56, &address(body.bootloader.0));
    put(64, &word(body.bootloader.1));
    put(72, &word(header - 72));
    put(80, &word(signature));
    put(88, &word(body.bytes.len()));
    if pack.preamble_minor >= 1 && body.vmlinuz_header.1 != 0 {
        put(96, &address(body.vmlinuz_header.0));
        put(104, &word(body.vmlinuz_header.1));
    }
    if pack.preamble_minor >= 2 {
        put(112, &pack.flags.to_le_bytes());
    }
    put(header, &pack.key.sign(&body.bytes));
    let own = pack.key.sign(&bytes[..signed]);
    bytes[signed..signed + signature].copy_from_slice(&own);
    bytes
}

/// A kernel partition cannot be made of these parts.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PackError {
    /// The kernel is not in the form that a PC's must have.
    #[error("the kernel is no bzImage: {reason}")]
    NoBzImage {
        /// What is wrong.
        reason: &'static str,
    },
    /// The command line has no place.
    #[error("the command line has {len} bytes, and at most 4095 have a place")]
    CommandLine {
        /// Its length.
        len: usize,
    },
    /// The body has no place.
    #[error("the body has {len} bytes: a preamble can only count to 4294967295")]
    TooLarge {
        /// Its length.
        len: usize,
    },
}

//! The verified-boot wrapping of a kernel partition: keyblock, preamble and body.
//!
//! - [`KernelPartition::parse`] says where everything is, [`Keyblock::verify`] and its siblings whether it is signed.
//! - [`pack()`](fn@pack) makes a partition, [`Keyblock::create`] a keyblock: for test images with keys of one's own.
//! - [`DmVerity`] and [`PartitionHash`] are what a signed command line says of the rest of the disk.
//!
//! Source: vboot `firmware/2lib/include/2struct.h`, `firmware/2lib/2struct.c`, `futility/vb1_helper.c`.

use std::ops::Range;

use thiserror::Error;

mod algorithm;
mod cmdline;
mod dm;
mod fields;
mod hashes;
mod key;
mod keyblock;
mod known;
mod pack;
mod preamble;
mod private;
#[cfg(test)]
pub(crate) mod samples;
mod verify;

pub use algorithm::{Algorithm, HashKind};
pub use cmdline::argument;
pub use dm::{DmDevice, DmError, DmHash, DmVerity};
pub use hashes::{HashError, PartitionHash};
pub use key::Key;
pub use keyblock::Keyblock;
pub use known::Known;
pub use pack::{Arch as PackArch, Pack, PackError, pack};
pub use preamble::Preamble;
pub use private::PrivateKey;
pub use verify::VerifyError;

/// The page of the command line, and the zero page: bytes of each.
const PAGE: usize = 4096;
/// Where the firmware wants the body to begin at the latest: it reads that much before it knows more.
///
/// Source: `KBUF_SIZE` in vboot `firmware/2lib/2load_kernel.c`.
pub(crate) const FIRMWARE_READS: usize = 64 << 10;
/// How far a keyblock is looked for, if there is none at the start.
const SEARCHED: usize = 1 << 20;

/// Where the parts of a kernel partition are, in bytes from its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelPartition {
    /// Where the keyblock is: 0, unless something was put before it; the firmware starts only what begins at 0.
    pub start: usize,
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

impl KernelPartition {
    /// Reads the headers of a kernel partition, of which `bytes` holds at least everything that is signed.
    ///
    /// # Errors
    ///
    /// If a structure is damaged or leads outside of the partition; the error names it and its offset.
    pub fn parse(bytes: &[u8]) -> Result<Self, VbootError> {
        let partition = Self::headers(bytes)?;
        match bytes.len().checked_sub(partition.body.end) {
            Some(_) => Ok(partition),
            None => Err(VbootError::Cut {
                structure: "body",
                offset: partition.body.start,
                needed: partition.body.len(),
                there: bytes.len().saturating_sub(partition.body.start),
            }),
        }
    }

    /// Reads the headers of a kernel partition, of which `bytes` holds at least keyblock and preamble.
    ///
    /// The ranges may end behind `bytes`: `body.end` says how much there must be.
    ///
    /// # Errors
    ///
    /// If a structure is damaged, or they contradict each other; the error names it and its offset.
    pub fn headers(bytes: &[u8]) -> Result<Self, VbootError> {
        let start = keyblock_at(bytes)?;
        let keyblock = Keyblock::parse_at(bytes, start)?;
        let preamble_at = start + keyblock.size;
        let preamble = Preamble::parse_at(bytes, preamble_at)?;
        let body_at = preamble_at + preamble.size;
        let body = body_at..body_at + preamble.body_size;
        let place = Place { preamble: &preamble, offset: preamble_at, body: body_at };
        let bootloader = place.of(
            ["the address of the boot loader", "the size of the boot loader"],
            preamble.bootloader,
            2 * PAGE,
        )?;
        let setup = ["the address of the setup header", "the size of the setup header"];
        let vmlinuz_header = match preamble.vmlinuz_header {
            Some(header) => Some(place.of(setup, header, 0)?),
            None => None,
        };
        let zero_page = bootloader.start - PAGE..bootloader.start;
        let config = zero_page.start - PAGE..zero_page.start;
        Ok(Self { start, keyblock, preamble, body, config, zero_page, bootloader, vmlinuz_header })
    }

    /// The signed command line, without its padding.
    ///
    /// # Panics
    ///
    /// If `bytes` are not those that were read.
    pub fn cmdline(&self, bytes: &[u8]) -> String {
        let page = &bytes[self.config.clone()];
        let end = page.iter().position(|byte| *byte == 0).unwrap_or(page.len());
        String::from_utf8_lossy(&page[..end]).into_owned()
    }

    /// What of it the firmware would not have, though it can be read.
    pub fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        if self.start != 0 {
            remarks.push(format!(
                "the keyblock is at byte {}, not at the start: the firmware does not look there",
                self.start
            ));
        }
        let headers = self.body.start - self.start;
        if headers > FIRMWARE_READS {
            remarks.push(format!(
                "the body begins {headers} bytes in: the firmware wants it within {FIRMWARE_READS}"
            ));
        }
        remarks
    }
}

/// Where things are that a preamble has the addresses of.
struct Place<'a> {
    preamble: &'a Preamble,
    /// Where the preamble is, for errors.
    offset: usize,
    /// Where the body is.
    body: usize,
}

impl Place<'_> {
    /// The bytes at this address, so many of them, and not before byte `before` of the body.
    fn of(
        &self,
        names: [&'static str; 2],
        at: (u64, usize),
        before: usize,
    ) -> Result<Range<usize>, VbootError> {
        let Preamble { load_address, body_size, .. } = *self.preamble;
        let bad = |field, value, limit| {
            Err(VbootError::Field { structure: "preamble", field, offset: self.offset, value, limit })
        };
        let (address, len) = at;
        let Some(last) = body_size.checked_sub(len).filter(|last| *last >= before) else {
            let limit =
                format!("at most {}, as the body has {body_size} bytes", body_size.saturating_sub(before));
            return bad(names[1], len as u64, limit);
        };
        let offset = address.checked_sub(load_address).and_then(|it| usize::try_from(it).ok());
        let Some(offset) = offset.filter(|it| (before..=last).contains(it)) else {
            let limit = format!("{before:#x} to {last:#x} bytes behind the load address {load_address:#x}");
            return bad(names[0], address, limit);
        };
        Ok(self.body + offset..self.body + offset + len)
    }
}

/// Where the keyblock begins: at the start, or at the first sector of the first MiB that has its magic.
fn keyblock_at(bytes: &[u8]) -> Result<usize, VbootError> {
    let magic = keyblock::MAGIC;
    (0..bytes.len().min(SEARCHED))
        .step_by(512)
        .find(|at| bytes[*at..].starts_with(magic))
        .ok_or(VbootError::NoKeyblock { offset: 0 })
}

/// A kernel partition, a key or a keyblock cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum VbootError {
    /// It is none.
    #[error("no keyblock at byte {offset}: a kernel partition begins with `CHROMEOS`")]
    NoKeyblock {
        /// Where it was looked for.
        offset: usize,
    },
    /// A structure ends before it should.
    #[error("the {structure} at byte {offset} needs {needed} bytes, and there are {there}: it is cut short")]
    Cut {
        /// Which.
        structure: &'static str,
        /// Its first byte.
        offset: usize,
        /// How long it is.
        needed: usize,
        /// How much of it there is.
        there: usize,
    },
    /// A field has an impossible value.
    #[error(
        "the {structure} at byte {offset} is damaged: {field} is {value} ({value:#x}), and must be {limit}"
    )]
    Field {
        /// Of which structure.
        structure: &'static str,
        /// Which field.
        field: &'static str,
        /// The first byte of the structure.
        offset: usize,
        /// What it is.
        value: u64,
        /// What it may be.
        limit: String,
    },
}

#[cfg(test)]
mod tests;

//! Hashes of whole partitions on a signed command line: how a recovery kernel vouches for the kernel it installs.
//!
//! Source: vboot `scripts/image_signing/sign_official_build.sh`; `ChromiumOS` initramfs `recovery/init`.

use std::io::{self, Read};

use sha1::Sha1;
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::{argument, dm::unhex, key::hex};

/// The number of the partition that `kern_b_hash` is of.
const KERN_B: u32 = 4;

/// What a command line says that a partition must be, with all its padding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionHash {
    /// The argument that says so.
    pub argument: &'static str,
    /// The number of the partition.
    pub partition: u32,
    /// A SHA-256, or a SHA-1 of 20 bytes on old images.
    pub digest: Vec<u8>,
}

impl PartitionHash {
    /// What `cmdline` says: `kern_b_hash=HEX`, and `cros_part_hash=N:BASE64,…`.
    ///
    /// # Errors
    ///
    /// If an argument is there and cannot be understood.
    pub fn from_cmdline(cmdline: &str) -> Result<Vec<Self>, HashError> {
        let mut hashes = Vec::new();
        let known = |digest: &Vec<u8>| digest.len() == 20 || digest.len() == 32;
        if let Some(value) = argument(cmdline, "kern_b_hash") {
            let odd = || HashError::Value { argument: "kern_b_hash", value: value.to_owned() };
            let digest = unhex(value).filter(known).ok_or_else(odd)?;
            hashes.push(Self { argument: "kern_b_hash", partition: KERN_B, digest });
        }
        for value in argument(cmdline, "cros_part_hash").into_iter().flat_map(|list| list.split(',')) {
            let odd = || HashError::Value { argument: "cros_part_hash", value: value.to_owned() };
            let (number, digest) = value.split_once(':').ok_or_else(odd)?;
            let partition = number.parse().map_err(|_| odd())?;
            let digest = unbase64(digest).filter(known).ok_or_else(odd)?;
            hashes.push(Self { argument: "cros_part_hash", partition, digest });
        }
        Ok(hashes)
    }

    /// Whether `partition`, all of its bytes, is what was signed.
    ///
    /// # Errors
    ///
    /// If it is not, or cannot be read.
    pub fn verify(&self, partition: &mut impl Read) -> Result<(), HashError> {
        let found =
            if self.digest.len() == 20 { digest::<Sha1>(partition) } else { digest::<Sha256>(partition) };
        let found = found.map_err(HashError::Read)?;
        if found == self.digest {
            return Ok(());
        }
        Err(HashError::Other {
            argument: self.argument,
            partition: self.partition,
            signed: hex(&self.digest),
            found: hex(&found),
        })
    }
}

fn digest<D: Digest>(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let (mut digest, mut buffer) = (D::new(), vec![0; 1 << 18]);
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(digest.finalize().to_vec()),
            Ok(count) => digest.update(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// What base 64 stands for (RFC 4648, section 4), with its padding or without.
fn unbase64(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for byte in text.trim_end_matches('=').bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        (bits, count) = (bits << 6 | u32::from(value), count + 6);
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    (bits == 0).then_some(bytes)
}

/// A partition is not what a command line says it is.
#[derive(Debug, Error)]
pub enum HashError {
    /// What is said cannot be understood.
    #[error("`{argument}={value}` on the command line is neither a SHA-1 nor a SHA-256")]
    Value {
        /// The argument.
        argument: &'static str,
        /// Its value.
        value: String,
    },
    /// The partition could not be read.
    #[error("cannot read the partition")]
    Read(#[source] io::Error),
    /// It was changed after the command line was signed.
    #[error(
        "partition {partition} is not the one that `{argument}` was signed for: its hash is {found}, not {signed}"
    )]
    Other {
        /// The argument.
        argument: &'static str,
        /// The number of the partition.
        partition: u32,
        /// What it must be.
        signed: String,
        /// What it is.
        found: String,
    },
}

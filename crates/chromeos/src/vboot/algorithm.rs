//! The algorithms that a key can be for, by vboot's numbers.

use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha512};

/// A kind of RSA key and the hash that it signs.
///
/// Source: vboot `firmware/2lib/include/2crypto.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Algorithm {
    /// vboot's number for it, 0 to 17.
    pub number: u32,
    /// Bits of the modulus.
    pub bits: usize,
    /// The public exponent.
    pub exponent: u32,
    /// What is signed.
    pub hash: HashKind,
}

/// A hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashKind {
    /// 20 bytes; old keys and old images.
    Sha1,
    /// 32 bytes.
    Sha256,
    /// 64 bytes.
    Sha512,
}

impl Algorithm {
    /// How many there are.
    pub const COUNT: u32 = 18;

    /// The one with this number.
    pub fn of(number: u32) -> Option<Self> {
        let hash = [HashKind::Sha1, HashKind::Sha256, HashKind::Sha512][(number % 3) as usize];
        let (bits, exponent) = match number / 3 {
            0 => (1024, 65537),
            1 => (2048, 65537),
            2 => (4096, 65537),
            3 => (8192, 65537),
            4 => (2048, 3),
            5 => (3072, 3),
            _ => return None,
        };
        Some(Self { number, bits, exponent, hash })
    }

    /// Bytes of a modulus, and of a signature.
    pub const fn bytes(self) -> usize {
        self.bits / 8
    }
}

impl std::fmt::Display for Algorithm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let exponent = if self.exponent == 3 { " EXP3" } else { "" };
        write!(f, "RSA{}{exponent} {}", self.bits, self.hash)
    }
}

impl HashKind {
    /// The hash of `bytes`.
    pub fn digest(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha1 => Sha1::digest(bytes).to_vec(),
            Self::Sha256 => Sha256::digest(bytes).to_vec(),
            Self::Sha512 => Sha512::digest(bytes).to_vec(),
        }
    }

    /// The start of a PKCS #1 `DigestInfo`, before the digest (RFC 8017, section 9.2).
    pub(super) const fn prefix(self) -> &'static [u8] {
        match self {
            Self::Sha1 => &[0x30, 0x21, 0x30, 9, 6, 5, 0x2b, 0x0e, 3, 2, 0x1a, 5, 0, 4, 0x14],
            Self::Sha256 => {
                &[0x30, 0x31, 0x30, 13, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1, 5, 0, 4, 0x20]
            }
            Self::Sha512 => {
                &[0x30, 0x51, 0x30, 13, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 3, 5, 0, 4, 0x40]
            }
        }
    }
}

impl std::fmt::Display for HashKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
            Self::Sha512 => "SHA512",
        })
    }
}

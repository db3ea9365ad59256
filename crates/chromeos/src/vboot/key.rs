//! Public keys (`struct vb2_packed_key`), in keyblocks and in `.vbpubk` files.

use rsa::BigUint;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use super::{Algorithm, Known, VbootError, fields::Fields};

/// Bytes of the header of a packed key.
const HEADER: usize = 32;

/// A public RSA key as vboot packs it (`struct vb2_packed_key`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// vboot's number for the algorithm: 4 is RSA2048 SHA256, 8 is RSA4096 SHA512 …
    pub algorithm: u32,
    /// Of the key, against rollback.
    pub version: u32,
    /// Its bytes, as they are signed over: the number of words, -1/n mod 2³², n, and R² mod n, in 32-bit words, the
    /// least significant first.
    pub bytes: Vec<u8>,
}

impl Key {
    /// The key of a `.vbpubk` file.
    ///
    /// # Errors
    ///
    /// If it is none or is damaged; the error names the field.
    pub fn parse(bytes: &[u8]) -> Result<Self, VbootError> {
        let fields = Fields::new("public key", bytes, 0, HEADER)?;
        Self::in_structure(fields, 0, bytes.len())
    }

    /// The key whose header is at `at` of a structure, and whose bytes are within its first `within`.
    pub(super) fn in_structure(fields: Fields<'_>, at: usize, within: usize) -> Result<Self, VbootError> {
        let (offset, len) = (fields.len(at), fields.len(at + 8));
        let (algorithm, version) = (fields.u32(at + 16), fields.u32(at + 24));
        let Some(kind) = Algorithm::of(algorithm) else {
            let limit = format!("less than {}", Algorithm::COUNT);
            return Err(fields.bad("the algorithm of its key", algorithm, limit));
        };
        let expected = 2 * kind.bytes() + 8;
        if len != expected {
            return Err(fields.bad("the size of its key", len, format!("{expected} for {kind}")));
        }
        let begin = at.saturating_add(offset);
        let bytes = match begin.checked_add(len).filter(|end| offset >= HEADER && *end <= within) {
            Some(end) => fields.bytes.get(begin..end),
            None => None,
        };
        let Some(bytes) = bytes else {
            let limit = format!("behind its header, with {len} bytes within the {within} that count");
            return Err(fields.bad("the offset of its key", offset, limit));
        };
        Ok(Self { algorithm, version, bytes: bytes.to_vec() })
    }

    /// The key with this modulus, packed as vboot packs it. `None` if the modulus is none of this algorithm.
    pub(super) fn of_modulus(algorithm: Algorithm, version: u32, modulus: &BigUint) -> Option<Self> {
        let len = algorithm.bytes();
        let n = padded(modulus, len)?;
        let n0 = u32::from_le_bytes(n[..4].try_into().expect("4 bytes"));
        if n0 & 1 == 0 || n[len - 1] & 0x80 == 0 {
            return None;
        }
        let r_squared = (BigUint::from(1_u8) << (2 * algorithm.bits)) % modulus;
        let mut bytes = Vec::with_capacity(2 * len + 8);
        bytes.extend_from_slice(&((len / 4) as u32).to_le_bytes());
        bytes.extend_from_slice(&inverse(n0).wrapping_neg().to_le_bytes());
        bytes.extend_from_slice(&n);
        bytes.extend_from_slice(&padded(&r_squared, len)?);
        Some(Self { algorithm: algorithm.number, version, bytes })
    }

    /// What it is for. `None` if vboot has no such number, which a key that was read cannot have.
    pub fn kind(&self) -> Option<Algorithm> {
        Algorithm::of(self.algorithm)
    }

    /// The modulus, least significant byte first.
    pub(super) fn modulus(&self) -> Option<BigUint> {
        let len = self.kind()?.bytes();
        Some(BigUint::from_bytes_le(self.bytes.get(8..8 + len)?))
    }

    /// A `.vbpubk` file with it.
    pub fn to_file(&self) -> Vec<u8> {
        let mut file = Vec::with_capacity(HEADER + self.bytes.len());
        for number in [HEADER as u32, self.bytes.len() as u32, self.algorithm, self.version] {
            file.extend_from_slice(&u64::from(number).to_le_bytes());
        }
        file.extend_from_slice(&self.bytes);
        file
    }

    /// The SHA-1 of its bytes in hexadecimal digits, by which vboot's tools name it.
    pub fn sha1(&self) -> String {
        hex(&Sha1::digest(&self.bytes))
    }

    /// The SHA-256 of its bytes in hexadecimal digits.
    pub fn sha256(&self) -> String {
        hex(&Sha256::digest(&self.bytes))
    }

    /// Which of the published developer keys it is.
    pub fn known(&self) -> Option<Known> {
        Known::of(self)
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.known(), self.kind()) {
            (Some(known), Some(kind)) => write!(f, "the public developer key `{}` ({kind})", known.name),
            (None, Some(kind)) => write!(f, "an unknown {kind} key, SHA-1 {}", self.sha1()),
            (_, None) => write!(f, "a key of algorithm {}", self.algorithm),
        }
    }
}

/// Bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `number` in exactly `len` bytes, the least significant first.
fn padded(number: &BigUint, len: usize) -> Option<Vec<u8>> {
    let mut bytes = number.to_bytes_le();
    (bytes.len() <= len).then(|| {
        bytes.resize(len, 0);
        bytes
    })
}

/// The inverse of an odd number modulo 2³², by Newton's method: each step doubles the bits that are right.
const fn inverse(odd: u32) -> u32 {
    let mut inverse = odd;
    let mut bits = 3;
    while bits < 32 {
        inverse = inverse.wrapping_mul(2_u32.wrapping_sub(odd.wrapping_mul(inverse)));
        bits *= 2;
    }
    inverse
}

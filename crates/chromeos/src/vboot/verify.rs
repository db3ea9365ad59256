//! Signatures: RSASSA-PKCS1-v1_5 with vboot's keys.

use rsa::{BigUint, RsaPublicKey, pkcs1v15::Pkcs1v15Sign};
use thiserror::Error;

use super::{Algorithm, HashKind, KernelPartition, Key};

impl Key {
    /// Whether `signature` is this key's over `data`.
    ///
    /// # Errors
    ///
    /// If it is not, or the key is none that the firmware could use.
    pub fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), VerifyError> {
        let unusable = |reason: &str| VerifyError::Key { reason: reason.to_owned() };
        let algorithm = self.kind().ok_or_else(|| unusable("vboot has no such algorithm"))?;
        let modulus = self.modulus().ok_or_else(|| unusable("it is too short"))?;
        // The firmware computes with the other numbers of the packed key; wrong ones are as good as a wrong key.
        if Self::of_modulus(algorithm, self.version, &modulus).as_ref() != Some(self) {
            return Err(unusable("its numbers do not belong together"));
        }
        let key = RsaPublicKey::new_with_max_size(modulus, BigUint::from(algorithm.exponent), LARGEST)
            .map_err(|error| unusable(&error.to_string()))?;
        if signature.len() != algorithm.bytes() {
            return Err(VerifyError::Length { key: self.to_string(), len: signature.len(), algorithm });
        }
        key.verify(padding(algorithm.hash), &algorithm.hash.digest(data), signature)
            .map_err(|_| VerifyError::Signature { key: self.to_string() })
    }
}

/// Bits of the largest key that vboot has.
const LARGEST: usize = 8192;

/// How a digest is padded before it is signed.
pub(super) fn padding(hash: HashKind) -> Pkcs1v15Sign {
    Pkcs1v15Sign { hash_len: Some(hash.digest(b"").len()), prefix: hash.prefix().into() }
}

impl KernelPartition {
    /// Whether preamble and body are signed with the key in the keyblock, as the firmware checks it, and the keyblock has
    /// the hash that it says, if it says one.
    ///
    /// Who has signed the keyblock is another question: [`Keyblock::verify`](super::Keyblock::verify).
    ///
    /// # Errors
    ///
    /// If one of them is not; the error says which.
    pub fn verify(&self, bytes: &[u8]) -> Result<(), VerifyError> {
        let key = &self.keyblock.data_key;
        let named = |what| move |source: VerifyError| VerifyError::In { what, reason: Box::new(source) };
        match self.keyblock.verify_hash() {
            // Without a hash only the firmware, which has the key, can tell.
            Ok(()) | Err(VerifyError::Unsigned) => {}
            Err(error) => return Err(named("keyblock")(error)),
        }
        self.preamble.verify(key).map_err(named("preamble"))?;
        let body = bytes.get(self.body.clone()).unwrap_or_default();
        self.preamble.verify_body(key, body).map_err(named("body"))
    }
}

/// Something is not signed as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum VerifyError {
    /// There is no signature.
    #[error("it is not signed")]
    Unsigned,
    /// It was changed after it was signed, or signed by another key.
    #[error("it is not signed with {key}, or was changed afterwards")]
    Signature {
        /// The key it was held against.
        key: String,
    },
    /// It was changed after it was hashed.
    #[error("its hash is wrong: it was changed afterwards")]
    Hash,
    /// A signature cannot be one of the key.
    #[error("it is not signed with {key}: its signature has {len} bytes, not {}", algorithm.bytes())]
    Length {
        /// The key it was held against.
        key: String,
        /// Bytes of the signature.
        len: usize,
        /// Of the key.
        algorithm: Algorithm,
    },
    /// The key is none.
    #[error("its key cannot be used: {reason}")]
    Key {
        /// Why.
        reason: String,
    },
    /// One part of a kernel partition.
    #[error("the {what} of the kernel partition: {reason}")]
    In {
        /// Which.
        what: &'static str,
        /// What of it.
        reason: Box<VerifyError>,
    },
}

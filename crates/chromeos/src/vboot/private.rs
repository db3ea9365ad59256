//! Private keys (`.vbprivk`), for test images signed with keys of one's own.

use rsa::{RsaPrivateKey, pkcs1::DecodeRsaPrivateKey, pkcs1v15::Pkcs1v15Sign, traits::PublicKeyParts};

use super::{Algorithm, Key, VbootError, verify::padding};

/// A private RSA key, and what it signs with.
#[derive(Clone, Debug)]
pub struct PrivateKey {
    algorithm: Algorithm,
    rsa: RsaPrivateKey,
}

impl PrivateKey {
    /// The key of a `.vbprivk` file: vboot's number of the algorithm in 8 bytes, then an RSA private key in DER
    /// (PKCS #1).
    ///
    /// # Errors
    ///
    /// If it is none, or not of the kind that the number says.
    pub fn parse(bytes: &[u8]) -> Result<Self, VbootError> {
        let bad = |field, value: u64, limit: String| VbootError::Field {
            structure: "private key",
            field,
            offset: 0,
            value,
            limit,
        };
        let Some((number, der)) = bytes.split_first_chunk::<8>() else {
            return Err(VbootError::Cut {
                structure: "private key",
                offset: 0,
                needed: 8,
                there: bytes.len(),
            });
        };
        let number = u64::from_le_bytes(*number);
        let algorithm = u32::try_from(number)
            .ok()
            .and_then(Algorithm::of)
            .ok_or_else(|| bad("its algorithm", number, format!("less than {}", Algorithm::COUNT)))?;
        let rsa = RsaPrivateKey::from_pkcs1_der(der).map_err(|_| {
            bad("its DER", der.len() as u64, "bytes of an RSA private key (PKCS #1)".to_owned())
        })?;
        Self::new(algorithm, rsa)
            .ok_or_else(|| bad("its algorithm", number, "that of the key it is for".to_owned()))
    }

    /// A key of this algorithm. `None` if it is of another size or exponent.
    fn new(algorithm: Algorithm, rsa: RsaPrivateKey) -> Option<Self> {
        let fits = rsa.n().bits() == algorithm.bits && *rsa.e() == algorithm.exponent.into();
        fits.then_some(Self { algorithm, rsa })
    }

    /// What it signs with.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The public half of it.
    pub fn public(&self, version: u32) -> Key {
        Key::of_modulus(self.algorithm, version, self.rsa.n()).expect("the size was checked when it was read")
    }

    /// Signs `data` (RSASSA-PKCS1-v1_5): the same key and data always give the same signature.
    ///
    /// # Panics
    ///
    /// If the numbers of the key do not belong together.
    pub fn sign(&self, data: &[u8]) -> Vec<u8> {
        let padding: Pkcs1v15Sign = padding(self.algorithm.hash);
        self.rsa
            .sign(padding, &self.algorithm.hash.digest(data))
            .expect("the key is longer than what it signs, and its numbers belong together")
    }
}

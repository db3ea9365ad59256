//! Keyblocks (`struct vb2_keyblock`): a public key, and who vouches for it.

use super::{
    Key, PrivateKey, VbootError,
    algorithm::HashKind,
    fields::{Fields, Signature},
    verify::VerifyError,
};

/// What a keyblock begins with.
pub(super) const MAGIC: &[u8; 8] = b"CHROMEOS";
/// Bytes of the header.
const HEADER: usize = 112;
/// Far above what any keyblock has; RSA8192 signed by RSA8192 has 3256 bytes.
const LONGEST: usize = 1 << 16;
/// Where the fields of the header are.
const SIGNATURE: usize = 24;
const HASH: usize = 48;
const FLAGS: usize = 72;
const DATA_KEY: usize = 80;

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
    /// All of it.
    raw: Vec<u8>,
    signature: Option<Signature>,
    hash: Option<Signature>,
}

impl Keyblock {
    /// The keyblock of a `.keyblock` file.
    ///
    /// # Errors
    ///
    /// If it is none or is damaged; the error names the field.
    pub fn parse(bytes: &[u8]) -> Result<Self, VbootError> {
        Self::parse_at(bytes, 0)
    }

    /// The keyblock at `offset`.
    pub(super) fn parse_at(bytes: &[u8], offset: usize) -> Result<Self, VbootError> {
        let fields = Fields::new("keyblock", bytes, offset, HEADER)?;
        if !fields.bytes.starts_with(MAGIC) {
            return Err(VbootError::NoKeyblock { offset });
        }
        let version = (fields.u32(8), fields.u32(12));
        if version.0 != 2 {
            return Err(fields.bad("its major version", version.0, "2".to_owned()));
        }
        let size = fields.len(16);
        if !(HEADER..=LONGEST).contains(&size) {
            return Err(fields.bad("its size", size, format!("{HEADER} to {LONGEST}")));
        }
        let fields = fields.cut(size)?;
        let signature = fields.signature(
            ["the offset of its signature", "the size of its signature"],
            SIGNATURE,
            size,
        )?;
        let hash = fields.signature(["the offset of its hash", "the size of its hash"], HASH, size)?;
        let mut signed = size;
        for over in [&signature, &hash].into_iter().flatten() {
            if !(HEADER..=size).contains(&over.signed) {
                let limit = format!("{HEADER} to {size}, its header at least");
                return Err(fields.bad("the number of its signed bytes", over.signed, limit));
            }
            signed = signed.min(over.signed);
        }
        let data_key = Key::in_structure(fields, DATA_KEY, signed)?;
        Ok(Self {
            size,
            version,
            flags: fields.u32(FLAGS),
            data_key,
            raw: fields.bytes.to_vec(),
            signature,
            hash,
        })
    }

    /// All its bytes, as a `.keyblock` file has them.
    pub fn bytes(&self) -> &[u8] {
        &self.raw
    }

    /// Whether anybody has signed it; a developer's own is only hashed.
    pub const fn is_signed(&self) -> bool {
        self.signature.is_some()
    }

    /// Whether `key` has signed it.
    ///
    /// # Errors
    ///
    /// If it has not, or the key is none.
    pub fn verify(&self, key: &Key) -> Result<(), VerifyError> {
        let signature = self.signature.as_ref().ok_or(VerifyError::Unsigned)?;
        key.verify(&self.raw[..signature.signed], &signature.bytes)
    }

    /// Whether its hash is right, which is all that a machine in developer mode asks of it.
    ///
    /// # Errors
    ///
    /// If it is not, or it has none.
    pub fn verify_hash(&self) -> Result<(), VerifyError> {
        let hash = self.hash.as_ref().ok_or(VerifyError::Unsigned)?;
        let found = HashKind::Sha512.digest(&self.raw[..hash.signed]);
        if found == hash.bytes { Ok(()) } else { Err(VerifyError::Hash) }
    }

    /// Its flags as vboot's tools write them: `!DEV DEV REC !MINIOS`.
    pub fn flag_names(&self) -> String {
        const NAMES: [&str; 6] = ["!DEV", "DEV", "!REC", "REC", "!MINIOS", "MINIOS"];
        let names: Vec<&str> =
            (0..6).filter(|bit| self.flags >> bit & 1 != 0).map(|bit| NAMES[bit]).collect();
        names.join(" ")
    }

    /// When the firmware accepts it, in words.
    pub fn modes(&self) -> String {
        let sense = |bit: u32, without: &str, with: &str, both: &str, neither: &str| {
            match (self.flags >> bit & 1 != 0, self.flags >> (bit + 1) & 1 != 0) {
                (true, true) => both,
                (true, false) => without,
                (false, true) => with,
                (false, false) => neither,
            }
            .to_owned()
        };
        [
            sense(
                0,
                "only with developer mode off",
                "only in developer mode",
                "with developer mode on or off",
                "neither with developer mode on nor off, so never",
            ),
            sense(
                2,
                "not in recovery mode",
                "only in recovery mode",
                "in recovery mode or not",
                "neither in recovery mode nor outside, so never",
            ),
            sense(
                4,
                "not as miniOS",
                "only as miniOS",
                "as miniOS or not",
                "neither as miniOS nor otherwise, which only old firmware lets pass",
            ),
        ]
        .join(", ")
    }

    /// Whether it is accepted from a stick in recovery mode, with developer mode on or off.
    pub const fn is_for_recovery(&self) -> bool {
        self.flags & 8 != 0
    }

    /// A keyblock for `data_key`, signed by `signer`, or only hashed, as a developer's own are.
    pub fn create(data_key: &Key, flags: u32, signer: Option<&PrivateKey>) -> Self {
        let key = &data_key.bytes;
        let signed = HEADER + key.len();
        let signature_len = signer.map_or(0, |it| it.algorithm().bytes());
        let mut raw = vec![0; signed + 64 + signature_len];
        raw[..8].copy_from_slice(MAGIC);
        let size = raw.len();
        let mut put =
            |at: usize, value: usize| raw[at..at + 4].copy_from_slice(&(value as u32).to_le_bytes());
        put(8, 2);
        put(12, 1);
        put(16, size);
        if signer.is_some() {
            put(SIGNATURE, signed + 64 - SIGNATURE);
            put(SIGNATURE + 8, signature_len);
            put(SIGNATURE + 16, signed);
        }
        put(HASH, signed - HASH);
        put(HASH + 8, 64);
        put(HASH + 16, signed);
        put(FLAGS, flags as usize);
        put(DATA_KEY, HEADER - DATA_KEY);
        put(DATA_KEY + 8, key.len());
        put(DATA_KEY + 16, data_key.algorithm as usize);
        put(DATA_KEY + 24, data_key.version as usize);
        raw[HEADER..signed].copy_from_slice(key);
        let hash = HashKind::Sha512.digest(&raw[..signed]);
        raw[signed..signed + 64].copy_from_slice(&hash);
        if let Some(signer) = signer {
            let signature = signer.sign(&raw[..signed]);
            raw[signed + 64..].copy_from_slice(&signature);
        }
        Self::parse(&raw).expect("it was made of the right parts")
    }
}

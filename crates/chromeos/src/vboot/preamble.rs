//! Kernel preambles (`struct vb2_kernel_preamble`), versions 2.0 to 2.2.

use super::{
    Key, VbootError,
    fields::{Fields, Signature},
    verify::VerifyError,
};

/// Bytes of the header of version 2.0; later ones have more behind it.
const HEADER_2_0: usize = 96;
/// Far above what any preamble has; they are padded to end at 64 KiB.
const LONGEST: usize = 1 << 20;
/// What vboot wants signed at least: the size of the firmware's preamble, by which it checks kernels' too.
const SIGNED_AT_LEAST: usize = 108;
/// Where the two signatures are.
const SIGNATURE: usize = 8;
const BODY_SIGNATURE: usize = 72;

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
    /// Bytes of the body.
    pub body_size: usize,
    /// Address and bytes of the boot loader stub.
    pub(super) bootloader: (u64, usize),
    /// Address and bytes of the setup header, from 2.1 on.
    pub(super) vmlinuz_header: Option<(u64, usize)>,
    /// All that is signed.
    raw: Vec<u8>,
    signature: Signature,
    body_signature: Signature,
}

impl Preamble {
    /// The preamble at `offset`.
    pub(super) fn parse_at(bytes: &[u8], offset: usize) -> Result<Self, VbootError> {
        let fields = Fields::new("preamble", bytes, offset, HEADER_2_0)?;
        let version = (fields.u32(32), fields.u32(36));
        if version.0 != 2 {
            return Err(fields.bad("its major version", version.0, "2".to_owned()));
        }
        let header = match version.1 {
            0 => HEADER_2_0,
            1 => 112,
            _ => 116,
        };
        let size = fields.len(0);
        if !(header..=LONGEST).contains(&size) {
            return Err(fields.bad("its size", size, format!("{header} to {LONGEST}")));
        }
        let fields = fields.cut(size)?;
        let own = ["the offset of its signature", "the size of its signature"];
        let of_body = ["the offset of the body's signature", "the size of the body's signature"];
        let unsigned = |names: [&'static str; 2]| fields.bad(names[1], 0_u32, "that of its key".to_owned());
        let signature = fields.signature(own, SIGNATURE, size)?.ok_or_else(|| unsigned(own))?;
        if !(SIGNED_AT_LEAST..=size).contains(&signature.signed) {
            let limit = format!("{SIGNED_AT_LEAST} to {size}");
            return Err(fields.bad("the number of its signed bytes", signature.signed, limit));
        }
        let body_signature =
            fields.signature(of_body, BODY_SIGNATURE, signature.signed)?.ok_or_else(|| unsigned(of_body))?;
        let flags = if version.1 >= 2 { fields.u32(112) } else { 0 };
        if flags & 3 != 0 {
            let limit =
                "0 in bits 0 and 1, a ChromeOS kernel; 1 is an Android boot image, 2 multiboot".to_owned();
            return Err(fields.bad("its flags", flags, limit));
        }
        let vmlinuz_header =
            (version.1 >= 1 && fields.u32(104) != 0).then(|| (fields.u64(96), fields.len(104)));
        Ok(Self {
            size,
            version,
            kernel_version: fields.u32(40),
            load_address: fields.u64(48),
            flags,
            body_size: body_signature.signed,
            bootloader: (fields.u64(56), fields.len(64)),
            vmlinuz_header,
            raw: fields.bytes[..signature.signed].to_vec(),
            signature,
            body_signature,
        })
    }

    /// Whether `key`, the data key of the keyblock, has signed it.
    ///
    /// # Errors
    ///
    /// If it has not, or the key is none.
    pub fn verify(&self, key: &Key) -> Result<(), VerifyError> {
        key.verify(&self.raw, &self.signature.bytes)
    }

    /// Whether `body` is what the preamble vouches for, by the same key.
    ///
    /// # Errors
    ///
    /// If it is not, or the key is none.
    pub fn verify_body(&self, key: &Key, body: &[u8]) -> Result<(), VerifyError> {
        if body.len() != self.body_size {
            return Err(VerifyError::Signature { key: key.to_string() });
        }
        key.verify(body, &self.body_signature.bytes)
    }
}

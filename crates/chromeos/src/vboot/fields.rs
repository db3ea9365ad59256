//! Numbers of a structure, with bounds.

use super::VbootError;

/// A structure of which `bytes` are all there is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a> {
    /// What it is called in an error.
    pub(super) structure: &'static str,
    /// Its bytes.
    pub(super) bytes: &'a [u8],
    /// Its first byte, as an error tells it.
    pub(super) offset: usize,
}

/// A signature or a hash, and how much of the structure it is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Signature {
    pub(super) bytes: Vec<u8>,
    /// Bytes from the start of the structure, or of the body.
    pub(super) signed: usize,
}

/// Bytes of a `struct vb2_signature`.
const SIGNATURE: usize = 24;
/// Bytes of the longest signature there is, RSA8192.
const LONGEST: usize = 1024;

impl<'a> Fields<'a> {
    /// The structure at `offset` of `bytes`, which has at least `len` bytes.
    pub(super) fn new(
        structure: &'static str,
        bytes: &'a [u8],
        offset: usize,
        len: usize,
    ) -> Result<Self, VbootError> {
        let rest = bytes.get(offset..).unwrap_or_default();
        if rest.len() < len {
            return Err(VbootError::Cut { structure, offset, needed: len, there: rest.len() });
        }
        Ok(Self { structure, bytes: rest, offset })
    }

    /// The same structure, which is `len` bytes long.
    pub(super) fn cut(self, len: usize) -> Result<Self, VbootError> {
        match self.bytes.get(..len) {
            Some(bytes) => Ok(Self { bytes, ..self }),
            None => Err(VbootError::Cut {
                structure: self.structure,
                offset: self.offset,
                needed: len,
                there: self.bytes.len(),
            }),
        }
    }

    /// The number at `at`, which is within what was asked for at first.
    pub(super) fn u32(self, at: usize) -> u32 {
        u32::from_le_bytes(self.bytes[at..at + 4].try_into().expect("4 bytes"))
    }

    /// The number at `at`, which is within what was asked for at first.
    pub(super) fn u64(self, at: usize) -> u64 {
        u64::from_le_bytes(self.bytes[at..at + 8].try_into().expect("8 bytes"))
    }

    /// A number of bytes at `at`.
    pub(super) fn len(self, at: usize) -> usize {
        self.u32(at) as usize
    }

    pub(super) fn bad(self, field: &'static str, value: impl TryInto<u64>, limit: String) -> VbootError {
        let value = value.try_into().unwrap_or(u64::MAX);
        VbootError::Field { structure: self.structure, field, offset: self.offset, value, limit }
    }

    /// The signature at `at`; its bytes are behind it and within `within`. `None` if it has no bytes. An error calls its
    /// offset and its size by these names.
    pub(super) fn signature(
        self,
        names: [&'static str; 2],
        at: usize,
        within: usize,
    ) -> Result<Option<Signature>, VbootError> {
        let (offset, len, signed) = (self.len(at), self.len(at + 8), self.len(at + 16));
        if len == 0 {
            return Ok(None);
        }
        if len > LONGEST {
            return Err(self.bad(names[1], len, format!("at most {LONGEST}")));
        }
        let begin = at.saturating_add(offset);
        if offset < SIGNATURE || begin.saturating_add(len) > within {
            let limit = format!("behind its header, with {len} bytes within {within} of the structure");
            return Err(self.bad(names[0], offset, limit));
        }
        match self.bytes.get(begin..begin + len) {
            Some(bytes) => Ok(Some(Signature { bytes: bytes.to_vec(), signed })),
            None => {
                Err(self.bad(names[0], offset, format!("within the {} bytes there are", self.bytes.len())))
            }
        }
    }
}

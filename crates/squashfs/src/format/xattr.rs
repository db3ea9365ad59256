//! Extended attributes: keys and values, the records that say whose they are, and the table's own header.

use super::{Bytes, InodeRef, Malformed};

/// In a key's type: what follows is a reference to the value, not the value.
const OUT_OF_LINE: u16 = 0x100;
/// The prefixes that there are, by their number.
const PREFIXES: [&[u8]; 3] = [b"user.", b"trusted.", b"security."];
/// Bytes of a name in Linux, prefix included.
const NAME_MAX: usize = 255;
/// Bytes of a value in Linux.
const VALUE_MAX: u32 = 65536;

/// A key, with what to expect after it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    /// In full, prefix included.
    pub(crate) name: Box<[u8]>,
    /// Whether a reference to the value follows, in the place of the value.
    pub(crate) out_of_line: bool,
}

/// What follows a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Value {
    /// The value.
    Here(Box<[u8]>),
    /// Where the value is, with its size before it.
    There(InodeRef),
}

impl Key {
    /// Whether squashfs can hold an attribute of this name.
    pub(crate) fn fits(name: &[u8]) -> bool {
        name.len() <= NAME_MAX
            && PREFIXES.iter().any(|prefix| name.len() > prefix.len() && name.starts_with(prefix))
    }

    /// Appends the key. False, with nothing appended, if squashfs cannot hold it: see [`Key::fits`].
    #[must_use]
    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> bool {
        let prefix = PREFIXES.iter().position(|prefix| self.name.starts_with(prefix));
        let Some(prefix) = prefix.filter(|_| Self::fits(&self.name)) else { return false };
        let rest = &self.name[PREFIXES[prefix].len()..];
        let kind = prefix as u16 | if self.out_of_line { OUT_OF_LINE } else { 0 };
        out.extend_from_slice(&kind.to_le_bytes());
        out.extend_from_slice(&(rest.len() as u16).to_le_bytes());
        out.extend_from_slice(rest);
        true
    }

    pub(crate) fn decode<B: Bytes>(from: &mut B) -> Result<Self, B::Error> {
        let kind = from.u16("an extended attribute")?;
        let len = usize::from(from.u16("an extended attribute")?);
        let Some(prefix) = PREFIXES.get(usize::from(kind & !OUT_OF_LINE)) else {
            let rule = "it must be 0 for user, 1 for trusted or 2 for security";
            return Err(Malformed::value("the prefix of an extended attribute", kind, rule).into());
        };
        if len == 0 || prefix.len() + len > NAME_MAX {
            let rule = "a name has 1 to 255 bytes with its prefix";
            return Err(Malformed::value("the size of an extended attribute's name", len as u64, rule).into());
        }
        let mut name = vec![0; prefix.len() + len];
        name[..prefix.len()].copy_from_slice(prefix);
        from.fill("an extended attribute", &mut name[prefix.len()..])?;
        if name.contains(&0) {
            return Err(Malformed::Name { name: name.into(), rule: "has a zero byte" }.into());
        }
        Ok(Self { name: name.into(), out_of_line: kind & OUT_OF_LINE != 0 })
    }
}

impl Value {
    /// Appends the value; it has 65,536 bytes at most.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Here(value) => {
                out.extend_from_slice(&(value.len() as u32).to_le_bytes());
                out.extend_from_slice(value);
            }
            Self::There(place) => {
                out.extend_from_slice(&8_u32.to_le_bytes());
                out.extend_from_slice(&place.pack().to_le_bytes());
            }
        }
    }

    /// What follows a key.
    pub(crate) fn decode<B: Bytes>(from: &mut B, out_of_line: bool) -> Result<Self, B::Error> {
        let len = from.u32("an extended attribute's value")?;
        if out_of_line {
            if len != 8 {
                let rule = "a reference has 8 bytes";
                return Err(
                    Malformed::value("the size of an extended attribute's reference", len, rule).into()
                );
            }
            return Ok(Self::There(InodeRef::unpack(from.u64("an extended attribute's value")?)));
        }
        if len > VALUE_MAX {
            let rule = "Linux has values of at most 65536 bytes";
            return Err(Malformed::value("the size of an extended attribute's value", len, rule).into());
        }
        Ok(Self::Here(from.boxed("an extended attribute's value", len as usize)?))
    }
}

/// The attributes of one inode, or of many that have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct XattrId {
    /// Where the first key is, from the beginning of the keys and values.
    pub(crate) place: InodeRef,
    /// How many keys there are.
    pub(crate) count: u32,
    /// Bytes of all names in full, each with a zero, and of all values: what `listxattr` users see.
    pub(crate) size: u32,
}

impl XattrId {
    /// Bytes of a record.
    pub(crate) const LEN: usize = 16;

    pub(crate) fn encode(self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        out[..8].copy_from_slice(&self.place.pack().to_le_bytes());
        out[8..12].copy_from_slice(&self.count.to_le_bytes());
        out[12..].copy_from_slice(&self.size.to_le_bytes());
        out
    }

    pub(crate) fn decode<B: Bytes>(from: &mut B) -> Result<Self, B::Error> {
        let place = InodeRef::unpack(from.u64("a record of extended attributes")?);
        let count = from.u32("a record of extended attributes")?;
        Ok(Self { place, count, size: from.u32("a record of extended attributes")? })
    }
}

/// What the superblock points to: it precedes the places of the blocks of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct XattrTable {
    /// Where keys and values begin, from the beginning of the image.
    pub(crate) start: u64,
    /// How many records there are; never 0.
    pub(crate) ids: u32,
}

impl XattrTable {
    /// Bytes of the header.
    pub(crate) const LEN: usize = 16;

    pub(crate) fn encode(self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        out[..8].copy_from_slice(&self.start.to_le_bytes());
        out[8..12].copy_from_slice(&self.ids.to_le_bytes());
        out
    }

    pub(crate) fn decode<B: Bytes>(from: &mut B) -> Result<Self, B::Error> {
        let start = from.u64("the table of extended attributes")?;
        let ids = from.u32("the table of extended attributes")?;
        from.u32("the table of extended attributes")?;
        if ids == 0 {
            let rule = "a table that is there has records";
            return Err(Malformed::value("the number of sets of extended attributes", ids, rule).into());
        }
        Ok(Self { start, ids })
    }
}

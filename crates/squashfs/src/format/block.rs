//! The size words of data blocks and the headers of metadata blocks.

use super::Malformed;

/// Uncompressed bytes of every metadata block but the last of its table.
pub(crate) const METADATA: usize = 8192;
/// In a data block's size: it is stored as it is.
const DATA_STORED: u32 = 1 << 24;
/// In a metadata block's header: it is stored as it is.
const METADATA_STORED: u16 = 1 << 15;

/// A data block or a fragment, in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum DataBlock {
    /// Not there: as many zeros as the file has at this place, up to a block.
    Hole,
    /// As it is.
    Stored(u32),
    /// Compressed.
    Packed(u32),
}

impl DataBlock {
    /// The word in a block list or a fragment entry.
    pub(crate) const fn encode(self) -> u32 {
        match self {
            Self::Hole => 0,
            Self::Stored(len) => len | DATA_STORED,
            Self::Packed(len) => len,
        }
    }

    /// From that word. No block is longer in the file than `block_size`.
    pub(crate) fn decode(word: u32, block_size: u32) -> Result<Self, Malformed> {
        let len = word & !DATA_STORED;
        match len {
            _ if len > block_size => Err(Malformed::value(
                "the size of a data block",
                word,
                "no block is longer than the block size",
            )),
            // A writer that stores nothing has written a hole.
            0 => Ok(Self::Hole),
            _ if word & DATA_STORED != 0 => Ok(Self::Stored(len)),
            _ => Ok(Self::Packed(len)),
        }
    }

    /// Bytes in the file.
    pub(crate) const fn len(self) -> u32 {
        match self {
            Self::Hole => 0,
            Self::Stored(len) | Self::Packed(len) => len,
        }
    }
}

/// What precedes a metadata block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct MetadataHeader {
    /// Bytes in the file, without this header: 1 to 8192.
    pub(crate) len: u16,
    /// Whether they are as they are.
    pub(crate) stored: bool,
}

impl MetadataHeader {
    /// Bytes of the header.
    pub(crate) const LEN: u64 = 2;

    pub(crate) const fn encode(self) -> [u8; 2] {
        (if self.stored { self.len | METADATA_STORED } else { self.len }).to_le_bytes()
    }

    pub(crate) fn decode(bytes: [u8; 2]) -> Result<Self, Malformed> {
        let word = u16::from_le_bytes(bytes);
        let len = word & !METADATA_STORED;
        if len == 0 || usize::from(len) > METADATA {
            return Err(Malformed::value("the size of a metadata block", len, "it must be 1 to 8192"));
        }
        Ok(Self { len, stored: word & METADATA_STORED != 0 })
    }
}

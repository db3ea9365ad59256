//! Where the blocks of file tails are.

use super::{Bytes, Malformed, block::DataBlock};

/// An entry of the fragment table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Fragment {
    /// Its place from the beginning of the image.
    pub(crate) start: u64,
    /// How it is stored; never a hole.
    pub(crate) block: DataBlock,
}

impl Fragment {
    /// Bytes of an entry.
    pub(crate) const LEN: usize = 16;

    pub(crate) fn encode(self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        out[..8].copy_from_slice(&self.start.to_le_bytes());
        out[8..12].copy_from_slice(&self.block.encode().to_le_bytes());
        out
    }

    pub(crate) fn decode<B: Bytes>(from: &mut B, block_size: u32) -> Result<Self, B::Error> {
        let start = from.u64("a fragment")?;
        let word = from.u32("a fragment")?;
        from.u32("a fragment")?;
        match DataBlock::decode(word, block_size)? {
            DataBlock::Hole => {
                Err(Malformed::value("the size of a fragment", word, "a fragment is not empty").into())
            }
            block => Ok(Self { start, block }),
        }
    }
}

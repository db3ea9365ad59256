//! The first 96 bytes.

use super::{ABSENT, Bytes, InodeRef, Malformed, block::METADATA};
use crate::BlockSize;

const MAGIC: [u8; 4] = *b"hsqs";

/// Bits of [`Superblock::flags`]. Linux acts only on [`flag::OPTIONS`]; the others say how the image was made.
pub(crate) mod flag {
    /// Inodes are stored as they are.
    pub(crate) const PLAIN_INODES: u16 = 1;
    /// Data blocks are stored as they are.
    pub(crate) const PLAIN_DATA: u16 = 1 << 1;
    /// Fragments are stored as they are.
    pub(crate) const PLAIN_FRAGMENTS: u16 = 1 << 3;
    /// There are no fragments.
    pub(crate) const NO_FRAGMENTS: u16 = 1 << 4;
    /// The ends of files that are larger than a block are packed, too.
    pub(crate) const TAIL_ENDS: u16 = 1 << 5;
    /// Equal contents are stored once.
    pub(crate) const DEDUPLICATED: u16 = 1 << 6;
    /// There is a table of all inodes.
    pub(crate) const EXPORTABLE: u16 = 1 << 7;
    /// Extended attributes are stored as they are.
    pub(crate) const PLAIN_XATTRS: u16 = 1 << 8;
    /// There are no extended attributes.
    pub(crate) const NO_XATTRS: u16 = 1 << 9;
    /// The compressor's options follow the superblock.
    pub(crate) const OPTIONS: u16 = 1 << 10;
    /// The table of owners is stored as it is.
    pub(crate) const PLAIN_IDS: u16 = 1 << 11;
}

/// What everything is found by. Places are from the beginning of the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Superblock {
    /// How many there are; never 0.
    pub(crate) inodes: u32,
    /// Seconds since 1970.
    pub(crate) made: u32,
    pub(crate) block_size: BlockSize,
    /// How many there are.
    pub(crate) fragments: u32,
    /// 1 gzip, 2 lzma, 3 lzo, 4 xz, 5 lz4, 6 zstd.
    pub(crate) compressor: u16,
    /// See [`flag`].
    pub(crate) flags: u16,
    /// How many owners and groups; never 0. 65,536 are written as 0 in 16 bits, and so cannot be.
    pub(crate) ids: u16,
    pub(crate) root: InodeRef,
    /// The end of the last table; what follows is padding.
    pub(crate) bytes_used: u64,
    /// The list of the places of the blocks of owners.
    pub(crate) id_table: u64,
    /// The header of the extended attributes, or [`ABSENT`].
    pub(crate) xattr_table: u64,
    /// The first block of inodes.
    pub(crate) inode_table: u64,
    /// The first block of directories.
    pub(crate) directory_table: u64,
    /// The list of the places of the blocks of fragments, or [`ABSENT`].
    pub(crate) fragment_table: u64,
    /// The list of the places of the blocks of references to inodes, or [`ABSENT`].
    pub(crate) export_table: u64,
}

impl Superblock {
    /// Bytes of a superblock.
    pub(crate) const LEN: usize = 96;

    pub(crate) fn encode(&self) -> [u8; Self::LEN] {
        let mut out = Vec::with_capacity(Self::LEN);
        out.extend_from_slice(&MAGIC);
        for word in [self.inodes, self.made, self.block_size.get(), self.fragments] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        for half in [self.compressor, self.block_size.log(), self.flags, self.ids, 4, 0] {
            out.extend_from_slice(&half.to_le_bytes());
        }
        let tables = [self.id_table, self.xattr_table, self.inode_table, self.directory_table];
        for long in [self.root.pack(), self.bytes_used].into_iter().chain(tables) {
            out.extend_from_slice(&long.to_le_bytes());
        }
        out.extend_from_slice(&self.fragment_table.to_le_bytes());
        out.extend_from_slice(&self.export_table.to_le_bytes());
        out.try_into().expect("the fields above have 96 bytes together")
    }

    /// Reads and checks what Linux checks when it mounts, as far as the superblock alone can tell.
    pub(crate) fn decode(mut bytes: &[u8]) -> Result<Self, Malformed> {
        let from = &mut bytes;
        let what = "the superblock";
        let found = from.array(what)?;
        if found != MAGIC {
            return Err(Malformed::Magic { found });
        }
        let [inodes, made, block_size, fragments] =
            [from.u32(what)?, from.u32(what)?, from.u32(what)?, from.u32(what)?];
        let [compressor, log, flags, ids] =
            [from.u16(what)?, from.u16(what)?, from.u16(what)?, from.u16(what)?];
        let [major, minor] = [from.u16(what)?, from.u16(what)?];
        if (major, minor) != (4, 0) {
            return Err(Malformed::Version { major, minor });
        }
        let Ok(size) = BlockSize::new(block_size.into()) else {
            return Err(Malformed::value(
                "the block size",
                block_size,
                "it must be a power of two from 4096 to 1048576",
            ));
        };
        if log != size.log() {
            return Err(Malformed::value(
                "the logarithm of the block size",
                log,
                "it must agree with the block size",
            ));
        }
        let superblock = Self {
            inodes,
            made,
            block_size: size,
            fragments,
            compressor,
            flags,
            ids,
            root: InodeRef::unpack(from.u64(what)?),
            bytes_used: from.u64(what)?,
            id_table: from.u64(what)?,
            xattr_table: from.u64(what)?,
            inode_table: from.u64(what)?,
            directory_table: from.u64(what)?,
            fragment_table: from.u64(what)?,
            export_table: from.u64(what)?,
        };
        superblock.check()?;
        Ok(superblock)
    }

    fn check(&self) -> Result<(), Malformed> {
        if self.inodes == 0 {
            return Err(Malformed::value("the number of inodes", self.inodes, "there is at least the root"));
        }
        if self.ids == 0 {
            return Err(Malformed::value("the number of owners", self.ids, "the root has at least one"));
        }
        if usize::from(self.root.offset) >= METADATA {
            return Err(Malformed::value(
                "the place of the root",
                self.root.pack(),
                "its offset must be below 8192",
            ));
        }
        if self.bytes_used > i64::MAX as u64 {
            return Err(Malformed::value("the image's size", self.bytes_used, "it must be below 2^63"));
        }
        self.check_order()
    }

    /// Tables have one order, because each ends where the next begins.
    fn check_order(&self) -> Result<(), Malformed> {
        let mut end = self.bytes_used;
        let tables = [
            ("the place of the extended attributes", self.xattr_table, self.xattr_table != ABSENT),
            ("the place of the owners", self.id_table, true),
            ("the place of the export table", self.export_table, self.export_table != ABSENT),
            ("the place of the fragments", self.fragment_table, self.fragments != 0),
        ];
        let before = "each table must begin before the one that follows it, and before the image ends";
        for (what, start, present) in tables {
            if present {
                if start >= end {
                    return Err(Malformed::value(what, start, before));
                }
                end = start;
            }
        }
        // A root without entries leaves the directories empty, so that they end where they begin.
        if self.directory_table > end {
            return Err(Malformed::value("the place of the directories", self.directory_table, before));
        }
        if self.inode_table >= self.directory_table {
            return Err(Malformed::value("the place of the inodes", self.inode_table, before));
        }
        if self.inode_table < Self::LEN as u64 {
            return Err(Malformed::value(
                "the place of the inodes",
                self.inode_table,
                "it must follow the superblock",
            ));
        }
        Ok(())
    }
}

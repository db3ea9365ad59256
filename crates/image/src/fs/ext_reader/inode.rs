//! An inode, and where the blocks of its content are.

use mkext4::csum;

use super::{
    error::{ExtError, Structure},
    features,
    superblock::Super,
    window::{Window, le16, le32},
};

/// Flags of an inode.
pub(super) const ENCRYPTED: u32 = 0x800;
pub(super) const INDEXED: u32 = 0x1000;
pub(super) const EXTENTS: u32 = 0x8_0000;
pub(super) const INLINE: u32 = 0x1000_0000;
/// Compressed blocks, of a patch to ext2 that Linux never took.
const COMPRESSED: u32 = 0x200;

/// What is behind the fields that every inode has.
const FIXED: usize = 128;

/// An inode that is in use.
#[derive(Clone, Debug)]
pub(super) struct Inode {
    pub(super) number: u32,
    /// Where it is in the file system.
    pub(super) at: u64,
    /// File type and permissions.
    pub(super) mode: u16,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) links: u16,
    pub(super) size: u64,
    /// Units of 512 bytes that it has, or of blocks.
    pub(super) sectors: u64,
    pub(super) flags: u32,
    /// Where its blocks are, what it links to, or a device number.
    pub(super) block: [u8; 60],
    /// The block with extended attributes, or 0.
    pub(super) attributes: u64,
    /// What is behind its own fields: extended attributes.
    pub(super) extra: Vec<u8>,
    /// Where that is in the inode.
    pub(super) extra_at: u64,
    /// What checksums of what belongs to it begin with.
    pub(super) seed: u32,
}

/// What a file is, by its mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Fifo,
    CharDevice,
    Directory,
    BlockDevice,
    File,
    Symlink,
    Socket,
}

impl Type {
    const fn of(mode: u16) -> Option<Self> {
        Some(match mode >> 12 {
            1 => Self::Fifo,
            2 => Self::CharDevice,
            4 => Self::Directory,
            6 => Self::BlockDevice,
            8 => Self::File,
            10 => Self::Symlink,
            12 => Self::Socket,
            _ => return None,
        })
    }

    /// As a directory entry has it.
    pub(super) const fn in_directory(self) -> u8 {
        match self {
            Self::File => 1,
            Self::Directory => 2,
            Self::CharDevice => 3,
            Self::BlockDevice => 4,
            Self::Fifo => 5,
            Self::Socket => 6,
            Self::Symlink => 7,
        }
    }
}

impl Inode {
    /// The inode `number`, whose bytes are at `at`.
    pub(super) fn parse(
        sup: &Super,
        window: &Window,
        number: u32,
        at: u64,
        raw: &[u8],
    ) -> Result<Self, ExtError> {
        let wrong = |field_at: u64, field, value: u64, wanted: &str| ExtError::Field {
            structure: Structure::Inode(number),
            offset: window.absolute(at + field_at),
            field,
            value,
            wanted: wanted.to_owned(),
        };
        let extra_size = if raw.len() > FIXED { usize::from(le16(raw, FIXED)) } else { 0 };
        if extra_size > raw.len() - FIXED || !extra_size.is_multiple_of(4) {
            return Err(wrong(
                128,
                "i_extra_isize",
                extra_size as u64,
                "a multiple of 4 that fits the inode",
            ));
        }
        let generation = le32(raw, 100);
        let seed = csum::inode_seed(sup.seed, number, generation);
        if sup.features.has(features::METADATA_CSUM) {
            check_sum(window, number, at, raw, extra_size, seed)?;
        }
        let mode = le16(raw, 0);
        if Type::of(mode).is_none() {
            return Err(wrong(0, "i_mode", mode.into(), "a file type in its highest four bits"));
        }
        let links = le16(raw, 26);
        if links == 0 {
            return Err(wrong(26, "i_links_count", 0, "at least 1, since a directory names it"));
        }
        let flags = le32(raw, 32);
        if flags & COMPRESSED != 0 {
            return Err(wrong(32, "i_flags", flags.into(), "without that of compressed blocks"));
        }
        let extra_at = FIXED + extra_size;
        Ok(Self {
            number,
            at,
            mode,
            uid: u32::from(le16(raw, 2)) | u32::from(le16(raw, 120)) << 16,
            gid: u32::from(le16(raw, 24)) | u32::from(le16(raw, 122)) << 16,
            links,
            size: size(sup, mode, raw),
            sectors: sectors(sup, raw),
            flags,
            block: std::array::from_fn(|at| raw[40 + at]),
            attributes: u64::from(le32(raw, 104)) | u64::from(le16(raw, 118)) << 32,
            extra: if raw.len() > FIXED { raw[extra_at..].to_vec() } else { Vec::new() },
            extra_at: extra_at as u64,
            seed,
        })
    }

    pub(super) fn kind(&self) -> Type {
        Type::of(self.mode).expect("looked at when it was parsed")
    }

    pub(super) const fn is(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    /// Whether what a symbolic link says is in the inode itself, as `ext4_inode_is_fast_symlink` has it.
    pub(super) fn is_fast_symlink(&self, sup: &Super) -> bool {
        let attributes = if self.attributes == 0 { 0 } else { sup.block_size / 512 };
        self.sectors <= attributes && self.size < 60
    }

    /// Major and minor number of a device.
    pub(super) fn device(&self) -> (u32, u32) {
        let (old, new) = (le32(&self.block, 0), le32(&self.block, 4));
        if old == 0 {
            (new >> 8 & 0xfff, new & 0xff | new >> 12 & 0xf_ff00)
        } else {
            (old >> 8 & 0xff, old & 0xff)
        }
    }
}

/// Bytes of what the inode is of.
fn size(sup: &Super, mode: u16, raw: &[u8]) -> u64 {
    let has_high = match Type::of(mode) {
        Some(Type::File) => true,
        Some(Type::Directory) => sup.features.has(features::LARGEDIR),
        _ => false,
    };
    u64::from(le32(raw, 4)) | if has_high { u64::from(le32(raw, 108)) << 32 } else { 0 }
}

/// Its sectors of 512 bytes, or its blocks: a flag says which.
fn sectors(sup: &Super, raw: &[u8]) -> u64 {
    let has_high = sup.features.has(features::HUGE_FILE);
    u64::from(le32(raw, 28)) | if has_high { u64::from(le16(raw, 116)) << 32 } else { 0 }
}

fn check_sum(
    window: &Window,
    number: u32,
    at: u64,
    raw: &[u8],
    extra_size: usize,
    seed: u32,
) -> Result<(), ExtError> {
    let sum = csum::crc32c_raw(csum::crc32c_raw(seed, &raw[..124]), &[0; 2]);
    let sum = csum::crc32c_raw(sum, &raw[126..FIXED]);
    let (stored, computed) = if raw.len() == FIXED {
        (u32::from(le16(raw, 124)), sum & 0xffff)
    } else if extra_size >= 4 {
        let sum = csum::crc32c_raw(csum::crc32c_raw(sum, &raw[FIXED..130]), &[0; 2]);
        let stored = u32::from(le16(raw, 124)) | u32::from(le16(raw, 130)) << 16;
        (stored, csum::crc32c_raw(sum, &raw[132..]))
    } else {
        (u32::from(le16(raw, 124)), csum::crc32c_raw(sum, &raw[FIXED..]) & 0xffff)
    };
    if stored == computed {
        return Ok(());
    }
    let structure = Structure::Inode(number);
    Err(ExtError::Checksum { structure, offset: window.absolute(at), stored, computed })
}

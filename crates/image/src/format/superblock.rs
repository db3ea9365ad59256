//! What file systems say about themselves in their first bytes.
//!
//! Source: Linux, `Documentation/filesystems/ext4/super.rst`, `fs/squashfs/squashfs_fs.h`; Microsoft, FAT: General
//! Overview of On-Disk Format, 1.03.

use uuid::Uuid;

/// How much of a file system [`parse`] wants to see.
pub(crate) const START: usize = 4096;

/// A file system, by what it says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Superblock {
    Ext(Ext),
    /// Only that it is one.
    Squashfs,
    Fat(Fat),
}

/// An ext2, ext3 or ext4 file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ext {
    /// `ext2`, `ext3` or `ext4`, by its features.
    pub(crate) name: &'static str,
    /// Bytes of a block.
    pub(crate) block_size: u64,
    pub(crate) blocks: u64,
    pub(crate) free_blocks: u64,
    pub(crate) label: String,
    pub(crate) uuid: Uuid,
}

/// A FAT file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fat {
    /// `fat12`, `fat16` or `fat32`, by the number of its clusters.
    pub(crate) name: &'static str,
    /// Bytes, as its boot sector says.
    pub(crate) size: u64,
    pub(crate) label: String,
    pub(crate) serial: u32,
}

/// Looks at the first [`START`] bytes of a file system; fewer if it is smaller.
pub(crate) fn parse(start: &[u8]) -> Option<Superblock> {
    if is_squashfs(start) {
        return Some(Superblock::Squashfs);
    }
    if let Some(ext) = ext(start) {
        return Some(Superblock::Ext(ext));
    }
    fat(start).map(Superblock::Fat)
}

fn le<const N: usize>(bytes: &[u8], at: usize) -> Option<u64> {
    let raw = bytes.get(at..at + N)?;
    Some(raw.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).trim_end().to_owned()
}

/// Whether it begins as squashfs images of any version do; the rest is for who reads them.
pub(crate) fn is_squashfs(start: &[u8]) -> bool {
    start.starts_with(b"hsqs")
}

/// Reads an ext superblock, which is at byte 1024.
pub(crate) fn ext(start: &[u8]) -> Option<Ext> {
    let block = start.get(1024..2048)?;
    if le::<2>(block, 56)? != 0xef53 {
        return None;
    }
    let log = le::<4>(block, 24)?;
    let (compatible, incompatible) = (le::<4>(block, 92)?, le::<4>(block, 96)?);
    let is_64bit = incompatible & 0x80 != 0;
    let high = |at| if is_64bit { le::<4>(block, at).map(|value| value << 32) } else { Some(0) };
    let (has_journal, has_extents) = (compatible & 0x4 != 0, incompatible & 0x40 != 0);
    Some(Ext {
        name: if has_extents {
            "ext4"
        } else if has_journal {
            "ext3"
        } else {
            "ext2"
        },
        block_size: 1024_u64.checked_shl(log.try_into().ok()?).filter(|size| *size <= 64 << 10)?,
        blocks: le::<4>(block, 4)? | high(0x150)?,
        free_blocks: le::<4>(block, 12)? | high(0x158)?,
        label: text(&block[120..136]),
        uuid: Uuid::from_slice(&block[104..120]).ok()?,
    })
}

fn fat(start: &[u8]) -> Option<Fat> {
    if start.get(510..512)? != [0x55, 0xaa] || !matches!(start[0], 0xeb | 0xe9) {
        return None;
    }
    let sector = le::<2>(start, 11)?;
    let cluster = u64::from(start[13]);
    let (reserved, fats, roots) = (le::<2>(start, 14)?, u64::from(start[16]), le::<2>(start, 17)?);
    if !sector.is_power_of_two() || !(512..=4096).contains(&sector) || !cluster.is_power_of_two() || fats == 0
    {
        return None;
    }
    let either = |short: u64, long: u64| if short == 0 { long } else { short };
    let sectors = either(le::<2>(start, 19)?, le::<4>(start, 32)?);
    let fat_sectors = either(le::<2>(start, 22)?, le::<4>(start, 36)?);
    let meta = reserved + fats * fat_sectors + (roots * 32).div_ceil(sector);
    let clusters = sectors.checked_sub(meta)? / cluster;
    let is_fat32 = le::<2>(start, 22)? == 0;
    let name = if is_fat32 {
        "fat32"
    } else if clusters < 4085 {
        "fat12"
    } else {
        "fat16"
    };
    let at = if is_fat32 { 67 } else { 39 };
    Some(Fat {
        name,
        size: sectors * sector,
        label: text(start.get(at + 4..at + 15)?),
        serial: le::<4>(start, at)? as u32,
    })
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..START), kind in 0..4) {
            let mut bytes = bytes;
            match kind {
                0 if bytes.len() > 1100 => bytes[1080..1082].copy_from_slice(&[0x53, 0xef]),
                1 if bytes.len() > 600 => {
                    bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
                    bytes[0] = 0xeb;
                    bytes[11..14].copy_from_slice(&[0, 2, 1]);
                }
                2 => bytes.splice(0..0, *b"hsqs").for_each(drop),
                _ => {}
            }
            drop(parse(&bytes));
        }
    }
}

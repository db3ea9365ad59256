//! Partition tables in the first 32 KiB of an ISO image, which make it a disk as well.
//!
//! These tables break rules that those of a disk keep: partitions overlap each other and the table itself, because the
//! same bytes are an ISO 9660 volume, a partition of it, and a file in it.
//!
//! Source: UEFI 2.10, sections 5.2 and 5.3; what `xorriso` and `isohybrid` write.

use super::{array, le32};
use crate::format::guid::Guid;

/// What both tables count in.
pub(crate) const SECTOR: u64 = 512;
/// Bytes of an entry of the GPT.
pub(crate) const ENTRY: u32 = 128;
/// More entries than any table has; xorriso writes 248.
const MOST: u32 = 1024;

/// A partition in a master boot record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Partition {
    pub(crate) number: u32,
    pub(crate) is_active: bool,
    pub(crate) kind: u8,
    pub(crate) first: u64,
    pub(crate) sectors: u64,
}

/// The partitions of a master boot record; nothing if there is none, or none with a partition.
///
/// Type 0 means something here: isohybrid gives it to the whole image.
pub(crate) fn mbr(record: &[u8]) -> Option<Vec<Partition>> {
    if record.len() < 512 || record[510..512] != [0x55, 0xAA] {
        return None;
    }
    let entries = (0..4).map(|n| (n + 1, &record[446 + 16 * n as usize..][..16]));
    let is_none = |entry: &[u8]| le32(entry, 12) == 0 || !matches!(entry[0], 0 | 0x80);
    let partitions: Vec<Partition> = entries
        .filter(|(_, entry)| !is_none(entry))
        .map(|(number, entry)| Partition {
            number,
            is_active: entry[0] == 0x80,
            kind: entry[4],
            first: le32(entry, 8).into(),
            sectors: le32(entry, 12).into(),
        })
        .collect();
    (!partitions.is_empty()).then_some(partitions)
}

/// A header of a GPT whose own checksum is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Sector of the other copy.
    pub(crate) other: u64,
    pub(crate) guid: Guid,
    /// First sector of the entries.
    pub(crate) entries: u64,
    pub(crate) count: u32,
    pub(crate) entries_crc: u32,
}

/// Reads the header in sector `mine`; nothing if it is none, the reason if it is damaged.
pub(crate) fn header(sector: &[u8], mine: u64) -> Option<Result<Header, &'static str>> {
    if sector.len() < 512 || sector[..8] != *b"EFI PART" {
        return None;
    }
    let le64 = |at| u64::from_le_bytes(array(sector, at));
    let len = le32(sector, 12) as usize;
    if !(92..=512).contains(&len) {
        return Some(Err("has a header of an impossible size"));
    }
    let mut checked = sector[..len].to_vec();
    checked[16..20].fill(0);
    if crc32fast::hash(&checked) != le32(sector, 16) {
        return Some(Err("has a header whose checksum is wrong"));
    }
    if le64(24) != mine {
        return Some(Err("says that it is elsewhere"));
    }
    let count = le32(sector, 80);
    if le32(sector, 84) != ENTRY || count > MOST {
        return Some(Err("has entries of an impossible size or number"));
    }
    Some(Ok(Header {
        other: le64(32),
        guid: Guid::from_disk(array(sector, 56)),
        entries: le64(72),
        count,
        entries_crc: le32(sector, 88),
    }))
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn no_bytes_panic(mut bytes in vec(any::<u8>(), 512)) {
            bytes[510..].copy_from_slice(&[0x55, 0xAA]);
            drop(mbr(&bytes));
            bytes[..8].copy_from_slice(b"EFI PART");
            bytes[12..16].copy_from_slice(&92_u32.to_le_bytes());
            let mut checked = bytes[..92].to_vec();
            checked[16..20].fill(0);
            let crc = crc32fast::hash(&checked);
            bytes[16..20].copy_from_slice(&crc.to_le_bytes());
            let _ = header(&bytes, 1);
        }
    }
}

//! The header of one copy of a partition table.

use super::CopyState;
use crate::format::{
    gpt::{Copy, ENTRIES, ENTRY, HEADER, array, array_sectors},
    guid::Guid,
};

/// A header whose checksum is right.
#[derive(Clone)]
pub(super) struct Header {
    signature: [u8; 8],
    len: usize,
    pub(super) other: u64,
    pub(super) usable: (u64, u64),
    pub(super) guid: Guid,
    pub(super) entries_at: u64,
    pub(super) entries_crc: u32,
    /// Why the firmware would not have it.
    pub(super) refused: Option<String>,
}

/// What a header begins with: UEFI's word, and the one that hides a table from programs that know only UEFI's.
const SIGNATURES: [&[u8]; 2] = [b"EFI PART", b"CHROMEOS"];
/// What a header begins with that is to be passed over.
const IGNORED: &[u8] = b"IGNOREME";

/// Whether these bytes say that they are the header of a partition table.
pub(super) fn is_claimed(bytes: &[u8]) -> bool {
    bytes.starts_with(IGNORED) || SIGNATURES.iter().any(|signature| bytes.starts_with(signature))
}

impl Header {
    /// The header in `bytes`, 512 of them, if it can be believed.
    pub(super) fn decode(
        bytes: &[u8],
        copy: Copy,
        sector_size: u64,
        sectors: u64,
    ) -> Result<Self, CopyState> {
        let damaged = |reason: String| Err(CopyState::Damaged(reason));
        let u32_at = |at| u32::from_le_bytes(array(bytes, at));
        let u64_at = |at| u64::from_le_bytes(array(bytes, at));
        if &bytes[..8] == IGNORED {
            return Err(CopyState::Ignored);
        }
        if !SIGNATURES.contains(&&bytes[..8]) {
            return damaged("it has neither `EFI PART` nor `CHROMEOS` at its start".to_owned());
        }
        if u32_at(8) != 0x1_0000 {
            return damaged(format!("its revision, at byte 8, is {:#x}, not 0x10000", u32_at(8)));
        }
        let len = u32_at(12) as usize;
        if !(HEADER..=512).contains(&len) {
            return damaged(format!("its length, at byte 12, is said to be {len} bytes, not 92 to 512"));
        }
        let mut checked = bytes[..len].to_vec();
        checked[16..20].fill(0);
        let crc = crc32fast::hash(&checked);
        if crc != u32_at(16) {
            return damaged(format!(
                "its checksum, at byte 16, is {:#010x}, and should be {crc:#010x}",
                u32_at(16)
            ));
        }
        if u32_at(20) != 0 {
            return damaged(format!("its reserved bytes at 20 are {:#x}, not 0", u32_at(20)));
        }
        if (u32_at(80), u32_at(84)) != (ENTRIES, ENTRY as u32) {
            return damaged(format!(
                "it has {} entries of {} bytes, at byte 80; the firmware takes 128 of 128",
                u32_at(80),
                u32_at(84)
            ));
        }
        let (entries_at, array_len) = (u64_at(72), array_sectors(sector_size));
        if let Some(reason) = misplaced(copy, u64_at(24), entries_at, array_len, sectors) {
            return damaged(reason);
        }
        let usable = (u64_at(40), u64_at(48));
        let refused = refused(usable, sectors, array_len);
        Ok(Self {
            signature: array(bytes, 0),
            len,
            other: u64_at(32),
            usable,
            guid: Guid::from_disk(array(bytes, 56)),
            entries_at,
            entries_crc: u32_at(88),
            refused,
        })
    }

    /// The field in which two headers of one table must not differ, and do.
    pub(super) fn differs(&self, other: &Self) -> Option<&'static str> {
        [
            ("the signature", self.signature != other.signature),
            ("the length of the header", self.len != other.len),
            ("the usable sectors", self.usable != other.usable),
            ("the GUID of the disk", self.guid != other.guid),
            ("the checksum of the entries", self.entries_crc != other.entries_crc),
        ]
        .into_iter()
        .find_map(|(field, differs)| differs.then_some(field))
    }
}

/// Why the firmware refuses a header that says that these sectors, the first and the last, are for partitions.
fn refused(usable: (u64, u64), sectors: u64, array_len: u64) -> Option<String> {
    if usable.0 > usable.1 || usable.0 < 2 + array_len {
        Some(format!("its first usable sector, at byte 40, is {}: the firmware refuses it", usable.0))
    } else if usable.1 >= sectors - 1 - array_len {
        Some(format!(
            "its last usable sector, at byte 48, is {}, and the last possible one of this disk {}: the firmware refuses it",
            usable.1,
            sectors - 2 - array_len
        ))
    } else {
        None
    }
}

/// Why a header cannot be believed that says that it is in sector `mine`, and its entries from `entries_at` on.
fn misplaced(copy: Copy, mine: u64, entries_at: u64, array_len: u64, sectors: u64) -> Option<String> {
    let due = if copy == Copy::Primary { 1 } else { sectors - 1 };
    if mine != due {
        return Some(format!("it says, at byte 24, that it is in sector {mine}, and is in {due}"));
    }
    let right = match copy {
        Copy::Primary => entries_at > mine && entries_at <= sectors,
        Copy::Backup => entries_at == mine - array_len,
    };
    (!right).then(|| format!("its entries are said, at byte 72, to be in sector {entries_at}"))
}

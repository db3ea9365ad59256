//! GUID partition tables (UEFI 2.10, section 5.3).
//!
//! [`Gpt::encode`] turns a table into the two regions it has on disk, [`read`] finds it again if it is whole, and
//! [`read_lenient`] if the firmware of a Chromebook would. The two headers differ
//! in more than their place: each points at the array of entries next to itself. A backup that points at the
//! primary's array passes `sgdisk -v` and recovers nothing.

use std::io::{self, Read, Seek, SeekFrom};

use super::{guid::Guid, mbr};

mod attributes;
mod error;
mod lenient;

pub use error::GptError;
pub use lenient::{CopyState, Found, GptProblem, read_lenient};

/// Bytes of one entry; larger is legal and nobody does it.
const ENTRY: usize = 128;
/// Entries in a table; the smallest legal number, and the usual one.
pub(crate) const ENTRIES: u32 = 128;
/// Bytes of the array.
const ARRAY: u64 = ENTRY as u64 * ENTRIES as u64;
/// UTF-16 code units of a label.
pub(crate) const LABEL_UNITS: usize = 36;
/// Of the header: 1.0.
const REVISION: u32 = 0x0001_0000;
/// Bytes of a header that are used and checked.
const HEADER: usize = 92;

/// A partition table and the disk it is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gpt {
    /// Which disk it is.
    pub guid: Guid,
    /// 512 or 4096 bytes.
    pub sector_size: u64,
    /// Sectors of the disk.
    pub sectors: u64,
    /// In the order of the table.
    pub entries: Vec<Entry>,
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the table, from 1.
    pub number: u32,
    /// What kind of partition it is.
    pub kind: Guid,
    /// Which partition it is.
    pub guid: Guid,
    /// First sector.
    pub first: u64,
    /// Last sector, which belongs to the partition.
    pub last: u64,
    /// Attribute bits; 48 to 63 mean what `kind` says they mean.
    pub attributes: u64,
    /// Its name, at most 36 UTF-16 code units.
    pub label: String,
}

impl Entry {
    fn encode(&self, out: &mut [u8]) {
        out[0..16].copy_from_slice(&self.kind.to_disk());
        out[16..32].copy_from_slice(&self.guid.to_disk());
        out[32..40].copy_from_slice(&self.first.to_le_bytes());
        out[40..48].copy_from_slice(&self.last.to_le_bytes());
        out[48..56].copy_from_slice(&self.attributes.to_le_bytes());
        for (slot, unit) in out[56..ENTRY].chunks_exact_mut(2).zip(self.label.encode_utf16()) {
            slot.copy_from_slice(&unit.to_le_bytes());
        }
    }

    pub(crate) fn decode(number: u32, bytes: &[u8; ENTRY]) -> Option<Self> {
        let kind = Guid::from_disk(array(bytes, 0));
        if kind.is_nil() {
            return None;
        }
        let units: Vec<u16> = bytes[56..ENTRY]
            .chunks_exact(2)
            .map(|unit| u16::from_le_bytes([unit[0], unit[1]]))
            .take_while(|unit| *unit != 0)
            .collect();
        Some(Self {
            number,
            kind,
            guid: Guid::from_disk(array(bytes, 16)),
            first: u64::from_le_bytes(array(bytes, 32)),
            last: u64::from_le_bytes(array(bytes, 40)),
            attributes: u64::from_le_bytes(array(bytes, 48)),
            label: String::from_utf16_lossy(&units),
        })
    }
}

/// `N` bytes of `bytes`, from `at`.
fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("N bytes")
}

/// Which of the two headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copy {
    /// At the start of the disk.
    Primary,
    /// At its end.
    Backup,
}

impl std::fmt::Display for Copy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(if *self == Self::Primary { "primary" } else { "backup" })
    }
}

/// Sectors of an array of entries.
const fn array_sectors(sector_size: u64) -> u64 {
    ARRAY.div_ceil(sector_size)
}

/// Bytes that a table takes at the start of a disk, protective MBR and all.
pub(crate) const fn head_len(sector_size: u64) -> u64 {
    (2 + array_sectors(sector_size)) * sector_size
}

/// Bytes that a table takes at the end of a disk.
pub(crate) const fn tail_len(sector_size: u64) -> u64 {
    (1 + array_sectors(sector_size)) * sector_size
}

impl Gpt {
    /// The partition that ends farthest behind the end of the disk, and the byte where it ends; `None` if all are on it.
    ///
    /// An image that was cut short has one.
    pub fn beyond(&self) -> Option<(&Entry, u64)> {
        let farthest = self.entries.iter().max_by_key(|entry| entry.last)?;
        let end = farthest.last.saturating_add(1).saturating_mul(self.sector_size);
        (farthest.last >= self.sectors).then_some((farthest, end))
    }

    /// The bytes at the start of the disk and those at its end: MBR, header and entries; entries and header.
    ///
    /// # Panics
    ///
    /// If an entry's number is not in 1 to 128, or the disk is smaller than what is written.
    pub fn encode(&self) -> (Vec<u8>, Vec<u8>) {
        let sector = self.sector_size as usize;
        let mut entries = vec![0; array_sectors(self.sector_size) as usize * sector];
        for entry in &self.entries {
            entry.encode(&mut entries[(entry.number as usize - 1) * ENTRY..][..ENTRY]);
        }
        let crc = crc32fast::hash(&entries[..ARRAY as usize]);
        let mut head = vec![0; 2 * sector];
        head[..mbr::LEN].copy_from_slice(&mbr::protective(self.sectors));
        head[sector..][..HEADER].copy_from_slice(&self.header(Copy::Primary, crc));
        head.extend_from_slice(&entries);
        let mut tail = entries;
        tail.extend_from_slice(&self.header(Copy::Backup, crc));
        tail.resize(tail_len(self.sector_size) as usize, 0);
        (head, tail)
    }

    /// Source: UEFI 2.10, table 5-5.
    fn header(&self, copy: Copy, entries_crc: u32) -> [u8; HEADER] {
        let array = array_sectors(self.sector_size);
        let (first, last) = (1, self.sectors - 1);
        let (mine, other, entries_at) = match copy {
            Copy::Primary => (first, last, first + 1),
            Copy::Backup => (last, first, last - array),
        };
        let mut header = [0; HEADER];
        let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, b"EFI PART");
        put(8, &REVISION.to_le_bytes());
        put(12, &(HEADER as u32).to_le_bytes());
        put(24, &u64::to_le_bytes(mine));
        put(32, &u64::to_le_bytes(other));
        put(40, &(first + 1 + array).to_le_bytes());
        put(48, &(last - array - 1).to_le_bytes());
        put(56, &self.guid.to_disk());
        put(72, &u64::to_le_bytes(entries_at));
        put(80, &ENTRIES.to_le_bytes());
        put(84, &(ENTRY as u32).to_le_bytes());
        put(88, &entries_crc.to_le_bytes());
        let crc = crc32fast::hash(&header);
        header[16..20].copy_from_slice(&crc.to_le_bytes());
        header
    }
}

/// What a header says that can be believed: its checksum is right and its numbers are in bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Header {
    mine: u64,
    other: u64,
    usable: (u64, u64),
    guid: Guid,
    entries_at: u64,
    entries: Vec<Entry>,
}

/// Reads the partition table of `disk`, both copies of it.
///
/// # Errors
///
/// If either copy is missing, damaged, or points at the other's entries; if the two disagree; if partitions overlap
/// or lie outside the disk. Nothing in the bytes makes it panic or read more than 64 KiB.
pub fn read(disk: &mut (impl Read + Seek)) -> Result<Gpt, GptError> {
    let len = disk.seek(SeekFrom::End(0)).map_err(GptError::Read)?;
    let sector_size = [512, 4096]
        .into_iter()
        .find(|size| bytes_at(disk, *size, 8).is_ok_and(|bytes| bytes == b"EFI PART"))
        .ok_or(GptError::Absent)?;
    let sectors = len / sector_size;
    if sectors * sector_size != len || len < head_len(sector_size) + tail_len(sector_size) {
        return Err(GptError::Length { len, sector_size });
    }
    if !mbr::is_protective(&bytes_at(disk, 0, mbr::LEN).map_err(GptError::Read)?) {
        return Err(GptError::NoProtectiveMbr);
    }
    let primary = read_header(disk, Copy::Primary, sector_size, sectors)?;
    let backup = read_header(disk, Copy::Backup, sector_size, sectors)?;
    for (copy, header, other) in [(Copy::Primary, &primary, &backup), (Copy::Backup, &backup, &primary)] {
        if header.other != other.mine {
            let reason =
                format!("it says that the other is in sector {}, not in {}", header.other, other.mine);
            return Err(GptError::Damaged { copy, offset: header.mine * sector_size, reason });
        }
    }
    let same = [
        ("the usable sectors", primary.usable == backup.usable, (primary.mine, backup.mine), 40),
        ("the GUID of the disk", primary.guid == backup.guid, (primary.mine, backup.mine), 56),
        ("the entries", primary.entries == backup.entries, (primary.entries_at, backup.entries_at), 0),
    ];
    if let Some((what, _, sectors, at)) = same.into_iter().find(|(_, same, ..)| !same) {
        let (primary, backup) = (sectors.0 * sector_size + at, sectors.1 * sector_size + at);
        return Err(GptError::Disagree { what, primary, backup });
    }
    let gpt = Gpt { guid: primary.guid, sector_size, sectors, entries: primary.entries };
    check_places(&gpt, primary.usable)?;
    Ok(gpt)
}

fn bytes_at(disk: &mut (impl Read + Seek), at: u64, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    disk.seek(SeekFrom::Start(at))?;
    disk.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn read_header(
    disk: &mut (impl Read + Seek),
    copy: Copy,
    sector_size: u64,
    sectors: u64,
) -> Result<Header, GptError> {
    let mine = if copy == Copy::Primary { 1 } else { sectors - 1 };
    let damaged = |reason: String| GptError::Damaged { copy, offset: mine * sector_size, reason };
    let bytes = bytes_at(disk, mine * sector_size, 512).map_err(GptError::Read)?;
    let u32_at = |at| u32::from_le_bytes(array(&bytes, at));
    let u64_at = |at| u64::from_le_bytes(array(&bytes, at));
    if bytes[..8] != *b"EFI PART" {
        return Err(damaged("it has no `EFI PART` at its start".to_owned()));
    }
    let len = u32_at(12) as usize;
    if !(HEADER..=512).contains(&len) {
        return Err(damaged(format!("its header is said to be {len} bytes, not 92 to 512")));
    }
    let mut checked = bytes[..len].to_vec();
    checked[16..20].fill(0);
    if crc32fast::hash(&checked) != u32_at(16) {
        return Err(damaged("the checksum of its header is wrong".to_owned()));
    }
    if (u32_at(8), u32_at(20)) != (REVISION, 0) {
        return Err(damaged(format!(
            "its revision is {:#x} with {:#x} behind its checksum: only {REVISION:#x} and 0 are understood",
            u32_at(8),
            u32_at(20)
        )));
    }
    if u64_at(24) != mine {
        return Err(damaged(format!("it says that it is in sector {}, not in {mine}", u64_at(24))));
    }
    let (at, count, size) = (u64_at(72), u32_at(80), u32_at(84));
    if (count, size) != (ENTRIES, ENTRY as u32) {
        return Err(damaged(format!(
            "it has {count} entries of {size} bytes; only 128 of 128 are understood"
        )));
    }
    let array_sectors = array_sectors(sector_size);
    let own = if copy == Copy::Primary {
        2..=sectors / 2
    } else {
        sectors / 2..=mine.saturating_sub(array_sectors)
    };
    if !own.contains(&at) {
        return Err(damaged(format!("it points at entries in sector {at}, which are not its own")));
    }
    let entries = bytes_at(disk, at * sector_size, ARRAY as usize).map_err(GptError::Read)?;
    if crc32fast::hash(&entries) != u32_at(88) {
        return Err(damaged("the checksum of its entries is wrong".to_owned()));
    }
    let (entries, _) = entries.as_chunks();
    let entries = (1..).zip(entries).filter_map(|(number, entry)| Entry::decode(number, entry)).collect();
    let usable = (u64_at(40), u64_at(48));
    let guid = Guid::from_disk(array(&bytes, 56));
    Ok(Header { mine, other: u64_at(32), usable, guid, entries_at: at, entries })
}

fn check_places(gpt: &Gpt, usable: (u64, u64)) -> Result<(), GptError> {
    let mut ends: Vec<&Entry> = gpt.entries.iter().collect();
    ends.sort_by_key(|entry| entry.first);
    for entry in &ends {
        if entry.first > entry.last
            || entry.first < usable.0
            || entry.last > usable.1
            || usable.1 >= gpt.sectors
        {
            return Err(GptError::Outside {
                label: entry.label.clone(),
                first: entry.first,
                last: entry.last,
            });
        }
    }
    match ends.windows(2).find(|pair| pair[0].last >= pair[1].first) {
        Some(pair) => Err(GptError::Overlap { one: pair[0].label.clone(), other: pair[1].label.clone() }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;

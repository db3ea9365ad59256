//! A partition table as the firmware of a Chromebook reads it: either copy is enough.
//!
//! [`read`](super::read) says whether a table is whole; this says what of it can still be used, and by whom. A stick that
//! is bigger than the image has no backup in its last sector; an image that was cut short has none at all.
//!
//! Source: vboot `firmware/lib/cgptlib/cgptlib_internal.c` (`CheckHeader`, `CheckEntries`, `GptValidityCheck`).

use std::{
    collections::HashMap,
    io::{self, Read, Seek, SeekFrom},
};

use thiserror::Error;

use self::header::{Header, is_claimed};
use super::{ARRAY, Copy, Entry, Gpt, GptError, array_sectors, bytes_at};
use crate::format::guid::Guid;

mod header;

/// A partition table of which at least one copy can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The table.
    pub gpt: Gpt,
    /// The copy whose entries these are.
    pub entries_of: Copy,
    /// What of the copy at the start of the disk is usable.
    pub primary: CopyState,
    /// What of the copy at its end is usable.
    pub backup: CopyState,
    /// What is wrong with the partitions; nothing of it keeps a program from reading them.
    pub problems: Vec<GptProblem>,
}

/// What one copy of a partition table is good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopyState {
    /// Header and entries are right.
    Sound,
    /// Marked `IGNOREME`: nobody is to look at it.
    Ignored,
    /// Its checksums are right, but the firmware refuses it; the text says why.
    Refused(String),
    /// It cannot be believed; the text says why.
    Damaged(String),
}

impl CopyState {
    /// Whether the firmware uses it.
    pub fn is_sound(&self) -> bool {
        *self == Self::Sound
    }
}

impl std::fmt::Display for CopyState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sound => f.write_str("sound"),
            Self::Ignored => f.write_str("marked `IGNOREME`"),
            Self::Refused(reason) => write!(f, "readable, but {reason}"),
            Self::Damaged(reason) => f.write_str(reason),
        }
    }
}

/// Something wrong with partitions, for which the firmware refuses the whole table.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum GptProblem {
    /// A partition is not where partitions may be.
    #[error(
        "partition {number} (`{label}`), sectors {first} to {last}, is outside of the usable sectors {} to {}",
        usable.0,
        usable.1
    )]
    Outside {
        /// Its number.
        number: u32,
        /// Its name.
        label: String,
        /// Its first sector.
        first: u64,
        /// Its last sector.
        last: u64,
        /// First and last sector that partitions may use.
        usable: (u64, u64),
    },
    /// Two partitions share sectors.
    #[error("partitions {} (`{}`) and {} (`{}`) overlap from sector {sector} on", one.0, one.1, other.0, other.1)]
    Overlap {
        /// Number and name of the first.
        one: (u32, String),
        /// Number and name of the other.
        other: (u32, String),
        /// The first sector that both have.
        sector: u64,
    },
    /// Two partitions have one GUID.
    #[error("partitions {} (`{}`) and {} (`{}`) have one GUID, {guid}", one.0, one.1, other.0, other.1)]
    SameGuid {
        /// Number and name of the first.
        one: (u32, String),
        /// Number and name of the other.
        other: (u32, String),
        /// What both are called.
        guid: Guid,
    },
}

impl Found {
    /// Whether the firmware of a Chromebook accepts the table.
    pub fn is_accepted(&self) -> bool {
        (self.primary.is_sound() || self.backup.is_sound()) && self.problems.is_empty()
    }

    /// Everything that is wrong with it, each in a sentence.
    pub fn flaws(&self) -> Vec<String> {
        let copies = [(Copy::Primary, &self.primary), (Copy::Backup, &self.backup)];
        let unsound = copies.into_iter().filter(|(_, state)| !state.is_sound());
        let copies = unsound.map(|(copy, state)| format!("the {copy} partition table: {state}"));
        copies.chain(self.problems.iter().map(ToString::to_string)).collect()
    }

    /// The partition with this number.
    pub fn entry(&self, number: u32) -> Option<&Entry> {
        self.gpt.entries.iter().find(|entry| entry.number == number)
    }

    /// The partition with this GUID.
    pub fn entry_of(&self, guid: Guid) -> Option<&Entry> {
        self.gpt.entries.iter().find(|entry| entry.guid == guid)
    }
}

/// Reads the partition table of `disk` from whichever copy can be read, and says what is wrong with the other.
///
/// Nothing in the bytes makes it panic or read more than 256 KiB. A protective MBR is not asked for.
///
/// # Errors
///
/// If neither copy can be read; the error has what is wrong with each.
pub fn read_lenient(disk: &mut (impl Read + Seek)) -> Result<Found, GptError> {
    let len = disk.seek(SeekFrom::End(0)).map_err(GptError::Read)?;
    let mut unsound = None;
    for sector_size in [512, 4096] {
        match Sides::read(disk, len, sector_size).map_err(GptError::Read)?.found() {
            Ok(found) => return Ok(found),
            Err(error) if sector_size == 512 || error.0 => unsound = Some(error),
            Err(_) => {}
        }
    }
    match unsound {
        Some((true, primary, backup)) => Err(GptError::Unsound { primary, backup }),
        _ => Err(GptError::Absent),
    }
}

/// Both copies as they are on a disk.
struct Sides {
    sector_size: u64,
    sectors: u64,
    primary: Side,
    backup: Side,
}

/// One copy as it is on a disk.
struct Side {
    header: Result<Header, CopyState>,
    /// The array next to it, if there is one that can be read.
    entries: Vec<u8>,
    /// Whether anything there says that it is a partition table.
    claimed: bool,
}

impl Sides {
    fn read(disk: &mut (impl Read + Seek), len: u64, sector_size: u64) -> io::Result<Self> {
        let sectors = len / sector_size;
        let primary = Side::read(disk, Copy::Primary, sector_size, sectors, 1)?;
        let mut backup = Side::read(disk, Copy::Backup, sector_size, sectors, sectors.saturating_sub(1))?;
        if let (Err(CopyState::Damaged(reason)), Ok(primary)) = (&mut backup.header, &primary.header) {
            let last = sectors.saturating_sub(1);
            if primary.other > last {
                *reason = format!(
                    "the disk ends with sector {last}, and the primary says that the backup is in sector {}: the image was cut short, or is on a smaller disk",
                    primary.other
                );
            } else if primary.other != last
                && Side::read(disk, Copy::Backup, sector_size, primary.other + 1, primary.other)?
                    .header
                    .is_ok()
            {
                *reason = format!(
                    "it is in sector {}, not in the last one, {last}: the image is on a bigger disk",
                    primary.other
                );
            }
        }
        Ok(Self { sector_size, sectors, primary, backup })
    }

    /// The table, or whether there ever was one, and what is wrong with each copy.
    fn found(self) -> Result<Found, (bool, CopyState, CopyState)> {
        let (one, two) = (self.primary.header.as_ref().ok(), self.backup.header.as_ref().ok());
        let fits = |header: Option<&Header>, entries: &[u8]| {
            header.is_some_and(|it| {
                entries.len() == ARRAY as usize && crc32fast::hash(entries) == it.entries_crc
            })
        };
        let trusted = |header| {
            let found = (fits(header, &self.primary.entries), fits(header, &self.backup.entries));
            header.filter(|_| found.0 || found.1).map(|header| (header, found))
        };
        let sound_first = match (one, two) {
            (Some(one), Some(two)) if one.refused.is_some() && two.refused.is_none() => {
                [Some(two), Some(one)]
            }
            _ => [one, two],
        };
        let Some((header, (in_primary, in_backup))) = sound_first.into_iter().find_map(trusted) else {
            let state = |side: &Side| match &side.header {
                Ok(_) => CopyState::Damaged("the checksum of its entries is wrong".to_owned()),
                Err(state) => state.clone(),
            };
            let claimed = self.primary.claimed || self.backup.claimed;
            return Err((claimed, state(&self.primary), state(&self.backup)));
        };
        let differs = one.zip(two).and_then(|(one, two)| one.differs(two));
        let state = |side: &Side, intact: bool| match &side.header {
            Err(state) => state.clone(),
            Ok(it) if !std::ptr::eq(it, header) && differs.is_some() => CopyState::Refused(format!(
                "it differs from the other in {}, and the firmware goes by the other",
                differs.unwrap_or_default()
            )),
            Ok(_) if !intact => CopyState::Damaged("the checksum of its entries is wrong".to_owned()),
            Ok(Header { refused: Some(reason), .. }) => CopyState::Refused(reason.clone()),
            Ok(_) => CopyState::Sound,
        };
        let (primary, backup) = (state(&self.primary, in_primary), state(&self.backup, in_backup));
        let entries_of = if in_primary { Copy::Primary } else { Copy::Backup };
        let entries = decode(if in_primary { &self.primary.entries } else { &self.backup.entries });
        let problems = places(&entries, header.usable);
        let gpt = Gpt { guid: header.guid, sector_size: self.sector_size, sectors: self.sectors, entries };
        Ok(Found { gpt, entries_of, primary, backup, problems })
    }
}

impl Side {
    fn read(
        disk: &mut (impl Read + Seek),
        copy: Copy,
        sector_size: u64,
        sectors: u64,
        at: u64,
    ) -> io::Result<Self> {
        let nothing = |reason: String| Self {
            header: Err(CopyState::Damaged(reason)),
            entries: Vec::new(),
            claimed: false,
        };
        if sectors < 2 * (1 + array_sectors(sector_size)) + 1 {
            return Ok(nothing(format!("a disk of {sectors} sectors is too small for it")));
        }
        let bytes = bytes_at(disk, at * sector_size, 512)?;
        let header = Header::decode(&bytes, copy, sector_size, sectors);
        let entries = match &header {
            Ok(header) => match header.entries_at.checked_mul(sector_size) {
                Some(at) if header.entries_at + array_sectors(sector_size) <= sectors => {
                    bytes_at(disk, at, ARRAY as usize)?
                }
                _ => Vec::new(),
            },
            Err(_) => Vec::new(),
        };
        Ok(Self { header, entries, claimed: is_claimed(&bytes) })
    }
}

fn decode(entries: &[u8]) -> Vec<Entry> {
    let (entries, _) = entries.as_chunks();
    (1..).zip(entries).filter_map(|(number, entry)| Entry::decode(number, entry)).collect()
}

/// What is wrong with where partitions are and how they are called; each pair is named once.
fn places(entries: &[Entry], usable: (u64, u64)) -> Vec<GptProblem> {
    let name = |entry: &Entry| (entry.number, entry.label.clone());
    let mut problems = Vec::new();
    let mut guids: HashMap<Guid, &Entry> = HashMap::new();
    for entry in entries {
        if entry.first > entry.last || entry.first < usable.0 || entry.last > usable.1 {
            problems.push(GptProblem::Outside {
                number: entry.number,
                label: entry.label.clone(),
                first: entry.first,
                last: entry.last,
                usable,
            });
        }
        if let Some(one) = guids.insert(entry.guid, entry) {
            problems.push(GptProblem::SameGuid { one: name(one), other: name(entry), guid: entry.guid });
        }
    }
    let mut sorted: Vec<&Entry> = entries.iter().filter(|entry| entry.first <= entry.last).collect();
    sorted.sort_by_key(|entry| (entry.first, entry.number));
    let mut reaching: Option<&Entry> = None;
    for entry in sorted {
        match reaching {
            Some(before) if before.last >= entry.first => {
                problems.push(GptProblem::Overlap {
                    one: name(before),
                    other: name(entry),
                    sector: entry.first,
                });
                if entry.last > before.last {
                    reaching = Some(entry);
                }
            }
            _ => reaching = Some(entry),
        }
    }
    problems
}

#[cfg(test)]
mod tests;

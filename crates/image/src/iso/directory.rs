//! Directories: names as the standard allows them, records, and where their Rock Ridge is.
//!
//! Source: ECMA-119, sections 7.5, 7.6, 9.1 and 9.3.

use std::collections::BTreeSet;

use super::{
    BLOCK,
    rock_ridge::{Entries, Split, both16, both32},
};

/// Bytes of a record without its name.
const HEAD: usize = 33;

/// The most that a record has: one byte counts, and a record begins at an even place.
const RECORD: usize = 254;

/// Characters of a directory's name, and of a file's without the point and the version.
const NAME: usize = 30;

/// What a record leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) block: u32,
    pub(super) size: u32,
    pub(super) is_directory: bool,
    /// Another record with more of the file follows.
    pub(super) goes_on: bool,
}

/// A record that is placed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) name: Vec<u8>,
    pub(super) split: Split,
    /// Where in the directory's second area the rest of its Rock Ridge is.
    rest_at: usize,
}

/// How big the areas of a directory are, and its records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Records {
    all: Vec<Record>,
    /// Bytes of the records, in whole blocks.
    pub(super) size: u64,
    /// Bytes of what Rock Ridge says elsewhere.
    rest: usize,
}

impl Records {
    /// Adds a record; `None` if what is said about the file has no room.
    pub(super) fn add(&mut self, name: Vec<u8>, entries: &Entries, used: &mut usize) -> Option<()> {
        let split = entries.split(RECORD - (HEAD + name.len()).next_multiple_of(2));
        let len = length(&name, &split);
        let block = BLOCK as usize;
        if *used % block + len > block {
            *used = used.next_multiple_of(block);
        }
        *used += len;
        self.size = (*used as u64).next_multiple_of(BLOCK);
        // What is elsewhere must be in one block.
        if split.rest.len() > block {
            return None;
        }
        if self.rest % block + split.rest.len() > block {
            self.rest = self.rest.next_multiple_of(block);
        }
        let rest_at = self.rest;
        self.rest += split.rest.len();
        self.all.push(Record { name, split, rest_at });
        Some(())
    }

    /// Blocks of all of it.
    pub(super) fn blocks(&self) -> u64 {
        self.size / BLOCK + (self.rest as u64).div_ceil(BLOCK)
    }

    /// The directory at `block`, whose records lead to `extents`.
    pub(super) fn encode(&self, block: u32, extents: &[Extent], time: [u8; 7]) -> Vec<u8> {
        let rest_block = block + (self.size / BLOCK) as u32;
        let mut bytes = Vec::with_capacity((self.blocks() * BLOCK) as usize);
        for (record, extent) in self.all.iter().zip(extents) {
            let len = length(&record.name, &record.split);
            if bytes.len() % BLOCK as usize + len > BLOCK as usize {
                bytes.resize(bytes.len().next_multiple_of(BLOCK as usize), 0);
            }
            let at = record.rest_at as u64;
            let behind = record.split.behind(rest_block + (at / BLOCK) as u32, (at % BLOCK) as u32);
            bytes.extend(encode(&record.name, extent, time, &behind));
        }
        bytes.resize(self.size as usize, 0);
        for record in &self.all {
            if !record.split.rest.is_empty() {
                bytes.resize(self.size as usize + record.rest_at, 0);
                bytes.extend_from_slice(&record.split.rest);
            }
        }
        bytes.resize((self.blocks() * BLOCK) as usize, 0);
        bytes
    }
}

fn length(name: &[u8], split: &Split) -> usize {
    ((HEAD + name.len()).next_multiple_of(2) + split.len()).next_multiple_of(2)
}

/// One record.
pub(super) fn encode(name: &[u8], extent: &Extent, time: [u8; 7], behind: &[u8]) -> Vec<u8> {
    let len = ((HEAD + name.len()).next_multiple_of(2) + behind.len()).next_multiple_of(2);
    let mut bytes = vec![len as u8, 0];
    bytes.extend(both32(extent.block));
    bytes.extend(both32(extent.size));
    bytes.extend(time);
    bytes.push(u8::from(extent.is_directory) << 1 | u8::from(extent.goes_on) << 7);
    bytes.extend([0, 0]);
    bytes.extend(both16(1));
    bytes.push(name.len() as u8);
    bytes.extend_from_slice(name);
    bytes.resize(bytes.len().next_multiple_of(2), 0);
    bytes.extend_from_slice(behind);
    bytes.resize(len, 0);
    bytes
}

/// A name of the standard for `name`, which none of `used` is; what people see is in Rock Ridge.
pub(super) fn identifier(name: &str, is_directory: bool, used: &mut BTreeSet<Vec<u8>>) -> Vec<u8> {
    let plain = |text: &str| -> String {
        let plain = |it: char| if it.is_ascii_alphanumeric() { it.to_ascii_uppercase() } else { '_' };
        text.chars().map(plain).collect()
    };
    let (stem, extension) = match name.rsplit_once('.') {
        Some((stem, extension)) if !is_directory && !stem.is_empty() && extension.len() <= 8 => {
            (plain(stem), plain(extension))
        }
        _ => (plain(name), String::new()),
    };
    for n in 0_u32.. {
        let number = if n == 0 { String::new() } else { format!("_{n}") };
        let room = NAME - extension.len() - number.len();
        let stem: String = stem.chars().take(room).collect();
        let name =
            if is_directory { format!("{stem}{number}") } else { format!("{stem}{number}.{extension};1") };
        if used.insert(name.clone().into_bytes()) {
            return name.into_bytes();
        }
    }
    unreachable!("there are more numbers than names")
}

/// Seconds since 1970 in seven bytes: year, month, day, hour, minute, second, and a time zone that is UTC.
/// Source: ECMA-119, section 9.1.5.
pub(super) fn time7(epoch: u64) -> Option<[u8; 7]> {
    let [year, month, day, hour, minute, second] = date(epoch);
    let year = year.checked_sub(1900).filter(|year| *year < 256)?;
    Some([year as u8, month as u8, day as u8, hour as u8, minute as u8, second as u8, 0])
}

/// The same in seventeen digits and bytes. Source: ECMA-119, section 8.4.26.1.
pub(super) fn time17(epoch: u64) -> [u8; 17] {
    let [year, month, day, hour, minute, second] = date(epoch);
    let mut bytes = [0; 17];
    let text = format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}00");
    bytes[..16].copy_from_slice(&text.as_bytes()[..16]);
    bytes
}

/// Year, month, day, hour, minute, second, in UTC. Source: H. Hinnant, "chrono-Compatible Low-Level Date Algorithms".
fn date(epoch: u64) -> [u64; 6] {
    let (days, seconds) = (epoch / 86_400, epoch % 86_400);
    let days = days + 719_468;
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let part = (5 * of_year + 2) / 153;
    let day = of_year - (153 * part + 2) / 5 + 1;
    let month = if part < 10 { part + 3 } else { part - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    [year, month, day, seconds / 3600, seconds / 60 % 60, seconds % 60]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (epoch, wanted) in [
            (0, "1970010100000000"),
            (951_782_399, "2000022823595900"),
            (951_782_400, "2000022900000000"),
            (1_735_689_600, "2025010100000000"),
            (4_107_542_400, "2100030100000000"),
        ] {
            assert_eq!(String::from_utf8_lossy(&time17(epoch)[..16]), wanted);
        }
        assert_eq!(time7(1_735_689_600), Some([125, 1, 1, 0, 0, 0, 0]));
        assert_eq!(time7(1 << 40), None);
    }

    #[test]
    fn names_are_plain_and_none_is_there_twice() {
        let mut used = BTreeSet::new();
        let mut name =
            |name: &str, is_directory| String::from_utf8(identifier(name, is_directory, &mut used)).unwrap();
        assert_eq!(name("vmlinuz-6.1.0-amd64", false), "VMLINUZ_6_1.0_AMD64;1");
        assert_eq!(name("isolinux.bin", false), "ISOLINUX.BIN;1");
        assert_eq!(name("ISOLINUX.BIN", false), "ISOLINUX_1.BIN;1");
        assert_eq!(name(".disk", true), "_DISK");
        assert_eq!(name(".disk", false), "_DISK.;1");
        assert_eq!(name(&"ä".repeat(100), false), format!("{}.;1", "_".repeat(30)));
        assert_eq!(name(&"ä".repeat(101), false), format!("{}_1.;1", "_".repeat(28)));
    }
}

//! ISO 9660 images: volume descriptors, and the boot catalogue of El Torito.
//!
//! The first 32 KiB belong to the system that starts the image, and hold the tables of a [hybrid] one. Then
//! come descriptors of 2048 bytes each.
//!
//! Source: ECMA-119, 4th edition, section 9; "El Torito" Bootable CD-ROM Format Specification 1.0, section 2.

use thiserror::Error;

pub(crate) mod hybrid;
pub(crate) mod record;

use record::Record;

/// Bytes of a descriptor, and of a block in every image that there is.
pub(crate) const SECTOR: u64 = 2048;
/// Where descriptors begin.
pub(crate) const FIRST: u64 = 16 * SECTOR;
/// More descriptors than any image has.
pub(crate) const MOST: u64 = 64;
/// Bytes of an entry of the boot catalogue.
const ENTRY: usize = 32;

/// A volume descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Descriptor {
    /// What every image has.
    Primary(Volume),
    /// The same with names in UCS-2, by Joliet.
    Joliet(Volume),
    /// It can be started: the block of the boot catalogue.
    ElTorito(u32),
    /// The last one.
    End,
    /// Of no use here.
    Other,
}

/// A directory tree, and what it says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Volume {
    pub(crate) label: String,
    /// Blocks of 2048 bytes.
    pub(crate) blocks: u32,
    pub(crate) root: Record,
    /// `YYYYMMDDHHMMSS`, if it says so.
    pub(crate) created: Option<String>,
    /// The program that made it.
    pub(crate) application: String,
}

/// Reads one of the descriptors from [`FIRST`] on.
pub(crate) fn descriptor(sector: &[u8]) -> Result<Descriptor, Invalid> {
    let sector: &[u8; SECTOR as usize] = sector.try_into().map_err(|_| Invalid("is cut short"))?;
    if sector[1..6] != *b"CD001" {
        return Err(Invalid("has no `CD001`"));
    }
    Ok(match sector[0] {
        0 if sector[7..39].starts_with(b"EL TORITO SPECIFICATION\0") => {
            Descriptor::ElTorito(le32(sector, 71))
        }
        1 => Descriptor::Primary(volume(sector, |bytes| String::from_utf8_lossy(bytes).into_owned())?),
        // Escape sequences of UCS-2, levels 1 to 3.
        2 if matches!(&sector[88..91], b"%/@" | b"%/C" | b"%/E") => Descriptor::Joliet(volume(sector, ucs2)?),
        255 => Descriptor::End,
        _ => Descriptor::Other,
    })
}

fn volume(sector: &[u8; SECTOR as usize], text: impl Fn(&[u8]) -> String) -> Result<Volume, Invalid> {
    let both = |at: usize| (le32(sector, at), u32::from_be_bytes(array(sector, at + 4)));
    let (blocks, again) = both(80);
    if blocks != again {
        return Err(Invalid("gives its size twice, and not the same"));
    }
    if le16(sector, 128) != SECTOR as u16 {
        return Err(Invalid("has blocks that are not of 2048 bytes"));
    }
    let root = record::parse(&sector[156..190]).ok_or(Invalid("has no root directory"))?;
    if !root.is_directory {
        return Err(Invalid("has a root that is no directory"));
    }
    let trimmed = |bytes: &[u8]| text(bytes).trim_end_matches([' ', '\0']).to_owned();
    let created = &sector[813..827];
    let is_said = created.iter().all(u8::is_ascii_digit) && created.iter().any(|digit| *digit != b'0');
    Ok(Volume {
        label: trimmed(&sector[40..72]),
        blocks,
        root,
        created: is_said.then(|| String::from_utf8_lossy(created).into_owned()),
        application: trimmed(&sector[574..702]),
    })
}

/// Names of Joliet.
pub(crate) fn ucs2(bytes: &[u8]) -> String {
    let (units, _) = bytes.as_chunks();
    char::decode_utf16(units.iter().map(|unit| u16::from_be_bytes(*unit)))
        .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}

/// Something that firmware can start from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BootEntry {
    /// 0 for a BIOS, 0xEF for UEFI.
    pub(crate) platform: u8,
    pub(crate) is_bootable: bool,
    /// 0 for none, 1 to 3 for a floppy, 4 for a hard disk.
    pub(crate) emulation: u8,
    /// Sectors of 512 bytes that a BIOS reads.
    pub(crate) sectors: u16,
    /// Where it begins, in blocks of 2048 bytes.
    pub(crate) block: u32,
}

/// Reads a boot catalogue: what is in its first blocks, as many as there are.
pub(crate) fn catalogue(bytes: &[u8]) -> Result<Vec<BootEntry>, Invalid> {
    let (entries, _) = bytes.as_chunks::<ENTRY>();
    let [first, initial, rest @ ..] = entries else { return Err(Invalid("is cut short")) };
    if first[0] != 1 || first[30..] != [0x55, 0xAA] {
        return Err(Invalid("does not begin with a validation entry"));
    }
    let (words, _) = first.as_chunks();
    if words.iter().fold(0_u16, |sum, word| sum.wrapping_add(u16::from_le_bytes(*word))) != 0 {
        return Err(Invalid("has a validation entry whose checksum is wrong"));
    }
    let mut found = vec![boot_entry(initial, first[1])?];
    let (mut platform, mut left) = (first[1], 0_u16);
    for entry in rest {
        match (entry[0], left) {
            (0x44, _) => {} // more of the entry before
            (0x90 | 0x91, 0) => (platform, left) = (entry[1], le16(entry, 2)),
            (_, 0) => break,
            _ => {
                left -= 1;
                found.push(boot_entry(entry, platform)?);
            }
        }
    }
    if left > 0 {
        return Err(Invalid("ends inside a section"));
    }
    Ok(found)
}

fn boot_entry(entry: &[u8; ENTRY], platform: u8) -> Result<BootEntry, Invalid> {
    if !matches!(entry[0], 0 | 0x88) {
        return Err(Invalid("has an entry that is neither bootable nor not"));
    }
    Ok(BootEntry {
        platform,
        is_bootable: entry[0] == 0x88,
        emulation: entry[1] & 0xF,
        sectors: le16(entry, 6),
        block: le32(entry, 8),
    })
}

/// Why a descriptor or a catalogue is none, as the end of a sentence about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub(crate) struct Invalid(pub(crate) &'static str);

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    std::array::from_fn(|n| bytes[at + n])
}

fn le16(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(array(bytes, at))
}

fn le32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array(bytes, at))
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn no_bytes_panic(kind in prop::sample::select(vec![0_u8, 1, 2, 255]), fill in vec(any::<u8>(), 2048)) {
            let mut sector = fill.clone();
            drop(descriptor(&sector));
            sector[0] = kind;
            sector[1..6].copy_from_slice(b"CD001");
            sector[84] = sector[83];
            sector[128..130].copy_from_slice(&[0, 8]);
            drop(descriptor(&sector));
            drop(catalogue(&fill));
        }
    }
}

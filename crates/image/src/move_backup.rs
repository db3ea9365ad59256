//! The backup of a partition table to the end of the device that an image was written to.
//!
//! A backup that is not in the last sector is one that firmware and kernels do not find, and that partitioning programs
//! complain of. Nothing is encoded again: the bytes of the table stay what they are, and only what says where things
//! are, and the checksums over that, change.
//!
//! Source: UEFI specification 2.10, section 5.3.

use std::{fs::File, io, os::unix::fs::FileExt as _};

use thiserror::Error;

/// Bytes of a header that are read; every revision so far has 92.
const HEADER: usize = 92;
/// The least and the most bytes that entries have together: 128 of 128 bytes, and a bound on what is believed.
const MOST_ENTRIES: u64 = 1 << 20;

/// Where the backup is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MovedBackup {
    /// Bytes of a sector, as the table has it.
    pub sector_size: u64,
    /// Sector of the backup header that there was.
    pub from: u64,
    /// Sector of it now: the last of the device.
    pub to: u64,
}

/// Moves the backup of the GUID partition table of `device` to its end at `size` bytes.
///
/// `None` if there is no table, or if its backup is there already. The old backup is overwritten with zeros, so that
/// nothing finds two of them. What is written is read back and compared.
///
/// # Errors
///
/// If the primary table is damaged, if a partition is where the backup has to go, or if something cannot be read or
/// written.
pub fn move_gpt_backup(device: &File, size: u64) -> Result<Option<MovedBackup>, MoveBackupError> {
    let Some((sector_size, mut primary)) = find(device)? else { return Ok(None) };
    let size_of_header = u64::from(u32_at(&primary, 12));
    let crc = u32_at(&primary, 16);
    if size_of_header < HEADER as u64 || size_of_header > sector_size || crc != header_crc(&primary) {
        return Err(MoveBackupError::Header { at: sector_size });
    }
    let (from, to) = (u64_at(&primary, 32), (size / sector_size).saturating_sub(1));
    if from == to {
        return Ok(None);
    }
    let bytes = u64::from(u32_at(&primary, 80)) * u64::from(u32_at(&primary, 84));
    let sectors = bytes.div_ceil(sector_size);
    let entries_at = u64_at(&primary, 72);
    if bytes == 0 || bytes > MOST_ENTRIES || to < 2 * sectors + 2 {
        return Err(MoveBackupError::Entries { bytes });
    }
    let mut entries = vec![0; (sectors * sector_size) as usize];
    let offset = entries_at.checked_mul(sector_size).ok_or(MoveBackupError::Entries { bytes })?;
    device.read_exact_at(&mut entries, offset)?;
    if crc32fast::hash(&entries[..bytes as usize]) != u32_at(&primary, 88) {
        return Err(MoveBackupError::Header { at: offset });
    }
    let first = to - sectors;
    check_room(&entries[..bytes as usize], u32_at(&primary, 84) as usize, first)?;
    put_u64(&mut primary, 32, to);
    put_u64(&mut primary, 48, first - 1);
    seal(&mut primary);
    let mut backup = primary.clone();
    put_u64(&mut backup, 24, to);
    put_u64(&mut backup, 32, 1);
    put_u64(&mut backup, 72, first);
    seal(&mut backup);
    // The primary comes last: until then, the device is what it was.
    put(device, first * sector_size, &entries)?;
    put(device, to * sector_size, &backup)?;
    device.sync_data()?;
    put(device, sector_size, &primary)?;
    erase(device, from, sectors, first, sector_size)?;
    device.sync_data()?;
    Ok(Some(MovedBackup { sector_size, from, to }))
}

/// Size of a sector and the sector with the primary header.
fn find(device: &File) -> io::Result<Option<(u64, Vec<u8>)>> {
    for sector_size in [512_u64, 4096] {
        let mut header = vec![0; sector_size as usize];
        match device.read_exact_at(&mut header, sector_size) {
            Ok(()) if header.starts_with(b"EFI PART") => return Ok(Some((sector_size, header))),
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// No partition may be where the backup goes.
fn check_room(entries: &[u8], each: usize, first: u64) -> Result<(), MoveBackupError> {
    if each < 48 {
        return Err(MoveBackupError::Entries { bytes: entries.len() as u64 });
    }
    for (number, entry) in (1..).zip(entries.chunks_exact(each)) {
        let last = u64_at(entry, 40);
        if entry[..16].iter().any(|byte| *byte != 0) && last >= first {
            return Err(MoveBackupError::NoRoom { number, last, first });
        }
    }
    Ok(())
}

/// Takes the old backup away, where it is not what the new one is on.
fn erase(
    device: &File,
    from: u64,
    sectors: u64,
    first: u64,
    sector_size: u64,
) -> Result<(), MoveBackupError> {
    let mut header = vec![0; sector_size as usize];
    let Some(offset) = from.checked_mul(sector_size).filter(|_| from > sectors && from < first) else {
        return Ok(());
    };
    if device.read_exact_at(&mut header, offset).is_ok() && header.starts_with(b"EFI PART") {
        header.fill(0);
        put(device, offset, &header)?;
    }
    Ok(())
}

fn put(device: &File, at: u64, bytes: &[u8]) -> Result<(), MoveBackupError> {
    device.write_all_at(bytes, at)?;
    let mut back = vec![0; bytes.len()];
    device.read_exact_at(&mut back, at)?;
    if back == bytes { Ok(()) } else { Err(MoveBackupError::Differs { at }) }
}

fn header_crc(header: &[u8]) -> u32 {
    let size = (u32_at(header, 12) as usize).min(header.len());
    let mut bytes = header[..size].to_vec();
    bytes[16..20].fill(0);
    crc32fast::hash(&bytes)
}

fn seal(header: &mut [u8]) {
    let crc = header_crc(header);
    header[16..20].copy_from_slice(&crc.to_le_bytes());
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn put_u64(bytes: &mut [u8], at: usize, value: u64) {
    bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

/// The backup of a partition table was not moved.
#[derive(Debug, Error)]
pub enum MoveBackupError {
    /// The device.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A checksum is wrong.
    #[error("the partition table at byte {at} has a wrong checksum: write the image again")]
    Header {
        /// Where it is.
        at: u64,
    },
    /// A table of no size that there is.
    #[error("the partition table says that its entries have {bytes} bytes: it has 128 of 128 bytes")]
    Entries {
        /// What it says.
        bytes: u64,
    },
    /// The device ends too early.
    #[error(
        "partition {number} ends at sector {last}, and the backup has to begin at sector {first}: use a bigger device"
    )]
    NoRoom {
        /// The partition.
        number: u32,
        /// Its last sector.
        last: u64,
        /// First sector of the backup.
        first: u64,
    },
    /// The device does not keep what it is given.
    #[error("what was written at byte {at} is something else when it is read: the device is broken")]
    Differs {
        /// Where.
        at: u64,
    },
}

#[cfg(test)]
mod tests;

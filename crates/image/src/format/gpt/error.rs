//! What can be wrong with a partition table.

use std::io;

use thiserror::Error;

use super::{Copy, CopyState};

/// Bytes that are no sound partition table.
#[derive(Debug, Error)]
pub enum GptError {
    /// They could not be read.
    #[error("cannot read the disk")]
    Read(#[source] io::Error),
    /// There is none.
    #[error("there is no GUID partition table: neither at byte 512 nor at byte 4096 stands `EFI PART`")]
    Absent,
    /// The disk's size is impossible.
    #[error("a disk of {len} bytes cannot have a GUID partition table with sectors of {sector_size} bytes")]
    Length {
        /// Bytes of the disk.
        len: u64,
        /// Bytes of a sector.
        sector_size: u64,
    },
    /// Nothing protects it from programs that know no GPT.
    #[error("the first sector is not a protective MBR")]
    NoProtectiveMbr,
    /// One of the two copies is not sound.
    #[error("the {copy} partition table at byte {offset} is damaged: {reason}")]
    Damaged {
        /// Which.
        copy: Copy,
        /// Of its header, in bytes from the start of the disk.
        offset: u64,
        /// How.
        reason: String,
    },
    /// Neither copy can be used.
    #[error("neither copy of the partition table can be used: the primary: {primary}; the backup: {backup}")]
    Unsound {
        /// What is wrong with the copy at the start of the disk.
        primary: CopyState,
        /// What is wrong with the copy at its end.
        backup: CopyState,
    },
    /// Both copies are sound, and not the same.
    #[error("the primary and the backup partition table disagree in {what}, at bytes {primary} and {backup}")]
    Disagree {
        /// In which field.
        what: &'static str,
        /// Where that is in the primary, in bytes from the start of the disk.
        primary: u64,
        /// Where that is in the backup.
        backup: u64,
    },
    /// A partition is not on the disk.
    #[error("partition `{label}`, sectors {first} to {last}, is outside the usable part of the disk")]
    Outside {
        /// Its name.
        label: String,
        /// Its first sector.
        first: u64,
        /// Its last sector.
        last: u64,
    },
    /// Two partitions share sectors.
    #[error("partitions `{one}` and `{other}` overlap")]
    Overlap {
        /// The first.
        one: String,
        /// The second.
        other: String,
    },
}

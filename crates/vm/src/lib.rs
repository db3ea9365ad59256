//! Boot an image and watch it until its checks are decided.
//!
//! - [`Machine`] is what a plan says about a machine, with every default; [`commands`] makes it a QEMU command line.
//! - [`probe`] finds out which accelerator works, by booting a tiny firmware with it.
//! - [`vm`] boots, reads the serial console, talks to the guest's shell, and decides each check: what a guest does is
//!   taken from its machine's events and from framed output with exit codes, never from how something looks.
//! - [`TestVm`] is the same for tests that are written in Rust.
//! - A [`Loader`] stands in for the firmware of a Chromebook: it says which kernel of a disk starts, and how.
//!
//! The image is only read: a guest's writes go to a temporary file that ends with QEMU.
//!
//! ```
//! use bootway_plan::step::{Boot, Machines};
//! use bootway_vm::{AccelKind, Host, Machine, Media, commands};
//!
//! let machine = Machine::resolve(None, &Machines::new(), Boot::Kernel)?;
//! let media = Media { kernel: Some("/boot/vmlinuz".into()), ..Media::default() };
//! let host = Host { accel: AccelKind::Tcg, firmware: None };
//! let line = commands(&machine, Boot::Kernel, &media, &host, "/tmp/vm".into())[0].to_string();
//! assert!(line.starts_with("cd /tmp/vm && TMPDIR=/tmp/vm qemu-system-x86_64 -nodefaults"));
//! assert!(line.ends_with("-kernel /boot/vmlinuz"));
//! # Ok::<(), bootway_vm::MachineError>(())
//! ```
#![forbid(unsafe_code)]

// Tests run an example, which knows this crate by its name.
#[cfg(test)]
extern crate self as bootway_vm;

mod accel;
mod ansi;
mod api;
mod boot;
mod checks;
mod command;
mod console;
mod firmware;
mod guest;
mod keep;
mod keyboard;
mod machine;
mod port;
mod preview;
mod qcow2;
mod qmp;
mod saved;
mod screen;
mod setup;
mod shell;
mod socket;
mod ssh;
mod stage;
mod suite;
mod told;
mod tpm;
mod wake;
mod watcher;

pub use accel::{AccelKind, AccelProbe, probe};
pub use api::{Ran, SavedVm, TestGuest, TestVm};
pub use boot::{Chosen, FirmwareCheck, LastWords, Loader, Looked, Said, VmError, vm};
pub use command::{Host, ImageFile, Media, Memory, commands};
pub use firmware::FirmwareFiles;
pub use keep::{GuestError, Guests, KeepRunner, KeptGuest, keeper, nurse, sweep};
pub use machine::{Machine, MachineError, Timeouts};
pub use preview::preview;
pub use saved::{KeptMachine, kept_machines, remove_kept_machine};

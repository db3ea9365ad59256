//! Commands of a plan: run a program, and take what it was asked to make.
//!
//! [`command()`] runs a [`step::Command`](bootway_plan::step::Command); [`commands()`] says what it would run. A
//! command that ends with code 0 has not succeeded yet: every output that the plan names must be there, be of its
//! kind, and have its size. Nothing is taken from what a program prints.
//!
//! ```
//! use bootway_exec::{Sandbox, SystemRunner};
//! use bootway_plan::step;
//! use bootway_sysroot::command;
//!
//! let step: step::Command = serde_json::from_str(r#"{
//!     "argv": ["sh", "-c", "echo hello > \"$1\"", "sh", "${out}/greeting.txt"],
//!     "outputs": { "greeting": { "path": "greeting.txt", "kind": "text", "min-size": "6B" } }
//! }"#)?;
//! let runner = SystemRunner::default();
//! let sandbox = Sandbox::new(&runner);
//! let outputs = command(&sandbox.cx(), &step)?;
//! assert_eq!(std::fs::read_to_string(&outputs[0].path)?, "hello\n");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod command;
mod difference;
mod error;
mod inside;
mod layer;
mod merge;
mod package;
mod patch;
mod restrict;
mod root;
mod rootfs;

pub use command::{BesideError, CommandError, OutputError, command, commands};
pub use error::RootError;
pub use inside::{Job, Mount, Setup, Trouble, Verdict, enter};
pub use package::{Unpack, edit, package, package_commands};
pub use patch::{Conflict, PatchError, Patched, patch, quilt};
pub use root::{probe, shell};
pub use rootfs::rootfs;

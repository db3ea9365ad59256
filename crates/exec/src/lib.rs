//! The only crate that starts processes.
//!
//! Everything outside this crate describes a program run as a value, a [`Cmd`], and hands it to a [`Runner`]. There
//! are two runners:
//!
//! - [`SystemRunner`] starts it, through `duct`.
//! - [`ScriptedRunner`] plays back canned output and keeps a transcript.
//!
//! A `Runner` has one method, so the fake is small, and everything that is hard about running programs (streaming
//! lines, time limits, silence, cancellation) is written once, in [`run()`], above both.
//!
//! Files are not faked: tests use real ones in a temporary directory.
//!
//! ```
//! use bootway_exec::{Cmd, Sandbox, SystemRunner, run};
//!
//! let runner = SystemRunner::default();
//! let sandbox = Sandbox::new(&runner);
//! let output = run(&sandbox.cx(), &Cmd::user("echo").arg("it works"))?;
//! assert_eq!(output.stdout, b"it works\n");
//! assert_eq!(sandbox.lines(), ["$ echo 'it works'", "it works"]);
//! # Ok::<(), bootway_exec::RunError>(())
//! ```
#![forbid(unsafe_code)]

mod cancel;
mod children;
mod cmd;
mod cx;
mod lines;
mod remove;
mod replace;
mod run;
mod runner;
mod sandbox;
mod scripted;
mod system;
mod tool;

pub use cancel::Cancel;
pub use children::kill_leftovers;
pub use cmd::{Cmd, Program};
pub use cx::{Cx, Input, Inputs, MissingInput, Output as StepOutput};
pub use lines::Lines;
pub use remove::remove_all;
pub use replace::replace;
pub use run::{Ended, Output, RunError, listen, run};
pub use runner::{Exit, Poll, Process, Runner, SpawnError, Usage};
pub use sandbox::Sandbox;
pub use scripted::{Reply, ScriptedRunner};
pub use system::SystemRunner;
pub use tool::{Tool, search_path};

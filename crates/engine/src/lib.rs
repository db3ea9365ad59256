//! A plan and a machine in, an outcome out.
//!
//! The only crate that knows all kinds of steps. It decides what has to run ([`status()`]), runs it in the order of
//! the graph ([`build()`]), believes an output only after it has looked into it, and remembers what it saw in stamps,
//! so that the next run costs what has changed. What nobody needs any more is found by [`garbage()`], and stays until
//! somebody says otherwise.
//!
//! ```
//! use bootway_engine::{Loaded, Machine, Options, Work, build};
//! use bootway_exec::{Cancel, SystemRunner};
//! use bootway_plan::{EventKind, Vars};
//!
//! let dir = tempfile::tempdir()?;
//! let root = camino::Utf8Path::from_path(dir.path()).expect("a UTF-8 path");
//! let text = r#"
//!     format = 1
//!     name = "hello"
//!     epoch = 1735689600
//!     [[phase]]
//!     name = "build"
//!       [[phase.step]]
//!       name = "root"
//!       tree = { edits = [{ write = { path = "etc/motd", text = "hello\n" } }] }
//!       [[phase.step]]
//!       name = "disk"
//!       disk = { partition = [{ label = "ROOT", type = "linux-data", fs = "ext4", content = "root" }] }
//! "#;
//! let loaded = Loaded::from_text(text, root, &Vars::default())?;
//! let session = Work::new(root.join(".bootway/hello")).open()?;
//! let runner = SystemRunner::default();
//! let machine = Machine { runner: &runner, cancel: &Cancel::default(), session: &session, helper: &[] };
//! let outcome = build(&loaded, machine, &Options::default(), &|_| ());
//! assert_eq!(outcome.exit_code(), 0);
//! assert!(root.join(".bootway/hello/out/disk/disk.raw").exists());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod build;
mod chosen;
mod chromebook;
mod difference;
mod digests;
mod dispatch;
mod doctor;
mod enter;
mod evaluated;
mod fetch;
mod gc;
mod inputs;
mod isolated;
mod kept;
mod key;
mod layout;
mod load;
mod looking;
mod outcome;
mod preview;
mod roots;
mod run;
mod schedule;
mod sources;
mod stamp;
mod status;
mod step;
mod tier;
mod tools;
mod watch;
mod work;

pub use bootway_sysroot::enter;
pub use build::{Machine, Options, Seen, build};
pub use chosen::selected;
pub use difference::{BuildDifference, OutputDifference, difference, is_work};
pub use doctor::{Missing, doctor, no_kvm};
pub use enter::{enter_failed, enter_namespace};
pub use fetch::{Downloads, Purpose, downloads};
pub use gc::{Collected, Garbage, Item, Keep, Removed, What, collect, collect_command, garbage};
pub use layout::layouts;
pub use load::Loaded;
pub use outcome::{Outcome, StepEnd};
pub use preview::preview;
pub use roots::{RootProbe, probe_roots};
pub use status::{State, StepStatus, status};
pub use work::{Hold, Session, Work};

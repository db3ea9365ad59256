//! The other side of a root: a program of its own that makes up the root, goes into it, and does one job there.
//!
//! It is the same executable, started once more for each job: only a process without threads can enter a user namespace,
//! and only the first process of a PID namespace takes everything that was started in it along when it ends. What it is to
//! do is a [`Setup`] in a file, how it went a [`Verdict`] in another: nothing is read from what it prints.
//!
//! Sources: `user_namespaces(7)`, `pid_namespaces(7)`, `mount_namespaces(7)`, and the kernel's
//! `Documentation/filesystems/overlayfs.rst`.

mod jobs;
mod mounts;
mod setup;
mod stages;

pub use setup::{Job, Mount, Setup, Trouble, Verdict};
pub use stages::enter;

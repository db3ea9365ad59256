//! Where bytes come from: downloads, archives, Debian packages.
//!
//! - [`fetch()`] downloads a file and verifies its SHA-256.
//! - [`unpack()`] makes a tree of a tar archive or a Debian package.
//! - [`unpack_to()`] copies one that is unpacked once, and kept by its content.
//! - [`debian()`] makes a tree of named Debian packages: resolved once with the archive's signed index, locked,
//!   and from then on the same for everybody.
//! - [`debian_source()`] makes a tree of the source of one, in the same way.
//! - [`download()`] and [`download_debian()`] bring what these need into the cache, for a machine that goes offline.
//!
//! Nothing that comes from outside is believed. Downloads go to a cache by their digest and are verified again each
//! time they are used. Archives are read into a layout of names first, which follows symbolic links inside of itself
//! only, and get their names on disk when all of it is known. No root is needed, and no maintainer script runs: owners,
//! modes and devices are in the tree's [`Manifest`](bootway_plan::Manifest).
//!
//! ```
//! use bootway_exec::{Sandbox, SystemRunner};
//! use bootway_plan::{Digest, step};
//! use bootway_source::fetch;
//!
//! let runner = SystemRunner::default();
//! let sandbox = Sandbox::new(&runner);
//! let file = sandbox.root().join("kernel.config");
//! std::fs::write(&file, "CONFIG_SQUASHFS=y\n")?;
//!
//! let step: step::Fetch = serde_json::from_value(serde_json::json!({
//!     "url": format!("file://{file}"),
//!     "sha256": Digest::of(b"CONFIG_SQUASHFS=y\n"),
//! }))?;
//! let outputs = fetch(&sandbox.cx(), &step)?;
//! assert_eq!(outputs[0].path, sandbox.cx().out.join("kernel.config"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod archive;
mod debian;
mod fetch;
mod lock;
mod meter;
mod store;
#[cfg(test)]
mod test_server;
mod transfer;
mod unpack;
mod unpacked;

pub use archive::{ArchiveError, Fault, InvalidPattern};
pub use debian::{
    DEBIAN_KEYRING, DebianError, DebianFiles, DebianStep, LockError, ResolveError, debian, debian_commands,
    debian_source, download_debian, locked,
};
pub use fetch::{FetchError, download, fetch};
pub use store::{Amount, DownloadError, Fetched};
pub use unpack::{UnpackError, unpack};
pub use unpacked::{remove_unpacked, unpack_to, unpacked_dir, unpacked_key};

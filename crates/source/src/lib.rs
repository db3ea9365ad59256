//! Placeholder.
#![forbid(unsafe_code)]

mod archive;
mod debian;
mod fetch;
mod meter;
mod store;
mod transfer;
mod unpack;

pub use archive::{ArchiveError, Fault, InvalidPattern};
pub use debian::{
    DEBIAN_KEYRING, DebianError, DebianFiles, LockError, ResolveError, debian, debian_commands, locked,
};
pub use fetch::{FetchError, fetch};
pub use store::DownloadError;
pub use unpack::{UnpackError, unpack};

//! Writes and reads squashfs 4.0.
#![forbid(unsafe_code)]

mod cache;
mod codec;
mod format;
mod options;
mod read;
mod tree;
mod write;

pub use codec::{CodecError, Compressor};
pub use options::{BadBlockSize, BlockSize, Options};
pub use tree::{Content, Id, Ident, Kind, Node, Tree, TreeError};

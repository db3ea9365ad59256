//! Writes and reads squashfs 4.0.
#![forbid(unsafe_code)]

mod cache;
mod codec;
mod format;
mod options;
pub mod read;
mod tree;
mod write;

pub use cache::{Cache, CacheError, Usage};
pub use codec::{BadCompressor, Bcj, CodecError, Compressor, Packer};
pub use format::Malformed;
pub use options::{BadBlockSize, BlockSize, Options};
pub use write::{Progress, Summary, Timing, WriteError, Writer};
pub use tree::{
    Content, Counts, Exclude, Id, Ident, Kind, Mask, Member, Node, Piece, Rules, TarError, TarStream, Times,
    Tree, TreeError, Unsupported, Walk, Xattrs,
};

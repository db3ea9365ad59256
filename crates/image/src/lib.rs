//! Bytes on disk.
#![forbid(unsafe_code)]

mod compress;
mod format;
mod initramfs;
mod modules;
mod progress;
mod tree;

pub use initramfs::{InitramfsError, initramfs};
pub use modules::ModulesError;
pub use tree::{Content, Node, NodeKind, Tree, TreeError, tree, write};

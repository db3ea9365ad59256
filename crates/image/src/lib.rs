//! Bytes on disk.
#![forbid(unsafe_code)]

mod progress;
mod tree;

pub use tree::{Content, Node, NodeKind, Tree, TreeError, tree, write};

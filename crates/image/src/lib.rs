//! Bytes on disk.
#![forbid(unsafe_code)]

mod tree;

pub use tree::{Content, Node, NodeKind, Tree, TreeError};

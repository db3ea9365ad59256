//! A tree of files in memory: what a file system will hold.
//!
//! Contents stay where they are until they are written to their final place: a node of a regular file says where its
//! bytes can be read.

use std::{collections::BTreeMap, sync::Arc};

use bootway_plan::TreePath;
use camino::Utf8PathBuf;

/// A tree of files, by path; the root is a node too. Parents sort before what is in them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    /// By path.
    pub nodes: BTreeMap<TreePath, Node>,
}

/// One file of a tree, of whatever kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Permission bits, 0 to 0o7777.
    pub mode: u16,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Extended attributes by full name.
    pub xattrs: BTreeMap<String, Vec<u8>>,
    /// What it is.
    pub kind: NodeKind,
}

/// What a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeKind {
    /// A directory.
    Directory,
    /// A regular file.
    File(Content),
    /// Another name of the regular file at this path, which sorts before it.
    HardLink {
        /// The first name.
        to: TreePath,
    },
    /// A symbolic link.
    Symlink {
        /// What it says.
        target: String,
    },
    /// A character device.
    CharDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

/// Where the bytes of a regular file are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// In memory.
    Bytes(Arc<[u8]>),
    /// In a file of the host.
    File {
        /// Which.
        path: Utf8PathBuf,
        /// Its size in bytes; a file that has changed since is an error, not a surprise.
        size: u64,
    },
}

impl Content {
    /// Bytes.
    pub fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { size, .. } => *size,
        }
    }
}

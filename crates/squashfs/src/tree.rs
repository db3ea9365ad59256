//! What an image will hold, in memory: files with owners, modes and times; contents stay where they are.

use std::{
    collections::BTreeMap,
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};

use thiserror::Error;

/// A file of the tree, whatever its names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(u32);

impl Id {
    /// Its place in [`Tree::nodes`].
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A tree of files. The root is [`Tree::ROOT`], a directory, from the beginning.
#[derive(Clone, Debug)]
pub struct Tree {
    nodes: Vec<Node>,
}

/// A file of whatever kind; what names it has is in the directories.
#[derive(Clone, Debug)]
pub struct Node {
    /// Permission bits, 0 to 0o7777.
    pub mode: u16,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// When it was changed, seconds since 1970.
    pub mtime: u32,
    /// Extended attributes by full name, such as `security.capability`.
    pub xattrs: BTreeMap<Box<[u8]>, Box<[u8]>>,
    /// What it is.
    pub kind: Kind,
}

/// What a file is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// A directory: names, 1 to 256 bytes each, and what they name.
    Directory(BTreeMap<Box<[u8]>, Id>),
    /// A regular file.
    File(Content),
    /// A symbolic link, and what it says: 1 to 65,535 bytes.
    Symlink(Box<[u8]>),
    /// A character device.
    CharDevice {
        /// Major number, 0 to 4095.
        major: u32,
        /// Minor number, 0 to 1,048,575.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Major number, 0 to 4095.
        major: u32,
        /// Minor number, 0 to 1,048,575.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

/// Where the bytes of a regular file are.
#[derive(Clone, Debug)]
pub enum Content {
    /// In memory.
    Bytes(Arc<[u8]>),
    /// All of a file of the host.
    File {
        /// Which.
        path: Box<Path>,
        /// What it was when the tree was made; a file that has changed since is an error, not a surprise.
        ident: Ident,
    },
    /// A part of an open file, such as a member of a tar archive.
    Part {
        /// Which.
        file: Arc<File>,
        /// Where its bytes begin.
        offset: u64,
        /// How many there are.
        size: u64,
    },
}

impl Content {
    /// Bytes.
    pub fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { ident, .. } => ident.size,
            Self::Part { size, .. } => *size,
        }
    }
}

/// What tells that a file of the host has not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ident {
    /// Device.
    pub dev: u64,
    /// Inode.
    pub ino: u64,
    /// Bytes.
    pub size: u64,
    /// When its content was changed, nanoseconds since 1970.
    pub mtime: i128,
    /// When its inode was changed, nanoseconds since 1970.
    pub ctime: i128,
}

impl Tree {
    /// The root directory.
    pub const ROOT: Id = Id(0);

    /// Every file; the root is the first.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The file of that number.
    pub fn node(&self, id: Id) -> &Node {
        &self.nodes[id.index()]
    }
}

/// Names what a tree cannot hold, or what cannot be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TreeError {
    /// A file of the host.
    #[error("cannot read `{}`: {error}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
}

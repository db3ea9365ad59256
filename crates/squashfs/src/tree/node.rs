//! A file of a tree: what it is, and where its bytes are.

use std::{collections::BTreeMap, fs::File, path::Path, sync::Arc};

use super::{Id, Piece};

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
    /// A symbolic link, and what it says: 1 to 4095 bytes, since Linux reads no more.
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
    /// Parts of an open file with holes between them: a sparse member of a tar archive.
    Pieces {
        /// Which.
        file: Arc<File>,
        /// What is not a hole: ascending, none overlaps another.
        pieces: Arc<[Piece]>,
        /// Bytes of all of it, holes too.
        size: u64,
    },
    /// They went by in a [`TarStream`](crate::TarStream): who read them there knows where they are now.
    Streamed {
        /// How many there were.
        size: u64,
    },
}

impl Content {
    /// Bytes.
    pub fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { ident, .. } => ident.size,
            Self::Part { size, .. } | Self::Pieces { size, .. } | Self::Streamed { size } => *size,
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

impl Node {
    /// A file that is `kind`, owned by root, changed in 1970, without extended attributes.
    pub const fn new(mode: u16, kind: Kind) -> Self {
        Self { mode, uid: 0, gid: 0, mtime: 0, xattrs: BTreeMap::new(), kind }
    }

    /// An empty directory.
    pub const fn directory(mode: u16) -> Self {
        Self::new(mode, Kind::Directory(BTreeMap::new()))
    }

    /// A regular file with its content.
    pub fn file(mode: u16, content: impl Into<Arc<[u8]>>) -> Self {
        Self::new(mode, Kind::File(Content::Bytes(content.into())))
    }

    /// A symbolic link. Linux shows all of them with mode 0777.
    pub fn symlink(target: impl AsRef<[u8]>) -> Self {
        Self::new(0o777, Kind::Symlink(target.as_ref().into()))
    }

    /// With this owner and group.
    #[must_use]
    pub const fn owner(mut self, uid: u32, gid: u32) -> Self {
        self.uid = uid;
        self.gid = gid;
        self
    }

    /// Changed then, seconds since 1970.
    #[must_use]
    pub const fn mtime(mut self, mtime: u32) -> Self {
        self.mtime = mtime;
        self
    }

    /// With this extended attribute, whose name is whole: `user.comment`.
    #[must_use]
    pub fn xattr(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.xattrs.insert(name.as_ref().into(), value.as_ref().into());
        self
    }

    /// Whether it is a directory.
    pub const fn is_directory(&self) -> bool {
        matches!(self.kind, Kind::Directory(_))
    }
}

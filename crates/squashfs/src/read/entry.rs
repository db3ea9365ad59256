//! The files of an image, one after the other.

use std::{
    collections::HashSet,
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use super::{Body, Cursor, Image, InodeRef, Listed, Listing, ReadError, Type};
use crate::format::inode::device;

/// Directories in each other; Linux has no path of more than 4096 bytes, and so half as many.
pub(crate) const DEPTH_MAX: usize = 2048;

/// A file of an image, under one of its names.
#[derive(Clone, Debug)]
pub struct Entry {
    pub(super) path: PathBuf,
    pub(super) stat: Stat,
    pub(super) inode: InodeRef,
    pub(super) xattrs: Option<u32>,
}

impl Entry {
    /// From the root, which is the empty path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the image says of it.
    pub fn stat(&self) -> &Stat {
        &self.stat
    }
}

/// What an image says of a file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Stat {
    /// Its number: names of the same number are the same file.
    pub inode: u32,
    /// What it is.
    pub what: What,
    /// Permission bits, 0 to 0o7777.
    pub mode: u16,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// When it was changed, seconds since 1970.
    pub mtime: u32,
    /// How many names it has.
    pub links: u32,
}

/// What a file is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum What {
    /// A directory.
    Directory,
    /// A regular file.
    File {
        /// Bytes.
        size: u64,
    },
    /// A symbolic link.
    Symlink {
        /// What it says, 1 to 65,535 bytes.
        target: Box<[u8]>,
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

impl What {
    pub(super) fn of(body: &Body) -> Self {
        match body {
            Body::Directory(_) => Self::Directory,
            Body::File(file) => Self::File { size: file.size },
            Body::Symlink { target } => Self::Symlink { target: target.clone() },
            Body::CharDevice(number) => {
                let (major, minor) = device::decode(*number);
                Self::CharDevice { major, minor }
            }
            Body::BlockDevice(number) => {
                let (major, minor) = device::decode(*number);
                Self::BlockDevice { major, minor }
            }
            Body::Fifo => Self::Fifo,
            Body::Socket => Self::Socket,
        }
    }

    fn kind(&self) -> Type {
        match self {
            Self::Directory => Type::Directory,
            Self::File { .. } => Type::File,
            Self::Symlink { .. } => Type::Symlink,
            Self::CharDevice { .. } => Type::CharDevice,
            Self::BlockDevice { .. } => Type::BlockDevice,
            Self::Fifo => Type::Fifo,
            Self::Socket => Type::Socket,
        }
    }
}

/// Every file of an image: see [`Image::entries`]. After an error there are no more.
///
/// It ends, whatever the image says: no directory is entered twice, and the listings have together no more bytes than
/// the table that they are in.
pub struct Entries<'a> {
    image: &'a Image,
    state: State,
    open: Vec<Open<'a>>,
    path: PathBuf,
    entered: HashSet<InodeRef>,
    /// Bytes that listings may have from here on.
    left: u64,
}

enum State {
    Root,
    Inside,
    Done,
}

struct Open<'a> {
    listing: Listing,
    cursor: Cursor<'a>,
}

impl<'a> Entries<'a> {
    pub(super) fn new(image: &'a Image) -> Self {
        let packed = image.tables.directories_end - image.tables.directories;
        Self {
            image,
            state: State::Root,
            open: Vec::new(),
            path: PathBuf::new(),
            entered: HashSet::new(),
            // A block has three bytes at least, and 8192 unpacked at most.
            left: packed.div_ceil(3).saturating_mul(8192),
        }
    }

    /// How many directories the last entry is in: 0 for the root and 1 for what is in it.
    pub(crate) fn depth(&self) -> usize {
        self.path.components().count()
    }

    fn step(&mut self) -> Result<Option<Entry>, ReadError> {
        if let State::Root = self.state {
            self.state = State::Inside;
            let root = self.image.entry_at(PathBuf::new(), self.image.superblock.root)?;
            if root.stat.what != What::Directory {
                return Err(ReadError::NotADirectory);
            }
            self.enter(&root)?;
            return Ok(Some(root));
        }
        // The path is that of the last entry; if that was a directory, it is open now.
        while let Some(last) = self.open.last_mut() {
            if let Some(listed) = last.listing.next(&mut last.cursor)? {
                return self.found(&listed).map(Some);
            }
            self.open.pop();
        }
        Ok(None)
    }

    fn found(&mut self, listed: &Listed) -> Result<Entry, ReadError> {
        while self.depth() >= self.open.len() {
            self.path.pop();
        }
        self.path.push(OsStr::from_bytes(&listed.name));
        let entry = self.image.entry_at(self.path.clone(), listed.inode)?;
        if entry.stat.what.kind() != listed.kind {
            return Err(ReadError::Kind);
        }
        if entry.stat.what == What::Directory {
            self.enter(&entry)?;
        }
        Ok(entry)
    }

    fn enter(&mut self, entry: &Entry) -> Result<(), ReadError> {
        if !self.entered.insert(entry.inode) {
            return Err(ReadError::DirectoryTwice);
        }
        if self.open.len() >= DEPTH_MAX {
            return Err(ReadError::TooDeep { limit: DEPTH_MAX });
        }
        let (inode, _) = self.image.inode(entry.inode)?;
        let Body::Directory(directory) = &inode.body else { return Err(ReadError::Kind) };
        let Some(left) = self.left.checked_sub(directory.size.into()) else {
            let rule = "the listings have more bytes together than their table";
            return Err(crate::Malformed::value("the size of a directory", directory.size, rule).into());
        };
        self.left = left;
        let (listing, cursor) = self.image.listing(directory);
        self.open.push(Open { listing, cursor });
        Ok(())
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<Entry, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let State::Done = self.state {
            return None;
        }
        match self.step() {
            Ok(Some(entry)) => Some(Ok(entry)),
            Ok(None) => {
                self.state = State::Done;
                None
            }
            Err(error) => {
                self.state = State::Done;
                Some(Err(error.at(&self.path)))
            }
        }
    }
}

impl std::fmt::Debug for Entries<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entries").field("path", &self.path).finish_non_exhaustive()
    }
}

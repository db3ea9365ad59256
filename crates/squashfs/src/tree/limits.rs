//! What the format can hold.
//!
//! Source: squashfs-tools-ng, `doc/format.adoc`; Linux, `fs/squashfs/squashfs_fs.h` (`SQUASHFS_NAME_LEN`),
//! `include/linux/kdev_t.h` (`new_encode_dev`), `include/uapi/linux/limits.h` (`XATTR_NAME_MAX`, `XATTR_SIZE_MAX`).

use std::{
    io,
    path::{Path, PathBuf},
};

use thiserror::Error;

use super::{Id, Kind, Node, archive};

const NAME: usize = 256;
/// The format has 65,535; Linux makes none of more than this, and since 6.11 reads none of more than a page.
const TARGET: usize = 4095;
/// The superblock counts them in 16 bits.
const OWNERS: usize = 65_535;
/// Every block of a file has an entry in a table, holes too: these are 512 MiB of entries with blocks of 128 KiB.
const SIZE: u64 = 1 << 44;
const NODES: usize = u32::MAX as usize - 1;
const XATTR_NAME: usize = 255;
const XATTR_VALUE: usize = 65_536;
const MAJOR: u32 = (1 << 12) - 1;
const MINOR: u32 = (1 << 20) - 1;
/// What the names of extended attributes can begin with.
const PREFIXES: [&[u8]; 3] = [b"user.", b"trusted.", b"security."];

/// Names what a tree cannot hold, or what cannot be read.
///
/// Paths of type [`String`] are those in the tree, for people: bytes that are not UTF-8 are replaced.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TreeError {
    /// A file of the host.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// A file of the host is not what it was when the tree was made.
    #[error("`{}` changed while it was read ({what}): build again when nothing writes to it", path.display())]
    Changed {
        /// Which.
        path: PathBuf,
        /// What is different, such as "it had 5 bytes and has 3".
        what: String,
    },
    /// Somebody asked to stop.
    #[error("stopped")]
    Cancelled,
    /// The root has to be an empty directory.
    #[error("the root is not an empty directory: make it one and put files in by their paths")]
    Root,
    /// Two sources are called the same.
    #[error("two sources are called `{name}`: rename one, or put both into one directory")]
    Twice {
        /// Their last name.
        name: String,
    },
    /// A source has no last name, such as `..`, and is not alone.
    #[error("`{}` has no name of its own: give it by its name when there are several sources", path.display())]
    Unnamed {
        /// Which.
        path: PathBuf,
    },
    /// A name is too long.
    #[error("the name of `{path}` has {length} bytes, squashfs holds {NAME}: rename it or leave it out")]
    LongName {
        /// Which, cut in the middle.
        path: String,
        /// Bytes.
        length: usize,
    },
    /// A name that no file system has.
    #[error("`{path}` has {what} in it, which is no name of a file: rename it")]
    BadName {
        /// Which.
        path: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// What a symbolic link says.
    #[error(
        "the symbolic link `{path}` says {length} bytes, squashfs holds 1 to {TARGET}: make it shorter or leave it out"
    )]
    Target {
        /// Which.
        path: String,
        /// Bytes.
        length: usize,
    },
    /// A regular file is too large.
    #[error("`{path}` has {size} bytes, which is more than the {SIZE} that are taken here: leave it out")]
    Large {
        /// Which.
        path: String,
        /// Bytes, holes too.
        size: u64,
    },
    /// A device number.
    #[error("the device `{path}` is {major}:{minor}, squashfs holds up to {MAJOR}:{MINOR}: leave it out")]
    Device {
        /// Which.
        path: String,
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// Permission bits.
    #[error("the mode of `{path}` is {mode:#o}, squashfs holds 0 to 0o7777: give only permission bits")]
    Mode {
        /// Which.
        path: String,
        /// As it was given.
        mode: u16,
    },
    /// There are too many owners and groups.
    #[error(
        "`{path}` has the {count}th different owner or group, squashfs holds {OWNERS}: set owners by a rule"
    )]
    Owners {
        /// Which brought one too many.
        path: String,
        /// How many there would be.
        count: usize,
    },
    /// An extended attribute of a kind that the format has no number for.
    #[error(
        "`{path}` has the extended attribute `{name}`, squashfs holds `user.`, `trusted.` and `security.`: drop such attributes by a rule"
    )]
    XattrKind {
        /// Which.
        path: String,
        /// The attribute.
        name: String,
    },
    /// An extended attribute is too big, or nameless.
    #[error(
        "the extended attribute `{name}` of `{path}` has a name of {named} and a value of {length} bytes, squashfs holds {XATTR_NAME} and {XATTR_VALUE}: remove it"
    )]
    XattrSize {
        /// Which.
        path: String,
        /// The attribute, cut in the middle.
        name: String,
        /// Bytes of the name.
        named: usize,
        /// Bytes of the value.
        length: usize,
    },
    /// A time before 1970 or after 2106.
    #[error(
        "`{path}` was changed {mtime} s after 1970-01-01, squashfs holds 0 to {}: set or clamp times by a rule",
        u32::MAX
    )]
    Time {
        /// Which.
        path: String,
        /// Seconds.
        mtime: i128,
    },
    /// There are too many files.
    #[error("`{path}` is file number {count}, squashfs holds {NODES}: make two images")]
    TooMany {
        /// Which is one too many.
        path: String,
        /// How many there would be.
        count: usize,
    },
    /// Something on the way is no directory.
    #[error("`{path}` cannot be put into `{name}`, which is no directory: name the directory itself")]
    NotADirectory {
        /// What was to be put there.
        path: String,
        /// The last name of what is in the way.
        name: String,
    },
    /// A directory that is not empty would be replaced, or put in.
    #[error(
        "`{path}` is a directory with files in it: put in directories empty, and take files out before it is replaced"
    )]
    Filled {
        /// Which.
        path: String,
    },
    /// A directory can have one name only.
    #[error("`{path}` cannot be a hard link to a directory: make it a symbolic link")]
    LinkedDirectory {
        /// The new name.
        path: String,
    },
    /// An archive cannot be read.
    #[error(transparent)]
    Archive(#[from] archive::TarError),
}

impl TreeError {
    pub(super) fn read(path: &Path, error: impl Into<io::Error>) -> Self {
        Self::Read { path: path.to_owned(), error: error.into() }
    }

    pub(super) fn filled(path: &[u8]) -> Self {
        Self::Filled { path: readable(path) }
    }

    pub(super) fn linked_directory(path: &[u8]) -> Self {
        Self::LinkedDirectory { path: readable(path) }
    }

    pub(super) fn not_a_directory(path: &[u8], name: &[u8]) -> Self {
        Self::NotADirectory { path: readable(path), name: readable(name) }
    }
}

/// A path for people: all of it if it is short, both ends if not, and nothing that moves a terminal's cursor.
pub(super) fn readable(path: &[u8]) -> String {
    const SHOWN: usize = 200;
    let text = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        let plain = |c: char| if c.is_control() { c.escape_default().collect() } else { String::from(c) };
        if text.contains(char::is_control) { text.chars().map(plain).collect() } else { text.into_owned() }
    };
    if path.len() <= SHOWN {
        text(path)
    } else {
        text(&path[..SHOWN / 2]) + "…" + &text(&path[path.len() - SHOWN / 2..])
    }
}

/// Whether the format can hold a file, whatever its name.
pub(super) fn check(path: &[u8], node: &Node) -> Result<(), TreeError> {
    if node.mode > 0o7777 {
        return Err(TreeError::Mode { path: readable(path), mode: node.mode });
    }
    match node.kind {
        Kind::Symlink(ref target) if target.is_empty() || target.len() > TARGET => {
            return Err(TreeError::Target { path: readable(path), length: target.len() });
        }
        Kind::File(ref content) if content.size() > SIZE => {
            return Err(TreeError::Large { path: readable(path), size: content.size() });
        }
        Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor }
            if major > MAJOR || minor > MINOR =>
        {
            return Err(TreeError::Device { path: readable(path), major, minor });
        }
        _ => {}
    }
    node.xattrs.iter().try_for_each(|(name, value)| xattr(path, name, value.len()))
}

/// Whether the format can hold an extended attribute.
pub(super) fn xattr(path: &[u8], name: &[u8], length: usize) -> Result<(), TreeError> {
    let Some(rest) = PREFIXES.iter().find_map(|prefix| name.strip_prefix(*prefix)) else {
        return Err(TreeError::XattrKind { path: readable(path), name: readable(name) });
    };
    if rest.is_empty() || name.len() > XATTR_NAME || length > XATTR_VALUE {
        let (path, named) = (readable(path), name.len());
        return Err(TreeError::XattrSize { path, name: readable(name), named, length });
    }
    Ok(())
}

/// Whether a file can be called that.
pub(super) fn name(path: &[u8], name: &[u8]) -> Result<(), TreeError> {
    let bad = |what| Err(TreeError::BadName { path: readable(path), what });
    match name {
        b"" => bad("an empty name"),
        b"." => bad("`.`"),
        b".." => bad("`..`"),
        name if name.contains(&b'/') => bad("a `/`"),
        name if name.contains(&0) => bad("a NUL"),
        name if name.len() > NAME => Err(TreeError::LongName { path: readable(path), length: name.len() }),
        _ => Ok(()),
    }
}

/// The number of the next file, after `count`.
pub(super) fn next_id(path: &[u8], count: usize) -> Result<Id, TreeError> {
    match u32::try_from(count) {
        Ok(id) if count < NODES => Ok(Id(id)),
        _ => Err(TreeError::TooMany { path: readable(path), count: count.saturating_add(1) }),
    }
}

/// Whether there can be `count` owners.
pub(super) fn owners(path: &[u8], count: usize) -> Result<(), TreeError> {
    if count > OWNERS { Err(TreeError::Owners { path: readable(path), count }) } else { Ok(()) }
}

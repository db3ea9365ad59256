//! What owners, modes and times become on the way into a tree.

use std::{collections::BTreeSet, fmt, sync::Arc};

use super::{
    Kind, Made, Node, Tree,
    limits::{self, TreeError, readable},
};

/// What owners, modes, times and extended attributes become when a tree is read, and what is left out of it.
///
/// The default keeps everything that the format holds. With owners set, nobody has to be root:
///
/// ```
/// use bootway_squashfs::{Rules, Times, Tree};
///
/// let rules = Rules { uid: Some(0), gid: Some(0), times: Times::AtMost(1_735_689_600), ..Rules::default() };
/// let tree = Tree::scan("src", &rules, &mut Tree::unwatched())?;
/// assert!(tree.nodes().iter().all(|node| node.uid == 0 && node.mtime <= 1_735_689_600));
/// # Ok::<(), bootway_squashfs::TreeError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// The owner of everything; kept if not given.
    pub uid: Option<u32>,
    /// The group of everything; kept if not given.
    pub gid: Option<u32>,
    /// What becomes of the modes of directories.
    pub directories: Mask,
    /// What becomes of the modes of all other files. A symbolic link's is always 0777.
    pub files: Mask,
    /// What becomes of times.
    pub times: Times,
    /// What becomes of extended attributes.
    pub xattrs: Xattrs,
    /// What becomes of extended attributes that the format cannot hold, such as `system.posix_acl_access`.
    pub unsupported: Unsupported,
    /// What is left out.
    pub exclude: Exclude,
    /// Files of the host, by device and inode, that are left out: the image that is being written, the cache.
    pub skip: BTreeSet<(u64, u64)>,
    /// Whether directories on which other file systems are mounted stay empty.
    pub one_file_system: bool,
}

/// What becomes of a mode: `mode & keep | add`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mask {
    /// Bits that stay.
    pub keep: u16,
    /// Bits that are added.
    pub add: u16,
}

impl Mask {
    /// The same mode for all.
    pub const fn set(mode: u16) -> Self {
        Self { keep: 0, add: mode }
    }

    const fn apply(self, mode: u16) -> u16 {
        (mode & self.keep | self.add) & 0o7777
    }
}

impl Default for Mask {
    fn default() -> Self {
        Self { keep: 0o7777, add: 0 }
    }
}

/// What becomes of the time when a file was changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Times {
    /// It stays; one that the format cannot hold is an error.
    #[default]
    Keep,
    /// It is this one, seconds since 1970.
    Set(u32),
    /// It stays, unless it is later: then it is this one. One before 1970 becomes 1970.
    AtMost(u32),
}

impl Times {
    /// A time by the rule.
    fn apply(self, path: &[u8], mtime: i128) -> Result<u32, TreeError> {
        match self {
            Self::Keep => u32::try_from(mtime).map_err(|_| TreeError::Time { path: readable(path), mtime }),
            Self::Set(time) => Ok(time),
            Self::AtMost(time) => Ok(u32::try_from(mtime.max(0)).map_or(time, |mtime| mtime.min(time))),
        }
    }

    /// The time of a directory that nothing describes: that of the rule, or 1970.
    const fn made(self) -> u32 {
        match self {
            Self::Keep => 0,
            Self::Set(time) | Self::AtMost(time) => time,
        }
    }
}

/// What becomes of extended attributes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Xattrs {
    /// They stay.
    #[default]
    Keep,
    /// They are not looked at.
    None,
}

/// What becomes of extended attributes that the format cannot hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unsupported {
    /// They are left out, each with a line in [`Tree::notes`].
    #[default]
    Drop,
    /// They are an error.
    Refuse,
}

/// What is left out: a question that is asked of every path in the tree, without a `/` before it. What is in a
/// directory that is left out is left out, too.
///
/// ```
/// use bootway_squashfs::Exclude;
///
/// let exclude = Exclude::new(|path| path.ends_with(b".pyc") || path == b"var/cache");
/// assert!(exclude.has(b"var/cache"));
/// assert!(!Exclude::default().has(b"var/cache"));
/// ```
#[derive(Clone, Default)]
pub struct Exclude(Option<Question>);

type Question = Arc<dyn Fn(&[u8]) -> bool + Send + Sync>;

impl Exclude {
    /// Asks `question`.
    pub fn new(question: impl Fn(&[u8]) -> bool + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(question)))
    }

    /// Whether that path is left out, all of its parents being in the tree.
    pub fn has(&self, path: &[u8]) -> bool {
        self.0.as_ref().is_some_and(|question| question(path))
    }

    /// Whether that path or one of its parents is left out.
    pub(super) fn has_any(&self, path: &[u8]) -> bool {
        self.0.is_some()
            && (self.has(path)
                || path.iter().enumerate().any(|(at, byte)| *byte == b'/' && self.has(&path[..at])))
    }
}

impl fmt::Debug for Exclude {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Exclude(..)" } else { "Exclude(nothing)" })
    }
}

impl Rules {
    /// A file by the rules; `mtime` is in seconds since 1970.
    pub(super) fn apply(&self, path: &[u8], node: Node, mtime: i128) -> Result<Node, TreeError> {
        let mask = match node.kind {
            Kind::Directory(_) => self.directories,
            Kind::Symlink(_) => Mask::set(0o777),
            _ => self.files,
        };
        Ok(Node {
            mode: mask.apply(node.mode),
            uid: self.uid.unwrap_or(node.uid),
            gid: self.gid.unwrap_or(node.gid),
            mtime: self.times.apply(path, mtime)?,
            ..node
        })
    }

    /// Whether an extended attribute is to be kept; one that the format cannot hold is noted in `tree`.
    pub(super) fn keeps(&self, tree: &mut Tree, path: &[u8], name: &[u8]) -> Result<bool, TreeError> {
        if self.xattrs == Xattrs::None {
            return Ok(false);
        }
        match limits::xattr(path, name, 0) {
            Err(TreeError::XattrKind { path, name }) if self.unsupported == Unsupported::Drop => {
                tree.notes.push(format!(
                    "`{path}` loses the extended attribute `{name}`, which squashfs cannot hold"
                ));
                Ok(false)
            }
            other => other.map(|()| true),
        }
    }

    /// What directories are like that nothing describes: mode 0755, root's unless a rule says otherwise.
    pub(super) fn made(&self) -> Made {
        Made {
            uid: self.uid.unwrap_or(0),
            gid: self.gid.unwrap_or(0),
            mode: self.directories.apply(0o755),
            mtime: self.times.made(),
        }
    }

    /// A tree of such a directory.
    pub(super) fn root(&self) -> Tree {
        let made = self.made();
        let root = Node::directory(made.mode).owner(made.uid, made.gid).mtime(made.mtime);
        Tree { made, ..Tree::of(root) }
    }
}

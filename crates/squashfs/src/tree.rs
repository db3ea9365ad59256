//! What an image will hold, in memory: files with owners, modes and times; contents stay where they are.
//!
//! A [`Tree`] is made by [`Tree::scan`] of directories, from a tar archive ([`Tree::from_tar`], [`TarStream`]), or
//! file by file with [`Tree::insert`]. Whatever made it, everything in it fits into the format: what does not is
//! refused when it is put in, with its path. [`Rules`] set owners, modes and times on the way, so that nobody has to
//! be root.

use std::collections::{BTreeMap, HashSet};

mod archive;
mod content;
mod limits;
mod node;
mod rules;
mod scan;
mod walk;

pub use archive::{Member, TarError, TarStream};
pub(crate) use content::Opened;
pub use content::Piece;
pub use limits::TreeError;
pub use node::{Content, Ident, Kind, Node};
pub use rules::{Exclude, Mask, Rules, Times, Unsupported, Xattrs};
pub use walk::{Counts, Walk};

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
///
/// Paths in it are bytes with `/` between names. Where it begins, where it ends and where two follow each other, a
/// `/` means nothing; the empty path is the root.
///
/// ```
/// use bootway_squashfs::{Node, Tree};
///
/// let mut tree = Tree::default();
/// let busybox = tree.insert("bin/busybox", Node::file(0o755, *b"\x7fELF"))?;
/// tree.link("bin/sh", busybox)?;
/// tree.insert("init", Node::symlink("bin/sh"))?;
///
/// assert_eq!(tree.find("bin/sh"), Some(busybox));
/// assert_eq!(tree.links(busybox), 2);
/// let mut walk = tree.walk();
/// let mut paths = Vec::new();
/// while let Some((path, _)) = walk.next() {
///     paths.push(String::from_utf8_lossy(path).into_owned());
/// }
/// assert_eq!(paths, ["", "bin", "bin/busybox", "bin/sh", "init"]);
/// # Ok::<(), bootway_squashfs::TreeError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Tree {
    nodes: Vec<Node>,
    /// How many names each has; the root has one.
    links: Vec<u32>,
    /// Every owner and group there has been.
    owners: HashSet<u32>,
    /// What directories are like that nobody described.
    made: Made,
    notes: Vec<String>,
}

/// What a directory is like that is only there because something is in it.
#[derive(Clone, Copy, Debug)]
struct Made {
    uid: u32,
    gid: u32,
    mode: u16,
    mtime: u32,
}

impl Default for Tree {
    /// An empty root directory of mode 0755, owned by root, changed in 1970.
    fn default() -> Self {
        Self::of(Node::directory(0o755))
    }
}

impl Tree {
    /// The root directory.
    pub const ROOT: Id = Id(0);

    /// A tree with that root, an empty directory.
    ///
    /// Directories that are only there because something was put into them have the root's owner, group and time,
    /// and mode 0755.
    pub fn new(root: Node) -> Result<Self, TreeError> {
        limits::check(b"", &root)?;
        match &root.kind {
            Kind::Directory(names) if names.is_empty() => Ok(Self::of(root)),
            _ => Err(TreeError::Root),
        }
    }

    fn of(root: Node) -> Self {
        Self {
            owners: HashSet::from([root.uid, root.gid]),
            made: Made { uid: root.uid, gid: root.gid, mode: 0o755, mtime: root.mtime },
            nodes: vec![root],
            links: vec![1],
            notes: Vec::new(),
        }
    }

    /// Every file; the root is the first. A file that was replaced is still here, with no [`Tree::links`].
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The file of that number.
    pub fn node(&self, id: Id) -> &Node {
        &self.nodes[id.index()]
    }

    /// What was left out, and why: one line each, to be shown.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// How many names a file has. A directory has one in its parent, its own `.`, and each `..` in it.
    pub fn links(&self, id: Id) -> u32 {
        match &self.node(id).kind {
            Kind::Directory(names) if self.links[id.index()] > 0 => {
                2 + names.values().filter(|id| self.node(**id).is_directory()).count() as u32
            }
            _ => self.links[id.index()],
        }
    }

    /// The file of that path. Symbolic links are not followed.
    pub fn find(&self, path: impl AsRef<[u8]>) -> Option<Id> {
        names(path.as_ref()).try_fold(Self::ROOT, |at, name| self.names(at)?.get(name).copied())
    }

    /// Puts a file into the tree.
    ///
    /// Directories on the way that are missing are made. A file of that path that was there before is replaced, as
    /// a later member of a tar archive replaces an earlier one; a directory keeps what is in it, and becomes
    /// like `node`.
    ///
    /// # Errors
    ///
    /// If the format cannot hold it; if something on the way is no directory; if a directory that is not empty would
    /// have to make way for something else, or if `node` is one.
    pub fn insert(&mut self, path: impl AsRef<[u8]>, node: Node) -> Result<Id, TreeError> {
        let path = path.as_ref();
        limits::check(path, &node)?;
        if let Kind::Directory(names) = &node.kind
            && !names.is_empty()
        {
            return Err(TreeError::filled(path));
        }
        self.count_owners(path, &node)?;
        let Some((parent, name)) = self.place(path)? else {
            return if node.is_directory() {
                self.become_like(Self::ROOT, node);
                Ok(Self::ROOT)
            } else {
                Err(TreeError::Root)
            };
        };
        match self.names(parent).and_then(|names| names.get(name)).copied() {
            Some(old) if node.is_directory() && self.node(old).is_directory() => {
                self.become_like(old, node);
                Ok(old)
            }
            old => {
                self.unlink(path, old)?;
                let id = self.push(path, node)?;
                self.enter(parent, name, id);
                Ok(id)
            }
        }
    }

    /// Gives a file one more name, as `ln` does. What had that name before is replaced.
    ///
    /// # Errors
    ///
    /// If the file is a directory, and for the same reasons as [`Tree::insert`].
    pub fn link(&mut self, path: impl AsRef<[u8]>, id: Id) -> Result<(), TreeError> {
        let path = path.as_ref();
        if self.node(id).is_directory() {
            return Err(TreeError::linked_directory(path));
        }
        let Some((parent, name)) = self.place(path)? else {
            return Err(TreeError::Root);
        };
        let old = self.names(parent).and_then(|names| names.get(name)).copied();
        if old != Some(id) {
            self.unlink(path, old)?;
            self.links[id.index()] += 1;
            self.enter(parent, name, id);
        }
        Ok(())
    }

    /// What is in a directory; `None` for anything else.
    pub fn names(&self, id: Id) -> Option<&BTreeMap<Box<[u8]>, Id>> {
        match &self.node(id).kind {
            Kind::Directory(names) => Some(names),
            _ => None,
        }
    }

    /// The directory that a path is in, made if it is missing, and the last name of the path; `None` for the root.
    fn place<'a>(&mut self, path: &'a [u8]) -> Result<Option<(Id, &'a [u8])>, TreeError> {
        let mut parts = names(path).peekable();
        let mut at = Self::ROOT;
        while let Some(name) = parts.next() {
            limits::name(path, name)?;
            if parts.peek().is_none() {
                return Ok(Some((at, name)));
            }
            let next = self.names(at).and_then(|names| names.get(name)).copied();
            at = match next {
                Some(id) if self.node(id).is_directory() => id,
                Some(_) => return Err(TreeError::not_a_directory(path, name)),
                None => {
                    let Made { uid, gid, mode, mtime } = self.made;
                    let id = self.push(path, Node::directory(mode).owner(uid, gid).mtime(mtime))?;
                    self.enter(at, name, id);
                    id
                }
            };
        }
        Ok(None)
    }

    /// A directory takes over everything of `node` but what is in it.
    fn become_like(&mut self, id: Id, node: Node) {
        let Node { mode, uid, gid, mtime, xattrs, kind: _ } = node;
        let old = &mut self.nodes[id.index()];
        (old.mode, old.uid, old.gid, old.mtime, old.xattrs) = (mode, uid, gid, mtime, xattrs);
    }

    /// A name is about to be taken away from `old`.
    fn unlink(&mut self, path: &[u8], old: Option<Id>) -> Result<(), TreeError> {
        if let Some(old) = old {
            if self.names(old).is_some_and(|names| !names.is_empty()) {
                return Err(TreeError::filled(path));
            }
            self.links[old.index()] -= 1;
        }
        Ok(())
    }

    /// A new file with one name, which the caller [enters](Self::enter).
    fn push(&mut self, path: &[u8], node: Node) -> Result<Id, TreeError> {
        let id = limits::next_id(path, self.nodes.len())?;
        self.nodes.push(node);
        self.links.push(1);
        Ok(id)
    }

    fn enter(&mut self, parent: Id, name: &[u8], id: Id) {
        if let Kind::Directory(names) = &mut self.nodes[parent.index()].kind {
            names.insert(name.into(), id);
        }
    }

    fn count_owners(&mut self, path: &[u8], node: &Node) -> Result<(), TreeError> {
        for owner in [node.uid, node.gid] {
            if !self.owners.contains(&owner) {
                limits::owners(path, self.owners.len() + 1)?;
                self.owners.insert(owner);
            }
        }
        Ok(())
    }
}

/// The names of a path.
fn names(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests;

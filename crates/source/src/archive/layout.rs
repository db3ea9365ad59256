//! What a tree will be when everything is unpacked: names only, no file is touched.
//!
//! Archives are read into this value first. Paths are followed through the symbolic links that are in it, as `chroot`
//! would, and never through anything on the host; so `usr` merged trees come out right, and an archive that plants a
//! link and writes through it stays inside. Only when all is read, [`Layout::finish`] gives a tree in which no entry
//! is below anything but a directory.

use std::collections::BTreeMap;

use bootway_plan::{Digest, Entry, EntryKind, Manifest, TreePath};

use super::{fault::Fault, limits, select::Selection, steps::Steps, tarball::readable};

/// Which file's content; names that share it are hard links of each other.
pub(crate) type Content = usize;

/// Entries by where they are.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    nodes: BTreeMap<TreePath, Node>,
    contents: Vec<Stored>,
    /// Counts insertions, so that the later of two can be told.
    clock: u64,
    /// Bytes of all names.
    names: usize,
    /// Entries that made way for a link.
    moved: usize,
}

/// What is stored of a file.
#[derive(Clone, Copy, Debug)]
enum Stored {
    Kept { size: u64, digest: Digest },
    LeftOut,
}

/// What is known of an entry besides what it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) mode: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) xattrs: BTreeMap<String, Vec<u8>>,
}

#[derive(Clone, Debug)]
struct Node {
    meta: Meta,
    kind: Kind,
    kept: bool,
    clock: u64,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Directory,
    File(Content),
    Symlink(String),
    CharDevice(u32, u32),
    BlockDevice(u32, u32),
    Fifo,
}

/// A place in the tree, found by following links.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// As an archive names it.
    named: TreePath,
    /// Where that is.
    pub(crate) path: TreePath,
    /// Links that lead there.
    links: Vec<TreePath>,
}

impl Layout {
    /// Where `named` goes; directories on the way are made, and whether it is to be kept.
    ///
    /// # Errors
    ///
    /// If a file is in the way, links go round in a circle, or a limit is hit.
    pub(crate) fn place(&mut self, named: TreePath, selection: &Selection) -> Result<(Place, bool), Fault> {
        let (path, links) = match named.parent() {
            None => (TreePath::root(), Vec::new()),
            Some(parent) => {
                let (parent, links) = self.walk(&named, Steps::new(TreePath::root(), parent.as_str()))?;
                (join(&parent, named.name())?, links)
            }
        };
        let kept = selection.keeps([&named, &path]);
        Ok((Place { named, path, links }, kept))
    }

    /// How many contents there are, so the number of the next one.
    pub(crate) fn contents(&self) -> usize {
        self.contents.len()
    }

    /// A new file, with its content if that is kept.
    pub(crate) fn content(&mut self, stored: Option<(u64, Digest)>) -> Content {
        self.contents.push(match stored {
            Some((size, digest)) => Stored::Kept { size, digest },
            None => Stored::LeftOut,
        });
        self.contents.len() - 1
    }

    /// Puts an entry where nothing, or something that it may replace, is.
    ///
    /// Later entries win, but a directory with something in it is replaced by nothing but a symbolic link to a place
    /// for its content, and a link to a directory is not replaced by a directory (as in dpkg).
    pub(crate) fn insert(&mut self, place: &Place, meta: Meta, kind: Kind, kept: bool) -> Result<(), Fault> {
        if kept {
            for link in &place.links {
                if let Some(node) = self.nodes.get_mut(link) {
                    node.kept = true;
                }
            }
        }
        let there = self.nodes.get(&place.path).map(|node| node.kind.clone());
        match (there, &kind) {
            _ if place.path.is_root() && kind != Kind::Directory => {
                return Err(Fault::Path { path: "/".to_owned(), reason: "is the root and no directory" });
            }
            (Some(Kind::Symlink(_)), Kind::Directory) if self.leads_to_directory(&place.path) => {
                return Ok(());
            }
            (Some(Kind::Directory), Kind::Symlink(target)) if self.has_children(&place.path) => {
                self.give_way(place, target)?;
            }
            (Some(Kind::Directory), kind) if *kind != Kind::Directory && self.has_children(&place.path) => {
                return Err(conflict(
                    &place.named,
                    "would replace a directory that is not empty,",
                    &place.path,
                ));
            }
            _ => {}
        }
        let kept = kept || self.nodes.get(&place.path).is_some_and(|there| there.kept && there.kind == kind);
        self.put(&place.path, meta, kind, kept)
    }

    /// Takes away what is at `path`, and everything below it.
    pub(crate) fn erase(&mut self, path: &TreePath) {
        self.nodes.retain(|name, _| name != path && !is_below(name, path));
    }

    /// Puts another name of what is at `target`.
    pub(crate) fn link(&mut self, place: &Place, target: &TreePath, kept: bool) -> Result<(), Fault> {
        let at = match target.parent() {
            Some(parent) => self.find(&parent).map(|parent| join(&parent, target.name())).transpose()?,
            None => None,
        };
        let node = at.as_ref().and_then(|at| self.nodes.get(at)).cloned();
        match node {
            Some(node) if node.kind == Kind::Directory => {
                Err(conflict(&place.named, "is a hard link to the directory", target))
            }
            Some(_) if at.as_ref() == Some(&place.path) => Ok(()),
            Some(node) => self.insert(place, node.meta, node.kind, kept),
            None => Err(conflict(&place.named, "is a hard link to what is not there:", target)),
        }
    }

    /// The directory that `steps` lead to, made if need be, and the links on the way. `entry` is for messages.
    fn walk(&mut self, entry: &TreePath, mut steps: Steps) -> Result<(TreePath, Vec<TreePath>), Fault> {
        while let Some(next) = steps.next()? {
            match self.nodes.get(&next).map(|node| &node.kind) {
                Some(Kind::Directory) => steps.enter(next),
                Some(Kind::Symlink(target)) => {
                    if !steps.follow(next.clone(), target) {
                        return Err(conflict(entry, "is behind symbolic links without an end:", &next));
                    }
                }
                Some(_) => return Err(conflict(entry, "is below what is not a directory:", &next)),
                None => {
                    let meta = Meta { mode: 0o755, ..Meta::default() };
                    self.put(&next, meta, Kind::Directory, false)?;
                    steps.enter(next);
                }
            }
        }
        Ok((steps.at, steps.links))
    }

    /// The directory that `path` means, if it is there.
    fn find(&self, path: &TreePath) -> Option<TreePath> {
        let mut steps = Steps::new(TreePath::root(), path.as_str());
        while let Some(next) = steps.next().ok()? {
            match &self.nodes.get(&next)?.kind {
                Kind::Directory => steps.enter(next),
                Kind::Symlink(target) => steps.follow(next, target).then_some(())?,
                Kind::File(_) | Kind::CharDevice(..) | Kind::BlockDevice(..) | Kind::Fifo => return None,
            }
        }
        Some(steps.at)
    }

    fn leads_to_directory(&self, link: &TreePath) -> bool {
        self.find(link).is_some()
    }

    /// Moves what is in the directory at `place` to where a link in its place leads.
    fn give_way(&mut self, place: &Place, target: &str) -> Result<(), Fault> {
        let steps = Steps::new(place.path.parent().unwrap_or_default(), target);
        let (into, _) = self.walk(&place.named, steps)?;
        if into == place.path || is_below(&into, &place.path) {
            return Err(conflict(
                &place.named,
                "is a symbolic link into the directory that it replaces,",
                &into,
            ));
        }
        let moved: Vec<TreePath> = self.below(&place.path).cloned().collect();
        self.moved += moved.len();
        if self.moved > limits::ENTRIES {
            return Err(Fault::too_many("entries that links move", limits::ENTRIES));
        }
        for from in moved {
            let node = self.nodes.remove(&from).expect("its path was just listed");
            let inner = &from.as_str()[place.path.as_str().len() + 1..];
            let to: TreePath = inner.parse().expect("the end of a path is a path");
            self.graft(&place.named, into.below(&to), node)?;
        }
        Ok(())
    }

    /// Puts a moved node where it belongs; of two, the later one stays.
    fn graft(&mut self, entry: &TreePath, to: TreePath, node: Node) -> Result<(), Fault> {
        check(&to)?;
        match self.nodes.get(&to) {
            Some(there) if (there.kind == Kind::Directory) != (node.kind == Kind::Directory) => {
                Err(conflict(entry, "would merge a directory with what is none:", &to))
            }
            Some(there) if there.clock > node.clock => Ok(()),
            _ => {
                self.nodes.insert(to, node);
                Ok(())
            }
        }
    }

    fn put(&mut self, path: &TreePath, meta: Meta, kind: Kind, kept: bool) -> Result<(), Fault> {
        check(path)?;
        self.names += path.as_str().len();
        self.names += meta.xattrs.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        if let Kind::Symlink(target) = &kind {
            self.names += target.len();
        }
        if self.names > limits::NAMES {
            return Err(Fault::too_big("all names", self.names as u64, limits::NAMES as u64));
        }
        self.clock += 1;
        self.nodes.insert(path.clone(), Node { meta, kind, kept, clock: self.clock });
        if self.nodes.len() > limits::ENTRIES {
            return Err(Fault::too_many("entries", limits::ENTRIES));
        }
        Ok(())
    }

    /// Everything below the directory at `path`.
    fn below(&self, path: &TreePath) -> impl Iterator<Item = &TreePath> {
        // Not simply what follows `path`: `usr-x` is between `usr` and `usr/lib`.
        let first = path.join("\u{1}").expect("this is one component");
        let path = path.clone();
        self.nodes.range(first..).map(|(name, _)| name).take_while(move |name| is_below(name, &path))
    }

    fn has_children(&self, path: &TreePath) -> bool {
        self.below(path).next().is_some()
    }

    /// The tree of what is kept, with the directories that it needs, and where each content goes first.
    ///
    /// # Errors
    ///
    /// If what is kept is a hard link of something that is not.
    pub(crate) fn finish(self) -> Result<(Manifest, Vec<(Content, TreePath)>), Fault> {
        let mut needed = std::collections::BTreeSet::from([TreePath::root()]);
        for (path, _) in self.nodes.iter().filter(|(_, node)| node.kept) {
            let mut path = Some(path.clone());
            while let Some(at) = path {
                path = at.parent();
                if !needed.insert(at) {
                    break;
                }
            }
        }
        let mut manifest = Manifest::default();
        let mut first: BTreeMap<Content, TreePath> = BTreeMap::new();
        for (path, node) in &self.nodes {
            if !needed.contains(path) {
                continue;
            }
            let kind = match &node.kind {
                Kind::File(content) => match (first.get(content), self.contents[*content]) {
                    (Some(to), _) => EntryKind::HardLink { to: to.clone() },
                    (None, Stored::Kept { size, digest }) => {
                        first.insert(*content, path.clone());
                        EntryKind::File { size, digest }
                    }
                    (None, Stored::LeftOut) => return Err(self.left_out(path, *content)),
                },
                Kind::Directory => EntryKind::Directory,
                Kind::Symlink(target) => EntryKind::Symlink { target: target.clone() },
                Kind::CharDevice(major, minor) => EntryKind::CharDevice { major: *major, minor: *minor },
                Kind::BlockDevice(major, minor) => EntryKind::BlockDevice { major: *major, minor: *minor },
                Kind::Fifo => EntryKind::Fifo,
            };
            let Meta { mode, uid, gid, xattrs } = node.meta.clone();
            manifest.entries.insert(path.clone(), Entry { mode, uid, gid, kind, xattrs });
        }
        let root = Entry { mode: 0o755, uid: 0, gid: 0, kind: EntryKind::Directory, xattrs: BTreeMap::new() };
        manifest.entries.entry(TreePath::root()).or_insert(root);
        Ok((manifest, first.into_iter().collect()))
    }

    fn left_out(&self, path: &TreePath, content: Content) -> Fault {
        let other = self.nodes.iter().find(|(name, node)| node.kind == Kind::File(content) && *name != path);
        let other = other.map_or(path, |(name, _)| name);
        conflict(path, "shares its content with a file that is not kept: keep, or drop, also", other)
    }
}

pub(super) fn join(directory: &TreePath, name: &str) -> Result<TreePath, Fault> {
    directory.join(name).map_err(|_| invalid(name))
}

fn invalid(name: &str) -> Fault {
    Fault::Path { path: readable(name), reason: "is not a path inside a tree" }
}

fn check(path: &TreePath) -> Result<(), Fault> {
    let too_long = |what, value: usize, limit: usize| Fault::Limit {
        what,
        value: format!("{value} bytes (`{}`)", readable(path.as_str())),
        limit: limit.to_string(),
    };
    if path.as_str().len() > limits::PATH {
        return Err(too_long("a path", path.as_str().len(), limits::PATH));
    }
    if path.name().len() > limits::NAME {
        return Err(too_long("a file name", path.name().len(), limits::NAME));
    }
    Ok(())
}

fn is_below(path: &TreePath, directory: &TreePath) -> bool {
    directory.is_root() && !path.is_root()
        || path.as_str().strip_prefix(directory.as_str()).is_some_and(|rest| rest.starts_with('/'))
}

fn conflict(entry: &TreePath, reason: &'static str, other: &TreePath) -> Fault {
    Fault::Conflict { path: readable(entry.as_str()), reason, other: readable(other.as_str()) }
}

//! Every name of a tree, in the order of the format.

use std::collections::{HashSet, btree_map};

use super::{Content, Id, Kind, Tree};

/// What is left of a directory.
type Names<'a> = btree_map::Iter<'a, Box<[u8]>, Id>;

/// Goes through every name of a tree: the root first, a directory before what is in it, names by their bytes.
#[derive(Debug)]
pub struct Walk<'a> {
    tree: &'a Tree,
    path: Vec<u8>,
    /// The directories that it is in: what is left of each, and the length of its path.
    open: Vec<(Names<'a>, usize)>,
    begun: bool,
}

/// How much is in a tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Names, that of the root too.
    pub names: u64,
    /// Files of every kind, one with several names once: inodes.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Regular files, one with several names once.
    pub regular: u64,
    /// Bytes in regular files, one with several names once.
    pub bytes: u64,
}

impl Walk<'_> {
    /// The next name: its path, without a `/` before it, and its file. The path is valid until the next call.
    #[expect(clippy::should_implement_trait, reason = "an iterator cannot lend its path")]
    pub fn next(&mut self) -> Option<(&[u8], Id)> {
        if !self.begun {
            self.begun = true;
            self.enter(Tree::ROOT);
            return Some((&self.path, Tree::ROOT));
        }
        loop {
            let (names, length) = self.open.last_mut()?;
            self.path.truncate(*length);
            let Some((name, id)) = names.next() else {
                self.open.pop();
                continue;
            };
            if *length > 0 {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(name);
            self.enter(*id);
            return Some((&self.path, *id));
        }
    }

    fn enter(&mut self, id: Id) {
        if let Some(names) = self.tree.names(id) {
            self.open.push((names.iter(), self.path.len()));
        }
    }
}

impl Tree {
    /// Every name, depth first; see [`Walk`].
    pub fn walk(&self) -> Walk<'_> {
        Walk { tree: self, path: Vec::new(), open: Vec::new(), begun: false }
    }

    /// How much is in it.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        let mut linked = HashSet::new();
        let mut walk = self.walk();
        while let Some((_, id)) = walk.next() {
            counts.names += 1;
            if self.links[id.index()] > 1 && !linked.insert(id) {
                continue;
            }
            counts.files += 1;
            match &self.node(id).kind {
                Kind::Directory(_) => counts.directories += 1,
                Kind::File(content) => {
                    counts.regular += 1;
                    counts.bytes = counts.bytes.saturating_add(Content::size(content));
                }
                _ => {}
            }
        }
        counts
    }
}

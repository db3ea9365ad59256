//! Trees over trees, and edits.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bootway_plan::{
    TreePath,
    step::{Edit, TreePart},
};
use globset::{Glob, GlobBuilder, GlobMatcher};

use super::{Content, Node, NodeKind, Tree, TreeError};

/// As many as the kernel follows.
const MAX_LINKS: u32 = 40;

/// What must be at the end of a path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Want {
    /// A directory.
    Directory,
    /// A directory, which is made with its parents if nothing is there.
    Made,
    /// Anything.
    Anything,
}

/// A tree that is being made.
///
/// Hard links are regular files here, each with its content and the group it belongs to, so that replacing one name
/// leaves the others as they are.
#[derive(Debug)]
pub(crate) struct Composer {
    nodes: BTreeMap<TreePath, Node>,
    groups: BTreeMap<TreePath, u64>,
    last_group: u64,
}

impl Composer {
    /// An empty root directory.
    pub(crate) fn new() -> Self {
        let root = Node::new(0o755, NodeKind::Directory);
        Self { nodes: BTreeMap::from([(TreePath::root(), root)]), groups: BTreeMap::new(), last_group: 0 }
    }

    /// Lays `layer` over what is there, at `at`.
    ///
    /// Paths lead through symbolic links of the tree below, as they would on a running system: `lib/x` over
    /// `lib -> usr/lib` becomes `usr/lib/x`. A directory that holds something is never replaced by another file.
    pub(crate) fn overlay(&mut self, layer: &Tree, at: &TreePath) -> Result<(), TreeError> {
        let mut groups: BTreeMap<&TreePath, u64> = BTreeMap::new();
        for node in layer.nodes.values() {
            if let NodeKind::HardLink { to } = &node.kind {
                groups.entry(to).or_insert_with(|| {
                    self.last_group += 1;
                    self.last_group
                });
            }
        }
        for (path, node) in &layer.nodes {
            let (node, first) = match &node.kind {
                NodeKind::HardLink { to } => {
                    let first =
                        layer.nodes.get(to).ok_or_else(|| TreeError::NotAFile { path: to.clone() })?;
                    (first, to)
                }
                _ => (node, path),
            };
            let placed = self.place(&at.below(path), node.clone())?;
            if let Some(group) = groups.get(first) {
                self.groups.insert(placed, *group);
            }
        }
        Ok(())
    }

    /// Puts `node` at `path`; where it came to lie.
    pub(crate) fn place(&mut self, path: &TreePath, node: Node) -> Result<TreePath, TreeError> {
        let is_directory = node.kind == NodeKind::Directory;
        let Some(parent) = path.parent() else {
            return if is_directory {
                self.nodes.insert(TreePath::root(), node);
                Ok(TreePath::root())
            } else {
                Err(TreeError::NotADirectory { path: TreePath::root() })
            };
        };
        let place = self.directory(&parent)?.join(path.name()).expect("a name of a path is one component");
        match self.nodes.get(&place).map(|old| &old.kind) {
            Some(NodeKind::Symlink { .. }) if is_directory => return self.directory(&place),
            Some(NodeKind::Directory) if !is_directory => self.remove_empty(&place)?,
            _ => {}
        }
        self.groups.remove(&place);
        self.nodes.insert(place.clone(), node);
        Ok(place)
    }

    /// The directory at `path` with all symbolic links followed; it is made if nothing is there.
    fn directory(&mut self, path: &TreePath) -> Result<TreePath, TreeError> {
        self.follow(path, Want::Made)
    }

    /// Goes along `path` through directories and symbolic links, inside this tree as after `chroot`.
    fn follow(&mut self, path: &TreePath, want: Want) -> Result<TreePath, TreeError> {
        let names = |path: &str| -> Vec<String> {
            path.split('/').filter(|name| !matches!(*name, "" | ".")).rev().map(str::to_owned).collect()
        };
        let mut todo = names(path.as_str());
        let mut at = TreePath::root();
        let mut links = 0;
        while let Some(name) = todo.pop() {
            if name == ".." {
                at = at.parent().unwrap_or_default();
                continue;
            }
            let next = at.join(&name).map_err(|_| TreeError::NotADirectory { path: at.clone() })?;
            match self.nodes.get(&next).map(|node| &node.kind) {
                Some(NodeKind::Directory) => at = next,
                Some(NodeKind::Symlink { target }) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(TreeError::Loop { path: next });
                    }
                    if target.starts_with('/') {
                        at = TreePath::root();
                    }
                    todo.extend(names(target));
                }
                Some(_) if want == Want::Anything && todo.is_empty() => at = next,
                None if want == Want::Made => {
                    self.nodes.insert(next.clone(), Node::new(0o755, NodeKind::Directory));
                    at = next;
                }
                Some(_) | None => return Err(TreeError::NotADirectory { path: next }),
            }
        }
        Ok(at)
    }

    /// What is at `path` with all symbolic links followed.
    fn find(&mut self, what: &'static str, path: &TreePath) -> Result<TreePath, TreeError> {
        self.follow(path, Want::Anything).map_err(|error| match error {
            TreeError::Loop { .. } => error,
            _ => TreeError::Nothing { what, path: path.clone() },
        })
    }

    /// Whether something is at `path`, be it a symbolic link to nothing.
    fn has(&mut self, path: &TreePath) -> bool {
        let Some(parent) = path.parent() else { return true };
        let parent = self.follow(&parent, Want::Directory);
        let place = parent.ok().and_then(|parent| parent.join(path.name()).ok());
        place.is_some_and(|place| self.nodes.contains_key(&place))
    }

    fn remove_empty(&mut self, path: &TreePath) -> Result<(), TreeError> {
        let files = self.inside(path).len() - 1;
        if files > 0 {
            return Err(TreeError::Replaces { path: path.clone(), files });
        }
        self.nodes.remove(path);
        Ok(())
    }

    /// `path` and everything in it.
    fn inside(&self, path: &TreePath) -> Vec<TreePath> {
        let below = |other: &TreePath| {
            path.is_root()
                || other
                    .as_str()
                    .strip_prefix(path.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let from = self.nodes.range(path.clone()..).map(|(other, _)| other);
        from.take_while(|other| other.as_str().starts_with(path.as_str()))
            .filter(|other| below(other))
            .cloned()
            .collect()
    }

    /// Does one edit.
    pub(crate) fn edit(&mut self, edit: &Edit) -> Result<(), TreeError> {
        match edit {
            Edit::Write { path, if_missing: true, .. } | Edit::Symlink { path, if_missing: true, .. }
                if self.has(path) => {}
            Edit::Write { path, text, mode, .. } => {
                let content = Content::Bytes(Arc::from(text.as_bytes()));
                self.place(path, Node::new(mode.0, NodeKind::File(content)))?;
            }
            Edit::Symlink { path, target, .. } => {
                self.place(path, Node::new(0o777, NodeKind::Symlink { target: target.clone() }))?;
            }
            Edit::Remove { path } => self.remove(path)?,
            Edit::Mkdir { path, mode } => {
                let place = self.directory(path)?;
                self.nodes.get_mut(&place).expect("just made").mode = mode.0;
            }
            Edit::Chmod { path, mode } => self.change("chmod", path, |node| node.mode = mode.0)?,
            Edit::Chown { path, uid, gid } => self.change("chown", path, |node| {
                node.uid = *uid;
                node.gid = *gid;
            })?,
            Edit::Copy { path, to } => {
                let from = self.find("copy", path)?;
                let node = self.nodes[&from].clone();
                if node.kind == NodeKind::Directory {
                    return Err(TreeError::NotAFile { path: path.clone() });
                }
                self.place(to, node)?;
            }
            Edit::Truncate { path } => {
                let at = self.find("truncate", path)?;
                if !matches!(self.nodes[&at].kind, NodeKind::File(_)) {
                    return Err(TreeError::NotAFile { path: path.clone() });
                }
                let empty = NodeKind::File(Content::Bytes(Arc::from([])));
                self.change("truncate", path, |node| node.kind = empty.clone())?;
            }
        }
        Ok(())
    }

    fn remove(&mut self, path: &TreePath) -> Result<(), TreeError> {
        let nothing = || TreeError::Nothing { what: "remove", path: path.clone() };
        let parent = path.parent().ok_or_else(nothing)?;
        let parent = self.follow(&parent, Want::Directory).map_err(|_| nothing())?;
        let place = parent.join(path.name()).map_err(|_| nothing())?;
        if !self.nodes.contains_key(&place) {
            return Err(nothing());
        }
        for path in self.inside(&place) {
            self.nodes.remove(&path);
            self.groups.remove(&path);
        }
        Ok(())
    }

    /// Changes the file at `path`, under all its names.
    fn change(
        &mut self,
        what: &'static str,
        path: &TreePath,
        change: impl Fn(&mut Node),
    ) -> Result<(), TreeError> {
        let at = self.find(what, path)?;
        let group = self.groups.get(&at);
        let others =
            self.groups.iter().filter(|(_, other)| Some(*other) == group).map(|(other, _)| other.clone());
        let mut names: Vec<TreePath> = others.collect();
        if names.is_empty() {
            names.push(at);
        }
        for name in names {
            change(self.nodes.get_mut(&name).expect("groups name what is there"));
        }
        Ok(())
    }

    /// The tree as it is now.
    pub(crate) fn finish(self) -> Tree {
        let mut tree = Tree { nodes: self.nodes };
        let mut first: BTreeMap<u64, TreePath> = BTreeMap::new();
        for (path, group) in self.groups {
            if let Some(to) = first.get(&group) {
                let node = tree.nodes.get_mut(&path).expect("groups name what is there");
                node.kind = NodeKind::HardLink { to: to.clone() };
            } else {
                first.insert(group, path);
            }
        }
        tree
    }
}

/// What `part` keeps of `layer`, with the directories it is in.
pub(super) fn select(layer: Tree, part: &TreePart) -> Result<Tree, TreeError> {
    if part.keep.is_empty() && part.drop.is_empty() {
        return Ok(layer);
    }
    let keep = matchers(&part.keep)?;
    let drop = matchers(&part.drop)?;
    let mut matched = vec![false; keep.len()];
    // What is kept, and whether the directory it is in is kept or dropped as a whole; parents come first.
    let mut kept: BTreeMap<&TreePath, bool> = BTreeMap::new();
    for path in layer.nodes.keys() {
        let parent_kept = path.parent().and_then(|parent| kept.get(&parent).copied());
        let parent_dropped = path.parent().is_some_and(|parent| !kept.contains_key(&parent));
        let dropped = !path.is_root() && drop.iter().any(|glob| glob.is_match(path.as_str()));
        if parent_dropped || dropped {
            continue;
        }
        let mut wanted = keep.is_empty() || parent_kept == Some(true);
        for (glob, matched) in keep.iter().zip(&mut matched) {
            let hit = glob.is_match(path.as_str());
            *matched |= hit;
            wanted |= hit;
        }
        kept.insert(path, wanted);
    }
    if let Some((pattern, _)) = part.keep.iter().zip(&matched).find(|(_, matched)| !**matched) {
        return Err(TreeError::NoMatch { pattern: pattern.clone(), name: part.source.clone() });
    }
    let mut wanted: BTreeSet<TreePath> = BTreeSet::new();
    for path in kept.iter().filter(|(_, wanted)| **wanted).map(|(path, _)| (*path).clone()) {
        let mut parent = path.parent();
        wanted.insert(path);
        while let Some(path) = parent {
            parent = path.parent();
            if !wanted.insert(path) {
                break;
            }
        }
    }
    Ok(rehome(layer, &wanted))
}

/// `tree` without what `drop` matches, and what is in it.
pub(crate) fn without(tree: Tree, drop: &[GlobMatcher]) -> Tree {
    let mut wanted = BTreeSet::new();
    for path in tree.nodes.keys() {
        let parent_dropped = path.parent().is_some_and(|parent| !wanted.contains(&parent));
        if !parent_dropped && (path.is_root() || !drop.iter().any(|glob| glob.is_match(path.as_str()))) {
            wanted.insert(path.clone());
        }
    }
    rehome(tree, &wanted)
}

/// `layer` with `wanted` only. A hard link whose first name is gone becomes the file.
fn rehome(mut layer: Tree, wanted: &BTreeSet<TreePath>) -> Tree {
    let mut gone: BTreeMap<TreePath, TreePath> = BTreeMap::new();
    for path in wanted {
        let Some(NodeKind::HardLink { to }) = layer.nodes.get(path).map(|node| node.kind.clone()) else {
            continue;
        };
        if wanted.contains(&to) {
            continue;
        }
        let kind = match gone.get(&to) {
            Some(first) => NodeKind::HardLink { to: first.clone() },
            None => match layer.nodes.get(&to) {
                Some(first) => first.kind.clone(),
                None => continue,
            },
        };
        gone.entry(to).or_insert_with(|| path.clone());
        layer.nodes.get_mut(path).expect("looked up above").kind = kind;
    }
    layer.nodes.retain(|path, _| wanted.contains(path));
    layer
}

fn matchers(patterns: &[String]) -> Result<Vec<GlobMatcher>, TreeError> {
    patterns.iter().map(|pattern| matcher(pattern)).collect()
}

/// A pattern for paths of a tree: `*` does not match a slash, `**` does; a leading slash means nothing.
pub(crate) fn matcher(pattern: &str) -> Result<GlobMatcher, TreeError> {
    let relative = pattern.trim_start_matches('/');
    let glob: Result<Glob, _> = GlobBuilder::new(relative).literal_separator(true).build();
    glob.map(|glob| glob.compile_matcher())
        .map_err(|source| TreeError::Pattern { pattern: pattern.to_owned(), source })
}

#[cfg(test)]
mod tests;

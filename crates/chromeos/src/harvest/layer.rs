//! The tree `drivers` while it is made.

use std::collections::BTreeMap;

use bootway_image::{Node, NodeKind, Tree};
use bootway_plan::TreePath;
use serde::Serialize;

/// A tree that is made file by file, and where each file came from.
#[derive(Debug)]
pub(super) struct Layer {
    tree: Tree,
    /// Image of each file, by path.
    pub(super) origin: BTreeMap<TreePath, Origin>,
}

/// Which image a file came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Origin {
    /// The shim's root.
    Shim,
    /// The recovery image's root.
    Recovery,
    /// depmod.
    Made,
}

impl Layer {
    pub(super) fn new() -> Self {
        let root = Node::new(0o755, NodeKind::Directory);
        Self { tree: Tree { nodes: [(TreePath::root(), root)].into() }, origin: BTreeMap::new() }
    }

    /// Makes the directory `path`, and those it is in; whatever else stood there gives way.
    pub(super) fn directory(&mut self, path: &TreePath) {
        if self.tree.nodes.get(path).is_some_and(|node| node.kind == NodeKind::Directory) {
            return;
        }
        if let Some(parent) = path.parent() {
            self.directory(&parent);
        }
        self.origin.remove(path);
        self.tree.nodes.insert(path.clone(), Node::new(0o755, NodeKind::Directory));
    }

    /// Puts a file at `path`, whose modes and owners are those of every image; `true` if it took another's place.
    pub(super) fn put(&mut self, path: &TreePath, kind: NodeKind, origin: Origin) -> bool {
        let mode = if matches!(kind, NodeKind::Symlink { .. }) { 0o777 } else { 0o644 };
        if let Some(parent) = path.parent() {
            self.directory(&parent);
        }
        let inside: Vec<TreePath> = self.tree.inside(path).map(|(path, _)| path.clone()).collect();
        for path in &inside {
            self.tree.nodes.remove(path);
            self.origin.remove(path);
        }
        self.tree.nodes.insert(path.clone(), Node::new(mode, kind));
        self.origin.insert(path.clone(), origin);
        !inside.is_empty()
    }

    pub(super) fn has(&self, path: &TreePath) -> bool {
        self.tree.nodes.contains_key(path)
    }

    pub(super) const fn tree(&self) -> &Tree {
        &self.tree
    }
}

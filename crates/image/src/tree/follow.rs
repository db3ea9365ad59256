//! Where a path leads in a tree.

use bootway_plan::TreePath;

use super::{Node, NodeKind, Tree};

/// As many links as the kernel follows.
const MAX_LINKS: u32 = 40;

impl Tree {
    /// Where `path` leads when every symbolic link is followed inside this tree, as after `chroot`; `None` where nothing
    /// is, or links lead in a circle.
    ///
    /// `path` is as a link says it: absolute or relative to the root, with `.` and `..`.
    pub fn follow(&self, path: &str) -> Option<TreePath> {
        self.follow_from(&TreePath::root(), path)
    }

    /// The same, with `path` relative to the directory `from`.
    pub fn follow_from(&self, from: &TreePath, path: &str) -> Option<TreePath> {
        let names = |path: &str| -> Vec<String> {
            path.split('/').filter(|name| !matches!(*name, "" | ".")).rev().map(str::to_owned).collect()
        };
        let mut todo = names(path);
        let mut at = if path.starts_with('/') { TreePath::root() } else { from.clone() };
        let mut links = 0;
        while let Some(name) = todo.pop() {
            if !matches!(self.nodes.get(&at)?.kind, NodeKind::Directory) {
                return None;
            }
            if name == ".." {
                at = at.parent().unwrap_or_default();
                continue;
            }
            let next = at.join(&name).ok()?;
            if let NodeKind::Symlink { target } = &self.nodes.get(&next)?.kind {
                links += 1;
                if links > MAX_LINKS {
                    return None;
                }
                if target.starts_with('/') {
                    at = TreePath::root();
                }
                todo.extend(names(target));
            } else {
                at = next;
            }
        }
        Some(at)
    }

    /// The node at `path`; of a hard link, the file that it is another name of.
    pub fn file(&self, path: &TreePath) -> Option<&Node> {
        match self.nodes.get(path) {
            Some(Node { kind: NodeKind::HardLink { to }, .. }) => self.nodes.get(to),
            node => node,
        }
    }

    /// `path` and everything in it, in order.
    pub fn inside<'a>(&'a self, path: &'a TreePath) -> impl Iterator<Item = (&'a TreePath, &'a Node)> {
        let below = move |other: &TreePath| {
            path.is_root()
                || other
                    .as_str()
                    .strip_prefix(path.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.nodes
            .range(path.clone()..)
            .take_while(move |(other, _)| other.as_str().starts_with(path.as_str()))
            .filter(move |(other, _)| below(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_inside_the_tree() {
        let mut tree = Tree::default();
        let mut put = |path: &str, kind| tree.nodes.insert(path.parse().unwrap(), Node::new(0o755, kind));
        let link = |target: &str| NodeKind::Symlink { target: target.to_owned() };
        for dir in ["", "bin", "opt", "lib"] {
            put(dir, NodeKind::Directory);
        }
        put("sbin", link("bin"));
        put("usr", link("."));
        put("bin/init", link("/opt/init"));
        put("opt/init", NodeKind::Fifo);
        put("lib/up", link("../../../opt/init"));
        put("a", link("b"));
        put("b", link("a"));
        put("gone", link("/nowhere"));
        let at = |path: &str| tree.follow(path).map(|path| path.as_str().to_owned());
        assert_eq!(at("/sbin/init").as_deref(), Some("opt/init"));
        assert_eq!(at("usr/usr/sbin/init").as_deref(), Some("opt/init"));
        assert_eq!(at("lib/up").as_deref(), Some("opt/init"));
        assert_eq!([at("a"), at("gone"), at("opt/init/x"), at("opt/init/..")], [None, None, None, None]);
        assert_eq!(tree.inside(&"bin".parse().unwrap()).count(), 2);
    }
}

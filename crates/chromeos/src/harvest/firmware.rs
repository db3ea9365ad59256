//! Firmware of a root: plain files that stand on their own.

use std::collections::BTreeSet;

use bootway_image::{NodeKind, Tree};
use bootway_plan::TreePath;
use serde::Serialize;

use super::{
    layer::{Layer, Origin},
    unpacked::{Unpacker, stem},
};
use crate::HarvestError;

/// Files that a link out of `lib/firmware` may bring in.
const MOST_LINKED: usize = 10_000;

/// What was remarkable about the firmware of a root.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Remarks {
    /// Links that lead nowhere, with where they lead.
    pub(super) dangling: Vec<String>,
    /// Links out of `lib/firmware` that became what they lead to.
    pub(super) resolved: Vec<String>,
    /// Files that were compressed.
    pub(super) unpacked: Vec<String>,
    /// Files that took the place of another image's.
    pub(super) replaced: Vec<String>,
    /// Files that are no regular files, and compressed ones that are there uncompressed as well.
    pub(super) left_out: Vec<String>,
}

/// Takes `lib/firmware` of `root` into `layer`.
///
/// Links are resolved inside `root`: those that stay in `lib/firmware` are kept, relative; those that leave it become
/// what they lead to; those that lead nowhere are left out and named. Compressed files are unpacked, as kernels before
/// 5.3 read no others.
pub(super) fn take(
    root: &Tree,
    origin: Origin,
    unpacker: &Unpacker<'_>,
    layer: &mut Layer,
    remarks: &mut Remarks,
) -> Result<(), HarvestError> {
    let Some(dir) = root.follow("lib/firmware") else { return Ok(()) };
    let mut taker = Taker { root, dir: dir.clone(), origin, unpacker, layer, remarks, linked: 0 };
    let inside: Vec<&TreePath> =
        root.inside(&dir).map(|(path, _)| path).filter(|path| **path != dir).collect();
    for path in inside {
        taker.one(path)?;
    }
    Ok(())
}

struct Taker<'a, 'b> {
    root: &'a Tree,
    /// Where `lib/firmware` is in `root`.
    dir: TreePath,
    origin: Origin,
    unpacker: &'a Unpacker<'b>,
    layer: &'a mut Layer,
    remarks: &'a mut Remarks,
    linked: usize,
}

impl Taker<'_, '_> {
    /// The path in `lib/firmware` of what is at `path` in the root.
    fn inside(&self, path: &TreePath) -> Option<String> {
        let rest = path.as_str().strip_prefix(self.dir.as_str())?;
        rest.strip_prefix('/').map(str::to_owned)
    }

    fn one(&mut self, path: &TreePath) -> Result<(), HarvestError> {
        let name = self.inside(path).expect("it is one of those inside");
        match &self.root.nodes[path].kind {
            NodeKind::Directory => self.layer.directory(&place(&name)),
            NodeKind::File(_) | NodeKind::HardLink { .. } => self.file(path, &name)?,
            NodeKind::Symlink { target } => self.link(path, &name, target)?,
            _ => self.remarks.left_out.push(name),
        }
        Ok(())
    }

    /// Puts the regular file `path` of the root at `name`.
    fn file(&mut self, path: &TreePath, name: &str) -> Result<(), HarvestError> {
        let Some(NodeKind::File(content)) = self.root.file(path).map(|node| &node.kind) else {
            self.remarks.left_out.push(name.to_owned());
            return Ok(());
        };
        let (name, content) = match stem(name) {
            Some(plain) if self.beside(path, plain) => {
                self.remarks.left_out.push(name.to_owned());
                return Ok(());
            }
            Some(plain) => {
                self.remarks.unpacked.push(name.to_owned());
                (plain, self.unpacker.unpack(path, content)?)
            }
            None => (name, content.clone()),
        };
        self.put(name, NodeKind::File(content));
        Ok(())
    }

    /// Whether the plain file stands beside the compressed one at `path`.
    fn beside(&self, path: &TreePath, plain: &str) -> bool {
        let name = plain.rsplit('/').next().unwrap_or(plain);
        path.parent()
            .and_then(|parent| parent.join(name).ok())
            .is_some_and(|it| self.root.nodes.contains_key(&it))
    }

    fn link(&mut self, path: &TreePath, name: &str, target: &str) -> Result<(), HarvestError> {
        let parent = path.parent().unwrap_or_default();
        let Some(at) = self.root.follow_from(&parent, target) else {
            self.remarks.dangling.push(format!("{name} -> {target}"));
            return Ok(());
        };
        if let Some(inside) = self.inside(&at) {
            let is_file = self.root.file(&at).is_some_and(|node| matches!(node.kind, NodeKind::File(_)));
            let (name, inside) = match (stem(name), stem(&inside)) {
                (Some(name), Some(inside)) if is_file => (name, inside),
                _ => (name, inside.as_str()),
            };
            self.put(name, NodeKind::Symlink { target: relative(name, inside) });
            return Ok(());
        }
        self.remarks.resolved.push(format!("{name} -> {target}"));
        let files: Vec<TreePath> = self.root.inside(&at).map(|(path, _)| path.clone()).collect();
        if self.dir.as_str().starts_with(&format!("{}/", at.as_str())) || at.is_root() || at == self.dir {
            self.remarks.left_out.push(format!("{name}, a link to a directory that holds lib/firmware"));
            return Ok(());
        }
        for file in files {
            self.linked += 1;
            if self.linked > MOST_LINKED {
                self.remarks.left_out.push(format!("{name}, of which more than {MOST_LINKED} files hang"));
                return Ok(());
            }
            let rest = file.as_str().strip_prefix(at.as_str()).unwrap_or_default();
            let name = format!("{name}{rest}");
            match &self.root.nodes[&file].kind {
                NodeKind::Directory => self.layer.directory(&place(&name)),
                NodeKind::File(_) | NodeKind::HardLink { .. } => self.file(&file, &name)?,
                _ => self.remarks.left_out.push(name),
            }
        }
        Ok(())
    }

    fn put(&mut self, name: &str, kind: NodeKind) {
        let path = place(name);
        let before = self.layer.origin.get(&path).copied();
        // What has no origin is a directory.
        if self.layer.put(&path, kind, self.origin) && before != Some(self.origin) {
            self.remarks.replaced.push(name.to_owned());
        }
    }
}

/// Where a file of `lib/firmware` goes.
fn place(name: &str) -> TreePath {
    format!("lib/firmware/{name}").parse().expect("it is a path of a tree")
}

/// What a link at `from` says to lead to `to`, both below the same directory.
fn relative(from: &str, to: &str) -> String {
    let from: Vec<&str> = from.split('/').collect();
    let to: Vec<&str> = to.split('/').collect();
    let dirs = &from[..from.len() - 1];
    let common = dirs.iter().zip(&to[..to.len() - 1]).take_while(|(a, b)| a == b).count();
    let up = std::iter::repeat_n("..", dirs.len() - common);
    up.chain(to[common..].iter().copied()).collect::<Vec<_>>().join("/")
}

/// Firmware that the modules may ask for and that is not in `layer`, by name.
pub(super) fn missing<'a>(wanted: impl Iterator<Item = &'a str>, layer: &Layer) -> BTreeSet<String> {
    let wanted: BTreeSet<&str> = wanted.collect();
    // A name may be a pattern; `*` stands for a version then.
    let there = |name: &str| {
        let (start, end) = name.split_once('*').unwrap_or((name, ""));
        if name.contains('*') {
            layer.origin.keys().filter_map(|path| path.as_str().strip_prefix("lib/firmware/")).any(|path| {
                path.starts_with(start) && path.ends_with(end.rsplit('*').next().unwrap_or_default())
            })
        } else {
            name.parse::<TreePath>().is_ok_and(|name| layer.has(&place(name.as_str())))
        }
    };
    wanted.into_iter().filter(|name| !there(name)).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_as_short_as_they_can_be() {
        assert_eq!(relative("a", "b"), "b");
        assert_eq!(relative("x/a", "x/b"), "b");
        assert_eq!(relative("x/y/a", "x/z/b"), "../z/b");
        assert_eq!(relative("a", "x/y/b"), "x/y/b");
        assert_eq!(relative("x/a", "b"), "../b");
    }
}

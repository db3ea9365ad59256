//! What a container sees: layers over each other.

use std::collections::BTreeSet;

use bootway_plan::TreePath;

use super::members::{Layer, What};
use crate::{
    listing::{Found, Listing},
    tree::{NodeKind, Tree},
};

/// The files of an image.
#[derive(Debug, Default)]
pub(crate) struct RootFs {
    pub(crate) listing: Listing,
    /// Regular files that somebody may execute.
    programs: BTreeSet<TreePath>,
    /// By the number that the listing has for a regular file: its layer, and its place in there.
    pub(crate) places: Vec<(usize, u64)>,
}

impl RootFs {
    /// What a container would see of `tree`; nothing can be read of it.
    pub(super) fn of_tree(tree: &Tree) -> Self {
        let mut files = Self::default();
        for (path, node) in &tree.nodes {
            let found = match &node.kind {
                NodeKind::Directory => Found::Directory,
                NodeKind::File(content) => Found::File { size: content.size(), number: 0 },
                NodeKind::HardLink { to } => files.listing.files.get(to).cloned().unwrap_or(Found::Other),
                NodeKind::Symlink { target } => Found::Symlink { target: target.clone() },
                _ => Found::Other,
            };
            if node.mode & 0o111 != 0 && matches!(found, Found::File { .. }) {
                files.programs.insert(path.clone());
            }
            files.listing.files.insert(path.clone(), found);
        }
        files
    }

    /// Lays `layer` over what is there.
    ///
    /// # Errors
    ///
    /// If a hard link leads to nothing.
    pub(super) fn add(&mut self, layer: &Layer, index: usize) -> Result<(), String> {
        // They hide what is below, and never what is in the same layer.
        for entry in &layer.entries {
            match entry.what {
                What::Whiteout => self.remove(&entry.path, true),
                What::Opaque => self.remove(&entry.path, false),
                _ => {}
            }
        }
        self.listing.files.entry(TreePath::root()).or_insert(Found::Directory);
        for entry in &layer.entries {
            let path = &entry.path;
            let mut is_program = entry.mode & 0o111 != 0;
            let found = match &entry.what {
                What::Whiteout | What::Opaque => continue,
                What::Directory => Found::Directory,
                What::File { size, number } => {
                    self.places.push((index, *number));
                    Found::File { size: *size, number: self.places.len() as u64 - 1 }
                }
                What::HardLink { to } => {
                    is_program = self.programs.contains(to);
                    let target = self.listing.files.get(to);
                    target
                        .cloned()
                        .ok_or_else(|| format!("its `{path}` is a link to `{to}`, which is nowhere"))?
                }
                What::Symlink { target } => Found::Symlink { target: target.clone() },
                What::Other => Found::Other,
            };
            if found != Found::Directory && self.listing.files.get(path) == Some(&Found::Directory) {
                self.remove(path, true);
            }
            self.programs.remove(path);
            if is_program && matches!(found, Found::File { .. }) {
                self.programs.insert(path.clone());
            }
            self.listing.files.insert(path.clone(), found);
        }
        Ok(())
    }

    /// Removes everything below `path`, and maybe itself.
    fn remove(&mut self, path: &TreePath, itself: bool) {
        let below: Vec<TreePath> = if path.is_root() {
            self.listing.files.keys().filter(|it| !it.is_root()).cloned().collect()
        } else {
            let (first, end) = (format!("{}/", path.as_str()), format!("{}0", path.as_str())); // `0` follows `/`
            let inside = self.listing.files.range(first.parse::<TreePath>().unwrap_or_default()..);
            let inside = inside.take_while(|(it, _)| it.as_str() < end.as_str());
            let is_below = |it: &&TreePath| it.as_str().starts_with(&first);
            inside.map(|(it, _)| it).filter(is_below).cloned().collect()
        };
        for path in below.iter().chain(itself.then_some(path)) {
            self.listing.files.remove(path);
            self.programs.remove(path);
        }
    }

    /// What an engine would start for the command `name`; the reason if there is nothing.
    pub(super) fn program(&self, name: &str, env: &[String], workdir: &str) -> Result<(), String> {
        let workdir = if workdir.is_empty() { "/" } else { workdir };
        let candidates: Vec<String> = if name.starts_with('/') {
            vec![name.to_owned()]
        } else if name.contains('/') {
            vec![format!("{workdir}/{name}")]
        } else {
            let path = env.iter().find_map(|it| it.strip_prefix("PATH=")).unwrap_or(DEFAULT_PATH);
            path.split(':').filter(|dir| !dir.is_empty()).map(|dir| format!("{dir}/{name}")).collect()
        };
        let mut is_there = false;
        for candidate in &candidates {
            let Ok(path) = candidate.parse::<TreePath>() else { continue };
            let Some(place) = self.listing.resolve(&path) else { continue };
            if self.programs.contains(&place) {
                return Ok(());
            }
            is_there = true;
        }
        Err(match (is_there, name.contains('/')) {
            (true, _) => format!("`{name}` may not be executed"),
            (false, true) => format!("`{name}` is in none of its layers"),
            (false, false) => format!("`{name}` is in none of the directories of its PATH"),
        })
    }
}

/// What engines search when an image says nothing.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

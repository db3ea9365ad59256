//! The way from the root of a tree to a place in it, along names and symbolic links.

use bootway_plan::TreePath;

use super::{fault::Fault, layout::join};

/// Symbolic links on the way to one place, as in Linux.
const LINKS: usize = 40;

/// A walk from the root along names and links.
pub(super) struct Steps {
    pub(super) at: TreePath,
    /// Names to go, the next one last; `..` goes up, `/` back to the root.
    todo: Vec<String>,
    /// Links that were followed.
    pub(super) links: Vec<TreePath>,
}

impl Steps {
    pub(super) fn new(at: TreePath, target: &str) -> Self {
        let mut steps = Self { at, todo: Vec::new(), links: Vec::new() };
        steps.push(target);
        steps
    }

    /// The next place that must be looked at.
    pub(super) fn next(&mut self) -> Result<Option<TreePath>, Fault> {
        while let Some(name) = self.todo.pop() {
            match name.as_str() {
                ".." => self.at = self.at.parent().unwrap_or_default(),
                "/" => self.at = TreePath::root(),
                name => return join(&self.at, name).map(Some),
            }
        }
        Ok(None)
    }

    pub(super) fn enter(&mut self, directory: TreePath) {
        self.at = directory;
    }

    /// Goes where `link` leads; `false` after too many.
    pub(super) fn follow(&mut self, link: TreePath, target: &str) -> bool {
        self.links.push(link);
        self.push(target);
        self.links.len() <= LINKS
    }

    fn push(&mut self, target: &str) {
        let names = target.split('/').rev().filter(|name| !matches!(*name, "" | "."));
        self.todo.extend(names.map(str::to_owned));
        if target.starts_with('/') {
            self.todo.push("/".to_owned());
        }
    }
}

//! The way of a member from its name in an archive to its place in the tree.

use bootway_plan::TreePath;

use super::{
    fault::{Fault, Stop},
    limits,
    tarball::readable,
};

/// Where the members of an archive go.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    /// The directory that they go to.
    base: TreePath,
    shape: Shape,
}

#[derive(Clone, Debug)]
enum Shape {
    /// Components of a name that are left out.
    Stripped(u32),
    /// All members are in one directory, which is left out; its name, when it is known.
    Below(Option<String>),
}

impl Route {
    /// To the root of the tree, without the first `strip` components.
    pub(crate) fn stripped(strip: u32) -> Self {
        Self { base: TreePath::root(), shape: Shape::Stripped(strip) }
    }

    /// To `base` as they are.
    pub(crate) const fn to(base: TreePath) -> Self {
        Self { base, shape: Shape::Stripped(0) }
    }

    /// To `base`, without the one directory that all of them are in.
    pub(crate) const fn below(base: TreePath) -> Self {
        Self { base, shape: Shape::Below(None) }
    }

    /// Where the member `path` goes; `None` if nothing is left of its name.
    ///
    /// A leading slash means the root of the tree, as everywhere in an archive.
    pub(super) fn of(&mut self, path: &str, is_directory: bool) -> Result<Option<TreePath>, Stop> {
        let whole = parsed(path)?;
        let strip = match &mut self.shape {
            Shape::Stripped(strip) => *strip as usize,
            Shape::Below(top) => {
                let Some(first) = whole.components().next() else { return Ok(None) };
                let is_top = whole.components().nth(1).is_none();
                if top.get_or_insert_with(|| first.to_owned()) != first || is_top && !is_directory {
                    return Err(Stop::Apart);
                }
                1
            }
        };
        let rest: Vec<&str> = whole.components().skip(strip).collect();
        if rest.is_empty() && strip > 0 {
            return Ok(None);
        }
        Ok(Some(self.base.below(&parsed_rest(&rest.join("/"), path)?)))
    }
}

fn parsed(path: &str) -> Result<TreePath, Fault> {
    if path.len() > limits::PATH {
        let value = format!("{} bytes (`{}`)", path.len(), readable(path));
        return Err(Fault::Limit { what: "a path", value, limit: limits::PATH.to_string() });
    }
    if path.is_empty() {
        return Err(Fault::Path { path: readable(path), reason: "has no name" });
    }
    parsed_rest(path, path)
}

fn parsed_rest(rest: &str, path: &str) -> Result<TreePath, Fault> {
    let reason = "leaves the tree: `..` and NUL are not allowed";
    rest.parse().map_err(|_| Fault::Path { path: readable(path), reason })
}

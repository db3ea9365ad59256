//! What is in a tree of files.
//!
//! A tree artifact is a directory with the contents and, beside it, a manifest with everything that an ordinary
//! user cannot write into a directory: owners, modes, device nodes, extended attributes. Times are not in it: every
//! file of an image carries the plan's epoch.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::Digest;

/// A path inside a tree: relative, `/`-separated, without `.`, `..` or empty components. The root itself is `""`.
///
/// ```
/// use bootway_plan::TreePath;
///
/// let path: TreePath = "./usr//bin/env".parse()?;
/// assert_eq!(path.as_str(), "usr/bin/env");
/// assert!("../etc/passwd".parse::<TreePath>().is_err());
/// # Ok::<(), bootway_plan::InvalidManifest>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TreePath(String);

impl TreePath {
    /// The root of the tree.
    pub const fn root() -> Self {
        Self(String::new())
    }

    /// Relative to the root, without a leading slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the root.
    pub const fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The directory it is in, or `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        Some(Self(self.0.rsplit_once('/').map_or(String::new(), |(parent, _)| parent.to_owned())))
    }

    /// Its last component, or `""` for the root.
    pub fn name(&self) -> &str {
        self.0.rsplit_once('/').map_or(&self.0, |(_, name)| name)
    }

    /// `name` in this directory; `name` is one component.
    ///
    /// # Errors
    ///
    /// If `name` is empty, `.`, `..`, or has a slash or a NUL.
    pub fn join(&self, name: &str) -> Result<Self, InvalidManifest> {
        if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) {
            return Err(InvalidManifest::Path { text: name.to_owned() });
        }
        Ok(Self(if self.is_root() { name.to_owned() } else { format!("{}/{name}", self.0) }))
    }

    /// `inner` below this directory.
    #[must_use]
    pub fn below(&self, inner: &Self) -> Self {
        match (self.is_root(), inner.is_root()) {
            (true, _) => inner.clone(),
            (_, true) => self.clone(),
            _ => Self(format!("{}/{}", self.0, inner.0)),
        }
    }

    /// Its components.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').filter(|name| !name.is_empty())
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", self.0)
    }
}

impl FromStr for TreePath {
    type Err = InvalidManifest;

    fn from_str(text: &str) -> Result<Self, InvalidManifest> {
        let mut path = Self::root();
        for name in text.split('/').filter(|name| !matches!(*name, "" | ".")) {
            path = path.join(name).map_err(|_| InvalidManifest::Path { text: text.to_owned() })?;
        }
        Ok(path)
    }
}

impl TryFrom<String> for TreePath {
    type Error = InvalidManifest;

    fn try_from(text: String) -> Result<Self, InvalidManifest> {
        text.parse()
    }
}

impl From<TreePath> for String {
    fn from(path: TreePath) -> Self {
        path.0
    }
}

/// One file of a tree, of whatever kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Entry {
    /// Permission bits, 0 to 0o7777.
    pub mode: u16,
    /// Numeric owner.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub uid: u32,
    /// Numeric group.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub gid: u32,
    /// What it is.
    pub kind: EntryKind,
    /// Extended attributes by full name (`security.capability`), values as bytes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub xattrs: BTreeMap<String, Vec<u8>>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// What a file is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntryKind {
    /// A directory.
    Directory,
    /// A regular file.
    File {
        /// Bytes.
        size: u64,
        /// Of the content.
        digest: Digest,
    },
    /// Another name of the regular file at this path, which sorts before it.
    HardLink {
        /// The first name.
        to: TreePath,
    },
    /// A symbolic link.
    Symlink {
        /// What it says, as it is.
        target: String,
    },
    /// A character device.
    CharDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

/// Everything in a tree, by path.
///
/// Its text has one line of JSON for each entry, sorted by path, so that two trees can be compared with `diff`. The
/// digest of that text is the digest of the tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// By path; the root is an entry too.
    pub entries: BTreeMap<TreePath, Entry>,
}

#[derive(Serialize, Deserialize)]
struct Line {
    path: TreePath,
    #[serde(flatten)]
    entry: Entry,
}

impl Manifest {
    /// The canonical text.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for (path, entry) in &self.entries {
            let line = Line { path: path.clone(), entry: entry.clone() };
            text += &serde_json::to_string(&line).expect("a manifest entry is plain data");
            text.push('\n');
        }
        text
    }

    /// Reads the canonical text.
    ///
    /// # Errors
    ///
    /// If a line is not an entry; the message has its number.
    pub fn from_text(text: &str) -> Result<Self, InvalidManifest> {
        let mut entries = BTreeMap::new();
        for (line, number) in text.lines().zip(1_u32..) {
            let line: Line = serde_json::from_str(line)
                .map_err(|error| InvalidManifest::Line { number, reason: error.to_string() })?;
            entries.insert(line.path, line.entry);
        }
        Ok(Self { entries })
    }

    /// Of the canonical text.
    pub fn digest(&self) -> Digest {
        Digest::of(self.to_text().as_bytes())
    }

    /// Bytes of all regular files.
    pub fn content_size(&self) -> u64 {
        let size = |entry: &Entry| if let EntryKind::File { size, .. } = entry.kind { size } else { 0 };
        self.entries.values().map(size).sum()
    }

    /// Where `path` leads when every symbolic link is followed inside this tree, as `chroot` would; `None` if
    /// nothing is there, or after 40 links.
    pub fn resolve(&self, path: &TreePath) -> Option<TreePath> {
        let mut todo: Vec<String> = path.components().map(str::to_owned).collect();
        todo.reverse();
        let mut at = TreePath::root();
        let mut links = 0;
        while let Some(name) = todo.pop() {
            if name == ".." {
                at = at.parent().unwrap_or_default();
                continue;
            }
            let next = at.join(&name).ok()?;
            match &self.entries.get(&next)?.kind {
                EntryKind::Symlink { target } => {
                    links += 1;
                    if links > 40 {
                        return None;
                    }
                    if target.starts_with('/') {
                        at = TreePath::root();
                    }
                    todo.extend(
                        target.split('/').filter(|name| !matches!(*name, "" | ".")).rev().map(str::to_owned),
                    );
                }
                _ => at = next,
            }
        }
        Some(at)
    }
}

/// A manifest or a path in one cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidManifest {
    /// The path leaves the tree or has a component that no file can have.
    #[error("`{text}` is not a path inside a tree: `..`, empty names and NUL are not allowed")]
    Path {
        /// As it was given.
        text: String,
    },
    /// A line is not an entry.
    #[error("line {number} of the manifest is not an entry: {reason}")]
    Line {
        /// From 1.
        number: u32,
        /// What the JSON reader said.
        reason: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(entries: &[(&str, EntryKind)]) -> Manifest {
        let entry = |kind: &EntryKind| Entry {
            mode: 0o755,
            uid: 0,
            gid: 0,
            kind: kind.clone(),
            xattrs: BTreeMap::new(),
        };
        Manifest {
            entries: entries.iter().map(|(path, kind)| (path.parse().unwrap(), entry(kind))).collect(),
        }
    }

    #[test]
    fn links_are_followed_inside_the_tree_only() {
        let file = EntryKind::File { size: 3, digest: Digest::of(b"abc") };
        let link = |target: &str| EntryKind::Symlink { target: target.to_owned() };
        let manifest = tree(&[
            ("", EntryKind::Directory),
            ("lib", link("usr/lib")),
            ("usr", EntryKind::Directory),
            ("usr/lib", EntryKind::Directory),
            ("usr/lib/a", file),
            ("usr/lib/up", link("../../../../lib/a")),
            ("usr/lib/abs", link("/lib/a")),
            ("loop", link("loop")),
        ]);
        let resolve = |path: &str| manifest.resolve(&path.parse().unwrap()).map(|path| path.to_string());
        assert_eq!(resolve("lib/a").as_deref(), Some("/usr/lib/a"));
        assert_eq!(resolve("lib/up").as_deref(), Some("/usr/lib/a"));
        assert_eq!(resolve("lib/abs").as_deref(), Some("/usr/lib/a"));
        assert_eq!(resolve("loop"), None);
        assert_eq!(resolve("lib/b"), None);
        assert_eq!(Manifest::from_text(&manifest.to_text()), Ok(manifest));
    }
}

//! The names of everything in something that holds files, and what is there.

use std::{cell::OnceCell, collections::BTreeMap};

use bootway_plan::{Digest, Entry, EntryKind, Manifest, TreePath};

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Directory,
    File { size: u64, number: u64 },
    Symlink { target: String },
    Other,
}

/// Everything in a volume, by path.
#[derive(Clone, Debug, Default)]
pub(crate) struct Listing {
    pub(crate) files: BTreeMap<TreePath, Found>,
    /// The same as a manifest, which knows how links are followed; made when it is asked for.
    manifest: OnceCell<Manifest>,
}

impl Listing {
    /// Of these files.
    pub(crate) const fn new(files: BTreeMap<TreePath, Found>) -> Self {
        Self { files, manifest: OnceCell::new() }
    }

    /// Where `path` leads when links are followed inside the volume.
    pub(crate) fn resolve(&self, path: &TreePath) -> Option<TreePath> {
        let entry = |(path, found): (&TreePath, &Found)| {
            let kind = match found {
                Found::Directory => EntryKind::Directory,
                Found::File { size, .. } => EntryKind::File { size: *size, digest: Digest::of(b"") },
                Found::Symlink { target } => EntryKind::Symlink { target: target.clone() },
                Found::Other => EntryKind::Fifo,
            };
            (path.clone(), Entry { mode: 0, uid: 0, gid: 0, kind, xattrs: BTreeMap::new() })
        };
        let manifest =
            self.manifest.get_or_init(|| Manifest { entries: self.files.iter().map(entry).collect() });
        manifest.resolve(path)
    }
}

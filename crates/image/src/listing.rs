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

/// What a volume says of a file beside what it is; what it does not say is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attributes {
    /// Permission bits.
    pub(crate) mode: Option<u16>,
    /// User and group.
    pub(crate) owner: Option<(u32, u32)>,
    /// When it was changed, seconds since 1970.
    pub(crate) mtime: Option<u32>,
    /// What kind of file something is that is no directory, regular file or symbolic link.
    pub(crate) special: Option<String>,
    /// The first name of a file that has several.
    pub(crate) first_name: Option<TreePath>,
    /// Extended attributes.
    pub(crate) xattrs: BTreeMap<String, Vec<u8>>,
    /// Of a regular file, where it is known without reading it.
    pub(crate) digest: Option<Digest>,
}

/// Everything in a volume, by path.
#[derive(Clone, Debug, Default)]
pub(crate) struct Listing {
    pub(crate) files: BTreeMap<TreePath, Found>,
    /// Only of volumes that have some.
    pub(crate) attributes: BTreeMap<TreePath, Attributes>,
    /// The same as a manifest, which knows how links are followed; made when it is asked for.
    manifest: OnceCell<Manifest>,
}

impl Listing {
    /// Of these files.
    pub(crate) fn new(files: BTreeMap<TreePath, Found>) -> Self {
        Self { files, ..Self::default() }
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

//! Layers over each other, as one tree.

use std::collections::BTreeMap;

use bootway_exec::{Cx, Input};
use bootway_plan::{Base, Digester, Entry, EntryKind, Inside, Manifest, TreePath};
use camino::{Utf8Path, Utf8PathBuf};

use crate::{
    error::RootError,
    layer::{has_whiteout, is_opaque, is_whiteout},
};

/// A file of a merged tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// What it is; a hard link is the file that it is another name of.
    pub(crate) entry: Entry,
    /// Where its content is.
    pub(crate) path: Utf8PathBuf,
}

/// Everything in a root, by path.
pub(crate) type Merged = BTreeMap<TreePath, Found>;

/// The root as it is after all of its layers; with `places`, a directory that lies below all of them.
///
/// # Errors
///
/// If a manifest or a directory cannot be read.
pub(crate) fn merged(cx: &Cx<'_>, inside: &Inside, places: Option<&Utf8Path>) -> Result<Merged, RootError> {
    let mut all = Merged::new();
    if let Some(places) = places {
        put(&mut all, &walk(places)?, places);
    }
    if let Base::Tree(source) = &inside.base {
        let input = cx.input(source)?;
        let manifest = if input.made { read(input)? } else { walk(&input.path)? };
        put(&mut all, &manifest, &input.path);
    }
    for layer in &inside.layers {
        let input = cx.input(layer)?;
        put(&mut all, &read(input)?, &input.path);
    }
    Ok(all)
}

/// What layers say is gone, and overlayfs would not see to be so.
///
/// # Errors
///
/// If a manifest cannot be read.
pub(crate) fn unseen_whiteout(cx: &Cx<'_>, inside: &Inside) -> Result<Option<Utf8PathBuf>, RootError> {
    for layer in &inside.layers {
        let input = cx.input(layer)?;
        let manifest = read(input)?;
        let gone = manifest.entries.iter().filter(|(_, entry)| is_whiteout(entry));
        let mut gone = gone.map(|(path, _)| input.path.join(path.as_str()));
        if let Some(path) = gone.find(|path| !has_whiteout(path)) {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// The manifest of the root, as far as names and kinds go.
pub(crate) fn manifest_of(merged: &Merged) -> Manifest {
    Manifest { entries: merged.iter().map(|(path, found)| (path.clone(), found.entry.clone())).collect() }
}

fn read(input: &Input) -> Result<Manifest, RootError> {
    Ok(Manifest::from_text(&fs_err::read_to_string(format!("{}.manifest", input.path))?)?)
}

/// A directory that no step made: root owns everything in it.
fn walk(dir: &Utf8Path) -> Result<Manifest, RootError> {
    use std::os::unix::fs::MetadataExt as _;
    let mut manifest = Manifest::default();
    for found in walkdir::WalkDir::new(dir).sort_by_file_name() {
        let found = found.map_err(std::io::Error::from)?;
        let path = Utf8Path::from_path(found.path())
            .ok_or_else(|| std::io::Error::other(format!("{} is not UTF-8", found.path().display())))?;
        let name: TreePath = path.strip_prefix(dir).map_or("", Utf8Path::as_str).parse()?;
        let metadata = fs_err::symlink_metadata(path)?;
        let kind = if metadata.is_dir() {
            EntryKind::Directory
        } else if metadata.is_symlink() {
            EntryKind::Symlink { target: fs_err::read_link(path)?.to_string_lossy().into_owned() }
        } else if metadata.is_file() {
            let mut digester = Digester::default();
            std::io::copy(&mut fs_err::File::open(path)?, &mut digester)?;
            EntryKind::File { size: metadata.len(), digest: digester.finish() }
        } else {
            continue;
        };
        let executable = metadata.is_dir() || metadata.mode() & 0o100 != 0;
        let mode = if executable { 0o755 } else { 0o644 };
        manifest.entries.insert(name, Entry { mode, uid: 0, gid: 0, kind, xattrs: BTreeMap::new() });
    }
    Ok(manifest)
}

/// Lays the tree `dir` over everything that is there.
fn put(all: &mut Merged, layer: &Manifest, dir: &Utf8Path) {
    for (path, entry) in &layer.entries {
        let stays_directory = entry.kind == EntryKind::Directory
            && !is_opaque(entry)
            && all.get(path).is_some_and(|found| found.entry.kind == EntryKind::Directory);
        if !stays_directory {
            remove(all, path);
        }
        if is_whiteout(entry) {
            continue;
        }
        let (mut entry, mut from) = (entry.clone(), path.clone());
        entry.xattrs.remove(crate::layer::OPAQUE);
        if let EntryKind::HardLink { to } = &entry.kind
            && let Some(first) = layer.entries.get(to)
        {
            from.clone_from(to);
            entry.kind = first.kind.clone();
        }
        all.insert(path.clone(), Found { entry, path: dir.join(from.as_str()) });
    }
}

/// Removes a path and everything below it.
fn remove(all: &mut Merged, path: &TreePath) {
    if path.is_root() {
        all.clear();
        return;
    }
    all.remove(path);
    // `usr-x` comes between `usr` and `usr/bin`, and is not below it; `0` comes behind `/`.
    let (below, behind) = (format!("{}/", path.as_str()), format!("{}0", path.as_str()));
    let candidates = all.range(path.clone()..).map(|(it, _)| it);
    let candidates = candidates.take_while(|it| it.as_str() < behind.as_str());
    let doomed: Vec<TreePath> = candidates.filter(|it| it.as_str().starts_with(&below)).cloned().collect();
    for it in doomed {
        all.remove(&it);
    }
}

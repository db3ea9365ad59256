//! `rootfs`: the root of a namespace, or a directory of it, as a tree.

use std::{collections::BTreeMap, os::unix::fs::symlink};

use bootway_exec::{Cx, RunError, StepOutput};
use bootway_plan::{ArtifactKind, Entry, EntryKind, Manifest, Name, TreePath, step};
use camino::{Utf8Path, Utf8PathBuf};
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use crate::{
    error::RootError,
    layer::set_time,
    merge::{Found, merged},
};

/// Writes the root as it is after all steps before this one to the output `tree`.
///
/// # Errors
///
/// If there is nothing at the path, a pattern is no good, or a file cannot be read or written.
pub fn rootfs(cx: &Cx<'_>, step: &step::Rootfs) -> Result<Vec<StepOutput>, RootError> {
    let inside = cx.inside.ok_or(RootError::NoRoot)?;
    let from = inside.view.below(&step.path);
    let drop = patterns(&step.drop)?;
    let all = merged(cx, inside, None)?;
    if !from.is_root() && !all.get(&from).is_some_and(|found| found.entry.kind == EntryKind::Directory) {
        return Err(RootError::Source(format!("there is no directory `{from}` in the root")));
    }
    let tree = cx.out.join("tree");
    fs_err::create_dir_all(&tree)?;
    let mut manifest = Manifest::default();
    let mut first: BTreeMap<&Utf8PathBuf, TreePath> = BTreeMap::new();
    manifest.entries.insert(TreePath::root(), directory());
    for (path, found) in &all {
        if cx.cancel.is_cancelled() {
            return Err(RunError::Cancelled.into());
        }
        let Some(name) = below(path, &from) else { continue };
        let dropped = |path: &TreePath| drop.is_match(path.as_str());
        if name.is_root()
            || std::iter::successors(Some(name.clone()), TreePath::parent).any(|it| dropped(&it))
        {
            continue;
        }
        let mut entry = found.entry.clone();
        if let (EntryKind::File { .. }, Some(to)) = (&entry.kind, first.get(&found.path)) {
            entry.kind = EntryKind::HardLink { to: to.clone() };
        } else {
            first.insert(&found.path, name.clone());
        }
        write(&tree, &name, &entry, found)?;
        manifest.entries.insert(name, entry);
    }
    for (name, entry) in manifest.entries.iter().rev() {
        let on_disk = matches!(
            entry.kind,
            EntryKind::Directory
                | EntryKind::File { .. }
                | EntryKind::HardLink { .. }
                | EntryKind::Symlink { .. }
        );
        if on_disk {
            set_time(&tree.join(name.as_str()), cx.epoch)?;
        }
    }
    fs_err::write(format!("{tree}.manifest"), manifest.to_text())?;
    Ok(vec![StepOutput { name: Name::fixed("tree"), kind: ArtifactKind::Tree, path: tree }])
}

const fn directory() -> Entry {
    Entry { mode: 0o755, uid: 0, gid: 0, kind: EntryKind::Directory, xattrs: BTreeMap::new() }
}

/// `path` as it is seen from `from`.
fn below(path: &TreePath, from: &TreePath) -> Option<TreePath> {
    if from.is_root() {
        return Some(path.clone());
    }
    let rest = path.as_str().strip_prefix(from.as_str())?;
    if rest.is_empty() || rest.starts_with('/') { rest.parse().ok() } else { None }
}

fn write(tree: &Utf8Path, name: &TreePath, entry: &Entry, found: &Found) -> Result<(), RootError> {
    use std::os::unix::fs::PermissionsExt as _;
    let to = tree.join(name.as_str());
    match &entry.kind {
        EntryKind::Directory => fs_err::create_dir_all(&to)?,
        EntryKind::File { .. } => {
            fs_err::copy(&found.path, &to)?;
            // As everybody may have it; the rest is in the manifest.
            let mode = if entry.mode & 0o100 == 0 { 0o644 } else { 0o755 };
            fs_err::set_permissions(&to, std::fs::Permissions::from_mode(mode))?;
        }
        EntryKind::HardLink { to: first } => fs_err::hard_link(tree.join(first.as_str()), &to)?,
        EntryKind::Symlink { target } => symlink(target, &to)?,
        EntryKind::CharDevice { .. }
        | EntryKind::BlockDevice { .. }
        | EntryKind::Fifo
        | EntryKind::Socket => (),
    }
    Ok(())
}

fn patterns(of: &[String]) -> Result<GlobSet, RootError> {
    let mut set = GlobSetBuilder::new();
    for pattern in of {
        let glob = GlobBuilder::new(pattern.trim_start_matches('/')).literal_separator(true).build();
        set.add(glob.map_err(|error| RootError::Source(format!("`{pattern}` is not a pattern: {error}")))?);
    }
    set.build().map_err(|error| RootError::Source(error.to_string()))
}

//! Changes to files, made in the root itself: no link can lead out of it.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, lchown, symlink},
    path::{Path, PathBuf},
};

use bootway_plan::{TreePath, step::Edit};

use super::{Trouble, stages::Failed};

/// Makes `edits` in order.
pub(super) fn edit(edits: &[Edit]) -> Result<(), Failed> {
    edits
        .iter()
        .try_for_each(|edit| one(edit).map_err(|(path, error)| (Trouble::Edit, format!("`{path}`"), error)))
}

fn one(edit: &Edit) -> Result<(), (TreePath, io::Error)> {
    let (path, done) = match edit {
        Edit::Write { path, text, mode, if_missing } => (path, write(path, text, mode.0, *if_missing)),
        Edit::Symlink { path, target, if_missing } => (path, link(path, target, *if_missing)),
        Edit::Remove { path } => (path, remove(path)),
        Edit::Mkdir { path, mode } => (path, mkdir(path, mode.0)),
        Edit::Chmod { path, mode } => (path, chmod(&place(path), mode.0)),
        Edit::Chown { path, uid, gid } => (path, lchown(place(path), Some(*uid), Some(*gid))),
        Edit::Copy { path, to } => (path, copy(&place(path), &place(to))),
        Edit::Truncate { path } => {
            (path, fs::OpenOptions::new().write(true).truncate(true).open(place(path)).map(drop))
        }
    };
    done.map_err(|error| (path.clone(), error))
}

fn place(path: &TreePath) -> PathBuf {
    Path::new("/").join(path.as_str())
}

fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

fn parents(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)
}

fn chmod(path: &Path, mode: u16) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode.into()))
}

fn write(path: &TreePath, text: &str, mode: u16, if_missing: bool) -> io::Result<()> {
    let path = place(path);
    if if_missing && is_there(&path) {
        return Ok(());
    }
    parents(&path)?;
    fs::write(&path, text)?;
    chmod(&path, mode)
}

fn link(path: &TreePath, target: &str, if_missing: bool) -> io::Result<()> {
    let path = place(path);
    if is_there(&path) {
        if if_missing {
            return Ok(());
        }
        // A link in the place of a directory would throw away what is in it.
        fs::remove_file(&path)?;
    }
    parents(&path)?;
    symlink(target, path)
}

fn remove(path: &TreePath) -> io::Result<()> {
    if path.is_root() {
        return Err(io::Error::other("the whole root is never removed"));
    }
    let path = place(path);
    if fs::symlink_metadata(&path)?.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
}

fn mkdir(path: &TreePath, mode: u16) -> io::Result<()> {
    let path = place(path);
    parents(&path)?;
    match fs::DirBuilder::new().mode(mode.into()).create(&path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => (),
        other => other?,
    }
    chmod(&path, mode)
}

/// A file, a link as it is, or a directory with everything in it.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let metadata = fs::symlink_metadata(from)?;
    parents(to)?;
    if metadata.is_symlink() {
        if is_there(to) {
            fs::remove_file(to)?;
        }
        return symlink(fs::read_link(from)?, to);
    }
    if !metadata.is_dir() {
        return fs::copy(from, to).map(drop);
    }
    if to.starts_with(from) {
        return Err(io::Error::other(format!("`{}` is inside it", to.display())));
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    fs::set_permissions(to, metadata.permissions())
}

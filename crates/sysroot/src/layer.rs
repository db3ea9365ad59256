//! What a step has changed in its root, as a tree of its own.
//!
//! The directory is the upper one of an overlay and can lie under the next: what was removed is a character device with the
//! numbers 0 and 0. The kernel also has directories that hide what was below them, with the attribute [`OPAQUE`]
//! (overlayfs.rst, "whiteouts and opaque directories"); a layer that is done has none. The manifest beside it says the same,
//! and is what its digest is made of.

use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
};

use bootway_exec::{Cx, remove_all};
use bootway_plan::{Digester, Entry, EntryKind, Manifest, TreePath};
use camino::Utf8Path;
use rustix::{
    fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, makedev, mknodat, utimensat},
    io::Errno,
};

use crate::{
    difference::{WHITEOUT, difference},
    error::RootError,
};

/// The attribute of a directory that hides what is below it.
pub(crate) const OPAQUE: &str = "user.overlay.opaque";

/// Whether the entry says that there is nothing.
pub(crate) fn is_whiteout(entry: &Entry) -> bool {
    matches!(entry.kind, EntryKind::CharDevice { major: 0, minor: 0 })
}

/// Whether the entry is a directory that hides what is below it.
pub(crate) fn is_opaque(entry: &Entry) -> bool {
    entry.kind == EntryKind::Directory && entry.xattrs.contains_key(OPAQUE)
}

/// What a step has done to its root.
#[derive(Debug)]
pub(crate) struct Sealed {
    /// What is different now.
    pub(crate) layer: Manifest,
    /// Whether it has written any file at all, be it the same as before.
    pub(crate) wrote: bool,
}

/// Looks at everything in `dir`, which a step has changed or made, and at what is `gone`; leaves in it what is not `below`
/// already, with the time of the plan, and writes down what that is.
///
/// # Errors
///
/// If something cannot be read, or has a name that is not UTF-8.
pub(crate) fn seal(
    cx: &Cx<'_>,
    dir: &Utf8Path,
    gone: &BTreeSet<TreePath>,
    below: &Manifest,
) -> Result<Sealed, RootError> {
    let mut touched = read(cx, dir)?;
    touched.entries.extend(gone.iter().map(|path| (path.clone(), WHITEOUT)));
    let layer = difference(below, &touched);
    for (path, entry) in touched.entries.iter().rev() {
        let at = dir.join(path.as_str());
        if !layer.entries.contains_key(path) {
            remove_all(&at)?;
        } else if is_opaque(entry) {
            rustix::fs::lremovexattr(at.as_std_path(), OPAQUE).map_err(std::io::Error::from)?;
        }
    }
    for path in layer.entries.iter().filter(|(_, entry)| is_whiteout(entry)).map(|(path, _)| path) {
        write_whiteout(&dir.join(path.as_str()))?;
    }
    // Only now: whatever was written into a directory has changed its time.
    for path in layer.entries.keys().map(|path| dir.join(path.as_str())) {
        if path.symlink_metadata().is_ok() {
            set_time(&path, cx.epoch)?;
        }
    }
    let wrote = touched.entries.values().any(|entry| entry.kind != EntryKind::Directory);
    Ok(Sealed { layer, wrote })
}

/// Says on the disk, too, that there is nothing, where the file system lets us: some can have no whiteouts, and overlayfs
/// cannot work on those either. The manifest is what counts.
fn write_whiteout(path: &Utf8Path) -> Result<(), RootError> {
    if has_whiteout(path) {
        return Ok(());
    }
    let made = mknodat(CWD, path.as_std_path(), FileType::CharacterDevice, Mode::RUSR, makedev(0, 0));
    match made {
        Ok(()) | Err(Errno::PERM | Errno::ACCESS | Errno::NOTSUP | Errno::INVAL) => Ok(()),
        Err(error) => {
            Err(std::io::Error::other(format!("cannot make the whiteout `{path}`: {error}")).into())
        }
    }
}

/// Whether overlayfs sees that there is nothing.
pub(crate) fn has_whiteout(path: &Utf8Path) -> bool {
    path.symlink_metadata().is_ok_and(|it| it.file_type().is_char_device() && it.rdev() == 0)
}

/// What is in `dir`.
fn read(cx: &Cx<'_>, dir: &Utf8Path) -> Result<Manifest, RootError> {
    let mut manifest = Manifest::default();
    let mut first_names: BTreeMap<(u64, u64), TreePath> = BTreeMap::new();
    for found in walkdir::WalkDir::new(dir).follow_links(false).sort_by_file_name() {
        if cx.cancel.is_cancelled() {
            return Err(bootway_exec::RunError::Cancelled.into());
        }
        let found = found.map_err(std::io::Error::from)?;
        let path = Utf8Path::from_path(found.path())
            .ok_or_else(|| std::io::Error::other(format!("{} is not UTF-8", found.path().display())))?;
        let name: TreePath = path.strip_prefix(dir).map_or("", Utf8Path::as_str).parse()?;
        if let Some(entry) = entry(path, &name, &mut first_names)? {
            manifest.entries.insert(name, entry);
        }
    }
    Ok(manifest)
}

/// What is at `path`; nothing if it has no meaning for anybody else.
fn entry(
    path: &Utf8Path,
    name: &TreePath,
    first_names: &mut BTreeMap<(u64, u64), TreePath>,
) -> Result<Option<Entry>, RootError> {
    let metadata = fs_err::symlink_metadata(path)?;
    let mode = (metadata.mode() & 0o7777) as u16;
    let is = metadata.file_type();
    // What its owner may not read cannot be looked at, here or later; what it is to be, the manifest says.
    let needed = if is.is_dir() { 0o700 } else { 0o400 };
    if !is.is_symlink() && mode & needed != needed {
        fs_err::set_permissions(path, std::fs::Permissions::from_mode(u32::from(mode | needed)))?;
    }
    let kind = if is.is_dir() {
        EntryKind::Directory
    } else if is.is_symlink() {
        EntryKind::Symlink { target: link(path)? }
    } else if is.is_file() {
        let inode = (metadata.dev(), metadata.ino());
        if let Some(to) = first_names.get(&inode) {
            EntryKind::HardLink { to: to.clone() }
        } else {
            if metadata.nlink() > 1 {
                first_names.insert(inode, name.clone());
            }
            content(path, metadata.len())?
        }
    } else if is.is_char_device() && metadata.rdev() == 0 {
        EntryKind::CharDevice { major: 0, minor: 0 }
    } else if is.is_fifo() {
        EntryKind::Fifo
    } else if is.is_socket() {
        // The program that listened is gone.
        fs_err::remove_file(path)?;
        return Ok(None);
    } else {
        return Err(std::io::Error::other(format!("`{name}` is a device, which no layer has")).into());
    };
    let opaque = is.is_dir() && is_opaque_on_disk(path);
    let xattrs = if opaque { BTreeMap::from([(OPAQUE.to_owned(), b"y".to_vec())]) } else { BTreeMap::new() };
    Ok(Some(Entry { mode, uid: 0, gid: 0, kind, xattrs }))
}

fn link(path: &Utf8Path) -> Result<String, RootError> {
    let target = fs_err::read_link(path)?.into_os_string().into_string();
    Ok(target.map_err(|target| {
        std::io::Error::other(format!("`{path}` leads to {}, which is not UTF-8", target.display()))
    })?)
}

fn content(path: &Utf8Path, size: u64) -> Result<EntryKind, RootError> {
    let mut digester = Digester::default();
    let mut file = std::io::BufReader::with_capacity(1 << 20, fs_err::File::open(path)?);
    std::io::copy(&mut file, &mut digester)?;
    Ok(EntryKind::File { size, digest: digester.finish() })
}

fn is_opaque_on_disk(path: &Utf8Path) -> bool {
    let mut value = [0; 8];
    rustix::fs::lgetxattr(path.as_std_path(), OPAQUE, &mut value[..])
        .is_ok_and(|length| &value[..length] == b"y")
}

/// Gives a file, or a link itself, the time of the plan.
pub(crate) fn set_time(path: &Utf8Path, epoch: u64) -> Result<(), RootError> {
    let time = Timespec { tv_sec: i64::try_from(epoch).unwrap_or(i64::MAX), tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    let set = utimensat(CWD, path.as_std_path(), &times, AtFlags::SYMLINK_NOFOLLOW);
    Ok(set.map_err(|error| std::io::Error::other(format!("cannot set the time of `{path}`: {error}")))?)
}

/// What is gone at the top of the root, if that is most of it: a step that removes `/` has gone wrong, whatever it says.
pub(crate) fn emptied(before: &Manifest, layer: &Manifest, view: &TreePath) -> Vec<String> {
    let top = |path: &TreePath| path.parent().as_ref() == Some(view);
    let there = before.entries.iter().filter(|(path, _)| top(path)).count();
    let gone: Vec<String> = layer
        .entries
        .iter()
        .filter(|(path, entry)| top(path) && is_whiteout(entry))
        .map(|(path, _)| format!("`{path}`"))
        .collect();
    if gone.len() >= 2 && gone.len() * 2 > there { gone } else { Vec::new() }
}

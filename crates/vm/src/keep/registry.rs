//! Where kept guests are found: a link for each, in a directory of the user.

use std::{
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
};

use camino::{Utf8Path, Utf8PathBuf};

use super::words::CONTROL;
use crate::socket;

/// Makes `dir`, which nobody else may look into.
pub(super) fn make(dir: &Utf8Path) -> io::Result<()> {
    if let Some(parent) = dir.parent() {
        fs_err::create_dir_all(parent)?;
    }
    match std::fs::DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    // Where others may write, it may be theirs.
    let metadata = fs_err::symlink_metadata(dir)?;
    let ours = metadata.is_dir()
        && metadata.uid() == rustix::process::geteuid().as_raw()
        && metadata.mode() & 0o022 == 0;
    if ours { Ok(()) } else { Err(io::Error::other(format!("`{dir}` belongs to somebody else"))) }
}

/// Whether nobody looks after the guest in `dir` any more.
///
/// A keeper listens from before its QEMU starts until after it has ended, and QEMU dies with it.
pub(super) fn is_dead(dir: &Utf8Path) -> bool {
    let gone =
        |error: io::Error| matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused);
    socket::dir(dir).and_then(|dir| socket::reach(&dir, CONTROL)).is_err_and(gone)
}

/// Moves `dir` below `places`, as `name` or `name-2` and so on, and links to it from `registry`; the name, the new
/// directory and the link.
pub(super) fn enter(
    dir: &Utf8Path,
    name: &str,
    places: &Utf8Path,
    registry: &Utf8Path,
) -> io::Result<(String, Utf8PathBuf, Utf8PathBuf)> {
    fs_err::create_dir_all(places)?;
    make(registry)?;
    for n in 1.. {
        let name = if n == 1 { name.to_owned() } else { format!("{name}-{n}") };
        let (place, link) = (places.join(&name), registry.join(&name));
        for old in [&place, &link] {
            if fs_err::symlink_metadata(old).is_ok() && is_dead(old) {
                forget(old)?;
            }
        }
        if fs_err::symlink_metadata(&place).is_ok() {
            continue;
        }
        match fs_err::os::unix::fs::symlink(&place, &link) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(error),
        }
        if let Err(error) = fs_err::rename(dir, &place) {
            let _ = fs_err::remove_file(&link);
            return Err(error);
        }
        return Ok((name, place, link));
    }
    unreachable!("some number is free")
}

/// Removes what is left of a guest that nobody looks after: its link, or its directory.
pub(super) fn forget(path: &Utf8Path) -> io::Result<()> {
    let removed = if fs_err::symlink_metadata(path).is_ok_and(|it| it.is_symlink()) {
        if path.join(CONTROL).exists() {
            let place = fs_err::read_link(path)?;
            fs_err::remove_dir_all(&place)?;
            // It fails while somebody is in it.
            let _ = place.parent().map(fs_err::remove_dir);
        }
        fs_err::remove_file(path)
    } else {
        fs_err::remove_dir_all(path)
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Removes what is left in `places` of guests that nobody looks after; those that are kept stay.
///
/// # Errors
///
/// If something cannot be removed.
pub fn sweep(places: &Utf8Path) -> io::Result<()> {
    let Ok(entries) = places.read_dir_utf8() else { return Ok(()) };
    for entry in entries.flatten() {
        if is_dead(entry.path()) {
            forget(entry.path())?;
        }
    }
    // It fails while somebody is in it.
    let _ = fs_err::remove_dir(places);
    Ok(())
}

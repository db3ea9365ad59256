//! Removing what a step worked with.

use std::{fs::Permissions, io, os::unix::fs::PermissionsExt as _, path::Path};

/// Removes a file or directory, if it is there.
///
/// A directory of ours that nobody may write to, or even look into, does not stand in the way: builds make such, and so does
/// the kernel.
///
/// # Errors
///
/// If something in it belongs to somebody else.
pub fn remove_all(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref();
    let removed = match fs_err::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => match fs_err::remove_dir_all(path) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                open_up(path).and_then(|()| fs_err::remove_dir_all(path))
            }
            other => other,
        },
        Ok(_) => fs_err::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Lets the owner into `dir` and everything below.
fn open_up(dir: &Path) -> io::Result<()> {
    fs_err::set_permissions(dir, Permissions::from_mode(0o700))?;
    for entry in fs_err::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_up(&entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_closed_to_its_owner_is_removed_all_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let closed = dir.path().join("a/b");
        fs_err::create_dir_all(&closed).unwrap();
        fs_err::write(closed.join("file"), "x").unwrap();
        for path in [&closed, &dir.path().join("a")] {
            fs_err::set_permissions(path, Permissions::from_mode(0o000)).unwrap();
        }
        remove_all(dir.path().join("a")).unwrap();
        assert!(!dir.path().join("a").exists());
        remove_all(dir.path().join("a")).unwrap();
    }
}

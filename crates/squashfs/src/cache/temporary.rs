//! Files that appear whole or not at all, and leave nothing behind when who writes them is killed.

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU64, Ordering},
};

use fs_err as fs;
use rustix::time::{ClockId, clock_gettime};

const PREFIX: &str = ".tmp-";

/// Whether a file of that name is on its way to another.
pub(super) fn is(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(PREFIX.as_bytes())
}

/// A file that is removed unless it is renamed; locked meanwhile, which says that somebody still writes it.
pub(super) struct Temporary {
    file: File,
    path: PathBuf,
    renamed: bool,
}

impl Temporary {
    /// An empty one in `dir`.
    pub(super) fn new(dir: &Path) -> io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        loop {
            // Nothing of this is in an image. The time keeps apart processes that have the same number in different
            // containers.
            let now = clock_gettime(ClockId::Realtime);
            let (id, next) = (process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
            let path = dir.join(format!("{PREFIX}{id}-{next}-{}{:09}", now.tv_sec, now.tv_nsec));
            let mut options = fs::OpenOptions::new();
            options.read(true).write(true).create_new(true);
            options.options_mut().mode(0o600);
            let file = match options.open(&path) {
                Ok(file) => file.into_file(),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(error),
            };
            let temporary = Self { file, path, renamed: false };
            // A sweeper may have come between: then the name is gone, or is about to be.
            match temporary.file.try_lock() {
                Ok(()) if temporary.file.metadata()?.nlink() > 0 => return Ok(temporary),
                Ok(()) | Err(std::fs::TryLockError::WouldBlock) => {}
                Err(std::fs::TryLockError::Error(error)) => return Err(error),
            }
        }
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// All of what it holds.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes).map_err(|error| named(&self.path, &error))
    }

    /// Gives it its name, in place of a file that may have it.
    pub(super) fn rename(mut self, to: &Path) -> io::Result<()> {
        fs::rename(&self.path, to)?;
        self.renamed = true;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.renamed {
            // If this fails, the next session tries again.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// An error of the file at `path`.
pub(super) fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("failed to write to file `{}`: {error}", path.display()))
}

/// Removes what killed sessions were writing in `dir`.
pub(super) fn sweep(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if !is(&entry.file_name()) {
            continue;
        }
        let path = entry.path();
        let Ok(file) = File::options().read(true).write(true).open(&path) else {
            continue; // Renamed or removed meanwhile.
        };
        if file.try_lock().is_err() {
            continue; // Somebody writes it.
        }
        let same = |now: std::fs::Metadata| {
            file.metadata().is_ok_and(|was| (was.dev(), was.ino()) == (now.dev(), now.ino()))
        };
        if std::fs::symlink_metadata(&path).is_ok_and(same) {
            let _ = fs::remove_file(&path);
        }
    }
    Ok(())
}

//! Whole paths into their places, and what is not wanted any more out of them.

use std::{io, path::Path};

use rustix::{fs::CWD, io::Errno};

use super::copy::{Job, OPEN};

/// Puts a whole path in its place, and away what was there.
pub(super) fn put(job: &Job) -> io::Result<()> {
    match rustix::fs::renameat_with(CWD, &job.beside, CWD, &job.to, rustix::fs::RenameFlags::NOREPLACE) {
        Ok(()) => Ok(()),
        Err(Errno::EXIST) => {
            rustix::fs::renameat_with(CWD, &job.beside, CWD, &job.to, rustix::fs::RenameFlags::EXCHANGE)?;
            remove(&job.beside)
        }
        // A file system that does not know the flag.
        Err(Errno::INVAL | Errno::NOSYS) => {
            remove(&job.to)?;
            fs_err::rename(&job.beside, &job.to)
        }
        Err(error) => Err(error.into()),
    }
}

/// Removes what is at `path`, if anything is, even directories that nobody may write to.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    let is_dir = match fs_err::symlink_metadata(path) {
        Ok(metadata) => metadata.is_dir(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !is_dir {
        return fs_err::remove_file(path);
    }
    for entry in walkdir::WalkDir::new(path) {
        // Each is opened for writing before the walk goes into it.
        let entry = entry.map_err(io::Error::from)?;
        if entry.file_type().is_dir() {
            rustix::fs::chmod(entry.path(), OPEN)?;
        }
    }
    fs_err::remove_dir_all(path)
}

/// The bits of a mode that this process may not give; none if the kernel does not say.
pub(super) fn umask() -> u32 {
    let status = fs_err::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    line.and_then(|octal| u32::from_str_radix(octal.trim(), 8).ok()).unwrap_or(0o777)
}

//! The image while it is written: beside its place, and renamed when it is whole.

use std::{
    fs::{File, Permissions},
    io,
    os::unix::fs::{FileExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::FlockOperation;

use super::WriteError;

/// How the name of an unfinished image begins, behind a dot and before the name of the image.
const PREFIX: &str = ".squashfs-";

/// An image that is written from its beginning to its end.
#[derive(Debug)]
pub(super) struct Output {
    file: tempfile::NamedTempFile,
    image: PathBuf,
    at: u64,
}

impl Output {
    /// Begins beside `image`, and removes what killed runs left there.
    pub(super) fn begin(image: &Path) -> Result<Self, WriteError> {
        let failed = |error| WriteError::write(image, error);
        let name = image.file_name().ok_or_else(|| failed(io::Error::from(io::ErrorKind::IsADirectory)))?;
        let directory = match image.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let mut prefix = std::ffi::OsString::from(PREFIX);
        prefix.push(name);
        prefix.push(".");
        remove_leftovers(directory, &prefix).map_err(failed)?;
        let file = loop {
            // As everybody's files are made; the umask takes from it.
            let file = tempfile::Builder::new()
                .prefix(&prefix)
                .permissions(Permissions::from_mode(0o666))
                .tempfile_in(directory)
                // Its own error names the temporary file, which nobody has heard of.
                .map_err(|error| failed(error.kind().into()))?;
            rustix::fs::flock(&file, FlockOperation::LockExclusive).map_err(|error| failed(error.into()))?;
            // Somebody may have taken it for a leftover before it was locked.
            if file.as_file().metadata().map_err(failed)?.nlink() > 0 {
                break file;
            }
        };
        Ok(Self { file, image: image.to_owned(), at: 0 })
    }

    /// Bytes written so far.
    pub(super) const fn position(&self) -> u64 {
        self.at
    }

    /// The unfinished image, for sharing parts of other files.
    pub(super) fn file(&self) -> &File {
        self.file.as_file()
    }

    /// Says that so many bytes have been put behind the others by other means.
    pub(super) const fn advance(&mut self, bytes: u64) {
        self.at += bytes;
    }

    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        self.put(bytes, self.at)?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    /// Writes over what is there.
    pub(super) fn put(&self, bytes: &[u8], at: u64) -> Result<(), WriteError> {
        self.file().write_all_at(bytes, at).map_err(|error| WriteError::write(&self.image, error))
    }

    /// Reads back what was written.
    pub(super) fn read(&self, bytes: &mut [u8], at: u64) -> Result<(), WriteError> {
        self.file().read_exact_at(bytes, at).map_err(|error| WriteError::write(&self.image, error))
    }

    /// Makes the file as long as `length`; what is between is zeros.
    pub(super) fn extend(&self, length: u64) -> Result<(), WriteError> {
        self.file().set_len(length).map_err(|error| WriteError::write(&self.image, error))
    }

    /// Puts the image in its place.
    pub(super) fn finish(self) -> Result<File, WriteError> {
        self.file.persist(&self.image).map_err(|error| WriteError::write(&self.image, error.error))
    }
}

/// Removes unfinished images that nobody writes any more.
fn remove_leftovers(directory: &Path, prefix: &std::ffi::OsStr) -> io::Result<()> {
    let prefix = prefix.as_encoded_bytes();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if !entry.file_name().as_encoded_bytes().starts_with(prefix) {
            continue;
        }
        // Somebody else may have removed or finished it.
        let Ok(file) = File::open(entry.path()) else { continue };
        if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            match fs_err::remove_file(entry.path()) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }
    Ok(())
}

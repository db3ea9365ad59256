//! One file or link of a directory, from one place to another.

use std::{
    ffi::{CStr, OsStr},
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
    sync::atomic::Ordering,
};

use rustix::{
    fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDirEntry},
    io::Errno,
};

use super::{How, Shared, TIME, Top, parent::Ends};
use crate::closure::{
    file::{copy, reflink},
    nar::{file_size, link_size},
};

/// Modes that a store gives its files: nobody writes.
const FILE: u32 = 0o444;
const PROGRAM: u32 = 0o555;

impl Shared<'_> {
    /// Brings one file or link over.
    pub(super) fn entry(
        &self,
        place: &Place<'_>,
        name: &CStr,
        new: &CStr,
        kind: FileType,
        buffer: &mut [u8],
    ) -> io::Result<()> {
        if self.copier.cancel.is_cancelled() {
            return Err(io::Error::new(io::ErrorKind::Interrupted, "cancelled"));
        }
        match kind {
            FileType::Symlink => {
                let (from, to) = (&place.ends.from, &place.ends.to);
                let target = rustix::fs::readlinkat(from, name, Vec::new())?;
                place.top.size.fetch_add(link_size(target.to_bytes().len()), Ordering::Relaxed);
                // One more name costs less than one more link, where the file system knows it and the kernel allows it.
                let linked = self.copier.how == How::HardLink
                    && rustix::fs::linkat(from, name, to, new, AtFlags::empty()).is_ok();
                if !linked {
                    rustix::fs::symlinkat(target, to, new)?;
                    rustix::fs::utimensat(to, new, &TIME, AtFlags::SYMLINK_NOFOLLOW)?;
                }
                Ok(())
            }
            FileType::RegularFile if self.copier.how == How::HardLink => {
                let (from, to) = (&place.ends.from, &place.ends.to);
                match rustix::fs::linkat(from, name, to, new, AtFlags::empty()) {
                    Ok(()) => {
                        if self.copier.sizes {
                            place.count(&rustix::fs::statat(to, new, AtFlags::SYMLINK_NOFOLLOW)?);
                        }
                        self.linked.fetch_add(1, Ordering::Relaxed);
                        Ok(())
                    }
                    // It has as many names as a file can have.
                    Err(Errno::MLINK) => self.file(place, name, new, How::Auto, buffer),
                    Err(error) => Err(error.into()),
                }
            }
            FileType::RegularFile => self.file(place, name, new, self.copier.how, buffer),
            _ => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "it is neither a file, nor a link, nor a directory, and a store has nothing else",
            )),
        }
    }

    fn file(
        &self,
        place: &Place<'_>,
        name: &CStr,
        new: &CStr,
        how: How,
        buffer: &mut [u8],
    ) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let from = rustix::fs::openat(&place.ends.from, name, flags, Mode::empty())?;
        let stat = rustix::fs::fstat(&from)?;
        place.count(&stat);
        // Held while the file gets its first name: whoever comes with another name finds it.
        let mut names = (stat.st_nlink > 1).then(|| place.top.names.lock().expect("no copier panics"));
        let id = (stat.st_dev, stat.st_ino);
        if let Some(first) = names.as_ref().and_then(|names| names.get(&id)) {
            rustix::fs::linkat(CWD, first, &place.ends.to, new, AtFlags::empty())?;
            return Ok(());
        }
        let mode = if stat.st_mode & 0o100 == 0 { FILE } else { PROGRAM };
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let to = rustix::fs::openat(&place.ends.to, new, flags, Mode::from_raw_mode(mode))?;
        if let Some(names) = &mut names {
            let dir = place.top.job.beside.join(place.inside);
            names.insert(id, dir.join(OsStr::from_bytes(new.to_bytes())));
        }
        drop(names);
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        let sparse = u64::try_from(stat.st_blocks).unwrap_or(0) * 512 < size;
        let share = how != How::Copy && !self.no_reflinks.load(Ordering::Relaxed);
        let shared = match share.then(|| reflink(from.as_fd(), to.as_fd())) {
            Some(Ok(())) => true,
            Some(Err(error)) if how == How::Reflink => return Err(error.into()),
            tried => {
                if let Some(Err(Errno::OPNOTSUPP | Errno::XDEV | Errno::NOTTY | Errno::NOSYS)) = tried {
                    self.no_reflinks.store(true, Ordering::Relaxed);
                }
                copy(from.as_fd(), to.as_fd(), (size, sparse), buffer, self.copier.cancel)?;
                false
            }
        };
        if mode & self.umask != 0 {
            rustix::fs::fchmod(&to, Mode::from_raw_mode(mode))?;
        }
        rustix::fs::futimens(&to, &TIME)?;
        if shared {
            self.linked.fetch_add(1, Ordering::Relaxed);
        } else {
            self.files.fetch_add(1, Ordering::Relaxed);
            self.bytes.fetch_add(size, Ordering::Relaxed);
        }
        (self.copier.arrived)(size);
        Ok(())
    }
}

/// Where an entry is read and made.
pub(super) struct Place<'a> {
    pub(super) ends: &'a Ends,
    pub(super) top: &'a Top,
    /// Below the path.
    pub(super) inside: &'a Path,
}

impl Place<'_> {
    /// Adds a file to the size of its path.
    fn count(&self, stat: &rustix::fs::Stat) {
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        self.top.size.fetch_add(file_size(size, stat.st_mode & 0o100 != 0), Ordering::Relaxed);
    }
}

/// What an entry is; not every file system says so in its directories.
pub(super) fn kind_of(dir: &OwnedFd, entry: &RawDirEntry<'_>) -> io::Result<FileType> {
    match entry.file_type() {
        FileType::Unknown => {
            let stat = rustix::fs::statat(dir, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW)?;
            Ok(FileType::from_raw_mode(stat.st_mode))
        }
        known => Ok(known),
    }
}

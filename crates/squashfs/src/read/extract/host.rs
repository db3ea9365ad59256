//! Files of the host, by name in directories that are open.

use std::{
    ffi::OsStr,
    fs::File,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::{Component, Path},
    sync::Arc,
};

use rustix::{
    fs::{self as rfs, AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags},
    io::Errno,
};

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The directory that everything is in.
pub(super) struct Directory(Arc<OwnedFd>);

impl Directory {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(Arc::new(rfs::open(path, DIRECTORY, Mode::empty())?)))
    }

    pub(super) fn fd(&self) -> &Arc<OwnedFd> {
        &self.0
    }

    /// The directory of that path below this one, through no link.
    pub(super) fn beneath(&self, path: &Path) -> io::Result<OwnedFd> {
        let mut fd = self.0.try_clone()?;
        for component in path.components() {
            let Component::Normal(name) = component else { return Err(io::ErrorKind::InvalidInput.into()) };
            fd = rfs::openat(&fd, name, DIRECTORY, Mode::empty())?;
        }
        Ok(fd)
    }

    /// A further name of a file, which is not followed if it is a link.
    pub(super) fn link(&self, first: &Path, path: &Path, replace: bool) -> io::Result<()> {
        let (from, from_name) = self.parent(first)?;
        let (to, to_name) = self.parent(path)?;
        make(&to, to_name, replace, || rfs::linkat(&from, from_name, &to, to_name, AtFlags::empty()))
    }

    fn parent<'p>(&self, path: &'p Path) -> io::Result<(OwnedFd, &'p OsStr)> {
        match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) => Ok((self.beneath(parent)?, name)),
            _ => Err(io::ErrorKind::InvalidInput.into()),
        }
    }
}

/// Makes something that is called `name`; what is in its way is removed if it is to be replaced and is no directory.
fn make<T>(
    parent: &OwnedFd,
    name: &OsStr,
    replace: bool,
    new: impl Fn() -> rustix::io::Result<T>,
) -> io::Result<T> {
    match new() {
        Err(Errno::EXIST) if replace => {
            rfs::unlinkat(parent, name, AtFlags::empty())?;
            Ok(new()?)
        }
        made => Ok(made?),
    }
}

/// A new directory that only its owner can use; or, if that may be, the one that is there.
pub(super) fn make_directory(parent: &OwnedFd, name: &OsStr, replace: bool) -> io::Result<OwnedFd> {
    let open = || rfs::openat(parent, name, DIRECTORY, Mode::empty());
    if replace && let Ok(there) = open() {
        return Ok(there);
    }
    make(parent, name, replace, || rfs::mkdirat(parent, name, Mode::RWXU))?;
    Ok(open()?)
}

/// A new file that only its owner can use.
pub(super) fn make_file(parent: &OwnedFd, name: &OsStr, replace: bool) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = || rfs::openat(parent, name, flags, Mode::RUSR | Mode::WUSR);
    Ok(make(parent, name, replace, open)?.into())
}

pub(super) fn make_link(parent: &OwnedFd, name: &OsStr, replace: bool, target: &OsStr) -> io::Result<()> {
    make(parent, name, replace, || rfs::symlinkat(target, parent, name))
}

pub(super) fn make_special(
    parent: &OwnedFd,
    name: &OsStr,
    replace: bool,
    kind: FileType,
    device: (u32, u32),
) -> io::Result<()> {
    let device = rfs::makedev(device.0, device.1);
    make(parent, name, replace, || rfs::mknodat(parent, name, kind, Mode::RUSR | Mode::WUSR, device))
}

/// What owners, modes, times and attributes are set of.
pub(super) enum Target<'a> {
    /// What is open.
    Open(BorrowedFd<'a>),
    /// A name in a directory; if it is a link, the link.
    Name(&'a OwnedFd, &'a OsStr),
}

impl<'a> Target<'a> {
    pub(super) fn open(fd: &'a impl AsFd) -> Self {
        Self::Open(fd.as_fd())
    }

    pub(super) fn owner(&self, uid: u32, gid: u32) -> io::Result<()> {
        let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        match self {
            Self::Open(fd) => rfs::fchown(fd, uid, gid)?,
            Self::Name(parent, name) => rfs::chownat(parent, *name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?,
        }
        Ok(())
    }

    /// Not for a link, which has no mode.
    pub(super) fn mode(&self, mode: u16) -> io::Result<()> {
        let mode = Mode::from_raw_mode(mode.into());
        match self {
            Self::Open(fd) => rfs::fchmod(fd, mode)?,
            // What has this name was made here a moment ago, and is not a link.
            Self::Name(parent, name) => rfs::chmodat(parent, *name, mode, AtFlags::empty())?,
        }
        Ok(())
    }

    pub(super) fn time(&self, mtime: u32) -> io::Result<()> {
        let time = Timespec { tv_sec: mtime.into(), tv_nsec: 0 };
        let times = Timestamps { last_access: time, last_modification: time };
        match self {
            Self::Open(fd) => rfs::futimens(fd, &times)?,
            Self::Name(parent, name) => rfs::utimensat(parent, *name, &times, AtFlags::SYMLINK_NOFOLLOW)?,
        }
        Ok(())
    }

    pub(super) fn xattr(&self, name: &OsStr, value: &[u8]) -> io::Result<()> {
        match self {
            Self::Open(fd) => rfs::fsetxattr(fd, name, value, XattrFlags::empty())?,
            // There is no call with a directory and a name.
            Self::Name(parent, file) => {
                let path = Path::new("/proc/self/fd").join(parent.as_raw_fd().to_string()).join(file);
                rfs::lsetxattr(&path, name, value, XattrFlags::empty())?;
            }
        }
        Ok(())
    }
}

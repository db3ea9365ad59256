//! Directories that are open while there is something to be done in them.

use std::{
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicUsize},
};

use rustix::{
    fs::{CWD, Mode, OFlags},
    io::Errno,
};

use super::{OPEN, Top};

/// Directories so far below a path stay open while directories in them are to be done. Each thread has as many at most,
/// twice, and a process is allowed to have 1024 files open as a rule.
const DEPTH: usize = 8;

/// A directory in which tasks are left, or what is above all directories of a path.
pub(super) struct Parent {
    /// Tasks that have not ended: those of the directories in it.
    pub(super) open: AtomicUsize,
    /// Open on it, or on the nearest above it that is not too deep.
    pub(super) ends: Arc<Ends>,
    /// Below the path.
    pub(super) inside: PathBuf,
    /// Nothing, above a path.
    pub(super) above: Option<Arc<Parent>>,
    pub(super) top: Arc<Top>,
    depth: usize,
}

/// A directory, in both places.
pub(super) struct Ends {
    pub(super) from: OwnedFd,
    pub(super) to: OwnedFd,
    /// Below the path.
    inside: PathBuf,
}

impl Ends {
    /// Those that a path is in.
    pub(super) fn above(from: &Path, to: &Path) -> io::Result<Self> {
        let (from, to) = from.parent().zip(to.parent()).ok_or(Errno::INVAL)?;
        Ok(Self { from: open_dir(CWD, from)?, to: open_dir(CWD, to)?, inside: PathBuf::new() })
    }

    /// The directory `name` in it, which is made as `new`.
    pub(super) fn make(&self, name: &Path, new: &Path, inside: &Path) -> io::Result<Self> {
        let from = open_dir(&self.from, name)?;
        rustix::fs::mkdirat(&self.to, new, OPEN)?;
        Ok(Self { from, to: open_dir(&self.to, new)?, inside: inside.to_owned() })
    }
}

impl Parent {
    /// What is above a path, which is its one task.
    pub(super) fn above(ends: Ends, top: Arc<Top>) -> Self {
        let (open, inside) = (AtomicUsize::new(1), PathBuf::new());
        Self { open, ends: Arc::new(ends), inside, above: None, top, depth: 0 }
    }

    /// A directory in it, with so many of its own.
    pub(super) fn inner(self: &Arc<Self>, ends: Ends, inside: PathBuf, tasks: usize) -> Self {
        let (open, depth) = (AtomicUsize::new(tasks), self.depth + 1);
        let ends = if depth > DEPTH { Arc::clone(&self.ends) } else { Arc::new(ends) };
        Self { open, ends, inside, above: Some(Arc::clone(self)), top: Arc::clone(&self.top), depth }
    }

    /// What `inside`, which is in it, is called below where it is open.
    pub(super) fn name<'a>(&self, inside: &'a Path) -> &'a Path {
        inside.strip_prefix(&self.ends.inside).unwrap_or(inside)
    }

    /// Itself, if something above it is what is open.
    pub(super) fn opened(&self) -> io::Result<Option<OwnedFd>> {
        let name = self.name(&self.inside);
        if name.as_os_str().is_empty() { Ok(None) } else { open_dir(&self.ends.to, name).map(Some) }
    }
}

fn open_dir(at: impl std::os::fd::AsFd, path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(at, path, flags, Mode::empty())?)
}

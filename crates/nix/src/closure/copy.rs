//! Store paths from one place to another, by several threads.
//!
//! A task is a directory; a thread that takes one makes it, brings over its files and links, and leaves its
//! directories as tasks for whoever is free. The last of a directory's tasks to end gives it its mode and time, and the
//! last of a path's puts the path in its place: until then it is beside it, under a name that no store path has.

use std::{
    collections::{BTreeMap, HashMap},
    ffi::{CString, OsStr},
    io,
    mem::MaybeUninit,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use bootway_exec::Cancel;
use rustix::{
    fs::{FileType, Mode, OFlags, RawDir, Timespec, Timestamps},
    io::Errno,
};

use self::entry::{Place, kind_of};
use super::{
    nar::{directory_size, entry_size, magic_size},
    place::{put, umask},
};

mod entry;

/// A path that is wanted, and where.
#[derive(Clone, Debug)]
pub(super) struct Job {
    /// What it is copied from.
    pub(super) from: PathBuf,
    /// Where it will be.
    pub(super) to: PathBuf,
    /// Where it is until it is whole.
    pub(super) beside: PathBuf,
}

/// Bytes for the names of a directory that are read at once.
const NAMES: usize = 16 << 10;
/// While there is still something to be put into it.
pub(super) const OPEN: Mode = Mode::RWXU;
/// One second after the beginning of time: what every file of a store has.
const TIME: Timestamps = {
    let second = Timespec { tv_sec: 1, tv_nsec: 0 };
    Timestamps { last_access: second, last_modification: second }
};

/// How files are brought over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// They share their bytes where the file system can, and are copied where it cannot.
    Auto,
    /// They share their bytes.
    Reflink,
    /// Their bytes are copied.
    Copy,
    /// They are other names of the same files.
    HardLink,
}

/// How paths are copied.
pub(super) struct Copier<'a> {
    pub(super) how: How,
    /// Mode of directories, when they are done.
    pub(super) directories: u32,
    pub(super) threads: usize,
    pub(super) cancel: &'a Cancel,
    /// Told how many bytes more have arrived.
    pub(super) arrived: &'a (dyn Fn(u64) + Sync),
}

/// What it took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Copied {
    /// Files whose bytes were copied.
    pub(super) files: u64,
    /// Bytes that were copied.
    pub(super) bytes: u64,
    /// Files that share their bytes with where they come from.
    pub(super) shared: u64,
    /// Bytes of the NAR of each path, by where it is: names, kinds and sizes as they were written.
    pub(super) sizes: BTreeMap<PathBuf, u64>,
}

/// Something could not be read, made, or written.
#[derive(Debug)]
pub(super) struct CopyError {
    pub(super) path: PathBuf,
    pub(super) error: io::Error,
}

/// A directory that has tasks, or the place above all directories of a path.
struct Parent {
    /// Tasks that have not ended: those of the directories in it.
    open: AtomicUsize,
    above: Above,
}

enum Above {
    Directory { at: PathBuf, parent: Arc<Parent> },
    Path(Arc<Top>),
}

/// A path, the files of it that have several names, and bytes of its NAR as far as it has come.
struct Top {
    job: Job,
    size: AtomicU64,
    names: Mutex<HashMap<(u64, u64), PathBuf>>,
}

struct Task {
    from: PathBuf,
    to: PathBuf,
    parent: Arc<Parent>,
    top: Arc<Top>,
}

/// What threads share.
struct Shared<'a> {
    copier: &'a Copier<'a>,
    queue: Mutex<Queue>,
    more: Condvar,
    failed: Mutex<Option<CopyError>>,
    sizes: Mutex<BTreeMap<PathBuf, u64>>,
    files: AtomicU64,
    bytes: AtomicU64,
    linked: AtomicU64,
    umask: u32,
    /// Whether the file systems have said that they cannot share bytes.
    no_reflinks: AtomicBool,
}

struct Queue {
    tasks: Vec<Task>,
    jobs: std::vec::IntoIter<Job>,
    /// Threads that have a task: they may leave more.
    busy: usize,
    stop: bool,
}

enum Next {
    Task(Task),
    Job(Job),
}

impl Copier<'_> {
    /// Brings all of `jobs` to where they belong. What is there already is replaced.
    pub(super) fn run(&self, jobs: Vec<Job>) -> Result<Copied, CopyError> {
        let queue = Queue { tasks: Vec::new(), jobs: jobs.into_iter(), busy: 0, stop: false };
        let shared = Shared {
            copier: self,
            queue: Mutex::new(queue),
            more: Condvar::new(),
            failed: Mutex::new(None),
            sizes: Mutex::default(),
            files: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            linked: AtomicU64::new(0),
            umask: umask(),
            no_reflinks: AtomicBool::new(false),
        };
        std::thread::scope(|scope| {
            for _ in 1..self.threads.max(1) {
                scope.spawn(|| shared.work());
            }
            shared.work();
        });
        if let Some(error) = shared.failed.into_inner().expect("no copier panics") {
            return Err(error);
        }
        let count = |it: AtomicU64| it.into_inner();
        let sizes = shared.sizes.into_inner().expect("no copier panics");
        let (files, bytes) = (count(shared.files), count(shared.bytes));
        Ok(Copied { files, bytes, shared: count(shared.linked), sizes })
    }
}

impl Shared<'_> {
    /// Does what is to be done until nothing is.
    fn work(&self) {
        let mut buffer = vec![0; super::file::BUFFER];
        while let Some(next) = self.next() {
            let done = match next {
                Next::Task(task) => self.directory(task, &mut buffer),
                Next::Job(job) => self.begin(job, &mut buffer),
            };
            let mut queue = self.queue.lock().expect("no copier panics");
            queue.busy -= 1;
            if let Err(error) = done {
                queue.stop = true;
                self.failed.lock().expect("no copier panics").get_or_insert(error);
            }
            drop(queue);
            self.more.notify_all();
        }
    }

    /// Directories of paths that were begun come first, so that paths are finished one after the other.
    fn next(&self) -> Option<Next> {
        let mut queue = self.queue.lock().expect("no copier panics");
        loop {
            if queue.stop {
                return None;
            }
            let task = queue.tasks.pop().map(Next::Task);
            let next = match task {
                Some(task) => Some(task),
                None => queue.jobs.next().map(Next::Job),
            };
            if next.is_some() {
                queue.busy += 1;
                return next;
            }
            if queue.busy == 0 {
                return None;
            }
            queue = self.more.wait(queue).expect("no copier panics");
        }
    }

    /// Begins with a path: one that is a directory becomes a task, anything else is copied at once.
    fn begin(&self, job: Job, buffer: &mut [u8]) -> Result<(), CopyError> {
        let metadata = fs_err::symlink_metadata(&job.from)
            .map_err(|error| CopyError { path: job.from.clone(), error })?;
        let top = Arc::new(Top { job, size: AtomicU64::new(magic_size()), names: Mutex::default() });
        let parent = Arc::new(Parent { open: AtomicUsize::new(1), above: Above::Path(Arc::clone(&top)) });
        if metadata.is_dir() {
            let (from, to) = (top.job.from.clone(), top.job.beside.clone());
            return self.directory(Task { from, to, parent, top }, buffer);
        }
        let split = |path: &Path| -> io::Result<(OwnedFd, CString)> {
            let (dir, name) = path.parent().zip(path.file_name()).ok_or(Errno::INVAL)?;
            Ok((open_dir(dir)?, CString::new(name.as_bytes())?))
        };
        let names = split(&top.job.from).and_then(|from| Ok((from, split(&top.job.beside)?)));
        let ((from, name), (to, new)) =
            names.map_err(|error| CopyError { path: top.job.from.clone(), error })?;
        let kind = if metadata.is_symlink() { FileType::Symlink } else { FileType::RegularFile };
        let place = Place { from: &from, to: &to, top: &top, inside: top.job.beside.parent() };
        self.entry(&place, &name, &new, kind, buffer)
            .map_err(|error| CopyError { path: top.job.from.clone(), error })?;
        self.ended(parent)
    }

    fn directory(&self, task: Task, buffer: &mut [u8]) -> Result<(), CopyError> {
        let Task { from, to, parent, top } = task;
        let at = |path: &Path, error: io::Error| CopyError { path: path.to_owned(), error };
        let made = rustix::fs::mkdir(&to, OPEN).map_err(io::Error::from).and_then(|()| open_dir(&to));
        let to_fd = made.map_err(|error| at(&to, error))?;
        let from_fd = open_dir(&from).map_err(|error| at(&from, error))?;
        let place = Place { from: &from_fd, to: &to_fd, top: &top, inside: Some(&to) };
        let (mut inner, mut size) = (Vec::new(), directory_size());
        let mut names = [MaybeUninit::uninit(); NAMES];
        let mut entries = RawDir::new(&from_fd, &mut names);
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(|error| at(&from, error.into()))?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            size += entry_size(name.to_bytes().len());
            let path = || Path::new(OsStr::from_bytes(name.to_bytes())).to_owned();
            let kind = kind_of(&from_fd, &entry).map_err(|error| at(&from.join(path()), error))?;
            if kind == FileType::Directory {
                inner.push(path());
            } else {
                let brought = self.entry(&place, name, name, kind, buffer);
                brought.map_err(|error| at(&from.join(path()), error))?;
            }
        }
        top.size.fetch_add(size, Ordering::Relaxed);
        if inner.is_empty() {
            self.seal(&to_fd).map_err(|error| at(&to, error))?;
            return self.ended(parent);
        }
        let above = Above::Directory { at: to.clone(), parent };
        let own = Arc::new(Parent { open: AtomicUsize::new(inner.len()), above });
        let task = |name: PathBuf| Task {
            from: from.join(&name),
            to: to.join(name),
            parent: Arc::clone(&own),
            top: Arc::clone(&top),
        };
        self.queue.lock().expect("no copier panics").tasks.extend(inner.into_iter().map(task));
        self.more.notify_all();
        Ok(())
    }

    /// Gives a directory that is done its mode and time.
    fn seal(&self, dir: &OwnedFd) -> io::Result<()> {
        rustix::fs::fchmod(dir, Mode::from_raw_mode(self.copier.directories))?;
        Ok(rustix::fs::futimens(dir, &TIME)?)
    }

    /// A task of `parent` has ended; if it was the last, so has a task of what is above.
    fn ended(&self, mut parent: Arc<Parent>) -> Result<(), CopyError> {
        while parent.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            parent = match &parent.above {
                Above::Directory { at, parent } => {
                    let sealed = open_dir(at).and_then(|dir| self.seal(&dir));
                    sealed.map_err(|error| CopyError { path: at.clone(), error })?;
                    Arc::clone(parent)
                }
                Above::Path(top) => {
                    put(&top.job).map_err(|error| CopyError { path: top.job.to.clone(), error })?;
                    let size = top.size.load(Ordering::Relaxed);
                    self.sizes.lock().expect("no copier panics").insert(top.job.to.clone(), size);
                    return Ok(());
                }
            };
        }
        Ok(())
    }
}

fn open_dir(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

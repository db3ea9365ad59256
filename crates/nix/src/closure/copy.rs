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
        Arc, Condvar, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use bootway_exec::Cancel;
use rustix::{
    fs::{FileType, Mode, RawDir, Timespec, Timestamps},
    io::Errno,
};

use self::{
    entry::{Place, kind_of},
    parent::{Ends, Parent},
};
use super::{
    nar::{directory_size, entry_size, magic_size},
    place::{put, umask},
};

mod entry;
mod parent;

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
    /// Whether somebody wants to know the sizes: those of files that are linked cost a system call each.
    pub(super) sizes: bool,
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
    /// Bytes of the NAR of each path, by where it is: names, kinds and sizes as they were written; nothing useful if
    /// nobody wanted them.
    pub(super) sizes: BTreeMap<PathBuf, u64>,
}

/// Something could not be read, made, or written.
#[derive(Debug)]
pub(super) struct CopyError {
    pub(super) path: PathBuf,
    pub(super) error: io::Error,
}

/// A path, the files of it that have several names, and bytes of its NAR as far as it has come.
struct Top {
    job: Job,
    size: AtomicU64,
    names: Mutex<HashMap<(u64, u64), PathBuf>>,
}

/// A directory of `parent` that is to be brought over.
struct Task {
    /// Below the path.
    inside: PathBuf,
    parent: Arc<Parent>,
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
    /// Threads that have none. To wake them costs a system call even if there are none.
    idle: usize,
    stop: bool,
}

enum Next {
    Task(Task),
    Job(Job),
}

impl Copier<'_> {
    /// Brings all of `jobs` to where they belong. What is there already is replaced.
    pub(super) fn run(&self, jobs: Vec<Job>) -> Result<Copied, CopyError> {
        let queue = Queue { tasks: Vec::new(), jobs: jobs.into_iter(), busy: 0, idle: 0, stop: false };
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
                Next::Task(Task { inside, parent }) => {
                    let name = parent.name(&inside);
                    self.directory(&parent, (name, name), inside.clone(), &mut buffer)
                }
                Next::Job(job) => self.begin(job, &mut buffer),
            };
            let mut queue = self.queue.lock().expect("no copier panics");
            queue.busy -= 1;
            if let Err(error) = done {
                queue.stop = true;
                self.failed.lock().expect("no copier panics").get_or_insert(error);
            }
            self.wake(queue);
        }
    }

    /// Lets those go on who wait for `queue`.
    fn wake(&self, queue: MutexGuard<'_, Queue>) {
        let idle = queue.idle > 0;
        drop(queue);
        if idle {
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
            queue.idle += 1;
            queue = self.more.wait(queue).expect("no copier panics");
            queue.idle -= 1;
        }
    }

    /// Begins with a path: a directory with its own entries, anything else as a whole.
    fn begin(&self, job: Job, buffer: &mut [u8]) -> Result<(), CopyError> {
        let (from, beside) = (job.from.clone(), job.beside.clone());
        let at = |error| CopyError { path: from.clone(), error };
        let metadata = fs_err::symlink_metadata(&from).map_err(at)?;
        let (name, new) = from.file_name().zip(beside.file_name()).ok_or_else(|| at(Errno::INVAL.into()))?;
        let ends = Ends::above(&from, &beside).map_err(at)?;
        let top = Top { job, size: AtomicU64::new(magic_size()), names: Mutex::default() };
        let parent = Arc::new(Parent::above(ends, Arc::new(top)));
        if metadata.is_dir() {
            return self.directory(&parent, (name.as_ref(), new.as_ref()), PathBuf::new(), buffer);
        }
        let names = CString::new(name.as_bytes()).and_then(|it| Ok((it, CString::new(new.as_bytes())?)));
        let (name, new) = names.map_err(|error| at(error.into()))?;
        let kind = if metadata.is_symlink() { FileType::Symlink } else { FileType::RegularFile };
        let place = Place { ends: &parent.ends, top: &parent.top, inside: Path::new("") };
        self.entry(&place, &name, &new, kind, buffer).map_err(at)?;
        self.ended(&parent)
    }

    /// Makes the directory `inside`, whose `names` are below where `parent` is open, and brings over what is in it.
    fn directory(
        &self,
        parent: &Arc<Parent>,
        names: (&Path, &Path),
        inside: PathBuf,
        buffer: &mut [u8],
    ) -> Result<(), CopyError> {
        let top = &parent.top;
        let failed = |name: &Path, error: io::Error| {
            let at = top.job.from.join(&inside);
            CopyError { path: if name.as_os_str().is_empty() { at } else { at.join(name) }, error }
        };
        let ends = parent.ends.make(names.0, names.1, &inside).map_err(|error| failed("".as_ref(), error))?;
        let place = Place { ends: &ends, top, inside: &inside };
        let (mut inner, mut size) = (Vec::new(), directory_size());
        let mut names = [MaybeUninit::uninit(); NAMES];
        let mut entries = RawDir::new(&ends.from, &mut names);
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(|error| failed("".as_ref(), error.into()))?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            size += entry_size(name.to_bytes().len());
            let path = Path::new(OsStr::from_bytes(name.to_bytes()));
            let kind = kind_of(&ends.from, &entry).map_err(|error| failed(path, error))?;
            if kind == FileType::Directory {
                inner.push(inside.join(path));
            } else {
                let brought = self.entry(&place, name, name, kind, buffer);
                brought.map_err(|error| failed(path, error))?;
            }
        }
        top.size.fetch_add(size, Ordering::Relaxed);
        if inner.is_empty() {
            self.seal(&ends.to).map_err(|error| failed("".as_ref(), error))?;
            return self.ended(parent);
        }
        let own = Arc::new(parent.inner(ends, inside, inner.len()));
        let task = |inside| Task { inside, parent: Arc::clone(&own) };
        let mut queue = self.queue.lock().expect("no copier panics");
        queue.tasks.extend(inner.into_iter().map(task));
        self.wake(queue);
        Ok(())
    }

    /// Gives a directory that is done its mode and time.
    fn seal(&self, dir: &OwnedFd) -> io::Result<()> {
        rustix::fs::fchmod(dir, Mode::from_raw_mode(self.copier.directories))?;
        Ok(rustix::fs::futimens(dir, &TIME)?)
    }

    /// A task of `parent` has ended; if it was the last, so has a task of what is above.
    fn ended(&self, parent: &Arc<Parent>) -> Result<(), CopyError> {
        let (mut parent, top) = (parent, &parent.top);
        while parent.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            let Some(above) = &parent.above else {
                put(&top.job).map_err(|error| CopyError { path: top.job.to.clone(), error })?;
                let size = top.size.load(Ordering::Relaxed);
                self.sizes.lock().expect("no copier panics").insert(top.job.to.clone(), size);
                return Ok(());
            };
            let sealed = parent.opened().and_then(|dir| self.seal(dir.as_ref().unwrap_or(&parent.ends.to)));
            sealed.map_err(|error| CopyError { path: top.job.from.join(&parent.inside), error })?;
            parent = above;
        }
        Ok(())
    }
}

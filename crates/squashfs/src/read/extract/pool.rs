//! The threads that unpack and write, file by file.

use std::{
    collections::HashSet,
    ffi::{OsStr, OsString},
    io,
    num::NonZeroUsize,
    os::{
        fd::{AsFd, OwnedFd},
        unix::{ffi::OsStrExt, fs::FileExt},
    },
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread,
};

use rustix::{fs::FileType, io::Errno};

use super::{
    Entry, Extract, ExtractError, Extracted, Image, Progress, SKIPPED_NAMED, Skipped, What,
    host::{self, Target},
    is_set,
};
use crate::read::Chunk;

/// Files that wait for a thread; each keeps its directory open.
const WAITING: usize = 64;

/// A file to make.
pub(super) struct Job {
    pub(super) parent: Arc<OwnedFd>,
    pub(super) name: OsString,
    pub(super) entry: Entry,
}

/// What all threads know.
pub(super) struct Shared<'a> {
    pub(super) image: &'a Image,
    pub(super) options: &'a Extract<'a>,
    entries: AtomicU64,
    bytes: AtomicU64,
    stop: AtomicBool,
    failed: Mutex<Option<ExtractError>>,
    done: Mutex<Extracted>,
    /// Files that the host refused.
    without: Mutex<HashSet<PathBuf>>,
}

/// Runs `walk` on this thread, with what hands files to the others. The first error of any of them ends all.
pub(super) fn run(
    shared: &Shared<'_>,
    walk: impl FnOnce(&dyn Fn(Job)) -> Result<(), ExtractError>,
) -> Result<(), ExtractError> {
    let threads = shared.options.threads.or_else(|| thread::available_parallelism().ok());
    let (sender, receiver) = mpsc::sync_channel(WAITING);
    let receiver = Mutex::new(receiver);
    let walked = thread::scope(|scope| {
        for _ in 0..threads.map_or(1, NonZeroUsize::get) {
            scope.spawn(|| shared.work(&receiver));
        }
        let result = walk(&|job| {
            // The receiver lives until the end of this function.
            let _ = sender.send(job);
        });
        if result.is_err() {
            shared.stop.store(true, Ordering::Relaxed);
        }
        drop(sender);
        result
    });
    // One that fails makes the others end as if they were cancelled, and is the one to be told.
    let errors = walked.err().into_iter().chain(lock(&shared.failed).take());
    match errors.min_by_key(|error| matches!(error, ExtractError::Cancelled)) {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

impl<'a> Shared<'a> {
    pub(super) fn new(image: &'a Image, options: &'a Extract<'a>) -> Self {
        Self {
            image,
            options,
            entries: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            failed: Mutex::new(None),
            done: Mutex::new(Extracted::default()),
            without: Mutex::new(HashSet::new()),
        }
    }

    /// Whether there is any point in going on.
    pub(super) fn check(&self) -> Result<(), ExtractError> {
        if is_set(Some(&self.stop)) || is_set(self.options.cancel) {
            Err(ExtractError::Cancelled)
        } else {
            Ok(())
        }
    }

    pub(super) fn finish(&self) -> Extracted {
        let mut done = std::mem::take(&mut *lock(&self.done));
        done.bytes = self.bytes.load(Ordering::Relaxed);
        done.skipped.sort();
        done
    }

    pub(super) fn count(&self, count: impl FnOnce(&mut Extracted)) {
        count(&mut lock(&self.done));
        self.entries.fetch_add(1, Ordering::Relaxed);
        self.tell();
    }

    pub(super) fn skip(&self, path: &Path, what: impl Into<String>, reason: &(impl ToString + ?Sized)) {
        let mut done = lock(&self.done);
        if done.skipped.len() < SKIPPED_NAMED {
            done.skipped.push(Skipped { path: path.into(), what: what.into(), reason: reason.to_string() });
        } else {
            done.more_skipped += 1;
        }
    }

    pub(super) fn is_skipped(&self, path: &Path) -> bool {
        lock(&self.without).contains(path)
    }

    fn tell(&self) {
        if let Some(progress) = self.options.progress {
            let (entries, bytes) = (&self.entries, &self.bytes);
            progress(Progress {
                entries: entries.load(Ordering::Relaxed),
                bytes: bytes.load(Ordering::Relaxed),
            });
        }
    }

    fn work(&self, jobs: &Mutex<mpsc::Receiver<Job>>) {
        loop {
            // Not held while working.
            let job = lock(jobs).recv();
            let Ok(job) = job else { return };
            // The rest is only taken out, so that the walk never waits.
            if self.check().is_err() {
                continue;
            }
            if let Err(error) = self.make(&job) {
                let mut failed = lock(&self.failed);
                if failed.as_ref().is_none_or(|before| matches!(before, ExtractError::Cancelled)) {
                    *failed = Some(error);
                }
                drop(failed);
                self.stop.store(true, Ordering::Relaxed);
            }
        }
    }

    fn make(&self, job: &Job) -> Result<(), ExtractError> {
        let (entry, parent, name) = (&job.entry, &job.parent, &job.name);
        let failed = |error: io::Error| ExtractError::host(entry.path(), error);
        let replace = self.options.onto;
        let special = |kind, device| host::make_special(parent, name, replace, kind, device);
        let (made, kind) = match &entry.stat().what {
            What::File { .. } => {
                let file = host::make_file(parent, name, replace).map_err(failed)?;
                let holes = self.write(&file, entry)?;
                self.finish_file(&file, entry)?;
                self.count(|done| {
                    done.files += 1;
                    done.holes += holes;
                });
                return Ok(());
            }
            What::Symlink { target } => {
                host::make_link(parent, name, replace, OsStr::from_bytes(target)).map_err(failed)?;
                self.set(&Target::Name(parent, name), entry)?;
                self.count(|done| done.symlinks += 1);
                return Ok(());
            }
            What::CharDevice { major, minor } => {
                (special(FileType::CharacterDevice, (*major, *minor)), "the character device")
            }
            What::BlockDevice { major, minor } => {
                (special(FileType::BlockDevice, (*major, *minor)), "the block device")
            }
            What::Fifo => (special(FileType::Fifo, (0, 0)), "the pipe"),
            What::Socket => (special(FileType::Socket, (0, 0)), "the socket"),
            What::Directory => unreachable!("the walk makes directories itself"),
        };
        match made {
            Ok(()) => {
                self.set(&Target::Name(parent, name), entry)?;
                self.count(|done| done.special += 1);
            }
            Err(error) if is_refused(&error) => {
                self.skip(entry.path(), kind, &error);
                lock(&self.without).insert(entry.path().to_owned());
            }
            Err(error) => return Err(failed(error)),
        }
        Ok(())
    }

    /// Writes what is not a hole, and returns how much is.
    fn write(&self, file: &std::fs::File, entry: &Entry) -> Result<u64, ExtractError> {
        let failed = |error: io::Error| ExtractError::host(entry.path(), error);
        let mut reader = self.image.read(entry)?;
        let (mut at, mut holes) = (0, 0);
        // A file that ends in a hole is not as long as what was written. The host may have a limit, and says so now.
        file.set_len(reader.size()).map_err(failed)?;
        while let Some(chunk) = reader.next_chunk().map_err(|error| error.at(entry.path()))? {
            self.check()?;
            match chunk {
                Chunk::Hole(len) => {
                    at += len;
                    holes += len;
                }
                Chunk::Data(bytes) => {
                    let len = bytes.len() as u64;
                    let limit = self.options.limits.bytes;
                    if self.bytes.fetch_add(len, Ordering::Relaxed) + len > limit {
                        return Err(ExtractError::TooManyBytes { limit });
                    }
                    file.write_all_at(bytes, at).map_err(failed)?;
                    at += len;
                    self.tell();
                }
            }
        }
        Ok(holes)
    }

    /// For what is open.
    pub(super) fn finish_file(&self, file: &impl AsFd, entry: &Entry) -> Result<(), ExtractError> {
        self.set(&Target::open(file), entry)
    }
}

impl Shared<'_> {
    /// Owner, attributes, mode and time, in the order in which none undoes another: a new owner takes capabilities and
    /// the set-user-ID bit away.
    fn set(&self, target: &Target<'_>, entry: &Entry) -> Result<(), ExtractError> {
        let failed = |error: io::Error| ExtractError::host(entry.path(), error);
        let stat = entry.stat();
        if self.options.owners {
            target.owner(stat.uid, stat.gid).map_err(failed)?;
        }
        if self.options.xattrs {
            for (name, value) in self.image.xattrs(entry)? {
                match target.xattr(OsStr::from_bytes(&name), &value) {
                    Ok(()) => {}
                    Err(error) if is_refused(&error) => {
                        let what = format!("the extended attribute `{}`", name.escape_ascii());
                        self.skip(entry.path(), what, &error);
                    }
                    Err(error) => return Err(failed(error)),
                }
            }
        }
        if !matches!(stat.what, What::Symlink { .. }) {
            target.mode(stat.mode).map_err(failed)?;
        }
        target.time(stat.mtime).map_err(failed)
    }
}

/// Whether the host does not let us, which is not an error for what it keeps for root.
fn is_refused(error: &io::Error) -> bool {
    let number = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(number, Some(Errno::PERM | Errno::ACCESS | Errno::NOTSUP | Errno::NOSYS))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

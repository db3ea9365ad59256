//! The directory where machines are kept, which several processes may use at once.
//!
//! ```text
//! CACHE/vm/KEY/           one that is whole: it has its facts; whoever uses it holds a shared lock of the directory
//! CACHE/vm/.partial-KEY/  one that is being made, by whoever holds an exclusive lock of the directory
//! ```
//!
//! A lock ends with its process. So what is not whole and is not locked was left by one that was killed.

use std::{
    fs::{File, TryLockError},
    io,
    os::unix::fs::MetadataExt as _,
    time::SystemTime,
};

use bootway_plan::Digest;
use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, utimensat};

use super::FACTS;

/// What the name of a machine begins with that is being made.
const PARTIAL: &str = ".partial-";

/// A machine that is kept, or a part of one that a killed process left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptMachine {
    /// Its directory.
    pub path: Utf8PathBuf,
    /// Whether tests can go on from it.
    pub whole: bool,
    /// When it was used last.
    pub used: SystemTime,
}

/// Machines that are kept in `cache` and that nobody uses at the moment, the one first that was not used for longest.
///
/// # Errors
///
/// If the directory cannot be read; none at all is no error.
pub fn kept_machines(cache: &Utf8Path) -> io::Result<Vec<KeptMachine>> {
    let mut found = Vec::new();
    for path in Shelf::new(cache).dirs()? {
        // Another process may take it away in this moment.
        let Ok(metadata) = path.symlink_metadata() else { continue };
        if !metadata.is_dir() || !is_free(&path) {
            continue;
        }
        let facts = path.join(FACTS).symlink_metadata();
        let whole = facts.is_ok() && !is_partial(&path);
        let used = facts.or(Ok(metadata)).and_then(|it: std::fs::Metadata| it.modified())?;
        found.push(KeptMachine { path, whole, used });
    }
    found.sort_by(|a, b| (a.used, &a.path).cmp(&(b.used, &b.path)));
    Ok(found)
}

/// Removes a directory of [`kept_machines`]; not if somebody has begun to use it: `false`.
///
/// # Errors
///
/// If it cannot be removed.
pub fn remove_kept_machine(path: &Utf8Path) -> io::Result<bool> {
    let dir = match open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        dir => dir?,
    };
    match dir.try_lock() {
        Ok(()) => remove(path).map(|()| true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Where machines are kept.
#[derive(Clone, Debug)]
pub(super) struct Shelf {
    dir: Utf8PathBuf,
}

/// A machine that nobody takes away while this lives.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) dir: Utf8PathBuf,
    _lock: File,
}

/// Room for a machine, which is gone with this.
#[derive(Debug)]
pub(super) struct Partial {
    pub(super) dir: Utf8PathBuf,
    place: Utf8PathBuf,
    /// `None` once it is in its place.
    lock: Option<File>,
}

impl Shelf {
    /// Of the cache of a run.
    pub(super) fn new(cache: &Utf8Path) -> Self {
        Self { dir: cache.join("vm") }
    }

    fn dirs(&self) -> io::Result<Vec<Utf8PathBuf>> {
        let entries = match self.dir.read_dir_utf8() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        entries.map(|entry| Ok(entry?.into_path())).collect()
    }

    /// Removes what killed processes left: parts of machines that nobody is making.
    pub(super) fn sweep(&self) {
        let Ok(dirs) = self.dirs() else { return };
        for path in dirs {
            let is_left = is_partial(&path) || !path.join(FACTS).exists();
            if is_left && path.is_dir() {
                // It may be another's, who is then asked to remove it.
                let _ = remove_kept_machine(&path);
            }
        }
    }

    fn place(&self, key: &Digest) -> Utf8PathBuf {
        self.dir.join(key.short())
    }

    /// The directory of the machine that is kept under `key`, if there is one that nobody takes away.
    pub(super) fn hold(&self, key: &Digest) -> io::Result<Option<Held>> {
        let dir = self.place(key);
        let lock = match open(&dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            lock => lock?,
        };
        match lock.try_lock_shared() {
            Ok(()) if is_still(&dir, &lock) => {
                touch(&dir.join(FACTS));
                Ok(Some(Held { dir, _lock: lock }))
            }
            Ok(()) | Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Room for the machine with `key`; `None` if somebody else makes it already.
    pub(super) fn make(&self, key: &Digest) -> io::Result<Option<Partial>> {
        let place = self.place(key);
        let dir = self.dir.join(format!("{PARTIAL}{}", key.short()));
        fs_err::create_dir_all(&dir)?;
        let lock = match open(&dir) {
            // Whoever made it has just put it into its place.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            lock => lock?,
        };
        match lock.try_lock() {
            Ok(()) if is_still(&dir, &lock) => {}
            Ok(()) | Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        for left in dir.read_dir_utf8()? {
            fs_err::remove_file(left?.path())?;
        }
        Ok(Some(Partial { dir, place, lock: Some(lock) }))
    }
}

impl Partial {
    /// Puts what is whole into its place.
    pub(super) fn place(mut self) -> io::Result<Held> {
        let lock = self.lock.take().expect("it is placed once");
        // What is there is not whole, or we would not have made another.
        let placed = remove(&self.place)
            .and_then(|()| lock.lock_shared())
            .and_then(|()| fs_err::rename(&self.dir, &self.place));
        if let Err(error) = placed {
            self.lock = Some(lock);
            return Err(error);
        }
        Ok(Held { dir: self.place.clone(), _lock: lock })
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if self.lock.is_some() {
            let _ = remove(&self.dir); // What is left of it is nobody's, and the next one sweeps it away.
        }
    }
}

impl Held {
    /// Removes it, although others may use it: it is not good, for nobody.
    pub(super) fn forget(&self) {
        // Whoever finds a part of it finds no facts.
        let _ = fs_err::remove_file(self.dir.join(FACTS));
        let _ = remove(&self.dir);
    }
}

fn is_partial(path: &Utf8Path) -> bool {
    path.file_name().is_some_and(|name| name.starts_with(PARTIAL))
}

fn open(dir: &Utf8Path) -> io::Result<File> {
    Ok(fs_err::File::open(dir)?.into_parts().0)
}

/// Whether nobody uses it, or makes it.
fn is_free(dir: &Utf8Path) -> bool {
    open(dir).is_ok_and(|dir| dir.try_lock().is_ok())
}

/// Whether `dir` is still what was opened as `file`: it may have got another name, or have been removed, meanwhile.
fn is_still(dir: &Utf8Path, file: &File) -> bool {
    let identity = |it: std::fs::Metadata| (it.dev(), it.ino());
    let there = dir.symlink_metadata().map(identity);
    there.is_ok_and(|there| file.metadata().map(identity).is_ok_and(|here| here == there))
}

/// Notes that it is used now.
fn touch(path: &Utf8Path) {
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    let times = Timestamps { last_access: now, last_modification: now };
    // It only decides what is removed first.
    let _ = utimensat(CWD, path.as_std_path(), &times, AtFlags::SYMLINK_NOFOLLOW);
}

/// Removes a directory, if it is there.
fn remove(dir: &Utf8Path) -> io::Result<()> {
    match fs_err::remove_dir_all(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Cache(tempfile::TempDir);

    impl Cache {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn path(&self) -> &Utf8Path {
            Utf8Path::from_path(self.0.path()).unwrap()
        }

        fn shelf(&self) -> Shelf {
            Shelf::new(self.path())
        }

        /// Keeps a machine without anything.
        fn keep(&self, name: &str) -> Held {
            let partial = self.shelf().make(&key(name)).unwrap().unwrap();
            fs_err::write(partial.dir.join(FACTS), name).unwrap();
            partial.place().unwrap()
        }

        fn names(&self) -> Vec<String> {
            let dirs = self.shelf().dirs().unwrap();
            let mut names: Vec<_> = dirs.iter().map(|dir| dir.file_name().unwrap().to_owned()).collect();
            names.sort();
            names
        }
    }

    fn key(name: &str) -> Digest {
        Digest::of(name.as_bytes())
    }

    fn short(name: &str) -> String {
        key(name).short().clone()
    }

    #[test]
    fn one_makes_what_others_wait_for_and_use() {
        let cache = Cache::new();
        let (one, other) = (cache.shelf(), cache.shelf());
        let partial = one.make(&key("a")).unwrap().unwrap();
        assert!(other.make(&key("a")).unwrap().is_none(), "somebody else makes it");
        assert!(other.make(&key("b")).unwrap().is_some(), "another one is nobody's");
        assert!(other.hold(&key("a")).unwrap().is_none(), "it is not whole");
        fs_err::write(partial.dir.join(FACTS), "facts").unwrap();
        let held = partial.place().unwrap();
        let also = other.hold(&key("a")).unwrap().unwrap();
        assert_eq!(held.dir, also.dir);
        assert_eq!(fs_err::read_to_string(also.dir.join(FACTS)).unwrap(), "facts");
        assert_eq!(cache.names(), [short("a")], "what was not placed is gone");
    }

    #[test]
    fn what_a_killed_process_left_goes_and_what_another_makes_or_uses_stays() {
        let cache = Cache::new();
        let used = cache.keep("used");
        drop(cache.keep("whole"));
        let dir = cache.path().join("vm");
        for left in [".partial-0123", "0123"] {
            fs_err::create_dir(dir.join(left)).unwrap();
            fs_err::write(dir.join(left).join("ram"), "half").unwrap();
        }
        let making = cache.shelf().make(&key("made")).unwrap().unwrap();
        fs_err::write(making.dir.join("ram"), "half").unwrap();
        cache.shelf().sweep();
        let mut stays = [format!(".partial-{}", short("made")), short("used"), short("whole")];
        stays.sort();
        assert_eq!(cache.names(), stays);
        assert!(making.dir.join("ram").exists());
        drop((used, making));
    }

    #[test]
    fn the_one_that_was_not_used_for_longest_goes_first_and_none_that_is_in_use() {
        let cache = Cache::new();
        let seconds = |path: &Utf8Path, seconds| {
            let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
            let times = Timestamps { last_access: time, last_modification: time };
            utimensat(CWD, path.join(FACTS).as_std_path(), &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
        };
        for (name, time) in [("a", 30), ("b", 10), ("c", 20)] {
            seconds(&cache.keep(name).dir, time);
        }
        let names = || -> Vec<String> {
            let all = kept_machines(cache.path()).unwrap();
            assert!(all.iter().all(|it| it.whole));
            all.iter().map(|it| it.path.file_name().unwrap().to_owned()).collect()
        };
        assert_eq!(names(), [short("b"), short("c"), short("a")]);
        let used = cache.shelf().hold(&key("b")).unwrap().unwrap();
        assert_eq!(names(), [short("c"), short("a")], "it is in use");
        assert!(!remove_kept_machine(&used.dir).unwrap());
        drop(used);
        assert_eq!(names(), [short("c"), short("a"), short("b")], "it was used last");
        let dir = cache.path().join("vm").join(short("b"));
        assert!(remove_kept_machine(&dir).unwrap());
        assert!(remove_kept_machine(&dir).unwrap(), "it is gone, whoever removed it");
        assert_eq!(names(), [short("c"), short("a")]);
    }

    #[test]
    fn what_is_not_good_is_forgotten_and_made_anew_by_whoever_needs_it() {
        let cache = Cache::new();
        let (held, other) = (cache.keep("a"), cache.shelf().hold(&key("a")).unwrap().unwrap());
        held.forget();
        other.forget();
        assert!(cache.shelf().hold(&key("a")).unwrap().is_none());
        let again = cache.keep("a");
        assert!(again.dir.join(FACTS).exists());
    }

    #[test]
    fn a_cache_without_machines_has_none() {
        let cache = Cache::new();
        assert_eq!(kept_machines(cache.path()).unwrap(), []);
        cache.shelf().sweep();
        assert_eq!(fs_err::read_dir(cache.path()).unwrap().count(), 0, "nothing was made");
    }
}

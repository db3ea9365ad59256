//! A whole image, as files of the host.
//!
//! Everything goes into a new directory beside the wanted one, which takes its place at the very end: what is there is
//! complete. Files are made by name in directories that are held open, never by path, and links of the image are never
//! followed: whatever it says, nothing outside is touched.

mod host;
mod pool;

use std::{
    collections::HashMap,
    io,
    num::NonZeroUsize,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use thiserror::Error;

use super::{Entry, Image, InodeRef, ReadError, What, error::shown};
use host::Directory;
use pool::{Job, Shared};

/// Names of what was left out that are kept; the rest is counted.
const SKIPPED_NAMED: usize = 1000;

/// How an image is extracted.
#[derive(Clone)]
pub struct Extract<'a> {
    /// Whether owners and groups are set, which needs root. If not, all belongs to who extracts it.
    pub owners: bool,
    /// Whether extended attributes are set. Those that the host refuses are left out, and named in the result.
    pub xattrs: bool,
    /// Whether a directory that is there is filled, mount points too. What is in the way of a file is replaced, a
    /// directory is entered, and after an error what was made until then stays.
    pub onto: bool,
    /// Asked of each path whether it is wanted; all are if not given. Nothing in a directory that is not wanted is asked
    /// for, and the root always is.
    pub only: Option<&'a (dyn Fn(&Path) -> bool + Sync)>,
    /// How many threads unpack; all processors if not given.
    pub threads: Option<NonZeroUsize>,
    /// What is too much.
    pub limits: Limits,
    /// Told how far it is, often, by any thread.
    pub progress: Option<&'a (dyn Fn(Progress) + Sync)>,
    /// Ends the work soon when it becomes true; then nothing is left of it.
    pub cancel: Option<&'a AtomicBool>,
}

/// What is too much to extract. A small image can say that it has a great deal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all files together, without holes: 64 GiB unless told otherwise.
    pub bytes: u64,
    /// Names: 16 million unless told otherwise.
    pub entries: u64,
    /// Directories in each other: 256 unless told otherwise. Each is open while files are made in it.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 64 << 30, entries: 16 << 20, depth: 256 }
    }
}

impl Default for Extract<'_> {
    fn default() -> Self {
        Self {
            owners: rustix::process::geteuid().is_root(),
            xattrs: true,
            onto: false,
            only: None,
            threads: None,
            limits: Limits::default(),
            progress: None,
            cancel: None,
        }
    }
}

impl std::fmt::Debug for Extract<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { owners, xattrs, onto, threads, limits, .. } = self;
        let mut all = f.debug_struct("Extract");
        all.field("owners", owners).field("xattrs", xattrs).field("onto", onto);
        all.field("threads", threads).field("limits", limits);
        all.finish_non_exhaustive()
    }
}

/// How far the work is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Names done.
    pub entries: u64,
    /// Bytes of files, without holes.
    pub bytes: u64,
}

/// What was extracted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Extracted {
    /// Directories, with the root.
    pub directories: u64,
    /// Regular files.
    pub files: u64,
    /// Symbolic links.
    pub symlinks: u64,
    /// Devices, pipes and sockets.
    pub special: u64,
    /// Further names of files that have several.
    pub hard_links: u64,
    /// Bytes of files, without holes.
    pub bytes: u64,
    /// Bytes of holes.
    pub holes: u64,
    /// What the host refused, the first thousand.
    pub skipped: Vec<Skipped>,
    /// How many there were beyond those.
    pub more_skipped: u64,
}

/// What is in the image and not on the host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Error)]
#[error("`{}`: {what} is left out: {reason}", shown(path))]
pub struct Skipped {
    /// Which file of the image.
    pub path: PathBuf,
    /// The file itself, or what of it.
    pub what: String,
    /// What the host says.
    pub reason: String,
}

/// Why nothing was extracted.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ExtractError {
    /// The image cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The host refuses a file.
    #[error("cannot make `{}`: {error}", shown(path))]
    Host {
        /// Which file of the image.
        path: PathBuf,
        /// What it says.
        error: io::Error,
    },
    /// The place is taken.
    #[error("`{}` is there and is not an empty directory: name one that is not there", path.display())]
    Exists {
        /// Which.
        path: PathBuf,
    },
    /// The image has more bytes than [`Limits::bytes`].
    #[error("the files have more than {limit} bytes together: raise the limit if that can be")]
    TooManyBytes {
        /// How many there may be.
        limit: u64,
    },
    /// The image has more names than [`Limits::entries`].
    #[error("there are more than {limit} names: raise the limit if that can be")]
    TooManyEntries {
        /// How many there may be.
        limit: u64,
    },
    /// It was asked to end.
    #[error("cancelled")]
    Cancelled,
}

impl ExtractError {
    fn host(path: impl Into<PathBuf>, error: impl Into<io::Error>) -> Self {
        Self::Host { path: path.into(), error: error.into() }
    }
}

impl Image {
    /// Extracts everything to `dest`, which must not be there, or be an empty directory, unless the options say
    /// [`Extract::onto`]. After an error it is as it was.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use bootway_squashfs::read::{Extract, Image};
    ///
    /// let image = Image::open("root.squashfs")?;
    /// let done = image.extract("root", &Extract { owners: false, ..Extract::default() })?;
    /// for skipped in &done.skipped {
    ///     println!("{skipped}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn extract(&self, dest: impl AsRef<Path>, options: &Extract<'_>) -> Result<Extracted, ExtractError> {
        let dest = dest.as_ref();
        if options.onto && dest.is_dir() {
            let root = Directory::open(dest).map_err(|error| ExtractError::host(dest, error))?;
            return self.extract_into(root, options);
        }
        check_free(dest)?;
        let parent = dest.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut prefix = std::ffi::OsString::from(".");
        prefix.push(dest.file_name().unwrap_or_default());
        prefix.push(".");
        let beside = tempfile::Builder::new().prefix(&prefix).tempdir_in(parent);
        let beside = beside.map_err(|error| ExtractError::host(dest, error))?;
        let root = Directory::open(beside.path()).map_err(|error| ExtractError::host("", error))?;
        let done = self.extract_into(root, options)?;
        fs_err::rename(beside.path(), dest).map_err(|error| ExtractError::host(dest, error))?;
        // It has moved away: there is nothing to remove.
        let _ = beside.keep();
        Ok(done)
    }

    fn extract_into(&self, root: Directory, options: &Extract<'_>) -> Result<Extracted, ExtractError> {
        let shared = Shared::new(self, options);
        let mut run =
            Run { shared: &shared, root, open: Vec::new(), unwanted: None, later: Later::default() };
        pool::run(&shared, |send| run.entries(send))?;
        run.links()?;
        run.directories()?;
        Ok(shared.finish())
    }
}

/// Whether a directory can be renamed to this place.
fn check_free(dest: &Path) -> Result<(), ExtractError> {
    match dest.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(ExtractError::host(dest, error)),
        Ok(data) => {
            let empty =
                data.is_dir() && fs_err::read_dir(dest).is_ok_and(|mut entries| entries.next().is_none());
            if empty { Ok(()) } else { Err(ExtractError::Exists { path: dest.to_owned() }) }
        }
    }
}

/// The thread that walks.
struct Run<'a> {
    shared: &'a Shared<'a>,
    root: Directory,
    /// The directories that the current entry is in.
    open: Vec<Arc<OwnedFd>>,
    /// The last file that is not wanted: if it is a directory, nothing in it is.
    unwanted: Option<PathBuf>,
    later: Later,
}

/// What can only be done when all files are there.
#[derive(Default)]
struct Later {
    /// Their modes would be in the way, and their times would change.
    directories: Vec<Entry>,
    /// The first names of files that have several.
    first: HashMap<InodeRef, PathBuf>,
    /// First name and further name.
    links: Vec<(PathBuf, PathBuf)>,
}

impl Run<'_> {
    fn entries(&mut self, send: &dyn Fn(Job)) -> Result<(), ExtractError> {
        let limits = self.shared.options.limits;
        let mut count = 0;
        for entry in self.shared.image.entries() {
            self.shared.check()?;
            let entry = entry?;
            count += 1;
            if count > limits.entries {
                return Err(ExtractError::TooManyEntries { limit: limits.entries });
            }
            let depth = entry.path().components().count();
            if depth > limits.depth {
                return Err(ReadError::TooDeep { limit: limits.depth }.at(entry.path()).into());
            }
            if self.is_unwanted(entry.path()) {
                continue;
            }
            self.open.truncate(depth);
            self.entry(entry, send)?;
        }
        Ok(())
    }

    fn is_unwanted(&mut self, path: &Path) -> bool {
        if self.unwanted.as_ref().is_some_and(|unwanted| path.starts_with(unwanted)) {
            return true;
        }
        let is_root = path.as_os_str().is_empty();
        let unwanted = !is_root && self.shared.options.only.is_some_and(|only| !only(path));
        self.unwanted = unwanted.then(|| path.to_owned());
        unwanted
    }

    fn entry(&mut self, entry: Entry, send: &dyn Fn(Job)) -> Result<(), ExtractError> {
        let Some(name) = entry.path().file_name() else {
            self.open.push(Arc::clone(self.root.fd()));
            self.later.directories.push(entry);
            return Ok(());
        };
        let parent = self.open.last().expect("the root is the first entry, and open until the end");
        let name = name.to_owned();
        if entry.stat().what == What::Directory {
            let made = host::make_directory(parent, &name, self.shared.options.onto);
            self.open.push(Arc::new(made.map_err(|error| ExtractError::host(entry.path(), error))?));
            self.later.directories.push(entry);
            return Ok(());
        }
        if entry.stat().links > 1 {
            if let Some(first) = self.later.first.get(&entry.inode) {
                self.later.links.push((first.clone(), entry.path));
                return Ok(());
            }
            self.later.first.insert(entry.inode, entry.path.clone());
        }
        send(Job { parent: Arc::clone(parent), name, entry });
        Ok(())
    }

    fn links(&self) -> Result<(), ExtractError> {
        for (first, path) in &self.later.links {
            self.shared.check()?;
            if self.shared.is_skipped(first) {
                self.shared.skip(path, "it", "its first name is left out");
                continue;
            }
            let onto = self.shared.options.onto;
            self.root.link(first, path, onto).map_err(|error| ExtractError::host(path, error))?;
            self.shared.count(|done| done.hard_links += 1);
        }
        Ok(())
    }

    /// Children before parents.
    fn directories(&self) -> Result<(), ExtractError> {
        for entry in self.later.directories.iter().rev() {
            self.shared.check()?;
            let failed = |error: io::Error| ExtractError::host(entry.path(), error);
            let directory = self.root.beneath(entry.path()).map_err(failed)?;
            self.shared.finish_file(&directory, entry)?;
            self.shared.count(|done| done.directories += 1);
        }
        Ok(())
    }
}

fn is_set(flag: Option<&AtomicBool>) -> bool {
    flag.is_some_and(|flag| flag.load(Ordering::Relaxed))
}

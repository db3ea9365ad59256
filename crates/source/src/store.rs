//! Files by content: downloaded once, verified each time.

use std::{
    io::{self, Read as _, Write as _},
    sync::Mutex,
    time::Duration,
};

use bootway_exec::{Cancel, Cx};
use bootway_plan::{Digest, Digester, EventKind};
use camino::{Utf8Path, Utf8PathBuf};
use fs_err::File;
use rustix::fs::FlockOperation;

use crate::{lock::lock, meter::Meter, transfer::Client};

mod download;
mod error;

pub use error::DownloadError;

/// Bytes read between two looks at the cancellation.
const PIECE: usize = 1 << 20;

/// How long to sleep between two looks at the cancellation.
const WAIT: Duration = Duration::from_millis(50);

/// A directory of files that are named after their SHA-256.
pub(crate) struct Store<'a> {
    dir: Utf8PathBuf,
    cancel: &'a Cancel,
    emit: &'a (dyn Fn(EventKind) + Sync),
    client: Client,
    fetched: Mutex<Fetched>,
}

/// What it took to have some files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    /// Files that were in the cache, and are what they should be.
    pub had: Amount,
    /// Files that were downloaded.
    pub came: Amount,
    /// Attempts that failed and were made once more.
    pub retries: u64,
}

/// So many files, and how big they are together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// How many.
    pub files: u64,
    /// Bytes of all of them.
    pub bytes: u64,
}

impl Amount {
    /// One file more, of `bytes`.
    fn add(&mut self, bytes: u64) {
        *self = *self + Self { files: 1, bytes };
    }
}

impl std::ops::Add for Amount {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { files: self.files + other.files, bytes: self.bytes + other.bytes }
    }
}

impl std::ops::Add for Fetched {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            had: self.had + other.had,
            came: self.came + other.came,
            retries: self.retries + other.retries,
        }
    }
}

/// Something to be had.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// What it must be.
    pub(crate) digest: Digest,
    /// Its size, if that is known.
    pub(crate) size: Option<u64>,
    /// Where it may be, in order.
    pub(crate) urls: Vec<String>,
}

impl<'a> Store<'a> {
    /// The store in `cx.cache`.
    pub(crate) fn new(cx: &Cx<'a>) -> Result<Self, DownloadError> {
        let dir = cx.cache.join("sha256");
        fs_err::create_dir_all(&dir)?;
        Ok(Self { dir, cancel: cx.cancel, emit: cx.emit, client: Client::new(), fetched: Mutex::default() })
    }

    /// What it has taken so far.
    pub(crate) fn fetched(&self) -> Fetched {
        *self.fetched.lock().expect("nothing panics while it is held")
    }

    fn count(&self, count: impl FnOnce(&mut Fetched)) {
        count(&mut self.fetched.lock().expect("nothing panics while it is held"));
    }

    fn note(&self, text: String) {
        (self.emit)(EventKind::Note { text });
    }

    /// Where the file with this digest is, after its content was read and found right.
    pub(crate) fn find(
        &self,
        digest: Digest,
        meter: &Meter<'_>,
    ) -> Result<Option<Utf8PathBuf>, DownloadError> {
        let path = self.dir.join(digest.to_string());
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut digester = Digester::default();
        let mut piece = vec![0; PIECE];
        loop {
            self.check()?;
            let n = file.read(&mut piece)?;
            if n == 0 {
                break;
            }
            digester.update(&piece[..n]);
            meter.add(n as u64);
        }
        if digester.finish() == digest {
            return Ok(Some(path));
        }
        // Somebody wrote to it, or the disk is bad; either way it is not what its name says.
        fs_err::remove_file(&path)?;
        Ok(None)
    }

    /// Where the wanted file is, after downloading it if need be.
    ///
    /// Two programs that share a cache and want the same file download it once. What has come of a file before its
    /// download failed or was stopped stays there, and the next one goes on from it.
    pub(crate) fn obtain(&self, wanted: &Wanted, meter: &Meter<'_>) -> Result<Utf8PathBuf, DownloadError> {
        if let Some(path) = self.find(wanted.digest, meter)? {
            let size = fs_err::metadata(&path)?.len();
            self.count(|fetched| fetched.had.add(size));
            return Ok(path);
        }
        let partial = self.dir.join(format!(".partial-{}", wanted.digest));
        let mut file = lock(&partial, FlockOperation::NonBlockingLockExclusive, self.cancel)?
            .ok_or(DownloadError::Cancelled)?;
        if let Some(path) = self.find(wanted.digest, meter)? {
            fs_err::remove_file(&partial)?;
            let size = fs_err::metadata(&path)?.len();
            self.count(|fetched| fetched.had.add(size));
            return Ok(path);
        }
        let came = self.download(wanted, &mut file, meter);
        let size = file.metadata()?.len();
        if let Err(error) = came {
            if size == 0 {
                fs_err::remove_file(&partial)?;
            }
            return Err(error);
        }
        let path = self.dir.join(wanted.digest.to_string());
        fs_err::rename(&partial, &path)?;
        self.count(|fetched| fetched.came.add(size));
        Ok(path)
    }

    fn check(&self) -> Result<(), DownloadError> {
        if self.cancel.is_cancelled() { Err(DownloadError::Cancelled) } else { Ok(()) }
    }

    /// Copies a file of the store to `to`, sharing its blocks where the file system can.
    pub(crate) fn copy_out(&self, from: &Utf8Path, to: &Utf8Path) -> Result<(), DownloadError> {
        let mut from = File::open(from)?;
        let mut to = File::create(to)?;
        if rustix::fs::ioctl_ficlone(to.file(), from.file()).is_ok() {
            return Ok(());
        }
        let mut piece = vec![0; PIECE];
        loop {
            self.check()?;
            let n = from.read(&mut piece)?;
            if n == 0 {
                return Ok(());
            }
            to.write_all(&piece[..n])?;
        }
    }
}

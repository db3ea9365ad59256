//! Files by content: downloaded once, verified each time.

use std::{
    io::{self, Read as _, Write as _},
    os::unix::fs::MetadataExt as _,
    time::{Duration, Instant},
};

use bootway_exec::{Cancel, Cx};
use bootway_plan::{Class, Digest, Digester, Explain};
use camino::{Utf8Path, Utf8PathBuf};
use fs_err::{File, OpenOptions};
use rustix::fs::{FlockOperation, flock};
use thiserror::Error;

use crate::{
    archive::class_of_io,
    meter::Meter,
    transfer::{Client, Sink, TransferFault, TransferStop},
};

/// How often a URL is tried before the next one.
const ATTEMPTS: u32 = 3;

/// Bytes read between two looks at the cancellation.
const PIECE: usize = 1 << 20;

/// How long to wait before something that failed or is locked is tried again.
const WAIT: Duration = Duration::from_millis(50);

/// Before the second attempt; twice that before the third. A test's server recovers at once.
const PAUSE: Duration = if cfg!(test) { Duration::ZERO } else { Duration::from_secs(1) };

/// A directory of files that are named after their SHA-256.
#[derive(Clone, Debug)]
pub(crate) struct Store<'a> {
    dir: Utf8PathBuf,
    cancel: &'a Cancel,
    client: Client,
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
        Ok(Self { dir, cancel: cx.cancel, client: Client::new() })
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
    /// Two programs that share a cache and want the same file download it once.
    pub(crate) fn obtain(&self, wanted: &Wanted, meter: &Meter<'_>) -> Result<Utf8PathBuf, DownloadError> {
        if let Some(path) = self.find(wanted.digest, meter)? {
            return Ok(path);
        }
        let partial = self.dir.join(format!(".partial-{}", wanted.digest));
        let mut file = self.lock(&partial)?;
        if let Some(path) = self.find(wanted.digest, meter)? {
            fs_err::remove_file(&partial)?;
            return Ok(path);
        }
        let fetched = self.try_each(wanted, &mut file, meter);
        if let Err(error) = fetched {
            fs_err::remove_file(&partial)?;
            return Err(error);
        }
        let path = self.dir.join(wanted.digest.to_string());
        fs_err::rename(&partial, &path)?;
        Ok(path)
    }

    /// Opens `partial`, which nobody else has while the file is open.
    fn lock(&self, partial: &Utf8Path) -> Result<File, DownloadError> {
        loop {
            self.check()?;
            let file =
                OpenOptions::new().read(true).write(true).create(true).truncate(false).open(partial)?;
            match flock(file.file(), FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {
                    // Who had it before us may have renamed it: then it is not ours to write to.
                    let there = fs_err::metadata(partial).ok().map(|there| there.ino());
                    if there == Some(file.metadata()?.ino()) {
                        return Ok(file);
                    }
                }
                Err(rustix::io::Errno::WOULDBLOCK) => std::thread::sleep(WAIT),
                Err(error) => return Err(io::Error::from(error).into()),
            }
        }
    }

    fn try_each(&self, wanted: &Wanted, file: &mut File, meter: &Meter<'_>) -> Result<(), DownloadError> {
        let mut tried = Vec::new();
        let mut wrong = None;
        for url in &wanted.urls {
            match self.try_one(url, wanted, file, meter)? {
                Attempt::Right => return Ok(()),
                Attempt::Wrong(got) => {
                    tried.push(format!("{url}: its SHA-256 is {got}"));
                    let digest = wanted.digest;
                    wrong.get_or_insert(DownloadError::WrongDigest { url: url.clone(), wanted: digest, got });
                }
                Attempt::Failed(fault) => tried.push(format!("{url}: {fault}")),
            }
        }
        Err(wrong.unwrap_or(DownloadError::Unreachable { tried }))
    }

    fn try_one(
        &self,
        url: &str,
        wanted: &Wanted,
        file: &mut File,
        meter: &Meter<'_>,
    ) -> Result<Attempt, DownloadError> {
        let mut attempt = 1;
        loop {
            file.set_len(0)?;
            io::Seek::rewind(file)?;
            let length_is_total = wanted.size.is_none();
            let mut received =
                Received { file: &mut *file, digester: Digester::default(), meter, length_is_total };
            match self.client.get(url, wanted.size.unwrap_or(u64::MAX), self.cancel, &mut received) {
                Ok(()) => {
                    let got = received.digester.finish();
                    return Ok(if got == wanted.digest { Attempt::Right } else { Attempt::Wrong(got) });
                }
                Err(TransferStop::Cancelled) => return Err(DownloadError::Cancelled),
                Err(TransferStop::Io(error)) => return Err(error.into()),
                Err(TransferStop::Fault(TransferFault::Transient(_))) if attempt < ATTEMPTS => {
                    self.wait(PAUSE * attempt)?;
                    attempt += 1;
                }
                Err(TransferStop::Fault(fault)) => return Ok(Attempt::Failed(fault)),
            }
        }
    }

    /// The bytes at the first of `urls` that has them: for what is signed, and has no digest yet.
    pub(crate) fn read(&self, urls: &[String], limit: u64) -> Result<Vec<u8>, DownloadError> {
        let mut tried = Vec::new();
        for url in urls {
            for attempt in 1..=ATTEMPTS {
                let mut bytes = Collected(Vec::new());
                match self.client.get(url, limit, self.cancel, &mut bytes) {
                    Ok(()) => return Ok(bytes.0),
                    Err(TransferStop::Cancelled) => return Err(DownloadError::Cancelled),
                    Err(TransferStop::Io(error)) => return Err(error.into()),
                    Err(TransferStop::Fault(TransferFault::Transient(_))) if attempt < ATTEMPTS => {
                        self.wait(PAUSE * attempt)?;
                    }
                    Err(TransferStop::Fault(fault)) => {
                        tried.push(format!("{url}: {fault}"));
                        break;
                    }
                }
            }
        }
        Err(DownloadError::Unreachable { tried })
    }

    fn wait(&self, pause: Duration) -> Result<(), DownloadError> {
        let started = Instant::now();
        while started.elapsed() < pause {
            self.check()?;
            std::thread::sleep(WAIT.min(pause));
        }
        Ok(())
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

/// How one URL did.
enum Attempt {
    Right,
    Wrong(Digest),
    Failed(TransferFault),
}

struct Received<'a> {
    file: &'a mut File,
    digester: Digester,
    meter: &'a Meter<'a>,
    length_is_total: bool,
}

impl Sink for Received<'_> {
    fn length(&mut self, bytes: Option<u64>) {
        if self.length_is_total {
            self.meter.expect(bytes);
        }
    }

    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.digester.update(bytes);
        self.meter.add(bytes.len() as u64);
        self.file.write_all(bytes)
    }
}

struct Collected(Vec<u8>);

impl Sink for Collected {
    fn length(&mut self, _: Option<u64>) {}

    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

/// A file was not downloaded.
#[derive(Debug, Error)]
pub enum DownloadError {
    /// What came is something else.
    #[error("`{url}` is the wrong file: its SHA-256 is `{got}`, and `{wanted}` is wanted")]
    WrongDigest {
        /// From where.
        url: String,
        /// What it should be.
        wanted: Digest,
        /// What it is.
        got: Digest,
    },
    /// Nothing came.
    #[error("cannot download {}", tried.join("; "))]
    Unreachable {
        /// Each URL and why it failed.
        tried: Vec<String>,
    },
    /// What came could not be stored.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Someone asked to stop.
    #[error("cancelled")]
    Cancelled,
}

impl Explain for DownloadError {
    fn class(&self) -> Class {
        match self {
            Self::WrongDigest { .. } | Self::Unreachable { .. } => Class::Step,
            Self::Io(error) => class_of_io(error),
            Self::Cancelled => Class::Cancelled,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::WrongDigest { got, .. } => Some(format!(
                "if the file was replaced on purpose and you trust it, set `sha256 = \"{got}\"`; else use a `mirror` that has the old one"
            )),
            Self::Unreachable { .. } => {
                Some("look at the network, at `http_proxy`, or name a mirror that has it".to_owned())
            }
            Self::Io(_) | Self::Cancelled => None,
        }
    }
}

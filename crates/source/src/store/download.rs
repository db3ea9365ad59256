//! Downloads: from one URL after the other, again when the network fails, and on from where it failed.

use std::{
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    time::{Duration, Instant},
};

use bootway_plan::{Digest, Digester};
use fs_err::File;

use super::{DownloadError, PIECE, Store, WAIT, Wanted};
use crate::{
    meter::Meter,
    transfer::{Sink, TransferFault, TransferStop},
};

/// How often a URL is tried before the next one.
const ATTEMPTS: u32 = 3;

/// Before the second attempt; twice that before the third. A test's server recovers at once.
const PAUSE: Duration = if cfg!(test) { Duration::ZERO } else { Duration::from_secs(1) };

/// How one URL did.
enum Attempt {
    Right,
    Wrong(Digest),
    Failed(TransferFault),
}

impl Store<'_> {
    /// Writes the wanted file to `file`, which may have the beginning of it already.
    ///
    /// What does not come because of the network is tried again at the same URL, from where it stopped if the server can
    /// do that. What is wrong, missing or forbidden is not: the next URL may have it.
    pub(super) fn download(
        &self,
        wanted: &Wanted,
        file: &mut File,
        meter: &Meter<'_>,
    ) -> Result<(), DownloadError> {
        let (mut tried, mut wrong) = (Vec::new(), None);
        let there = file.metadata()?.len();
        if there > 0 {
            self.note(format!("{there} bytes are there from an attempt before this run"));
            meter.add(there);
        }
        for (url, left) in wanted.urls.iter().zip((0..wanted.urls.len()).rev()) {
            let trouble = match self.try_url(url, wanted, file, meter)? {
                Attempt::Right => return Ok(()),
                Attempt::Wrong(got) => {
                    let digest = wanted.digest;
                    wrong.get_or_insert(DownloadError::WrongDigest { url: url.clone(), wanted: digest, got });
                    format!("{url}: its SHA-256 is {got}")
                }
                Attempt::Failed(fault) => format!("{url}: {fault}"),
            };
            if left > 0 {
                self.note(format!("{trouble}; going on with the next mirror"));
            }
            tried.push(trouble);
        }
        Err(wrong.unwrap_or(DownloadError::Unreachable { tried }))
    }

    fn try_url(
        &self,
        url: &str,
        wanted: &Wanted,
        file: &mut File,
        meter: &Meter<'_>,
    ) -> Result<Attempt, DownloadError> {
        let limit = wanted.size.unwrap_or(u64::MAX);
        let mut attempt = 1;
        loop {
            let mut received = self.resume(file, meter, wanted)?;
            let start = received.length;
            if start > 0 && received.digester.clone().finish() == wanted.digest {
                return Ok(Attempt::Right);
            }
            let came = self.client.get(url, start, limit, self.cancel, &mut received);
            let came = came.and_then(|()| received.whole(wanted.size).map_err(TransferStop::Fault));
            match came {
                Ok(()) => {
                    let got = received.digester.clone().finish();
                    if got == wanted.digest {
                        return Ok(Attempt::Right);
                    }
                    let from_before = received.start;
                    received.restart()?;
                    if from_before == 0 {
                        return Ok(Attempt::Wrong(got));
                    }
                    // Which part of it is wrong nobody knows. It is not tried again: this time all of it is from there.
                    let rest = format!("with the {from_before} bytes that were there it is another file");
                    self.note(format!("{url}: {rest}; once more from the beginning"));
                }
                Err(TransferStop::Cancelled) => return Err(DownloadError::Cancelled),
                Err(TransferStop::Io(error)) => return Err(error.into()),
                Err(TransferStop::Fault(TransferFault::Range(reason))) => {
                    received.restart()?;
                    self.note(format!("{url}: {reason}; once more from the beginning"));
                }
                Err(TransferStop::Fault(TransferFault::Transient(reason))) if attempt < ATTEMPTS => {
                    self.again(url, &reason, attempt, received.length)?;
                    attempt += 1;
                }
                Err(TransferStop::Fault(
                    fault @ (TransferFault::Transient(_) | TransferFault::Permanent(_)),
                )) => return Ok(Attempt::Failed(fault)),
            }
        }
    }

    /// Says that an attempt failed, and waits before the next one.
    fn again(&self, url: &str, reason: &str, attempt: u32, length: u64) -> Result<(), DownloadError> {
        self.count(|fetched| fetched.retries += 1);
        let pause = PAUSE * 2_u32.pow(attempt - 1);
        let from = if length > 0 { format!(" from byte {length}") } else { String::new() };
        self.note(format!(
            "{url}: attempt {attempt} of {ATTEMPTS} failed: {reason}; again{from} in {} s",
            pause.as_secs()
        ));
        let started = Instant::now();
        while started.elapsed() < pause {
            self.check()?;
            std::thread::sleep(WAIT.min(pause));
        }
        Ok(())
    }

    /// Goes on behind what is in `file`.
    fn resume<'b>(
        &self,
        file: &'b mut File,
        meter: &'b Meter<'b>,
        wanted: &Wanted,
    ) -> Result<Received<'b>, DownloadError> {
        file.rewind()?;
        let mut received = Received {
            file,
            digester: Digester::default(),
            meter,
            length: 0,
            start: 0,
            knows_total: wanted.size.is_none(),
            said: None,
        };
        let mut piece = vec![0; PIECE];
        loop {
            self.check()?;
            let n = received.file.read(&mut piece)?;
            if n == 0 {
                break;
            }
            received.digester.update(&piece[..n]);
            received.length += n as u64;
        }
        let is_right = || received.digester.clone().finish() == wanted.digest;
        if wanted.size.is_some_and(|size| received.length >= size) && !is_right() {
            received.restart()?; // Behind its end is nothing that could be asked for.
        }
        Ok(received)
    }

    /// The bytes at the first of `urls` that has them: for what is signed, and has no digest yet.
    pub(crate) fn read(&self, urls: &[String], limit: u64) -> Result<Vec<u8>, DownloadError> {
        let mut tried = Vec::new();
        for url in urls {
            for attempt in 1..=ATTEMPTS {
                let mut bytes = Collected(Vec::new());
                match self.client.get(url, 0, limit, self.cancel, &mut bytes) {
                    Ok(()) => {
                        self.count(|fetched| fetched.came.add(bytes.0.len() as u64));
                        return Ok(bytes.0);
                    }
                    Err(TransferStop::Cancelled) => return Err(DownloadError::Cancelled),
                    Err(TransferStop::Io(error)) => return Err(error.into()),
                    Err(TransferStop::Fault(TransferFault::Transient(reason))) if attempt < ATTEMPTS => {
                        self.again(url, &reason, attempt, 0)?;
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
}

/// A file that grows.
struct Received<'a> {
    file: &'a mut File,
    /// Of what is in the file.
    digester: Digester,
    meter: &'a Meter<'a>,
    /// Bytes of the file.
    length: u64,
    /// Those that were there before this attempt, and belong to the file now.
    start: u64,
    /// Whether the server's word for the size is the only one.
    knows_total: bool,
    /// The size of the whole, as the server says it.
    said: Option<u64>,
}

impl Received<'_> {
    /// Forgets what is in the file.
    fn restart(&mut self) -> io::Result<()> {
        self.meter.forget(self.length);
        (self.length, self.start) = (0, 0);
        self.digester = Digester::default();
        self.file.set_len(0)?;
        self.file.rewind()
    }

    /// That all of `size` bytes are there, if that is known: some servers do not say how many will come, and hang up. What
    /// is as long as the server says is another file.
    fn whole(&self, size: Option<u64>) -> Result<(), TransferFault> {
        match size {
            Some(size) if self.length < size && self.said.is_none() => {
                Err(TransferFault::Transient(format!("it ended after {} of {size} bytes", self.length)))
            }
            _ => Ok(()),
        }
    }
}

impl Sink for Received<'_> {
    fn begin(&mut self, start: u64, total: Option<u64>) -> io::Result<()> {
        if self.knows_total {
            self.meter.expect(total);
        }
        if start < self.length {
            self.restart()?;
        }
        (self.start, self.said) = (start, total);
        self.file.seek(SeekFrom::Start(start)).map(drop)
    }

    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.digester.update(bytes);
        self.length += bytes.len() as u64;
        self.meter.add(bytes.len() as u64);
        self.file.write_all(bytes)
    }
}

struct Collected(Vec<u8>);

impl Sink for Collected {
    fn begin(&mut self, _: u64, _: Option<u64>) -> io::Result<()> {
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

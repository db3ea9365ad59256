//! SHA-256 of a file and of the disk in it, counted while they are read; and everything else that is done per stride.

use bootway_exec::Cx;
use bootway_plan::{EventKind, Unit};
use camino::Utf8Path;
use sha2::{Digest, Sha256};
use std::time::{Duration, Instant};

use super::OpenError;

/// At most five events a second.
const PAUSE: Duration = Duration::from_millis(200);

/// The digests, how far it is, and whether to stop.
pub(super) struct Digests<'a> {
    cx: &'a Cx<'a>,
    wanted: Option<String>,
    /// Of the file as it is, and of the disk if that is another.
    whole: Sha256,
    disk: Option<Sha256>,
    done: u64,
    total: u64,
    said: Instant,
}

impl<'a> Digests<'a> {
    /// Nothing is hashed if nothing is wanted.
    pub(super) fn new(cx: &'a Cx<'a>, wanted: Option<&str>) -> Self {
        Self {
            cx,
            wanted: wanted.map(str::to_owned),
            whole: Sha256::new(),
            disk: None,
            done: 0,
            total: 0,
            said: Instant::now(),
        }
    }

    pub(super) const fn wanted(&self) -> bool {
        self.wanted.is_some()
    }

    /// How much progress is counted to.
    pub(super) const fn set_total(&mut self, total: u64) {
        self.total = total;
        self.done = 0;
    }

    /// `bytes` of the file as it is.
    pub(super) fn whole(&mut self, bytes: &[u8]) -> Result<(), OpenError> {
        if self.wanted() {
            self.whole.update(bytes);
        }
        self.done += bytes.len() as u64;
        if self.said.elapsed() >= PAUSE {
            self.said = Instant::now();
            let total = (self.total > 0).then_some(self.total);
            (self.cx.emit)(EventKind::Progress { done: self.done, total, unit: Unit::Bytes });
        }
        self.alive()
    }

    /// `bytes` of the disk in it.
    pub(super) fn disk(&mut self, bytes: &[u8]) -> Result<(), OpenError> {
        if self.wanted() {
            self.disk.get_or_insert_default().update(bytes);
        }
        self.alive()
    }

    pub(super) fn alive(&self) -> Result<(), OpenError> {
        if self.cx.cancel.is_cancelled() { Err(OpenError::Cancelled) } else { Ok(()) }
    }

    /// Whether one of them is what was wanted.
    pub(super) fn check(self, path: &Utf8Path) -> Result<(), OpenError> {
        let Some(wanted) = self.wanted else { return Ok(()) };
        let digits = wanted.strip_prefix("sha256:").unwrap_or(&wanted).to_ascii_lowercase();
        if digits.len() != 64 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(OpenError::NoDigest { wanted });
        }
        let whole = hex(self.whole);
        let disk = self.disk.map(hex);
        if whole == digits || disk.as_ref() == Some(&digits) {
            return Ok(());
        }
        let found = disk.map_or_else(
            || format!("`{whole}`"),
            |disk| format!("the file has `{whole}`, the disk in it `{disk}`"),
        );
        Err(OpenError::Digest { path: path.to_owned(), wanted, found })
    }
}

/// As lower-case digits.
pub(super) fn hex(digest: Sha256) -> String {
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

//! The files of a Debian archive: downloaded from a mirror, or from where Debian keeps them for ever.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use bootway_exec::Cx;
use bootway_plan::Digest;
use camino::Utf8PathBuf;

use crate::{
    meter::Meter,
    store::{DownloadError, Store, Wanted},
};

/// Downloads at once: enough to hide latency, few enough for a mirror.
const AT_ONCE: usize = 4;

/// Debian's archive as it was at any time, for packages that the mirrors have dropped.
const SNAPSHOTS: &str = "http://snapshot.debian.org/archive";

/// A file of an archive.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pooled<'a> {
    pub(super) sha256: Digest,
    pub(super) size: u64,
    /// From the root of the archive.
    pub(super) path: &'a str,
}

/// Where the files are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pool<'a> {
    pub(super) mirror: &'a str,
    /// When the archive was as it is meant, `YYYYMMDDTHHMMSSZ`.
    pub(super) date: Option<&'a str>,
}

impl Pool<'_> {
    /// Brings every file into the store; where they are there, in the same order.
    pub(super) fn download(
        &self,
        cx: &Cx<'_>,
        store: &Store<'_>,
        files: &[Pooled<'_>],
    ) -> Result<Vec<Utf8PathBuf>, DownloadError> {
        let meter = Meter::new(cx, Some(files.iter().map(|file| file.size).sum()));
        let next = AtomicUsize::new(0);
        let done = Mutex::new(vec![None; files.len()]);
        let work = || -> Result<(), DownloadError> {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                let Some(file) = files.get(n) else { return Ok(()) };
                let wanted =
                    Wanted { digest: file.sha256, size: Some(file.size), urls: self.urls(file.path) };
                // After an error nobody starts another one.
                let path = store
                    .obtain(&wanted, &meter)
                    .inspect_err(|_| next.store(files.len(), Ordering::Relaxed))?;
                done.lock().expect("nothing panics while it is held")[n] = Some(path);
            }
        };
        thread::scope(|scope| {
            let workers: Vec<_> = (0..AT_ONCE.min(files.len())).map(|_| scope.spawn(work)).collect();
            workers.into_iter().try_for_each(|worker| worker.join().expect("downloading does not panic"))
        })?;
        Ok(done.into_inner().expect("nothing panics while it is held").into_iter().flatten().collect())
    }

    /// Where a file may be: at the mirror, and for ever in Debian's snapshots if it is Debian's.
    pub(super) fn urls(&self, path: &str) -> Vec<String> {
        let mirror = self.mirror.trim_end_matches('/');
        let mut urls = vec![format!("{mirror}/{path}")];
        let host_and_path = mirror.split_once("://").and_then(|(_, rest)| rest.split_once('/'));
        if let (Some((host, root)), Some(date)) = (host_and_path, self.date)
            && host.ends_with("debian.org")
        {
            let archive = root.rsplit('/').next().unwrap_or(root);
            urls.push(format!("{SNAPSHOTS}/{archive}/{date}/{path}"));
        }
        urls
    }
}

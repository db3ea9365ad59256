//! Locks on files of a cache that several programs share.

use std::{io, os::unix::fs::MetadataExt as _, time::Duration};

use bootway_exec::Cancel;
use camino::Utf8Path;
use fs_err::{File, OpenOptions};
use rustix::fs::{FlockOperation, flock};

/// How long to wait before something that is locked is tried again.
const WAIT: Duration = Duration::from_millis(50);

/// Opens `path`, which nobody else has in a way that excludes `how` while the file is open; `None` if someone asked to stop.
///
/// # Errors
///
/// If it cannot be made.
pub(crate) fn lock(path: &Utf8Path, how: FlockOperation, cancel: &Cancel) -> io::Result<Option<File>> {
    loop {
        if cancel.is_cancelled() {
            return Ok(None);
        }
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match flock(file.file(), how) {
            Ok(()) => {
                // Who had it before us may have renamed or removed it: then it is not ours to write to.
                let there = fs_err::metadata(path).ok().map(|there| there.ino());
                if there == Some(file.metadata()?.ino()) {
                    return Ok(Some(file));
                }
            }
            Err(rustix::io::Errno::WOULDBLOCK) => std::thread::sleep(WAIT),
            Err(error) => return Err(error.into()),
        }
    }
}

//! Sockets of a directory, by a handle of the directory: a socket's path has at most 107 bytes.

use std::{
    io,
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::net::{UnixListener, UnixStream},
    },
};

use camino::Utf8Path;
use rustix::fs::{Mode, OFlags, open};

/// A handle of `dir`.
pub(crate) fn dir(dir: &Utf8Path) -> io::Result<OwnedFd> {
    Ok(open(dir.as_std_path(), OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

fn path(dir: &OwnedFd, name: &str) -> String {
    format!("/proc/self/fd/{}/{name}", dir.as_raw_fd())
}

/// A connection to the socket `name` that never waits, if somebody listens by now.
pub(crate) fn connect(dir: &OwnedFd, name: &str) -> Option<UnixStream> {
    let stream = reach(dir, name).ok()?;
    stream.set_nonblocking(true).ok()?;
    Some(stream)
}

/// A connection to the socket `name`.
pub(crate) fn reach(dir: &OwnedFd, name: &str) -> io::Result<UnixStream> {
    UnixStream::connect(path(dir, name))
}

/// The socket `name`, made.
pub(crate) fn listen(dir: &OwnedFd, name: &str) -> io::Result<UnixListener> {
    UnixListener::bind(path(dir, name))
}

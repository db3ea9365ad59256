//! The bytes of one file, from one place to another.

use std::{io, os::fd::BorrowedFd};

use bootway_exec::Cancel;
use rustix::{fs::SeekFrom, io::Errno};

/// A file up to this is read and written at once; a bigger one is copied by the kernel.
pub(super) const BUFFER: usize = 256 << 10;
/// Copied by the kernel between two looks at the cancellation.
const STRIDE: usize = 4 << 20;

/// How files are brought over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// They share their bytes where the file system can, and are copied where it cannot.
    Auto,
    /// They share their bytes.
    Reflink,
    /// Their bytes are copied.
    Copy,
    /// They are other names of the same files.
    HardLink,
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Brought {
    /// The bytes are shared, and nothing was copied.
    Shared,
    /// The bytes were copied.
    Copied,
}

/// Brings `size` bytes of `from` to `to`, which is new.
pub(super) fn bring(
    how: How,
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    (size, sparse): (u64, bool),
    buffer: &mut [u8],
    cancel: &Cancel,
) -> io::Result<Brought> {
    if matches!(how, How::Auto | How::Reflink) && size > 0 {
        match rustix::fs::ioctl_ficlone(to, from) {
            Ok(()) => return Ok(Brought::Shared),
            // Another file system, or one that cannot: EXDEV, EOPNOTSUPP, ENOTTY, EINVAL, ENOSYS, EPERM of a sandbox.
            Err(error) if how == How::Reflink => return Err(error.into()),
            Err(_) => (),
        }
    }
    if size <= BUFFER as u64 {
        small(from, to, size as usize, buffer)?;
    } else if sparse {
        holes(from, to, size, cancel)?;
    } else {
        large(from, to, 0, size, cancel)?;
    }
    Ok(Brought::Copied)
}

fn changed() -> io::Error {
    io::Error::other("it changed while it was copied")
}

/// One read, one write.
fn small(from: BorrowedFd<'_>, to: BorrowedFd<'_>, size: usize, buffer: &mut [u8]) -> io::Result<()> {
    let mut got = 0;
    while got < size {
        match rustix::io::read(from, &mut buffer[got..size]) {
            Ok(0) => return Err(changed()),
            Ok(more) => got += more,
            Err(Errno::INTR) => (),
            Err(error) => return Err(error.into()),
        }
    }
    let mut put = 0;
    while put < size {
        match rustix::io::write(to, &buffer[put..size]) {
            Ok(more) => put += more,
            Err(Errno::INTR) => (),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// From byte `start` up to byte `end`, by the kernel.
fn large(from: BorrowedFd<'_>, to: BorrowedFd<'_>, start: u64, end: u64, cancel: &Cancel) -> io::Result<()> {
    let (mut read, mut written) = (start, start);
    while read < end {
        if cancel.is_cancelled() {
            return Err(io::Error::new(io::ErrorKind::Interrupted, "cancelled"));
        }
        let wanted = usize::try_from(end - read).unwrap_or(STRIDE).min(STRIDE);
        match rustix::fs::copy_file_range(from, Some(&mut read), to, Some(&mut written), wanted) {
            Ok(0) => return Err(changed()),
            Ok(_) | Err(Errno::INTR) => (),
            // Between file systems that the kernel does not copy between.
            Err(Errno::XDEV | Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS) => {
                return by_hand(from, to, read, end, cancel);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn by_hand(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    start: u64,
    end: u64,
    cancel: &Cancel,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    let mut at = start;
    while at < end {
        if cancel.is_cancelled() {
            return Err(io::Error::new(io::ErrorKind::Interrupted, "cancelled"));
        }
        let wanted = usize::try_from(end - at).unwrap_or(BUFFER).min(BUFFER);
        let got = rustix::io::pread(from, &mut buffer[..wanted], at)?;
        if got == 0 {
            return Err(changed());
        }
        let mut put = 0;
        while put < got {
            put += rustix::io::pwrite(to, &buffer[put..got], at + put as u64)?;
        }
        at += got as u64;
    }
    Ok(())
}

/// What holds something; what is between it stays a hole.
fn holes(from: BorrowedFd<'_>, to: BorrowedFd<'_>, size: u64, cancel: &Cancel) -> io::Result<()> {
    rustix::fs::ftruncate(to, size)?;
    let mut at = 0;
    while at < size {
        let start = match rustix::fs::seek(from, SeekFrom::Data(at)) {
            Ok(start) => start,
            // Only a hole is left.
            Err(Errno::NXIO) => break,
            Err(error) => return Err(error.into()),
        };
        let end = rustix::fs::seek(from, SeekFrom::Hole(start))?.min(size);
        large(from, to, start, end, cancel)?;
        at = end;
    }
    Ok(())
}

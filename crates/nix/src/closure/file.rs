//! The bytes of one file, from one place to another.

use std::{io, os::fd::BorrowedFd};

use bootway_exec::Cancel;
use rustix::{fs::SeekFrom, io::Errno};

/// A file up to this is read and written at once; a bigger one is copied by the kernel.
pub(super) const BUFFER: usize = 64 << 10;
/// Copied by the kernel between two looks at the cancellation.
const STRIDE: usize = 4 << 20;

/// Lets `to`, which is new, share the bytes of `from`, if the file system can.
pub(super) fn reflink(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<(), Errno> {
    rustix::fs::ioctl_ficlone(to, from)
}

/// Copies `size` bytes of `from` to `to`, which is new.
pub(super) fn copy(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    (size, sparse): (u64, bool),
    buffer: &mut [u8],
    cancel: &Cancel,
) -> io::Result<()> {
    if size <= BUFFER as u64 {
        small(from, to, size as usize, buffer)
    } else if sparse {
        holes(from, to, size, cancel)
    } else {
        large(from, to, 0, size, cancel)
    }
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

//! Every byte of an image to a device, and back.
//!
//! The first piece, which has the partition table, is written last: a device that was not finished has none, and nothing
//! takes it for what it was or for what it was to be.

use std::{
    io,
    os::{fd::AsFd, unix::fs::FileExt as _},
    sync::atomic::{AtomicBool, Ordering},
};

use bootway_plan::Digest;
use rustix::fs::{Advice, FallocateFlags, SeekFrom, fadvise, fallocate, fdatasync, seek};

/// Bytes that are read, written and compared at once.
pub(super) const PIECE: u64 = 4 << 20;
/// After so many bytes the device has to have them: progress is what it did, not what was promised.
const SYNC: u64 = 64 << 20;

/// What is copied where.
pub(super) struct Copy<'a> {
    pub(super) image: &'a fs_err::File,
    pub(super) size: u64,
    pub(super) device: &'a fs_err::File,
    /// Whether the device is a file, in which holes can be made.
    pub(super) is_file: bool,
    pub(super) stop: &'a AtomicBool,
    /// Told how many bytes are done.
    pub(super) tell: &'a (dyn Fn(u64) + Sync),
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Copied {
    /// Bytes that were written.
    pub(super) written: u64,
    /// Bytes of holes, which are zeros on the device now.
    pub(super) zeroed: u64,
    /// Of each piece, in order.
    pieces: Vec<Digest>,
}

/// Why it ended early.
#[derive(Debug)]
pub(super) enum Stopped {
    /// Somebody asked.
    Asked,
    /// The image cannot be read.
    Image(io::Error),
    /// The device cannot be written or read.
    Device(io::Error),
    /// What was read back is not what was written; the first byte of the piece.
    Differs(u64),
}

impl Copy<'_> {
    /// Writes everything.
    pub(super) fn write(&self) -> Result<Copied, Stopped> {
        let count = self.size.div_ceil(PIECE);
        let mut copied = Copied { pieces: vec![Digest::of(b""); count as usize], ..Copied::default() };
        let mut buffer = vec![0; PIECE as usize];
        let (mut done, mut unsynced) = (0, 0);
        self.zero(0, self.len(0), &mut buffer)?;
        for n in (1..count).chain(0..count.min(1)) {
            self.look()?;
            let (at, len) = (n * PIECE, self.len(n));
            let piece = &mut buffer[..len as usize];
            if self.is_hole(at, len) {
                piece.fill(0);
                copied.pieces[n as usize] = Digest::of(piece);
                self.zero(at, len, &mut buffer)?;
                copied.zeroed += len;
            } else {
                self.image.file().read_exact_at(piece, at).map_err(Stopped::Image)?;
                copied.pieces[n as usize] = Digest::of(piece);
                self.device.file().write_all_at(piece, at).map_err(Stopped::Device)?;
                copied.written += len;
                unsynced += len;
            }
            if unsynced >= SYNC {
                self.sync()?;
                unsynced = 0;
            }
            done += len;
            (self.tell)(done);
        }
        self.sync()?;
        Ok(copied)
    }

    /// Reads everything back, from the device and not from memory, as far as the kernel lets us ask for that.
    pub(super) fn verify(&self, copied: &Copied) -> Result<(), Stopped> {
        self.forget();
        let mut buffer = vec![0; PIECE as usize];
        for (n, digest) in (0..).zip(&copied.pieces) {
            self.look()?;
            let (at, len) = (n * PIECE, self.len(n));
            let piece = &mut buffer[..len as usize];
            self.device.file().read_exact_at(piece, at).map_err(Stopped::Device)?;
            if Digest::of(piece) != *digest {
                return Err(Stopped::Differs(at));
            }
            (self.tell)(at + len);
        }
        Ok(())
    }

    /// Waits until the device has everything.
    pub(super) fn sync(&self) -> Result<(), Stopped> {
        fdatasync(self.device.file().as_fd()).map_err(|error| Stopped::Device(error.into()))
    }

    /// Asks the kernel to keep nothing of the device in memory. Where it does not, nothing is lost but a proof.
    pub(super) fn forget(&self) {
        let _ = fadvise(self.device.file().as_fd(), 0, None, Advice::DontNeed);
    }

    /// Bytes of piece `n`.
    const fn len(&self, n: u64) -> u64 {
        let left = self.size - n * PIECE;
        if left < PIECE { left } else { PIECE }
    }

    fn look(&self) -> Result<(), Stopped> {
        if self.stop.load(Ordering::Relaxed) { Err(Stopped::Asked) } else { Ok(()) }
    }

    /// Whether the image has nothing in this range.
    fn is_hole(&self, at: u64, len: u64) -> bool {
        match seek(self.image.file().as_fd(), SeekFrom::Data(at)) {
            Ok(data) => data >= at + len,
            // No data up to the end; everything else is read, and says then what is wrong.
            Err(error) => error == rustix::io::Errno::NXIO,
        }
    }

    /// Makes zeros of a range of the device, if it can by itself; `buffer` is zeros afterwards if it cannot.
    fn zero(&self, at: u64, len: u64, buffer: &mut [u8]) -> Result<(), Stopped> {
        let how = if self.is_file { FallocateFlags::PUNCH_HOLE } else { FallocateFlags::ZERO_RANGE };
        let flags = how | FallocateFlags::KEEP_SIZE;
        if len == 0 || fallocate(self.device.file().as_fd(), flags, at, len).is_ok() {
            return Ok(());
        }
        let zeros = &mut buffer[..len as usize];
        zeros.fill(0);
        self.device.file().write_all_at(zeros, at).map_err(Stopped::Device)
    }
}

#[cfg(test)]
mod tests;

//! One pass: every byte is written once, to its final place.
//!
//! Small pieces that follow each other are gathered and written together; the contents of big files go from file to
//! file inside the kernel, which shares their blocks where the file system can. What is never written stays a hole.

mod error;
#[cfg(test)]
mod tests;

use std::{
    io,
    os::unix::fs::{FileExt, MetadataExt},
};

use bootway_exec::Cx;
use camino::{Utf8Path, Utf8PathBuf};
use fs_err::File;
use rustix::io::Errno;

pub use self::error::SinkError;
use crate::{
    Content,
    progress::Progress,
    tree::{Backing, Slice, Stretch, stretches},
};

/// Gathered before it is written; small enough to stay in a processor's cache.
const BUFFER: usize = 512 << 10;
/// A file at least this big is copied by the kernel. Below, sharing its blocks costs more than copying them.
const KERNEL_COPY: u64 = 64 << 10;
/// Where blocks can be shared, a file at least this big is; it is also what offsets are multiples of then.
const BLOCK: u64 = 4096;
/// Copied between two looks at whether to stop.
const STRIDE: u64 = 4 << 20;
/// A gap up to this is written as zeros, to keep a run of small files in one piece.
const GAP: u64 = 4096;

/// The disk's file, and what is on its way there.
pub(crate) struct Sink<'a> {
    cx: &'a Cx<'a>,
    file: File,
    path: Utf8PathBuf,
    /// Where the partition that is being written begins.
    base: u64,
    buffer: Vec<u8>,
    filled: usize,
    /// Where in the file the buffer goes.
    start: u64,
    /// Whether files of the file system that the disk is on can share blocks.
    shares: bool,
    /// Devices from which the kernel does not copy to here.
    unshared: Vec<u64>,
    progress: Progress<'a>,
    /// Moved since the last look at whether to stop.
    moved: u64,
}

impl<'a> Sink<'a> {
    /// A new file of `size` bytes, all hole, into which `total` bytes will be written.
    pub(crate) fn create(cx: &'a Cx<'a>, path: &Utf8Path, size: u64, total: u64) -> Result<Self, SinkError> {
        let file = File::create(path).and_then(|file| file.set_len(size).map(|()| file));
        Ok(Self {
            cx,
            file: file.map_err(|error| SinkError::write(path, error))?,
            path: path.to_owned(),
            base: 0,
            buffer: vec![0; BUFFER],
            filled: 0,
            start: 0,
            shares: shares_blocks(path),
            unshared: Vec::new(),
            progress: Progress::bytes(cx, total),
            moved: 0,
        })
    }

    /// What follows is relative to `offset`.
    pub(crate) fn partition(&mut self, offset: u64) {
        self.base = offset;
    }

    /// `bytes` at `offset`.
    pub(crate) fn put(&mut self, offset: u64, mut bytes: &[u8]) -> Result<(), SinkError> {
        self.seek(offset)?;
        while !bytes.is_empty() {
            if self.filled == BUFFER {
                self.flush()?;
            }
            let len = bytes.len().min(BUFFER - self.filled);
            self.buffer[self.filled..][..len].copy_from_slice(&bytes[..len]);
            self.filled += len;
            bytes = &bytes[len..];
        }
        Ok(())
    }

    /// The whole of `content`, in the pieces of the partition that `extents` names: offset and length of each.
    pub(crate) fn content(&mut self, content: &Content, extents: &[(u64, u64)]) -> Result<(), SinkError> {
        match content {
            Content::Bytes(bytes) => {
                let mut at = 0;
                for &(offset, len) in extents {
                    self.put(offset, &bytes[at..at + len as usize])?;
                    at += len as usize;
                }
                Ok(())
            }
            Content::File { path, size, .. } => self.file(path, *size, extents),
            Content::Slices { file, slices, size } => self.slices(file, slices, *size, extents),
        }
    }

    /// Pieces of `from`; its holes, and those between the pieces, stay holes.
    fn slices(
        &mut self,
        from: &Backing,
        slices: &[Slice],
        size: u64,
        extents: &[(u64, u64)],
    ) -> Result<(), SinkError> {
        let file = from.file().try_clone().map_err(SinkError::Read)?;
        let file = File::from_parts(file, from.path());
        let meta = file.metadata().map_err(SinkError::Read)?;
        let source = Source { file, path: from.path(), size: from.size() };
        if meta.len() != from.size() {
            return Err(source.changed(meta.len()));
        }
        let sparse = meta.blocks() * 512 < meta.len();
        let mut at = 0;
        for &(to, len) in extents {
            let mut to = to;
            for stretch in stretches(slices, size, at, at + len) {
                match stretch {
                    Stretch::Hole { len } => {
                        self.moved(len)?;
                        to += len;
                    }
                    Stretch::Data { offset, len } => {
                        let shared = self.shares
                            && len >= BLOCK
                            && (self.base + to).is_multiple_of(BLOCK)
                            && offset.is_multiple_of(BLOCK);
                        // A block that is not full cannot be shared: it goes with what follows it.
                        let whole = match () {
                            () if shared => len - len % BLOCK,
                            () if len >= KERNEL_COPY => len,
                            () => 0,
                        };
                        if whole > 0 {
                            self.big(&source, meta.dev(), sparse, offset, to, whole)?;
                        }
                        if whole < len {
                            self.small(&source, offset + whole, to + whole, len - whole, false)?;
                        }
                        to += len;
                    }
                }
            }
            at += len;
        }
        Ok(())
    }

    /// Everything is in the file when this returns.
    pub(crate) fn finish(mut self) -> Result<(), SinkError> {
        self.progress.add(self.moved);
        self.flush()
    }

    fn file(&mut self, path: &Utf8Path, size: u64, extents: &[(u64, u64)]) -> Result<(), SinkError> {
        let source = Source { file: File::open(path).map_err(SinkError::Read)?, path, size };
        let shared = self.shares
            && size >= BLOCK
            && extents.iter().all(|(to, _)| (self.base + to).is_multiple_of(BLOCK));
        if shared || size >= KERNEL_COPY || size == 0 {
            let meta = source.file.metadata().map_err(SinkError::Read)?;
            if meta.len() != size {
                return Err(source.changed(meta.len()));
            }
            let sparse = meta.blocks() * 512 < size;
            let mut at = 0;
            for (n, &(offset, len)) in extents.iter().enumerate() {
                // A block that is not full cannot be shared: it goes with what follows it.
                let whole = if shared { len - len % BLOCK } else { len };
                self.big(&source, meta.dev(), sparse, at, offset, whole)?;
                if whole < len {
                    self.small(&source, at + whole, offset + whole, len - whole, n + 1 == extents.len())?;
                }
                at += len;
            }
            return Ok(());
        }
        let mut at = 0;
        for (n, &(offset, len)) in extents.iter().enumerate() {
            self.small(&source, at, offset, len, n + 1 == extents.len())?;
            at += len;
        }
        Ok(())
    }

    /// `len` bytes through the buffer; behind the last of them must be the end of the file.
    fn small(
        &mut self,
        source: &Source<'_>,
        at: u64,
        offset: u64,
        len: u64,
        last: bool,
    ) -> Result<(), SinkError> {
        self.seek(offset)?;
        let len = len as usize;
        if BUFFER - self.filled <= len {
            self.flush()?;
        }
        let end = self.filled + len + usize::from(last);
        let mut filled = self.filled;
        while filled < end {
            let from = at + (filled - self.filled) as u64;
            match source.file.file().read_at(&mut self.buffer[filled..end], from) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(source.failed(&error)),
            }
            if last && filled + 1 == end {
                break; // A regular file that gave less than was asked for has ended.
            }
        }
        let read = filled - self.filled;
        if read != len {
            return Err(source.changed(at + read as u64));
        }
        self.filled += len;
        self.moved(len as u64)
    }

    /// `len` bytes from file to file; holes stay holes.
    fn big(
        &mut self,
        source: &Source<'_>,
        device: u64,
        sparse: bool,
        at: u64,
        offset: u64,
        len: u64,
    ) -> Result<(), SinkError> {
        self.flush()?;
        let (mut at, end) = (at, at + len);
        let to = self.base + offset;
        let shift = to.wrapping_sub(at);
        while at < end {
            let piece = if sparse {
                data_from(&source.file, at, end).map_err(|error| source.failed(&error))?
            } else {
                Some((at, end))
            };
            let Some((from, until)) = piece else { break };
            self.moved(from - at)?;
            at = from;
            while at < until {
                let want = (until - at).min(STRIDE);
                let copied = self.stretch(source, device, at, at.wrapping_add(shift), want)?;
                at += copied;
                self.moved(copied)?;
            }
        }
        self.moved(end - at)
    }

    /// Up to `len` bytes, at least one.
    fn stretch(
        &mut self,
        source: &Source<'_>,
        device: u64,
        from: u64,
        to: u64,
        len: u64,
    ) -> Result<u64, SinkError> {
        if !self.unshared.contains(&device) {
            let (mut from, mut to) = (from, to);
            let copied = rustix::fs::copy_file_range(
                &source.file,
                Some(&mut from),
                &self.file,
                Some(&mut to),
                len as usize,
            );
            match copied {
                Ok(0) => return Err(source.changed(from)),
                Ok(copied) => return Ok(copied as u64),
                Err(Errno::INTR) => return Ok(0),
                Err(Errno::XDEV | Errno::NOSYS | Errno::OPNOTSUPP | Errno::INVAL | Errno::PERM) => {
                    self.unshared.push(device);
                }
                Err(error) => return Err(SinkError::write(&self.path, error.into())),
            }
        }
        let len = (len as usize).min(BUFFER);
        let read = source
            .file
            .file()
            .read_at(&mut self.buffer[..len], from)
            .map_err(|error| source.failed(&error))?;
        if read == 0 {
            return Err(source.changed(from));
        }
        let written = self.file.file().write_all_at(&self.buffer[..read], to);
        written.map_err(|error| SinkError::write(&self.path, error))?;
        Ok(read as u64)
    }

    /// Goes on at `offset`: in the buffer, if that is close behind what it holds.
    fn seek(&mut self, offset: u64) -> Result<(), SinkError> {
        let (at, end) = (self.base + offset, self.start + self.filled as u64);
        let gap = at.wrapping_sub(end);
        if self.filled > 0 && gap < GAP && self.filled + (gap as usize) < BUFFER {
            self.buffer[self.filled..][..gap as usize].fill(0);
            self.filled += gap as usize;
            return Ok(());
        }
        self.flush()?;
        self.start = at;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        let written = self.file.file().write_all_at(&self.buffer[..self.filled], self.start);
        written.map_err(|error| SinkError::write(&self.path, error))?;
        self.start += self.filled as u64;
        self.filled = 0;
        Ok(())
    }

    /// Counts, reports and looks whether to stop.
    fn moved(&mut self, bytes: u64) -> Result<(), SinkError> {
        self.moved += bytes;
        if self.moved < STRIDE / 4 {
            return Ok(());
        }
        self.progress.add(self.moved);
        self.moved = 0;
        if self.cx.cancel.is_cancelled() { Err(SinkError::Cancelled) } else { Ok(()) }
    }
}

/// Whether two files beside `path` can share blocks: two nameless ones try it.
fn shares_blocks(path: &Utf8Path) -> bool {
    use rustix::fs::{CWD, Mode, OFlags};
    let dir = path.parent().filter(|dir| !dir.as_str().is_empty()).unwrap_or(Utf8Path::new("."));
    let nameless = || {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        rustix::fs::openat(CWD, dir.as_std_path(), flags, Mode::RUSR | Mode::WUSR)
    };
    let shared = nameless().and_then(|from| {
        rustix::io::write(&from, &[1; BLOCK as usize])?;
        rustix::fs::ioctl_ficlone(nameless()?, from)
    });
    shared.is_ok()
}

/// A file that is being copied.
struct Source<'a> {
    file: File,
    path: &'a Utf8Path,
    size: u64,
}

impl Source<'_> {
    fn changed(&self, now: u64) -> SinkError {
        SinkError::Changed { path: self.path.to_owned(), was: self.size, now }
    }

    fn failed(&self, error: &io::Error) -> SinkError {
        SinkError::Read(io::Error::new(
            error.kind(),
            format!("failed to read from file `{}`: {error}", self.path),
        ))
    }
}

/// The next stretch of data in `file` from `at` on, cut at `end`.
fn data_from(file: &File, at: u64, end: u64) -> io::Result<Option<(u64, u64)>> {
    use rustix::fs::SeekFrom;
    let from = match rustix::fs::seek(file, SeekFrom::Data(at)) {
        Ok(from) if from < end => from,
        Ok(_) | Err(Errno::NXIO) => return Ok(None),
        Err(Errno::INVAL) => return Ok(Some((at, end))), // A file system without holes.
        Err(error) => return Err(error.into()),
    };
    let until = rustix::fs::seek(file, SeekFrom::Hole(from))?;
    Ok(Some((from, until.min(end))))
}

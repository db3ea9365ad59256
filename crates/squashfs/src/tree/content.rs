//! Reads the bytes of a file, and notices when it is not the file that the tree was made of.

use std::{
    fs::File,
    io,
    os::unix::fs::{FileExt, MetadataExt},
    path::Path,
};

use rustix::{
    fs::{Mode, OFlags, SeekFrom, open, seek},
    io::Errno,
};

use super::{Content, Ident, TreeError};

/// A part of a file with holes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Where it is in the file that is meant.
    pub at: u64,
    /// Where its bytes are in the file that has them.
    pub offset: u64,
    /// How many there are.
    pub size: u64,
}

/// A content, open for reading. Threads may share it.
#[derive(Debug)]
pub(crate) enum Opened<'a> {
    Bytes(&'a [u8]),
    File { file: File, path: &'a Path, ident: &'a Ident },
    Part { file: &'a File, offset: u64, size: u64 },
    Pieces { file: &'a File, pieces: &'a [Piece], size: u64 },
}

impl Content {
    /// Opens it; a file of the host has to be the one that it was.
    pub(crate) fn open(&self) -> Result<Opened<'_>, TreeError> {
        Ok(match self {
            Self::Bytes(bytes) => Opened::Bytes(bytes),
            Self::File { path, ident } => {
                // A fifo that has taken the place of the file must not make us wait for its other end.
                let flags =
                    OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
                let file =
                    open(&**path, flags, Mode::empty()).map_err(|error| TreeError::read(path, error))?;
                let opened = Opened::File { file: file.into(), path, ident };
                opened.unchanged()?;
                opened
            }
            Self::Part { file, offset, size } => Opened::Part { file, offset: *offset, size: *size },
            Self::Pieces { file, pieces, size } => Opened::Pieces { file, pieces, size: *size },
            Self::Streamed { size } => {
                let error = io::Error::other("its bytes went by in a stream");
                return Err(TreeError::Read { path: format!("{size} bytes").into(), error });
            }
        })
    }
}

impl Opened<'_> {
    /// Fills `into` with the bytes from `at`.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or has fewer bytes than it had.
    pub(crate) fn read(&self, at: u64, into: &mut [u8]) -> Result<(), TreeError> {
        match self {
            Self::Bytes(bytes) => {
                let end = at.saturating_add(into.len() as u64);
                let part = bytes.get(at as usize..end as usize).ok_or_else(|| self.cut(at))?;
                into.copy_from_slice(part);
                Ok(())
            }
            Self::File { file, .. } => self.fill(file, at, at, into),
            Self::Part { file, offset, .. } => self.fill(file, offset.saturating_add(at), at, into),
            Self::Pieces { file, pieces, .. } => {
                into.fill(0);
                let end = at + into.len() as u64;
                let first = pieces.partition_point(|piece| piece.at + piece.size <= at);
                for piece in pieces[first..].iter().take_while(|piece| piece.at < end) {
                    let from = piece.at.max(at);
                    let to = (piece.at + piece.size).min(end);
                    let part = &mut into[(from - at) as usize..(to - at) as usize];
                    self.fill(file, piece.offset + (from - piece.at), from, part)?;
                }
                Ok(())
            }
        }
    }

    /// Whether all of the bytes from `at` to `end` are a hole, which reads as zeros and need not be read.
    ///
    /// It is a question to the file system and costs a system call; a "no" says nothing.
    pub(crate) fn is_hole(&self, at: u64, end: u64) -> bool {
        match self {
            Self::File { file, .. } => match seek(file, SeekFrom::Data(at)) {
                Ok(data) => data >= end,
                Err(Errno::NXIO) => true,
                Err(_) => false,
            },
            Self::Pieces { pieces, .. } => {
                let next = pieces.partition_point(|piece| piece.at + piece.size <= at);
                pieces.get(next).is_none_or(|piece| piece.at >= end)
            }
            Self::Bytes(_) | Self::Part { .. } => false,
        }
    }

    /// Whether a file of the host is what it was when the tree was made: to be asked after its last byte was read.
    pub(crate) fn unchanged(&self) -> Result<(), TreeError> {
        let Self::File { file, path, ident } = self else {
            return Ok(());
        };
        let now = file.metadata().map_err(|error| TreeError::read(path, error))?;
        let changed = |what: String| Err(TreeError::Changed { path: path.to_path_buf(), what });
        let nanoseconds = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
        if !now.is_file() || (now.dev(), now.ino()) != (ident.dev, ident.ino) {
            changed("another file has its name".to_owned())
        } else if now.len() != ident.size {
            changed(format!("it had {} bytes and has {}", ident.size, now.len()))
        } else if nanoseconds(now.mtime(), now.mtime_nsec()) != ident.mtime
            || nanoseconds(now.ctime(), now.ctime_nsec()) != ident.ctime
        {
            changed("something wrote to it".to_owned())
        } else {
            Ok(())
        }
    }

    /// Fills `into` from `offset` of `file`, which is `at` in the content.
    fn fill(&self, file: &File, offset: u64, at: u64, into: &mut [u8]) -> Result<(), TreeError> {
        let mut done = 0;
        while done < into.len() {
            match file.read_at(&mut into[done..], offset.saturating_add(done as u64)) {
                Ok(0) => return Err(self.cut(at + done as u64)),
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(TreeError::read(self.path(), error)),
            }
        }
        Ok(())
    }

    /// It ends at `at`.
    fn cut(&self, at: u64) -> TreeError {
        let what = format!("it had {} bytes and ends after {at}", self.size());
        TreeError::Changed { path: self.path().to_owned(), what }
    }

    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::File { path, .. } => path,
            Self::Bytes(_) => Path::new("(memory)"),
            Self::Part { .. } | Self::Pieces { .. } => Path::new("(the archive)"),
        }
    }

    fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { ident, .. } => ident.size,
            Self::Part { size, .. } | Self::Pieces { size, .. } => *size,
        }
    }
}

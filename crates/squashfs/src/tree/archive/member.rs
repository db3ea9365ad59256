//! The members of a tar archive, one after the other: from header to header.
//!
//! Every length in it comes from the archive: what goes into memory is bounded.
//!
//! Source: POSIX.1-2017 pax(1), "ustar Interchange Format" and "pax Interchange Format"; the GNU tar manual, "Basic
//! Tar Format".

use std::{collections::BTreeMap, io};

use thiserror::Error;

use super::{
    super::{Kind, Piece, limits::readable},
    input::{Input, cut},
    records::{self, Records},
    sparse,
};

/// Bytes of a header, and what every content is padded to.
pub(super) const BLOCK: u64 = 512;
/// The most that an extension header may have.
const EXTENSION: u64 = 8 << 20;

/// A tar archive cannot be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TarError {
    /// What the system or the decompressor says.
    #[error("cannot read the archive")]
    Read(#[source] io::Error),
    /// It is something else.
    #[error("this is not a tar archive: give one that is, or a directory")]
    NotTar,
    /// It is compressed, where that does not work.
    #[error("the archive is compressed with {with}: read it as a stream")]
    Packed {
        /// What.
        with: &'static str,
    },
    /// It is compressed in a way that is not known here.
    #[error(
        "the archive is compressed with {with}, which is not known here: unpack it, or use gzip, xz or zstd"
    )]
    Unknown {
        /// What.
        with: &'static str,
    },
    /// A header makes no sense.
    #[error("the archive is damaged at byte {at} ({what}): get it again")]
    Damaged {
        /// Where the header begins.
        at: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// A member cannot be taken.
    #[error("member `{path}` of the archive: {what}")]
    Member {
        /// As the archive calls it.
        path: String,
        /// What is wrong, and what to do.
        what: String,
    },
}

impl TarError {
    pub(super) fn read(error: io::Error) -> Self {
        Self::Read(error)
    }

    pub(super) fn member(path: &[u8], what: impl Into<String>) -> Self {
        Self::Member { path: readable(path), what: what.into() }
    }
}

/// A member of an archive, before its content.
#[derive(Clone, Debug)]
pub(super) struct Header {
    /// Without a `/` before it, and without `.`.
    pub(super) path: Vec<u8>,
    pub(super) what: What,
    /// Bytes of the file that is meant, holes too.
    pub(super) size: u64,
    pub(super) mode: u16,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mtime: i128,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// What the tree cannot hold of it: a line each.
    pub(super) lost: Vec<String>,
    sparse: sparse::Sparse,
}

/// What a member is.
#[derive(Clone, Debug)]
pub(super) enum What {
    File,
    /// One more name of that path.
    HardLink(Vec<u8>),
    Other(Kind),
}

/// Goes from header to header.
#[derive(Debug)]
pub(super) struct Headers<I> {
    input: I,
    /// Bytes since the beginning.
    at: u64,
    /// Bytes until the next header: of content, and of what it is padded with.
    content: u64,
    padding: u64,
    global: Records,
    ended: bool,
}

impl<I: Input> Headers<I> {
    pub(super) fn new(input: I) -> Self {
        Self { input, at: 0, content: 0, padding: 0, global: Records::default(), ended: false }
    }

    /// Bytes since the beginning.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// The next member, or `None` at the end. What there was of the one before has to be
    /// [skipped](Self::skip_content).
    pub(super) fn next(&mut self) -> Result<Option<Header>, TarError> {
        let mut records = self.global.clone();
        loop {
            if self.ended {
                return Ok(None);
            }
            let begin = self.at;
            let mut block = [0; BLOCK as usize];
            if !self.fill(&mut block)? {
                return Err(if self.at == 0 { TarError::NotTar } else { TarError::Read(cut()) });
            }
            if block.iter().all(|byte| *byte == 0) {
                self.input.finish().map_err(TarError::Read)?;
                self.ended = true;
                return Ok(None);
            }
            let raw = Raw { block: &block, at: begin };
            raw.verify()?;
            let size = raw.size()?;
            match block[156] {
                b'L' => records.path = Some(text(self.extension(begin, size)?)),
                b'K' => records.link = Some(text(self.extension(begin, size)?)),
                b'x' | b'X' => {
                    records.parse(&self.extension(begin, size)?).map_err(|what| damaged(begin, what))?;
                }
                b'g' => {
                    let bytes = self.extension(begin, size)?;
                    self.global.parse(&bytes).map_err(|what| damaged(begin, what))?;
                    records.parse(&bytes).map_err(|what| damaged(begin, what))?;
                }
                // The label of a volume.
                b'V' => drop(self.extension(begin, size)?),
                _ => return self.member(&raw, size, records).map(Some),
            }
        }
    }

    /// Where the pieces of a sparse member are, their offsets counted from where its content begins now; `None` if it
    /// has no holes.
    pub(super) fn pieces(&mut self, header: &Header) -> Result<Option<Vec<Piece>>, TarError> {
        let pieces = match &header.sparse {
            sparse::Sparse::No => return Ok(None),
            sparse::Sparse::Known(pieces) => pieces.clone(),
            sparse::Sparse::InContent => {
                sparse::read_map(|block| self.content(block).map_err(TarError::Read))
                    .map_err(|fault| fault.of(&header.path))?
            }
        };
        sparse::place(pieces, header.size, self.content)
            .map(Some)
            .map_err(|what| TarError::member(&header.path, what))
    }

    /// Fills `into` with content.
    pub(super) fn content(&mut self, into: &mut [u8]) -> io::Result<()> {
        self.content = self.content.checked_sub(into.len() as u64).ok_or_else(cut)?;
        if self.input.fill(into)? || into.is_empty() {
            self.at += into.len() as u64;
            Ok(())
        } else {
            Err(cut())
        }
    }

    /// Goes to the next header.
    pub(super) fn skip_content(&mut self) -> Result<(), TarError> {
        let count = self.content.saturating_add(self.padding);
        if count > 0 {
            self.input.skip(count).map_err(TarError::Read)?;
            self.at += count;
        }
        (self.content, self.padding) = (0, 0);
        Ok(())
    }

    fn fill(&mut self, into: &mut [u8]) -> Result<bool, TarError> {
        let filled = self.input.fill(into).map_err(TarError::Read)?;
        if filled {
            self.at += into.len() as u64;
        }
        Ok(filled)
    }

    /// The content of an extension header.
    fn extension(&mut self, begin: u64, size: u64) -> Result<Vec<u8>, TarError> {
        if size > EXTENSION {
            return Err(damaged(begin, "an extension header of more than 8MiB"));
        }
        let mut bytes = vec![0; size as usize];
        (self.content, self.padding) = (size, padding(size));
        self.content(&mut bytes).map_err(TarError::Read)?;
        self.skip_content()?;
        Ok(bytes)
    }

    fn member(&mut self, raw: &Raw<'_>, size: u64, records: Records) -> Result<Header, TarError> {
        let given =
            records.sparse_path.clone().or_else(|| records.path.clone()).unwrap_or_else(|| raw.path());
        let path = relative(&given)?;
        let wrong = |what: &str| TarError::member(&given, what);
        let mut sparse = records.sparse().map_err(|what| TarError::member(&given, what))?;
        let mut real = records.sparse_size().unwrap_or(0);
        let stored = records.size.unwrap_or(size);
        let link = || records.link.clone().unwrap_or_else(|| text(raw.block[157..257].to_vec()));
        let what = match raw.block[156] {
            b'5' => What::Other(Kind::Directory(BTreeMap::new())),
            // Archives older than POSIX mark a directory by its slash only.
            0 | b'0' | b'7' if given.ends_with(b"/") => What::Other(Kind::Directory(BTreeMap::new())),
            0 | b'0' | b'7' => What::File,
            b'S' => {
                let (pieces, size) = self.old_sparse(raw)?;
                (sparse, real) = (sparse::Sparse::Known(pieces), size);
                What::File
            }
            b'1' => What::HardLink(relative(&link())?),
            b'2' => What::Other(Kind::Symlink(link().into())),
            b'3' => What::Other(raw.device(|major, minor| Kind::CharDevice { major, minor })?),
            b'4' => What::Other(raw.device(|major, minor| Kind::BlockDevice { major, minor })?),
            b'6' => What::Other(Kind::Fifo),
            b'M' => return Err(wrong("it continues another volume: join the volumes first")),
            b'D' => {
                return Err(wrong(
                    "the archive is an incremental dump: make it without `--listed-incremental`",
                ));
            }
            _ => return Err(damaged(raw.at, "a member of unknown type")),
        };
        // Only a regular file has content; the size of anything else is a remark.
        let stored = if matches!(what, What::File) { stored } else { 0 };
        (self.content, self.padding) = (stored, padding(stored));
        let holes = !matches!(sparse, sparse::Sparse::No);
        Ok(Header {
            size: if holes { real } else { stored },
            mode: (raw.number(100..108, "a mode")?.cast_unsigned() & 0o7777) as u16,
            uid: raw.owner(records.uid, 108..116)?,
            gid: raw.owner(records.gid, 116..124)?,
            mtime: records.mtime.map_or_else(|| raw.number(136..148, "a time"), Ok)?,
            lost: records.lost(&path),
            xattrs: records.xattrs(),
            sparse,
            path,
            what,
        })
    }

    /// The map of a sparse member in the old GNU format: in the header, and in blocks after it.
    fn old_sparse(&mut self, raw: &Raw<'_>) -> Result<(Vec<Piece>, u64), TarError> {
        let mut pieces = Vec::new();
        raw.sparse_entries(386, 4, &mut pieces)?;
        let mut more = raw.block[482] != 0;
        while more {
            let mut block = [0; BLOCK as usize];
            if pieces.len() > sparse::PIECES {
                return Err(damaged(raw.at, "a sparse file of too many pieces"));
            }
            if !self.fill(&mut block)? {
                return Err(TarError::Read(cut()));
            }
            Raw { block: &block, at: raw.at }.sparse_entries(0, 21, &mut pieces)?;
            more = block[504] != 0;
        }
        let size = raw.number(483..495, "a size")?;
        Ok((pieces, u64::try_from(size).map_err(|_| damaged(raw.at, "a negative size"))?))
    }
}

/// Bytes after `size` bytes of content until the next header.
const fn padding(size: u64) -> u64 {
    (BLOCK - size % BLOCK) % BLOCK
}

fn damaged(at: u64, what: &'static str) -> TarError {
    TarError::Damaged { at, what }
}

/// Text up to its first NUL.
fn text(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    bytes.truncate(end);
    bytes
}

/// A path within the tree: without a `/` before or after it, and without `.`.
fn relative(path: &[u8]) -> Result<Vec<u8>, TarError> {
    let mut names = Vec::new();
    for name in path.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => {
                return Err(TarError::member(path, "it has `..` in its path: make the archive without it"));
            }
            name => names.push(name),
        }
    }
    Ok(names.join(&b'/'))
}

/// The fields of a header.
struct Raw<'a> {
    block: &'a [u8; BLOCK as usize],
    at: u64,
}

impl Raw<'_> {
    fn verify(&self) -> Result<(), TarError> {
        let around = self.block[..148].iter().chain(&self.block[156..]);
        let sum: i128 = around.map(|byte| i128::from(*byte)).sum::<i128>() + 8 * 32;
        match records::number(&self.block[148..156]) {
            Some(given) if given == sum => Ok(()),
            _ if self.at == 0 => Err(TarError::NotTar),
            _ => Err(damaged(self.at, "the checksum of a header is wrong")),
        }
    }

    fn number(&self, field: std::ops::Range<usize>, what: &'static str) -> Result<i128, TarError> {
        records::number(&self.block[field]).ok_or_else(|| damaged(self.at, what))
    }

    fn size(&self) -> Result<u64, TarError> {
        let size = self.number(124..136, "a size that is no number")?;
        // Half of what a u64 has, so that sums of a few of them stay in it.
        u64::try_from(size)
            .ok()
            .filter(|size| *size <= u64::MAX / 4)
            .ok_or_else(|| damaged(self.at, "a size out of range"))
    }

    fn owner(&self, given: Option<u32>, field: std::ops::Range<usize>) -> Result<u32, TarError> {
        if let Some(given) = given {
            return Ok(given);
        }
        let owner = self.number(field, "an owner that is no number")?;
        u32::try_from(owner).map_err(|_| damaged(self.at, "an owner out of range"))
    }

    fn device(&self, kind: impl FnOnce(u32, u32) -> Kind) -> Result<Kind, TarError> {
        let number = |field| {
            let number = self.number(field, "a device that is no number")?;
            u32::try_from(number).map_err(|_| damaged(self.at, "a device out of range"))
        };
        Ok(kind(number(329..337)?, number(337..345)?))
    }

    /// The name, with the prefix that POSIX has before it and GNU has not.
    fn path(&self) -> Vec<u8> {
        let name = text(self.block[..100].to_vec());
        let prefix = text(self.block[345..500].to_vec());
        let is_posix = self.block[257..263] == *b"ustar\0";
        if is_posix && !prefix.is_empty() { [&prefix, name.as_slice()].join(&b'/') } else { name }
    }

    fn sparse_entries(&self, from: usize, count: usize, into: &mut Vec<Piece>) -> Result<(), TarError> {
        for at in (from..).step_by(24).take(count) {
            if self.block[at..at + 24].iter().all(|byte| *byte == 0) {
                break;
            }
            let number = |field| {
                let number = self.number(field, "a sparse map that is no numbers")?;
                u64::try_from(number).map_err(|_| damaged(self.at, "a sparse map out of range"))
            };
            into.push(Piece { at: number(at..at + 12)?, offset: 0, size: number(at + 12..at + 24)? });
        }
        Ok(())
    }
}

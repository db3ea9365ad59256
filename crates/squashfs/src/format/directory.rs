//! Directory listings: runs of entries, each run under a header with what they share.

use std::cmp::Ordering;

use super::{Bytes, InodeRef, Malformed, block::METADATA, inode::Type};

/// Entries under one header.
pub(crate) const RUN_MAX: usize = 256;
/// Bytes of a name.
pub(crate) const NAME_MAX: usize = 256;

/// What a run of entries shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Header {
    /// Entries that follow, 1 to 256; one less is written.
    pub(crate) count: u32,
    /// The block of all their inodes, from the beginning of the inode table.
    pub(crate) block: u32,
    /// What the numbers of the inodes are counted from.
    pub(crate) base: u32,
}

impl Header {
    /// Bytes of a header.
    pub(crate) const LEN: usize = 12;

    pub(crate) fn encode(self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        for (word, at) in [self.count - 1, self.block, self.base].into_iter().zip([0, 4, 8]) {
            out[at..at + 4].copy_from_slice(&word.to_le_bytes());
        }
        out
    }

    pub(crate) fn decode<B: Bytes>(from: &mut B) -> Result<Self, B::Error> {
        let count = u64::from(from.u32("a directory")?) + 1;
        if count > RUN_MAX as u64 {
            return Err(Malformed::value(
                "the number of entries under a header",
                count,
                "it must be 1 to 256",
            )
            .into());
        }
        Ok(Self { count: count as u32, block: from.u32("a directory")?, base: from.u32("a directory")? })
    }
}

/// An entry as it is written, which only its header makes complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Entry<'a> {
    /// Where the inode is in its block.
    pub(crate) offset: u16,
    /// Its number less that of the header.
    pub(crate) delta: i16,
    /// What it is.
    pub(crate) kind: Type,
    /// 1 to 256 bytes.
    pub(crate) name: &'a [u8],
}

impl Entry<'_> {
    /// Bytes of an entry without its name.
    pub(crate) const LEN: usize = 8;

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.offset.to_le_bytes());
        out.extend_from_slice(&self.delta.to_le_bytes());
        out.extend_from_slice(&(self.kind as u16).to_le_bytes());
        out.extend_from_slice(&((self.name.len() - 1) as u16).to_le_bytes());
        out.extend_from_slice(self.name);
    }
}

/// A way into the middle of a long listing; they follow the directory's extended inode.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct IndexEntry {
    /// Where a header is, in bytes from the beginning of the listing.
    pub(crate) index: u32,
    /// The block in which it is, from the beginning of the directory table.
    pub(crate) block: u32,
    /// The name that follows that header, 1 to 256 bytes.
    pub(crate) name: Box<[u8]>,
}

impl IndexEntry {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.index.to_le_bytes());
        out.extend_from_slice(&self.block.to_le_bytes());
        out.extend_from_slice(&((self.name.len() - 1) as u32).to_le_bytes());
        out.extend_from_slice(&self.name);
    }

    pub(crate) fn decode<B: Bytes>(from: &mut B) -> Result<Self, B::Error> {
        let what = "a directory's index";
        let [index, block, less] = [from.u32(what)?, from.u32(what)?, from.u32(what)?];
        let len = u64::from(less) + 1;
        if len > NAME_MAX as u64 {
            return Err(Malformed::value(
                "the size of a name in a directory's index",
                len,
                "it must be 1 to 256",
            )
            .into());
        }
        Ok(Self { index, block, name: from.boxed(what, len as usize)? })
    }
}

/// A complete entry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Listed {
    /// Where its inode is.
    pub(crate) inode: InodeRef,
    /// The number of its inode.
    pub(crate) number: u32,
    /// What it is.
    pub(crate) kind: Type,
    /// 1 to 256 bytes: neither `.` nor `..`, and without `/` and zero bytes.
    pub(crate) name: Box<[u8]>,
    /// Where the header is that it is the first under, in bytes from the beginning of the listing.
    pub(crate) header: Option<u32>,
}

/// Takes a listing apart, entry by entry; names must rise.
#[derive(Debug)]
pub(crate) struct Listing {
    len: u32,
    left: u32,
    run: Option<Header>,
    last: Box<[u8]>,
}

impl Listing {
    /// Of so many bytes.
    pub(crate) fn new(len: u32) -> Self {
        Self { len, left: len, run: None, last: Box::default() }
    }

    /// The next entry from where the listing's bytes are; none at its end.
    pub(crate) fn next<B: Bytes>(&mut self, from: &mut B) -> Result<Option<Listed>, B::Error> {
        let mut place = None;
        let run = match self.run.take() {
            Some(run) => run,
            None if self.left == 0 => return Ok(None),
            None => {
                place = Some(self.len - self.left);
                self.consume(Header::LEN)?;
                Header::decode(from)?
            }
        };
        self.consume(Entry::LEN)?;
        let what = "a directory";
        let offset = from.u16(what)?;
        let delta = from.u16(what)?.cast_signed();
        let kind = Type::decode(from.u16(what)?)?;
        let len = usize::from(from.u16(what)?) + 1;
        if len > NAME_MAX {
            return Err(Malformed::value("the size of a name", len as u64, "it must be 1 to 256").into());
        }
        self.consume(len)?;
        let name = from.boxed(what, len)?;
        self.check_name(&name)?;
        if usize::from(offset) >= METADATA {
            let rule = "it must be below 8192";
            return Err(Malformed::value("the offset of an inode in its block", offset, rule).into());
        }
        let number = run.base.wrapping_add_signed(delta.into());
        self.run = (run.count > 1).then(|| Header { count: run.count - 1, ..run });
        self.last.clone_from(&name);
        let inode = InodeRef { block: run.block.into(), offset };
        Ok(Some(Listed { inode, number, kind, name, header: place }))
    }

    fn consume(&mut self, len: usize) -> Result<(), Malformed> {
        let len = len as u32;
        let Some(left) = self.left.checked_sub(len) else {
            return Err(Malformed::Short { what: "a directory", needed: u64::from(len - self.left) });
        };
        self.left = left;
        Ok(())
    }

    fn check_name(&self, name: &[u8]) -> Result<(), Malformed> {
        let rule = if name == b"." || name == b".." {
            "stands for another directory"
        } else if name.contains(&b'/') {
            "has a slash"
        } else if name.contains(&0) {
            "has a zero byte"
        } else {
            match name.cmp(&self.last) {
                Ordering::Greater => return Ok(()),
                Ordering::Equal => "is there twice",
                Ordering::Less => "does not follow the one before it in the order of bytes",
            }
        };
        Err(Malformed::Name { name: name.into(), rule })
    }
}

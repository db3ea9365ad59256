//! The bytes of squashfs 4.0 and the values they stand for: no files, no compression.
//!
//! Everything is little-endian. Every type here encodes itself, decodes itself from a [`Bytes`], and refuses what Linux
//! refuses. Where a table *is* is the business of those who read and write.
//!
//! Source: Linux, `fs/squashfs/squashfs_fs.h` and `super.c`; squashfs-tools-ng, `doc/format.adoc`.

pub(crate) mod block;
pub(crate) mod directory;
pub(crate) mod fragment;
pub(crate) mod inode;
pub(crate) mod superblock;
pub(crate) mod xattr;

use thiserror::Error;

/// What stands for "there is none" in the 64 bit fields of the superblock.
pub(crate) const ABSENT: u64 = u64::MAX;
/// The same in 32 bit fields: no fragment, no extended attributes.
pub(crate) const NONE: u32 = u32::MAX;

/// Where a thing of the metadata is: which block, and where in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct InodeRef {
    /// The place of the compressed block, header included, from the beginning of its table: below 2^48.
    pub(crate) block: u64,
    /// The place in the uncompressed block.
    pub(crate) offset: u16,
}

impl InodeRef {
    /// As it is written.
    pub(crate) const fn pack(self) -> u64 {
        self.block << 16 | self.offset as u64
    }

    /// As it is read; every number is a place, though not every place exists.
    pub(crate) const fn unpack(packed: u64) -> Self {
        Self { block: packed >> 16, offset: packed as u16 }
    }
}

/// Bytes that do not mean anything in squashfs 4.0.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Malformed {
    /// The first four bytes are of something else.
    #[error("it begins with `{}` and not with `hsqs`", found.escape_ascii())]
    Magic {
        /// What is there.
        found: [u8; 4],
    },
    /// Another version of the format.
    #[error("it is squashfs {major}.{minor}: 4.0 is what can be read, and what Linux has had since 2.6.29")]
    Version {
        /// Before the dot.
        major: u16,
        /// After the dot.
        minor: u16,
    },
    /// The bytes end too early.
    #[error("{what} is cut short: {needed} bytes are missing")]
    Short {
        /// What was being read.
        what: &'static str,
        /// How many bytes more it needs.
        needed: u64,
    },
    /// A number that its field cannot have.
    #[error("{what} is `{value}`: {rule}")]
    Value {
        /// The field.
        what: &'static str,
        /// What it holds.
        value: u64,
        /// What it may hold.
        rule: &'static str,
    },
    /// A name that no directory can hold.
    #[error("the name `{}` {rule}", name.escape_ascii())]
    Name {
        /// The name.
        name: Box<[u8]>,
        /// What is wrong with it.
        rule: &'static str,
    },
}

impl Malformed {
    pub(crate) fn value(what: &'static str, value: impl Into<u64>, rule: &'static str) -> Self {
        Self::Value { what, value: value.into(), rule }
    }
}

/// Where bytes come from, in order: a slice, or the blocks of a table.
pub(crate) trait Bytes {
    /// Why there are no more.
    type Error: From<Malformed>;

    /// Fills all of `out`; `what` is for the message if it cannot.
    fn fill(&mut self, what: &'static str, out: &mut [u8]) -> Result<(), Self::Error>;

    /// The next `N`.
    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], Self::Error> {
        let mut out = [0; N];
        self.fill(what, &mut out)?;
        Ok(out)
    }

    fn u16(&mut self, what: &'static str) -> Result<u16, Self::Error> {
        self.array(what).map(u16::from_le_bytes)
    }

    fn u32(&mut self, what: &'static str) -> Result<u32, Self::Error> {
        self.array(what).map(u32::from_le_bytes)
    }

    fn u64(&mut self, what: &'static str) -> Result<u64, Self::Error> {
        self.array(what).map(u64::from_le_bytes)
    }

    /// The next `len`, in memory of their own: the caller has a limit for `len`.
    fn boxed(&mut self, what: &'static str, len: usize) -> Result<Box<[u8]>, Self::Error> {
        let mut out = vec![0; len];
        self.fill(what, &mut out)?;
        Ok(out.into())
    }
}

impl Bytes for &[u8] {
    type Error = Malformed;

    fn fill(&mut self, what: &'static str, out: &mut [u8]) -> Result<(), Malformed> {
        let Some((head, rest)) = self.split_at_checked(out.len()) else {
            return Err(Malformed::Short { what, needed: (out.len() - self.len()) as u64 });
        };
        out.copy_from_slice(head);
        *self = rest;
        Ok(())
    }
}

#[cfg(test)]
mod tests;

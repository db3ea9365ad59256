//! File systems, laid out first and written once.
//!
//! Each says the least size that holds a tree, lays itself out for a size, and then writes every byte to its final
//! place; none needs a mount, a loop device or root.

pub(crate) mod ext4;
pub(crate) mod fat;

use bootway_plan::step::FsKind;

use self::{ext4::Ext4, fat::Fat};
use crate::{
    Content, Tree,
    layout::{ALIGNMENT, Slot},
    sink::{Sink, SinkError},
};

/// What a partition holds, laid out.
pub(crate) enum Volume {
    /// Zeros.
    Blank,
    /// An image, byte for byte.
    Image(Content),
    /// FAT32.
    Fat(Fat),
    /// ext4.
    Ext4(Box<Ext4>),
}

/// A tree that cannot become the file system that was asked for.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub enum FsError {
    /// Something that FAT cannot hold.
    Fat(#[from] fat::FatProblem),
    /// Something that ext4 cannot hold.
    Ext4(#[from] mkext4::Error),
}

/// The least size in bytes, in steps of [`ALIGNMENT`], of a file system that holds `tree`.
pub(crate) fn least(kind: FsKind, tree: &Tree, sector_size: u64) -> Result<u64, FsError> {
    match kind {
        FsKind::Fat32 => Ok(fat::least(tree, sector_size, ALIGNMENT)?),
        FsKind::Ext2 | FsKind::Ext4 => Ok(ext4::least(tree, ALIGNMENT)?),
    }
}

/// The least size in bytes of such a file system, in steps of [`ALIGNMENT`], with next to nothing in it.
pub(crate) fn floor(kind: FsKind, sector_size: u64) -> u64 {
    match kind {
        FsKind::Fat32 => fat::floor(sector_size).next_multiple_of(ALIGNMENT),
        FsKind::Ext2 | FsKind::Ext4 => ext4::LEAST,
    }
}

/// Why [`floor`] is what it is.
pub(crate) const fn floor_reason(kind: FsKind) -> &'static str {
    match kind {
        FsKind::Fat32 => "FAT32 has at least 65525 clusters, or firmware takes it for FAT16",
        FsKind::Ext2 | FsKind::Ext4 => "ext4 has a journal of at least 4MiB, which takes at most a quarter",
    }
}

/// Lays `tree` out for `slot`; `least` is what [`least`] said.
pub(crate) fn plan(
    kind: FsKind,
    tree: &Tree,
    slot: &Slot,
    sector_size: u64,
    least: u64,
    epoch: u64,
) -> Result<Volume, FsError> {
    let label = &slot.label;
    match kind {
        FsKind::Fat32 => {
            let [a, b, c, d, ..] = slot.identity.identity("fat serial");
            let serial = u32::from_le_bytes([a, b, c, d]);
            let options = fat::Options {
                size: slot.size,
                sector: sector_size,
                offset: slot.offset,
                label,
                serial,
                epoch,
            };
            Ok(Volume::Fat(Fat::plan(tree, &options)?))
        }
        FsKind::Ext2 | FsKind::Ext4 => {
            let uuid = crate::format::guid::Guid::of_identity(slot.identity.identity("ext4")).bytes();
            let options =
                ext4::Options { size: slot.size, least, uuid, label: ext4::label(label).to_owned(), epoch };
            Ok(Volume::Ext4(Box::new(Ext4::plan(tree, &options)?)))
        }
    }
}

impl Volume {
    /// Bytes that hold something; the rest is free.
    pub(crate) fn used(&self) -> u64 {
        match self {
            Self::Blank => 0,
            Self::Image(content) => content.size(),
            Self::Fat(fat) => fat.used(),
            Self::Ext4(ext4) => ext4.used(),
        }
    }

    /// Bytes that will be written.
    pub(crate) fn written(&self) -> u64 {
        match self {
            Self::Blank => 0,
            Self::Image(content) => content.size(),
            Self::Fat(fat) => fat.written(),
            Self::Ext4(ext4) => ext4.written(),
        }
    }

    /// The files that will be copied.
    pub(crate) fn contents(&self) -> Box<dyn Iterator<Item = &Content> + '_> {
        match self {
            Self::Blank => Box::new(std::iter::empty()),
            Self::Image(content) => Box::new(std::iter::once(content)),
            Self::Fat(fat) => Box::new(fat.contents()),
            Self::Ext4(ext4) => Box::new(ext4.contents()),
        }
    }

    /// Writes it into the partition that `sink` is at.
    pub(crate) fn write(&self, sink: &mut Sink<'_>) -> Result<(), SinkError> {
        match self {
            Self::Blank => Ok(()),
            Self::Image(content) => sink.content(content, &[(0, content.size())]),
            Self::Fat(fat) => fat.write(sink),
            Self::Ext4(ext4) => ext4.write(sink),
        }
    }
}

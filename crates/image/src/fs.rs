//! File systems, laid out first and written once.
//!
//! Each says the least size that holds a tree, lays itself out for a size, and then writes every byte to its final
//! place; none needs a mount, a loop device or root.

mod acl;
pub(crate) mod ext2;
pub(crate) mod ext4;
pub(crate) mod ext_reader;
pub(crate) mod fat;
pub(crate) mod iso;

use bootway_plan::{Digest, step::FsKind};

use self::{ext2::Ext2, ext4::Ext4, fat::Fat};
use crate::{
    Content, Tree,
    format::guid::Guid,
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
    /// ext2, or ext4 without a journal.
    Ext2(Ext2),
    /// ext4.
    Ext4(Box<Ext4>),
}

/// A tree that cannot become the file system that was asked for.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub enum FsError {
    /// Something that FAT cannot hold.
    Fat(#[from] fat::FatProblem),
    /// Something that ext2 cannot hold.
    Ext2(#[from] ext2::Ext2Problem),
    /// Something that ext4 cannot hold.
    Ext4(#[from] mkext4::Error),
}

/// A tree, and what it is to become.
pub(crate) struct Request<'a> {
    pub(crate) kind: FsKind,
    /// Whether an ext4 has a journal; one below [`JOURNALED`] has no room for it.
    pub(crate) journal: bool,
    pub(crate) tree: &'a Tree,
    /// Of the partition; cut to what the file system's label holds.
    pub(crate) label: &'a str,
    /// What its ids are cut from.
    pub(crate) identity: Digest,
    pub(crate) sector_size: u64,
    /// Seconds since 1970.
    pub(crate) epoch: u64,
}

/// Bytes from which on an ext4 has a journal.
pub(crate) const JOURNALED: u64 = ext4::LEAST;

/// The least file system that holds a tree.
pub(crate) struct Fit {
    /// Bytes, in steps of [`ALIGNMENT`].
    pub(crate) least: u64,
    ext4: Option<Box<Ext4>>,
}

impl Request<'_> {
    /// How small it can be.
    pub(crate) fn fit(&self) -> Result<Fit, FsError> {
        let least = match self.kind {
            FsKind::Fat32 => fat::least(self.tree, self.sector_size, ALIGNMENT)?,
            FsKind::Ext4 if self.journal => {
                let ext4 = ext4::fit(self.tree, &self.ext4(), ALIGNMENT)?;
                return Ok(Fit { least: ext4.size(), ext4: Some(Box::new(ext4)) });
            }
            FsKind::Ext2 | FsKind::Ext4 => ext2::least(self.tree, ALIGNMENT)?,
        };
        Ok(Fit { least, ext4: None })
    }

    /// What makes it need `least` bytes, if it is not what it holds.
    pub(crate) fn why(&self, least: u64) -> Option<&'static str> {
        let floor = fat::floor(self.sector_size).next_multiple_of(ALIGNMENT);
        (self.kind == FsKind::Fat32 && least <= floor)
            .then_some("FAT32 has at least 65525 clusters, or firmware takes it for FAT16")
    }

    /// Laid out for `slot`.
    pub(crate) fn plan(&self, fit: Fit, slot: &Slot) -> Result<Volume, FsError> {
        if let Some(ext4) = fit.ext4 {
            return Ok(Volume::Ext4(Box::new(ext4.grown(self.tree, slot.size, &self.ext4())?)));
        }
        if self.kind == FsKind::Fat32 {
            let [a, b, c, d, ..] = self.identity.identity("fat serial");
            let options = fat::Options {
                size: slot.size,
                sector: self.sector_size,
                offset: slot.offset,
                label: self.label,
                serial: u32::from_le_bytes([a, b, c, d]),
                epoch: self.epoch,
            };
            return Ok(Volume::Fat(Fat::plan(self.tree, &options)?));
        }
        let ext4::Options { uuid, label, epoch } = self.ext4();
        let options = ext2::Options { uuid, label, epoch, extents: self.kind == FsKind::Ext4 };
        Ok(Volume::Ext2(Ext2::plan(self.tree, slot.size, fit.least, &options)?))
    }

    fn ext4(&self) -> ext4::Options {
        let uuid = Guid::of_identity(self.identity.identity("ext4")).bytes();
        ext4::Options { uuid, label: ext4::label(self.label).to_owned(), epoch: self.epoch }
    }
}

impl Volume {
    /// Bytes that hold something; the rest is free.
    pub(crate) fn used(&self) -> u64 {
        match self {
            Self::Blank => 0,
            Self::Image(content) => content.size(),
            Self::Fat(fat) => fat.used(),
            Self::Ext2(ext2) => ext2.used(),
            Self::Ext4(ext4) => ext4.used(),
        }
    }

    /// Bytes that will be written.
    pub(crate) fn written(&self) -> u64 {
        match self {
            Self::Blank => 0,
            Self::Image(content) => content.size(),
            Self::Fat(fat) => fat.written(),
            Self::Ext2(ext2) => ext2.written(),
            Self::Ext4(ext4) => ext4.written(),
        }
    }

    /// The files that will be copied.
    pub(crate) fn contents(&self) -> Box<dyn Iterator<Item = &Content> + '_> {
        match self {
            Self::Blank => Box::new(std::iter::empty()),
            Self::Image(content) => Box::new(std::iter::once(content)),
            Self::Fat(fat) => Box::new(fat.contents()),
            Self::Ext2(ext2) => Box::new(ext2.contents()),
            Self::Ext4(ext4) => Box::new(ext4.contents()),
        }
    }

    /// Writes it into the partition that `sink` is at.
    pub(crate) fn write(&self, sink: &mut Sink<'_>) -> Result<(), SinkError> {
        match self {
            Self::Blank => Ok(()),
            Self::Image(content) => sink.content(content, &[(0, content.size())]),
            Self::Fat(fat) => fat.write(sink),
            Self::Ext2(ext2) => ext2.write(sink),
            Self::Ext4(ext4) => ext4.write(sink),
        }
    }
}

//! FAT32, in one pass: contents are known before anything is written, so every file is contiguous and every table is
//! final.
//!
//! What FAT has no place for is dropped: owners, modes, extended attributes; a hard link becomes a copy. What it
//! cannot hold at all is an error that names the file: symbolic links, devices, a name that differs from another by
//! case only, a character that no FAT name has.
//!
//! Source: Microsoft FAT32 File System Specification 1.03; UEFI 2.10, section 13.3.

mod boot;
mod geometry;
mod listing;
mod name;
mod read;
mod time;

use bootway_plan::{Bytes, TreePath};
use thiserror::Error;

use crate::{
    Content, Tree,
    sink::{Sink, SinkError},
};

use geometry::Geometry;
pub(crate) use geometry::least as floor;
use listing::Listing;
pub use read::{FatEntry, FatError, FatReader};

/// Files at least this big begin at a multiple of [`BLOCK`], so that the host can share their blocks.
const ALIGN_FROM: u64 = 64 << 10;
/// The block of every file system that shares blocks.
const BLOCK: u64 = 4096;

/// What a volume is told about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Options<'a> {
    /// Bytes of the volume.
    pub(crate) size: u64,
    /// Bytes of a sector.
    pub(crate) sector: u64,
    /// First byte of the partition on its disk.
    pub(crate) offset: u64,
    /// Any text; what FAT cannot hold of it is replaced, and it is cut to eleven characters.
    pub(crate) label: &'a str,
    /// Volume id.
    pub(crate) serial: u32,
    /// Seconds since 1970.
    pub(crate) epoch: u64,
}

/// A volume, laid out.
pub(crate) struct Fat {
    /// Boot sectors, allocation tables and directories: where and what.
    regions: Vec<(u64, Vec<u8>)>,
    /// Where each file's content goes.
    files: Vec<(u64, Content)>,
    used: u64,
}

/// The least size in bytes, in steps of `step`, that holds `tree`.
pub(crate) fn least(tree: &Tree, sector: u64, step: u64) -> Result<u64, FatProblem> {
    let listing = Listing::of(tree)?;
    let mut size = geometry::least(sector).next_multiple_of(step);
    loop {
        let geometry = Geometry::of(size, sector)?;
        let clusters = listing.place(geometry.cluster()).end - geometry::FIRST_CLUSTER;
        match u64::from(clusters).checked_sub(geometry.clusters.into()) {
            None | Some(0) => return Ok(size),
            Some(missing) => size = (size + missing * geometry.cluster()).next_multiple_of(step),
        }
    }
}

impl Fat {
    /// Lays out `tree`.
    pub(crate) fn plan(tree: &Tree, options: &Options<'_>) -> Result<Self, FatProblem> {
        let listing = Listing::of(tree)?;
        let geometry = Geometry::of(options.size, options.sector)?;
        let places = listing.place(geometry.cluster());
        if places.end > geometry.clusters + geometry::FIRST_CLUSTER {
            let needs = least(tree, options.sector, options.sector)?;
            return Err(FatProblem::TooSmall { needs: Bytes::new(needs), has: Bytes::new(options.size) });
        }
        let stamp = time::Stamp::of(options.epoch);
        let label = name::volume_label(options.label);
        let free = geometry.clusters - places.used;
        let table = places.table();
        let mut regions = boot::sectors(&geometry, options, &label, free, places.end);
        let table_len = table.len() as u64;
        for copy in 0..geometry::TABLES {
            regions.push((geometry.table_offset(copy), table.clone()));
        }
        for (dir, bytes) in listing.render(&places, &label, stamp) {
            regions.push((geometry.offset(dir), bytes));
        }
        let file = |(cluster, content): (u32, &Content)| (geometry.offset(cluster), content.clone());
        Ok(Self {
            regions,
            files: listing.contents(&places).map(file).collect(),
            used: geometry.table_offset(0)
                + geometry::TABLES * table_len
                + u64::from(places.used) * geometry.cluster(),
        })
    }

    /// Bytes that hold something.
    pub(crate) const fn used(&self) -> u64 {
        self.used
    }

    /// Bytes of contents that will be copied, and of everything that will be written.
    pub(crate) fn written(&self) -> u64 {
        let metadata: u64 = self.regions.iter().map(|(_, bytes)| bytes.len() as u64).sum();
        metadata + self.files.iter().map(|(_, content)| content.size()).sum::<u64>()
    }

    /// The contents.
    pub(crate) fn contents(&self) -> impl Iterator<Item = &Content> {
        self.files.iter().map(|(_, content)| content)
    }

    pub(crate) fn write(&self, sink: &mut Sink<'_>) -> Result<(), SinkError> {
        for (offset, bytes) in &self.regions {
            sink.put(*offset, bytes)?;
        }
        for (offset, content) in &self.files {
            sink.content(content, &[(*offset, content.size())])?;
        }
        Ok(())
    }
}

/// A tree that cannot become this FAT volume.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FatProblem {
    /// The volume is below the least size of FAT32 or of the content.
    #[error("the FAT32 file system needs {}, has {}", needs.human(), has.human())]
    TooSmall {
        /// The least size.
        needs: Bytes,
        /// What it has.
        has: Bytes,
    },
    /// Past the largest.
    #[error("a FAT32 file system of {has} has more than 2^32 sectors: make it smaller")]
    TooBig {
        /// What it has.
        has: Bytes,
    },
    /// Something that FAT does not know.
    #[error("`{path}` is a {what}, and FAT has none: remove it from the tree, or use `fs = \"ext4\"`")]
    Kind {
        /// Where.
        path: TreePath,
        /// What.
        what: &'static str,
    },
    /// A name that FAT cannot hold.
    #[error("the name of `{path}` has {character:?}, which no FAT name has: rename it")]
    Character {
        /// Where.
        path: TreePath,
        /// The first that is wrong.
        character: char,
    },
    /// A name that ends in what FAT ignores.
    #[error("the name of `{path}` ends in a dot or a space, which FAT drops: rename it")]
    Ending {
        /// Where.
        path: TreePath,
    },
    /// A name that is too long.
    #[error("the name of `{path}` has {units} UTF-16 units, at most 255 fit: shorten it")]
    Long {
        /// Where.
        path: TreePath,
        /// How long it is.
        units: usize,
    },
    /// Two names that are one.
    #[error("`{one}` and `{other}` are one name on FAT, which does not tell case: rename one")]
    Case {
        /// The first.
        one: TreePath,
        /// The second.
        other: TreePath,
    },
    /// A file that is too big.
    #[error("`{path}` has {}, and a file on FAT at most 4 GiB less a byte: split it, or use `fs = \"ext4\"`", size.human())]
    File {
        /// Where.
        path: TreePath,
        /// Its size.
        size: Bytes,
    },
    /// A directory that is too full.
    #[error(
        "directory `{path}` needs {entries} entries, and has at most 65536 on FAT: spread its files over more directories"
    )]
    Directory {
        /// Where.
        path: TreePath,
        /// How many it needs, those of long names counted.
        entries: usize,
    },
}

#[cfg(test)]
mod tests;

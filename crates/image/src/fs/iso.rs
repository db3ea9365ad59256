//! Reading ISO 9660 without a mount: names by Rock Ridge, else by Joliet, else as they are.
//!
//! For bytes of any origin: every number is checked, no directory is read twice, and all of them are bounded.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt,
};

use bootway_plan::TreePath;
use thiserror::Error;

use crate::{
    format::iso::{
        self, Descriptor, SECTOR, Volume,
        record::{self, Record, RockRidge},
    },
    listing::{Found, Listing},
};

mod boot;
mod report;

pub use report::{IsoBootEntry, IsoFile, IsoPartition, IsoReport};

/// Bytes of a directory that are read at most.
const MOST_DIRECTORY: u32 = 64 << 20;
/// Bytes of all directories together.
const MOST_DIRECTORIES: u64 = 1 << 30;
/// More than any image has.
const MOST_FILES: usize = 8 << 20;
/// Deeper than any path that can be opened.
const MOST_LEVELS: usize = 512;
/// System use areas of one record that are followed.
const MOST_CONTINUATIONS: u32 = 32;

/// How names are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Names {
    /// With modes and links; so many bytes of every area belong to something else.
    RockRidge { skip: usize },
    /// In UCS-2.
    Joliet,
    /// In capitals, with a version.
    Plain,
}

/// An ISO 9660 image.
#[derive(Debug)]
pub(crate) struct IsoReader<'a> {
    file: &'a File,
    start: u64,
    pub(crate) volume: Volume,
    pub(crate) names: Names,
    /// Block of the boot catalogue.
    pub(crate) catalogue: Option<u32>,
    root: Record,
}

/// Bytes of a file: where each part begins, and how many it has.
pub(crate) type Extents = Vec<(u64, u64)>;

impl<'a> IsoReader<'a> {
    /// The image from byte `start` of `file` on; nothing if there is none.
    pub(crate) fn open(file: &'a File, start: u64) -> Result<Option<Self>, IsoError> {
        let (mut primary, mut joliet, mut catalogue, mut is_ended) = (None, None, None, false);
        for number in 0..iso::MOST {
            let mut sector = [0; SECTOR as usize];
            let at = start + iso::FIRST + number * SECTOR;
            match file.read_exact_at(&mut sector, at) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && number == 0 => return Ok(None),
                read => read?,
            }
            if number == 0 && sector[1..6] != *b"CD001" {
                return Ok(None);
            }
            match iso::descriptor(&sector).map_err(|error| IsoError::Descriptor { number, error })? {
                Descriptor::Primary(volume) => drop(primary.get_or_insert(volume)),
                Descriptor::Joliet(volume) => drop(joliet.get_or_insert(volume)),
                Descriptor::ElTorito(block) => drop(catalogue.get_or_insert(block)),
                Descriptor::End => {
                    is_ended = true;
                    break;
                }
                Descriptor::Other => {}
            }
        }
        if !is_ended {
            return Err(IsoError::Damaged("its descriptors have no end".to_owned()));
        }
        let volume = primary.ok_or_else(|| IsoError::Damaged("it has no primary descriptor".to_owned()))?;
        let root = volume.root.clone();
        let mut it = Self { file, start, volume, names: Names::Plain, catalogue, root };
        let own = it.sector(it.root.block)?;
        let own =
            record::parse(&own).ok_or_else(|| IsoError::Damaged("its root cannot be read".to_owned()))?;
        if let Some(skip) = record::skip(&own.system_use) {
            it.names = Names::RockRidge { skip };
        } else if let Some(joliet) = joliet {
            (it.names, it.root) = (Names::Joliet, joliet.root);
        }
        Ok(Some(it))
    }

    /// The bytes at block `block`: two sectors of a disk.
    pub(crate) fn sector(&self, block: u32) -> Result<Vec<u8>, IsoError> {
        self.bytes(u64::from(block) * SECTOR, SECTOR)
    }

    fn bytes(&self, at: u64, len: u64) -> Result<Vec<u8>, IsoError> {
        let mut bytes = vec![0; len as usize];
        let read = self.file.read_exact_at(&mut bytes, self.start + at);
        match read {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(IsoError::Damaged(format!("it ends before byte {}", at + len)))
            }
            read => read.map(|()| bytes).map_err(IsoError::from),
        }
    }

    /// Everything in it; the number of a regular file is its place in `files`.
    pub(crate) fn list(&self, files: &mut Vec<Extents>) -> Result<Listing, IsoError> {
        files.clear();
        let mut listing = Listing::default();
        listing.files.insert(TreePath::root(), Found::Directory);
        let (mut seen, mut read) = (BTreeSet::new(), 0);
        let mut todo = vec![(TreePath::root(), self.root.block, 0)];
        while let Some((parent, block, level)) = todo.pop() {
            if !seen.insert(block) {
                return Err(IsoError::Damaged(format!(
                    "two directories are in block {block}, as `{parent}`"
                )));
            }
            if level > MOST_LEVELS {
                return Err(IsoError::Damaged("it has directories deeper than can be".to_owned()));
            }
            for (name, found) in self.directory(block, &mut read, files)? {
                let path = parent.join(&name);
                let path = path.map_err(|error| IsoError::Damaged(error.to_string()))?;
                if let Entry::Directory(block) = found {
                    todo.push((path.clone(), block, level + 1));
                }
                listing.files.insert(path, found.into());
                if listing.files.len() > MOST_FILES {
                    return Err(IsoError::Damaged("it has more files than can be".to_owned()));
                }
            }
        }
        Ok(listing)
    }

    /// What is in the directory at `block`.
    fn directory(
        &self,
        block: u32,
        read: &mut u64,
        files: &mut Vec<Extents>,
    ) -> Result<Vec<(String, Entry)>, IsoError> {
        let own = self.sector(block)?;
        let size = record::parse(&own).map_or(0, |own| own.size);
        *read += u64::from(size);
        if size > MOST_DIRECTORY || *read > MOST_DIRECTORIES {
            return Err(IsoError::Damaged(format!("the directory in block {block} has {size} bytes")));
        }
        let bytes = self.bytes(u64::from(block) * SECTOR, u64::from(size).next_multiple_of(SECTOR))?;
        let mut found = Vec::new();
        // The parts of a file that has several.
        let mut parts: Extents = Vec::new();
        for sector in bytes.chunks_exact(SECTOR as usize) {
            let mut rest = sector;
            // No record crosses the end of a sector; zeros fill it.
            while let Some(it) = record::parse(rest).filter(|it| it.len > 0) {
                rest = &rest[it.len..];
                if matches!(it.name[..], [0 | 1]) {
                    continue;
                }
                parts.push((u64::from(it.block) * SECTOR, it.size.into()));
                if it.goes_on {
                    continue;
                }
                let extents = std::mem::take(&mut parts);
                found.extend(self.entry(&it, extents, files)?);
            }
        }
        Ok(found)
    }

    fn entry(
        &self,
        it: &Record,
        extents: Extents,
        files: &mut Vec<Extents>,
    ) -> Result<Option<(String, Entry)>, IsoError> {
        let (name, more) = match self.names {
            Names::RockRidge { skip } => {
                let more = self.rock_ridge(it, skip)?;
                if more.is_relocated {
                    return Ok(None);
                }
                let name = if more.name.is_empty() { plain(&it.name) } else { lossy(&more.name) };
                (name, more)
            }
            Names::Joliet => (without_version(&iso::ucs2(&it.name)), RockRidge::default()),
            Names::Plain => (plain(&it.name), RockRidge::default()),
        };
        // File types of stat(2).
        let is_special = more.mode.is_some_and(|mode| !matches!(mode >> 12, 0o4 | 0o10 | 0o12 | 0));
        let entry = if let Some(block) = more.child {
            Entry::Directory(block)
        } else if it.is_directory {
            Entry::Directory(it.block)
        } else if let Some(target) = more.target {
            Entry::Symlink(lossy(&target))
        } else if is_special || more.is_packed {
            Entry::Other
        } else {
            let size = extents.iter().map(|(_, size)| size).sum();
            files.push(extents);
            Entry::File { size, number: files.len() as u64 - 1 }
        };
        Ok(Some((name, entry)))
    }

    fn rock_ridge(&self, it: &Record, skip: usize) -> Result<RockRidge, IsoError> {
        let mut more = RockRidge::default();
        let mut next = more.take(it.system_use.get(skip..).unwrap_or_default());
        for _ in 0..MOST_CONTINUATIONS {
            let Some(place) = next else { break };
            if u64::from(place.offset) + u64::from(place.len) > SECTOR {
                return Err(IsoError::Damaged("what Rock Ridge says goes on outside of a block".to_owned()));
            }
            let at = u64::from(place.block) * SECTOR + u64::from(place.offset);
            next = more.take(&self.bytes(at, place.len.into())?);
        }
        Ok(more)
    }

    /// The first `limit` bytes of a file.
    pub(crate) fn read(&self, extents: &Extents, limit: u64) -> Result<Vec<u8>, IsoError> {
        let (mut bytes, mut left) = (Vec::new(), limit);
        for (at, size) in extents {
            let mut part = Part { file: self.file, at: self.start + at }.take(left.min(*size));
            let read = part.read_to_end(&mut bytes)? as u64;
            if read < left.min(*size) {
                return Err(IsoError::Damaged(format!("it ends before byte {}", at + size)));
            }
            left -= read;
        }
        Ok(bytes)
    }

    /// Where a file is in the file that has the image, if it is in one piece.
    pub(crate) fn place(&self, extents: &Extents) -> Option<u64> {
        let (first, _) = extents.first()?;
        let mut end = *first;
        for (at, size) in extents {
            if *at != end {
                return None;
            }
            end += size;
        }
        Some(self.start + first)
    }
}

/// What a record is about.
enum Entry {
    /// In this block.
    Directory(u32),
    File {
        size: u64,
        number: u64,
    },
    Symlink(String),
    Other,
}

impl From<Entry> for Found {
    fn from(entry: Entry) -> Self {
        match entry {
            Entry::Directory(_) => Self::Directory,
            Entry::File { size, number } => Self::File { size, number },
            Entry::Symlink(target) => Self::Symlink { target },
            Entry::Other => Self::Other,
        }
    }
}

/// A name as Linux shows it.
fn plain(name: &[u8]) -> String {
    without_version(&lossy(name)).trim_end_matches('.').to_lowercase()
}

fn without_version(name: &str) -> String {
    name.rsplit_once(';').map_or(name, |(name, _)| name).to_owned()
}

/// A name that cannot lead elsewhere.
fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A file from a place on.
struct Part<'a> {
    file: &'a File,
    at: u64,
}

impl Read for Part<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.file.read_at(buffer, self.at)?;
        self.at += len as u64;
        Ok(len)
    }
}

/// An ISO image cannot be read.
#[derive(Debug, Error)]
pub(crate) enum IsoError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("descriptor {} {error}", number + 1)]
    Descriptor { number: u64, error: iso::Invalid },
    #[error("{0}")]
    Damaged(String),
}

#[cfg(test)]
pub(crate) mod tests;

//! Reads squashfs 4.0 of any writer: lists, looks up, reads, extracts and verifies.
//!
//! An [`Image`] is a file, a part of a file or bytes in memory. Nothing in it is believed: every place is checked
//! before it is read, every length before memory is taken for it, and what is kept in memory has a bound that does not
//! depend on what the image says. An image that is damaged, or made to do damage, gives errors.
//!
//! An `Image` can be shared by threads.

mod blocks;
mod cursor;
mod entry;
mod error;
mod extract;
mod file;
mod source;
mod tables;
mod unpack;
mod verify;

use std::{
    collections::BTreeMap,
    fmt,
    fs::File,
    os::unix::ffi::OsStrExt,
    path::{Component, Path, PathBuf},
    sync::Arc,
};

pub use entry::{Entries, Entry, Stat, What};
pub use error::ReadError;
pub use extract::{Extract, ExtractError, Extracted, Limits, Progress, Skipped};
pub use file::{Chunk, FileReader};
pub use unpack::UnpackError;
pub use verify::{Checked, Fault, Place, Problem, Verified, Verify};

use crate::{
    BlockSize,
    format::{
        InodeRef,
        block::{METADATA, MetadataHeader},
        directory::{Listed, Listing},
        inode::{Body, Directory, Inode, Type},
        superblock::{Superblock, flag},
        xattr::{Key, Value, XattrId},
    },
};
use blocks::Blocks;
use cursor::Cursor;
use source::Source;
use tables::Tables;

/// What the extended attributes of a file may have together; Linux has 64 KiB of names, and 64 KiB for a value.
const XATTRS_MAX: usize = 16 << 20;

/// An image, open.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let image = dir.path().join("empty.squashfs");
/// # std::fs::write(&image, b"not an image")?;
/// use bootway_squashfs::read::Image;
///
/// match Image::open(&image) {
///     Ok(image) => {
///         for entry in image.entries() {
///             let entry = entry?;
///             println!("{:o} {}", entry.stat().mode, entry.path().display());
///         }
///     }
///     Err(error) => assert_eq!(error.to_string(), "it begins with `not ` and not with `hsqs`"),
/// }
/// # Ok(())
/// # }
/// ```
pub struct Image {
    blocks: Blocks,
    superblock: Superblock,
    tables: Tables,
    facts: Facts,
}

/// Extended attributes by their full names, such as `security.capability`.
pub type Attributes = BTreeMap<Box<[u8]>, Box<[u8]>>;

/// What an image says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Facts {
    /// `gzip`, `lzma`, `lzo`, `xz`, `lz4` or `zstd`.
    pub compressor: &'static str,
    /// The compressor's options as they are written, if they are: their meaning depends on the compressor.
    pub options: Option<Box<[u8]>>,
    /// Bytes of a data block.
    pub block_size: BlockSize,
    /// Files, whatever their names.
    pub inodes: u32,
    /// Blocks of file tails.
    pub fragments: u32,
    /// Owners and groups.
    pub ids: u16,
    /// When it was made, seconds since 1970.
    pub made: u32,
    /// Bytes, without what fills the last 4 KiB.
    pub bytes_used: u64,
    /// Whether it can be exported over NFS.
    pub exportable: bool,
    /// Whether some files have extended attributes.
    pub xattrs: bool,
    /// How it was made, as names of the flags that are set.
    pub flags: Vec<&'static str>,
}

impl Image {
    /// All of a file.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ReadError> {
        let (file, _) = fs_err::File::open(path.as_ref())?.into_parts();
        let len = std::io::Seek::seek(&mut &file, std::io::SeekFrom::End(0))?;
        Self::at(file, 0, len)
    }

    /// The part of a file that has `len` bytes from `start` on, such as a partition of a disk.
    pub fn at(file: File, start: u64, len: u64) -> Result<Self, ReadError> {
        if start.checked_add(len).is_none_or(|end| end > i64::MAX as u64) {
            return Err(ReadError::Beyond {
                what: "the image",
                at: start,
                end: u64::MAX,
                len: i64::MAX as u64,
            });
        }
        Self::new(Source::File { file, start, len })
    }

    /// Bytes in memory.
    pub fn from_bytes(bytes: impl Into<Arc<[u8]>>) -> Result<Self, ReadError> {
        Self::new(Source::Bytes(bytes.into()))
    }

    fn new(source: Source) -> Result<Self, ReadError> {
        let mut bytes = vec![0; Superblock::LEN.min(source.len() as usize)];
        source.fill("the superblock", 0, &mut bytes)?;
        let superblock = Superblock::decode(&bytes)?;
        source.check("the image", 0, superblock.bytes_used)?;
        let compressor = unpack::compressor_name(superblock.compressor);
        let compressor = compressor.ok_or(ReadError::Compressor { id: superblock.compressor })?;
        let blocks = Blocks::new(source, superblock.compressor)?;
        let options = options(&blocks, &superblock)?;
        let tables = Tables::read(&blocks, &superblock)?;
        let facts = Facts {
            compressor,
            options,
            block_size: superblock.block_size,
            inodes: superblock.inodes,
            fragments: superblock.fragments,
            ids: superblock.ids,
            made: superblock.made,
            bytes_used: superblock.bytes_used,
            exportable: tables.export.is_some(),
            xattrs: tables.xattrs.is_some(),
            flags: flag_names(superblock.flags),
        };
        Ok(Self { blocks, superblock, tables, facts })
    }

    /// What it says of itself.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Every file, the root first: depth first, names in the order of their bytes.
    pub fn entries(&self) -> Entries<'_> {
        Entries::new(self)
    }

    /// The file of that path. Links are not followed, neither on the way nor at its end, and `..` is not a name.
    pub fn entry(&self, path: impl AsRef<Path>) -> Result<Entry, ReadError> {
        let path = path.as_ref();
        let mut inode = self.superblock.root;
        let mut clean = PathBuf::new();
        for component in path.components() {
            let name = match component {
                Component::RootDir | Component::CurDir => continue,
                Component::Normal(name) => name,
                Component::ParentDir | Component::Prefix(_) => return Err(ReadError::NotFound.at(path)),
            };
            inode = self.look_up(inode, name.as_bytes()).map_err(|error| error.at(path))?;
            clean.push(name);
        }
        self.entry_at(clean, inode)
    }

    /// The contents of a regular file.
    pub fn read(&self, entry: &Entry) -> Result<FileReader<'_>, ReadError> {
        FileReader::new(self, entry.inode).map_err(|error| error.at(entry.path()))
    }

    /// The extended attributes of a file, by full name.
    pub fn xattrs(&self, entry: &Entry) -> Result<Attributes, ReadError> {
        match entry.xattrs {
            None => Ok(BTreeMap::new()),
            Some(index) => self.xattr_set(index).map_err(|error| error.at(entry.path())),
        }
    }

    fn look_up(&self, directory: InodeRef, name: &[u8]) -> Result<InodeRef, ReadError> {
        let (inode, _) = self.inode(directory)?;
        let Body::Directory(directory) = &inode.body else { return Err(ReadError::NotADirectory) };
        let (mut listing, mut cursor) = self.listing(directory);
        while let Some(listed) = listing.next(&mut cursor)? {
            if *listed.name == *name {
                return Ok(listed.inode);
            }
            if *listed.name > *name {
                break;
            }
        }
        Err(ReadError::NotFound)
    }

    fn entry_at(&self, path: PathBuf, inode: InodeRef) -> Result<Entry, ReadError> {
        match self.inode(inode).and_then(|(head, _)| self.stat(&head).map(|stat| (head.xattrs, stat))) {
            Ok((xattrs, stat)) => Ok(Entry { path, stat, inode, xattrs }),
            Err(error) => Err(error.at(path)),
        }
    }

    fn listing(&self, directory: &Directory) -> (Listing, Cursor<'_>) {
        let place = InodeRef { block: directory.block.into(), offset: directory.offset };
        let tables = &self.tables;
        let cursor = Cursor::new(&self.blocks, tables.directories, tables.directories_end, place);
        (Listing::new(directory.size), cursor)
    }

    /// An inode without its lists, and the place where they are.
    fn inode(&self, place: InodeRef) -> Result<(Inode, Cursor<'_>), ReadError> {
        let (start, end) = (self.superblock.inode_table, self.tables.directories);
        let mut cursor = Cursor::new(&self.blocks, start, end, place);
        let (inode, _) = Inode::decode_head(&mut cursor)?;
        Ok((inode, cursor))
    }

    fn stat(&self, inode: &Inode) -> Result<Stat, ReadError> {
        Ok(Stat {
            inode: inode.number,
            what: What::of(&inode.body),
            mode: inode.mode & 0o7777,
            uid: self.tables.owner(inode.uid)?,
            gid: self.tables.owner(inode.gid)?,
            mtime: inode.mtime,
            links: inode.links,
        })
    }

    /// A set of extended attributes, and where the keys and values of all of them are.
    fn xattr_id(&self, index: u32) -> Result<(XattrId, u64, u64), ReadError> {
        let Some((start, sets)) = self.tables.xattrs else {
            return Err(ReadError::Index {
                what: "set of extended attributes",
                index: index.into(),
                count: 0,
            });
        };
        let id = XattrId::decode(&mut sets.at(&self.blocks, index.into())?)?;
        Ok((id, start, sets.start(&self.blocks.source)?))
    }

    fn xattr_set(&self, index: u32) -> Result<Attributes, ReadError> {
        let Some((start, sets)) = self.tables.xattrs else {
            return Err(ReadError::Index {
                what: "set of extended attributes",
                index: index.into(),
                count: 0,
            });
        };
        let id = XattrId::decode(&mut sets.at(&self.blocks, index.into())?)?;
        let end = sets.start(&self.blocks.source)?;
        let mut cursor = Cursor::new(&self.blocks, start, end, id.place);
        let mut all = BTreeMap::new();
        let mut len = 0;
        for _ in 0..id.count {
            let key = Key::decode(&mut cursor)?;
            let value = match Value::decode(&mut cursor, key.out_of_line)? {
                Value::Here(value) => value,
                Value::There(place) => {
                    let mut there = Cursor::new(&self.blocks, start, end, place);
                    match Value::decode(&mut there, false)? {
                        Value::Here(value) => value,
                        Value::There(_) => unreachable!("it was asked for a value that is not elsewhere"),
                    }
                }
            };
            len += key.name.len() + value.len();
            if len > XATTRS_MAX {
                return Err(ReadError::XattrsTooLarge { limit: XATTRS_MAX });
            }
            all.insert(key.name, value);
        }
        Ok(all)
    }
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Image").field("facts", &self.facts).finish_non_exhaustive()
    }
}

fn options(blocks: &Blocks, superblock: &Superblock) -> Result<Option<Box<[u8]>>, ReadError> {
    if superblock.flags & flag::OPTIONS == 0 {
        return Ok(None);
    }
    let what = "the compressor's options";
    let mut header = [0; 2];
    let at = Superblock::LEN as u64;
    blocks.source.fill(what, at, &mut header)?;
    let header = MetadataHeader::decode(header)?;
    if !header.stored {
        let rule = "it must be stored as it is";
        return Err(crate::Malformed::value("the block of the compressor's options", header.len, rule).into());
    }
    let mut options = vec![0; usize::from(header.len).min(METADATA)];
    blocks.source.fill(what, at + MetadataHeader::LEN, &mut options)?;
    Ok(Some(options.into()))
}

fn flag_names(flags: u16) -> Vec<&'static str> {
    let names = [
        (flag::PLAIN_INODES, "inodes stored"),
        (flag::PLAIN_DATA, "data stored"),
        (flag::PLAIN_FRAGMENTS, "fragments stored"),
        (flag::NO_FRAGMENTS, "no fragments"),
        (flag::TAIL_ENDS, "tail ends packed"),
        (flag::DEDUPLICATED, "deduplicated"),
        (flag::EXPORTABLE, "exportable"),
        (flag::PLAIN_XATTRS, "extended attributes stored"),
        (flag::NO_XATTRS, "no extended attributes"),
        (flag::OPTIONS, "compressor options"),
        (flag::PLAIN_IDS, "owners stored"),
    ];
    names.into_iter().filter(|(bit, _)| flags & bit != 0).map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests;

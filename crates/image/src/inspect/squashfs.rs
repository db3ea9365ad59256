//! Reading a squashfs 4.0 image: names, links and contents.
//!
//! Source: `squashfs-tools-ng`, `doc/format.adoc`, version 1.0.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt,
    sync::Arc,
};

use super::volume::{Damaged, Found, Listing, MOST_FILES};
use crate::format::superblock;

/// Bytes of a metadata block, unpacked.
const METADATA: usize = 8192;
/// A file that has no tail in a fragment.
const NO_FRAGMENT: u32 = u32::MAX;
/// Deeper than any path that can be opened.
const MOST_LEVELS: usize = 512;
/// Metadata blocks that are kept; more are read again.
const CACHED: usize = 4096;

/// An image inside a file.
pub(super) struct Squashfs<'a> {
    file: &'a File,
    start: u64,
    end: u64,
    compressor: u16,
    block_size: u64,
    inodes: u64,
    directories: u64,
    fragments: u64,
    fragment_count: u32,
    root: u64,
    cache: BTreeMap<u64, Metadata>,
}

/// A metadata block, and where the next one begins.
type Metadata = (Arc<[u8]>, u64);

/// A place in the metadata, which goes on over the ends of blocks.
#[derive(Clone, Copy)]
struct Cursor {
    block: u64,
    offset: usize,
}

/// An inode, as far as names and contents are concerned.
enum Inode {
    Directory { at: Cursor, size: u64 },
    File { blocks: u64, sizes: Vec<u32>, size: u64, fragment: u32, offset: u32 },
    Symlink { target: String },
    Other,
}

fn damaged(what: &str) -> Damaged {
    Damaged::Bytes(what.to_owned())
}

fn u16_of(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_of(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_of(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_of(bytes, at)) | u64::from(u32_of(bytes, at + 4)) << 32
}

impl<'a> Squashfs<'a> {
    /// The image that begins at byte `start` of `file`.
    pub(super) fn open(file: &'a File, start: u64) -> Result<Self, Damaged> {
        let mut raw = [0; 96];
        file.read_exact_at(&mut raw, start)?;
        let superblock = superblock::squashfs(&raw).ok_or_else(|| damaged("it has no superblock"))?;
        let block_size = u64::from(superblock.block_size);
        if superblock.version != (4, 0)
            || !block_size.is_power_of_two()
            || !(4096..=1 << 20).contains(&block_size)
        {
            return Err(damaged("its superblock is not of squashfs 4.0"));
        }
        Ok(Self {
            file,
            start,
            end: superblock.bytes_used,
            compressor: superblock.compressor,
            block_size,
            inodes: u64_of(&raw, 64),
            directories: u64_of(&raw, 72),
            fragments: u64_of(&raw, 80),
            fragment_count: u32_of(&raw, 16),
            root: u64_of(&raw, 32),
            cache: BTreeMap::new(),
        })
    }

    /// Everything in it, by path.
    pub(super) fn list(&mut self) -> Result<Listing, Damaged> {
        let mut listing = Listing::default();
        let mut seen = BTreeSet::new();
        let mut todo = vec![(bootway_plan::TreePath::root(), self.root, 0)];
        while let Some((path, reference, level)) = todo.pop() {
            if listing.files.len() > MOST_FILES || level > MOST_LEVELS {
                return Err(damaged("it has more files, or deeper ones, than can be"));
            }
            let found = match self.inode(reference)? {
                Inode::Directory { at, size } => {
                    if !seen.insert(reference) {
                        return Err(damaged("a directory is in two places"));
                    }
                    for (name, child) in self.entries(at, size)? {
                        todo.push((
                            path.join(&name).map_err(|_| damaged("it has a name with a slash"))?,
                            child,
                            level + 1,
                        ));
                    }
                    Found::Directory
                }
                Inode::File { size, .. } => Found::File { size, number: reference },
                Inode::Symlink { target } => Found::Symlink { target },
                Inode::Other => Found::Other,
            };
            listing.files.insert(path, found);
        }
        Ok(listing)
    }

    /// The first `limit` bytes of the file that [`Found::File`] numbers so.
    pub(super) fn read(&mut self, number: u64, limit: u64) -> Result<Vec<u8>, Damaged> {
        let Inode::File { mut blocks, sizes, size, fragment, offset } = self.inode(number)? else {
            return Err(damaged("an inode is not a file"));
        };
        let wanted = size.min(limit);
        let mut out = Vec::new();
        for stored in sizes {
            if out.len() as u64 >= wanted {
                break;
            }
            let length = (size - out.len() as u64).min(self.block_size) as usize;
            let packed = u64::from(stored & 0xff_ffff);
            if packed == 0 {
                out.resize(out.len() + length, 0);
            } else {
                out.extend(self.data(blocks, stored)?.iter().take(length));
            }
            blocks += packed;
        }
        if (out.len() as u64) < wanted && fragment != NO_FRAGMENT {
            let tail = self.fragment(fragment)?;
            let tail = tail.get(offset as usize..).unwrap_or_default();
            out.extend(tail.iter().take((size - out.len() as u64) as usize));
        }
        if (out.len() as u64) < wanted {
            return Err(damaged("a file ends too soon"));
        }
        out.truncate(wanted as usize);
        Ok(out)
    }

    fn inode(&mut self, reference: u64) -> Result<Inode, Damaged> {
        let block = self.inodes.checked_add(reference >> 16).ok_or_else(|| damaged("an inode is nowhere"))?;
        let mut at = Cursor { block, offset: (reference & 0xffff) as usize };
        let kind = u16_of(&self.take(&mut at, 16)?, 0);
        let directory = |block: u32, offset: u16, size: u64| Inode::Directory {
            at: Cursor { block: u64::from(block), offset: offset.into() },
            size,
        };
        Ok(match kind {
            1 => {
                let raw = self.take(&mut at, 16)?;
                directory(u32_of(&raw, 0), u16_of(&raw, 10), u16_of(&raw, 8).into())
            }
            8 => {
                let raw = self.take(&mut at, 24)?;
                directory(u32_of(&raw, 8), u16_of(&raw, 18), u32_of(&raw, 4).into())
            }
            2 => {
                let raw = self.take(&mut at, 16)?;
                let (size, fragment) = (u64::from(u32_of(&raw, 12)), u32_of(&raw, 4));
                let sizes = self.sizes(&mut at, size, fragment)?;
                Inode::File { blocks: u32_of(&raw, 0).into(), sizes, size, fragment, offset: u32_of(&raw, 8) }
            }
            9 => {
                let raw = self.take(&mut at, 40)?;
                let (size, fragment) = (u64_of(&raw, 8), u32_of(&raw, 28));
                let sizes = self.sizes(&mut at, size, fragment)?;
                Inode::File { blocks: u64_of(&raw, 0), sizes, size, fragment, offset: u32_of(&raw, 32) }
            }
            3 | 10 => {
                let length = u32_of(&self.take(&mut at, 8)?, 4) as usize;
                if length > 64 << 10 {
                    return Err(damaged("a symbolic link is longer than any can be"));
                }
                let target = String::from_utf8_lossy(&self.take(&mut at, length)?).into_owned();
                Inode::Symlink { target }
            }
            4..=7 | 11..=14 => Inode::Other,
            _ => return Err(damaged("an inode is of a kind that does not exist")),
        })
    }

    /// The sizes of a file's blocks, as they are stored.
    fn sizes(&mut self, at: &mut Cursor, size: u64, fragment: u32) -> Result<Vec<u32>, Damaged> {
        let whole = size / self.block_size;
        let count = if fragment == NO_FRAGMENT { size.div_ceil(self.block_size) } else { whole };
        // Each takes four bytes of metadata, and all metadata is in the image, packed at best 8192 to 2.
        if count > self.end.saturating_mul(1024) {
            return Err(damaged("a file has more blocks than the image can hold"));
        }
        let mut sizes = Vec::new();
        for _ in 0..count {
            sizes.push(u32_of(&self.take(at, 4)?, 0));
        }
        Ok(sizes)
    }

    /// The names in a directory, and the inode of each.
    fn entries(&mut self, at: Cursor, size: u64) -> Result<Vec<(String, u64)>, Damaged> {
        let block =
            self.directories.checked_add(at.block).ok_or_else(|| damaged("a directory is nowhere"))?;
        let mut at = Cursor { block, ..at };
        let mut entries = Vec::new();
        // An empty directory has size 3, for `.` and `..`, which are not stored.
        let mut left = size.saturating_sub(3);
        while left > 0 {
            let head = self.take(&mut at, 12)?;
            let (count, block) = (u32_of(&head, 0).saturating_add(1), u32_of(&head, 4));
            left = left.checked_sub(12).ok_or_else(|| damaged("a directory ends inside an entry"))?;
            if count > 256 {
                return Err(damaged("a directory has a run of more than 256 names"));
            }
            for _ in 0..count {
                let entry = self.take(&mut at, 8)?;
                let length = usize::from(u16_of(&entry, 6)) + 1;
                let name = self.take(&mut at, length)?;
                let size = 8 + length as u64;
                left = left.checked_sub(size).ok_or_else(|| damaged("a directory ends inside an entry"))?;
                let reference = u64::from(block) << 16 | u64::from(u16_of(&entry, 0));
                entries.push((String::from_utf8_lossy(&name).into_owned(), reference));
            }
        }
        Ok(entries)
    }

    /// The next `length` bytes of metadata.
    fn take(&mut self, at: &mut Cursor, length: usize) -> Result<Vec<u8>, Damaged> {
        let mut out = Vec::with_capacity(length);
        while out.len() < length {
            let (bytes, next) = self.metadata(at.block)?;
            let part = bytes.get(at.offset..).unwrap_or_default();
            let part = &part[..part.len().min(length - out.len())];
            out.extend(part);
            at.offset += part.len();
            if out.len() < length {
                if bytes.len() < METADATA && part.is_empty() {
                    return Err(damaged("its metadata ends too soon"));
                }
                *at = Cursor { block: next, offset: 0 };
            }
        }
        Ok(out)
    }

    fn metadata(&mut self, block: u64) -> Result<Metadata, Damaged> {
        if let Some(known) = self.cache.get(&block) {
            return Ok(known.clone());
        }
        let head = u16_of(&self.bytes(block, 2)?, 0);
        let length = u64::from(head & 0x7fff);
        let raw = self.bytes(block + 2, length)?;
        let bytes = if head & 0x8000 == 0 { self.unpack(&raw, METADATA)? } else { raw };
        if bytes.is_empty() || bytes.len() > METADATA {
            return Err(damaged("a metadata block has no size that it can have"));
        }
        if self.cache.len() >= CACHED {
            self.cache.clear();
        }
        let metadata: Metadata = (bytes.into(), block + 2 + length);
        self.cache.insert(block, metadata.clone());
        Ok(metadata)
    }

    fn fragment(&mut self, index: u32) -> Result<Vec<u8>, Damaged> {
        if index >= self.fragment_count {
            return Err(damaged("a file's tail is in a fragment that is not there"));
        }
        // 512 entries of 16 bytes in a metadata block, and a table of where these are.
        let place = self.fragments.checked_add(u64::from(index / 512) * 8);
        let block = u64_of(&self.bytes(place.ok_or_else(|| damaged("the fragments are nowhere"))?, 8)?, 0);
        let mut at = Cursor { block, offset: (index % 512) as usize * 16 };
        let entry = self.take(&mut at, 16)?;
        self.data(u64_of(&entry, 0), u32_of(&entry, 8))
    }

    fn data(&self, at: u64, stored: u32) -> Result<Vec<u8>, Damaged> {
        let raw = self.bytes(at, u64::from(stored & 0xff_ffff))?;
        if stored & 1 << 24 != 0 { Ok(raw) } else { self.unpack(&raw, self.block_size as usize) }
    }

    fn bytes(&self, at: u64, length: u64) -> Result<Vec<u8>, Damaged> {
        if at.checked_add(length).is_none_or(|end| end > self.end) || length > 1 << 20 {
            return Err(damaged("something is said to be after its end"));
        }
        let mut raw = vec![0; length as usize];
        self.file.read_exact_at(&mut raw, self.start + at)?;
        Ok(raw)
    }

    fn unpack(&self, raw: &[u8], limit: usize) -> Result<Vec<u8>, Damaged> {
        let decoder: io::Result<Box<dyn Read + '_>> = match self.compressor {
            1 => Ok(Box::new(flate2::read::ZlibDecoder::new(raw))),
            4 => Ok(Box::new(liblzma::read::XzDecoder::new(raw))),
            6 => zstd::stream::read::Decoder::new(raw).map(|decoder| Box::new(decoder) as Box<dyn Read>),
            _ => return Err(Damaged::Unsupported("images with lz4, lzo or lzma are not read".to_owned())),
        };
        let mut out = Vec::new();
        decoder?.take(limit as u64 + 1).read_to_end(&mut out)?;
        if out.len() > limit { Err(damaged("a block unpacks to more than its size")) } else { Ok(out) }
    }
}

//! What files of the host contained, so that one that has not changed is not read again.
//!
//! ```text
//! magic 8 | version u32 | block size u32 | tree 32 | files u64 | hashes u64
//! file:     device u64 | inode u64 | size u64 | mtime i128 | ctime i128 | its first hash, counted from 0 u64 …
//! hash:     32 bytes …
//! XXH3-128 of all before 16
//! ```
//!
//! Little-endian; files ascend by what is said of them, in that order. It is used as it lies in the file: what is read
//! is compared with its checksum, and nothing is unpacked.
//!
//! A file is known by its device, inode, size, mtime and ctime. The kernel sets ctime whenever a file's content or
//! inode changes, from a clock that ticks every 1 to 10 ms; so a file whose times are not at least [`MARGIN`] before it
//! was read may change once more without its times doing so, and is not recorded. Two kinds of change are not seen: on
//! a file system whose server has another time than we have, those within that difference; and those through a mapping
//! of memory that was made before the file was read. Who has such files reads all.

use std::{fs, path::PathBuf};

use super::{Cache, CacheError, commit, hex, sum, temporary::Temporary};
use crate::{BlockSize, Ident};

/// Of the content of a data block, or of the end of a file that fills no block.
pub(crate) type Hash = [u8; 32];
/// In place of the hash of a block that is all zeros.
pub(crate) const HOLE: Hash = [0; 32];

/// Nanoseconds for which a file must have been at rest when it is read.
pub(super) const MARGIN: i128 = 20_000_000;
/// The same on a file system that keeps whole seconds, two of them on FAT.
const COARSE_MARGIN: i128 = 2_020_000_000;

const MAGIC: &[u8; 8] = b"bwsqseen";
const VERSION: u32 = 1;
const HEADER: usize = 64;
const FILE: usize = 64;
const CHECKSUM: usize = 16;

/// What files of one tree contained when an image was last made of it with blocks of one size.
#[derive(Debug)]
pub(crate) struct Seen {
    bytes: Vec<u8>,
    files: usize,
    block_size: BlockSize,
}

impl Seen {
    /// What is known of `tree`, a hash that names it; nothing, if the list is not there or damaged.
    pub(crate) fn load(cache: &Cache, tree: &[u8; 32], block_size: BlockSize) -> Self {
        let bytes = fs::read(path(cache, tree, block_size)).unwrap_or_default();
        let files = files(&bytes, tree, block_size).unwrap_or(0);
        Self { bytes, files, block_size }
    }

    /// The hashes of the file's blocks and of its end, if it was seen as it is now.
    pub(crate) fn lookup(&self, ident: &Ident) -> Option<&[Hash]> {
        let (files, hashes) = self.tables()?;
        let wanted = order(ident);
        let found = files.binary_search_by(|file| order(&decode(file).0).cmp(&wanted)).ok()?;
        let first = usize::try_from(decode(&files[found]).1).ok()?;
        let count = usize::try_from(ident.size.div_ceil(self.block_size.get().into())).ok()?;
        hashes.get(first..first.checked_add(count)?)
    }

    /// How many files are known.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.files
    }

    fn tables(&self) -> Option<(&[[u8; FILE]], &[Hash])> {
        let body = self.bytes.get(HEADER..self.bytes.len().checked_sub(CHECKSUM)?)?;
        let (files, hashes) = body.split_at_checked(self.files * FILE)?;
        Some((files.as_chunks().0, hashes.as_chunks().0))
    }
}

/// How many files the list has, if it is what was written for that tree.
fn files(bytes: &[u8], tree: &[u8; 32], block_size: BlockSize) -> Option<usize> {
    let (body, checksum) = bytes.split_last_chunk::<CHECKSUM>()?;
    let header: &[u8; HEADER] = body.first_chunk()?;
    let number = |at: usize| Some(u64::from_le_bytes(*header[at..].first_chunk()?));
    let (files, hashes) = (number(48)?, number(56)?);
    let size = files.checked_mul(FILE as u64)?.checked_add(hashes.checked_mul(32)?)?;
    let sound = header[..48] == head(tree, block_size)
        && size == (body.len() - HEADER) as u64
        && sum(body) == u128::from_le_bytes(*checksum);
    sound.then_some(files as usize)
}

/// The header up to its numbers.
fn head(tree: &[u8; 32], block_size: BlockSize) -> [u8; 48] {
    let mut head = [0; 48];
    head[..8].copy_from_slice(MAGIC);
    head[8..12].copy_from_slice(&VERSION.to_le_bytes());
    head[12..16].copy_from_slice(&block_size.get().to_le_bytes());
    head[16..].copy_from_slice(tree);
    head
}

fn path(cache: &Cache, tree: &[u8; 32], block_size: BlockSize) -> PathBuf {
    let name = blake3::hash(&head(tree, block_size));
    cache.seen().join(format!("{}.seen", hex(&name.as_bytes()[..16])))
}

fn order(ident: &Ident) -> (u64, u64, u64, i128, i128) {
    (ident.dev, ident.ino, ident.size, ident.mtime, ident.ctime)
}

fn encode(ident: &Ident, first: u64, bytes: &mut Vec<u8>) {
    for number in [ident.dev, ident.ino, ident.size] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    for time in [ident.mtime, ident.ctime] {
        bytes.extend_from_slice(&time.to_le_bytes());
    }
    bytes.extend_from_slice(&first.to_le_bytes());
}

fn decode(file: &[u8; FILE]) -> (Ident, u64) {
    let number = |at: usize| u64::from_le_bytes(*file[at..].first_chunk().expect("a file has 64 bytes"));
    let time = |at: usize| i128::from_le_bytes(*file[at..].first_chunk().expect("a file has 64 bytes"));
    let ident = Ident { dev: number(0), ino: number(8), size: number(16), mtime: time(24), ctime: time(40) };
    (ident, number(56))
}

/// What the files of a tree contain now, for the next build.
#[derive(Debug)]
pub(crate) struct SeenWriter {
    tree: [u8; 32],
    block_size: BlockSize,
    files: Vec<(Ident, u64)>,
    hashes: Vec<Hash>,
}

impl SeenWriter {
    /// An empty list for `tree`, a hash that names it.
    pub(crate) fn new(tree: [u8; 32], block_size: BlockSize) -> Self {
        Self { tree, block_size, files: Vec::new(), hashes: Vec::new() }
    }

    /// A file and the hashes of all its blocks and of its end. `read_at` is a moment before it was read, in
    /// nanoseconds since 1970; a file that was changed shortly before that, or since, is not recorded. Who calls made
    /// sure that `ident` was the same after it was read.
    pub(crate) fn record(&mut self, ident: &Ident, hashes: &[Hash], read_at: i128) {
        let whole = ident.size.div_ceil(self.block_size.get().into()) == hashes.len() as u64;
        debug_assert!(whole, "a file of {} bytes has {} hashes", ident.size, hashes.len());
        if whole && !is_racy(ident, read_at) {
            self.files.push((*ident, self.hashes.len() as u64));
            self.hashes.extend_from_slice(hashes);
        }
    }

    /// Puts it in place of the last list of that tree.
    pub(crate) fn save(self, cache: &Cache) -> Result<(), CacheError> {
        let path = path(cache, &self.tree, self.block_size);
        let bytes = self.encode();
        if fs::read(&path).is_ok_and(|old| old == bytes) {
            return Ok(commit::now(&path)?);
        }
        let mut file = Temporary::new(&cache.seen())?;
        file.write(&bytes)?;
        Ok(file.rename(&path)?)
    }

    fn encode(mut self) -> Vec<u8> {
        self.files.sort_unstable_by_key(|(ident, first)| (order(ident), *first));
        self.files.dedup_by_key(|(ident, _)| *ident);
        let size = HEADER + self.files.len() * FILE + self.hashes.len() * 32 + CHECKSUM;
        let mut bytes = Vec::with_capacity(size);
        bytes.extend_from_slice(&head(&self.tree, self.block_size));
        bytes.extend_from_slice(&(self.files.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&(self.hashes.len() as u64).to_le_bytes());
        for (ident, first) in &self.files {
            encode(ident, *first, &mut bytes);
        }
        bytes.extend_from_slice(self.hashes.as_flattened());
        let checksum = sum(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes
    }
}

/// Whether the file may change after `read_at` without its times doing so.
fn is_racy(ident: &Ident, read_at: i128) -> bool {
    let coarse = ident.mtime % 1_000_000_000 == 0 && ident.ctime % 1_000_000_000 == 0;
    let margin = if coarse { COARSE_MARGIN } else { MARGIN };
    ident.mtime.max(ident.ctime) >= read_at - margin
}

#[cfg(test)]
mod tests;

//! dm-verity: whether a file system is the one that a signed digest vouches for.
//!
//! Blocks of 4096 bytes are hashed, the hashes fill blocks that are hashed in turn, and so on until there is one: its
//! hash is the root digest. [`verify`] compares all that is stored, [`root_digest`] needs the data only.
//!
//! `ChromeOS` uses on-disk version 0, with the salt behind each block and hashes that follow each other; version 1 has the
//! salt before each block and pads hashes to powers of two.
//!
//! Source: Linux `drivers/md/dm-verity-target.c`, `Documentation/admin-guide/device-mapper/verity.rst`.

use std::{
    fs::File,
    num::NonZero,
    ops::Range,
    os::unix::fs::FileExt,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use bootway_exec::Cancel;
use sha1::Sha1;
use sha2::{Digest, Sha256};

pub use self::error::VerityError;
use crate::vboot::DmHash;

mod error;
#[cfg(test)]
mod tests;

/// Bytes of a block, of data and of hashes.
pub const BLOCK: u64 = 4096;
/// Bytes of salt that Linux takes.
const MOST_SALT: usize = 256;
/// Threads that hash; more would wait for the disk.
const THREADS: usize = 2;

/// On-disk version of a tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VerityVersion {
    /// As `ChromeOS` has it.
    #[default]
    V0,
    /// As everyone else has it.
    V1,
}

/// How a tree is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerityFormat<'a> {
    /// Where the salt is, and how hashes are laid out.
    pub version: VerityVersion,
    /// The hash.
    pub hash: DmHash,
    /// Up to 256 bytes that each block is hashed with.
    pub salt: &'a [u8],
}

/// All data and their tree are what the root digest vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Blocks of data.
    pub blocks: u64,
    /// Blocks of hashes.
    pub hash_blocks: u64,
}

/// Hashes `data`, a range of bytes of `file`, and compares it with the tree at the beginning of the range `hashes`, and
/// that with `root`. The tree has no superblock.
///
/// `done` is told how many more bytes of data were looked at, from two threads.
///
/// # Errors
///
/// With the first block that is not what it should be: the tree from its root down, and then the data.
pub fn verify(
    file: &File,
    data: Range<u64>,
    hashes: Range<u64>,
    format: VerityFormat<'_>,
    root: &[u8],
    cancel: &Cancel,
    done: &(dyn Fn(u64) + Sync),
) -> Result<Verified, VerityError> {
    let tree = Tree::of(file, data, format)?;
    let size = tree.hash_blocks() * BLOCK;
    let has = hashes.end.saturating_sub(hashes.start);
    let end = file.metadata()?.len();
    if has < size || hashes.end > end {
        let (needs, has) = (size, has.min(end.saturating_sub(hashes.start)));
        return Err(VerityError::TreeCut { offset: hashes.start, needs, has });
    }
    if root.len() != format.hash.len() {
        return Err(VerityError::Digest { has: root.len(), needs: format.hash.len() });
    }
    tree.check_tree(hashes.start, root, cancel)?;
    let leaves = tree.level_at(hashes.start, 0);
    tree.each(cancel, done, |unit, digests, at| {
        let expected = match leaves {
            Some(leaves) => tree.read(leaves + unit * BLOCK, BLOCK)?,
            None => tree.block_of(root),
        };
        let wrong =
            digests.iter().zip(0..).find(|(digest, n)| digest.as_slice() != tree.entry(&expected, *n));
        match wrong {
            None => Ok(()),
            Some((digest, n)) => Err(VerityError::Data {
                block: unit * tree.per_block + n,
                offset: at + n * BLOCK,
                stored: hex(tree.entry(&expected, n)),
                computed: hex(digest),
            }),
        }
    })?;
    Ok(Verified { blocks: tree.blocks, hash_blocks: tree.hash_blocks() })
}

/// The root digest of `data`, a range of bytes of `file`; no tree is needed.
///
/// # Errors
///
/// If the range is not one of whole blocks of the file, or cannot be read.
pub fn root_digest(
    file: &File,
    data: Range<u64>,
    format: VerityFormat<'_>,
    cancel: &Cancel,
    done: &(dyn Fn(u64) + Sync),
) -> Result<Vec<u8>, VerityError> {
    let tree = Tree::of(file, data, format)?;
    let units = Mutex::new(Vec::new());
    tree.each(cancel, done, |unit, digests, _| {
        let digests: Vec<Vec<u8>> = digests.to_vec();
        let digest = if tree.levels == 0 { digests[0].clone() } else { tree.hash(&tree.pack(&digests)) };
        units.lock().map_err(|_| VerityError::Cancelled)?.push((unit, digest));
        Ok(())
    })?;
    let mut units = units.into_inner().map_err(|_| VerityError::Cancelled)?;
    units.sort_unstable();
    let mut level: Vec<Vec<u8>> = units.into_iter().map(|(_, digest)| digest).collect();
    while level.len() > 1 {
        let blocks = level.chunks(tree.per_block as usize);
        level = blocks.map(|digests| tree.hash(&tree.pack(digests))).collect();
    }
    Ok(level.pop().expect("there is at least one block"))
}

/// Hashes of blocks, on their way up.
struct Tree<'a> {
    file: &'a File,
    format: VerityFormat<'a>,
    /// Where the data are.
    start: u64,
    /// Blocks of data.
    blocks: u64,
    /// Hashes in a block.
    per_block: u64,
    /// Bytes from one hash in a block to the next.
    stride: usize,
    levels: u32,
    hasher: Hasher,
}

/// What every block begins with.
#[derive(Clone)]
enum Hasher {
    Sha1(Sha1),
    Sha256(Sha256),
}

impl<'a> Tree<'a> {
    fn of(file: &'a File, data: Range<u64>, format: VerityFormat<'a>) -> Result<Self, VerityError> {
        let size = data.end.saturating_sub(data.start);
        let has = file.metadata()?.len();
        if size == 0 || !size.is_multiple_of(BLOCK) || data.end > has {
            return Err(VerityError::Range { start: data.start, end: data.end, has });
        }
        if format.salt.len() > MOST_SALT {
            return Err(VerityError::Salt { has: format.salt.len() });
        }
        let bits = (BLOCK / format.hash.len() as u64).ilog2();
        let blocks = size / BLOCK;
        let mut levels = 0;
        while bits * levels < u64::BITS && (blocks - 1) >> (bits * levels) > 0 {
            levels += 1;
        }
        let mut hasher = match format.hash {
            DmHash::Sha1 => Hasher::Sha1(Sha1::new()),
            DmHash::Sha256 => Hasher::Sha256(Sha256::new()),
        };
        let stride = match format.version {
            VerityVersion::V0 => format.hash.len(),
            VerityVersion::V1 => {
                hasher.update(format.salt);
                BLOCK as usize >> bits
            }
        };
        Ok(Self { file, format, start: data.start, blocks, per_block: 1 << bits, stride, levels, hasher })
    }

    /// Blocks of one level; level 0 has the hashes of the data.
    fn level_blocks(&self, level: u32) -> u64 {
        (0..=level).fold(self.blocks, |blocks, _| blocks.div_ceil(self.per_block))
    }

    /// Where a level is in a tree at `start`: the highest comes first.
    fn level_at(&self, start: u64, level: u32) -> Option<u64> {
        let above = (level + 1..self.levels).map(|level| self.level_blocks(level)).sum::<u64>();
        (level < self.levels).then(|| start + above * BLOCK)
    }

    fn hash_blocks(&self) -> u64 {
        (0..self.levels).map(|level| self.level_blocks(level)).sum()
    }

    fn read(&self, offset: u64, len: u64) -> Result<Vec<u8>, VerityError> {
        let mut bytes = vec![0; len as usize];
        self.file.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }

    /// The digest of number `n` in a block.
    fn entry<'b>(&self, block: &'b [u8], n: u64) -> &'b [u8] {
        &block[n as usize * self.stride..][..self.format.hash.len()]
    }

    /// A block with one digest.
    fn block_of(&self, digest: &[u8]) -> Vec<u8> {
        self.pack(&[digest.to_vec()])
    }

    /// A block with these digests.
    fn pack(&self, digests: &[Vec<u8>]) -> Vec<u8> {
        let mut block = vec![0; BLOCK as usize];
        for (digest, at) in digests.iter().zip((0..).step_by(self.stride)) {
            block[at..at + digest.len()].copy_from_slice(digest);
        }
        block
    }

    fn hash(&self, block: &[u8]) -> Vec<u8> {
        let mut hasher = self.hasher.clone();
        hasher.update(block);
        if self.format.version == VerityVersion::V0 {
            hasher.update(self.format.salt);
        }
        hasher.finish()
    }

    /// Compares each block of the tree at `start` with its hash in the block above, from the root down.
    fn check_tree(&self, start: u64, root: &[u8], cancel: &Cancel) -> Result<(), VerityError> {
        let mut above: Option<u64> = None;
        for level in (0..self.levels).rev() {
            let at = self.level_at(start, level).expect("a level that the tree has");
            let mut parent = self.block_of(root);
            for n in 0..self.level_blocks(level) {
                if n.is_multiple_of(self.per_block) {
                    if cancel.is_cancelled() {
                        return Err(VerityError::Cancelled);
                    }
                    if let Some(above) = above {
                        parent = self.read(above + n / self.per_block * BLOCK, BLOCK)?;
                    }
                }
                let offset = at + n * BLOCK;
                let computed = self.hash(&self.read(offset, BLOCK)?);
                let stored = self.entry(&parent, n % self.per_block);
                if computed != stored {
                    let (stored, computed) = (hex(stored), hex(&computed));
                    return Err(match above {
                        None => VerityError::Root { offset, wanted: stored, computed },
                        Some(_) => VerityError::Tree { level, block: n, offset, stored, computed },
                    });
                }
            }
            above = Some(at);
        }
        Ok(())
    }

    /// Hashes the data, as many blocks at once as have their hashes in one, and shows each such unit with its digests and
    /// where its data are to `see`. Of several errors, the first in the data is given.
    fn each(
        &self,
        cancel: &Cancel,
        done: &(dyn Fn(u64) + Sync),
        see: impl Fn(u64, &[Vec<u8>], u64) -> Result<(), VerityError> + Sync,
    ) -> Result<(), VerityError> {
        let units = self.blocks.div_ceil(self.per_block);
        let next = AtomicU64::new(0);
        let work = || -> Result<(), (u64, VerityError)> {
            let mut buffer = vec![0; (self.per_block * BLOCK) as usize];
            loop {
                let unit = next.fetch_add(1, Ordering::Relaxed);
                if unit >= units {
                    return Ok(());
                }
                let failed = |error| {
                    // Units before it are taken already, and are finished.
                    next.store(units, Ordering::Relaxed);
                    (unit, error)
                };
                if cancel.is_cancelled() {
                    return Err(failed(VerityError::Cancelled));
                }
                let blocks = self.per_block.min(self.blocks - unit * self.per_block);
                let at = self.start + unit * self.per_block * BLOCK;
                let bytes = &mut buffer[..(blocks * BLOCK) as usize];
                self.file.read_exact_at(bytes, at).map_err(|error| failed(error.into()))?;
                let digests: Vec<Vec<u8>> =
                    bytes.chunks(BLOCK as usize).map(|block| self.hash(block)).collect();
                see(unit, &digests, at).map_err(failed)?;
                done(blocks * BLOCK);
            }
        };
        let threads = std::thread::available_parallelism().map_or(1, NonZero::get).min(THREADS);
        if threads < 2 || units < 2 {
            return work().map_err(|(_, error)| error);
        }
        let results: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            threads.into_iter().map(|thread| thread.join().expect("a hasher does not panic")).collect()
        });
        let first = results.into_iter().filter_map(Result::err).min_by_key(|(unit, _)| *unit);
        first.map_or(Ok(()), |(_, error)| Err(error))
    }
}

impl Hasher {
    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha1(hasher) => hasher.update(bytes),
            Self::Sha256(hasher) => hasher.update(bytes),
        }
    }

    fn finish(self) -> Vec<u8> {
        match self {
            Self::Sha1(hasher) => hasher.finalize().to_vec(),
            Self::Sha256(hasher) => hasher.finalize().to_vec(),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

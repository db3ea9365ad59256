//! Which blocks the image holds, in which order, and which files share them.
//!
//! A file's full blocks lie one behind the other, so blocks are shared only as a run: a file whose blocks are those of
//! an earlier file, or of its beginning, or of any run in the image, needs none of its own. Ends in fragments are
//! shared one by one. Equality is that of 32-byte hashes of the whole content.

use std::{collections::HashMap, ops::Range};

use crate::cache::{HOLE, Hash};

/// Earlier places of a block that are tried as the beginning of a run; there are more only in files that repeat one
/// block again and again.
const MOST_TRIED: usize = 64;

/// A data block of the image, by its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Block(pub(super) u32);

/// Where the end of a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tail {
    pub(super) fragment: u32,
    /// Bytes from the beginning of the fragment, unpacked.
    pub(super) offset: u32,
}

/// The blocks of the image.
#[derive(Debug, Default)]
pub(super) struct Layout {
    /// What each block holds; the first half of its hash is enough to look it up, not to believe it.
    blocks: Vec<Hash>,
    /// The latest block with that content.
    latest: HashMap<Hash, Block>,
    /// For each block, the one before it with the same content.
    earlier: Vec<Option<Block>>,
    /// Blocks that do not lie behind the one before them, for a fragment is between: ascending.
    gaps: Vec<Block>,
    tails: HashMap<(Hash, u32), Tail>,
}

impl Layout {
    /// Whether any block of the image has this content.
    pub(super) fn holds(&self, hash: &Hash) -> bool {
        self.latest.contains_key(hash)
    }

    /// The latest block with this content.
    pub(super) fn latest(&self, hash: &Hash) -> Option<Block> {
        self.latest.get(hash).copied()
    }

    /// Puts a block behind all others.
    pub(super) fn append(&mut self, hash: Hash) -> Block {
        debug_assert_ne!(hash, HOLE, "a hole takes no place");
        let block = Block(u32::try_from(self.blocks.len()).expect("an image has less than 2^32 blocks"));
        self.blocks.push(hash);
        self.earlier.push(self.latest.insert(hash, block));
        block
    }

    /// Says that something else comes behind the blocks so far.
    pub(super) fn gap(&mut self) {
        let next = Block(self.blocks.len() as u32);
        if self.gaps.last() != Some(&next) {
            self.gaps.push(next);
        }
    }

    /// Whether blocks lie one behind the other.
    fn adjoin(&self, blocks: Range<usize>) -> bool {
        let next = self.gaps.partition_point(|gap| gap.0 as usize <= blocks.start);
        self.gaps.get(next).is_none_or(|gap| gap.0 as usize >= blocks.end)
    }

    /// A run of blocks with just these contents; holes take no place.
    pub(super) fn run(&self, hashes: &[Hash]) -> Option<Block> {
        let mut solid = hashes.iter().filter(|hash| **hash != HOLE);
        let first = solid.next()?;
        let rest: Vec<&Hash> = solid.collect();
        let mut candidate = self.latest(first);
        for _ in 0..MOST_TRIED {
            let block = candidate?;
            let behind = block.0 as usize + 1;
            let run = self.blocks.get(behind..behind + rest.len());
            if run.is_some_and(|run| run.iter().eq(rest.iter().copied()))
                && self.adjoin(behind - 1..behind + rest.len())
            {
                return Some(block);
            }
            candidate = self.earlier[block.0 as usize];
        }
        None
    }

    /// Where an end of a file with this content already is.
    pub(super) fn tail(&self, hash: Hash, length: u32) -> Option<Tail> {
        self.tails.get(&(hash, length)).copied()
    }

    /// Says where an end of a file has been put.
    pub(super) fn put_tail(&mut self, hash: Hash, length: u32, tail: Tail) {
        self.tails.insert((hash, length), tail);
    }
}

/// When a fragment is full, and when it is closed before it is.
///
/// A fragment is also closed before a file whose path says so, once it is full enough. So a file that grows moves the
/// members of its own fragment and perhaps the next, but not of all that follow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packing {
    block_size: u32,
}

impl Packing {
    /// One path of so many closes a fragment.
    const CLOSES: u64 = 16;

    pub(super) const fn new(block_size: u32) -> Self {
        Self { block_size }
    }

    /// Whether the file of this path is one that closes fragments.
    pub(super) fn closes(path: &[u8]) -> bool {
        xxhash_rust::xxh3::xxh3_64(path).is_multiple_of(Self::CLOSES)
    }

    /// Whether a fragment that is `filled` so far ends before a member of `length` bytes.
    pub(super) const fn ends(self, filled: u32, length: u32, closes: bool) -> bool {
        filled > 0 && (filled + length > self.block_size || (closes && filled >= self.block_size / 8 * 3))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn hash(n: u8) -> Hash {
        let mut hash = [7; 32];
        hash[0] = n;
        hash
    }

    fn layout(blocks: &[u8]) -> Layout {
        let mut layout = Layout::default();
        for block in blocks {
            layout.append(hash(*block));
        }
        layout
    }

    fn run(layout: &Layout, blocks: &[u8]) -> Option<u32> {
        let hashes: Vec<Hash> = blocks.iter().map(|n| if *n == 0 { HOLE } else { hash(*n) }).collect();
        layout.run(&hashes).map(|block| block.0)
    }

    #[test]
    fn a_run_may_begin_anywhere_and_go_over_the_ends_of_files() {
        let layout = layout(&[1, 2, 3, 1, 2, 4]);
        assert_eq!(run(&layout, &[2, 3, 1]), Some(1));
        assert_eq!(run(&layout, &[1, 2, 3]), Some(0));
        assert_eq!(run(&layout, &[1, 2]), Some(3));
        assert_eq!(run(&layout, &[2, 4, 1]), None);
        assert_eq!(run(&layout, &[5]), None);
    }

    #[test]
    fn a_run_does_not_go_over_a_fragment() {
        let mut layout = layout(&[1, 2]);
        layout.gap();
        layout.gap();
        layout.append(hash(3));
        layout.append(hash(4));
        layout.gap();
        assert_eq!(run(&layout, &[1, 2]), Some(0));
        assert_eq!(run(&layout, &[2, 3]), None);
        assert_eq!(run(&layout, &[3, 4]), Some(2));
        layout.append(hash(2));
        layout.append(hash(3));
        assert_eq!(run(&layout, &[2, 3]), Some(4));
        assert_eq!(run(&layout, &[4, 2]), None);
    }

    #[test]
    fn holes_take_no_place_in_a_run() {
        let layout = layout(&[1, 2, 3]);
        assert_eq!(run(&layout, &[0, 2, 0, 0, 3, 0]), Some(1));
        assert_eq!(run(&layout, &[0, 0]), None);
    }

    #[test]
    fn a_fragment_ends_when_it_is_full_or_when_a_path_says_so() {
        let packing = Packing::new(4096);
        assert!(!packing.ends(0, 4096, true));
        assert!(!packing.ends(4000, 96, false));
        assert!(packing.ends(4000, 97, false));
        assert!(!packing.ends(1535, 1, true));
        assert!(packing.ends(1536, 1, true));
    }
}

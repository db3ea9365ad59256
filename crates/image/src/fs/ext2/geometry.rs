//! Where the tables of an ext2 volume are, and which blocks are left.

use super::BLOCK;

/// Blocks described by one bitmap.
pub(super) const GROUP: u64 = 32_768;
/// Bytes of an inode.
pub(super) const INODE: u64 = 128;
/// Inodes in a block.
const PER_BLOCK: u64 = BLOCK / INODE;
/// Blocks of a last group that are worth its tables; the same number as mke2fs has.
const LAST_GROUP: u64 = 50;

/// The shape of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Geometry {
    pub(super) blocks: u64,
    pub(super) groups: u64,
    /// Inodes of a group; they fill whole blocks.
    pub(super) inodes_per_group: u64,
}

impl Geometry {
    /// The shape of a volume of `size` bytes with at least `inodes` inodes, if there is one.
    pub(super) fn of(size: u64, inodes: u64) -> Option<Self> {
        let mut blocks = size / BLOCK;
        loop {
            let groups = blocks.div_ceil(GROUP);
            let inodes_per_group = inodes.div_ceil(groups.max(1)).next_multiple_of(PER_BLOCK);
            if blocks == 0 || inodes_per_group > GROUP || blocks > u32::MAX.into() {
                return None;
            }
            let geometry = Self { blocks, groups, inodes_per_group };
            let rest = blocks - (groups - 1) * GROUP;
            let tables = geometry.tables(groups - 1);
            match (groups, rest.checked_sub(tables)) {
                (1, None) => return None,
                (1, Some(_)) => return Some(geometry),
                (_, Some(left)) if left >= LAST_GROUP => return Some(geometry),
                _ => blocks -= rest,
            }
        }
    }

    /// Blocks of the group descriptors.
    pub(super) const fn descriptors(&self) -> u64 {
        (self.groups * 32).div_ceil(BLOCK)
    }

    /// Whether a group begins with a copy of the superblock: 0, 1 and the powers of 3, 5 and 7.
    pub(super) fn has_super(group: u64) -> bool {
        let power_of = |base: u64| {
            std::iter::successors(Some(base), |n| Some(n * base))
                .take_while(|n| *n <= group)
                .any(|n| n == group)
        };
        group <= 1 || [3, 5, 7].into_iter().any(power_of)
    }

    /// Where the bitmaps of a group are, relative to its start; the inode table follows them.
    pub(super) fn bitmaps(&self, group: u64) -> u64 {
        if Self::has_super(group) { 1 + self.descriptors() } else { 0 }
    }

    /// Blocks of the inode table of a group.
    pub(super) const fn inode_blocks(&self) -> u64 {
        self.inodes_per_group / PER_BLOCK
    }

    /// Blocks at the start of a group that hold no content.
    pub(super) fn tables(&self, group: u64) -> u64 {
        self.bitmaps(group) + 2 + self.inode_blocks()
    }

    /// Blocks of a group.
    pub(super) fn group_blocks(&self, group: u64) -> u64 {
        (self.blocks - group * GROUP).min(GROUP)
    }

    /// Blocks that hold no content.
    pub(super) fn overhead(&self) -> u64 {
        (0..self.groups).map(|group| self.tables(group)).sum()
    }

    /// Blocks that can hold some.
    pub(super) fn capacity(&self) -> u64 {
        self.blocks - self.overhead()
    }
}

/// Gives out blocks, ascending, around the tables of the groups.
pub(super) struct Allocator<'a> {
    geometry: &'a Geometry,
    next: u64,
}

impl<'a> Allocator<'a> {
    pub(super) fn new(geometry: &'a Geometry) -> Self {
        Self { geometry, next: geometry.tables(0) }
    }

    /// The next block. Whoever asks has compared what is needed with [`Geometry::capacity`].
    pub(super) fn one(&mut self) -> u64 {
        if self.next.is_multiple_of(GROUP) {
            self.next += self.geometry.tables(self.next / GROUP);
        }
        let block = self.next;
        assert!(block < self.geometry.blocks, "the capacity was compared with what is needed");
        self.next += 1;
        block
    }

    /// Blocks in use at the start of a group.
    pub(super) fn used(&self, group: u64) -> u64 {
        let given = self.next.saturating_sub(group * GROUP);
        given.min(self.geometry.group_blocks(group)).max(self.geometry.tables(group))
    }
}

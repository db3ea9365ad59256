//! Inodes, the maps from a file's blocks to the volume's, and directories.

use std::collections::{BTreeMap, HashMap};

use bootway_plan::TreePath;

use super::{
    BLOCK, Ext2Problem, LOST_FOUND, ROOT,
    geometry::{Allocator, INODE},
};
use crate::{Node, NodeKind, Tree};

/// The longest target that is in the inode itself.
pub(super) const FAST_SYMLINK: usize = 59;
/// Blocks that an inode names itself.
const DIRECT: u64 = 12;
/// Block numbers in a block.
const PER_MAP: u64 = BLOCK / 4;

/// An inode, but for its number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Inode {
    mode: u16,
    uid: u32,
    gid: u32,
    pub(super) size: u64,
    time: u32,
    pub(super) links: u32,
    /// In units of 512 bytes, maps and attributes counted.
    sectors: u32,
    block: [u32; 15],
    attributes: u32,
}

/// The type bits of a mode, and what a directory says of such a file.
const fn kind(kind: &NodeKind) -> (u16, u8) {
    match kind {
        NodeKind::Directory => (0o040_000, 2),
        NodeKind::File(_) | NodeKind::HardLink { .. } => (0o100_000, 1),
        NodeKind::Symlink { .. } => (0o120_000, 7),
        NodeKind::CharDevice { .. } => (0o020_000, 3),
        NodeKind::BlockDevice { .. } => (0o060_000, 4),
        NodeKind::Fifo => (0o010_000, 5),
        NodeKind::Socket => (0o140_000, 6),
    }
}

impl Inode {
    pub(super) fn of(node: &Node, epoch: u64) -> Self {
        let (bits, _) = kind(&node.kind);
        let mode = if matches!(node.kind, NodeKind::Symlink { .. }) { 0o777 } else { node.mode & 0o7777 };
        let time = epoch.min(i32::MAX as u64) as u32; // The last second it can say.
        Self { mode: bits | mode, uid: node.uid, gid: node.gid, time, links: 1, ..Self::default() }
    }

    pub(super) fn lost_found(epoch: u64) -> Self {
        let node = Node { mode: 0o700, uid: 0, gid: 0, xattrs: BTreeMap::new(), kind: NodeKind::Directory };
        Self { links: 2, size: super::LOST_FOUND_BLOCKS * BLOCK, ..Self::of(&node, epoch) }
    }

    pub(super) const fn is_directory(&self) -> bool {
        self.mode & 0o170_000 == 0o040_000
    }

    pub(super) fn map(&mut self, mapped: &Mapped) {
        self.block = mapped.block;
        self.sectors += (mapped.total * BLOCK / 512) as u32;
    }

    pub(super) fn attributes(&mut self, block: u64) {
        self.attributes = block as u32;
        self.sectors += (BLOCK / 512) as u32;
    }

    pub(super) fn device(&mut self, major: u32, minor: u32) {
        if major < 256 && minor < 256 {
            self.block[0] = major << 8 | minor;
        } else {
            self.block[1] = minor & 0xFF | major << 8 | (minor & !0xFF) << 12;
        }
    }

    pub(super) fn fast_symlink(&mut self, target: &str) {
        self.size = target.len() as u64;
        let mut bytes = [0; 60];
        bytes[..target.len()].copy_from_slice(target.as_bytes());
        for (slot, four) in self.block.iter_mut().zip(bytes.as_chunks::<4>().0) {
            *slot = u32::from_le_bytes(*four);
        }
    }

    pub(super) fn encode(&self) -> [u8; INODE as usize] {
        let mut bytes = [0; INODE as usize];
        let mut put = |at: usize, it: &[u8]| bytes[at..at + it.len()].copy_from_slice(it);
        put(0, &self.mode.to_le_bytes());
        put(2, &(self.uid as u16).to_le_bytes());
        put(4, &(self.size as u32).to_le_bytes());
        for at in [8, 12, 16] {
            put(at, &self.time.to_le_bytes());
        }
        put(24, &(self.gid as u16).to_le_bytes());
        put(26, &(self.links as u16).to_le_bytes());
        put(28, &self.sectors.to_le_bytes());
        for (n, block) in self.block.iter().enumerate() {
            put(40 + 4 * n, &block.to_le_bytes());
        }
        put(104, &self.attributes.to_le_bytes());
        if !self.is_directory() {
            put(108, &((self.size >> 32) as u32).to_le_bytes());
        }
        put(120, &((self.uid >> 16) as u16).to_le_bytes());
        put(122, &((self.gid >> 16) as u16).to_le_bytes());
        bytes
    }
}

/// Blocks that `content` blocks take with the maps that lead to them.
pub(super) const fn with_maps(content: u64) -> u64 {
    let mut maps = 0;
    let mut left = content.saturating_sub(DIRECT);
    let mut span = PER_MAP;
    while left > 0 {
        let here = if left < span { left } else { span };
        let mut level = here;
        let mut width = span;
        while width > 1 {
            level = level.div_ceil(PER_MAP);
            maps += level;
            width /= PER_MAP;
        }
        left -= here;
        span *= PER_MAP;
    }
    content + maps
}

/// The blocks of a file.
pub(super) struct Mapped {
    /// What the inode names.
    block: [u32; 15],
    /// Its content, in order.
    pub(super) data: Vec<u64>,
    /// The maps: where and what.
    pub(super) maps: Vec<(u64, Vec<u8>)>,
    /// How many there are of both.
    total: u64,
}

impl Mapped {
    /// Takes the blocks for `count` blocks of content.
    pub(super) fn take(allocator: &mut Allocator<'_>, count: u64) -> Self {
        let mut it =
            Self { block: [0; 15], data: Vec::with_capacity(count as usize), maps: Vec::new(), total: 0 };
        for slot in 0..15_u32 {
            let left = count - it.data.len() as u64;
            if left == 0 {
                break;
            }
            let level = slot.saturating_sub(DIRECT as u32 - 1);
            it.block[slot as usize] = it.below(allocator, level, count) as u32;
        }
        it.total = (it.data.len() + it.maps.len()) as u64;
        it
    }

    /// A block of content at level 0, else a map of blocks of the level below.
    fn below(&mut self, allocator: &mut Allocator<'_>, level: u32, count: u64) -> u64 {
        let block = allocator.one();
        if level == 0 {
            self.data.push(block);
            return block;
        }
        let mut bytes = vec![0; BLOCK as usize];
        for slot in bytes.as_chunks_mut::<4>().0 {
            if self.data.len() as u64 == count {
                break;
            }
            *slot = (self.below(allocator, level - 1, count) as u32).to_le_bytes();
        }
        self.maps.push((block * BLOCK, bytes));
        block
    }

    /// Where `size` bytes go: offset and length of each piece.
    pub(super) fn extents(&self, size: u64) -> Vec<(u64, u64)> {
        let mut extents: Vec<(u64, u64)> = Vec::new();
        for block in &self.data {
            match extents.last_mut() {
                Some((offset, len)) if *offset + *len == block * BLOCK => *len += BLOCK,
                _ => extents.push((block * BLOCK, BLOCK)),
            }
        }
        if let Some((_, len)) = extents.last_mut() {
            *len -= self.data.len() as u64 * BLOCK - size;
        }
        extents
    }
}

/// A directory and the names in it.
pub(super) struct Directory<'a> {
    pub(super) path: TreePath,
    names: Vec<(&'a TreePath, &'a Node)>,
    pub(super) subdirectories: u32,
}

/// Every directory of `tree`, in its order.
pub(super) fn directories(tree: &Tree) -> Result<Vec<Directory<'_>>, Ext2Problem> {
    let mut index: HashMap<TreePath, usize> = HashMap::new();
    let mut directories: Vec<Directory<'_>> = Vec::new();
    for (path, node) in &tree.nodes {
        let bytes = path.name().len();
        if bytes > 255 {
            return Err(Ext2Problem::Name { path: path.clone(), bytes });
        }
        let is_lost_found = path.as_str() == "lost+found" && node.kind == NodeKind::Directory;
        if is_lost_found {
            continue; // It is there already, and named by the root.
        }
        if let Some(parent) = path.parent().and_then(|parent| index.get(&parent)) {
            directories[*parent].names.push((path, node));
            directories[*parent].subdirectories += u32::from(node.kind == NodeKind::Directory);
        }
        if node.kind == NodeKind::Directory {
            index.insert(path.clone(), directories.len());
            directories.push(Directory { path: path.clone(), names: Vec::new(), subdirectories: 0 });
        }
    }
    Ok(directories)
}

/// Bytes of an entry.
const fn record(name: usize) -> usize {
    (8 + name).next_multiple_of(4)
}

impl Directory<'_> {
    fn records(&self) -> impl Iterator<Item = usize> {
        let lost_found = self.path.is_root().then_some(record("lost+found".len()));
        let own = [record(1), record(2)].into_iter().chain(lost_found);
        own.chain(self.names.iter().map(|(path, _)| record(path.name().len())))
    }

    /// Blocks that it takes.
    pub(super) fn blocks(&self) -> u64 {
        let mut blocks = 1;
        let mut filled = 0;
        for record in self.records() {
            if filled + record > BLOCK as usize {
                blocks += 1;
                filled = 0;
            }
            filled += record;
        }
        blocks
    }

    pub(super) fn render(
        &self,
        number: u32,
        parent: u32,
        _: &Tree,
        numbers: &HashMap<TreePath, u32>,
    ) -> Vec<Vec<u8>> {
        let mut names: Vec<(&str, u32, u8)> = vec![(".", number, 2), ("..", parent, 2)];
        if self.path.is_root() {
            names.push(("lost+found", LOST_FOUND, 2));
        }
        names.extend(self.names.iter().map(|(path, node)| (path.name(), numbers[*path], kind(&node.kind).1)));
        pack(&names)
    }
}

/// The blocks of the directory for what was lost.
pub(super) fn lost_found_blocks() -> Vec<Vec<u8>> {
    let mut blocks = pack(&[(".", LOST_FOUND, 2), ("..", ROOT, 2)]);
    let mut empty = vec![0; BLOCK as usize];
    empty[4..6].copy_from_slice(&(BLOCK as u16).to_le_bytes());
    blocks.resize(super::LOST_FOUND_BLOCKS as usize, empty);
    blocks
}

/// Entries in blocks; the last of each block reaches to its end.
fn pack(names: &[(&str, u32, u8)]) -> Vec<Vec<u8>> {
    let mut blocks = vec![vec![0; BLOCK as usize]];
    let (mut filled, mut last) = (0, 0);
    for (name, number, kind) in names {
        let length = record(name.len());
        if filled + length > BLOCK as usize {
            blocks.push(vec![0; BLOCK as usize]);
            filled = 0;
        }
        let block = blocks.last_mut().expect("there is one from the start");
        if filled > 0 {
            block[last + 4..last + 6].copy_from_slice(&((filled - last) as u16).to_le_bytes());
        }
        block[filled..filled + 4].copy_from_slice(&number.to_le_bytes());
        block[filled + 4..filled + 6].copy_from_slice(&((BLOCK as usize - filled) as u16).to_le_bytes());
        block[filled + 6] = name.len() as u8;
        block[filled + 7] = *kind;
        block[filled + 8..filled + 8 + name.len()].copy_from_slice(name.as_bytes());
        last = filled;
        filled += length;
    }
    blocks
}

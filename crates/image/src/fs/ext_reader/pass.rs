//! One pass over a file system: what it has seen, and what it may still take.

use std::collections::{HashMap, HashSet};

use bootway_exec::Cancel;
use mkext4::csum;

use super::{
    error::{ExtError, Structure},
    features,
    inode::Inode,
    superblock::Super,
    window::{Window, le16, le32},
};

/// How much of an inode table is read at once.
const CHUNK: u64 = 64 << 10;

/// Reads inodes and blocks. Each block of metadata is taken once, so that no image makes more of itself than it is.
pub(super) struct Pass<'a> {
    pub(super) window: &'a Window,
    pub(super) sup: &'a Super,
    pub(super) cancel: &'a Cancel,
    /// Where the inodes of a group begin.
    tables: HashMap<u32, u64>,
    chunk: Vec<u8>,
    chunk_at: u64,
    /// Blocks of metadata that were taken.
    taken: HashSet<u64>,
    /// Blocks of contents that files have.
    mapped: u64,
}

impl<'a> Pass<'a> {
    pub(super) fn new(window: &'a Window, sup: &'a Super, cancel: &'a Cancel) -> Self {
        Self {
            window,
            sup,
            cancel,
            tables: HashMap::new(),
            chunk: Vec::new(),
            chunk_at: 0,
            taken: HashSet::new(),
            mapped: 0,
        }
    }

    pub(super) fn check_cancel(&self) -> Result<(), ExtError> {
        if self.cancel.is_cancelled() { Err(ExtError::Cancelled) } else { Ok(()) }
    }

    /// Where a block begins.
    pub(super) const fn offset(&self, block: u64) -> u64 {
        block * self.sup.block_size
    }

    /// Whether the file system has these blocks, and keeps none of its own there.
    pub(super) const fn has(&self, block: u64, count: u64) -> bool {
        block > self.sup.first_block && block < self.sup.blocks && count <= self.sup.blocks - block
    }

    /// A block of metadata, which nothing has taken before.
    pub(super) fn block(&mut self, block: u64, structure: Structure) -> Result<Vec<u8>, ExtError> {
        if !self.taken.insert(block) {
            return Err(ExtError::Damaged {
                structure,
                offset: self.window.absolute(self.offset(block)),
                problem: format!("block {block} is used twice"),
            });
        }
        self.peek(block, structure)
    }

    /// A block that others may have too.
    pub(super) fn peek(&self, block: u64, structure: Structure) -> Result<Vec<u8>, ExtError> {
        let mut bytes = vec![0; self.sup.block_size as usize];
        self.window.read(self.offset(block), &mut bytes, structure)?;
        Ok(bytes)
    }

    /// Notes that a file has `count` blocks more.
    pub(super) fn map(&mut self, count: u64, structure: Structure, offset: u64) -> Result<(), ExtError> {
        self.mapped = self.mapped.saturating_add(count);
        if self.mapped > self.sup.blocks && !self.sup.features.has(features::SHARED_BLOCKS) {
            return Err(ExtError::Damaged {
                structure,
                offset: self.window.absolute(offset),
                problem: format!(
                    "with it, files have more than the {} blocks of the file system",
                    self.sup.blocks
                ),
            });
        }
        Ok(())
    }

    /// The inode of this number, which something in use names.
    pub(super) fn inode(&mut self, number: u32) -> Result<Inode, ExtError> {
        let index = number - 1;
        let group = index / self.sup.inodes_per_group;
        let table = if let Some(table) = self.tables.get(&group) {
            *table
        } else {
            let table = self.table(group)?;
            self.tables.insert(group, table);
            table
        };
        let size = self.sup.inode_size;
        let at = table + u64::from(index % self.sup.inodes_per_group) * size;
        let cached = self.chunk_at..self.chunk_at + self.chunk.len() as u64;
        if !(cached.contains(&at) && cached.end - at >= size) {
            self.check_cancel()?;
            self.chunk_at = at - at % CHUNK;
            let len =
                CHUNK.min(self.window.len().saturating_sub(self.chunk_at)).max(at - self.chunk_at + size);
            self.chunk.resize(len as usize, 0);
            self.window.read(self.chunk_at, &mut self.chunk, Structure::Inode(number))?;
        }
        let raw = &self.chunk[(at - self.chunk_at) as usize..][..size as usize];
        Inode::parse(self.sup, self.window, number, at, raw)
    }

    /// Where the inodes of `group` begin, from its descriptor.
    fn table(&self, group: u32) -> Result<u64, ExtError> {
        let sup = self.sup;
        let structure = Structure::Group(group);
        let per_block = sup.block_size / sup.descriptor_size;
        let (index, rest) = (u64::from(group) / per_block, u64::from(group) % per_block);
        let at = self.offset(self.descriptors(index)) + rest * sup.descriptor_size;
        let mut raw = vec![0; sup.descriptor_size as usize];
        self.window.read(at, &mut raw, structure)?;
        self.check_descriptor(group, at, &raw)?;
        let high = if raw.len() >= 64 { u64::from(le32(&raw, 0x28)) << 32 } else { 0 };
        let table = u64::from(le32(&raw, 8)) | high;
        let blocks = (u64::from(sup.inodes_per_group) * sup.inode_size).div_ceil(sup.block_size);
        if self.has(table, blocks) {
            return Ok(self.offset(table));
        }
        Err(ExtError::Field {
            structure,
            offset: self.window.absolute(at + 8),
            field: "bg_inode_table",
            value: table,
            wanted: format!("the first of {blocks} blocks before block {}", sup.blocks),
        })
    }

    /// The block with the descriptors of the group `index` times as many as fit into one.
    fn descriptors(&self, index: u64) -> u64 {
        let sup = self.sup;
        let in_block = 1024 / sup.block_size;
        if !sup.features.has(features::META_BG) || index < sup.first_meta_group {
            return in_block + 1 + index;
        }
        let group = index * (sup.block_size / sup.descriptor_size);
        let first = sup.first_block + group * sup.blocks_per_group;
        let odd = u64::from(index == 0 && sup.block_size == 1024 && sup.first_block == 0);
        first + u64::from(self.has_superblock(group)) + odd
    }

    /// Whether `group` begins with a copy of the superblock.
    fn has_superblock(&self, group: u64) -> bool {
        let features = self.sup.features;
        if group == 0 {
            return true;
        }
        if features.has(features::SPARSE_SUPER2) {
            return self.sup.backup_groups.iter().any(|backup| u64::from(*backup) == group);
        }
        let power = |of: u64| {
            let mut power = of;
            while power < group {
                power *= of;
            }
            power == group
        };
        group == 1 || !features.has(features::SPARSE_SUPER) || [3, 5, 7].into_iter().any(power)
    }

    fn check_descriptor(&self, group: u32, at: u64, raw: &[u8]) -> Result<(), ExtError> {
        let stored = le16(raw, 0x1e);
        let rest = raw.get(0x20..).unwrap_or_default();
        let computed = if self.sup.features.has(features::METADATA_CSUM) {
            let sum = csum::crc32c_raw(self.sup.seed, &group.to_le_bytes());
            csum::crc32c_raw(csum::crc32c_raw(csum::crc32c_raw(sum, &raw[..0x1e]), &[0; 2]), rest)
        } else if self.sup.features.has(features::GDT_CSUM) {
            let sum = crc16(!0, &self.sup.uuid);
            crc16(crc16(crc16(sum, &group.to_le_bytes()), &raw[..0x1e]), rest).into()
        } else {
            return Ok(());
        } as u16;
        if stored == computed {
            return Ok(());
        }
        Err(ExtError::Checksum {
            structure: Structure::Group(group),
            offset: self.window.absolute(at),
            stored: stored.into(),
            computed: computed.into(),
        })
    }
}

/// CRC-16 with the reflected polynomial 0xa001, as Linux `lib/crc16.c` has it.
fn crc16(seed: u16, bytes: &[u8]) -> u16 {
    bytes.iter().fold(seed, |sum, byte| {
        (0..8).fold(sum ^ u16::from(*byte), |sum, _| if sum & 1 == 0 { sum >> 1 } else { sum >> 1 ^ 0xa001 })
    })
}

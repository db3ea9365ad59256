//! What a file system says about itself, checked so that everything else can rely on it.

use mkext4::csum;
use serde::Serialize;

use super::{
    error::{ExtError, Structure},
    features::{self, Features},
    window::{Window, le16, le32},
};

/// Where it is, and how long.
const AT: u64 = 1024;
const SIZE: usize = 1024;
/// The byte that ChromeOS sets to 0xff, so that the kernel does not mount its root file system for writing.
const READ_ONLY_BYTE: usize = 0x67;

/// What an ext file system says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ExtFacts {
    /// `ext2`, `ext3` or `ext4`, by its features.
    pub name: &'static str,
    /// Its label; empty if it has none.
    pub label: String,
    /// With hyphens.
    pub uuid: String,
    /// Bytes of a block.
    pub block_size: u64,
    /// Bytes of all blocks.
    pub size: u64,
    /// Bytes of free blocks, as the superblock counts them.
    pub free: u64,
    /// How many files it can hold.
    pub inodes: u64,
    /// Bytes of an inode.
    pub inode_size: u64,
    /// What it needs and uses, by the names of `mke2fs`; what has no name here is `FEATURE_C3`, `FEATURE_I17` or
    /// `FEATURE_R20`, as `dumpe2fs` writes it.
    pub features: Vec<String>,
    /// Whether the highest byte of its read-only features is 0xff, which is how `ChromeOS` keeps a kernel from mounting
    /// it for writing. It is read as if it were not.
    pub read_only_bit: bool,
    /// Whether its journal has something that is not in its place yet. It is read as it is, without that.
    pub needs_recovery: bool,
    /// Whether its last user unmounted it, and no errors were noted.
    pub clean: bool,
}

/// The superblock, as reading needs it.
#[derive(Debug)]
pub(super) struct Super {
    pub(super) facts: ExtFacts,
    pub(super) features: Features,
    pub(super) block_size: u64,
    pub(super) blocks: u64,
    pub(super) first_block: u64,
    pub(super) blocks_per_group: u64,
    pub(super) inodes: u32,
    pub(super) inodes_per_group: u32,
    pub(super) inode_size: u64,
    pub(super) first_inode: u32,
    pub(super) descriptor_size: u64,
    pub(super) first_meta_group: u64,
    pub(super) backup_groups: [u32; 2],
    pub(super) uuid: [u8; 16],
    /// What checksums of metadata begin with.
    pub(super) seed: u32,
}

/// Reads and checks the superblock of the file system in `window`.
pub(super) fn read(window: &Window) -> Result<Super, ExtError> {
    let mut raw = [0; SIZE];
    window.read(AT, &mut raw, Structure::Superblock)?;
    if le16(&raw, 56) != 0xef53 {
        return Err(ExtError::NotExt { offset: window.absolute(AT + 56), found: le16(&raw, 56) });
    }
    let features = Features::of(&raw);
    let unknown = features.unreadable();
    if !unknown.is_empty() {
        return Err(ExtError::Features { offset: window.absolute(AT + 96), features: unknown });
    }
    if features.has(features::METADATA_CSUM) {
        check_sum(window, &raw)?;
    }
    parse(window, &raw, features)
}

/// The checksum. Who sets [`READ_ONLY_BYTE`] may have left it as it was.
fn check_sum(window: &Window, raw: &[u8; SIZE]) -> Result<(), ExtError> {
    let stored = le32(raw, 0x3fc);
    let computed = csum::superblock(raw);
    let mut without = *raw;
    if raw[READ_ONLY_BYTE] == 0xff {
        without[READ_ONLY_BYTE] = 0;
    }
    if stored == computed || stored == csum::superblock(&without) {
        return Ok(());
    }
    let offset = window.absolute(AT);
    Err(ExtError::Checksum { structure: Structure::Superblock, offset, stored, computed })
}

fn parse(window: &Window, bytes: &[u8; SIZE], features: Features) -> Result<Super, ExtError> {
    let raw = Raw { window, bytes, features: &features };
    let blocks = raw.blocks()?;
    let inodes = raw.inodes(&blocks)?;
    let descriptor_size = raw.descriptor_size()?;
    let (uuid, seed) = raw.seed()?;
    Ok(Super {
        facts: raw.facts(&blocks, &inodes, &uuid),
        block_size: blocks.size,
        blocks: blocks.count,
        first_block: blocks.first,
        blocks_per_group: blocks.per_group,
        inodes: inodes.count,
        inodes_per_group: inodes.per_group,
        inode_size: inodes.size,
        first_inode: inodes.first,
        descriptor_size,
        first_meta_group: le32(bytes, 0x104).into(),
        backup_groups: [le32(bytes, 0x24c), le32(bytes, 0x250)],
        uuid,
        seed,
        features,
    })
}

/// A superblock that is being looked at.
struct Raw<'a> {
    window: &'a Window,
    bytes: &'a [u8; SIZE],
    features: &'a Features,
}

/// Blocks, and the groups that they are in.
struct Blocks {
    size: u64,
    count: u64,
    first: u64,
    per_group: u64,
    groups: u64,
}

/// Inodes, in the same groups.
struct Inodes {
    count: u32,
    per_group: u32,
    size: u64,
    first: u32,
}

impl Raw<'_> {
    fn check(
        &self,
        good: bool,
        at: u64,
        field: &'static str,
        value: u64,
        wanted: &str,
    ) -> Result<(), ExtError> {
        if good {
            return Ok(());
        }
        let (structure, offset) = (Structure::Superblock, self.window.absolute(AT + at));
        Err(ExtError::Field { structure, offset, field, value, wanted: wanted.to_owned() })
    }

    /// The upper half of a number, where the file system has one.
    fn high(&self, at: usize) -> u64 {
        if self.features.has(features::BIT64) { u64::from(le32(self.bytes, at)) << 32 } else { 0 }
    }

    fn blocks(&self) -> Result<Blocks, ExtError> {
        let raw = self.bytes;
        let log: u64 = le32(raw, 24).into();
        self.check(log <= 6, 24, "s_log_block_size", log, "at most 6, for 64 KiB")?;
        let size = 1024_u64 << log;
        let count = u64::from(le32(raw, 4)) | self.high(0x150);
        self.whole(count, size)?;
        let bigalloc = self.features.has(features::BIGALLOC);
        let first: u64 = le32(raw, 20).into();
        let wanted = u64::from(size == 1024 && !bigalloc);
        let wanted_text = format!("{wanted} for this block size");
        self.check(first == wanted, 20, "s_first_data_block", first, &wanted_text)?;
        let most = "more than the blocks before the first group";
        self.check(count > first, 4, "s_blocks_count", count, most)?;
        let bits = 8 * size;
        let per_group: u64 = le32(raw, 32).into();
        if bigalloc {
            self.clusters(log, bits, per_group)?;
        }
        let fits = (8..=if bigalloc { u64::MAX } else { bits }).contains(&per_group);
        self.check(fits, 32, "s_blocks_per_group", per_group, &format!("8 to {bits}"))?;
        let groups = (count - first).div_ceil(per_group);
        let fits = u32::try_from(groups).is_ok();
        self.check(fits, 32, "s_blocks_per_group", per_group, "enough for fewer than 2^32 groups")?;
        Ok(Blocks { size, count, first, per_group, groups })
    }

    /// All `count` blocks of `size` bytes are in the image.
    fn whole(&self, count: u64, size: u64) -> Result<(), ExtError> {
        let (window, size) = (self.window, count.saturating_mul(size));
        if size <= window.len() {
            return Ok(());
        }
        let (start, image_end) = (window.absolute(0), window.absolute(window.len()));
        let end = start.saturating_add(size);
        let problem = format!(
            "`s_blocks_count` is {count}, so the file system is bytes {start} to {end}, and the image ends at \
             {image_end}: it is cut"
        );
        Err(ExtError::Damaged { structure: Structure::Superblock, offset: window.absolute(AT + 4), problem })
    }

    /// A group has as many clusters as its `per_group` blocks are, of 2 to the power of `log` KiB each.
    fn clusters(&self, log: u64, bits: u64, per_group: u64) -> Result<(), ExtError> {
        let clusters: u64 = le32(self.bytes, 36).into();
        let ratio: u64 = le32(self.bytes, 28).into();
        let fits = (log..=20).contains(&ratio);
        self.check(fits, 28, "s_log_cluster_size", ratio, "a cluster of a block to 1 GiB")?;
        let fits = (1..=bits).contains(&clusters) && clusters << (ratio - log) == per_group;
        self.check(fits, 36, "s_clusters_per_group", clusters, "as many as the blocks of a group")
    }

    fn inodes(&self, blocks: &Blocks) -> Result<Inodes, ExtError> {
        let (raw, bits, groups) = (self.bytes, 8 * blocks.size, blocks.groups);
        let per_group = le32(raw, 40);
        let fits = (1..=bits).contains(&per_group.into());
        self.check(fits, 40, "s_inodes_per_group", per_group.into(), &format!("1 to {bits}"))?;
        let count = le32(raw, 0);
        let wanted = groups * u64::from(per_group);
        let wanted_text = format!("{wanted} for {groups} groups");
        self.check(u64::from(count) == wanted, 0, "s_inodes_count", count.into(), &wanted_text)?;
        let revision = le32(raw, 76);
        self.check(revision <= 1, 76, "s_rev_level", revision.into(), "0 or 1")?;
        let (size, first) = if revision == 0 { (128, 11) } else { (u64::from(le16(raw, 88)), le32(raw, 84)) };
        let fits = size.is_power_of_two() && (128..=blocks.size).contains(&size);
        self.check(fits, 88, "s_inode_size", size, "a power of two from 128 to a block")?;
        let fits = (11..=count.max(11)).contains(&first);
        self.check(fits, 84, "s_first_ino", first.into(), "11 or more")?;
        Ok(Inodes { count, per_group, size, first })
    }

    fn descriptor_size(&self) -> Result<u64, ExtError> {
        if !self.features.has(features::BIT64) {
            return Ok(32);
        }
        let size = u64::from(le16(self.bytes, 0xfe));
        let fits = size.is_power_of_two() && (64..=1024).contains(&size);
        self.check(fits, 0xfe, "s_desc_size", size, "a power of two from 64 to 1024")?;
        Ok(size)
    }

    /// The UUID, and what checksums begin with.
    fn seed(&self) -> Result<([u8; 16], u32), ExtError> {
        let kind = self.bytes[0x175];
        let fits = !self.features.has(features::METADATA_CSUM) || kind == 1;
        self.check(fits, 0x175, "s_checksum_type", kind.into(), "1, for CRC-32C")?;
        let uuid: [u8; 16] = std::array::from_fn(|at| self.bytes[104 + at]);
        let stored = self.features.has(features::CSUM_SEED);
        Ok((uuid, if stored { le32(self.bytes, 0x270) } else { csum::fs_seed(&uuid) }))
    }

    fn facts(&self, blocks: &Blocks, inodes: &Inodes, uuid: &[u8; 16]) -> ExtFacts {
        let raw = self.bytes;
        ExtFacts {
            name: self.features.kind(),
            label: label(&raw[120..136]),
            uuid: uuid::Uuid::from_bytes(*uuid).to_string(),
            block_size: blocks.size,
            size: blocks.count.saturating_mul(blocks.size),
            free: (u64::from(le32(raw, 12)) | self.high(0x158)).saturating_mul(blocks.size),
            inodes: inodes.count.into(),
            inode_size: inodes.size,
            features: self.features.names(),
            read_only_bit: raw[READ_ONLY_BYTE] == 0xff,
            needs_recovery: self.features.has(features::RECOVER),
            clean: le16(raw, 58) & 3 == 1,
        }
    }
}

fn label(raw: &[u8]) -> String {
    let end = raw.iter().position(|byte| *byte == 0).unwrap_or(raw.len());
    String::from_utf8_lossy(&raw[..end]).into_owned()
}

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

fn parse(window: &Window, raw: &[u8; SIZE], features: Features) -> Result<Super, ExtError> {
    let wrong = |at: u64, field, value: u64, wanted: &str| ExtError::Field {
        structure: Structure::Superblock,
        offset: window.absolute(AT + at),
        field,
        value,
        wanted: wanted.to_owned(),
    };
    let check = |good: bool, at, field, value: u64, wanted: &str| {
        if good { Ok(()) } else { Err(wrong(at, field, value, wanted)) }
    };
    let log: u64 = le32(raw, 24).into();
    check(log <= 6, 24, "s_log_block_size", log, "at most 6, for 64 KiB")?;
    let block_size = 1024_u64 << log;
    let is_64bit = features.has(features::BIT64);
    let high = |at| if is_64bit { u64::from(le32(raw, at)) << 32 } else { 0 };
    let blocks = u64::from(le32(raw, 4)) | high(0x150);
    let size = blocks.saturating_mul(block_size);
    if size > window.len() {
        let (offset, end) = (window.absolute(0), window.absolute(0).saturating_add(size));
        let structure = Structure::Superblock;
        let problem = format!(
            "`s_blocks_count` is {blocks}, so the file system is bytes {offset} to {end}, and the image ends at {}: \
             it is cut",
            window.absolute(window.len())
        );
        return Err(ExtError::Damaged { structure, offset: window.absolute(AT + 4), problem });
    }
    let bigalloc = features.has(features::BIGALLOC);
    let first_block: u64 = le32(raw, 20).into();
    let wanted = u64::from(block_size == 1024 && !bigalloc);
    check(
        first_block == wanted,
        20,
        "s_first_data_block",
        first_block,
        &format!("{wanted} for this block size"),
    )?;
    check(blocks > first_block, 4, "s_blocks_count", blocks, "more than the blocks before the first group")?;
    let bits = 8 * block_size;
    let blocks_per_group: u64 = le32(raw, 32).into();
    let clusters_per_group: u64 = le32(raw, 36).into();
    let ratio: u64 = le32(raw, 28).into();
    if bigalloc {
        check(ratio >= log && ratio <= 20, 28, "s_log_cluster_size", ratio, "a cluster of a block to 1 GiB")?;
        let fits = (1..=bits).contains(&clusters_per_group)
            && clusters_per_group << (ratio - log) == blocks_per_group;
        check(fits, 36, "s_clusters_per_group", clusters_per_group, "as many as the blocks of a group")?;
    }
    let fits = (8..=if bigalloc { u64::MAX } else { bits }).contains(&blocks_per_group);
    check(fits, 32, "s_blocks_per_group", blocks_per_group, &format!("8 to {bits}"))?;
    let groups = (blocks - first_block).div_ceil(blocks_per_group);
    check(
        u32::try_from(groups).is_ok(),
        32,
        "s_blocks_per_group",
        blocks_per_group,
        "enough for fewer than 2^32 groups",
    )?;
    let inodes_per_group = le32(raw, 40);
    let fits = (1..=bits).contains(&inodes_per_group.into());
    check(fits, 40, "s_inodes_per_group", inodes_per_group.into(), &format!("1 to {bits}"))?;
    let inodes = le32(raw, 0);
    let wanted = groups * u64::from(inodes_per_group);
    check(
        u64::from(inodes) == wanted,
        0,
        "s_inodes_count",
        inodes.into(),
        &format!("{wanted} for {groups} groups"),
    )?;
    let revision = le32(raw, 76);
    check(revision <= 1, 76, "s_rev_level", revision.into(), "0 or 1")?;
    let (inode_size, first_inode) =
        if revision == 0 { (128, 11) } else { (u64::from(le16(raw, 88)), le32(raw, 84)) };
    let fits = inode_size.is_power_of_two() && (128..=block_size).contains(&inode_size);
    check(fits, 88, "s_inode_size", inode_size, "a power of two from 128 to a block")?;
    check((11..=inodes.max(11)).contains(&first_inode), 84, "s_first_ino", first_inode.into(), "11 or more")?;
    let descriptor_size = if is_64bit { u64::from(le16(raw, 0xfe)) } else { 32 };
    let fits = !is_64bit || (descriptor_size.is_power_of_two() && (64..=1024).contains(&descriptor_size));
    check(fits, 0xfe, "s_desc_size", descriptor_size, "a power of two from 64 to 1024")?;
    let checksums = features.has(features::METADATA_CSUM);
    check(!checksums || raw[0x175] == 1, 0x175, "s_checksum_type", raw[0x175].into(), "1, for CRC-32C")?;
    let uuid: [u8; 16] = std::array::from_fn(|at| raw[104 + at]);
    let seed = if features.has(features::CSUM_SEED) { le32(raw, 0x270) } else { csum::fs_seed(&uuid) };
    let facts = ExtFacts {
        name: features.kind(),
        label: label(&raw[120..136]),
        uuid: uuid::Uuid::from_bytes(uuid).to_string(),
        block_size,
        size,
        free: (u64::from(le32(raw, 12)) | high(0x158)).saturating_mul(block_size),
        inodes: inodes.into(),
        inode_size,
        features: features.names(),
        read_only_bit: raw[READ_ONLY_BYTE] == 0xff,
        needs_recovery: features.has(features::RECOVER),
        clean: le16(raw, 58) & 3 == 1,
    };
    Ok(Super {
        facts,
        features,
        block_size,
        blocks,
        first_block,
        blocks_per_group,
        inodes,
        inodes_per_group,
        inode_size,
        first_inode,
        descriptor_size,
        first_meta_group: le32(raw, 0x104).into(),
        backup_groups: [le32(raw, 0x24c), le32(raw, 0x250)],
        uuid,
        seed,
    })
}

fn label(raw: &[u8]) -> String {
    let end = raw.iter().position(|byte| *byte == 0).unwrap_or(raw.len());
    String::from_utf8_lossy(&raw[..end]).into_owned()
}

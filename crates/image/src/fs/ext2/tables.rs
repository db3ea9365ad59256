//! Superblocks, group descriptors, bitmaps and inode tables.

use super::{
    BLOCK, LOST_FOUND, Options,
    geometry::{Allocator, GROUP, Geometry, INODE},
    inode::Inode,
};

/// Entries of directories say what they are.
const FILETYPE: u32 = 0x2;
/// Files may have extents, which is what makes it ext4.
const EXTENTS: u32 = 0x40;

/// What is in use in a group.
struct Usage {
    blocks: u64,
    inodes: u64,
    directories: u64,
}

/// Adds everything but contents and maps to `regions`.
pub(super) fn render(
    geometry: &Geometry,
    allocator: &Allocator<'_>,
    inodes: &[Inode],
    options: &Options,
    regions: &mut Vec<(u64, Vec<u8>)>,
) {
    let per_group = geometry.inodes_per_group as usize;
    let mut descriptors = vec![0; (geometry.descriptors() * BLOCK) as usize];
    let (mut free_blocks, mut free_inodes) = (0, 0);
    for group in 0..geometry.groups {
        let start = group as usize * per_group;
        let here = inodes.get(start..).unwrap_or_default();
        let here = &here[..here.len().min(per_group)];
        let usage = Usage {
            blocks: allocator.used(group),
            inodes: here.len() as u64,
            directories: here.iter().filter(|inode| inode.is_directory()).count() as u64,
        };
        free_blocks += geometry.group_blocks(group) - usage.blocks;
        free_inodes += geometry.inodes_per_group - usage.inodes;
        let at = group as usize * 32;
        descriptors[at..at + 32].copy_from_slice(&descriptor(geometry, group, &usage));
        let first = group * GROUP + geometry.bitmaps(group);
        regions.push((first * BLOCK, bitmap(usage.blocks, geometry.group_blocks(group))));
        regions.push(((first + 1) * BLOCK, bitmap(usage.inodes, geometry.inodes_per_group)));
        let table: Vec<u8> = here.iter().flat_map(Inode::encode).collect();
        regions.push(((first + 2) * BLOCK, table));
    }
    for group in (0..geometry.groups).filter(|group| Geometry::has_super(*group)) {
        let superblock = superblock(geometry, options, group, free_blocks, free_inodes);
        let mut bytes = vec![0; if group == 0 { 1024 } else { 0 }];
        bytes.extend(superblock);
        bytes.resize(BLOCK as usize, 0);
        bytes.extend_from_slice(&descriptors);
        regions.push((group * GROUP * BLOCK, bytes));
    }
}

/// `used` ones, zeros up to `of`, and ones for what does not exist.
fn bitmap(used: u64, of: u64) -> Vec<u8> {
    let mut bytes = vec![0; BLOCK as usize];
    let mut set = |range: std::ops::Range<u64>| range.for_each(|n| bytes[n as usize / 8] |= 1 << (n % 8));
    set(0..used);
    set(of..BLOCK * 8);
    bytes
}

fn descriptor(geometry: &Geometry, group: u64, usage: &Usage) -> [u8; 32] {
    let first = group * GROUP + geometry.bitmaps(group);
    let mut bytes = [0; 32];
    let mut put = |at: usize, it: &[u8]| bytes[at..at + it.len()].copy_from_slice(it);
    put(0, &(first as u32).to_le_bytes());
    put(4, &(first as u32 + 1).to_le_bytes());
    put(8, &(first as u32 + 2).to_le_bytes());
    put(12, &((geometry.group_blocks(group) - usage.blocks) as u16).to_le_bytes());
    put(14, &((geometry.inodes_per_group - usage.inodes) as u16).to_le_bytes());
    put(16, &(usage.directories as u16).to_le_bytes());
    bytes
}

/// Source: `struct ext2_super_block`.
fn superblock(
    geometry: &Geometry,
    options: &Options,
    group: u64,
    free_blocks: u64,
    free_inodes: u64,
) -> [u8; 1024] {
    let time = (options.epoch.min(i32::MAX as u64) as u32).to_le_bytes();
    let mut bytes = [0; 1024];
    let mut put = |at: usize, it: &[u8]| bytes[at..at + it.len()].copy_from_slice(it);
    put(0, &((geometry.inodes_per_group * geometry.groups) as u32).to_le_bytes());
    put(4, &(geometry.blocks as u32).to_le_bytes());
    put(12, &(free_blocks as u32).to_le_bytes());
    put(16, &(free_inodes as u32).to_le_bytes());
    put(24, &2_u32.to_le_bytes()); // 1024 << 2 bytes a block.
    put(28, &2_u32.to_le_bytes());
    put(32, &(GROUP as u32).to_le_bytes());
    put(36, &(GROUP as u32).to_le_bytes());
    put(40, &(geometry.inodes_per_group as u32).to_le_bytes());
    put(48, &time);
    put(54, &u16::MAX.to_le_bytes()); // Never checked because of its mounts.
    put(56, &0xEF53_u16.to_le_bytes());
    put(58, &1_u16.to_le_bytes()); // Clean.
    put(60, &1_u16.to_le_bytes()); // Go on after errors.
    put(64, &time);
    put(76, &1_u32.to_le_bytes());
    put(84, &LOST_FOUND.to_le_bytes());
    put(88, &(INODE as u16).to_le_bytes());
    put(90, &(group as u16).to_le_bytes());
    put(92, &0x8_u32.to_le_bytes()); // Extended attributes.
    put(96, &(FILETYPE | if options.extents { EXTENTS } else { 0 }).to_le_bytes());
    put(100, &0x3_u32.to_le_bytes()); // Few superblocks, files of 2 GiB and more.
    put(104, &options.uuid);
    put(120, options.label.as_bytes());
    put(236, &options.uuid); // Seed of directory hashes.
    put(252, &[1]);
    put(264, &time);
    bytes
}

//! ext2, and ext4 without a journal for partitions that are too small for one: block maps, linear directories, no
//! checksums, which every Linux kernel since 2.0 reads.
//!
//! Everything is decided before anything is written: blocks are given out in one ascending sweep.
//!
//! Source: "The Second Extended File System", Dave Poirier; `ext2_fs.h` of e2fsprogs.

mod geometry;
mod inode;
mod tables;
mod xattr;

use std::collections::HashMap;

use bootway_plan::{Bytes, TreePath};
use thiserror::Error;

use self::{
    geometry::{Allocator, Geometry},
    inode::{Inode, Mapped},
};
use crate::{
    Content, Node, NodeKind, Tree,
    sink::{Sink, SinkError},
};

/// Bytes of a block.
const BLOCK: u64 = 4096;
/// Where what was lost is put; it is there before anything is.
const LOST_FOUND: u32 = 11;
/// Blocks of it, so that there is room when there is no room.
const LOST_FOUND_BLOCKS: u64 = 4;
/// The root.
const ROOT: u32 = 2;
/// Names that a file or directory can have.
const MOST_LINKS: u32 = 32_000;
/// Room beyond the content has an inode for every so many bytes, as mke2fs has it.
const BYTES_PER_INODE: u64 = 16_384;

/// What a volume is told about itself, whatever its size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// Which it is.
    pub(crate) uuid: [u8; 16],
    /// At most 16 bytes.
    pub(crate) label: String,
    /// Seconds since 1970.
    pub(crate) epoch: u64,
    /// Whether it says it is ext4: what the kernel adds to it then has extents.
    pub(crate) extents: bool,
}

/// A volume, laid out.
pub(crate) struct Ext2 {
    regions: Vec<(u64, Vec<u8>)>,
    files: Vec<(Content, Vec<(u64, u64)>)>,
    used: u64,
}

/// The least size in bytes, in steps of `step`, that holds `tree`.
pub(crate) fn least(tree: &Tree, step: u64) -> Result<u64, Ext2Problem> {
    let (payload, inodes) = (payload(tree)?, inodes(tree));
    let mut size = (payload * BLOCK).next_multiple_of(step);
    while Geometry::of(size, inodes).is_none_or(|geometry| geometry.capacity() < payload) {
        size += step;
    }
    Ok(size)
}

const fn own_inodes() -> u64 {
    LOST_FOUND as u64
}

fn inodes(tree: &Tree) -> u64 {
    let linked = |node: &&Node| !matches!(node.kind, NodeKind::HardLink { .. });
    own_inodes() + tree.nodes.values().filter(linked).count() as u64
}

/// Blocks of everything but the tables of the groups.
fn payload(tree: &Tree) -> Result<u64, Ext2Problem> {
    let mut blocks = inode::with_maps(LOST_FOUND_BLOCKS);
    for directory in inode::directories(tree)? {
        blocks += inode::with_maps(directory.blocks());
    }
    for (path, node) in &tree.nodes {
        blocks += match &node.kind {
            NodeKind::File(content) => inode::with_maps(content.size().div_ceil(BLOCK)),
            NodeKind::Symlink { target } => u64::from(target.len() > inode::FAST_SYMLINK),
            _ => 0,
        };
        blocks += u64::from(xattr::needs_block(path, node)?);
    }
    Ok(blocks)
}

impl Ext2 {
    /// Lays out `tree` in `size` bytes; `least` is what [`least`] said.
    pub(crate) fn plan(tree: &Tree, size: u64, least: u64, options: &Options) -> Result<Self, Ext2Problem> {
        let (payload, needed) = (payload(tree)?, inodes(tree));
        let spare = size.saturating_sub(least) / BYTES_PER_INODE;
        let fitting = |inodes| Geometry::of(size, inodes).filter(|geometry| geometry.capacity() >= payload);
        let geometry = fitting(needed + spare).or_else(|| fitting(needed));
        let geometry = geometry.ok_or(Ext2Problem::TooSmall { has: Bytes::new(size) })?;
        let mut build = Build {
            allocator: Allocator::new(&geometry),
            inodes: vec![Inode::default(); LOST_FOUND as usize],
            regions: Vec::new(),
            files: Vec::new(),
            epoch: options.epoch,
        };
        build.tree(tree)?;
        let mut regions = build.regions;
        tables::render(&geometry, &build.allocator, &build.inodes, options, &mut regions);
        regions.sort_by_key(|(offset, _)| *offset);
        let used = (geometry.overhead() + payload) * BLOCK;
        Ok(Self { regions, files: build.files, used })
    }

    /// Bytes that hold something.
    pub(crate) const fn used(&self) -> u64 {
        self.used
    }

    /// Bytes that will be written.
    pub(crate) fn written(&self) -> u64 {
        let metadata: u64 = self.regions.iter().map(|(_, bytes)| bytes.len() as u64).sum();
        metadata + self.contents().map(Content::size).sum::<u64>()
    }

    /// The contents.
    pub(crate) fn contents(&self) -> impl Iterator<Item = &Content> {
        self.files.iter().map(|(content, _)| content)
    }

    pub(crate) fn write(&self, sink: &mut Sink<'_>) -> Result<(), SinkError> {
        for (offset, bytes) in &self.regions {
            sink.put(*offset, bytes)?;
        }
        for (content, extents) in &self.files {
            sink.content(content, extents)?;
        }
        Ok(())
    }
}

/// A volume that is being laid out.
struct Build<'a> {
    allocator: Allocator<'a>,
    /// By number, less one.
    inodes: Vec<Inode>,
    regions: Vec<(u64, Vec<u8>)>,
    files: Vec<(Content, Vec<(u64, u64)>)>,
    epoch: u64,
}

impl Build<'_> {
    fn tree(&mut self, tree: &Tree) -> Result<(), Ext2Problem> {
        let numbers = self.number(tree)?;
        self.lost_found();
        for directory in inode::directories(tree)? {
            let number = numbers[&directory.path];
            let parent = directory.path.parent().map_or(ROOT, |parent| numbers[&parent]);
            let blocks = directory.render(number, parent, tree, &numbers);
            let mapped = self.map(blocks.len() as u64);
            for (at, bytes) in mapped.data.iter().zip(blocks) {
                self.regions.push((at * BLOCK, bytes));
            }
            let links = 2 + directory.subdirectories + u32::from(directory.path.is_root());
            if links > MOST_LINKS {
                return Err(Ext2Problem::Links { path: directory.path });
            }
            let inode = &mut self.inodes[number as usize - 1];
            inode.size = mapped.data.len() as u64 * BLOCK;
            inode.links = links;
            inode.map(&mapped);
        }
        for (path, node) in &tree.nodes {
            let number = numbers[path] as usize - 1;
            match &node.kind {
                NodeKind::File(content) => self.file(number, content),
                NodeKind::Symlink { target } => self.symlink(number, path, target)?,
                NodeKind::CharDevice { major, minor } | NodeKind::BlockDevice { major, minor } => {
                    self.inodes[number].device(*major, *minor);
                }
                NodeKind::HardLink { .. } => {
                    self.inodes[number].links += 1;
                    if self.inodes[number].links > MOST_LINKS {
                        return Err(Ext2Problem::Links { path: path.clone() });
                    }
                    continue;
                }
                NodeKind::Directory | NodeKind::Fifo | NodeKind::Socket => {}
            }
            if xattr::needs_block(path, node)? {
                let block = self.allocator.one();
                self.regions.push((block * BLOCK, xattr::render(path, node)?));
                self.inodes[number].attributes(block);
            }
        }
        Ok(())
    }

    /// Gives every file its inode, with what is known of it before its blocks are.
    fn number(&mut self, tree: &Tree) -> Result<HashMap<TreePath, u32>, Ext2Problem> {
        let mut numbers = HashMap::with_capacity(tree.nodes.len());
        for (path, node) in &tree.nodes {
            let number = match &node.kind {
                NodeKind::HardLink { to } => match numbers.get(to) {
                    Some(first) => *first,
                    None => return Err(Ext2Problem::Dangling { path: path.clone(), to: to.clone() }),
                },
                _ if path.is_root() => ROOT,
                _ if path.as_str() == "lost+found" && node.kind == NodeKind::Directory => LOST_FOUND,
                _ => {
                    self.inodes.push(Inode::default());
                    self.inodes.len() as u32
                }
            };
            if !matches!(node.kind, NodeKind::HardLink { .. }) {
                self.inodes[number as usize - 1] = Inode::of(node, self.epoch);
            }
            numbers.insert(path.clone(), number);
        }
        Ok(numbers)
    }

    fn lost_found(&mut self) {
        let mapped = self.map(LOST_FOUND_BLOCKS);
        for (at, bytes) in mapped.data.iter().zip(inode::lost_found_blocks()) {
            self.regions.push((at * BLOCK, bytes));
        }
        let inode = &mut self.inodes[LOST_FOUND as usize - 1];
        *inode = Inode::lost_found(self.epoch);
        inode.map(&mapped);
    }

    fn file(&mut self, number: usize, content: &Content) {
        let mapped = self.map(content.size().div_ceil(BLOCK));
        let inode = &mut self.inodes[number];
        inode.size = content.size();
        inode.map(&mapped);
        if content.size() > 0 {
            self.files.push((content.clone(), mapped.extents(content.size())));
        }
    }

    fn symlink(&mut self, number: usize, path: &TreePath, target: &str) -> Result<(), Ext2Problem> {
        if target.len() as u64 >= BLOCK {
            return Err(Ext2Problem::Target { path: path.clone(), bytes: target.len() });
        }
        if target.len() <= inode::FAST_SYMLINK {
            self.inodes[number].fast_symlink(target);
            return Ok(());
        }
        let mapped = self.map(1);
        let mut bytes = target.as_bytes().to_vec();
        bytes.resize(BLOCK as usize, 0);
        self.regions.push((mapped.data[0] * BLOCK, bytes));
        let inode = &mut self.inodes[number];
        inode.size = target.len() as u64;
        inode.map(&mapped);
        Ok(())
    }

    /// Blocks for `count` blocks of content, and the maps that lead to them.
    fn map(&mut self, count: u64) -> Mapped {
        let mut mapped = Mapped::take(&mut self.allocator, count);
        self.regions.append(&mut mapped.maps);
        mapped
    }
}

/// A tree that cannot become this volume.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Ext2Problem {
    /// The partition is too small.
    #[error("an ext2 file system of {has} does not hold the content: use `size = \"fit\"`")]
    TooSmall {
        /// What it has.
        has: Bytes,
    },
    /// Too many names or subdirectories.
    #[error("`{path}` has more than {MOST_LINKS} names or subdirectories: use `fs = \"ext4\"`")]
    Links {
        /// Where.
        path: TreePath,
    },
    /// A hard link to nothing.
    #[error("`{path}` is a hard link to `{to}`, which is not there: remove it from the tree")]
    Dangling {
        /// Where.
        path: TreePath,
        /// What it says.
        to: TreePath,
    },
    /// A symbolic link that is too long.
    #[error("the target of `{path}` has {bytes} bytes, at most 4095 fit: shorten it")]
    Target {
        /// Where.
        path: TreePath,
        /// How long it is.
        bytes: usize,
    },
    /// A name that is too long.
    #[error("the name of `{path}` has {bytes} bytes, at most 255 fit: shorten it")]
    Name {
        /// Where.
        path: TreePath,
        /// How long it is.
        bytes: usize,
    },
    /// Extended attributes that do not fit their block.
    #[error("the extended attributes of `{path}` take {bytes} bytes, at most 4096 fit: remove some")]
    Xattrs {
        /// Where.
        path: TreePath,
        /// What they take.
        bytes: usize,
    },
    /// An attribute of no kind.
    #[error("`{path}` has the extended attribute `{name}`, whose kind ext2 does not know: remove it")]
    Xattr {
        /// Where.
        path: TreePath,
        /// Its full name.
        name: String,
    },
    /// An attribute that should be an access control list.
    #[error("`{name}` of `{path}` is no access control list: remove it")]
    Acl {
        /// Where.
        path: TreePath,
        /// Its full name.
        name: String,
    },
}

#[cfg(test)]
mod tests;

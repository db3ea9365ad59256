//! ext4 through `mkext4`, which decides every byte of metadata before the first byte of content is written.
//!
//! `mkext4` is given a size and says whether it is enough; what is least is found here. Contents are laid out dense
//! whatever holes their files have, so that the image follows from the bytes alone; the holes stay holes in the
//! disk's file.

use std::{collections::HashMap, io};

use bootway_plan::TreePath;
use mkext4::{FsBuilder, InodeCount, InodeHandle, Layout, Meta, RegionSink, SpecialKind};

use crate::{
    Content, Node, NodeKind, Tree,
    fs::acl,
    sink::{Sink, SinkError},
};

/// Bytes of a block.
const BLOCK: u64 = 4096;
/// Blocks described by one bitmap.
const GROUP: u64 = 32_768;
/// The least volume: a journal has at least 1024 blocks, and takes at most a quarter.
pub(crate) const LEAST: u64 = 4 * 1024 * BLOCK;
/// Blocks of a last group that are worth its tables; the same number as mke2fs has.
const LAST_GROUP: u64 = 50;
/// Inodes that a volume uses for itself.
const OWN_INODES: u64 = 12;
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
}

/// A volume, laid out.
pub(crate) struct Ext4 {
    layout: Layout,
    files: Files,
    size: u64,
    used: u64,
    free: u64,
    metadata: u64,
}

/// The volume of the least size, in steps of `step`, that holds `tree`.
pub(crate) fn fit(tree: &Tree, options: &Options, step: u64) -> Result<Ext4, mkext4::Error> {
    let inodes = inodes(tree);
    let mut size = estimate(tree, inodes).max(LEAST).next_multiple_of(step);
    let most = size + size / 32 + 32 * step;
    let mut best = loop {
        match Ext4::seal(tree, size, inodes, options) {
            Ok(sealed) => break sealed,
            Err(error) if size >= most => return Err(error),
            Err(_) => size += step,
        }
    };
    // The estimate is close; what it has too much is free.
    let smaller = best.size.saturating_sub(best.free / step * step).max(LEAST);
    for size in (smaller..best.size).step_by(step as usize) {
        if let Ok(sealed) = Ext4::seal(tree, size, inodes, options) {
            best = sealed;
            break;
        }
    }
    Ok(best)
}

/// About how many bytes a volume that holds `tree` has.
fn estimate(tree: &Tree, inodes: u64) -> u64 {
    let mut records: HashMap<&str, u64> = HashMap::new();
    let mut blocks = 0;
    for (path, node) in &tree.nodes {
        let parent = path.as_str().rsplit_once('/').map_or("", |(parent, _)| parent);
        *records.entry(parent).or_default() += (8 + path.name().len() as u64).next_multiple_of(4);
        blocks += match &node.kind {
            NodeKind::File(content) => content.size().div_ceil(BLOCK),
            NodeKind::Directory => 1,
            NodeKind::Symlink { target } => u64::from(target.len() > 59),
            _ => 0,
        };
    }
    // Beyond its first block, a directory has an index and leaves that are nearly full.
    blocks += records
        .values()
        .filter(|bytes| **bytes >= BLOCK - 24)
        .map(|bytes| bytes.div_ceil(BLOCK - 32))
        .sum::<u64>();
    let mut total = blocks;
    for _ in 0..3 {
        let groups = total.div_ceil(GROUP);
        let tables = 2 * groups + inodes.div_ceil(16) + (2 + groups / 4) * (1 + groups.div_ceil(128));
        total = blocks + tables + journal_blocks(total) + 4;
    }
    total * BLOCK
}

/// Blocks of the journal of a volume below so many blocks: mke2fs's table.
const JOURNALS: [(u64, u64); 7] = [
    (32_768, 1024),
    (262_144, 4096),
    (524_288, 8192),
    (4_194_304, 16_384),
    (8_388_608, 32_768),
    (16_777_216, 65_536),
    (33_554_432, 131_072),
];

fn journal_blocks(blocks: u64) -> u64 {
    JOURNALS.iter().find(|(below, _)| blocks < *below).map_or(262_144, |(_, journal)| *journal)
}

/// `mkext4` checks the range that it can hold.
fn seconds(epoch: u64) -> i64 {
    i64::try_from(epoch).unwrap_or(i64::MAX)
}

fn inodes(tree: &Tree) -> u64 {
    tree.nodes.len() as u64 + OWN_INODES
}

/// The blocks of a volume of `size` bytes; the last group is left out if it has no room for its own tables.
fn usable(size: u64, inodes: u64) -> u64 {
    let blocks = size / BLOCK;
    let (groups, rest) = (blocks.div_ceil(GROUP), blocks % GROUP);
    let inode_blocks = inodes.div_ceil(groups.max(1)).div_ceil(16);
    let descriptors = (groups * 32).div_ceil(BLOCK);
    let tables = 1 + descriptors + 2 + inode_blocks;
    if rest != 0 && groups > 1 && rest < tables + LAST_GROUP { blocks - rest } else { blocks }
}

/// What fits the 16 bytes of a label.
pub(crate) fn label(text: &str) -> &str {
    let end = (0..=text.len().min(16)).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    &text[..end]
}

impl Ext4 {
    /// The same for a partition of `size` bytes: room beyond the content gets inodes.
    pub(crate) fn grown(self, tree: &Tree, size: u64, options: &Options) -> Result<Self, mkext4::Error> {
        if size == self.size {
            return Ok(self);
        }
        let needed = inodes(tree);
        let spare = size.saturating_sub(self.size) / BYTES_PER_INODE;
        match Self::seal(tree, size, needed + spare, options) {
            // The tables of the spare inodes are what did not fit.
            Err(_) if spare > 0 => Self::seal(tree, size, needed, options),
            sealed => sealed,
        }
    }

    fn seal(tree: &Tree, size: u64, inodes: u64, options: &Options) -> Result<Self, mkext4::Error> {
        let blocks = usable(size, inodes);
        let mut it = mkext4::Options::new(blocks * BLOCK, options.uuid, seconds(options.epoch));
        it.inodes = InodeCount::Exact(u32::try_from(inodes).unwrap_or(u32::MAX));
        it.reserved_percent = 0;
        if !options.label.is_empty() {
            it.label = Some(options.label.clone());
        }
        let (builder, files) = declare(FsBuilder::new(it)?, tree, options.epoch)?;
        let layout = builder.seal()?;
        let mut counter = Counter::default();
        layout.writer(&mut counter)?;
        let free = u64::from(counter.free_blocks);
        let (used, free) = ((blocks - free) * BLOCK, free * BLOCK);
        Ok(Self { layout, files, size, used, free, metadata: counter.bytes })
    }

    /// Bytes of its partition.
    pub(crate) const fn size(&self) -> u64 {
        self.size
    }

    /// Bytes that hold something.
    pub(crate) const fn used(&self) -> u64 {
        self.used
    }

    /// Bytes that will be written.
    pub(crate) fn written(&self) -> u64 {
        self.metadata + self.contents().map(Content::size).sum::<u64>()
    }

    /// The contents.
    pub(crate) fn contents(&self) -> impl Iterator<Item = &Content> {
        self.files.iter().map(|(_, content)| content)
    }

    pub(crate) fn write(&self, sink: &mut Sink<'_>) -> Result<(), SinkError> {
        let mut metadata = Metadata { sink, failed: None };
        let written = self.layout.writer(&mut metadata).map(drop);
        if let Some(error) = metadata.failed {
            return Err(error);
        }
        written.expect("only the sink can fail, and it did not");
        for (handle, content) in &self.files {
            sink.content(content, &self.layout.extents(*handle))?;
        }
        Ok(())
    }
}

type Files = Vec<(InodeHandle, Content)>;

/// Names everything in `tree`, in its order; the contents that are not empty are returned.
fn declare(mut builder: FsBuilder, tree: &Tree, epoch: u64) -> Result<(FsBuilder, Files), mkext4::Error> {
    let meta = |node: &Node| Meta::new(node.mode, node.uid, node.gid, (seconds(epoch), 0));
    let mut handles: HashMap<&TreePath, InodeHandle> = HashMap::new();
    let mut files = Vec::new();
    for (path, node) in &tree.nodes {
        let handle = match path.parent() {
            None => {
                builder.set_meta(mkext4::ROOT, meta(node))?;
                mkext4::ROOT
            }
            Some(parent) => {
                let parent = handles.get(&parent).copied().unwrap_or(mkext4::ROOT);
                let (name, meta) = (path.name(), meta(node));
                match &node.kind {
                    NodeKind::Directory if path.as_str() == "lost+found" => continue, // It has one.
                    NodeKind::Directory => builder.mkdir(parent, name, meta)?,
                    NodeKind::File(content) => {
                        let handle = builder.file(parent, name, meta, content.size())?;
                        files.push((handle, content.clone()));
                        handle
                    }
                    NodeKind::HardLink { to } => {
                        let first = handles.get(to).copied();
                        let first = first.ok_or_else(|| {
                            mkext4::Error::Invalid(format!("hard link to `{to}`, which is not there"))
                        })?;
                        builder.hardlink(parent, name, first)?;
                        continue;
                    }
                    NodeKind::Symlink { target } => {
                        builder.symlink(parent, name, target, Meta { mode: 0o777, ..meta })?
                    }
                    NodeKind::CharDevice { major, minor } => builder.mknod(
                        parent,
                        name,
                        meta,
                        SpecialKind::Char { major: *major, minor: *minor },
                    )?,
                    NodeKind::BlockDevice { major, minor } => builder.mknod(
                        parent,
                        name,
                        meta,
                        SpecialKind::Block { major: *major, minor: *minor },
                    )?,
                    NodeKind::Fifo => builder.mknod(parent, name, meta, SpecialKind::Fifo)?,
                    NodeKind::Socket => builder.mknod(parent, name, meta, SpecialKind::Socket)?,
                }
            }
        };
        check_xattrs(path, node)?;
        for (name, value) in &node.xattrs {
            let value = acl::on_disk(name, value).ok_or_else(|| {
                mkext4::Error::Invalid(format!("`{name}` of `{path}` is no access control list: remove it"))
            })?;
            builder.set_xattr(handle, name, &value)?;
        }
        handles.insert(path, handle);
    }
    Ok((builder, files))
}

/// All of a file's attributes are in its inode and one block.
fn check_xattrs(path: &TreePath, node: &Node) -> Result<(), mkext4::Error> {
    let bytes: u64 = node.xattrs.iter().map(|(name, value)| (20 + name.len() + value.len()) as u64).sum();
    if bytes <= BLOCK - 64 {
        return Ok(());
    }
    let limit = BLOCK - 64;
    Err(mkext4::Error::Invalid(format!(
        "the extended attributes of `{path}` take {bytes} bytes, at most {limit} fit"
    )))
}

/// Counts what would be written, and looks at the superblock on its way.
#[derive(Default)]
struct Counter {
    bytes: u64,
    free_blocks: u32,
}

impl RegionSink for Counter {
    fn data(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        /// Of `s_free_blocks_count_lo`, in the superblock behind the first 1024 bytes.
        const FREE: usize = 1024 + 0x0C;
        if offset == 0 && bytes.len() > FREE + 4 {
            self.free_blocks =
                u32::from_le_bytes([bytes[FREE], bytes[FREE + 1], bytes[FREE + 2], bytes[FREE + 3]]);
        }
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    fn zeros(&mut self, _: u64, _: u64) -> io::Result<()> {
        Ok(())
    }
}

/// Passes metadata on; zeros are holes already.
struct Metadata<'a, 'b> {
    sink: &'a mut Sink<'b>,
    failed: Option<SinkError>,
}

impl RegionSink for Metadata<'_, '_> {
    fn data(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.sink.put(offset, bytes).map_err(|error| {
            self.failed = Some(error);
            io::Error::other("the sink failed")
        })
    }

    fn zeros(&mut self, _: u64, _: u64) -> io::Result<()> {
        Ok(())
    }
}

//! Where the blocks of a file are: block maps of ext2 and ext3, and extents.
//!
//! Source: Linux `Documentation/filesystems/ext4/blockmap.rst`, `ifork.rst`.

use mkext4::csum;

use super::{
    error::{ExtError, Structure},
    features,
    inode::{EXTENTS, Inode},
    pass::Pass,
    window::{le16, le32},
};

/// Bytes of the header of extents, and of each entry behind it.
const HEADER: usize = 12;
/// As many levels as 2^32 blocks can need.
const DEEPEST: u16 = 5;
/// An extent that is longer than this is one whose blocks were never written.
const WRITTEN: u16 = 0x8000;

/// Blocks of a file that follow each other on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// The first, in the file.
    pub(super) logical: u64,
    /// The first, in the file system.
    pub(super) physical: u64,
    pub(super) count: u64,
}

/// The blocks that `inode` has, up to its size: ascending; what is missing are zeros.
pub(super) fn runs(pass: &mut Pass<'_>, inode: &Inode) -> Result<Vec<Run>, ExtError> {
    let wanted = inode.size.div_ceil(pass.sup.block_size);
    let mut found = Found { runs: Vec::new(), wanted, end: 0 };
    if inode.is(EXTENTS) {
        most(pass, inode, 1 << 32, wanted)?;
        let node = Node { first: 0, depth: None, at: inode.at + 40 };
        extents(pass, inode, &inode.block, &node, &mut found)?;
    } else {
        block_map(pass, inode, &mut found)?;
    }
    Ok(found.runs)
}

/// What was found so far.
struct Found {
    runs: Vec<Run>,
    /// Blocks that the file's size needs.
    wanted: u64,
    /// The first block of the file that no extent has told of.
    end: u64,
}

impl Found {
    fn add(&mut self, pass: &mut Pass<'_>, run: Run, structure: Structure, at: u64) -> Result<(), ExtError> {
        if run.logical >= self.wanted {
            return Ok(());
        }
        let count = run.count.min(self.wanted - run.logical);
        pass.map(count, structure, at)?;
        if let Some(last) = self.runs.last_mut()
            && last.logical + last.count == run.logical
            && last.physical + last.count == run.physical
        {
            last.count += count;
        } else {
            self.runs.push(Run { count, ..run });
        }
        Ok(())
    }
}

fn most(pass: &Pass<'_>, inode: &Inode, most: u64, wanted: u64) -> Result<(), ExtError> {
    if wanted <= most {
        return Ok(());
    }
    Err(ExtError::Field {
        structure: Structure::Inode(inode.number),
        offset: pass.window.absolute(inode.at + 4),
        field: "i_size",
        value: inode.size,
        wanted: format!("at most {most} blocks of {} bytes", pass.sup.block_size),
    })
}

fn block_map(pass: &mut Pass<'_>, inode: &Inode, found: &mut Found) -> Result<(), ExtError> {
    let each = pass.sup.block_size / 4;
    most(pass, inode, 12 + each + each * each + each * each * each, found.wanted)?;
    pointers(pass, inode, &inode.block[..48], inode.at + 40, 0, 0, found)?;
    let mut first = 12;
    for level in 1..=3 {
        let at = 44 + 4 * level;
        let entry = &inode.block[at..at + 4];
        pointers(pass, inode, entry, inode.at + 40 + at as u64, level as u32, first, found)?;
        first += each.pow(level as u32);
    }
    Ok(())
}

/// Follows the pointers in `raw`, which is at `at`: each covers `each` ^ `level` blocks, the first from `first` on.
fn pointers(
    pass: &mut Pass<'_>,
    inode: &Inode,
    raw: &[u8],
    at: u64,
    level: u32,
    first: u64,
    found: &mut Found,
) -> Result<(), ExtError> {
    let structure = Structure::BlockMap(inode.number);
    let span = (pass.sup.block_size / 4).pow(level);
    let (entries, _) = raw.as_chunks::<4>();
    for (n, entry) in (0_u64..).zip(entries) {
        let logical = first + n * span;
        if logical >= found.wanted {
            break;
        }
        let block = u64::from(u32::from_le_bytes(*entry));
        if block == 0 {
            continue;
        }
        let at = at + 4 * n;
        if !pass.has(block, 1) {
            return Err(ExtError::Field {
                structure,
                offset: pass.window.absolute(at),
                field: "i_block",
                value: block,
                wanted: format!("a block before {}", pass.sup.blocks),
            });
        }
        if level == 0 {
            found.add(pass, Run { logical, physical: block, count: 1 }, structure, at)?;
            continue;
        }
        pass.check_cancel()?;
        let below = pass.block(block, structure)?;
        pointers(pass, inode, &below, pass.offset(block), level - 1, logical, found)?;
    }
    Ok(())
}

/// A node of the tree of extents.
struct Node {
    /// The first block of the file that it may have.
    first: u64,
    /// How many levels are below it; the root says it itself.
    depth: Option<u16>,
    at: u64,
}

/// The error for a field `at` so many bytes into `node`.
fn wrong_in(
    pass: &Pass<'_>,
    inode: &Inode,
    node: &Node,
) -> impl Fn(u64, &'static str, u64, String) -> ExtError + use<> {
    let (structure, start) = (Structure::Extents(inode.number), pass.window.absolute(node.at));
    move |at, field, value, wanted| ExtError::Field { structure, offset: start + at, field, value, wanted }
}

fn extents(
    pass: &mut Pass<'_>,
    inode: &Inode,
    raw: &[u8],
    node: &Node,
    found: &mut Found,
) -> Result<(), ExtError> {
    let structure = Structure::Extents(inode.number);
    let (count, depth) = header(pass, inode, raw, node)?;
    let wrong = wrong_in(pass, inode, node);
    let (entries, _) = raw[HEADER..].as_chunks::<12>();
    for (n, entry) in (0_u64..).zip(&entries[..count.into()]) {
        let at = HEADER as u64 + 12 * n;
        let logical: u64 = le32(entry, 0).into();
        let least = if n == 0 { node.first.max(found.end) } else { found.end };
        if logical < least {
            return Err(wrong(at, "ee_block", logical, format!("at least {least}: extents ascend")));
        }
        if depth == 0 {
            leaf(pass, entry, structure, node.at + at, found)?;
            continue;
        }
        let block = u64::from(le32(entry, 4)) | u64::from(le16(entry, 8)) << 32;
        if !pass.has(block, 1) {
            return Err(wrong(at + 4, "ei_leaf", block, format!("a block before {}", pass.sup.blocks)));
        }
        if logical >= found.wanted {
            break;
        }
        pass.check_cancel()?;
        let below = pass.block(block, structure)?;
        let next = Node { first: logical, depth: Some(depth - 1), at: pass.offset(block) };
        extents(pass, inode, &below, &next, found)?;
    }
    Ok(())
}

/// How many entries a node has, and how many levels are below it.
fn header(pass: &Pass<'_>, inode: &Inode, raw: &[u8], node: &Node) -> Result<(u16, u16), ExtError> {
    let structure = Structure::Extents(inode.number);
    let wrong = wrong_in(pass, inode, node);
    let (magic, count, max, depth) = (le16(raw, 0), le16(raw, 2), le16(raw, 4), le16(raw, 6));
    if magic != 0xf30a {
        return Err(wrong(0, "eh_magic", magic.into(), format!("{}", 0xf30a)));
    }
    let room = ((raw.len() - HEADER) / 12) as u16;
    if max > room || max == 0 {
        return Err(wrong(4, "eh_max", max.into(), format!("1 to {room}")));
    }
    if count > max {
        return Err(wrong(2, "eh_entries", count.into(), format!("at most {max}")));
    }
    let right = node.depth.map_or(depth <= DEEPEST, |wanted| depth == wanted);
    if !right || (depth > 0 && count == 0) {
        let wanted = node.depth.map_or(format!("at most {DEEPEST}"), |depth| depth.to_string());
        return Err(wrong(6, "eh_depth", depth.into(), format!("{wanted}, with entries below")));
    }
    if node.depth.is_some() && pass.sup.features.has(features::METADATA_CSUM) {
        let covered = HEADER + 12 * usize::from(max);
        let stored = raw.get(covered..covered + 4).map(|raw| le32(raw, 0));
        let computed = csum::crc32c_raw(inode.seed, &raw[..covered]);
        if stored != Some(computed) {
            let (stored, offset) = (stored.unwrap_or_default(), pass.window.absolute(node.at));
            return Err(ExtError::Checksum { structure, offset, stored, computed });
        }
    }
    Ok((count, depth))
}

fn leaf(
    pass: &mut Pass<'_>,
    entry: &[u8; 12],
    structure: Structure,
    at: u64,
    found: &mut Found,
) -> Result<(), ExtError> {
    let logical: u64 = le32(entry, 0).into();
    let len = le16(entry, 4);
    let wrong = |field_at: u64, field, value: u64, wanted: String| ExtError::Field {
        structure,
        offset: pass.window.absolute(at + field_at),
        field,
        value,
        wanted,
    };
    let count = u64::from(if len > WRITTEN { len - WRITTEN } else { len });
    if count == 0 || logical + count > 1 << 32 {
        return Err(wrong(4, "ee_len", len.into(), "1 to 32768 blocks, of 2^32 in all".to_owned()));
    }
    let physical = u64::from(le32(entry, 8)) | u64::from(le16(entry, 6)) << 32;
    if !pass.has(physical, count) {
        let wanted = format!("the first of {count} blocks before block {}", pass.sup.blocks);
        return Err(wrong(6, "ee_start", physical, wanted));
    }
    found.end = logical + count;
    if len > WRITTEN {
        return Ok(());
    }
    found.add(pass, Run { logical, physical, count }, structure, at)
}

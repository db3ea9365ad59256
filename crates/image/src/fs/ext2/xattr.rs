//! Extended attributes: one block for each file that has some.

use bootway_plan::TreePath;
use mkext4::csum;

use super::{BLOCK, Ext2Problem};
use crate::{Node, fs::acl};

/// Bytes before the first entry.
const HEADER: usize = 32;

/// The number that stands for the beginning of a name, and the rest of the name.
fn kind(name: &str) -> Option<(u8, &str)> {
    const WHOLE: [(&str, u8); 2] = [("system.posix_acl_access", 2), ("system.posix_acl_default", 3)];
    const PREFIX: [(&str, u8); 3] = [("user.", 1), ("trusted.", 4), ("security.", 6)];
    if let Some((_, kind)) = WHOLE.iter().find(|(whole, _)| *whole == name) {
        return Some((*kind, ""));
    }
    PREFIX.iter().find_map(|(prefix, kind)| Some((*kind, name.strip_prefix(prefix)?)))
}

/// Whether the file has attributes.
pub(super) fn needs_block(path: &TreePath, node: &Node) -> Result<bool, Ext2Problem> {
    let mut bytes = HEADER + 4;
    for (name, value) in &node.xattrs {
        let unknown = || Ext2Problem::Xattr { path: path.clone(), name: name.clone() };
        let (_, rest) = kind(name).filter(|(_, rest)| rest.len() <= 255).ok_or_else(unknown)?;
        bytes += 16 + rest.len().next_multiple_of(4) + value.len().next_multiple_of(4);
    }
    if bytes > BLOCK as usize {
        return Err(Ext2Problem::Xattrs { path: path.clone(), bytes });
    }
    Ok(!node.xattrs.is_empty())
}

/// The block: entries from its start, values from its end.
pub(super) fn render(path: &TreePath, node: &Node) -> Result<Vec<u8>, Ext2Problem> {
    let mut attributes = Vec::with_capacity(node.xattrs.len());
    for (name, value) in &node.xattrs {
        let unknown = || Ext2Problem::Xattr { path: path.clone(), name: name.clone() };
        let (kind, rest) = kind(name).ok_or_else(unknown)?;
        let malformed = || Ext2Problem::Acl { path: path.clone(), name: name.clone() };
        attributes.push((kind, rest.len(), rest, acl::on_disk(name, value).ok_or_else(malformed)?));
    }
    attributes.sort();
    let mut block = vec![0; BLOCK as usize];
    let (mut at, mut end) = (HEADER, BLOCK as usize);
    let mut hashes = Vec::new();
    for (kind, _, name, value) in attributes {
        end -= value.len().next_multiple_of(4);
        block[end..end + value.len()].copy_from_slice(&value);
        let hash = csum::xattr_entry_hash(name.as_bytes(), &value);
        hashes.push(hash);
        block[at] = name.len() as u8;
        block[at + 1] = kind;
        block[at + 2..at + 4].copy_from_slice(&(end as u16).to_le_bytes());
        block[at + 8..at + 12].copy_from_slice(&(value.len() as u32).to_le_bytes());
        block[at + 12..at + 16].copy_from_slice(&hash.to_le_bytes());
        block[at + 16..at + 16 + name.len()].copy_from_slice(name.as_bytes());
        at += 16 + name.len().next_multiple_of(4);
    }
    block[..4].copy_from_slice(&0xEA02_0000_u32.to_le_bytes());
    block[4..8].copy_from_slice(&1_u32.to_le_bytes());
    block[8..12].copy_from_slice(&1_u32.to_le_bytes());
    block[12..16].copy_from_slice(&csum::xattr_block_hash(hashes).to_le_bytes());
    Ok(block)
}

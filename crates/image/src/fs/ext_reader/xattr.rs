//! Extended attributes: behind the fields of an inode, in a block of their own, or in an inode of their own.
//!
//! Source: Linux `Documentation/filesystems/ext4/attributes.rst`.

use std::collections::{BTreeMap, HashMap};

use mkext4::csum;

use super::{
    error::{ExtError, Structure},
    features,
    inode::{Inode, Type},
    mapping,
    pass::Pass,
    window::{le16, le32},
};
use crate::fs::acl;

const MAGIC: u32 = 0xea02_0000;
/// Bytes of an entry before its name.
const ENTRY: usize = 16;
/// Bytes before the first entry of a block.
const HEADER: usize = 32;
/// As many files as may share a block: `EXT4_XATTR_REFCOUNT_MAX`.
const MOST_SHARERS: u32 = 1024;
/// `XATTR_SIZE_MAX`.
const MOST_VALUE: u64 = 64 << 10;
/// An inode with the value of an attribute.
const IS_VALUE: u32 = 0x20_0000;
/// More than the attributes of any system have together.
const MOST_BYTES: u64 = 256 << 20;

/// Extended attributes by full name.
pub(super) type Attributes = BTreeMap<String, Vec<u8>>;

/// What several files share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// By block: its attributes, and how many may use it yet.
    blocks: HashMap<u64, (Attributes, u32)>,
    values: HashMap<u32, Vec<u8>>,
    /// Of all attributes so far.
    bytes: u64,
}

/// An entry as it is stored.
struct Entry<'a> {
    kind: u8,
    name: &'a [u8],
    /// The inode with the value, or 0.
    inode: u32,
    size: u32,
    value: &'a [u8],
    /// Where the entry is in `raw`.
    at: usize,
    value_at: usize,
}

/// The attributes of `inode`; what is left out is told in `left`.
pub(super) fn attributes(
    pass: &mut Pass<'_>,
    shared: &mut Shared,
    inode: &Inode,
    left: &mut Vec<String>,
) -> Result<Attributes, ExtError> {
    let structure = Structure::Xattrs(inode.number);
    let mut found = Attributes::new();
    if let Some((raw, at)) = in_inode(inode) {
        collect(pass, shared, structure, raw, at, 0, left, &mut found)?;
    }
    if inode.attributes != 0 {
        for (name, value) in block(pass, shared, inode, left)? {
            found.entry(name).or_insert(value);
        }
    }
    shared.bytes += found.iter().map(|(name, value)| (name.len() + value.len()) as u64).sum::<u64>();
    if shared.bytes > MOST_BYTES {
        return Err(ExtError::TooMuch { what: "bytes of extended attributes", limit: MOST_BYTES });
    }
    Ok(found)
}

/// The entries behind the fields of an inode, and where they are.
fn in_inode(inode: &Inode) -> Option<(&[u8], u64)> {
    let has_some = inode.extra.len() > 4 && le32(&inode.extra, 0) == MAGIC;
    has_some.then(|| (&inode.extra[4..], inode.at + inode.extra_at + 4))
}

/// What is in an inode besides the 60 bytes that every inode has, and where.
pub(super) fn inline_rest(pass: &Pass<'_>, inode: &Inode) -> Result<Option<(Vec<u8>, u64)>, ExtError> {
    let Some((raw, at)) = in_inode(inode) else { return Ok(None) };
    let entries = entries(pass, Structure::Xattrs(inode.number), raw, at, 0)?;
    let data = entries.iter().find(|entry| entry.kind == 7 && entry.name == b"data");
    Ok(data.map(|entry| (entry.value.to_vec(), at + entry.value_at as u64)))
}

/// The attributes in a block, which up to 1024 files share.
fn block(
    pass: &mut Pass<'_>,
    shared: &mut Shared,
    inode: &Inode,
    left: &mut Vec<String>,
) -> Result<Attributes, ExtError> {
    let structure = Structure::Xattrs(inode.number);
    let number = inode.attributes;
    let too_many = |pass: &Pass<'_>| ExtError::Damaged {
        structure,
        offset: pass.window.absolute(pass.offset(number) + 4),
        problem: "more files share it than `h_refcount` says".to_owned(),
    };
    if let Some((found, uses)) = shared.blocks.get_mut(&number) {
        *uses = uses.checked_sub(1).ok_or_else(|| too_many(pass))?;
        return Ok(found.clone());
    }
    if !pass.has(number, 1) {
        return Err(ExtError::Field {
            structure: Structure::Inode(inode.number),
            offset: pass.window.absolute(inode.at + 104),
            field: "i_file_acl",
            value: number,
            wanted: format!("a block before {}", pass.sup.blocks),
        });
    }
    let raw = pass.block(number, structure)?;
    let at = pass.offset(number);
    let sharers = header(pass, structure, number, &raw)?;
    let mut found = Attributes::new();
    collect(pass, shared, structure, &raw, at, HEADER, left, &mut found)?;
    shared.blocks.insert(number, (found.clone(), sharers - 1));
    Ok(found)
}

/// Looks at the header of a block; how many files share it.
fn header(pass: &Pass<'_>, structure: Structure, number: u64, raw: &[u8]) -> Result<u32, ExtError> {
    let offset = pass.window.absolute(pass.offset(number));
    let field = |at: u64, field, value: u32, wanted: &str| ExtError::Field {
        structure,
        offset: offset + at,
        field,
        value: value.into(),
        wanted: wanted.to_owned(),
    };
    if le32(raw, 0) != MAGIC {
        return Err(field(0, "h_magic", le32(raw, 0), "3925999616"));
    }
    if pass.sup.features.has(features::METADATA_CSUM) {
        let sum = csum::crc32c_raw(pass.sup.seed, &number.to_le_bytes());
        let sum = csum::crc32c_raw(csum::crc32c_raw(sum, &raw[..16]), &[0; 4]);
        let (stored, computed) = (le32(raw, 16), csum::crc32c_raw(sum, &raw[20..]));
        if stored != computed {
            return Err(ExtError::Checksum { structure, offset, stored, computed });
        }
    }
    let sharers = le32(raw, 4);
    if !(1..=MOST_SHARERS).contains(&sharers) {
        return Err(field(4, "h_refcount", sharers, "1 to 1024"));
    }
    if le32(raw, 8) != 1 {
        return Err(field(8, "h_blocks", le32(raw, 8), "1"));
    }
    Ok(sharers)
}

/// The entries in `raw` from `first` on. Their values count from its beginning, and no two are the same bytes.
fn entries<'a>(
    pass: &Pass<'_>,
    structure: Structure,
    raw: &'a [u8],
    base: u64,
    first: usize,
) -> Result<Vec<Entry<'a>>, ExtError> {
    let damaged = |at: usize, problem: &str| ExtError::Damaged {
        structure,
        offset: pass.window.absolute(base + at as u64),
        problem: problem.to_owned(),
    };
    let (mut at, mut used) = (first, 0);
    let mut found = Vec::new();
    while at + 4 <= raw.len() && le32(raw, at) != 0 {
        let name_at = at + ENTRY;
        let end = name_at + usize::from(raw[at]);
        if end > raw.len() {
            return Err(damaged(at, "an entry ends behind it"));
        }
        let (value_at, size) = (usize::from(le16(raw, at + 2)), le32(raw, at + 8));
        let inode = le32(raw, at + 4);
        let value = if inode == 0 {
            used += u64::from(size);
            let value = value_at.checked_add(size as usize).and_then(|end| raw.get(value_at..end));
            let value = value.filter(|_| used <= raw.len() as u64);
            value.ok_or_else(|| damaged(at, "the value of an entry ends behind it, or is another's too"))?
        } else {
            &[]
        };
        found.push(Entry { kind: raw[at + 1], name: &raw[name_at..end], inode, size, value, at, value_at });
        at = end.next_multiple_of(4);
    }
    Ok(found)
}

#[expect(clippy::too_many_arguments, reason = "one place, from two callers")]
fn collect(
    pass: &mut Pass<'_>,
    shared: &mut Shared,
    structure: Structure,
    raw: &[u8],
    base: u64,
    first: usize,
    left: &mut Vec<String>,
    found: &mut Attributes,
) -> Result<(), ExtError> {
    for entry in entries(pass, structure, raw, base, first)? {
        let damaged = |pass: &Pass<'_>, problem: String| ExtError::Damaged {
            structure,
            offset: pass.window.absolute(base + entry.at as u64),
            problem,
        };
        let prefix = match entry.kind {
            1 => "user.",
            2 => "system.posix_acl_access",
            3 => "system.posix_acl_default",
            4 => "trusted.",
            6 => "security.",
            // What is in the inode is the file's content, and the rest is how it is encrypted.
            7 if entry.name == b"data" => continue,
            7 => "system.",
            8 => "system.richacl",
            // Nobody is shown attributes without a class.
            0 | 9 => continue,
            other => return Err(damaged(pass, format!("`e_name_index` is {other}, and none that is known"))),
        };
        let Ok(name) = std::str::from_utf8(entry.name) else {
            let name = entry.name.escape_ascii();
            left.push(format!("the attribute `{prefix}{name}`: its name is not UTF-8"));
            continue;
        };
        if name.is_empty() == prefix.ends_with('.') {
            return Err(damaged(pass, format!("`{prefix}{name}` is no name of an attribute")));
        }
        let name = format!("{prefix}{name}");
        let value = match entry.inode {
            0 => entry.value.to_vec(),
            number => value(pass, shared, structure, number, entry.size)?,
        };
        let value = acl::from_disk(&name, value)
            .ok_or_else(|| damaged(pass, format!("`{name}` is no access control list")))?;
        if found.insert(name.clone(), value).is_some() {
            return Err(damaged(pass, format!("`{name}` is there twice")));
        }
    }
    Ok(())
}

/// A value that is the content of the inode `number`.
fn value(
    pass: &mut Pass<'_>,
    shared: &mut Shared,
    structure: Structure,
    number: u32,
    size: u32,
) -> Result<Vec<u8>, ExtError> {
    if let Some(value) = shared.values.get(&number) {
        return Ok(value.clone());
    }
    let wrong = |pass: &Pass<'_>, problem: String| ExtError::Damaged {
        structure,
        offset: pass.window.absolute(0),
        problem,
    };
    if !(pass.sup.first_inode..=pass.sup.inodes).contains(&number) {
        return Err(wrong(pass, format!("`e_value_inum` is {number}, which is no file's inode")));
    }
    let inode = pass.inode(number)?;
    let is_value = inode.is(IS_VALUE) && inode.kind() == Type::File;
    if !is_value || inode.size != u64::from(size) || inode.size > MOST_VALUE {
        return Err(wrong(pass, format!("inode {number} is no value of {size} bytes")));
    }
    let value = content(pass, &inode, MOST_VALUE)?;
    shared.values.insert(number, value.clone());
    Ok(value)
}

/// The content of an inode with blocks, which has at most `limit` bytes.
pub(super) fn content(pass: &mut Pass<'_>, inode: &Inode, limit: u64) -> Result<Vec<u8>, ExtError> {
    let mut bytes = vec![0; inode.size.min(limit) as usize];
    let size = pass.sup.block_size;
    for run in mapping::runs(pass, inode)? {
        let Some(part) = bytes.get_mut((run.logical * size) as usize..) else { break };
        let len = part.len().min((run.count * size) as usize);
        pass.window.read(pass.offset(run.physical), &mut part[..len], Structure::Content(inode.number))?;
    }
    Ok(bytes)
}

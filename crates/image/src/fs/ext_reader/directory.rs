//! Entries of a directory, read one behind the other: the tree of hashes over them only makes finding fast.
//!
//! Source: Linux `Documentation/filesystems/ext4/directory.rst`.

use mkext4::csum;

use super::{
    ROOT,
    error::{ExtError, Structure},
    features,
    inode::{INDEXED, INLINE, Inode},
    mapping,
    pass::Pass,
    window::{le16, le32},
    xattr,
};

/// An entry with a name of one byte.
const LEAST: usize = 12;

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DirEntry {
    pub(super) name: Vec<u8>,
    pub(super) inode: u32,
    /// What it is, or 0 if the directory does not say.
    pub(super) kind: u8,
    /// Where the entry is in the file system.
    pub(super) at: u64,
}

/// What is in the directory `inode`, which is in the directory `parent`; without `.` and `..`.
pub(super) fn entries(pass: &mut Pass<'_>, inode: &Inode, parent: u32) -> Result<Vec<DirEntry>, ExtError> {
    let mut found = Vec::new();
    if inode.is(INLINE) {
        inline(pass, inode, parent, &mut found)?;
        return Ok(found);
    }
    let structure = Structure::Directory(inode.number);
    let size = pass.sup.block_size;
    let damaged = |pass: &Pass<'_>, problem: String| ExtError::Damaged {
        structure,
        offset: pass.window.absolute(inode.at),
        problem,
    };
    if inode.size == 0 || !inode.size.is_multiple_of(size) {
        let problem = format!("`i_size` is {}, and not blocks of {size} bytes", inode.size);
        return Err(damaged(pass, problem));
    }
    let mut next = 0;
    for run in mapping::runs(pass, inode)? {
        for block in 0..run.count {
            if run.logical + block != next {
                return Err(damaged(pass, format!("block {next} of it is not there")));
            }
            pass.check_cancel()?;
            let raw = pass.block(run.physical + block, structure)?;
            let at = pass.offset(run.physical + block);
            check_sum(pass, inode, next, &raw, at)?;
            let from = found.len();
            parse(pass, structure, &raw, at, &mut found)?;
            if next == 0 {
                own(pass, structure, at, &found, [inode.number, parent])?;
                found.drain(..2);
            }
            if let Some(entry) = found[from.min(found.len())..].iter().find(|it| is_dots(&it.name)) {
                return Err(dots(pass, structure, entry));
            }
            next += 1;
        }
    }
    if next * size != inode.size {
        return Err(damaged(pass, format!("block {next} of it is not there")));
    }
    Ok(found)
}

/// A directory inside of its inode: its parent, entries, and more entries in an extended attribute.
fn inline(
    pass: &mut Pass<'_>,
    inode: &Inode,
    parent: u32,
    found: &mut Vec<DirEntry>,
) -> Result<(), ExtError> {
    let structure = Structure::Directory(inode.number);
    let said = le32(&inode.block, 0);
    if said != parent {
        return Err(ExtError::Field {
            structure,
            offset: pass.window.absolute(inode.at + 40),
            field: "inode of `..`",
            value: said.into(),
            wanted: parent.to_string(),
        });
    }
    parse(pass, structure, &inode.block[4..], inode.at + 44, found)?;
    if let Some((rest, at)) = xattr::inline_rest(pass, inode)? {
        parse(pass, structure, &rest, at, found)?;
    }
    match found.iter().find(|it| is_dots(&it.name)) {
        Some(entry) => Err(dots(pass, structure, entry)),
        None => Ok(()),
    }
}

fn is_dots(name: &[u8]) -> bool {
    matches!(name, b"." | b"..")
}

fn dots(pass: &Pass<'_>, structure: Structure, entry: &DirEntry) -> ExtError {
    let name = String::from_utf8_lossy(&entry.name);
    let problem = format!("`{name}` is there where a file's name should be");
    ExtError::Damaged { structure, offset: pass.window.absolute(entry.at), problem }
}

/// The first two entries are of the directory itself and of the one that it is in.
fn own(
    pass: &Pass<'_>,
    structure: Structure,
    at: u64,
    found: &[DirEntry],
    wanted: [u32; 2],
) -> Result<(), ExtError> {
    for (n, (name, wanted)) in [".", ".."].into_iter().zip(wanted).enumerate() {
        let entry = found.get(n);
        if entry.is_some_and(|entry| entry.name == name.as_bytes() && entry.inode == wanted) {
            continue;
        }
        let offset = pass.window.absolute(entry.map_or(at, |entry| entry.at));
        let problem = format!("its entry {n} is not `{name}` with inode {wanted}");
        return Err(ExtError::Damaged { structure, offset, problem });
    }
    Ok(())
}

/// The entries in `raw`, which is at `base`.
fn parse(
    pass: &Pass<'_>,
    structure: Structure,
    raw: &[u8],
    base: u64,
    found: &mut Vec<DirEntry>,
) -> Result<(), ExtError> {
    let mut at = 0;
    while at < raw.len() {
        let here = base + at as u64;
        let damaged = |problem| ExtError::Damaged { structure, offset: pass.window.absolute(here), problem };
        let field = |field_at: u64, field, value: u64, wanted: String| ExtError::Field {
            structure,
            offset: pass.window.absolute(here + field_at),
            field,
            value,
            wanted,
        };
        let room = raw.len() - at;
        if room < 8 {
            return Err(damaged(format!("{room} bytes are left, and an entry has 8 at least")));
        }
        let inode = le32(raw, at);
        let len = record_len(le16(raw, at + 4), raw.len());
        let with_kind = pass.sup.features.has(features::FILETYPE);
        let name_len = if with_kind { raw[at + 6].into() } else { usize::from(le16(raw, at + 6)) };
        let least = if inode == 0 { LEAST.min(room) } else { (8 + name_len).next_multiple_of(4) };
        if len < least || len > room || !len.is_multiple_of(4) {
            let wanted = format!("a multiple of 4 from {least} to {room}");
            return Err(field(4, "rec_len", len as u64, wanted));
        }
        if inode != 0 {
            let wanted = pass.sup.first_inode..=pass.sup.inodes;
            if inode != ROOT && !wanted.contains(&inode) {
                let wanted = format!("{} to {}", wanted.start(), wanted.end());
                return Err(field(0, "inode", inode.into(), wanted));
            }
            if !(1..=255).contains(&name_len) {
                return Err(field(6, "name_len", name_len as u64, "1 to 255".to_owned()));
            }
            let name = raw[at + 8..at + 8 + name_len].to_vec();
            if name.iter().any(|byte| matches!(byte, 0 | b'/')) {
                return Err(damaged(format!("the name `{}` has a slash or a NUL", name.escape_ascii())));
            }
            let kind = if with_kind { raw[at + 7] } else { 0 };
            found.push(DirEntry { name, inode, kind, at: here });
        }
        at += len;
    }
    Ok(())
}

/// The length of an entry, which has 16 bits for up to 65536.
fn record_len(raw: u16, size: usize) -> usize {
    let raw = usize::from(raw);
    if size < 1 << 16 {
        raw
    } else if raw == 0xffff || raw == 0 {
        size
    } else {
        raw & 0xfffc | (raw & 3) << 16
    }
}

/// The checksum of block `n` of a directory: at its end, or behind the hashes of one that has them.
fn check_sum(pass: &Pass<'_>, inode: &Inode, n: u64, raw: &[u8], at: u64) -> Result<(), ExtError> {
    if !pass.sup.features.has(features::METADATA_CSUM) {
        return Ok(());
    }
    let structure = Structure::Directory(inode.number);
    let damaged = |problem: &str| ExtError::Damaged {
        structure,
        offset: pass.window.absolute(at),
        problem: problem.to_owned(),
    };
    let size = raw.len();
    let is_node = le32(raw, 0) == 0 && record_len(le16(raw, 4), size) == size;
    let (stored, computed) = if inode.is(INDEXED) && (n == 0 || is_node) {
        let entries = if n == 0 { 32 } else { 8 };
        let (limit, count) = (le16(raw, entries), le16(raw, entries + 2));
        let tail = entries + 8 * usize::from(limit);
        if count > limit || tail + 8 > size {
            return Err(damaged("its hashes have no room for a checksum behind them"));
        }
        let covered = csum::crc32c_raw(inode.seed, &raw[..entries + 8 * usize::from(count)]);
        let computed = csum::crc32c_raw(csum::crc32c_raw(covered, &raw[tail..tail + 4]), &[0; 4]);
        (le32(raw, tail + 4), computed)
    } else {
        let tail = size - 12;
        if le32(raw, tail) != 0 || le16(raw, tail + 4) != 12 || raw[tail + 7] != 0xde {
            return Err(damaged("its block has no checksum"));
        }
        (le32(raw, size - 4), csum::crc32c_raw(inode.seed, &raw[..tail]))
    };
    if stored == computed {
        return Ok(());
    }
    Err(ExtError::Checksum { structure, offset: pass.window.absolute(at), stored, computed })
}

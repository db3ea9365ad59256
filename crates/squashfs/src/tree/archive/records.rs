//! What extension headers say about a member.
//!
//! Source: POSIX.1-2017 pax(1), "pax Extended Header"; GNU tar, `src/xheader.c` (`SCHILY.xattr.`, `RHT.security.`,
//! `GNU.sparse.`).

use super::{
    super::{Piece, limits::readable},
    sparse::{self, Sparse},
};

/// What extension headers say about a member.
#[derive(Clone, Debug, Default)]
pub(super) struct Records {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) mtime: Option<i128>,
    /// The path of a sparse file, when `path` names a place to put it for archivers that know nothing of holes.
    pub(super) sparse_path: Option<Vec<u8>>,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    selinux: Option<Vec<u8>>,
    acls: bool,
    sparse: SparseRecords,
}

/// What they say about holes, in the three ways in which GNU tar has said it.
#[derive(Clone, Debug, Default)]
struct SparseRecords {
    major: Option<u64>,
    size: Option<u64>,
    pieces: Vec<Piece>,
    offset: Option<u64>,
    map: bool,
}

impl Records {
    /// Adds what an extension header says.
    pub(super) fn parse(&mut self, mut bytes: &[u8]) -> Result<(), &'static str> {
        while !bytes.is_empty() && bytes[0] != 0 {
            let malformed = "a malformed pax record";
            let space = bytes.iter().take(20).position(|byte| *byte == b' ').ok_or(malformed)?;
            let length =
                decimal(&bytes[..space]).and_then(|length| usize::try_from(length).ok()).ok_or(malformed)?;
            let record = bytes
                .get(space + 1..length)
                .and_then(|record| record.strip_suffix(b"\n"))
                .ok_or(malformed)?;
            let equals = record.iter().position(|byte| *byte == b'=').ok_or(malformed)?;
            self.record(&record[..equals], &record[equals + 1..])?;
            bytes = &bytes[length..];
        }
        Ok(())
    }

    fn record(&mut self, key: &[u8], value: &[u8]) -> Result<(), &'static str> {
        let id = || decimal(value).and_then(|id| u32::try_from(id).ok()).ok_or("an owner out of range");
        match key {
            b"path" if value.contains(&0) => return Err("a path with a NUL"),
            b"GNU.sparse.name" => self.sparse_path = Some(value.to_vec()),
            b"path" => self.path = Some(value.to_vec()),
            b"linkpath" => self.link = Some(value.to_vec()),
            b"size" => {
                self.size =
                    Some(decimal(value).filter(|size| *size <= u64::MAX / 4).ok_or("a size out of range")?);
            }
            b"uid" => self.uid = Some(id()?),
            b"gid" => self.gid = Some(id()?),
            b"mtime" => self.mtime = Some(seconds(value).ok_or("a time that is no number")?),
            b"RHT.security.selinux" => self.selinux = Some([value, b"\0"].concat()),
            b"SCHILY.acl.access" | b"SCHILY.acl.default" | b"SCHILY.acl.ace" => self.acls = true,
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    self.xattrs.push((unescaped(name), value.to_vec()));
                } else if let Some(key) = key.strip_prefix(b"GNU.sparse.") {
                    return self.sparse.record(key, value);
                }
            }
        }
        Ok(())
    }

    /// Extended attributes by name; a later one of the same name counts.
    pub(super) fn xattrs(self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let selinux = self.selinux.map(|value| (b"security.selinux".to_vec(), value));
        selinux.into_iter().chain(self.xattrs).collect()
    }

    /// What of it a tree cannot hold.
    pub(super) fn lost(&self, path: &[u8]) -> Vec<String> {
        // GNU tar says it twice.
        let also = self.xattrs.iter().any(|(name, _)| name.starts_with(b"system.posix_acl_"));
        let lost =
            || format!("`{}` loses its access control list, which squashfs cannot hold", readable(path));
        if self.acls && !also { vec![lost()] } else { Vec::new() }
    }

    /// Where its holes are.
    pub(super) fn sparse(&self) -> Result<Sparse, &'static str> {
        let SparseRecords { major, size, pieces, offset, map } = &self.sparse;
        match (major, size) {
            (Some(1), Some(_)) => Ok(Sparse::InContent),
            (Some(1), None) => {
                Err("it is sparse and does not say how large it is: make it without `--sparse`")
            }
            (Some(2..), _) => Err("it is sparse in a way that is not known here: make it without `--sparse`"),
            (_, Some(_)) if offset.is_some() => Err("its sparse map is cut off: make it without `--sparse`"),
            (_, Some(_)) => Ok(Sparse::Known(pieces.clone())),
            (_, None) if *map || !pieces.is_empty() => {
                Err("it is sparse and does not say how large it is: make it without `--sparse`")
            }
            _ => Ok(Sparse::No),
        }
    }

    /// Bytes of a sparse file, holes too.
    pub(super) fn sparse_size(&self) -> Option<u64> {
        self.sparse.size
    }
}

impl SparseRecords {
    fn record(&mut self, key: &[u8], value: &[u8]) -> Result<(), &'static str> {
        let number = || decimal(value).ok_or("a sparse map that is no numbers");
        match key {
            b"major" => self.major = Some(number()?),
            b"size" | b"realsize" => self.size = Some(number()?),
            b"offset" => self.offset = Some(number()?),
            b"numbytes" => {
                let at = self.offset.take().ok_or("a sparse map in disorder")?;
                if self.pieces.len() >= sparse::PIECES {
                    return Err("a sparse file of too many pieces");
                }
                self.pieces.push(Piece { at, offset: 0, size: number()? });
            }
            b"map" => {
                self.map = true;
                self.pieces = sparse::parse_list(value)?;
            }
            _ => {}
        }
        Ok(())
    }
}

/// A whole number without a sign.
pub(super) fn decimal(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok().filter(|text| !text.starts_with('+'))?.parse().ok()
}

/// Whole seconds of a time with a fraction, rounded down as the kernel does.
fn seconds(value: &[u8]) -> Option<i128> {
    let text = std::str::from_utf8(value).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    let is_below = whole.starts_with('-') && fraction.bytes().any(|digit| digit != b'0');
    Some(i128::from(seconds) - i128::from(is_below))
}

/// GNU tar writes `=` and `%` in the name of an extended attribute as `%3D` and `%25`.
fn unescaped(name: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len());
    let mut at = 0;
    while at < name.len() {
        let (byte, length) = match name.get(at..at + 3) {
            Some(b"%3D") => (b'=', 3),
            Some(b"%25") => (b'%', 3),
            _ => (name[at], 1),
        };
        out.push(byte);
        at += length;
    }
    out
}

/// A number in a header: octal digits, or binary with its highest bit set.
pub(super) fn number(field: &[u8]) -> Option<i128> {
    let first = *field.first()?;
    if first & 0x80 != 0 {
        // 0x80 begins a positive number, 0xff a negative one.
        let start = if first & 0x40 != 0 { -1_i128 } else { 0 };
        let bits = i128::from(first & 0x7f) | if start < 0 { -0x80 } else { 0 };
        return Some(field[1..].iter().fold(bits, |sum, byte| (sum << 8) | i128::from(*byte)));
    }
    let text = std::str::from_utf8(field).ok()?;
    let digits = text.trim_matches(|c| c == ' ' || c == '\0');
    if digits.is_empty() { Some(0) } else { i128::from_str_radix(digits, 8).ok() }
}

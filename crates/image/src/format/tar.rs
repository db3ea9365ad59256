//! tar archives: ustar headers, with pax records for what these cannot say.
//!
//! An archive is a sequence of a 512-byte header and the file's data, padded to a multiple of 512; two blocks of zeros
//! end it. A pax header is a member of its own before the one that it is about.
//!
//! Source: POSIX.1-2017, `pax`, "ustar Interchange Format" and "pax Header Block"; for xattrs, the records
//! `SCHILY.xattr.NAME` that GNU tar, libarchive and every container engine write.

use std::collections::BTreeMap;

mod read;

pub(crate) use read::{Found, ScanError, looks_like, scan};

/// Bytes of a header, and what data is padded to.
pub(crate) const BLOCK: usize = 512;
/// Two blocks of zeros.
pub(crate) const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];
/// The largest number in a field of seven octal digits.
const MAX_ID: u32 = 0o777_7777;
/// The largest number in a field of eleven octal digits.
const MAX_SIZE: u64 = 0o777_7777_7777;

/// Types of members.
pub(crate) mod kind {
    pub(crate) const FILE: u8 = b'0';
    pub(crate) const HARD_LINK: u8 = b'1';
    pub(crate) const SYMLINK: u8 = b'2';
    pub(crate) const CHAR_DEVICE: u8 = b'3';
    pub(crate) const BLOCK_DEVICE: u8 = b'4';
    pub(crate) const DIRECTORY: u8 = b'5';
    pub(crate) const FIFO: u8 = b'6';
}

/// What is written about a member.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member<'a> {
    /// Its path; that of a directory ends in `/`.
    pub(crate) path: &'a str,
    /// Where a link leads, or `""`.
    pub(crate) link: &'a str,
    /// One of [`kind`].
    pub(crate) kind: u8,
    /// Permission bits.
    pub(crate) mode: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Bytes of data that follow.
    pub(crate) size: u64,
    /// Seconds since 1970-01-01 UTC, at most 2242-03-16.
    pub(crate) mtime: u64,
    /// Of a device.
    pub(crate) device: (u32, u32),
    /// By full name, which has no `=`.
    pub(crate) xattrs: Option<&'a BTreeMap<String, Vec<u8>>>,
}

/// The header of `member`, behind a pax header if it needs one. Its data follows, then [`padding`].
pub(crate) fn encode(member: &Member<'_>) -> Vec<u8> {
    let mut records = BTreeMap::new();
    let place = split(member.path);
    if place.is_none() {
        records.insert("path".to_owned(), member.path.as_bytes().to_vec());
    }
    if !fits(member.link) {
        records.insert("linkpath".to_owned(), member.link.as_bytes().to_vec());
    }
    let numbers = [("uid", member.uid), ("gid", member.gid)];
    for (name, id) in numbers.into_iter().filter(|(_, id)| *id > MAX_ID) {
        records.insert(name.to_owned(), id.to_string().into_bytes());
    }
    if member.size > MAX_SIZE {
        records.insert("size".to_owned(), member.size.to_string().into_bytes());
    }
    for (name, value) in member.xattrs.into_iter().flatten() {
        records.insert(format!("SCHILY.xattr.{name}"), value.clone());
    }
    let mut out = Vec::new();
    if !records.is_empty() {
        let body: Vec<u8> = records.iter().flat_map(|(name, value)| record(name, value)).collect();
        let about = Member {
            path: "PaxHeaders.0",
            link: "",
            kind: b'x',
            mode: 0o644,
            uid: 0,
            gid: 0,
            size: body.len() as u64,
            mtime: member.mtime,
            device: (0, 0),
            xattrs: None,
        };
        out.extend(ustar(&about, ("", "PaxHeaders.0")));
        out.extend(&body);
        out.extend(padding(body.len() as u64));
    }
    out.extend(ustar(member, place.unwrap_or(("", cut(member.path)))));
    out
}

/// Zeros from a place `written` bytes into the archive to the next block.
pub(crate) fn padding(written: u64) -> &'static [u8] {
    &END[..(written.next_multiple_of(BLOCK as u64) - written) as usize]
}

/// Whether text can stand in a field of 100 bytes: ASCII, because nothing says how a header is encoded.
fn fits(text: &str) -> bool {
    text.len() <= 100 && text.is_ascii()
}

/// As much of `text` as fits, for programs that know no pax.
fn cut(text: &str) -> &str {
    &text[..(0..=text.len().min(100)).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)]
}

/// A path in the fields for a prefix and a name, if it has a slash where it must be cut.
fn split(path: &str) -> Option<(&str, &str)> {
    if fits(path) {
        return Some(("", path));
    }
    if !path.is_ascii() || path.len() > 256 {
        return None;
    }
    // Not the slash at the end of a directory: a name is never empty.
    let slash = path[..path.len() - 1].bytes().take(156).rposition(|byte| byte == b'/')?;
    let (prefix, name) = (&path[..slash], &path[slash + 1..]);
    (slash > 0 && name.len() <= 100).then_some((prefix, name))
}

/// A pax record: its own length in decimal, a space, `name=value`, a newline.
fn record(name: &str, value: &[u8]) -> Vec<u8> {
    let rest = name.len() + value.len() + 3; // space, `=`, newline
    let mut len = rest;
    while len != rest + len.to_string().len() {
        len = rest + len.to_string().len();
    }
    [format!("{len} {name}=").as_bytes(), value, b"\n"].concat()
}

fn ustar(member: &Member<'_>, (prefix, name): (&str, &str)) -> [u8; BLOCK] {
    let mut header = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    let octal = |value: u64, digits: usize| format!("{value:0digits$o}").into_bytes();
    let id = |id: u32| octal(if id > MAX_ID { 0 } else { id.into() }, 7);
    put(0, name.as_bytes());
    put(100, &octal(member.mode.into(), 7));
    put(108, &id(member.uid));
    put(116, &id(member.gid));
    put(124, &octal(if member.size > MAX_SIZE { 0 } else { member.size }, 11));
    put(136, &octal(member.mtime.min(MAX_SIZE), 11));
    put(156, &[member.kind]);
    put(157, cut(member.link).as_bytes());
    put(257, b"ustar\x0000");
    put(329, &octal(member.device.0.into(), 7));
    put(337, &octal(member.device.1.into(), 7));
    put(345, prefix.as_bytes());
    let sum = checksum(&header);
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

/// The sum of all bytes of a header, those of the sum itself as spaces.
fn checksum(header: &[u8]) -> u32 {
    let sum = |bytes: &[u8]| bytes.iter().map(|byte| u32::from(*byte)).sum::<u32>();
    sum(&header[..148]) + 8 * u32::from(b' ') + sum(&header[156..BLOCK])
}

#[cfg(test)]
mod tests;

//! Reading an archive of any origin, member by member, in one pass.

use std::io::{self, Read};

use thiserror::Error;

use super::{BLOCK, checksum, kind};

/// Bytes of pax records, or of a GNU long name, that are read at most: extended attributes take up to 64 KiB each.
const MAX_EXTRA: u64 = 4 << 20;
/// More members than any archive has.
const MAX_MEMBERS: u64 = 16 << 20;

/// A member, as its headers describe it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// Which one it is, from 0.
    pub(crate) number: u64,
    pub(crate) path: Vec<u8>,
    /// Where a link leads.
    pub(crate) link: Vec<u8>,
    /// As in the header; what is no link, device or directory is a file.
    pub(crate) kind: u8,
    pub(crate) mode: u32,
    pub(crate) uid: u64,
    pub(crate) gid: u64,
    /// Bytes of data.
    pub(crate) size: u64,
    /// By full name.
    pub(crate) xattrs: Vec<(String, Vec<u8>)>,
}

/// What headers before a member say about it.
#[derive(Default)]
struct Extra {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u64>,
    gid: Option<u64>,
    xattrs: Vec<(String, Vec<u8>)>,
}

/// Whether the first block of a file is one of an archive: a header with the right checksum, or nothing but zeros.
pub(crate) fn looks_like(block: &[u8]) -> bool {
    block.len() >= BLOCK && (block[..BLOCK].iter().all(|byte| *byte == 0) || is_header(block))
}

fn is_header(block: &[u8]) -> bool {
    number(&block[148..156]) == Some(checksum(block).into())
}

/// Calls `seen` with every member and its data, of which it may leave any part unread. Returns how many there were.
///
/// Reads no more than the archive has: up to its end mark, or its end.
pub(crate) fn scan(
    mut from: impl Read,
    mut seen: impl FnMut(&Found, &mut dyn Read) -> io::Result<()>,
) -> Result<u64, ScanError> {
    let mut block = [0; BLOCK];
    let mut extra = Extra::default();
    let (mut members, mut at) = (0, 0_u64);
    loop {
        if !read_block(&mut from, &mut block).map_err(|error| cut_short(error, at))? {
            return Ok(members);
        }
        if block.iter().all(|byte| *byte == 0) {
            return Ok(members);
        }
        if !is_header(&block) {
            return Err(ScanError::Checksum { at });
        }
        let header_at = at;
        let damaged = |what| ScanError::Field { at: header_at, what };
        at += BLOCK as u64;
        let size = number(&block[124..136]).ok_or_else(|| damaged("size"))?;
        let padded = |size: u64| size.checked_next_multiple_of(BLOCK as u64);
        match block[156] {
            header @ (b'x' | b'g' | b'L' | b'K') => {
                if size > MAX_EXTRA {
                    return Err(damaged("size of an extended header"));
                }
                let mut body = Vec::new();
                let whole = padded(size).ok_or_else(|| damaged("size"))?;
                from.by_ref().take(whole).read_to_end(&mut body).map_err(|error| cut_short(error, at))?;
                if body.len() as u64 != whole {
                    return Err(ScanError::Cut { at });
                }
                at += whole;
                body.truncate(size as usize);
                extra.take(header, body).ok_or_else(|| damaged("extended header"))?;
            }
            b'S' => return Err(damaged("sparse file")),
            member => {
                members += 1;
                if members > MAX_MEMBERS {
                    return Err(ScanError::TooMany);
                }
                let extra = std::mem::take(&mut extra);
                let found =
                    found(&block, member, size, extra, members - 1).ok_or_else(|| damaged("number"))?;
                let whole = padded(found.size).ok_or_else(|| damaged("size"))?;
                let mut data = from.by_ref().take(whole);
                seen(&found, &mut (&mut data).take(found.size)).map_err(|error| cut_short(error, at))?;
                io::copy(&mut data, &mut io::sink()).map_err(|error| cut_short(error, at))?;
                if data.limit() > 0 {
                    return Err(ScanError::Cut { at });
                }
                at += whole;
            }
        }
    }
}

fn cut_short(error: io::Error, at: u64) -> ScanError {
    if error.kind() == io::ErrorKind::UnexpectedEof { ScanError::Cut { at } } else { ScanError::Read(error) }
}

/// A whole block, or whether there is none.
fn read_block(from: &mut impl Read, block: &mut [u8; BLOCK]) -> io::Result<bool> {
    let mut len = 0;
    while len < BLOCK {
        match from.read(&mut block[len..]) {
            Ok(0) if len == 0 => return Ok(false),
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(more) => len += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

fn found(block: &[u8; BLOCK], kind: u8, size: u64, extra: Extra, number_: u64) -> Option<Found> {
    let is_ustar = &block[257..262] == b"ustar";
    let prefix = if is_ustar && block[262] == 0 { text(&block[345..500]) } else { &[] };
    let name = text(&block[..100]);
    let path = if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() };
    // Links and directories have no data, whatever their header says.
    let has_data = !matches!(
        kind,
        kind::HARD_LINK
            | kind::SYMLINK
            | kind::CHAR_DEVICE
            | kind::BLOCK_DEVICE
            | kind::DIRECTORY
            | kind::FIFO
    );
    Some(Found {
        number: number_,
        path: extra.path.unwrap_or(path),
        link: extra.link.unwrap_or_else(|| text(&block[157..257]).to_vec()),
        kind,
        mode: (number(&block[100..108])? & 0o7777) as u32,
        uid: extra.uid.or_else(|| number(&block[108..116]))?,
        gid: extra.gid.or_else(|| number(&block[116..124]))?,
        size: if has_data { extra.size.unwrap_or(size) } else { 0 },
        xattrs: extra.xattrs,
    })
}

impl Extra {
    fn take(&mut self, header: u8, mut body: Vec<u8>) -> Option<()> {
        match header {
            b'L' | b'K' => {
                body.truncate(body.iter().position(|byte| *byte == 0).unwrap_or(body.len()));
                *(if header == b'L' { &mut self.path } else { &mut self.link }) = Some(body);
            }
            // Records for all members say nothing that is looked at here.
            b'g' => {}
            _ => {
                let mut rest = &body[..];
                while !rest.is_empty() {
                    rest = self.record(rest)?;
                }
            }
        }
        Some(())
    }

    /// Takes the first of `records`; returns the others.
    fn record<'a>(&mut self, records: &'a [u8]) -> Option<&'a [u8]> {
        let space = records.iter().take(20).position(|byte| *byte == b' ')?;
        let len: usize = std::str::from_utf8(&records[..space]).ok()?.parse().ok()?;
        let body = records.get(space + 1..len)?.strip_suffix(b"\n")?;
        let equals = body.iter().position(|byte| *byte == b'=')?;
        let (name, value) = (std::str::from_utf8(&body[..equals]).ok()?, &body[equals + 1..]);
        let number = || std::str::from_utf8(value).ok()?.parse().ok();
        match name {
            "path" => self.path = Some(value.to_vec()),
            "linkpath" => self.link = Some(value.to_vec()),
            "size" => self.size = Some(number()?),
            "uid" => self.uid = Some(number()?),
            "gid" => self.gid = Some(number()?),
            _ => {
                if let Some(name) = name.strip_prefix("SCHILY.xattr.") {
                    self.xattrs.push((name.to_owned(), value.to_vec()));
                }
            }
        }
        records.get(len..)
    }
}

fn text(field: &[u8]) -> &[u8] {
    &field[..field.iter().position(|byte| *byte == 0).unwrap_or(field.len())]
}

/// Octal digits between spaces and NULs, or GNU's big-endian number with the first bit set.
fn number(field: &[u8]) -> Option<u64> {
    if field[0] & 0x80 != 0 {
        if field[0] != 0x80 {
            return None; // negative, or too large for any file
        }
        let fold = |value: u64, byte: &u8| value.checked_mul(256)?.checked_add(u64::from(*byte));
        return field[1..].iter().try_fold(0, fold);
    }
    let digits = std::str::from_utf8(field).ok()?.trim_matches(['\0', ' ']);
    if digits.is_empty() { Some(0) } else { u64::from_str_radix(digits, 8).ok() }
}

/// Bytes that are no archive, or not a whole one.
#[derive(Debug, Error)]
pub(crate) enum ScanError {
    #[error("{0}")]
    Read(io::Error),
    #[error("the archive ends inside the member at byte {at}")]
    Cut { at: u64 },
    #[error("the checksum of the header at byte {at} is wrong")]
    Checksum { at: u64 },
    #[error("the {what} in the header at byte {at} cannot be understood")]
    Field { at: u64, what: &'static str },
    #[error("it has more than {MAX_MEMBERS} members")]
    TooMany,
}

impl From<io::Error> for ScanError {
    fn from(error: io::Error) -> Self {
        Self::Read(error)
    }
}

//! The `ar` container of Debian packages.
//!
//! Source: deb(5), and ar(5) for the header of a member: name 16 bytes, time 12, owner 6, group 6, mode 8, size 10
//! (all decimal ASCII but the mode), then `` `\n ``; members start at even offsets.

use std::io::Read;

use super::{
    fault::{Fault, Stop},
    limits,
};

/// What an `ar` archive starts with.
pub(crate) const MAGIC: &[u8; 8] = b"!<arch>\n";

/// Bytes of the header of a member.
const HEADER: u64 = 60;

/// Where the files of a package are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Data {
    /// Name of the member: `data.tar.xz`.
    pub(crate) name: String,
    /// First byte of its content.
    pub(crate) offset: u64,
    /// Bytes of its content.
    pub(crate) size: u64,
}

/// Reads up to the member with the files; `archive` is at byte 0 and has `length` bytes.
///
/// When this returns, `archive` is at the first byte of that member.
///
/// # Errors
///
/// If it is not a Debian package of format 2, or ends before the member does.
pub(crate) fn find_data(archive: &mut impl Read, length: u64) -> Result<Data, Stop> {
    let mut magic = [0; MAGIC.len()];
    read(archive, &mut magic, 0)?;
    if magic != *MAGIC {
        return Err(damaged(0, "a Debian package starts with `!<arch>`").into());
    }
    let mut at = MAGIC.len() as u64;
    for number in 0..limits::MEMBERS {
        let mut header = [0; HEADER as usize];
        read(archive, &mut header, at)?;
        let (name, size) = parse(&header).ok_or_else(|| damaged(at, "this is not the header of a member"))?;
        at += HEADER;
        if size > length.saturating_sub(at) {
            return Err(
                Fault::Truncated { part: format!("member `{name}`"), at: length.saturating_sub(at) }.into()
            );
        }
        match name.as_str() {
            _ if number > 0 && name.starts_with("data.tar") => return Ok(Data { name, offset: at, size }),
            "debian-binary" if number == 0 => at += format_version(archive, at, size)?,
            _ if number == 0 => return Err(damaged(at, "the first member is not `debian-binary`").into()),
            _ => skip(archive, size, at)?,
        }
        if name != "debian-binary" {
            at += size;
        }
        // Members start at even offsets.
        if at % 2 == 1 {
            skip(archive, 1, at)?;
            at += 1;
        }
    }
    Err(Fault::too_many("members before `data.tar`", limits::MEMBERS).into())
}

/// Reads the content of `debian-binary`, which must be `2.N`.
fn format_version(archive: &mut impl Read, at: u64, size: u64) -> Result<u64, Stop> {
    let mut version = vec![0; size.min(16) as usize];
    read(archive, &mut version, at)?;
    if !version.starts_with(b"2.") {
        let shown = String::from_utf8_lossy(&version).trim().to_owned();
        return Err(Fault::Unsupported {
            what: format!("a package of format `{shown}`"),
            remedy: "use packages of format 2.0",
        }
        .into());
    }
    skip(archive, size - version.len() as u64, at)?;
    Ok(size)
}

/// Name and size from the header of a member.
fn parse(header: &[u8; HEADER as usize]) -> Option<(String, u64)> {
    if header[58..] != *b"`\n" {
        return None;
    }
    let text = |range: std::ops::Range<usize>| std::str::from_utf8(&header[range]).ok();
    let name = text(0..16)?.trim_end().trim_end_matches('/');
    let size = text(48..58)?.trim_end();
    if name.is_empty() || !size.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some((name.to_owned(), size.parse().ok()?))
}

fn read(archive: &mut impl Read, buffer: &mut [u8], at: u64) -> Result<(), Stop> {
    let mut filled = 0;
    while filled < buffer.len() {
        match archive.read(&mut buffer[filled..]) {
            Ok(0) => {
                return Err(
                    Fault::Truncated { part: "the package".to_owned(), at: at + filled as u64 }.into()
                );
            }
            Ok(n) => filled += n,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn skip(archive: &mut impl Read, bytes: u64, at: u64) -> Result<(), Stop> {
    let skipped = std::io::copy(&mut archive.take(bytes), &mut std::io::sink())?;
    if skipped < bytes {
        return Err(Fault::Truncated { part: "the package".to_owned(), at: at + skipped }.into());
    }
    Ok(())
}

fn damaged(at: u64, reason: &str) -> Fault {
    Fault::Damaged { part: "the package".to_owned(), at, reason: reason.to_owned() }
}

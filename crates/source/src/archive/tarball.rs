//! The members of a tar archive, one after the other.
//!
//! The `tar` crate reads the fields of a header. The walk from header to header is ours, because every length in it
//! comes from the archive: what is longer than [`limits`] is refused before it is read into memory.
//!
//! Source: POSIX.1-2017 pax(1), and the GNU tar manual, "Basic Tar Format" (`L` and `K` members).

use std::collections::BTreeMap;

use tar::{EntryType, Header};

use super::{
    decode::Decoded,
    fault::{Fault, Stop},
    limits,
};

/// Bytes of a header, and what every content is padded to.
const BLOCK: u64 = 512;

/// One member of a tar archive, before its content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Member {
    /// As the archive has it.
    pub(crate) path: String,
    /// Bytes of content that follow.
    pub(crate) size: u64,
    /// Permission bits, 0 to 0o7777.
    pub(crate) mode: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) kind: MemberKind,
    pub(crate) xattrs: BTreeMap<String, Vec<u8>>,
}

/// What a member is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum MemberKind {
    #[default]
    File,
    Directory,
    Symlink(String),
    HardLink(String),
    CharDevice(u32, u32),
    BlockDevice(u32, u32),
    Fifo,
}

/// What extension headers say about the next member.
#[derive(Default)]
struct Extensions {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u32>,
    gid: Option<u32>,
    xattrs: BTreeMap<String, Vec<u8>>,
}

/// The next member, or `None` at the end of the archive, after which everything was read and verified.
///
/// The caller reads [`Member::size`] bytes and [`padding`] before it asks again.
///
/// # Errors
///
/// If there is no header here, or one that is too long to be honest.
pub(crate) fn next(stream: &mut Decoded<'_>) -> Result<Option<Member>, Stop> {
    let mut extensions = Extensions::default();
    loop {
        let mut block = [0; BLOCK as usize];
        let whole = match stream.fill(&mut block) {
            Err(Stop::Fault(Fault::Truncated { .. })) if stream.at() < BLOCK && stream.ended() => {
                return Err(stream.damaged(BLOCK, "this is not a tar archive").into());
            }
            filled => filled?,
        };
        if !whole {
            return Err(stream.truncated().into());
        }
        if block.iter().all(|byte| *byte == 0) {
            drain(stream)?;
            return Ok(None);
        }
        let header = Header::from_byte_slice(&block);
        verify(stream, header)?;
        let size = header.entry_size().map_err(|_| stream.damaged(BLOCK, "the size is not a number"))?;
        match header.entry_type() {
            EntryType::GNULongName => extensions.path = Some(text(extension(stream, size)?)),
            EntryType::GNULongLink => extensions.link = Some(text(extension(stream, size)?)),
            EntryType::XHeader => pax(stream, size, &mut extensions)?,
            EntryType::XGlobalHeader => drop(extension(stream, size)?),
            kind => return member(stream, header, kind, size, extensions).map(Some),
        }
    }
}

/// Bytes after `size` bytes of content until the next header.
pub(crate) const fn padding(size: u64) -> u64 {
    (BLOCK - size % BLOCK) % BLOCK
}

/// Reads what follows the end, so that the checksum of the compressed stream is looked at, too.
fn drain(stream: &mut Decoded<'_>) -> Result<(), Stop> {
    let end = stream.at();
    while !stream.next(u64::MAX)?.is_empty() {
        if stream.at() - end > limits::TRAILER {
            return Err(Fault::too_big("bytes after its end", stream.at() - end, limits::TRAILER).into());
        }
    }
    Ok(())
}

fn verify(stream: &Decoded<'_>, header: &Header) -> Result<(), Fault> {
    let bytes = header.as_bytes();
    let around = bytes[..148].iter().chain(&bytes[156..]);
    let sum: u32 = around.map(|byte| u32::from(*byte)).sum::<u32>() + 8 * u32::from(b' ');
    if header.cksum().ok() == Some(sum) {
        return Ok(());
    }
    let reason =
        if stream.at() <= BLOCK { "this is not a tar archive" } else { "the checksum of a header is wrong" };
    Err(stream.damaged(BLOCK, reason))
}

/// The content of an extension header.
fn extension(stream: &mut Decoded<'_>, size: u64) -> Result<Vec<u8>, Stop> {
    if size > limits::EXTENSION {
        return Err(Fault::too_big("an extension header", size, limits::EXTENSION).into());
    }
    let mut bytes = vec![0; size as usize];
    if size > 0 && !stream.fill(&mut bytes)? {
        return Err(stream.truncated().into());
    }
    stream.skip(padding(size))?;
    Ok(bytes)
}

/// Text up to its final NUL.
fn text(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    bytes.truncate(end);
    bytes
}

fn pax(stream: &mut Decoded<'_>, size: u64, into: &mut Extensions) -> Result<(), Stop> {
    let bytes = extension(stream, size)?;
    let damaged = |reason: &str| stream.damaged(size, reason);
    for record in tar::PaxExtensions::new(&bytes) {
        let record = record.map_err(|_| damaged("a pax record is malformed"))?;
        let key = record.key().map_err(|_| damaged("a pax key is not UTF-8"))?;
        let value = record.value_bytes();
        let number = || std::str::from_utf8(value).ok().and_then(|text| text.parse::<u64>().ok());
        let id = || {
            number().and_then(|id| u32::try_from(id).ok()).ok_or_else(|| damaged("an owner is not a number"))
        };
        match key {
            "path" => into.path = Some(value.to_vec()),
            "linkpath" => into.link = Some(value.to_vec()),
            "size" => into.size = Some(number().ok_or_else(|| damaged("the size is not a number"))?),
            "uid" => into.uid = Some(id()?),
            "gid" => into.gid = Some(id()?),
            _ if key.starts_with("GNU.sparse.") => return Err(sparse().into()),
            _ => {
                if let Some(name) = key.strip_prefix("SCHILY.xattr.") {
                    into.xattrs.insert(name.to_owned(), value.to_vec());
                }
            }
        }
    }
    Ok(())
}

fn sparse() -> Fault {
    Fault::Unsupported {
        what: "a tar archive with sparse files".to_owned(),
        remedy: "make it without `--sparse`",
    }
}

fn member(
    stream: &Decoded<'_>,
    header: &Header,
    kind: EntryType,
    size: u64,
    extensions: Extensions,
) -> Result<Member, Stop> {
    let path = utf8(extensions.path.unwrap_or_else(|| header.path_bytes().into_owned()))?;
    let link =
        || utf8(extensions.link.unwrap_or_else(|| header.link_name_bytes().unwrap_or_default().into_owned()));
    let number = |what: &str| stream.damaged(BLOCK, format!("the {what} of `{path}` is not a number"));
    let id = |value: std::io::Result<u64>| {
        value.ok().and_then(|id| u32::try_from(id).ok()).ok_or_else(|| number("owner"))
    };
    let device = || {
        let major = header.device_major().ok().flatten();
        major.zip(header.device_minor().ok().flatten()).ok_or_else(|| number("device"))
    };
    let kind = match kind {
        EntryType::Directory => MemberKind::Directory,
        // Archives older than POSIX mark a directory by its slash only.
        EntryType::Regular | EntryType::Continuous if path.ends_with('/') => MemberKind::Directory,
        EntryType::Regular | EntryType::Continuous => MemberKind::File,
        EntryType::Symlink => MemberKind::Symlink(link()?),
        EntryType::Link => MemberKind::HardLink(link()?),
        EntryType::Char => device().map(|(major, minor)| MemberKind::CharDevice(major, minor))?,
        EntryType::Block => device().map(|(major, minor)| MemberKind::BlockDevice(major, minor))?,
        EntryType::Fifo => MemberKind::Fifo,
        EntryType::GNUSparse => return Err(sparse().into()),
        _ => {
            let byte = header.as_bytes()[156];
            return Err(stream.damaged(BLOCK, format!("`{path}` is of the unknown type {byte:#04x}")).into());
        }
    };
    let mode = match kind {
        // Linux has no others.
        MemberKind::Symlink(_) => 0o777,
        _ => header.mode().map_err(|_| number("mode"))?,
    };
    Ok(Member {
        size: extensions.size.unwrap_or(size),
        mode: (mode & 0o7777) as u16,
        uid: extensions.uid.map_or_else(|| id(header.uid()), Ok)?,
        gid: extensions.gid.map_or_else(|| id(header.gid()), Ok)?,
        kind,
        xattrs: extensions.xattrs,
        path,
    })
}

fn utf8(bytes: Vec<u8>) -> Result<String, Fault> {
    String::from_utf8(bytes).map_err(|error| Fault::Path {
        path: readable(&String::from_utf8_lossy(error.as_bytes())),
        reason: "is not UTF-8",
    })
}

/// `path`, cut to what fits into a message.
pub(crate) fn readable(path: &str) -> String {
    const SHOWN: usize = 120;
    let shown: String = path.chars().take(SHOWN).collect();
    if shown.len() < path.len() { format!("{shown}…") } else { shown }
}

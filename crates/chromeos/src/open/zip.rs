//! Zip archives: which disk is in one, and where. Archives are only listed; names are shown and never used.
//!
//! Source: PKWARE, APPNOTE.TXT 6.3.10, section 4.3 and 4.5.3.

use camino::Utf8Path;
use thiserror::Error;

use super::{OpenError, parts::Parts};

/// The end of the central directory, and the most that can follow its begin: a comment.
const END: usize = 22;
const COMMENT_MAX: usize = 0xffff;
/// What says where the zip64 end is, and that end.
const LOCATOR: u64 = 20;
const END64: usize = 56;
/// A header of the central directory, and of a file, without name and extra field.
const CENTRAL: usize = 46;
const LOCAL: usize = 30;
/// A directory larger than this has no disk in it.
const DIRECTORY_MAX: u64 = 4 << 20;
/// Files of an archive that is looked through.
const ENTRIES_MAX: u64 = 4096;
/// Names that are shown.
const NAMES_SHOWN: usize = 10;
/// No disk of a Chromebook is larger.
const DISK_MAX: u64 = 64 << 30;

/// How a file is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Stored,
    Deflate,
}

/// A file in an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    name: Vec<u8>,
    method: u16,
    flags: u16,
    /// Of what it holds.
    pub(super) crc: u32,
    /// Bytes in the archive.
    pub(super) stored: u64,
    /// Bytes that it holds.
    pub(super) size: u64,
    /// Its local header.
    header: u64,
}

/// An archive's files.
#[derive(Debug)]
pub(super) struct Zip {
    entries: Vec<Entry>,
}

impl Entry {
    /// Its name, with nothing that a terminal would obey.
    pub(super) fn shown(&self) -> String {
        let name = String::from_utf8_lossy(&self.name);
        name.chars().take(80).map(|c| if c.is_control() { '?' } else { c }).collect()
    }

    /// How it is stored, if that can be read.
    pub(super) fn method(&self) -> Result<Method, ZipError> {
        if self.flags & 1 != 0 {
            return Err(ZipError::Encrypted { name: self.shown() });
        }
        match self.method {
            0 if self.stored == self.size => Ok(Method::Stored),
            0 => Err(ZipError::Size { name: self.shown(), found: self.stored, size: self.size }),
            8 => Ok(Method::Deflate),
            method => Err(ZipError::Method { name: self.shown(), method }),
        }
    }

    fn is_directory(&self) -> bool {
        self.name.ends_with(b"/")
    }

    fn is_called_disk(&self) -> bool {
        let name = self.name.to_ascii_lowercase();
        // What macOS adds to archives.
        !name.starts_with(b"__macosx/") && (name.ends_with(b".bin") || name.ends_with(b".img"))
    }

    /// The first byte of its data.
    pub(super) fn data(&self, parts: &Parts) -> Result<u64, OpenError> {
        let fail = |what: &str| zip_error(parts, ZipError::damaged("local header", self.header, what));
        if self.header.saturating_add(LOCAL as u64) > parts.size() {
            return Err(fail("it is outside of the archive"));
        }
        let mut header = [0; LOCAL];
        parts.read_at(self.header, &mut header)?;
        if !header.starts_with(b"PK\x03\x04") {
            return Err(fail("it has no magic number"));
        }
        if half(&header, 8) != self.method || half(&header, 6) & 1 != self.flags & 1 {
            return Err(fail("it contradicts the central directory"));
        }
        let (name, extra) = (half(&header, 26), half(&header, 28));
        let mut local = vec![0; usize::from(name)];
        let at = self.header + LOCAL as u64;
        let data = at + u64::from(name) + u64::from(extra);
        if data.checked_add(self.stored).is_none_or(|end| end > parts.size()) {
            return Err(fail("its data end outside of the archive"));
        }
        parts.read_at(at, &mut local)?;
        if local != self.name {
            return Err(fail("it has another name than the central directory"));
        }
        Ok(data)
    }
}

impl Zip {
    /// The archive that `parts` are, if they are one.
    pub(super) fn find(parts: &Parts, begin: &[u8]) -> Result<Option<Self>, OpenError> {
        if !begin.starts_with(b"PK\x03\x04") && !begin.starts_with(b"PK\x05\x06") {
            return Ok(None);
        }
        let size = parts.size();
        let from = size.saturating_sub((END + COMMENT_MAX) as u64);
        let mut tail = vec![0; (size - from) as usize];
        parts.read_at(from, &mut tail)?;
        let ends = |at: &usize| {
            let rest = &tail[*at..];
            rest.len() >= END && END + usize::from(half(rest, 20)) == rest.len()
        };
        let Some(at) = memchr::memmem::rfind_iter(&tail, b"PK\x05\x06").find(ends) else {
            return Err(zip_error(parts, ZipError::Truncated { size }));
        };
        let (count, length, offset) = directory(parts, &tail[at..], from + at as u64)?;
        let bad = |what: String| {
            zip_error(parts, ZipError::damaged("end of the central directory", from + at as u64, what))
        };
        if length > DIRECTORY_MAX || count > ENTRIES_MAX {
            return Err(bad(format!(
                "{count} files in a directory of {length} bytes: {ENTRIES_MAX} and {DIRECTORY_MAX} are the limits"
            )));
        }
        if offset.checked_add(length).is_none_or(|end| end > from + at as u64) {
            return Err(bad(format!("the directory of {length} bytes at byte {offset} ends behind it")));
        }
        let mut bytes = vec![0; length as usize];
        parts.read_at(offset, &mut bytes)?;
        let entries = entries(&bytes, offset, count).map_err(|error| zip_error(parts, error))?;
        Ok(Some(Self { entries }))
    }

    /// The one disk that it holds.
    pub(super) fn disk(&self, path: &Utf8Path) -> Result<&Entry, OpenError> {
        let fail = |error| OpenError::Zip { path: path.to_owned(), error };
        let files: Vec<_> = self.entries.iter().filter(|entry| !entry.is_directory()).collect();
        let disks: Vec<_> = files.iter().copied().filter(|entry| entry.is_called_disk()).collect();
        let entry = match (files.as_slice(), disks.as_slice()) {
            ([only], _) | (_, [only]) => *only,
            _ => {
                let names =
                    files.iter().take(NAMES_SHOWN).map(|entry| format!("`{}`", entry.shown())).collect();
                return Err(fail(ZipError::NoDisk { names, count: files.len() }));
            }
        };
        entry.method().map_err(fail)?;
        if entry.size > DISK_MAX {
            return Err(fail(ZipError::TooLarge { name: entry.shown(), size: entry.size, limit: DISK_MAX }));
        }
        Ok(entry)
    }
}

/// Number of files, bytes of the central directory, and its first byte; `end` is at byte `at`.
fn directory(parts: &Parts, end: &[u8], at: u64) -> Result<(u64, u64, u64), OpenError> {
    let plain = (u64::from(half(end, 10)), u64::from(word(end, 12)), u64::from(word(end, 16)));
    if plain.0 != 0xffff && plain.1 != 0xffff_ffff && plain.2 != 0xffff_ffff {
        return Ok(plain);
    }
    let bad =
        |what: &str| zip_error(parts, ZipError::damaged("zip64 end of the central directory", at, what));
    let mut locator = [0; LOCATOR as usize];
    let Some(from) = at.checked_sub(LOCATOR) else { return Ok(plain) };
    parts.read_at(from, &mut locator)?;
    if !locator.starts_with(b"PK\x06\x07") {
        // An archive may really have 65535 files.
        return Ok(plain);
    }
    let offset = long(&locator, 8);
    if offset.checked_add(END64 as u64).is_none_or(|end| end > from) {
        return Err(bad("it would be behind what says where it is"));
    }
    let mut end = [0; END64];
    parts.read_at(offset, &mut end)?;
    if !end.starts_with(b"PK\x06\x06") {
        return Err(bad("it has no magic number"));
    }
    Ok((long(&end, 32), long(&end, 40), long(&end, 48)))
}

/// The headers of a central directory, which begins at byte `base`.
fn entries(bytes: &[u8], base: u64, count: u64) -> Result<Vec<Entry>, ZipError> {
    let mut entries = Vec::new();
    let mut at = 0;
    for _ in 0..count {
        let bad = |what: &str| ZipError::damaged("central directory", base + at as u64, what);
        let rest = bytes
            .get(at..)
            .filter(|rest| rest.len() >= CENTRAL)
            .ok_or_else(|| bad("it ends inside of a header"))?;
        if !rest.starts_with(b"PK\x01\x02") {
            return Err(bad("a header has no magic number"));
        }
        let [name, extra, comment] = [28, 30, 32].map(|at| usize::from(half(rest, at)));
        let end = CENTRAL + name + extra + comment;
        if end > rest.len() {
            return Err(bad("a header ends behind it"));
        }
        let mut entry = Entry {
            name: rest[CENTRAL..CENTRAL + name].to_vec(),
            method: half(rest, 10),
            flags: half(rest, 8),
            crc: word(rest, 16),
            stored: u64::from(word(rest, 20)),
            size: u64::from(word(rest, 24)),
            header: u64::from(word(rest, 42)),
        };
        let extra = &rest[CENTRAL + name..CENTRAL + name + extra];
        widen(&mut entry, extra).ok_or_else(|| bad("a zip64 field is cut short"))?;
        entries.push(entry);
        at += end;
    }
    if at != bytes.len() {
        let what = format!("{count} headers take {at} of its {} bytes", bytes.len());
        return Err(ZipError::damaged("central directory", base, what));
    }
    Ok(entries)
}

/// Takes what does not fit into 32 bits from the extra field.
fn widen(entry: &mut Entry, mut extra: &[u8]) -> Option<()> {
    while extra.len() >= 4 {
        let (id, length) = (half(extra, 0), usize::from(half(extra, 2)));
        let mut data = extra.get(4..4 + length)?;
        if id == 1 {
            for field in [&mut entry.size, &mut entry.stored, &mut entry.header] {
                if *field == 0xffff_ffff {
                    let (value, rest) = data.split_first_chunk::<8>()?;
                    *field = u64::from_le_bytes(*value);
                    data = rest;
                }
            }
        }
        extra = &extra[4 + length..];
    }
    Some(())
}

fn half(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from(half(bytes, at)) | u32::from(half(bytes, at + 2)) << 16
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from(word(bytes, at)) | u64::from(word(bytes, at + 4)) << 32
}

/// With the path of the archive.
pub(super) fn zip_error(parts: &Parts, error: ZipError) -> OpenError {
    OpenError::Zip { path: parts.path(), error }
}

/// A zip archive is damaged, or not the one that is needed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ZipError {
    /// It has no end.
    #[error("the zip archive has no end within its {size} bytes: the download was cut short")]
    Truncated {
        /// Bytes of the file.
        size: u64,
    },
    /// A structure makes no sense.
    #[error("the zip archive is damaged: {structure} at byte {offset}: {what}")]
    Damaged {
        /// Its name.
        structure: &'static str,
        /// First byte.
        offset: u64,
        /// The field, and its value.
        what: String,
    },
    /// No file, or several.
    #[error(
        "the zip archive must hold one disk image (`.bin` or `.img`), and holds {count} files: {}{}",
        names.join(", "), if *count > names.len() { " …" } else { "" }
    )]
    NoDisk {
        /// The first of them.
        names: Vec<String>,
        /// All of them.
        count: usize,
    },
    /// It needs a password.
    #[error("`{name}` in the zip archive is encrypted")]
    Encrypted {
        /// Which one.
        name: String,
    },
    /// Another compression.
    #[error(
        "`{name}` in the zip archive is compressed by method {method}: 0 (stored) and 8 (deflate) are supported"
    )]
    Method {
        /// Which one.
        name: String,
        /// As APPNOTE.TXT counts.
        method: u16,
    },
    /// It says that it is larger than any disk.
    #[error("`{name}` in the zip archive has {size} bytes: {limit} is the limit")]
    TooLarge {
        /// Which one.
        name: String,
        /// Bytes.
        size: u64,
        /// Bytes.
        limit: u64,
    },
    /// More, or less, than is said.
    #[error("`{name}` in the zip archive holds {found} bytes, and the archive says {size}")]
    Size {
        /// Which one.
        name: String,
        /// At least these.
        found: u64,
        /// Bytes.
        size: u64,
    },
    /// The bytes are others.
    #[error("`{name}` in the zip archive is damaged: its CRC-32 is {found:08x} instead of {crc:08x}")]
    Crc {
        /// Which one.
        name: String,
        /// Of what it holds.
        found: u32,
        /// As the archive says.
        crc: u32,
    },
    /// The stream makes no sense.
    #[error("`{name}` in the zip archive cannot be unpacked at byte {offset} of the archive: {reason}")]
    Deflate {
        /// Which one.
        name: String,
        /// Where.
        offset: u64,
        /// What the decompressor says.
        reason: String,
    },
}

impl ZipError {
    fn damaged(structure: &'static str, offset: u64, what: impl Into<String>) -> Self {
        Self::Damaged { structure, offset, what: what.into() }
    }
}

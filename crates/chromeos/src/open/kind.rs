//! What a file is that is not an archive: a raw disk, or something that people get instead of one.

use camino::Utf8Path;

use super::{OpenError, parts::Parts};

/// What compressed files begin with; they have to be unpacked by hand.
const COMPRESSED: [(&[u8], &str); 5] = [
    (b"\x1f\x8b", "gzip"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"BZh", "bzip2"),
    (b"7z\xbc\xaf\x27\x1c", "7-Zip"),
];
/// Less than this holds no partition table.
const SIZE_MIN: u64 = 4096;
/// Entries of a partition table, and bytes of each, as firmware wants them.
const ENTRIES: u64 = 128;
const ENTRY: usize = 128;

/// Refuses what is no raw disk, or only the begin of one.
pub(super) fn raw(path: &Utf8Path, parts: &Parts, begin: &[u8]) -> Result<(), OpenError> {
    let no = |what: String| Err(OpenError::NoImage { path: path.to_owned(), what });
    let size = parts.size();
    if size == 0 {
        return no("it is empty".to_owned());
    }
    if let Some(text) = markup(begin) {
        return no(format!("it begins with `{text}`, and is a page of the web"));
    }
    if let Some((_, name)) = COMPRESSED.iter().find(|(magic, _)| begin.starts_with(magic)) {
        return no(format!("it is compressed with {name}: unpack it first"));
    }
    if size < SIZE_MIN {
        let text = String::from_utf8_lossy(&begin[..begin.len().min(32)]).into_owned();
        return no(format!("it has {size} bytes, and begins with {text:?}"));
    }
    match end_of_last(parts, begin)? {
        Some((needed, what)) if needed > size => {
            Err(OpenError::Short { path: path.to_owned(), found: size, needed, what })
        }
        _ => Ok(()),
    }
}

/// The first words of a page.
fn markup(begin: &[u8]) -> Option<String> {
    let text = begin.strip_prefix(b"\xef\xbb\xbf").unwrap_or(begin).trim_ascii_start();
    let first = text.get(..text.len().min(32))?;
    let lower = first.to_ascii_lowercase();
    let known = ["<!doctype", "<html", "<?xml", "<head", "<body"];
    known.iter().any(|tag| lower.starts_with(tag.as_bytes())).then(|| {
        let line = first.split(|byte| *byte == b'\n').next().unwrap_or_default();
        String::from_utf8_lossy(line).trim_end().to_owned()
    })
}

/// Where the last partition ends, and its number, by the primary table if that is as it should be; whoever reads the
/// disk reads the tables with care.
fn end_of_last(parts: &Parts, begin: &[u8]) -> Result<Option<(u64, String)>, OpenError> {
    let word =
        |at: usize| begin.get(at..).and_then(<[u8]>::first_chunk).map(|word| u64::from_le_bytes(*word));
    let known = begin.get(512..520).is_some_and(|magic| magic == b"EFI PART" || magic == b"CHROMEOS");
    let counts = word(512 + 80).map(|word| (word as u32, (word >> 32) as u32));
    let Some(table) = word(512 + 72).filter(|_| known && counts == Some((ENTRIES as u32, ENTRY as u32)))
    else {
        return Ok(None);
    };
    let from = table.saturating_mul(512);
    let bytes = ENTRIES * ENTRY as u64;
    if table < 2 || from.saturating_add(bytes) > parts.size() {
        return Ok(None);
    }
    let mut entries = vec![0; bytes as usize];
    parts.read_at(from, &mut entries)?;
    let crc = u64::from(crc32fast::hash(&entries));
    if word(512 + 88).map(|word| word & 0xffff_ffff) != Some(crc) {
        return Ok(None);
    }
    let ends = entries.as_chunks::<ENTRY>().0.iter().zip(1..).filter(|(entry, _)| entry[..16] != [0; 16]);
    let last = ends.map(|(entry, number)| {
        let last = entry[40..].first_chunk().map_or(0, |word| u64::from_le_bytes(*word));
        (last.saturating_add(1).saturating_mul(512), number)
    });
    Ok(last.max().map(|(end, number)| (end, format!("partition {number}"))))
}

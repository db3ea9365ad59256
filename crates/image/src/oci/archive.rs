//! Files in a directory or in a tar archive, one after the other.

use std::io::{self, BufReader, Read};

use camino::Utf8Path;
use thiserror::Error;

use crate::{
    compress::{self, Magic},
    format::tar::{self, ScanError, kind},
};

/// So many members are looked at before an archive without any file of an image is something else.
const MAX_STRANGERS: usize = 64;
/// Bytes read at once.
const BUFFER: usize = 256 << 10;

/// Something in a layout or an archive.
pub(super) enum Member<'a> {
    File { name: String, data: &'a mut dyn Read },
    Link { name: String, to: String },
}

/// Calls `seen` with everything at `path`, a directory or an archive; says how an archive is compressed.
pub(super) fn each(
    path: &Utf8Path,
    seen: &mut dyn FnMut(Member<'_>) -> io::Result<()>,
) -> Result<Option<Magic>, Unreadable> {
    if fs_err::metadata(path)?.is_dir() {
        for entry in walkdir::WalkDir::new(path).min_depth(1).max_depth(4).sort_by_file_name() {
            let entry = entry.map_err(io::Error::from)?;
            let Some(name) = entry.path().strip_prefix(path).ok().and_then(std::path::Path::to_str) else {
                continue;
            };
            // A blob may be a link: a store has each once.
            if fs_err::metadata(entry.path())?.is_file() {
                let mut file = fs_err::File::open(entry.path())?;
                seen(Member::File { name: name.to_owned(), data: &mut file })?;
            }
        }
        return Ok(None);
    }
    let mut file = fs_err::File::open(path)?;
    let mut start = Vec::new();
    file.by_ref().take(6).read_to_end(&mut start)?;
    let magic = Magic::of(&start);
    io::Seek::rewind(&mut file)?;
    let from = compress::decoder_of_all(magic, BufReader::with_capacity(BUFFER, file))?;
    tar::scan(BufReader::with_capacity(BUFFER, from), |found, data| {
        let name = String::from_utf8_lossy(&found.path);
        let name = name.trim_start_matches("./").to_owned();
        let to = String::from_utf8_lossy(&found.link);
        match found.kind {
            kind::HARD_LINK => seen(Member::Link { name, to: to.trim_start_matches("./").to_owned() }),
            kind::SYMLINK => {
                let beside = name.rsplit_once('/').map_or("", |(parent, _)| parent);
                match joined(beside, &to) {
                    Some(to) => seen(Member::Link { name, to }),
                    None => Ok(()),
                }
            }
            kind::DIRECTORY | kind::CHAR_DEVICE | kind::BLOCK_DEVICE | kind::FIFO => Ok(()),
            _ => seen(Member::File { name, data }),
        }
    })?;
    Ok(Some(magic))
}

/// Where a relative link in the directory `parent` of the archive leads; nothing if out of it.
fn joined(parent: &str, to: &str) -> Option<String> {
    let mut parts: Vec<&str> = parent.split('/').filter(|part| !part.is_empty()).collect();
    for part in to.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    (!to.starts_with('/')).then(|| parts.join("/"))
}

/// Whether there may be an image in what is at `path`, by the names of its first members.
pub(super) fn has_images(path: &Utf8Path) -> Result<bool, Unreadable> {
    if fs_err::metadata(path)?.is_dir() {
        return Ok(path.join("oci-layout").exists());
    }
    let (mut strangers, mut is_found) = (0, false);
    let read = each(path, &mut |member| {
        let (Member::File { name, .. } | Member::Link { name, .. }) = member;
        let (first, last) = (name.split('/').next().unwrap_or_default(), name.rsplit('/').next());
        let is_hex = |text: &str| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_found |= matches!(name.as_str(), "oci-layout" | "index.json" | "manifest.json")
            || name.starts_with("blobs/sha256/")
            || (is_hex(first.trim_end_matches(".json").trim_end_matches(".tar")) && last.is_some());
        strangers += 1;
        if is_found || strangers > MAX_STRANGERS { Err(io::Error::other("enough was read")) } else { Ok(()) }
    });
    match read {
        _ if is_found => Ok(true),
        Err(Unreadable::Io(error)) if error.kind() != io::ErrorKind::Other => Err(error.into()),
        _ => Ok(false),
    }
}

/// A layout or an archive cannot be read to its end.
#[derive(Debug, Error)]
pub(crate) enum Unreadable {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("{0}")]
    Damaged(ScanError),
}

impl From<ScanError> for Unreadable {
    fn from(error: ScanError) -> Self {
        match error {
            ScanError::Read(error) => Self::Io(error),
            other => Self::Damaged(other),
        }
    }
}

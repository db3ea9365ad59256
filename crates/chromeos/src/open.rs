//! Images as people have them: raw, in a zip archive, or in downloaded chunks.
//!
//! Bytes are judged by what they are, not by how the file is called; names inside of an archive are never paths.

use std::io;

use bootway_exec::Cx;
use bootway_plan::{Class, Explain};
use camino::{Utf8Path, Utf8PathBuf};
use fs_err::File;
use thiserror::Error;

use self::{
    digests::Digests,
    parts::{Chunks, ManifestError, Parts},
    sparse::Sparse,
    zip::{Zip, ZipError},
};

mod digests;
mod inflate;
mod kind;
mod parts;
mod sparse;
mod zip;

/// Copied between two looks at whether to stop.
const STRIDE: usize = 1 << 20;

/// A raw disk with the bytes of the image at `path`: the file itself, or one in `cx.scratch` called `name`.
///
/// `path` is a raw disk, a zip archive with one, or a directory of chunks with a `*.manifest` (or that manifest), whose
/// join is one or the other. `sha256` is held against the raw disk, or the file as it is; whichever it is, the digest
/// is computed in the same pass.
///
/// # Errors
///
/// If the image is none of these, is cut short, or has another digest.
pub fn open(
    cx: &Cx<'_>,
    path: &Utf8Path,
    name: &str,
    sha256: Option<&str>,
) -> Result<Utf8PathBuf, OpenError> {
    let chunks = Chunks::find(path)?;
    let mut digests = Digests::new(cx, sha256.or(chunks.as_ref().and_then(Chunks::sha256)));
    let parts = match &chunks {
        Some(chunks) => chunks.parts(cx, &mut digests)?,
        None => Parts::one(path)?,
    };
    let begin = parts.begin(4096)?;
    if let Some(archive) = Zip::find(&parts, &begin)? {
        let entry = archive.disk(path)?;
        let to = cx.scratch.join(name);
        let mut sparse = Sparse::create(&to, entry.size)?;
        inflate::extract(&parts, entry, &mut sparse, &mut digests)?;
        sparse.finish();
        digests.check(path)?;
        cx.note(format!("{path}: `{}` of the zip archive, {} bytes", entry.shown(), entry.size));
        return Ok(to);
    }
    kind::raw(path, &parts, &begin)?;
    if chunks.is_none() {
        if digests.wanted() {
            parts.stream(0..parts.size(), &mut digests, |_, digests, bytes| {
                digests.whole(bytes)?;
                Ok(())
            })?;
            digests.check(path)?;
        }
        return Ok(path.to_owned());
    }
    let to = cx.scratch.join(name);
    let mut sparse = Sparse::create(&to, parts.size())?;
    parts.stream(0..parts.size(), &mut digests, |_, digests, bytes| {
        digests.whole(bytes)?;
        sparse.write(bytes)
    })?;
    sparse.finish();
    digests.check(path)?;
    Ok(to)
}

/// Opens the archive that `bytes` are, and unpacks its disk to nowhere: for the fuzzer.
#[cfg(fuzzing)]
pub fn fuzz_zip(cx: &Cx<'_>, bytes: &[u8]) -> Result<(), OpenError> {
    let path = cx.scratch.join("input");
    fs_err::write(&path, bytes)?;
    open(cx, &path, "raw", Some(&"0".repeat(64))).map(drop)
}

/// An image cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// A file of the host.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Something that people get instead of an image.
    #[error("`{path}` is no image: {what}")]
    NoImage {
        /// Which file.
        path: Utf8PathBuf,
        /// What it is instead.
        what: String,
    },
    /// The image is longer than the file.
    #[error("`{path}` is cut short: it has {found} bytes, and {what} needs {needed}")]
    Short {
        /// Which file.
        path: Utf8PathBuf,
        /// Bytes that it has.
        found: u64,
        /// Bytes that it would have.
        needed: u64,
        /// What leads beyond the end.
        what: String,
    },
    /// A zip archive is damaged, or not the one that is needed.
    #[error("`{path}`: {error}")]
    Zip {
        /// Which file.
        path: Utf8PathBuf,
        /// What is wrong.
        error: ZipError,
    },
    /// Chunks are missing, or do not fit their manifest.
    #[error("`{path}`: {error}")]
    Manifest {
        /// Which manifest, or directory.
        path: Utf8PathBuf,
        /// What is wrong.
        error: ManifestError,
    },
    /// The disk does not fit.
    #[error("the disk for `{path}` has {size} bytes, and there are {free} free at `{dir}`")]
    NoRoom {
        /// Which file is to be written.
        path: Utf8PathBuf,
        /// Bytes of the disk.
        size: u64,
        /// Bytes that are free.
        free: u64,
        /// Where.
        dir: Utf8PathBuf,
    },
    /// Neither the file nor the disk in it has the digest.
    #[error("`{path}` has another SHA-256 than `{wanted}`: {found}")]
    Digest {
        /// Which file.
        path: Utf8PathBuf,
        /// As it was given.
        wanted: String,
        /// Of the file, and of the disk.
        found: String,
    },
    /// The digest that was given is none.
    #[error("`{wanted}` is no SHA-256: 64 hexadecimal digits are needed")]
    NoDigest {
        /// As it was given.
        wanted: String,
    },
    /// Someone asked to stop.
    #[error("cancelled")]
    Cancelled,
}

impl Explain for OpenError {
    fn class(&self) -> Class {
        match self {
            Self::NoRoom { .. } => Class::Environment,
            Self::Io(error)
                if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) =>
            {
                Class::Environment
            }
            Self::NoDigest { .. } => Class::Plan,
            Self::Cancelled => Class::Cancelled,
            _ => Class::Step,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoImage { .. } => "download it again, and look at what the address really gives".to_owned(),
            Self::Short { .. } => "download the rest of it".to_owned(),
            Self::Zip { error: ZipError::NoDisk { .. }, .. } => {
                "unpack it, and name the disk image in the plan".to_owned()
            }
            Self::Zip { .. } => "download it again: the archive is not whole".to_owned(),
            Self::Manifest { .. } => "download what is missing, next to the manifest".to_owned(),
            Self::NoRoom { .. } => {
                "free some space there, or give another place: `--work DIR` of a build, TMPDIR of `inspect`"
                    .to_owned()
            }
            Self::Digest { .. } => {
                "if the image was published with the new digest, put that into the plan".to_owned()
            }
            Self::Io(_) | Self::NoDigest { .. } | Self::Cancelled => return None,
        })
    }
}

/// The file, opened for reading, and its size; a block device has one, too.
fn open_file(path: &Utf8Path) -> Result<(File, u64), OpenError> {
    use io::Seek;
    let mut file = File::open(path)?;
    let size = file.seek(io::SeekFrom::End(0))?;
    Ok((file, size))
}

#[cfg(test)]
mod tests;

//! A file, or several that are one: chunks of a download with their manifest.

use std::{ops::Range, os::unix::fs::FileExt};

use bootway_exec::Cx;
use camino::{Utf8Path, Utf8PathBuf};
use fs_err::File;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::{
    OpenError, STRIDE,
    digests::{Digests, hex},
    open_file,
};

/// A manifest of the largest image has a few hundred names.
const MANIFEST_MAX: u64 = 1 << 20;
/// Chunks that are possible.
const CHUNKS_MAX: usize = 1 << 14;

/// Files that follow each other.
#[derive(Debug)]
pub(super) struct Parts {
    /// Where each begins, and its bytes.
    files: Vec<(Range<u64>, File)>,
}

impl Parts {
    /// A file alone.
    pub(super) fn one(path: &Utf8Path) -> Result<Self, OpenError> {
        let (file, size) = open_file(path)?;
        Ok(Self { files: vec![(0..size, file)] })
    }

    /// Bytes of all of them.
    pub(super) fn size(&self) -> u64 {
        self.files.last().map_or(0, |(range, _)| range.end)
    }

    /// The first file's path, for messages.
    pub(super) fn path(&self) -> Utf8PathBuf {
        let path = self.files.first().map(|(_, file)| file.path());
        path.and_then(|path| Utf8PathBuf::from_path_buf(path.to_owned()).ok()).unwrap_or_default()
    }

    /// The first bytes, at most `length`.
    pub(super) fn begin(&self, length: usize) -> Result<Vec<u8>, OpenError> {
        let mut bytes = vec![0; self.size().min(length as u64) as usize];
        self.read_at(0, &mut bytes)?;
        Ok(bytes)
    }

    /// Fills `buffer` from byte `at`.
    pub(super) fn read_at(&self, at: u64, buffer: &mut [u8]) -> Result<(), OpenError> {
        let mut done = 0;
        let mut index = self.files.partition_point(|(range, _)| range.end <= at);
        while done < buffer.len() {
            let at = at + done as u64;
            let Some((range, file)) = self.files.get(index) else {
                let error = std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
                return Err(error.into());
            };
            let length = (buffer.len() - done).min((range.end - at) as usize);
            file.file().read_exact_at(&mut buffer[done..done + length], at - range.start).map_err(
                |error| {
                    let path = file.path().display();
                    std::io::Error::new(error.kind(), format!("failed to read from file `{path}`: {error}"))
                },
            )?;
            done += length;
            index += 1;
        }
        Ok(())
    }

    /// Calls `each` with the bytes of `range`, in order, in strides.
    pub(super) fn stream(
        &self,
        range: Range<u64>,
        digests: &mut Digests<'_>,
        mut each: impl FnMut(u64, &mut Digests<'_>, &[u8]) -> Result<(), OpenError>,
    ) -> Result<(), OpenError> {
        let mut buffer = vec![0; STRIDE.min((range.end - range.start) as usize)];
        digests.set_total(range.end - range.start);
        let mut at = range.start;
        while at < range.end {
            let length = (range.end - at).min(buffer.len() as u64) as usize;
            self.read_at(at, &mut buffer[..length])?;
            each(at, digests, &buffer[..length])?;
            at += length as u64;
        }
        Ok(())
    }
}

/// A manifest as download sites write it.
#[derive(Debug, Deserialize)]
struct Manifest {
    /// Of all chunks together.
    size: u64,
    /// In order.
    chunks: Vec<ChunkEntry>,
    /// Of all chunks together, or of the disk.
    #[serde(default, alias = "sha256")]
    hash: Option<String>,
}

/// A chunk: its name, or more.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum ChunkEntry {
    Name(String),
    More {
        #[serde(alias = "file", alias = "path")]
        name: String,
        #[serde(default)]
        size: Option<u64>,
        #[serde(default, alias = "hash")]
        sha256: Option<String>,
    },
}

/// A chunk that a manifest names.
#[derive(Debug)]
struct Chunk {
    name: String,
    size: Option<u64>,
    sha256: Option<String>,
}

/// A manifest and the directory that it is in.
#[derive(Debug)]
pub(super) struct Chunks {
    path: Utf8PathBuf,
    dir: Utf8PathBuf,
    size: u64,
    list: Vec<Chunk>,
    hash: Option<String>,
}

impl Chunks {
    /// The chunks at `path`, if it is a directory, or a manifest.
    pub(super) fn find(path: &Utf8Path) -> Result<Option<Self>, OpenError> {
        let fail = |error| OpenError::Manifest { path: path.to_owned(), error };
        if !path.is_dir() {
            let name = path.as_str();
            let is_manifest = name.ends_with(".manifest") || name.ends_with(".manifest.json");
            return if is_manifest { Self::read(path).map(Some) } else { Ok(None) };
        }
        let mut manifests = Vec::new();
        for entry in fs_err::read_dir(path)? {
            let name = entry?.file_name();
            let name = name.to_string_lossy();
            if name.ends_with(".manifest") || name.ends_with(".manifest.json") {
                manifests.push(path.join(&*name));
            }
        }
        manifests.sort();
        match manifests.as_slice() {
            [only] => Self::read(only).map(Some),
            [] => Err(fail(ManifestError::None)),
            several => {
                let names = several.iter().filter_map(|path| path.file_name().map(str::to_owned));
                Err(fail(ManifestError::Several { names: names.collect() }))
            }
        }
    }

    fn read(path: &Utf8Path) -> Result<Self, OpenError> {
        let fail = |error| OpenError::Manifest { path: path.to_owned(), error };
        let size = fs_err::metadata(path)?.len();
        if size > MANIFEST_MAX {
            return Err(fail(ManifestError::TooLarge { size, limit: MANIFEST_MAX }));
        }
        let text = fs_err::read(path)?;
        let manifest: Manifest = serde_json::from_slice(&text)
            .map_err(|error| fail(ManifestError::Syntax { error: error.to_string() }))?;
        let count = manifest.chunks.len();
        if count == 0 || count > CHUNKS_MAX {
            return Err(fail(ManifestError::Count { count, limit: CHUNKS_MAX }));
        }
        let chunks = manifest.chunks.into_iter().map(|chunk| match chunk {
            ChunkEntry::Name(name) => Chunk { name, size: None, sha256: None },
            ChunkEntry::More { name, size, sha256 } => Chunk { name, size, sha256 },
        });
        let chunks = chunks.map(|chunk| {
            // A manifest may have addresses; the file has the last part of one.
            let name = chunk.name.rsplit('/').next().unwrap_or_default();
            if name.is_empty() || name == "." || name == ".." || name.contains('\0') {
                return Err(fail(ManifestError::Name { name: chunk.name }));
            }
            Ok(Chunk { name: name.to_owned(), ..chunk })
        });
        let dir = path.parent().filter(|dir| !dir.as_str().is_empty()).unwrap_or(Utf8Path::new("."));
        Ok(Self {
            path: path.to_owned(),
            dir: dir.to_owned(),
            size: manifest.size,
            list: chunks.collect::<Result<_, _>>()?,
            hash: manifest.hash,
        })
    }

    /// What the manifest says all of it has, if that is a SHA-256.
    pub(super) fn sha256(&self) -> Option<&str> {
        self.hash.as_deref().filter(|hash| hash.len() == 64)
    }

    /// The chunks, whose sizes add up.
    pub(super) fn parts(&self, cx: &Cx<'_>, digests: &mut Digests<'_>) -> Result<Parts, OpenError> {
        let fail = |error| OpenError::Manifest { path: self.path.clone(), error };
        let mut files: Vec<(Range<u64>, File)> = Vec::new();
        let mut missing = Vec::new();
        for chunk in &self.list {
            match open_file(&self.dir.join(&chunk.name)) {
                Ok((file, size)) => {
                    let begin = files.last().map_or(0, |(range, _)| range.end);
                    files.push((begin..begin.saturating_add(size), file));
                }
                Err(OpenError::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => {
                    missing.push(chunk.name.clone());
                }
                Err(error) => return Err(error),
            }
        }
        if !missing.is_empty() {
            let count = missing.len();
            missing.truncate(5);
            return Err(fail(ManifestError::Missing { names: missing, count, of: self.list.len() }));
        }
        let sizes: Vec<u64> = files.iter().map(|(range, _)| range.end - range.start).collect();
        self.check_sizes(&sizes).map_err(fail)?;
        let parts = Parts { files };
        for (chunk, (range, _)) in self.list.iter().zip(&parts.files) {
            let Some(wanted) = &chunk.sha256 else { continue };
            let mut hash = Sha256::new();
            parts.stream(range.clone(), digests, |_, digests, bytes| {
                hash.update(bytes);
                digests.alive()
            })?;
            let found = hex(hash);
            if !found.eq_ignore_ascii_case(wanted) {
                let (name, wanted) = (chunk.name.clone(), wanted.clone());
                return Err(fail(ManifestError::Digest { name, wanted, found }));
            }
        }
        cx.note(format!("{}: {} chunks, {} bytes", self.path, self.list.len(), self.size));
        Ok(parts)
    }

    /// Every chunk has the size that is said; where none is, all but the last have the same.
    fn check_sizes(&self, sizes: &[u64]) -> Result<(), ManifestError> {
        let usual = sizes.iter().copied().max().unwrap_or_default();
        let last = sizes.len() - 1;
        for (index, (chunk, &found)) in self.list.iter().zip(sizes).enumerate() {
            let before = usual.saturating_mul(last as u64);
            let expected = match chunk.size {
                Some(size) => size,
                None if index < last => usual,
                None => self.size.saturating_sub(before),
            };
            let sized = chunk.size.is_some() || self.list.iter().all(|chunk| chunk.size.is_none());
            if sized && found != expected {
                return Err(ManifestError::Size { name: chunk.name.clone(), found, expected });
            }
        }
        let found = sizes.iter().fold(0_u64, |sum, size| sum.saturating_add(*size));
        if found == self.size { Ok(()) } else { Err(ManifestError::Sum { found, expected: self.size }) }
    }
}

/// Chunks are missing, or do not fit their manifest.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ManifestError {
    /// No manifest in the directory.
    #[error("a directory without a `*.manifest`: chunks need the list of their names")]
    None,
    /// More than one.
    #[error("{} manifests: name the one that is meant: {}", names.len(), names.join(", "))]
    Several {
        /// Their names.
        names: Vec<String>,
    },
    /// Longer than any.
    #[error("a manifest of {size} bytes: {limit} are allowed")]
    TooLarge {
        /// Bytes.
        size: u64,
        /// Bytes.
        limit: u64,
    },
    /// Not JSON, or not with `size` and `chunks`.
    #[error("no manifest: {error}; `size` and `chunks` are needed")]
    Syntax {
        /// What the parser says.
        error: String,
    },
    /// None, or too many.
    #[error("a manifest of {count} chunks: 1 to {limit} are allowed")]
    Count {
        /// Names.
        count: usize,
        /// Names.
        limit: usize,
    },
    /// A name that is no file's.
    #[error("a chunk is called `{name}`, which is no name of a file")]
    Name {
        /// As it is written.
        name: String,
    },
    /// Files that are not there.
    #[error("{count} of {of} chunks are missing: {}{}", names.join(", "), if *count > names.len() { " …" } else { "" })]
    Missing {
        /// The first of them.
        names: Vec<String>,
        /// All of them.
        count: usize,
        /// Chunks of the manifest.
        of: usize,
    },
    /// A file of another size.
    #[error("the chunk `{name}` has {found} bytes instead of {expected}")]
    Size {
        /// Which one.
        name: String,
        /// Bytes.
        found: u64,
        /// Bytes.
        expected: u64,
    },
    /// All of them together.
    #[error("the chunks have {found} bytes together, and the manifest says {expected}")]
    Sum {
        /// Bytes.
        found: u64,
        /// Bytes.
        expected: u64,
    },
    /// A file with other bytes.
    #[error("the chunk `{name}` has the SHA-256 `{found}` instead of `{wanted}`")]
    Digest {
        /// Which one.
        name: String,
        /// As the manifest has it.
        wanted: String,
        /// As it is.
        found: String,
    },
}

//! Digests of files that were there before the run, computed once for each state of a file.
//!
//! A file whose size, times and inode are those of the last look has the digest of the last look: an unchanged tree
//! of 20 000 files is not read again.

use std::{collections::BTreeMap, io, os::unix::fs::MetadataExt as _, sync::Mutex};

use bootway_plan::{Bytes, Digest, Digester};
use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

/// What a file looked like: size, modification and change time in nanoseconds.
type Look = (u64, i64, i64, i64, i64);

/// Remembers digests by device, inode and look, so that a file that is only renamed is not read again.
#[derive(Debug)]
pub(crate) struct Digests {
    file: Utf8PathBuf,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    files: BTreeMap<String, Seen>,
    changed: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Seen {
    look: Look,
    digest: Digest,
}

/// A directory or file that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Listing {
    /// Of everything below.
    pub(crate) digest: Digest,
    /// Of all regular files.
    pub(crate) size: Bytes,
    /// Each file by its path below the directory; of a file that is no directory, itself under `""`.
    pub(crate) files: BTreeMap<String, String>,
}

impl Digests {
    /// Reads what is remembered in `file`; what cannot be read is forgotten.
    pub(crate) fn load(file: Utf8PathBuf) -> Self {
        let text = fs_err::read(&file).unwrap_or_default();
        let files = serde_json::from_slice(&text).unwrap_or_default();
        Self { file, known: Mutex::new(Known { files, changed: false }) }
    }

    /// Writes what is remembered, if it has changed.
    pub(crate) fn save(&self) -> io::Result<()> {
        let known = self.known.lock().expect("no user of it panics");
        if !known.changed {
            return Ok(());
        }
        let partial = self.file.with_file_name(".partial-digests");
        fs_err::write(&partial, serde_json::to_vec(&known.files)?)?;
        fs_err::rename(&partial, &self.file)
    }

    /// The digest of a file's bytes.
    pub(crate) fn file(&self, path: &Utf8Path) -> io::Result<Digest> {
        let (key, look) = key_and_look(&fs_err::metadata(path)?);
        if let Some(seen) = self.known.lock().expect("no user of it panics").files.get(&key)
            && seen.look == look
        {
            return Ok(seen.digest);
        }
        let mut digester = Digester::default();
        io::copy(&mut io::BufReader::with_capacity(1 << 20, fs_err::File::open(path)?), &mut digester)?;
        let digest = digester.finish();
        self.remember(key, Seen { look, digest });
        Ok(digest)
    }

    /// Remembers what somebody found who has just read the file where it is; returns how big it is.
    pub(crate) fn learn(&self, path: &Utf8Path, digest: Digest) -> io::Result<u64> {
        let metadata = fs_err::metadata(path)?;
        let (key, look) = key_and_look(&metadata);
        self.remember(key, Seen { look, digest });
        Ok(metadata.len())
    }

    fn remember(&self, key: String, seen: Seen) {
        let mut known = self.known.lock().expect("no user of it panics");
        known.changed = true;
        known.files.insert(key, seen);
    }

    /// A file, or everything in a directory, in the order of names.
    ///
    /// Owners and permission bits count only with `keep`; otherwise only whether a file may be executed.
    pub(crate) fn look(&self, path: &Utf8Path, keep: bool) -> io::Result<Listing> {
        let mut files = BTreeMap::new();
        let mut size = 0;
        let metadata = fs_err::metadata(path)?;
        if metadata.is_dir() {
            for entry in walkdir::WalkDir::new(path).min_depth(1).sort_by_file_name() {
                let entry = entry.map_err(io::Error::from)?;
                let inner = Utf8Path::from_path(entry.path())
                    .ok_or_else(|| io::Error::other(format!("{} is not UTF-8", entry.path().display())))?;
                let name = inner.strip_prefix(path).expect("a walk stays below its root").to_string();
                let metadata = fs_err::symlink_metadata(inner)?;
                files.insert(name, self.describe(inner, &metadata, keep, &mut size)?);
            }
        } else {
            size = metadata.len();
            files.insert(String::new(), self.file(path)?.to_string());
        }
        let digest = match files.get("") {
            Some(only) if !metadata.is_dir() => only.parse().expect("it was printed a line above"),
            _ => Digest::of(&serde_json::to_vec(&files)?),
        };
        Ok(Listing { digest, size: Bytes::new(size), files })
    }

    fn describe(
        &self,
        path: &Utf8Path,
        metadata: &std::fs::Metadata,
        keep: bool,
        size: &mut u64,
    ) -> io::Result<String> {
        let kind = metadata.file_type();
        let what = if kind.is_symlink() {
            format!("link {}", fs_err::read_link(path)?.display())
        } else if kind.is_file() {
            *size += metadata.len();
            let executable = if metadata.mode() & 0o100 == 0 { "file" } else { "program" };
            format!("{executable} {}", self.file(path)?)
        } else if kind.is_dir() {
            "directory".to_owned()
        } else {
            format!("special {} {}", metadata.mode(), metadata.rdev())
        };
        Ok(if keep {
            format!("{what} {:o} {}:{}", metadata.mode(), metadata.uid(), metadata.gid())
        } else {
            what
        })
    }
}

fn key_and_look(metadata: &std::fs::Metadata) -> (String, Look) {
    let look =
        (metadata.len(), metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec());
    (format!("{:x}:{:x}", metadata.dev(), metadata.ino()), look)
}

impl Listing {
    /// The first file that differs from an `earlier` look, and how.
    pub(crate) fn first_change(&self, earlier: &Self) -> Option<String> {
        let name =
            |file: &str| if file.is_empty() { "the file itself".to_owned() } else { format!("`{file}`") };
        let changed = self.files.iter().find_map(|(file, now)| match earlier.files.get(file) {
            None => Some(format!("{} is new", name(file))),
            Some(before) if before != now => Some(format!("{} has changed", name(file))),
            Some(_) => None,
        });
        let gone = || earlier.files.keys().find(|file| !self.files.contains_key(*file));
        changed.or_else(|| gone().map(|file| format!("{} is gone", name(file))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_learnt_is_not_read_again_until_the_file_is_another() {
        let dir = tempfile::tempdir().unwrap();
        let file = Utf8Path::from_path(dir.path()).unwrap().join("file");
        let digests = Digests::load(dir.path().join("digests.json").try_into().unwrap());
        fs_err::write(&file, "as it is").unwrap();
        let said = Digest::of(b"what was said of it");
        assert_eq!(digests.learn(&file, said).unwrap(), 8);
        assert_eq!(digests.file(&file).unwrap(), said, "it was read in spite of that");
        fs_err::write(&file, "another now").unwrap();
        assert_eq!(digests.file(&file).unwrap(), Digest::of(b"another now"));
    }
}

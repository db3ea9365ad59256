//! Digests of files and directories that no step made, without reading twice what has not changed.

use std::{collections::BTreeMap, fmt::Write as _, io::Read, os::unix::fs::MetadataExt};

use bootway_exec::Cancel;
use bootway_plan::{Bytes, Digest, Digester, Manifest, step::Owners};
use camino::{Utf8Path, Utf8PathBuf};

use super::{Content, NodeKind, TreeError, load::load_directory, write::entry};

/// Nanoseconds in which a file could change again without a new time stamp; file systems count in up to 2 s.
const RACY: i128 = 2_000_000_000;
/// How much is read between two looks at the cancellation.
const STRIDE: usize = 256 << 10;

/// Digests by path, trusted as long as the file's size, times and inode number are the same.
///
/// A file that changed less than two seconds before it was read is not remembered: it could change again without a
/// new time stamp.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DigestCache {
    digests: BTreeMap<Utf8PathBuf, (Stat, Digest)>,
    changed: bool,
    racy: i128,
}

impl Default for DigestCache {
    /// An empty one.
    fn default() -> Self {
        Self { digests: BTreeMap::new(), changed: false, racy: RACY }
    }
}

/// What tells a changed file from the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    size: u64,
    mtime: i128,
    ctime: i128,
    device: u64,
    inode: u64,
}

impl Stat {
    fn of(metadata: &std::fs::Metadata) -> Self {
        let nanos = |seconds: i64, nanos: i64| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
        Self {
            size: metadata.len(),
            mtime: nanos(metadata.mtime(), metadata.mtime_nsec()),
            ctime: nanos(metadata.ctime(), metadata.ctime_nsec()),
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }
}

impl DigestCache {
    /// Reads what [`save`](Self::save) wrote. It is a cache: what is missing or damaged is computed again.
    pub fn load(path: &Utf8Path) -> Self {
        let text = fs_err::read_to_string(path).unwrap_or_default();
        Self { digests: text.lines().filter_map(line).collect(), ..Self::default() }
    }

    /// Writes it to `path`, whole or not at all, if anything has changed since it was loaded.
    pub fn save(&self, path: &Utf8Path) -> std::io::Result<()> {
        if !self.changed {
            return Ok(());
        }
        let mut text = String::new();
        for (path, (stat, digest)) in self.digests.iter().filter(|(path, _)| !path.as_str().contains('\n')) {
            let Stat { size, mtime, ctime, device, inode } = stat;
            writeln!(text, "{digest} {size} {mtime} {ctime} {device} {inode} {path}")
                .expect("a string grows");
        }
        let partial = Utf8PathBuf::from(format!("{path}.partial"));
        fs_err::write(&partial, text)?;
        fs_err::rename(partial, path)
    }

    /// The digest of the file at `path` and its size.
    pub fn digest_file(&mut self, path: &Utf8Path, cancel: &Cancel) -> Result<(Digest, Bytes), TreeError> {
        let stat = Stat::of(&fs_err::metadata(path)?);
        if let Some((known, digest)) = self.digests.get(path)
            && *known == stat
        {
            return Ok((*digest, Bytes::new(stat.size)));
        }
        let mut file = fs_err::File::open(path)?;
        let mut digester = Digester::default();
        let mut buffer = vec![0; STRIDE];
        let mut read = 0;
        loop {
            if cancel.is_cancelled() {
                return Err(TreeError::Cancelled);
            }
            let length = file.read(&mut buffer)?;
            if length == 0 {
                break;
            }
            read += length as u64;
            digester.update(&buffer[..length]);
        }
        let after = Stat::of(&file.metadata()?);
        if after != stat || read != stat.size {
            return Err(TreeError::Changed { path: path.to_owned(), expected: stat.size, found: read });
        }
        let digest = digester.finish();
        self.changed = true;
        // The clock of the file system's time stamps; it decides only what is read again.
        let now = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
        let now = i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec);
        if stat.ctime.max(stat.mtime) < now - self.racy {
            self.digests.insert(path.to_owned(), (stat, digest));
        } else {
            self.digests.remove(path);
        }
        Ok((digest, Bytes::new(stat.size)))
    }

    /// The digest of the directory at `path` as a tree with these owners, and the bytes of its files: the same as of
    /// the manifest that a `tree` step would write.
    pub fn digest_tree(
        &mut self,
        path: &Utf8Path,
        owners: Owners,
        cancel: &Cancel,
    ) -> Result<(Digest, Bytes), TreeError> {
        let tree = load_directory(path, owners, cancel)?;
        let mut manifest = Manifest::default();
        for (name, node) in &tree.nodes {
            let digest = match &node.kind {
                NodeKind::File(Content::File { path, .. }) => Some(self.digest_file(path, cancel)?.0),
                _ => None,
            };
            let entry = entry(node, || digest.expect("every file of a directory was digested"));
            manifest.entries.insert(name.clone(), entry);
        }
        Ok((manifest.digest(), Bytes::new(manifest.content_size())))
    }
}

fn line(line: &str) -> Option<(Utf8PathBuf, (Stat, Digest))> {
    let mut words = line.splitn(7, ' ');
    let digest = words.next()?.parse().ok()?;
    let size = words.next()?.parse().ok()?;
    let mtime = words.next()?.parse().ok()?;
    let ctime = words.next()?.parse().ok()?;
    let device = words.next()?.parse().ok()?;
    let inode = words.next()?.parse().ok()?;
    Some((words.next()?.into(), (Stat { size, mtime, ctime, device, inode }, digest)))
}

#[cfg(test)]
mod tests {
    use bootway_exec::{Sandbox, SystemRunner};

    use super::*;
    use crate::tree;

    #[test]
    fn an_unchanged_file_is_not_read_again() {
        let runner = SystemRunner::default();
        let sandbox = Sandbox::new(&runner);
        let (file, saved) = (sandbox.root().join("f"), sandbox.root().join("digests"));
        fs_err::write(&file, "one").unwrap();
        let mut cache = DigestCache { racy: i128::MIN / 2, ..DigestCache::default() };
        assert_eq!(cache.digest_file(&file, &sandbox.cancel).unwrap(), (Digest::of(b"one"), Bytes::new(3)));
        // What it remembers is what it says, so a wrong memory shows that nothing was read.
        cache.digests.get_mut(&file).unwrap().1 = Digest::of(b"remembered");
        cache.save(&saved).unwrap();
        let mut loaded = DigestCache::load(&saved);
        assert_eq!(loaded.digest_file(&file, &sandbox.cancel).unwrap().0, Digest::of(b"remembered"));
        fs_err::write(&file, "two").unwrap();
        assert_eq!(loaded.digest_file(&file, &sandbox.cancel).unwrap().0, Digest::of(b"two"));
    }

    #[test]
    fn a_file_that_may_still_change_is_not_remembered() {
        let runner = SystemRunner::default();
        let sandbox = Sandbox::new(&runner);
        let file = sandbox.root().join("f");
        fs_err::write(&file, "one").unwrap();
        let mut cache = DigestCache::default();
        cache.digest_file(&file, &sandbox.cancel).unwrap();
        assert_eq!(cache.digests.len(), 0);
    }

    #[test]
    fn a_damaged_cache_is_an_empty_one() {
        let runner = SystemRunner::default();
        let sandbox = Sandbox::new(&runner);
        let saved = sandbox.root().join("digests");
        for text in [&b"\xff\xfe"[..], b"no digest\n\n", b""] {
            fs_err::write(&saved, text).unwrap();
            assert_eq!(DigestCache::load(&saved), DigestCache::default());
        }
    }

    #[test]
    fn a_directory_has_the_digest_of_the_tree_that_is_made_of_it() {
        let runner = SystemRunner::default();
        let sandbox = Sandbox::new(&runner);
        let dir = sandbox.root().join("d");
        fs_err::create_dir_all(dir.join("bin")).unwrap();
        fs_err::write(dir.join("bin/sh"), "#!").unwrap();
        fs_err::os::unix::fs::symlink("bin/sh", dir.join("init")).unwrap();
        let digest = DigestCache::default().digest_tree(&dir, Owners::Root, &sandbox.cancel).unwrap();
        let loaded = load_directory(&dir, Owners::Root, &sandbox.cancel).unwrap();
        let made = tree::write(&sandbox.cx(), &loaded, &sandbox.root().join("made")).unwrap();
        assert_eq!(digest, (made.digest(), Bytes::new(2)));
    }
}

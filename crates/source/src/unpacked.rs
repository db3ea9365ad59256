//! Sources of packages: unpacked once, kept by content, and copied for each build.
//!
//! ```text
//! cache/unpacked/KEY/       of the archive's digest and what is kept of it
//!   tree  tree.manifest     as `unpack` makes them
//!   manifest.sha256         of the manifest's text
//! cache/unpacked/.lock-KEY  held by whoever makes, copies or removes it
//! ```
//!
//! A build works in a copy and cannot change what is kept. Whoever else has changed it, or a disk, is noticed while it is
//! copied: every file is read then, and has the digest that the manifest says.

use std::{
    io::{self, Read as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use bootway_exec::{Cx, Input, remove_all};
use bootway_plan::{Digest, Digester, EntryKind, Manifest, TreePath};
use camino::{Utf8Path, Utf8PathBuf};
use fs_err::File;
use rustix::fs::{FlockOperation, flock};

use crate::{
    archive::{Archive, ArchiveError, Selection, Unpacker},
    lock::lock,
    meter::Meter,
    unpack::{UnpackError, note_unused},
};

/// Changed whenever the same archive would be unpacked to something else than before.
const FORMAT: u32 = 1;

/// Bytes that are copied at once.
const PIECE: usize = 256 << 10;

/// The name of what is kept of an archive with this digest, where only what matches `keep` is unpacked.
pub fn unpacked_key(archive: Digest, keep: &[String]) -> Digest {
    Digest::of(&serde_json::to_vec(&(FORMAT, archive, keep)).expect("plain data"))
}

/// Where what is unpacked is kept in a cache, each by its [`unpacked_key`].
pub fn unpacked_dir(cache: &Utf8Path) -> Utf8PathBuf {
    cache.join("unpacked")
}

/// Writes what `archive` has to the directory `to`, which is not there yet; only what matches `keep`, if that says
/// something.
///
/// The archive is unpacked the first time only. Devices are left out, owners are those of whoever builds.
///
/// # Errors
///
/// If the archive is damaged, hostile or of another kind, or a file cannot be written.
pub fn unpack_to(cx: &Cx<'_>, archive: &Input, keep: &[String], to: &Utf8Path) -> Result<(), UnpackError> {
    let dir = unpacked_dir(cx.cache);
    fs_err::create_dir_all(&dir).map_err(ArchiveError::from)?;
    let key = unpacked_key(archive.digest, keep);
    let kept = Kept { cx, place: dir.join(key.to_string()), lock: lock_of(&dir, &key.to_string()) };
    for again in [true, false] {
        // Nobody makes or removes it while it is copied; several may copy.
        let mut held = kept.hold(FlockOperation::NonBlockingLockShared)?;
        if !kept.place.exists() {
            drop(held);
            held = kept.hold(FlockOperation::NonBlockingLockExclusive)?;
            if !kept.place.exists() {
                kept.make(archive, keep)?;
            }
        }
        match kept.copy(to) {
            Err(ArchiveError::Io(error)) if again && error.kind() == io::ErrorKind::InvalidData => {
                cx.note(format!(
                    "what is kept of `{}` in the cache is damaged, and unpacked again: {error}",
                    archive.path
                ));
                drop(held);
                let _held = kept.hold(FlockOperation::NonBlockingLockExclusive)?;
                let gone = remove_all(to).and_then(|()| remove_all(&kept.place));
                gone.map_err(ArchiveError::from)?;
            }
            copied => return Ok(copied?),
        }
    }
    unreachable!("the second time around returns")
}

/// Removes what is kept in `place`; not if somebody uses it: `false`.
///
/// # Errors
///
/// If it cannot be removed.
pub fn remove_unpacked(place: &Utf8Path) -> io::Result<bool> {
    let (Some(dir), Some(key)) = (place.parent(), place.file_name()) else { return Ok(false) };
    let path = lock_of(dir, key.trim_start_matches(".partial-"));
    let file = fs_err::OpenOptions::new().write(true).create(true).truncate(false).open(&path)?;
    match flock(file.file(), FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {
            remove_all(place)?;
            fs_err::remove_file(path).map(|()| true)
        }
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn lock_of(dir: &Utf8Path, key: &str) -> Utf8PathBuf {
    dir.join(format!(".lock-{key}"))
}

/// What is kept of one archive.
struct Kept<'a> {
    cx: &'a Cx<'a>,
    place: Utf8PathBuf,
    lock: Utf8PathBuf,
}

impl Kept<'_> {
    /// Waits until nobody has it in a way that excludes `how`.
    fn hold(&self, how: FlockOperation) -> Result<File, ArchiveError> {
        lock(&self.lock, how, self.cx.cancel)?.ok_or(ArchiveError::Cancelled)
    }

    /// Unpacks `archive` beside its place, and puts it there when it is whole.
    fn make(&self, archive: &Input, keep: &[String]) -> Result<(), UnpackError> {
        let partial =
            self.place.with_file_name(format!(".partial-{}", self.place.file_name().unwrap_or_default()));
        let cleared = remove_all(&partial).and_then(|()| fs_err::create_dir_all(&partial));
        cleared.map_err(ArchiveError::from)?;
        let made = self.unpack(archive, keep, &partial);
        if made.is_err() {
            // What the archive is like is what must be said.
            let _ = remove_all(&partial);
        }
        made?;
        Ok(fs_err::rename(&partial, &self.place).map_err(ArchiveError::from)?)
    }

    fn unpack(&self, archive: &Input, keep: &[String], out: &Utf8Path) -> Result<(), UnpackError> {
        let cx = Cx { out, ..*self.cx };
        let selection = Selection::new(keep, &[])?;
        let label = archive.path.to_string();
        let meter = Meter::new(&cx, Some(archive.size.get()));
        let mut unpacker = Unpacker::new(&cx, &selection)?;
        unpacker.add(&[Archive { path: archive.path.clone(), label: label.clone() }], 0, &meter)?;
        note_unused(&cx, &selection);
        unpacker.finish(&label)?;
        let seal = || -> io::Result<()> {
            let manifest = fs_err::read(out.join("tree.manifest"))?;
            fs_err::write(out.join("manifest.sha256"), Digest::of(&manifest).to_string())
        };
        Ok(seal().map_err(ArchiveError::from)?)
    }

    /// Copies the tree to `to`; an error of the kind `InvalidData` is about what is kept.
    fn copy(&self, to: &Utf8Path) -> Result<(), ArchiveError> {
        let tree = self.place.join("tree");
        let manifest = self.manifest()?;
        let place = |path: &TreePath| if path.is_root() { to.to_owned() } else { to.join(path.as_str()) };
        let mut files = Vec::new();
        for (path, entry) in &manifest.entries {
            match &entry.kind {
                EntryKind::Directory => fs_err::create_dir_all(place(path))?,
                EntryKind::File { digest, .. } => {
                    let mode = if entry.mode & 0o111 == 0 { 0o644 } else { 0o755 };
                    files.push((tree.join(path.as_str()), place(path), *digest, mode));
                }
                EntryKind::HardLink { .. }
                | EntryKind::Symlink { .. }
                | EntryKind::CharDevice { .. }
                | EntryKind::BlockDevice { .. }
                | EntryKind::Fifo
                | EntryKind::Socket => (),
            }
        }
        let next = AtomicUsize::new(0);
        let work = || -> Result<(), ArchiveError> {
            let mut piece = vec![0; PIECE];
            while let Some((from, to, digest, mode)) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                if self.cx.cancel.is_cancelled() {
                    return Err(ArchiveError::Cancelled);
                }
                copy_file(from, to, *digest, *mode, &mut piece)
                    .inspect_err(|_| next.store(files.len(), Ordering::Relaxed))?;
            }
            Ok(())
        };
        thread::scope(|scope| {
            let workers: Vec<_> = (0..self.cx.jobs.max(1)).map(|_| scope.spawn(work)).collect();
            workers.into_iter().try_for_each(|worker| worker.join().expect("copying does not panic"))
        })?;
        for (path, entry) in &manifest.entries {
            match &entry.kind {
                EntryKind::HardLink { to } => fs_err::hard_link(place(to), place(path))?,
                EntryKind::Symlink { target } => fs_err::os::unix::fs::symlink(target, place(path))?,
                _ => (),
            }
        }
        Ok(())
    }

    fn manifest(&self) -> io::Result<Manifest> {
        let read =
            |name| fs_err::read_to_string(self.place.join(name)).map_err(|error| damaged(error.to_string()));
        let (text, digest) = (read("tree.manifest")?, read("manifest.sha256")?);
        if Digest::of(text.as_bytes()).to_string() != digest {
            return Err(damaged("its manifest is another one".to_owned()));
        }
        Manifest::from_text(&text).map_err(|error| damaged(error.to_string()))
    }
}

/// Copies a file, and sees that it is what it should be.
fn copy_file(from: &Utf8Path, to: &Utf8Path, digest: Digest, mode: u32, piece: &mut [u8]) -> io::Result<()> {
    let unreadable = |error: io::Error| damaged(error.to_string());
    let mut input = File::open(from).map_err(unreadable)?;
    let mut output = File::create_new(to)?;
    let mut digester = Digester::default();
    loop {
        let n = input.read(piece).map_err(unreadable)?;
        if n == 0 {
            break;
        }
        digester.update(&piece[..n]);
        output.write_all(&piece[..n])?;
    }
    if digester.finish() != digest {
        return Err(damaged(format!("`{from}` is not what was unpacked")));
    }
    // Whatever the umask is.
    output.set_permissions(std::fs::Permissions::from_mode(mode))
}

fn damaged(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests;

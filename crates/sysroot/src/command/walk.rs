//! A directory that a command made, as a manifest.

use std::{
    collections::BTreeMap,
    io::Read as _,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _},
};

use bootway_exec::Cancel;
use bootway_plan::{Digest, Digester, Entry, EntryKind, Manifest, TreePath};
use camino::Utf8Path;
use walkdir::WalkDir;

use super::OutputError;

/// Bytes read between two looks at the cancellation.
const PIECE: usize = 1 << 20;

/// Describes everything below `root`.
///
/// Root owns all of it; a file is 0755 if its owner may execute it, else 0644, and a directory is 0755: the same for
/// every user and umask. A plan that needs other owners or modes edits the tree.
///
/// # Errors
///
/// If a name is not UTF-8, a file cannot be read, or someone asked to stop.
pub(super) fn manifest(root: &Utf8Path, cancel: &Cancel) -> Result<Manifest, OutputError> {
    let mut manifest = Manifest::default();
    let mut first_names = BTreeMap::new();
    for found in WalkDir::new(root).sort_by_file_name() {
        if cancel.is_cancelled() {
            return Err(OutputError::Cancelled);
        }
        let found = found.map_err(std::io::Error::from)?;
        let not_utf8 = || OutputError::NotUtf8 { path: found.path().to_string_lossy().into_owned() };
        let host = Utf8Path::from_path(found.path()).ok_or_else(not_utf8)?;
        let inner = host.strip_prefix(root).expect("a walk stays below its root");
        let path: TreePath = inner.as_str().parse().expect("a directory has no `..` in it");
        let metadata = fs_err::symlink_metadata(host)?;
        let kind = kind(host, &metadata, cancel)?;
        if let (EntryKind::File { .. }, 2..) = (&kind, metadata.nlink()) {
            first_names.entry((metadata.dev(), metadata.ino())).or_insert_with(Vec::new).push(path.clone());
        }
        let mode = match kind {
            EntryKind::File { .. } if metadata.mode() & 0o100 == 0 => 0o644,
            EntryKind::Symlink { .. } => 0o777,
            _ => 0o755,
        };
        manifest.entries.insert(path, Entry { mode, uid: 0, gid: 0, kind, xattrs: BTreeMap::new() });
    }
    for mut names in first_names.into_values() {
        // The walk sorts within each directory, a manifest sorts whole paths.
        names.sort();
        let first = names[0].clone();
        for name in names.drain(1..) {
            let entry = manifest.entries.get_mut(&name).expect("it was just inserted");
            entry.kind = EntryKind::HardLink { to: first.clone() };
        }
    }
    Ok(manifest)
}

fn kind(path: &Utf8Path, metadata: &std::fs::Metadata, cancel: &Cancel) -> Result<EntryKind, OutputError> {
    let kind = metadata.file_type();
    let (major, minor) = (rustix::fs::major(metadata.rdev()), rustix::fs::minor(metadata.rdev()));
    Ok(if kind.is_dir() {
        EntryKind::Directory
    } else if kind.is_symlink() {
        let target = fs_err::read_link(path)?;
        let target = target.into_os_string().into_string();
        EntryKind::Symlink { target: target.map_err(|_| OutputError::NotUtf8 { path: path.to_string() })? }
    } else if kind.is_char_device() {
        EntryKind::CharDevice { major, minor }
    } else if kind.is_block_device() {
        EntryKind::BlockDevice { major, minor }
    } else if kind.is_fifo() {
        EntryKind::Fifo
    } else if kind.is_socket() {
        EntryKind::Socket
    } else {
        let (size, digest) = digest(path, cancel)?;
        EntryKind::File { size, digest }
    })
}

fn digest(path: &Utf8Path, cancel: &Cancel) -> Result<(u64, Digest), OutputError> {
    let mut file = fs_err::File::open(path)?;
    let mut digester = Digester::default();
    let mut piece = vec![0; PIECE];
    let mut size = 0;
    loop {
        if cancel.is_cancelled() {
            return Err(OutputError::Cancelled);
        }
        let n = file.read(&mut piece)?;
        if n == 0 {
            return Ok((size, digester.finish()));
        }
        digester.update(&piece[..n]);
        size += n as u64;
    }
}

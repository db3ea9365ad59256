//! A directory of the store, as a manifest.

use std::{collections::BTreeMap, io::Read as _, os::unix::fs::MetadataExt as _};

use bootway_exec::Cancel;
use bootway_plan::{Digester, Entry, EntryKind, Manifest, TreePath};
use camino::Utf8Path;

use super::OutputError;

/// Bytes read between two looks at the cancellation.
const PIECE: usize = 1 << 20;

/// Describes everything below `root`: root owns it, and a mode says whether a file may be executed, which is all that
/// a store keeps.
pub(crate) fn manifest(root: &Utf8Path, cancel: &Cancel) -> Result<Manifest, OutputError> {
    let mut manifest = Manifest::default();
    for found in walkdir::WalkDir::new(root).sort_by_file_name() {
        if cancel.is_cancelled() {
            return Err(OutputError::Cancelled);
        }
        let found = found.map_err(std::io::Error::from)?;
        let strange = || OutputError::Strange { path: found.path().to_string_lossy().into_owned() };
        let path = Utf8Path::from_path(found.path()).ok_or_else(strange)?;
        let inner = path.strip_prefix(root).expect("a walk stays below its root");
        let inner: TreePath = inner.as_str().parse().expect("a directory has no `..` in it");
        let kind = found.file_type();
        let (mode, kind) = if kind.is_dir() {
            (0o755, EntryKind::Directory)
        } else if kind.is_symlink() {
            let target = path.read_link_utf8().map_err(|_| strange())?;
            (0o777, EntryKind::Symlink { target: target.into_string() })
        } else if kind.is_file() {
            let executable = fs_err::metadata(path)?.mode() & 0o100 != 0;
            (if executable { 0o755 } else { 0o644 }, file(path, cancel)?)
        } else {
            return Err(strange());
        };
        manifest.entries.insert(inner, Entry { mode, uid: 0, gid: 0, kind, xattrs: BTreeMap::new() });
    }
    Ok(manifest)
}

fn file(path: &Utf8Path, cancel: &Cancel) -> Result<EntryKind, OutputError> {
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
            return Ok(EntryKind::File { size, digest: digester.finish() });
        }
        digester.update(&piece[..n]);
        size += n as u64;
    }
}

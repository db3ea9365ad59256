//! A closure as a tree for images: `nix/store`, and the registration that a system loads when it first starts.
//!
//! There is no database in it: one has the time of its making in every row. `NixOS` and its like load
//! `/nix-path-registration` with `nix-store --load-db` when they start and find it.

use std::{collections::BTreeMap, os::unix::ffi::OsStrExt, path::Path};

use bootway_exec::Cx;
use bootway_plan::{Entry, EntryKind, Manifest, TreePath, step::StoreVerify};
use camino::Utf8PathBuf;

use super::{
    ClosureError, Install, LocalStore, PathInfo, StorePath,
    install::{copy, explain},
    nar::{Seen, SeenKind, nar_seen},
    pool::each,
    store::store_dir,
    verify::{Damage, Wrong},
};

/// What is loaded when a system first starts.
pub(super) const REGISTRATION: &str = "nix-path-registration";
/// On disk, so that whoever made it can remove it; the manifest has what a store has.
const DIRECTORY: u32 = 0o755;

/// Makes the tree and its manifest in the directory of the step's outputs.
pub(super) fn tree(cx: &Cx<'_>, wanted: &Install<'_>) -> Result<Utf8PathBuf, ClosureError> {
    let path = cx.out.join("store");
    let store = store_dir(&path);
    fs_err::create_dir_all(&store)?;
    let mut all: Vec<_> = wanted.registration.paths.iter().collect();
    all.sort_by_key(|(path, info)| (std::cmp::Reverse(info.nar_size), *path));
    let copied = copy(cx, wanted, &all, &store, DIRECTORY)?;
    let there = LocalStore::at(&path);
    let seen = each(wanted.jobs, &all, |(path, info)| look(cx, wanted.verify, &there, path, info));
    let mut manifest = Manifest::default();
    let mut damages = Vec::new();
    for seen in seen {
        match seen? {
            Ok(entries) => manifest.entries.extend(entries),
            Err(damage) => damages.push(damage),
        }
    }
    if !damages.is_empty() {
        return Err(ClosureError::Damaged { damages: explain(wanted.from, damages) });
    }
    for (name, mode) in [("", 0o755), ("nix", 0o755), ("nix/store", 0o1775)] {
        let name = name.parse().expect("these are paths of a tree");
        manifest.entries.insert(name, entry(mode, EntryKind::Directory));
    }
    let text = wanted.registration.clone().without_derivers().to_text();
    fs_err::write(path.join(REGISTRATION), &text)?;
    let kind = EntryKind::File { size: text.len() as u64, digest: bootway_plan::Digest::of(text.as_bytes()) };
    manifest.entries.insert(REGISTRATION.parse().expect("a name"), entry(0o444, kind));
    fs_err::write(Utf8PathBuf::from(format!("{path}.manifest")), manifest.to_text())?;
    cx.note(format!(
        "{} paths, {} in {} files copied",
        all.len(),
        bootway_plan::Bytes::new(copied.bytes),
        copied.files
    ));
    Ok(path)
}

const fn entry(mode: u16, kind: EntryKind) -> Entry {
    Entry { mode, uid: 0, gid: 0, kind, xattrs: BTreeMap::new() }
}

/// What is in a path that was copied, or what is wrong with it. It is read for the digests of its files, so its hash
/// costs nothing more; what was asked for is still what counts.
fn look(
    cx: &Cx<'_>,
    verify: StoreVerify,
    there: &LocalStore,
    path: &StorePath,
    info: &PathInfo,
) -> Result<Result<Vec<(TreePath, Entry)>, Damage>, ClosureError> {
    let at = there.file(path);
    let mut entries = Vec::new();
    let mut odd = None;
    let top = format!("nix/store/{}", path.name());
    let mut see = |seen: Seen<'_>| match described(&top, &seen) {
        Some(described) => entries.push(described),
        None => odd = Some(at.as_std_path().join(seen.inside)),
    };
    let nar = nar_seen(at.as_std_path(), cx.cancel, &mut see).map_err(|error| ClosureError::io(cx, error))?;
    if let Some(path) = odd {
        return Err(ClosureError::Name { path });
    }
    let damage = |what| Ok(Err(Damage { path: path.clone(), at: at.clone(), what, file: None }));
    if nar.size != info.nar_size && verify != StoreVerify::None {
        return damage(Wrong::Size { wanted: info.nar_size, found: nar.size });
    }
    if nar.hash != info.nar_hash && verify == StoreVerify::Hashes {
        return damage(Wrong::Hash);
    }
    Ok(Ok(entries))
}

/// A file as the manifest has it, if its name is text.
fn described(top: &str, seen: &Seen<'_>) -> Option<(TreePath, Entry)> {
    let text = |path: &Path| std::str::from_utf8(path.as_os_str().as_bytes()).map(str::to_owned).ok();
    let path = format!("{top}/{}", text(seen.inside)?).parse().ok()?;
    Some((
        path,
        match &seen.kind {
            SeenKind::Directory => entry(0o555, EntryKind::Directory),
            SeenKind::Symlink(target) => entry(0o777, EntryKind::Symlink { target: text(target)? }),
            SeenKind::File { executable, size, digest } => {
                let mode = if *executable { 0o555 } else { 0o444 };
                entry(mode, EntryKind::File { size: *size, digest: *digest })
            }
        },
    ))
}

//! Store paths into a store in a directory.
//!
//! A path is copied beside its place, renamed when it is whole, and registered when all of them are: a run that is
//! killed leaves files that nobody knows of, and the next one believes them only if their hash is right.

use std::{collections::BTreeMap, fs::TryLockError, io, path::PathBuf, time::Duration};

use bootway_exec::Cx;
use bootway_plan::{
    Bytes,
    step::{StoreMode, StoreVerify},
};
use camino::{Utf8Path, Utf8PathBuf};

use super::{
    ClosureError, LocalStore, PathInfo, Registration, StorePath,
    copy::{Copied, Copier, How, Job},
    place::remove,
    pool::{Progress, each},
    register::registered_after,
    store::store_dir,
    verify::{Damage, first_difference, look},
};

/// What a path is called until it is whole; no store path begins like this.
const BESIDE: &str = ".bootway-partial-";
/// The file of a store in a directory that is locked while paths are put into it.
const LOCK: &str = "nix/.bootway-lock";
/// The database of a store in a directory.
const DATABASE: &str = "nix/var/nix/db/db.sqlite";
/// How often it is looked whether another install has ended.
const PATIENCE: Duration = Duration::from_millis(50);
/// Of directories of a store.
const DIRECTORY: u32 = 0o555;

/// Paths, and the store that they go into.
#[derive(Clone, Copy, Debug)]
pub struct Install<'a> {
    /// Where the files are.
    pub from: &'a LocalStore,
    /// Which paths, and what they are known by: a closure.
    pub registration: &'a Registration,
    /// The directory whose `nix/store` they go into.
    pub into: &'a Utf8Path,
    /// How they get there.
    pub mode: StoreMode,
    /// How closely what is there is looked at.
    pub verify: StoreVerify,
    /// Threads.
    pub jobs: usize,
}

/// What an install did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Installed {
    /// Paths of the closure.
    pub paths: usize,
    /// Paths that were there already, whole.
    pub there: usize,
    /// Paths that were there and were not what they must be; they have been replaced.
    pub repaired: Vec<StorePath>,
    /// Files whose bytes were copied.
    pub files: u64,
    /// Bytes that were copied.
    pub bytes: u64,
    /// Files that share their bytes with where they came from.
    pub shared: u64,
}

impl std::fmt::Display for Installed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { paths, there, files, shared, .. } = self;
        let bytes = Bytes::new(self.bytes);
        write!(f, "{paths} paths, {there} of them there already; {bytes} in {files} files copied")?;
        if *shared > 0 {
            write!(f, "; {shared} files share their bytes with where they came from")?;
        }
        if !self.repaired.is_empty() {
            write!(f, "; {} damaged and replaced", self.repaired.len())?;
        }
        Ok(())
    }
}

/// Puts a closure into a store in a directory and registers it there. What is there already and whole is not copied
/// again. No other store is touched.
///
/// # Errors
///
/// If the directory is the machine's own store; the paths are no closure; something cannot be copied; or what was copied
/// is not what it must be. Then nothing of it is registered.
pub fn install(cx: &Cx<'_>, wanted: &Install<'_>) -> Result<Installed, ClosureError> {
    wanted.registration.verify()?;
    let store = store_dir(wanted.into);
    fs_err::create_dir_all(&store)?;
    refuse_own(wanted)?;
    let _lock = lock(cx, wanted.into)?;
    sweep(&store)?;
    let there = LocalStore::at(wanted.into);
    let known =
        if wanted.into.join(DATABASE).exists() { there.everything(cx)? } else { Registration::default() };
    let sorted = Sorted::of(cx, wanted, &known, &there)?;
    let mut installed = Installed {
        paths: wanted.registration.paths.len(),
        there: wanted.registration.paths.len() - sorted.missing.len(),
        repaired: sorted.repair.iter().map(|damage| damage.path.clone()).collect(),
        ..Installed::default()
    };
    for damage in explain(wanted.from, sorted.repair) {
        cx.note(format!("{damage}; it is copied again"));
    }
    let copied = registered_after(cx, wanted.into, &sorted.unknown, || {
        let copied = copy(cx, wanted, &sorted.missing, &store, DIRECTORY);
        if copied.is_err() {
            sweep(&store)?;
        }
        let copied = copied?;
        check(cx, wanted, &sorted.missing, &copied.sizes, &there)?;
        Ok(copied)
    })?;
    (installed.files, installed.bytes, installed.shared) = (copied.files, copied.bytes, copied.shared);
    Ok(installed)
}

/// What is to be done with the paths of a closure.
struct Sorted<'a> {
    /// To be copied.
    missing: Vec<(&'a StorePath, &'a PathInfo)>,
    /// Of those, what was registered and is damaged.
    repair: Vec<Damage>,
    /// To be registered.
    unknown: Registration,
}

impl<'a> Sorted<'a> {
    fn of(
        cx: &Cx<'_>,
        wanted: &Install<'a>,
        known: &Registration,
        there: &LocalStore,
    ) -> Result<Self, ClosureError> {
        let all: Vec<_> = wanted.registration.paths.iter().collect();
        let is_known = |path: &StorePath, info: &PathInfo| {
            known
                .paths
                .get(path)
                .is_some_and(|it| it.nar_hash == info.nar_hash && it.references == info.references)
        };
        let looked = each(wanted.jobs, &all, |(path, info)| {
            // What nobody has registered may be anything, and is believed by its hash only.
            let how = match (is_known(path, info), wanted.verify) {
                (true, StoreVerify::None | StoreVerify::Sizes) => StoreVerify::Sizes,
                (true, StoreVerify::Hashes) | (false, _) => StoreVerify::Hashes,
            };
            look(path, info, &there.file(path), how, cx.cancel)
        });
        let mut sorted = Self { missing: Vec::new(), repair: Vec::new(), unknown: Registration::default() };
        for ((path, info), damage) in all.into_iter().zip(looked) {
            let known = is_known(path, info);
            if let Some(damage) = damage.map_err(|error| ClosureError::io(cx, error))? {
                sorted.missing.push((path, info));
                sorted.repair.extend(known.then_some(damage));
            }
            if !known {
                sorted.unknown.paths.insert(path.clone(), info.clone());
            }
        }
        // The biggest first: threads end at the same time.
        sorted.missing.sort_by_key(|(path, info)| (std::cmp::Reverse(info.nar_size), *path));
        Ok(sorted)
    }
}

/// Copies `paths` into `store`.
pub(super) fn copy(
    cx: &Cx<'_>,
    wanted: &Install<'_>,
    paths: &[(&StorePath, &PathInfo)],
    store: &Utf8Path,
    directories: u32,
) -> Result<Copied, ClosureError> {
    let job = |(path, _): &(&StorePath, &PathInfo)| Job {
        from: wanted.from.file(path).into(),
        to: store.join(path.name()).into(),
        beside: store.join(format!("{BESIDE}{}", path.name())).into(),
    };
    let total = paths.iter().fold(0_u64, |size, (_, info)| size.saturating_add(info.nar_size));
    let progress = Progress::new(cx, total);
    let copier = Copier {
        how: match wanted.mode {
            StoreMode::Auto => How::Auto,
            StoreMode::Reflink => How::Reflink,
            StoreMode::Copy => How::Copy,
            StoreMode::Hardlink => How::HardLink,
        },
        directories,
        threads: wanted.jobs,
        sizes: wanted.verify == StoreVerify::Sizes,
        cancel: cx.cancel,
        arrived: &|bytes| progress.add(bytes),
    };
    copier.run(paths.iter().map(job).collect()).map_err(|failed| {
        if cx.cancel.is_cancelled() {
            return ClosureError::Cancelled;
        }
        let path = Utf8PathBuf::from_path_buf(failed.path)
            .unwrap_or_else(|path| path.to_string_lossy().into_owned().into());
        ClosureError::Copy { path, mode: wanted.mode, source: failed.error }
    })
}

/// Looks at what was copied, as closely as is wanted.
fn check(
    cx: &Cx<'_>,
    wanted: &Install<'_>,
    paths: &[(&StorePath, &PathInfo)],
    sizes: &BTreeMap<PathBuf, u64>,
    there: &LocalStore,
) -> Result<(), ClosureError> {
    let looked = each(wanted.jobs, paths, |(path, info)| {
        let at = there.file(path);
        // Names, kinds and sizes are known since they were written.
        let size = sizes.get(at.as_std_path()).copied().filter(|_| wanted.verify == StoreVerify::Sizes);
        match size {
            Some(found) => Ok(Damage::of_size(path, info, &at, found)),
            None => look(path, info, &at, wanted.verify, cx.cancel),
        }
    });
    let mut damages = Vec::new();
    for damage in looked {
        damages.extend(damage.map_err(|error| ClosureError::io(cx, error))?);
    }
    if damages.is_empty() {
        return Ok(());
    }
    Err(ClosureError::Damaged { damages: explain(wanted.from, damages) })
}

/// Damage with the first file that differs, where that can be found out.
pub(super) fn explain(from: &LocalStore, damages: Vec<Damage>) -> Vec<Damage> {
    let file = |it: &Damage| first_difference(from.file(&it.path).as_std_path(), it.at.as_std_path());
    damages.into_iter().map(|it| Damage { file: file(&it), ..it }).collect()
}

/// The store that the paths come from, or that of the machine, is no place to put them.
fn refuse_own(wanted: &Install<'_>) -> Result<(), ClosureError> {
    let refused = || ClosureError::OwnStore { into: wanted.into.to_owned() };
    let into = wanted.into.canonicalize_utf8()?;
    let store = store_dir(wanted.into).canonicalize_utf8()?;
    if into == "/" || store == "/nix/store" {
        return Err(refused());
    }
    let from = wanted.registration.paths.keys().next().map(|path| wanted.from.file(path));
    let dir = from.as_deref().and_then(Utf8Path::parent).map(Utf8Path::canonicalize_utf8);
    if dir.and_then(Result::ok).as_ref() == Some(&store) { Err(refused()) } else { Ok(()) }
}

/// Removes what a killed install has left.
fn sweep(store: &Utf8Path) -> Result<(), ClosureError> {
    for entry in store.read_dir_utf8()? {
        let entry = entry?;
        if entry.file_name().starts_with(BESIDE) {
            remove(entry.path().as_std_path())?;
        }
    }
    Ok(())
}

/// One install at a time into a store.
fn lock(cx: &Cx<'_>, into: &Utf8Path) -> Result<std::fs::File, ClosureError> {
    let path = into.join(LOCK);
    let file = fs_err::File::create(&path)?.into_parts().0;
    let mut waiting = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => {
                return Err(io::Error::new(error.kind(), format!("cannot lock `{path}`: {error}")).into());
            }
            Err(TryLockError::WouldBlock) => (),
        }
        if cx.cancel.is_cancelled() {
            return Err(ClosureError::Cancelled);
        }
        if !std::mem::replace(&mut waiting, true) {
            cx.note(format!("waiting for another install into `{into}`"));
        }
        std::thread::sleep(PATIENCE);
    }
}

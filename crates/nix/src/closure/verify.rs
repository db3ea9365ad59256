//! Whether the files of store paths are what the store knows of them.

use std::{
    fmt,
    io::{self, Read},
    path::Path,
};

use bootway_exec::{Cancel, Cx};
use bootway_plan::step::StoreVerify;
use camino::{Utf8Path, Utf8PathBuf};

use super::{
    ClosureError, LocalStore, PathInfo, Registration, StorePath,
    nar::{nar, nar_size},
    pool::{Progress, each},
};

/// Read at once of two files that are compared.
const STRIDE: usize = 64 << 10;

/// A path whose files are not what the store knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Which.
    pub path: StorePath,
    /// Where its files are.
    pub at: Utf8PathBuf,
    /// What is wrong.
    pub what: Wrong,
    /// The first file of it that differs from where it came from, and the first byte, if that could be compared.
    pub file: Option<(Utf8PathBuf, u64)>,
}

/// What is wrong with the files of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// There are none.
    Missing,
    /// Their NAR has another size.
    Size {
        /// As the store knows it.
        wanted: u64,
        /// As it is.
        found: u64,
    },
    /// Their NAR has another hash.
    Hash,
}

impl Damage {
    /// Files whose NAR has `found` bytes, if that is wrong.
    pub(super) fn of_size(path: &StorePath, info: &PathInfo, at: &Utf8Path, found: u64) -> Option<Self> {
        let what = Wrong::Size { wanted: info.nar_size, found };
        let wrong = || Self { path: path.clone(), at: at.to_owned(), what, file: None };
        (found != info.nar_size).then(wrong)
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            Wrong::Missing => write!(f, "`{}` is missing", self.at)?,
            Wrong::Size { wanted, found } => {
                write!(f, "`{}` has {found} bytes as a NAR, and is known to have {wanted}", self.at)?;
            }
            Wrong::Hash => write!(f, "`{}` has another hash than it is known by", self.at)?,
        }
        match &self.file {
            Some((file, byte)) => write!(f, ": `{file}` differs from byte {byte} on"),
            None => Ok(()),
        }
    }
}

/// Looks whether the files of every path of `registration` in `store` are what it says, and what is not.
///
/// `nix-store --verify` forgets a path that is missing and calls that a success; here it is damage.
///
/// # Errors
///
/// If something cannot be read, or the run is cancelled.
pub fn verify_store(
    cx: &Cx<'_>,
    store: &LocalStore,
    registration: &Registration,
    how: StoreVerify,
) -> Result<Vec<Damage>, ClosureError> {
    let all: Vec<_> = registration.paths.iter().collect();
    let progress = Progress::new(cx, registration.total_size());
    let looked = each(cx.jobs, &all, |(path, info)| {
        let damage = look(path, info, &store.file(path), how, cx.cancel);
        progress.add(info.nar_size);
        damage
    });
    let looked: Vec<Option<Damage>> =
        looked.into_iter().collect::<io::Result<_>>().map_err(|error| ClosureError::io(cx, error))?;
    Ok(looked.into_iter().flatten().collect())
}

/// What is wrong with the files at `at`, if anything is.
pub(super) fn look(
    path: &StorePath,
    info: &PathInfo,
    at: &Utf8Path,
    how: StoreVerify,
    cancel: &Cancel,
) -> io::Result<Option<Damage>> {
    let damage = |what| Ok(Some(Damage { path: path.clone(), at: at.to_owned(), what, file: None }));
    match fs_err::symlink_metadata(at) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return damage(Wrong::Missing),
        other => other?,
    };
    let (hash, found) = match how {
        StoreVerify::None => return Ok(None),
        StoreVerify::Sizes => (info.nar_hash, nar_size(at.as_std_path(), cancel)?),
        StoreVerify::Hashes => nar(at.as_std_path(), cancel).map(|nar| (nar.hash, nar.size))?,
    };
    if let Some(damage) = Damage::of_size(path, info, at, found) {
        return Ok(Some(damage));
    }
    if hash == info.nar_hash { Ok(None) } else { damage(Wrong::Hash) }
}

/// The first file below `at` that is not as its like below `from`, and the first byte that differs; nothing if they
/// cannot be compared.
pub(super) fn first_difference(from: &Path, at: &Path) -> Option<(Utf8PathBuf, u64)> {
    for entry in walkdir::WalkDir::new(at).sort_by_file_name().into_iter().flatten() {
        if !entry.file_type().is_file() {
            continue;
        }
        let inside = entry.path().strip_prefix(at).ok()?;
        let like = if inside.as_os_str().is_empty() { from.to_owned() } else { from.join(inside) };
        let byte = match same(&like, entry.path()) {
            Ok(None) => continue,
            Ok(Some(byte)) => byte,
            Err(_) => 0,
        };
        return Some((Utf8PathBuf::from_path_buf(entry.path().to_owned()).ok()?, byte));
    }
    None
}

/// The first byte in which two files differ.
fn same(one: &Path, other: &Path) -> io::Result<Option<u64>> {
    let (mut one, mut other) = (fs_err::File::open(one)?, fs_err::File::open(other)?);
    let mut at = 0;
    loop {
        let (mut a, mut b) = (Vec::with_capacity(STRIDE), Vec::with_capacity(STRIDE));
        one.by_ref().take(STRIDE as u64).read_to_end(&mut a)?;
        other.by_ref().take(STRIDE as u64).read_to_end(&mut b)?;
        if let Some(n) = a.iter().zip(&b).position(|(a, b)| a != b) {
            return Ok(Some(at + n as u64));
        }
        if a.len() != b.len() {
            return Ok(Some(at + a.len().min(b.len()) as u64));
        }
        if a.is_empty() {
            return Ok(None);
        }
        at += a.len() as u64;
    }
}

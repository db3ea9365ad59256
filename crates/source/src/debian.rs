//! `debian`: named packages to a tree.

use bootway_exec::{Cmd, Cx, RunError, StepOutput, Tool};
use bootway_plan::{Class, Digest, Explain, step};
use camino::{Utf8Path, Utf8PathBuf};
use thiserror::Error;

use crate::{
    archive::{Archive, ArchiveError, InvalidPattern, Selection, Unpacker, class_of_io},
    meter::Meter,
    store::{DownloadError, Fetched, Store},
    unpack::note_unused,
};
use index::Index;
use lock::{LockFile, Locked, Request, Resolution, SourceRequest};
use pool::{Pool, Pooled};
use suite::Suite;

mod index;
mod lock;
mod pool;
mod release;
mod resolve;
mod source;
mod suite;
#[cfg(test)]
mod tests;
mod version;

pub use lock::LockError;
pub use resolve::ResolveError;
pub use source::debian_source;

/// Where Debian puts the keys of its archive.
pub const DEBIAN_KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// The files beside a plan and on the machine that `debian` relies on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DebianFiles<'a> {
    /// The lock file when the step names none, from the plan's directory: `PLAN.lock`.
    pub lock: &'a Utf8Path,
    /// Keys that may sign a release; [`DEBIAN_KEYRING`] usually.
    pub keyring: &'a Utf8Path,
}

impl<'a> DebianFiles<'a> {
    /// The lock file of the plan, and Debian's own keys.
    pub fn of_plan(lock: &'a Utf8Path) -> Self {
        Self { lock, keyring: Utf8Path::new(DEBIAN_KEYRING) }
    }

    /// The lock file of `step`.
    pub fn lock_path(&self, plan_dir: &Utf8Path, step: DebianStep<'_>) -> Utf8PathBuf {
        plan_dir.join(step.archive().lock.unwrap_or(self.lock))
    }
}

/// A step that a lock file answers.
#[derive(Clone, Copy, Debug)]
pub enum DebianStep<'a> {
    /// Binary packages.
    Packages(&'a step::Debian),
    /// A source package.
    Source(&'a step::DebianSource),
}

impl<'a> DebianStep<'a> {
    fn archive(self) -> step::DebianArchive<'a> {
        match self {
            Self::Packages(step) => step.archive(),
            Self::Source(step) => step.archive(),
        }
    }
}

impl<'a> From<&'a step::Debian> for DebianStep<'a> {
    fn from(step: &'a step::Debian) -> Self {
        Self::Packages(step)
    }
}

impl<'a> From<&'a step::DebianSource> for DebianStep<'a> {
    fn from(step: &'a step::DebianSource) -> Self {
        Self::Source(step)
    }
}

/// Unpacks Debian packages to the output `tree`, without root, and without running their scripts.
///
/// The first time, names are resolved with the archive's signed index, and the answer is written to the lock file.
/// From then on exactly the locked packages are used; when they are all in the cache, there is no network traffic at
/// all. Later packages of the alphabet win over earlier ones, `base-files` comes first of all.
///
/// # Errors
///
/// If the archive cannot be reached or is not signed, a package is unknown or damaged, or the tree cannot be written.
pub fn debian(
    cx: &Cx<'_>,
    step: &step::Debian,
    files: &DebianFiles<'_>,
) -> Result<Vec<StepOutput>, DebianError> {
    let selection = Selection::new(&step.keep, &step.drop)?;
    let store = Store::new(cx)?;
    let resolution = resolution(cx, step, files, &store)?;
    let archives = archives(cx, &store, step, &resolution)?;
    let meter = Meter::new(cx, Some(resolution.locked.iter().map(|locked| locked.size).sum()));
    let mut unpacker = Unpacker::new(cx, &selection)?;
    unpacker.add(&archives, 0, &meter)?;
    note_unused(cx, &selection);
    Ok(vec![unpacker.finish("the packages together")?])
}

/// Brings everything that [`debian`] or [`debian_source`] unpacks into the cache, verified, and unpacks nothing.
///
/// What the lock file does not answer yet is resolved, and locked.
///
/// # Errors
///
/// If the archive cannot be reached or is not signed, or a package is unknown or another than it should be.
pub fn download_debian(
    cx: &Cx<'_>,
    step: DebianStep<'_>,
    files: &DebianFiles<'_>,
) -> Result<Fetched, DebianError> {
    let store = Store::new(cx)?;
    match step {
        DebianStep::Packages(step) => {
            let resolution = resolution(cx, step, files, &store)?;
            archives(cx, &store, step, &resolution)?;
        }
        DebianStep::Source(step) => source::download(cx, step, files, &store)?,
    }
    Ok(store.fetched())
}

/// What [`debian`] and [`debian_source`] run when the lock file does not answer the step's request yet.
pub fn debian_commands(scratch: &Utf8Path, keyring: &Utf8Path) -> Vec<Cmd> {
    suite::commands(scratch, keyring)
}

/// The digest of what the lock file at `path` answers to the request of `step`; with an answer, the step runs nothing.
///
/// # Errors
///
/// If there is a file and it is not a lock file.
pub fn locked(path: &Utf8Path, step: DebianStep<'_>) -> Result<Option<Digest>, LockError> {
    let file = LockFile::read(path)?;
    let answer = match step {
        DebianStep::Packages(step) => file.packages(&Request::of(step)).map(serde_json::to_vec),
        DebianStep::Source(step) => file.source(&SourceRequest::of(step)).map(serde_json::to_vec),
    };
    Ok(answer.map(|json| Digest::of(&json.expect("plain data"))))
}

fn resolution(
    cx: &Cx<'_>,
    step: &step::Debian,
    files: &DebianFiles<'_>,
    store: &Store<'_>,
) -> Result<Resolution, DebianError> {
    let path = files.lock_path(cx.plan_dir, step.into());
    let request = Request::of(step);
    if let Some(resolution) = LockFile::read(&path)?.packages(&request) {
        return Ok(resolution.clone());
    }
    let suite = Suite::from(step.archive());
    let release = suite.release(cx, files.keyring, store)?;
    let indexes = suite.indexes(cx, &release, store)?;
    let mut index = Index::default();
    for text in &indexes {
        index.add(text).map_err(|reason| suite.bad_index(reason))?;
    }
    index.link();
    let chosen = resolve::resolve(&index, step)?;
    let locked = chosen.values().filter_map(|package| {
        Some(Locked {
            name: package.name.to_owned(),
            version: package.version.to_owned(),
            arch: package.arch.to_owned(),
            size: package.size,
            sha256: package.sha256?,
            path: package.path.to_owned(),
        })
    });
    let resolution = Resolution { request, date: release.date, locked: locked.collect() };
    LockFile::record(&path, resolution.clone())?;
    cx.note(format!("locked {} packages of {} in `{path}`", resolution.locked.len(), step.suite));
    Ok(resolution)
}

/// Every locked package, in the order in which they are to be unpacked.
fn archives(
    cx: &Cx<'_>,
    store: &Store<'_>,
    step: &step::Debian,
    resolution: &Resolution,
) -> Result<Vec<Archive>, DebianError> {
    let mut order: Vec<&Locked> = resolution.locked.iter().collect();
    // The first by convention, because of the symbolic links at the root.
    order.sort_by_key(|locked| (locked.name != "base-files", &locked.name));
    let files: Vec<Pooled<'_>> = order
        .iter()
        .map(|locked| Pooled { sha256: locked.sha256, size: locked.size, path: &locked.path })
        .collect();
    let pool = Pool { mirror: &step.mirror, date: resolution.date.as_deref() };
    let paths = pool.download(cx, store, &files)?;
    let archive =
        |(locked, path): (&Locked, _)| Archive { path, label: format!("{} {}", locked.name, locked.version) };
    Ok(order.into_iter().zip(paths).map(archive).collect())
}

/// Packages were not unpacked.
#[derive(Debug, Error)]
pub enum DebianError {
    /// The plan has a bad pattern.
    #[error(transparent)]
    Pattern(#[from] InvalidPattern),
    /// The lock file is of no use.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// There are no keys to verify the archive with.
    #[error("there is no keyring `{keyring}` to verify the archive's signature with")]
    NoKeyring {
        /// Where it should be.
        keyring: Utf8PathBuf,
    },
    /// The release is not signed, or by somebody else.
    #[error("`{url}` has no good signature by a key in `{keyring}`")]
    Signature {
        /// The release.
        url: String,
        /// The keys.
        keyring: Utf8PathBuf,
        /// What the verifier said.
        #[source]
        source: RunError,
    },
    /// The release is signed, and not the one that is wanted.
    #[error("`{url}` cannot be used: {reason}")]
    Release {
        /// The release.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The list of packages cannot be read.
    #[error("the index of `{suite}` cannot be used: {reason}")]
    Index {
        /// Of which suite.
        suite: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A name is no package.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// A source package is not of a kind that can be unpacked.
    #[error("source package `{package}` cannot be unpacked: {reason}")]
    Source {
        /// Its name and version.
        package: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Something did not come, or is not what it should be.
    #[error(transparent)]
    Download(#[from] DownloadError),
    /// A package is damaged, or the tree could not be written.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// A file could not be read or written.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl Explain for DebianError {
    fn class(&self) -> Class {
        match self {
            Self::Pattern(error) => error.class(),
            Self::Lock(LockError::Invalid { .. }) | Self::Resolve(_) | Self::Release { .. } => Class::Plan,
            Self::NoKeyring { .. } => Class::Environment,
            Self::Signature { source: RunError::Failed { .. }, .. }
            | Self::Index { .. }
            | Self::Source { .. } => Class::Step,
            Self::Signature { source, .. } => source.class(),
            Self::Download(error) => error.class(),
            Self::Archive(error) => error.class(),
            Self::Lock(LockError::Io(error)) | Self::Io(error) => class_of_io(error),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Pattern(error) => error.hint(),
            Self::Lock(LockError::Invalid { path, .. }) => {
                Some(format!("remove `{path}`: it is then made again"))
            }
            Self::NoKeyring { .. } => Some("install it: `apt-get install debian-archive-keyring`".to_owned()),
            Self::Signature { source: RunError::Failed { .. }, .. } => Some(format!(
                "the archive may have new keys: update `debian-archive-keyring`; else do not trust this mirror (what `{}` said is above)",
                Tool::Gpgv
            )),
            Self::Signature { source, .. } => source.hint(),
            Self::Download(DownloadError::WrongDigest { .. }) => Some(
                "the mirror is being updated or is not honest: try again later, or use another `mirror`"
                    .to_owned(),
            ),
            Self::Download(error) => error.hint(),
            Self::Archive(error) => error.hint(),
            Self::Release { .. } => Some("fix `suite`, `components`, `arch` or `mirror`".to_owned()),
            Self::Source { .. } => Some(
                "use `fetch` and `unpack` with what its authors released, or another `suite` that has it in another \
                 format"
                    .to_owned(),
            ),
            Self::Index { .. } | Self::Resolve(_) | Self::Lock(LockError::Io(_)) | Self::Io(_) => None,
        }
    }
}

//! `debian`: named packages to a tree.

use std::{
    io::BufReader,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use bootway_exec::{Cmd, Cx, RunError, StepOutput, Tool, run};
use bootway_plan::{Class, Digest, Explain, step};
use camino::{Utf8Path, Utf8PathBuf};
use thiserror::Error;

use crate::{
    archive::{
        Archive, ArchiveError, Fault, InvalidPattern, Selection, Stop, Unpacker, class_of_io,
        decode::{Decoded, decoder},
    },
    meter::Meter,
    store::{DownloadError, Store, Wanted},
    unpack::note_unused,
};
use index::Index;
use lock::{LockFile, Locked, Request, Resolution};
use release::Release;

mod index;
mod lock;
mod release;
mod resolve;
#[cfg(test)]
mod tests;
mod version;

pub use lock::LockError;
pub use resolve::ResolveError;

/// Where Debian puts the keys of its archive.
pub const DEBIAN_KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Downloads at once: enough to hide latency, few enough for a mirror.
const AT_ONCE: usize = 4;

/// Bytes of a `Packages` file when it is decompressed; Debian's `main` has 50 MB.
const LARGEST_INDEX: u64 = 1 << 30;

/// Debian's archive as it was at any time, for packages that the mirrors have dropped.
const SNAPSHOTS: &str = "http://snapshot.debian.org/archive";

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
    pub fn lock_path(&self, plan_dir: &Utf8Path, step: &step::Debian) -> Utf8PathBuf {
        plan_dir.join(step.lock.as_deref().unwrap_or(self.lock))
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
    let archives = download(cx, &store, step, &resolution)?;
    let meter = Meter::new(cx, Some(resolution.locked.iter().map(|locked| locked.size).sum()));
    let mut unpacker = Unpacker::new(cx, &selection)?;
    unpacker.add(&archives, 0, &meter)?;
    note_unused(cx, &selection);
    Ok(vec![unpacker.finish("the packages together")?])
}

/// What [`debian`] runs when the lock file does not answer the step's request yet.
pub fn debian_commands(scratch: &Utf8Path, keyring: &Utf8Path) -> Vec<Cmd> {
    vec![release::verify(scratch, keyring)]
}

/// The digest of what the lock file at `path` answers to the request of `step`; with an answer, [`debian`] runs
/// nothing.
///
/// # Errors
///
/// If there is a file and it is not a lock file.
pub fn locked(path: &Utf8Path, step: &step::Debian) -> Result<Option<Digest>, LockError> {
    let file = LockFile::read(path)?;
    let digest = |answer: &Resolution| Digest::of(&serde_json::to_vec(answer).expect("plain data"));
    Ok(file.find(&Request::of(step)).map(digest))
}

fn resolution(
    cx: &Cx<'_>,
    step: &step::Debian,
    files: &DebianFiles<'_>,
    store: &Store<'_>,
) -> Result<Resolution, DebianError> {
    let path = files.lock_path(cx.plan_dir, step);
    let request = Request::of(step);
    if let Some(resolution) = LockFile::read(&path)?.find(&request) {
        return Ok(resolution.clone());
    }
    let release = signed_release(cx, step, files.keyring, store)?;
    let indexes = indexes(cx, step, &release, store)?;
    let mut index = Index::default();
    for text in &indexes {
        index.add(text).map_err(|reason| DebianError::Index { suite: step.suite.clone(), reason })?;
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

/// Downloads the release of the suite, and believes only what its signature covers.
fn signed_release(
    cx: &Cx<'_>,
    step: &step::Debian,
    keyring: &Utf8Path,
    store: &Store<'_>,
) -> Result<Release, DebianError> {
    if !keyring.exists() {
        return Err(DebianError::NoKeyring { keyring: keyring.to_owned() });
    }
    let url = format!("{}/dists/{}/InRelease", step.mirror.trim_end_matches('/'), step.suite);
    let signed = store.read(std::slice::from_ref(&url), release::LARGEST)?;
    fs_err::write(cx.scratch.join("InRelease"), signed)?;
    for cmd in debian_commands(cx.scratch, keyring) {
        run(cx, &cmd).map_err(|source| DebianError::Signature {
            url: url.clone(),
            keyring: keyring.to_owned(),
            source,
        })?;
    }
    let text = fs_err::read(cx.scratch.join("Release"))?;
    let release = Release::parse(&String::from_utf8_lossy(&text));
    match release.objection(step) {
        Some(reason) => Err(DebianError::Release { url, reason }),
        None => Ok(release),
    }
}

/// The text of the index of each component.
fn indexes(
    cx: &Cx<'_>,
    step: &step::Debian,
    release: &Release,
    store: &Store<'_>,
) -> Result<Vec<String>, DebianError> {
    let base = format!("{}/dists/{}", step.mirror.trim_end_matches('/'), step.suite);
    let mut texts = Vec::new();
    for component in &step.components {
        let directory = format!("{component}/binary-{}", step.arch);
        let listed = [".xz", ".gz", ""].iter().find_map(|suffix| {
            let path = format!("{directory}/Packages{suffix}");
            release.files.get(&path).map(|file| (path, *file))
        });
        let (path, (digest, size)) = listed.ok_or_else(|| DebianError::Index {
            suite: step.suite.clone(),
            reason: format!("its release lists no `{directory}/Packages`"),
        })?;
        let by_hash = release.by_hash.then(|| format!("{base}/{directory}/by-hash/SHA256/{digest}"));
        let urls = by_hash.into_iter().chain([format!("{base}/{path}")]).collect();
        let meter = Meter::new(cx, Some(size));
        let file = store.obtain(&Wanted { digest, size: Some(size), urls }, &meter)?;
        texts.push(decompressed(cx, &file, &path)?);
    }
    Ok(texts)
}

fn decompressed(cx: &Cx<'_>, file: &Utf8Path, label: &str) -> Result<String, DebianError> {
    let input = BufReader::new(fs_err::File::open(file)?);
    let bytes = thread::scope(|scope| {
        let input = decoder(input, cx.jobs)?;
        let mut stream = Decoded::start(scope, input, "the index".to_owned(), cx.cancel);
        let mut bytes = Vec::new();
        loop {
            let more = stream.next(LARGEST_INDEX)?;
            if more.is_empty() {
                return Ok(bytes);
            }
            bytes.extend_from_slice(more);
            if bytes.len() as u64 > LARGEST_INDEX {
                return Err(Fault::too_big("its text", bytes.len() as u64, LARGEST_INDEX).into());
            }
        }
    });
    let bytes = bytes.map_err(|stop: Stop| stop.of(label))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Brings every locked package into the store; the order in which they are to be unpacked.
fn download(
    cx: &Cx<'_>,
    store: &Store<'_>,
    step: &step::Debian,
    resolution: &Resolution,
) -> Result<Vec<Archive>, DebianError> {
    let mut order: Vec<&Locked> = resolution.locked.iter().collect();
    // The first by convention, because of the symbolic links at the root.
    order.sort_by_key(|locked| (locked.name != "base-files", &locked.name));
    let meter = Meter::new(cx, Some(order.iter().map(|locked| locked.size).sum()));
    let next = AtomicUsize::new(0);
    let done = Mutex::new(vec![None; order.len()]);
    let work = || -> Result<(), DownloadError> {
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            let Some(locked) = order.get(n) else { return Ok(()) };
            let urls = urls(step, resolution, locked);
            let wanted = Wanted { digest: locked.sha256, size: Some(locked.size), urls };
            // After an error nobody starts another one.
            let path =
                store.obtain(&wanted, &meter).inspect_err(|_| next.store(order.len(), Ordering::Relaxed))?;
            done.lock().expect("nothing panics while it is held")[n] = Some(path);
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE.min(order.len())).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("downloading does not panic"))
    })?;
    let paths = done.into_inner().expect("nothing panics while it is held").into_iter().flatten();
    let archive =
        |(locked, path): (&Locked, _)| Archive { path, label: format!("{} {}", locked.name, locked.version) };
    Ok(order.into_iter().zip(paths).map(archive).collect())
}

/// Where a package may be: at the mirror, and for ever in Debian's snapshots if it is Debian's.
fn urls(step: &step::Debian, resolution: &Resolution, locked: &Locked) -> Vec<String> {
    let mirror = step.mirror.trim_end_matches('/');
    let mut urls = vec![format!("{mirror}/{}", locked.path)];
    let host_and_path = mirror.split_once("://").and_then(|(_, rest)| rest.split_once('/'));
    if let (Some((host, path)), Some(date)) = (host_and_path, &resolution.date)
        && host.ends_with("debian.org")
    {
        let archive = path.rsplit('/').next().unwrap_or(path);
        urls.push(format!("{SNAPSHOTS}/{archive}/{date}/{}", locked.path));
    }
    urls
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
            Self::Signature { source: RunError::Failed { .. }, .. } | Self::Index { .. } => Class::Step,
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
            Self::Index { .. } | Self::Resolve(_) | Self::Lock(LockError::Io(_)) | Self::Io(_) => None,
        }
    }
}

/// Unpacks a source package of Debian to the output `tree`.
///
/// # Errors
///
/// Always, for now.
pub fn debian_source(
    _: &Cx<'_>,
    step: &step::DebianSource,
    _: &DebianFiles<'_>,
) -> Result<Vec<StepOutput>, DebianError> {
    Err(DebianError::Index { suite: step.suite.clone(), reason: "sources are not read yet".to_owned() })
}

/// The digest of what the lock file at `path` answers to the request of `step`.
///
/// # Errors
///
/// If there is a file and it is not a lock file.
pub fn locked_source(_: &Utf8Path, _: &step::DebianSource) -> Result<Option<Digest>, LockError> {
    Ok(None)
}

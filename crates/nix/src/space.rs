//! What paths of a store take, and what a collection frees: asked of the store, in bytes of archives.

use std::collections::{BTreeMap, BTreeSet};

use bootway_exec::{Cmd, Cx};
use bootway_plan::{Bytes, Class, Explain, NixConfig};
use camino::{Utf8Path, Utf8PathBuf};
use thiserror::Error;

use crate::{
    CallError, Nix,
    shapes::{PathInfo, UnknownShape, path_infos},
};

/// Paths that are asked about at once: a command line has room for many more.
const ASKED: usize = 1000;

/// What is known of some paths and of everything that they refer to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Closures(BTreeMap<String, PathInfo>);

impl Closures {
    /// Asks the store about `paths`; one that it does not hold is not an error, and has no size.
    ///
    /// # Errors
    ///
    /// If the store cannot be asked.
    pub fn ask(cx: &Cx<'_>, nix: &NixConfig, paths: &BTreeSet<Utf8PathBuf>) -> Result<Self, SpaceError> {
        let nix = Nix::new(cx, nix);
        let paths: Vec<&str> = paths.iter().map(|path| path.as_str()).collect();
        infos(&nix, &valid(&nix, &paths)?, &["--recursive"]).map(Self)
    }

    /// Bytes of `path` and everything that it refers to: what Nix calls `closureSize`. `None` if the store does not
    /// hold it.
    pub fn size(&self, path: &Utf8Path) -> Option<Bytes> {
        self.0.contains_key(path.as_str()).then(|| self.size_of_all(&self.of([path])))
    }

    /// Bytes of what `these` keep in the store and `others` do not.
    pub fn only<'a>(
        &'a self,
        these: impl IntoIterator<Item = &'a Utf8Path>,
        others: impl IntoIterator<Item = &'a Utf8Path>,
    ) -> Bytes {
        let others = self.of(others);
        self.size_of_all(&self.of(these).difference(&others).copied().collect())
    }

    fn of<'a>(&'a self, paths: impl IntoIterator<Item = &'a Utf8Path>) -> BTreeSet<&'a str> {
        let mut todo: Vec<&str> = paths.into_iter().map(Utf8Path::as_str).collect();
        let mut all = BTreeSet::new();
        while let Some(path) = todo.pop() {
            if let Some(info) = self.0.get(path)
                && all.insert(path)
            {
                todo.extend(info.references.iter().map(String::as_str));
            }
        }
        all
    }

    fn size_of_all(&self, paths: &BTreeSet<&str>) -> Bytes {
        Bytes::new(paths.iter().filter_map(|path| Some(self.0.get(*path)?.nar_size)).sum())
    }
}

/// What a collection took from the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// How many paths are gone.
    pub paths: usize,
    /// Bytes of their archives.
    pub size: Bytes,
}

/// The command that takes everything from the store that no root holds.
pub fn collect_command(cx: &Cx<'_>, nix: &NixConfig) -> Cmd {
    Nix::new(cx, nix).store("--gc").args(["--log-format", "internal-json"])
}

/// Takes everything from the store that no root holds, whoever put it there. What is gone is asked of the store.
///
/// # Errors
///
/// If Nix refuses.
pub fn collect(cx: &Cx<'_>, config: &NixConfig) -> Result<Collected, SpaceError> {
    let nix = Nix::new(cx, config);
    let dead = nix.must(&nix.store("--gc").arg("--print-dead").args(["--log-format", "internal-json"]))?;
    let dead = String::from_utf8_lossy(&dead);
    let before = infos(&nix, &valid(&nix, &dead.lines().collect::<Vec<_>>())?, &[])?;
    nix.must(&collect_command(cx, config))?;
    let paths: Vec<&str> = before.keys().map(String::as_str).collect();
    let left: BTreeSet<&str> = valid(&nix, &paths)?.into_iter().collect();
    let gone = before.iter().filter(|(path, _)| !left.contains(path.as_str()));
    let (paths, size) = gone.fold((0, 0), |(paths, size), (_, info)| (paths + 1, size + info.nar_size));
    Ok(Collected { paths, size: Bytes::new(size) })
}

/// Those of `paths` that the store holds.
fn valid<'a>(nix: &Nix<'_>, paths: &[&'a str]) -> Result<Vec<&'a str>, CallError> {
    let mut valid = Vec::new();
    for some in paths.chunks(ASKED) {
        let cmd = nix.store("--check-validity").arg("--print-invalid");
        let invalid = nix.must(&cmd.args(some.iter().copied()).args(["--log-format", "internal-json"]))?;
        let invalid = String::from_utf8_lossy(&invalid);
        let invalid: BTreeSet<&str> = invalid.lines().collect();
        valid.extend(some.iter().copied().filter(|path| !invalid.contains(path)));
    }
    Ok(valid)
}

fn infos(nix: &Nix<'_>, paths: &[&str], more: &[&str]) -> Result<BTreeMap<String, PathInfo>, SpaceError> {
    let mut all = BTreeMap::new();
    for some in paths.chunks(ASKED) {
        let cmd = nix.nix(&["path-info", "--json"]).args(more.iter().copied());
        let json = nix.must(&cmd.args(some.iter().copied()).args(["--log-format", "internal-json"]))?;
        let known = path_infos(&json)?.into_iter().filter_map(|(path, info)| Some((path, info?)));
        all.extend(known);
    }
    Ok(all)
}

/// A store does not say what its paths take, or does not collect them.
#[derive(Debug, Error)]
pub enum SpaceError {
    /// It could not be asked, or refused.
    #[error(transparent)]
    Call(#[from] CallError),
    /// It answers in a way that nobody knows.
    #[error(transparent)]
    Shape(#[from] UnknownShape),
}

impl Explain for SpaceError {
    fn class(&self) -> Class {
        match self {
            Self::Call(error) => error.class(),
            Self::Shape(_) => Class::Environment,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Call(error) => error.hint(),
            Self::Shape(_) => None,
        }
    }
}

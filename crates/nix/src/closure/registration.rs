//! What a store knows of its paths, as text: bytes ↔ values.
//!
//! The format of `nix-store --load-db` and `--dump-db`, and of the file `registration` of nixpkgs' `closureInfo`: for
//! each path a line with the path, its NAR hash, its NAR size, its deriver (which may be empty), the number of its
//! references, and a line for each reference. Read from `decodeValidPathInfo` in `src/libstore/path-info.cc` of Nix 2.8
//! and tried with 2.8, 2.26 and 2.34: hashes as `sha256:BASE32` or in hexadecimal are taken, SRI is refused. So any of
//! them is read here, and `sha256:BASE32` is written, always.

use std::collections::{BTreeMap, BTreeSet};

use bootway_plan::Digest;
use thiserror::Error;

use super::{
    StorePath, hash,
    references::{Lines, References},
};

/// Paths of a store and what the store knows of each.
///
/// ```
/// use bootway_nix::closure::Registration;
///
/// let text = "/nix/store/kjh3jyzihl3wv80valr8par0ddakqbyc-dep\n\
///             f3e8435edae557a1d4c67a3ca57adee27bdcde6e8c1c7c0fb42ae857f7090f04\n680\n\n0\n";
/// let registration = Registration::from_text(text)?;
/// assert_eq!(registration.total_size(), 680);
/// assert!(registration.to_text().contains("sha256:010g17vmgs1anh7pq74cdvgdqyz2vrxaag3sqvaa2mz5v9g47s7k"));
/// # Ok::<(), bootway_nix::closure::InvalidRegistration>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registration {
    /// By path.
    pub paths: BTreeMap<StorePath, PathInfo>,
}

/// What a store knows of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathInfo {
    /// SHA-256 of its NAR serialisation.
    pub nar_hash: Digest,
    /// Bytes of that.
    pub nar_size: u64,
    /// What it was built by, if that is known; it need not be there.
    pub deriver: Option<StorePath>,
    /// What it refers to; it may refer to itself.
    pub references: BTreeSet<StorePath>,
}

impl Registration {
    /// Reads it.
    ///
    /// # Errors
    ///
    /// If a line is not what it must be, with its number; if a path is there twice.
    pub fn from_text(text: &str) -> Result<Self, InvalidRegistration> {
        let mut lines = Lines::new(text);
        let mut paths = BTreeMap::new();
        while let Some(path) = lines.path(|path| paths.contains_key(path))? {
            let nar_hash = lines.parse("a SHA-256 as Nix writes one", hash::parse)?;
            let nar_size = lines.parse("the size of the NAR in bytes", |line| line.parse().ok())?;
            let (deriver, references) = lines.references()?;
            paths.insert(path, PathInfo { nar_hash, nar_size, deriver, references });
        }
        Ok(Self { paths })
    }

    /// Its text: sorted by path, hashes as `sha256:BASE32`.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for (path, info) in &self.paths {
            let deriver = info.deriver.as_ref().map_or("", StorePath::as_str);
            let hash = hash::nix32(&info.nar_hash);
            text += &format!("{path}\n{hash}\n{}\n{deriver}\n{}\n", info.nar_size, info.references.len());
            text.extend(info.references.iter().map(|it| format!("{it}\n")));
        }
        text
    }

    /// The same without derivers: what `closureInfo` says, and what is the same whoever built the paths.
    #[must_use]
    pub fn without_derivers(mut self) -> Self {
        self.paths.values_mut().for_each(|info| info.deriver = None);
        self
    }

    /// Bytes of all NARs; whatever a text says they are, the most that there can be at most.
    pub fn total_size(&self) -> u64 {
        self.paths.values().fold(0, |size, info| size.saturating_add(info.nar_size))
    }

    /// Everything that is referred to is there: it is a closure.
    ///
    /// # Errors
    ///
    /// The first reference that leads out of it; a path of another store.
    pub fn verify(&self) -> Result<(), NotAClosure> {
        let references = self.paths.iter().map(|(path, info)| (path, &info.references));
        closed(references, |path| self.paths.contains_key(path))
    }

    /// What refers to what, without hashes.
    pub fn references(&self) -> References {
        let entry = |(path, info): (&StorePath, &PathInfo)| {
            (path.clone(), (info.deriver.clone(), info.references.clone()))
        };
        References { paths: self.paths.iter().map(entry).collect() }
    }
}

/// Every reference is among the paths that `has`, and all are of one store.
pub(super) fn closed<'a>(
    paths: impl Iterator<Item = (&'a StorePath, &'a BTreeSet<StorePath>)>,
    has: impl Fn(&StorePath) -> bool,
) -> Result<(), NotAClosure> {
    let mut store: Option<&StorePath> = None;
    for (path, references) in paths {
        let first = *store.get_or_insert(path);
        if first.store_dir() != path.store_dir() {
            return Err(NotAClosure::TwoStores { one: first.clone(), other: path.clone() });
        }
        if let Some(missing) = references.iter().find(|it| !has(it)) {
            return Err(NotAClosure::Open { path: path.clone(), missing: missing.clone() });
        }
    }
    Ok(())
}

/// The text is damaged, or is something else.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line} of the registration is `{found}`, and must be {expected}")]
pub struct InvalidRegistration {
    /// From 1.
    pub line: usize,
    /// What it must be.
    pub expected: &'static str,
    /// The beginning of what it is.
    pub found: String,
}

/// Paths that are not whole without others.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NotAClosure {
    /// A reference leads out of it.
    #[error("`{path}` refers to `{missing}`, which is not among the paths")]
    Open {
        /// What refers to it.
        path: StorePath,
        /// What is missing.
        missing: StorePath,
    },
    /// Paths of two stores.
    #[error("`{one}` and `{other}` are paths of different stores")]
    TwoStores {
        /// One.
        one: StorePath,
        /// One that is somewhere else.
        other: StorePath,
    },
}

#[cfg(test)]
mod tests;

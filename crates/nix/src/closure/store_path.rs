//! Paths of a store.

use std::{fmt, str::FromStr};

use camino::Utf8Path;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Digits of the hash at the beginning of every name.
const HASH_DIGITS: usize = 32;
/// What Nix allows behind it, the dash not counted.
const MAX_NAME: usize = 211;
/// The longest path of Linux.
const MAX_PATH: usize = 4096;

/// A path of a store, as Nix names it: `/nix/store/HASH-NAME`, nothing below it.
///
/// The directory is the store's name for itself. Where the file is follows from the store: one that is in a directory
/// of its own keeps `/nix/store/X` at `DIR/nix/store/X`.
///
/// ```
/// use bootway_nix::closure::StorePath;
///
/// let path: StorePath = "/nix/store/kjh3jyzihl3wv80valr8par0ddakqbyc-dep".parse()?;
/// assert_eq!(path.name(), "kjh3jyzihl3wv80valr8par0ddakqbyc-dep");
/// assert_eq!(path.store_dir(), "/nix/store");
/// assert!("/nix/store/kjh3jyzihl3wv80valr8par0ddakqbyc-dep/bin".parse::<StorePath>().is_err());
/// # Ok::<(), bootway_nix::closure::InvalidStorePath>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StorePath(String);

impl StorePath {
    /// All of it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Hash and name: the last component.
    pub fn name(&self) -> &str {
        self.0.rsplit_once('/').map_or(&self.0, |(_, name)| name)
    }

    /// The directory of the store, `/nix/store` as a rule.
    pub fn store_dir(&self) -> &str {
        self.0.rsplit_once('/').map_or("", |(dir, _)| dir)
    }

    /// The store path that `path` is, or that it is in.
    pub fn containing(path: &Utf8Path) -> Option<Self> {
        path.ancestors().find_map(|it| it.as_str().parse().ok())
    }
}

impl fmt::Display for StorePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for StorePath {
    type Err = InvalidStorePath;

    fn from_str(text: &str) -> Result<Self, InvalidStorePath> {
        let invalid = || InvalidStorePath { text: text.chars().take(MAX_NAME).collect() };
        let (dir, name) = text.rsplit_once('/').ok_or_else(invalid)?;
        let plain = dir.len() > 1
            && dir.starts_with('/')
            && dir[1..].split('/').all(|it| !matches!(it, "" | "." | ".."))
            && !dir.contains(|c: char| c.is_control());
        let (hash, rest) = name.split_at_checked(HASH_DIGITS).ok_or_else(invalid)?;
        let rest = rest.strip_prefix('-').ok_or_else(invalid)?;
        let named = (1..=MAX_NAME).contains(&rest.len())
            && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-._?=".contains(&byte));
        let hashed = hash.bytes().all(|byte| super::hash::NIX32.contains(&byte));
        if plain && named && hashed && text.len() < MAX_PATH {
            Ok(Self(text.to_owned()))
        } else {
            Err(invalid())
        }
    }
}

impl TryFrom<String> for StorePath {
    type Error = InvalidStorePath;

    fn try_from(text: String) -> Result<Self, InvalidStorePath> {
        text.parse()
    }
}

impl From<StorePath> for String {
    fn from(path: StorePath) -> Self {
        path.0
    }
}

/// The text is not a path of a store.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{text}` is not a path of a store: write `/nix/store/`, 32 letters and digits, `-`, and a name")]
pub struct InvalidStorePath {
    text: String,
}

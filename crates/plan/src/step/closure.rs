//! Parameters of `closure`, and of a `command` that sees nothing but one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::PlanPath;
use crate::Source;

/// Store paths and everything that they refer to: as a tree for images, or installed into a store in a directory.
///
/// Without `into` it makes a tree with `nix/store` and `nix-path-registration`, which is the same in every run. With
/// `into` it brings the directory up to date each time, which costs little if it is, and makes its registration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Closure {
    /// Steps of kind `nix-build` whose store paths are the roots, or links to store paths, such as `./result`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub roots: Vec<Source>,
    /// Store paths that are roots.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    /// What knows the closure: what `closureInfo` of nixpkgs makes, a registration, a file of `exportReferencesGraph`,
    /// or its `.attrs.json`; the store is asked unless it is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub info: Option<Source>,
    /// The directory whose `nix/store` they go into, relative to the plan's; never the machine's own store.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub into: Option<PlanPath>,
    /// How the files get there.
    pub mode: StoreMode,
    /// How closely what is there is looked at.
    pub verify: StoreVerify,
    /// Threads; as many as the run may use unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jobs: Option<u8>,
}

/// How files get into a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StoreMode {
    /// They share their bytes where the file system can, and are copied where it cannot.
    #[default]
    Auto,
    /// They share their bytes, or it fails.
    Reflink,
    /// They are copied.
    Copy,
    /// They are other names of the same files, or it fails: whoever writes to one writes to both.
    Hardlink,
}

/// How closely what is in a store is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StoreVerify {
    /// Only whether it is there.
    None,
    /// Names, kinds, and sizes.
    #[default]
    Sizes,
    /// Every byte, by the hash of the NAR.
    Hashes,
}

/// What a `command` sees of Nix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CommandNix {
    /// A step of kind `closure`: its store is the only one that the program sees. Nothing can be built or fetched.
    pub isolated: Source,
    /// Steps of kind `nix-build` whose outputs must be in that store: it fails before the program starts if one would
    /// have to be built.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub no_build: Vec<Source>,
}

impl Closure {
    pub(super) fn sources(&self) -> Vec<&Source> {
        self.roots.iter().chain(&self.info).collect()
    }

    pub(super) fn summary(&self) -> String {
        let roots = self.roots.iter().map(ToString::to_string).chain(self.paths.iter().cloned());
        let mut all: Vec<String> = roots.collect();
        if let (true, Some(info)) = (all.is_empty(), &self.info) {
            all.push(info.to_string());
        }
        let what = all.join(", ");
        self.into.as_ref().map_or_else(|| what.clone(), |into| format!("{what} into {into}"))
    }
}

impl CommandNix {
    pub(super) fn sources(&self) -> impl Iterator<Item = &Source> {
        std::iter::once(&self.isolated).chain(&self.no_build)
    }
}

//! Parameters of `nix-build`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ArtifactKind, Bytes};

/// An attribute of a flake to an artifact: evaluated, realised, found in its output, and verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct NixBuild {
    /// The attribute: `bootImage`, or `packages.x86_64-linux.bootImage`.
    pub attribute: String,
    /// The flake; that of `[nix]` unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flake: Option<String>,
    /// Which output of the derivation; `out` unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// A pattern inside the output that must match exactly one file, such as `iso/*.iso`. An output that is itself a
    /// file is the artifact whatever the pattern; of one that is a directory without a pattern the only file is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub glob: Option<String>,
    /// What it must be.
    #[serde(default = "any_file")]
    pub kind: ArtifactKind,
    /// How big it must be at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_size: Option<Bytes>,
    /// Whether it is built a second time, and must come out the same.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reproducible: bool,
    /// Whether evaluation may look at the environment; as `[nix]` says unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub impure: Option<bool>,
}

const fn any_file() -> ArtifactKind {
    ArtifactKind::File
}

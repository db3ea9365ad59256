//! `[nix]`: how every step of a plan that uses Nix does so.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Millis;

/// How Nix is used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct NixConfig {
    /// The flake that attributes belong to: a directory, relative to the plan's, or a flake reference; the plan's own
    /// directory unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flake: Option<String>,
    /// What to do about files that the flake needs and Git does not know.
    pub untracked: Untracked,
    /// Whether evaluation may look at the environment.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub impure: bool,
    /// How long a build may be silent before there is a heartbeat; that of the step unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub silent_warn: Option<Millis>,
    /// How long a build may be silent before it fails; for ever unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub silent_kill: Option<Millis>,
    /// Arguments for every command of Nix.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Machines that build, in the words of `nix.conf`; those of the machine unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub builders: Option<Vec<String>>,
    /// The store; that of the machine unless said. A directory is a store of its own inside of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    /// Where built paths may come from; those of the machine unless said, none if the list is empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub substituters: Option<Vec<String>>,
    /// How many builds of each step are kept from being collected, the last one included; 1 unless said. Older ones are
    /// let go of by `bootway gc --apply`, never by a build.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep: Option<NonZeroU32>,
}

/// What to do about files that a flake needs and Git does not know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Untracked {
    /// The step fails before evaluation.
    #[default]
    Error,
    /// A note.
    Warn,
    /// Nothing.
    Allow,
}

impl NixConfig {
    /// How many builds of each step are kept, the last one included.
    pub fn kept_builds(&self) -> usize {
        self.keep.map_or(1, |keep| usize::try_from(keep.get()).unwrap_or(usize::MAX))
    }

    /// Whether nothing is said.
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

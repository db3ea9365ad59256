//! `[generate]`: files that are made from the targets of a plan.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Files that are made from the targets of a plan, so that nothing has to be kept in step by hand. Paths are relative
/// to the plan's directory; what is not named is not made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Generate {
    /// The directory for shell completions of `bootway up`: `bootway-up.bash`, `_bootway-up`, `bootway-up.fish`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completions: Option<String>,
    /// A compose file with a service for each container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compose: Option<String>,
    /// Recipes for `just`, to be imported by a justfile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub justfile: Option<String>,
    /// A Markdown file that has a line `<!-- bootway:targets -->` and a line `<!-- /bootway:targets -->`; a table goes
    /// between them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub docs: Option<String>,
}

impl Generate {
    /// Whether nothing is made.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

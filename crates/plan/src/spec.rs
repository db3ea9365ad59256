//! `plan.toml` as the user wrote it, with its variables filled in.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Action, Bytes, Millis, Name, StepId, Targets,
    node::{Node, Span},
    step::Machines,
    vars::Var,
};

mod generate;
mod nix;
mod read;
mod tier;
mod when;

pub use generate::Generate;
pub use nix::{NixConfig, Untracked};
pub use tier::{Budgets, Tier, Tiers};
pub use when::When;
pub(crate) use when::prune;

/// The only format there is.
pub(crate) const FORMAT: i64 = 1;

/// A whole `plan.toml`: every field typed, no reference checked yet.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Names the output directory and the report.
    pub name: Name,
    /// What the plan is for.
    pub description: Option<String>,
    /// Seconds since 1970-01-01 UTC, stamped on everything that carries a time.
    pub epoch: u64,
    /// Which phases run when none is selected.
    pub default_phase: DefaultPhase,
    /// What a skip means.
    pub skips: Skips,
    /// What the machine must have before anything runs.
    pub requires: Requires,
    /// Environment of every program that the plan names.
    pub env: BTreeMap<String, String>,
    /// How Nix is used.
    pub nix: NixConfig,
    /// What holds of the tiers of checks.
    pub tiers: Tiers,
    /// Machines by name.
    pub machines: Machines,
    /// What a flake offers to run, by name.
    pub targets: Targets,
    /// Files that are made from the targets.
    pub generate: Generate,
    /// Variables with their values; secrets are not shown.
    pub vars: BTreeMap<String, Var>,
    /// In order.
    pub phases: Vec<PhaseSpec>,
    pub(crate) values: BTreeMap<String, String>,
    pub(crate) secrets: Vec<String>,
    pub(crate) text: String,
    pub(crate) target_table: Option<Node>,
}

/// Which phases run when none is selected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DefaultPhase {
    /// The first.
    First,
    /// The first that is not done.
    Next,
    /// All.
    #[default]
    All,
}

/// What a skip means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Skips {
    /// It is counted, with its reason.
    #[default]
    Graceful,
    /// It is a failure, unless `when` asked for it.
    Strict,
}

/// What must be there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Requires {
    /// Programs on `PATH`; `docker|podman` is one of the two.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<String>,
    /// Files and directories; relative paths start at the plan's directory.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
    /// Free space where the work directory is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_free: Option<Bytes>,
    /// `x86_64-linux` or `aarch64-linux`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// Hardware virtualisation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kvm: Option<Need>,
    /// Whether anything is downloaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<bool>,
    /// Environment variables that must be set.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
}

/// How much something is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Need {
    /// Without it, nothing.
    Required,
    /// Better with it.
    Optional,
}

/// A phase, `[[phase]]`.
#[derive(Clone, Debug)]
pub struct PhaseSpec {
    /// Its name.
    pub name: Name,
    /// What it is for.
    pub description: Option<String>,
    /// Environment of its programs.
    pub env: BTreeMap<String, String>,
    /// In order.
    pub steps: Vec<StepSpec>,
}

/// A step, `[[phase.step]]`.
#[derive(Clone, Debug)]
pub struct StepSpec {
    /// Everything that any step can have.
    pub common: StepCommon,
    /// Its kind and parameters.
    pub action: Action,
    pub(crate) span: Span,
    pub(crate) action_span: Span,
    pub(crate) sources: Vec<(Span, String)>,
}

/// Everything that any step can have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct StepCommon {
    /// Unique in the plan.
    pub name: StepId,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Whether it runs at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<When>,
    /// The tier of checks that it belongs to; a `nix-check` is `quick` unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<Tier>,
    /// Whether it only keeps the place of a check that is not written yet: it proves nothing, and no tier that it is
    /// in is good. It is in `full` unless said.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub placeholder: bool,
    /// Environment of its programs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// How long it may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Millis>,
    /// How long it may be silent before there is a heartbeat; 60 seconds unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silent_warn: Option<Millis>,
    /// How often it is tried again when it fails.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub retry: u8,
    /// What it needs; without that it is skipped.
    #[serde(default, skip_serializing_if = "Requires::is_empty")]
    pub requires: Requires,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_zero(n: &u8) -> bool {
    *n == 0
}

impl Requires {
    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The keys of a plan besides `vars` and `phase`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Head {
    /// The format of the plan: 1.
    pub(crate) format: i64,
    /// Names the output directory and the report.
    pub(crate) name: Name,
    /// What the plan is for.
    #[serde(default)]
    pub(crate) description: Option<String>,
    /// Seconds since 1970-01-01 UTC, stamped on everything that carries a time.
    pub(crate) epoch: u64,
    /// Which phases run when none is selected.
    #[serde(default)]
    pub(crate) default_phase: DefaultPhase,
    /// What a skip means.
    #[serde(default)]
    pub(crate) skips: Skips,
    /// What the machine must have before anything runs.
    #[serde(default)]
    pub(crate) requires: Requires,
    /// Environment of every program that the plan names.
    #[serde(default)]
    pub(crate) env: BTreeMap<String, String>,
    /// How Nix is used.
    #[serde(default)]
    pub(crate) nix: NixConfig,
    /// What holds of the tiers of checks.
    #[serde(default)]
    pub(crate) tiers: Tiers,
    /// Machines by name.
    #[serde(default)]
    pub(crate) machine: Machines,
    /// What a flake offers to run, by name.
    #[serde(default)]
    pub(crate) target: Targets,
    /// Files that are made from the targets.
    #[serde(default)]
    pub(crate) generate: Generate,
}

/// The keys of a phase besides `step`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct PhaseHead {
    /// Unique in the plan.
    pub(crate) name: Name,
    /// What it is for.
    #[serde(default)]
    pub(crate) description: Option<String>,
    /// Environment of its programs.
    #[serde(default)]
    pub(crate) env: BTreeMap<String, String>,
}

impl StepCommon {
    /// What a step has that says nothing but its name.
    pub(crate) const fn named(name: StepId) -> Self {
        Self {
            name,
            description: None,
            when: None,
            tier: None,
            placeholder: false,
            env: BTreeMap::new(),
            limit: None,
            silent_warn: None,
            retry: 0,
            requires: Requires {
                tools: Vec::new(),
                files: Vec::new(),
                disk_free: None,
                platform: None,
                kvm: None,
                network: None,
                env: Vec::new(),
            },
        }
    }

    const KEYS: [&str; 10] = [
        "name",
        "description",
        "when",
        "tier",
        "placeholder",
        "env",
        "limit",
        "silent-warn",
        "retry",
        "requires",
    ];
}

//! `plan.toml` as the user wrote it, with its variables filled in.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Action, Bytes, Millis, Name, Ordered, StepId, Targets,
    bq2::Kept,
    node::{Key, Node, Span},
    step::{Machines, PackageChange, PackageSpecs},
    vars::Var,
};

mod generate;
mod namespace;
mod nix;
mod read;
mod tier;
mod when;

pub use generate::Generate;
pub use namespace::{Base, Bind, HOST, Inside, NamespaceSpec, Namespaces, host_directories};
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
    /// Roots that phases run in, by name.
    pub namespaces: Namespaces,
    /// What is built from source, by name, in order.
    pub packages: PackageSpecs,
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
    pub(crate) package_table: Option<Node>,
    pub(crate) namespace_table: Option<Node>,
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
    /// The root that its steps run in.
    pub namespace: Option<Name>,
    /// Where its packages believe to be installed.
    pub install_prefix: Option<String>,
    /// Where in the root the files of its packages really go.
    pub destdir: Option<String>,
    /// What is different about packages in this phase.
    pub packages: Ordered<Name, PackageChange>,
    /// Whether nobody wrote it: it gets what the packages of the plan are built from.
    pub implied: bool,
    /// In order.
    pub steps: Vec<StepSpec>,
    pub(crate) span: Span,
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
    /// Variables that its programs do not see, whoever sets them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env_unset: Vec<String>,
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
    /// Roots that phases run in, by name.
    #[serde(default)]
    pub(crate) namespace: Namespaces,
    /// What is built from source, by name, in the order in which it is built.
    #[serde(default)]
    pub(crate) package: PackageSpecs,
    /// What a flake offers to run, by name.
    #[serde(default)]
    pub(crate) target: Targets,
    /// Files that are made from the targets.
    #[serde(default)]
    pub(crate) generate: Generate,
    /// What a build plan of bootstrap-qcow2 said that a plan has no word for.
    #[serde(default)]
    #[expect(dead_code, reason = "the export reads it from the text; here it is only known to be right")]
    bq2: Option<Kept>,
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
    /// The root that its steps run in: a `[namespace]`, or `host` for none, which may not come behind one.
    #[serde(default)]
    pub(crate) namespace: Option<Name>,
    /// Where its packages believe to be installed; `/usr` unless said.
    #[serde(default)]
    pub(crate) install_prefix: Option<String>,
    /// Where in the root the files of its packages really go. Paths of `edit` and `command` steps are paths of the root, with
    /// neither of these before them.
    #[serde(default)]
    pub(crate) destdir: Option<String>,
    /// What is different about packages in this phase, by name.
    #[serde(default)]
    pub(crate) package: Ordered<Name, PackageChange>,
}

impl PhaseSpec {
    /// The phase of the steps that get the sources of packages.
    pub(crate) fn of_sources(steps: Vec<StepSpec>) -> Self {
        Self {
            name: Name::fixed("sources"),
            description: Some("what packages are built from".to_owned()),
            env: BTreeMap::new(),
            namespace: None,
            install_prefix: None,
            destdir: None,
            packages: Ordered::default(),
            implied: true,
            steps,
            span: 0..0,
        }
    }
}

impl Spec {
    /// Where the name of a package is written, and each of its texts.
    pub(crate) fn places_of_package(&self, name: &Name) -> (Span, Vec<(Span, String)>) {
        let Some((key, node)) = entry(self.package_table.as_ref(), name) else { return (0..0, Vec::new()) };
        let mut sources = Vec::new();
        node.clone().each_string(&mut |span, text| {
            sources.push((span.clone(), text.to_owned()));
            None
        });
        (key.span.clone(), sources)
    }

    /// Where a text of a package is written.
    pub(crate) fn place_in_package(&self, name: &Name, text: &str) -> Span {
        let (span, sources) = self.places_of_package(name);
        sources.into_iter().find(|(_, it)| it == text).map_or(span, |(span, _)| span)
    }

    /// Where the name of a namespace is written.
    pub(crate) fn place_of_namespace(&self, name: &Name) -> Span {
        entry(self.namespace_table.as_ref(), name).map_or(0..0, |(key, _)| key.span.clone())
    }
}

fn entry<'a>(table: Option<&'a Node>, name: &Name) -> Option<&'a (Key, Node)> {
    table?.entries().iter().find(|(key, _)| key.text == name.as_str())
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
            env_unset: Vec::new(),
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

    const KEYS: [&str; 11] = [
        "name",
        "description",
        "when",
        "tier",
        "placeholder",
        "env",
        "env-unset",
        "limit",
        "silent-warn",
        "retry",
        "requires",
    ];
}

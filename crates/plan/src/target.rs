//! `[target.NAME]`: what a flake offers to run, as profiles × variants.
//!
//! A target names its profiles once, in one place: a list here, a list in a Nix file or in the flake, or one in another
//! TOML file. Everything that shows them (the program's menu and help, completions, checks, a compose file, a table in
//! the documentation) is made from a [`Grid`], a target whose profiles are known.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ArtifactKind, Millis, Name, Need, ordered::Ordered, step::Runs};

mod argv;
mod check;
mod grid;
mod profile;
mod steps;
mod system;
mod template;

pub use argv::Argv;
pub(crate) use check::check;
pub use grid::{Cell, ChooseError, Facts, Grid, GridError, Unavailable};
pub use profile::{InvalidProfile, InvalidProfileList, Profile, Profiles};
pub use system::{Platform, System};
pub(crate) use template::PLACES;
pub use template::{InvalidTargetTemplate, Place, TargetTemplate};

/// Targets by name, in the order of the file.
pub type Targets = Ordered<Name, Target>;

/// Something that a flake offers to run, in several profiles and variants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Target {
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// Its profiles: a list, or where the one list is.
    pub profiles: Profiles,
    /// The profile that is meant when none is named; the first unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_profile: Option<Profile>,
    /// The variant that is meant when none is named; the first unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_variant: Option<Name>,
    /// The attribute of the flake: `${profile}`, `${variant}`, `${target}` and `${system}` are filled in.
    pub attribute: TargetTemplate,
    /// What can be done with it, in the order of the file.
    pub variants: Ordered<Name, Variant>,
    /// Environment variables that set what arguments do not.
    #[serde(default, skip_serializing_if = "Ordered::is_empty")]
    pub env: Ordered<String, EnvSpec>,
}

/// One form of a target.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Variant {
    /// What it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// The attribute of the flake; that of the target unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attribute: Option<TargetTemplate>,
    /// The profiles that it exists for; all unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profiles: Option<Vec<Profile>>,
    /// What is built. Without `kind`, `glob` and `run` the variant is left to `nix run`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<ArtifactKind>,
    /// A pattern inside the output that must match exactly one file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub glob: Option<String>,
    /// What is run when it is built, in front of the arguments: `${path}` is the artifact. Unless said, a program is
    /// run itself, a container with docker or podman, and of anything else it is said where it is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub run: Vec<TargetTemplate>,
    /// Systems that have the attribute (`linux`, `x86_64-linux`); all unless said.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub platforms: Vec<Platform>,
    /// What running it takes.
    #[serde(skip_serializing_if = "Needs::is_empty")]
    pub needs: Needs,
    /// Variants to name where this one cannot run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub instead: Vec<Name>,
    /// How its container is run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<Container>,
}

/// What running a variant takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Needs {
    /// Systems that it runs on, if they are fewer than those that can build it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub platforms: Vec<Platform>,
    /// Programs on `PATH`, all of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<String>,
    /// Programs on `PATH`, one of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub any_tool: Vec<String>,
    /// Hardware virtualisation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kvm: Option<Need>,
}

/// How a container is run: by `bootway up`, and in the compose file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Container {
    /// What the image is called once it is loaded; `${attribute}:latest` unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<TargetTemplate>,
    /// Ports, as `HOST:CONTAINER` or `PORT`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<String>,
    /// Capabilities that it gets beyond the engine's own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cap_add: Vec<String>,
    /// Directories that are in memory.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tmpfs: Vec<String>,
    /// Its environment.
    #[serde(skip_serializing_if = "Ordered::is_empty")]
    pub env: Ordered<String, TargetTemplate>,
    /// How the engine finds out that it works.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    /// What it does when `bootway check --tier full` runs it for a moment, where docker or podman is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runs: Option<Runs>,
}

/// How an engine finds out that a container works.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Healthcheck {
    /// A program and its arguments, without a shell; exit code 0 is good.
    pub test: Vec<String>,
    /// Between two tests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Millis>,
    /// How long one may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Millis>,
    /// Before the first failure counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_period: Option<Millis>,
    /// How many failures in a row make it unhealthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
}

/// What an environment variable does: with `flag`, it becomes an argument unless the arguments have that flag already;
/// without, the program sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct EnvSpec {
    /// The flag that it stands for: `--clients`. Flags take a value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flag: Option<String>,
    /// Other spellings of the flag: `-c`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
    /// Its value when the environment has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<TargetTemplate>,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl Container {
    /// Its ports as `HOST:CONTAINER`.
    pub fn published(&self) -> Vec<String> {
        let mapped = |port: &String| if port.contains(':') { port.clone() } else { format!("{port}:{port}") };
        self.ports.iter().map(mapped).collect()
    }
}

impl Needs {
    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Variant {
    /// Whether it is built and run by `nix run` alone.
    pub fn by_nix(&self) -> bool {
        self.kind.is_none() && self.glob.is_none() && self.run.is_empty()
    }

    /// What is built: a program unless said.
    pub fn kind(&self) -> ArtifactKind {
        self.kind.unwrap_or(ArtifactKind::Program)
    }
}

#[cfg(test)]
mod tests;

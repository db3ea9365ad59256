//! Parameters of `package`, `packages` and `[package.NAME]`: software that is built from its source inside a root.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Digest, Millis, Name, Ordered, Source};

/// Build the packages of this phase, in the order of the plan: one step for each, in place of this one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Packages {
    /// These, and no others; they are built in the order of the plan, whatever the order here. Unless said: those whose
    /// `phases` have this one, and those that have no `phases`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<Vec<Name>>,
    /// What the names of the steps begin with, so that a package can be built in several phases: `final-`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prefix: String,
}

/// Packages by name, in the order of the plan, which is the order in which they are built.
pub type PackageSpecs = Ordered<Name, PackageSpec>;

/// A package: where its source is, and how it is built, `[package.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PackageSpec {
    /// For people, and in the name of the directory that it is built in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Where its source is: a URL, which wants a `sha256`; `debian:NAME` for the source package of Debian, with Debian's
    /// own changes; an output of a step; or a path. Only `command` can do without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Of what is at the URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Digest>,
    /// Tried in order when the URL does not answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mirrors: Vec<String>,
    /// What to take of the source, as patterns; everything unless said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keep: Vec<String>,
    /// Phases that build it; any that builds packages unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phases: Option<Vec<Name>>,
    /// How it is built.
    #[serde(default)]
    pub strategy: Strategy,
    /// The directory of the source that the build begins in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subdir: Option<String>,
    /// A directory beside the source to build in, for software that wants it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build_dir: Option<String>,
    /// For `configure`, `cmake` or `meson setup`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub configure_flags: Vec<String>,
    /// For `make`, or whatever builds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub make_flags: Vec<String>,
    /// Options of a Kconfig, without `CONFIG_`: `STATIC = "y"`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<String, String>,
    /// What `strategy = "command"` runs, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<Vec<String>>,
    /// Unified diffs, applied in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub patches: Vec<Source>,
    /// Environment of its programs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Where it believes to be installed; that of the phase unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub install_prefix: Option<String>,
    /// Where in the root its files really go; that of the phase unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destdir: Option<String>,
    /// Variables that its programs do not see, whoever sets them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env_unset: Vec<String>,
    /// Whether it goes where it believes to be installed, whatever the phase says.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub destdir_clear: bool,
    /// How long a build may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Millis>,
    /// It is built several times in a row, each time with these changes: `musl-stage1`, `musl-stage2`.
    #[serde(default, skip_serializing_if = "Ordered::is_empty")]
    pub stages: Ordered<Name, PackageChange>,
}

/// What a stage or a phase changes about a package.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct PackageChange {
    /// Another way to build it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Strategy>,
    /// Another directory to begin in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subdir: Option<String>,
    /// Another directory to build in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build_dir: Option<String>,
    /// In place of those of the package.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub configure_flags: Option<Vec<String>>,
    /// Without these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub configure_flags_drop: Vec<String>,
    /// With these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub configure_flags_add: Vec<String>,
    /// In place of those of the package.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub make_flags: Option<Vec<String>>,
    /// With these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub make_flags_add: Vec<String>,
    /// Options of a Kconfig over those of the package.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<String, String>,
    /// In place of those of the package.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commands: Option<Vec<Vec<String>>>,
    /// In place of those of the package.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patches: Option<Vec<Source>>,
    /// After those of the package.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub patches_add: Vec<Source>,
    /// Over that of the package.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Variables that its programs do not see, whoever sets them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env_unset: Vec<String>,
    /// Another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub install_prefix: Option<String>,
    /// Another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destdir: Option<String>,
    /// None, whoever sets one.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub destdir_clear: bool,
    /// Another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<Millis>,
}

/// How a package is built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// `./configure`, `make`, `make install`.
    #[default]
    Autotools,
    /// `cmake`, `cmake --build`, `cmake --install`.
    Cmake,
    /// `meson setup`, `meson compile`, `meson install`.
    Meson,
    /// `make`, `make install`, with `PREFIX` and `DESTDIR`.
    Make,
    /// Busybox: `make defconfig`, options of `config`, `make`, `make install`.
    Busybox,
    /// The headers of Linux: `make headers`, and a copy of what that makes.
    LinuxHeaders,
    /// Nothing is built: what is in the archive goes to the prefix as it is, or what is in its `subdir`.
    Tarball,
    /// What `commands` says.
    Command,
}

impl Strategy {
    /// Its word in a plan.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Autotools => "autotools",
            Self::Cmake => "cmake",
            Self::Meson => "meson",
            Self::Make => "make",
            Self::Busybox => "busybox",
            Self::LinuxHeaders => "linux-headers",
            Self::Tarball => "tarball",
            Self::Command => "command",
        }
    }
}

/// Build software from its source inside the root of a namespace; what it installs is the step's layer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Package {
    /// Which `[package]` it is, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package: Option<Name>,
    /// For people, and in the name of the directory that it is built in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// An archive or a tree; only `command` can do without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// What to take of the source, as patterns; everything unless said.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keep: Vec<String>,
    /// How it is built.
    pub strategy: Strategy,
    /// The directory of the source that the build begins in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subdir: Option<String>,
    /// A directory beside the source to build in, for software that wants it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build_dir: Option<String>,
    /// For `configure`, `cmake` or `meson setup`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub configure_flags: Vec<String>,
    /// For `make`, or whatever builds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub make_flags: Vec<String>,
    /// Options of a Kconfig, without `CONFIG_`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<String, String>,
    /// What `strategy = "command"` runs, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<Vec<String>>,
    /// Unified diffs, applied in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub patches: Vec<Source>,
    /// Where it believes to be installed; that of the phase, or `/usr`, unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub install_prefix: Option<String>,
    /// Where in the root its files really go; that of the phase unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destdir: Option<String>,
}

/// What stays in the texts of a package until it is built: its prefix and DESTDIR, how many processors it may use, and
/// the directory of its source.
pub(crate) const BUILD_PLACES: [&str; 4] = ["prefix", "destdir", "jobs", "build"];

impl Package {
    pub(super) fn sources(&self) -> Vec<&Source> {
        self.source.iter().chain(&self.patches).collect()
    }

    pub(super) fn summary(&self) -> String {
        let version = self.version.as_ref().map(|version| format!(" {version}")).unwrap_or_default();
        let name = self.package.as_ref().map_or("package", Name::as_str);
        let flags = self.configure_flags.iter().chain(&self.make_flags).cloned();
        let flags: Vec<String> =
            flags.chain(self.config.iter().map(|(key, value)| format!("{key}={value}"))).collect();
        let flags = if flags.is_empty() { String::new() } else { format!(": {}", flags.join(" ")) };
        format!("{name}{version} ({}){flags}", self.strategy.as_str())
    }

    /// What is wrong with it that its types cannot see: the text of the plan that it is about, and why.
    pub(crate) fn problems(&self) -> Vec<(Option<String>, String)> {
        let mut problems = Vec::new();
        if self.source.is_none() && self.strategy != Strategy::Command {
            let message = format!("`strategy = \"{}\"` needs a `source`", self.strategy.as_str());
            problems.push((None, message));
        }
        if self.commands.is_empty() == (self.strategy == Strategy::Command) {
            let message = if self.commands.is_empty() {
                "`strategy = \"command\"` needs `commands`, each a list that begins with its program"
            } else {
                "`commands` are for `strategy = \"command\"`"
            };
            problems.push((None, message.to_owned()));
        }
        if self.commands.iter().any(Vec::is_empty) {
            problems.push((None, "one of `commands` is empty: begin it with the program".to_owned()));
        }
        for (name, path) in [("subdir", &self.subdir), ("build-dir", &self.build_dir)] {
            if let Some(path) = path
                && path.parse::<crate::TreePath>().is_err()
            {
                let message = format!("`{name}` leaves the source: `{path}`");
                problems.push((Some(path.clone()), message));
            }
        }
        for (name, path) in [("install-prefix", &self.install_prefix), ("destdir", &self.destdir)] {
            if let Some(path) = path
                && (!path.starts_with('/') || path.parse::<crate::TreePath>().is_err())
            {
                let message = format!("`{name}` is a place in the root, and begins with `/`: not `{path}`");
                problems.push((Some(path.clone()), message));
            }
        }
        problems
    }
}

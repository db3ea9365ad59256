//! Parameters of `command`: run a program.

use std::{collections::BTreeMap, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::CommandNix;
use crate::{ArtifactKind, Bytes, OutputName, Source};

/// Run a program, without a shell.
///
/// Without outputs it is an effect: it runs each time, and its exit code is its verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Command {
    /// The program and its arguments; `${plan-dir}`, `${out}`, `${scratch}` and `${step/output}` are filled in.
    pub argv: Vec<Template>,
    /// Where it runs; the step's scratch directory unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<Template>,
    /// What it reads from standard input; nothing unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<Source>,
    /// What it sees of Nix; what the machine has unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nix: Option<CommandNix>,
    /// What it makes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<OutputName, CommandOutput>,
}

/// An output of a `command`: exactly one of `path` and `glob`, inside `${out}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CommandOutput {
    /// Where it will be, relative to `${out}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// A pattern that must match exactly one file, relative to `${out}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub glob: Option<String>,
    /// What it must be.
    #[serde(default = "any_file")]
    pub kind: ArtifactKind,
    /// How big it must be at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_size: Option<Bytes>,
}

const fn any_file() -> ArtifactKind {
    ArtifactKind::File
}

impl Command {
    pub(super) fn sources(&self) -> Vec<&Source> {
        let templates = self.argv.iter().chain(&self.cwd);
        let nix = self.nix.iter().flat_map(CommandNix::sources);
        templates.flat_map(Template::sources).chain(&self.stdin).chain(nix).collect()
    }

    pub(super) fn summary(&self) -> String {
        self.argv.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }
}

/// Text with places to fill in when the step runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Template(Vec<Part>);

/// A piece of a [`Template`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// As it is.
    Text(String),
    /// The directory of the plan.
    PlanDir,
    /// The directory for the step's outputs.
    Out,
    /// The step's scratch directory.
    Scratch,
    /// The path of an output of another step.
    Source(Source),
}

impl Template {
    /// Its pieces, in order.
    pub fn parts(&self) -> &[Part] {
        &self.0
    }

    pub(super) fn sources(&self) -> impl Iterator<Item = &Source> {
        self.0.iter().filter_map(|part| if let Part::Source(source) = part { Some(source) } else { None })
    }
}

impl TryFrom<String> for Template {
    type Error = InvalidTemplate;

    fn try_from(text: String) -> Result<Self, InvalidTemplate> {
        let mut parts = Vec::new();
        let mut rest = text.as_str();
        while let Some(start) = rest.find("${") {
            if rest[..start].ends_with('$') {
                parts.push(Part::Text(format!("{}${{", &rest[..start - 1])));
                rest = &rest[start + 2..];
                continue;
            }
            let invalid = || InvalidTemplate { text: rest[start..].to_owned() };
            let end = rest[start..].find('}').ok_or_else(invalid)? + start;
            if start > 0 {
                parts.push(Part::Text(rest[..start].to_owned()));
            }
            parts.push(match &rest[start + 2..end] {
                "plan-dir" => Part::PlanDir,
                "out" => Part::Out,
                "scratch" => Part::Scratch,
                name => Part::Source(
                    name.parse()
                        .ok()
                        .filter(|source: &Source| source.output().is_some())
                        .ok_or_else(invalid)?,
                ),
            });
            rest = &rest[end + 1..];
        }
        if !rest.is_empty() || parts.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self(parts))
    }
}

impl From<Template> for String {
    fn from(template: Template) -> Self {
        template.to_string()
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(&text.replace("${", "$${")),
            Part::PlanDir => f.write_str("${plan-dir}"),
            Part::Out => f.write_str("${out}"),
            Part::Scratch => f.write_str("${scratch}"),
            Part::Source(source) => write!(f, "${{{source}}}"),
        })
    }
}

/// A place to fill in that nobody can fill in.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "`{text}` cannot be filled in: use a variable, `${{plan-dir}}`, `${{out}}`, `${{scratch}}` or `${{step/output}}`"
)]
pub struct InvalidTemplate {
    text: String,
}

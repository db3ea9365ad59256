//! Parameters of `command`: run a program.

use std::{collections::BTreeMap, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::CommandNix;
use crate::{ArtifactKind, Bytes, Millis, OutputName, Source};

/// Run a program, without a shell.
///
/// Without outputs it is an effect: it runs each time, after everything before it, and its exit code is its verdict. With a
/// `tier` it is a check, and is made even if another check has failed; without one it does not run if anything before it
/// has failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Command {
    /// The program and its arguments; `${plan-dir}`, `${out}`, `${scratch}`, `${port}` (one that is free on this
    /// machine) and `${step/output}` are filled in.
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
    /// A program that runs beside it, such as the server that it talks to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beside: Option<Beside>,
}

/// A program that is started first, waited for until it is ready, and stopped when the command has ended.
///
/// The step fails if it is not ready in time or ends before the command does. Whatever happens, nothing of it is left
/// running, and nothing that it did not start is stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Beside {
    /// The program and its arguments, with the same places to fill in.
    pub argv: Vec<Template>,
    /// How it says that it is ready.
    pub ready: Ready,
}

/// How a program says that it is ready: exactly one of `http` and `line`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Ready {
    /// This address of the machine itself answers with a status of 200 to 399: `http://127.0.0.1:${port}/health`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<Template>,
    /// It prints a line with this text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<String>,
    /// In this time.
    #[serde(default = "half_a_minute")]
    pub within: Millis,
}

const fn half_a_minute() -> Millis {
    Millis::new(30_000)
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
        let beside = self.beside.iter().flat_map(|it| it.argv.iter().chain(&it.ready.http));
        let templates = self.argv.iter().chain(&self.cwd).chain(beside);
        let nix = self.nix.iter().flat_map(CommandNix::sources);
        templates.flat_map(Template::sources).chain(&self.stdin).chain(nix).collect()
    }

    pub(super) fn summary(&self) -> String {
        let line = |argv: &[Template]| argv.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        let beside = self.beside.as_ref().map(|it| format!(" beside {}", line(&it.argv)));
        line(&self.argv) + &beside.unwrap_or_default()
    }

    /// What it asks for that a program in the root of a namespace cannot have.
    pub(crate) fn not_in_a_root(&self) -> Option<&'static str> {
        let templates = self.argv.iter().chain(&self.cwd);
        let only_text =
            |template: &Template| template.parts().iter().all(|part| matches!(part, Part::Text(_)));
        if !self.outputs.is_empty() {
            Some("`outputs` are files of this machine (a `rootfs` step makes a tree of a root)")
        } else if self.beside.is_some() || self.nix.is_some() {
            Some("`beside` and `nix` are about this machine")
        } else if !templates.into_iter().all(only_text) {
            Some("`${…}` is a place of this machine (a bind of the namespace shows one in its root)")
        } else {
            None
        }
    }

    /// What is wrong with it that its types cannot see: the text of the plan that it is about, and why.
    pub(crate) fn problems(&self) -> Vec<(Option<String>, String)> {
        let mut problems = Vec::new();
        if self.argv.is_empty() || self.beside.as_ref().is_some_and(|it| it.argv.is_empty()) {
            problems.push((None, "`argv` is empty: begin it with the program".to_owned()));
        }
        for (name, output) in &self.outputs {
            if output.path.is_some() == output.glob.is_some() {
                let message = format!("output `{name}` needs exactly one of `path` and `glob`");
                problems.push((None, message));
            }
        }
        let Some(Beside { ready, .. }) = &self.beside else { return problems };
        if ready.http.is_some() == ready.line.is_some() {
            problems.push((None, "`ready` needs exactly one of `http` and `line`".to_owned()));
        }
        if let Some(url) = ready.http.as_ref().map(ToString::to_string) {
            let here = ["http://127.0.0.1", "http://localhost", "http://[::1]"];
            let rest = here.iter().find_map(|here| url.strip_prefix(here));
            if !rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/'])) {
                let message = format!(
                    "`{url}` is no address of this machine: write `http://127.0.0.1:${{port}}/PATH`, with `${{port}}` in `argv`, too"
                );
                problems.push((Some(url), message));
            }
        }
        problems
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
    /// A port of this machine that nobody listens on, the same wherever the step says it.
    Port,
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
                "port" => Part::Port,
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
            Part::Port => f.write_str("${port}"),
            Part::Source(source) => write!(f, "${{{source}}}"),
        })
    }
}

/// A place to fill in that nobody can fill in.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "`{text}` cannot be filled in: use a variable, `${{plan-dir}}`, `${{out}}`, `${{scratch}}`, `${{port}}` or `${{step/output}}`"
)]
pub struct InvalidTemplate {
    text: String,
}

#[cfg(test)]
mod tests {
    use crate::{Spec, Vars, resolve};

    #[track_caller]
    fn problems(command: &str) -> String {
        let text = format!(
            "format = 1\nname = \"demo\"\nepoch = 0\n[[phase]]\nname = \"check\"\n[[phase.step]]\nname = \"golden\"\n[phase.step.command]\n{command}"
        );
        let result = Spec::from_toml(&text, &Vars::default()).and_then(|spec| resolve(&spec));
        result.map_or_else(|problems| problems.to_string(), |plan| plan.to_string())
    }

    #[test]
    fn a_server_says_in_one_way_that_it_is_ready_and_on_this_machine() {
        let beside = |ready: &str| {
            problems(&format!(
                "argv = [\"./client\", \"${{port}}\"]\nbeside = {{ argv = [\"./server\", \"${{port}}\"], ready = {ready} }}"
            ))
        };
        insta::assert_snapshot!(beside("{ http = \"http://127.0.0.1:${port}/health\", within = \"20s\" }"), @"
        plan demo, epoch 0
        check
          1. golden  command    ./client ${port} beside ./server ${port}
        ");
        insta::assert_snapshot!(beside("{ within = \"20s\" }"), @"
        `plan.toml` is not a plan that can be run
        plan.toml:8:13: `ready` needs exactly one of `http` and `line`
          |
        8 | [phase.step.command]
          |             ^^^^^^^
        ");
        insta::assert_snapshot!(beside("{ http = \"http://127.0.0.1.example.org/health\" }"), @r#"
        `plan.toml` is not a plan that can be run
        plan.toml:10:61: `http://127.0.0.1.example.org/health` is no address of this machine: write `http://127.0.0.1:${port}/PATH`, with `${port}` in `argv`, too
           |
        10 | beside = { argv = ["./server", "${port}"], ready = { http = "http://127.0.0.1.example.org/health" } }
           |                                                             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
        "#);
    }
}

//! What there is in a plan that overrides can name.

use serde_json::Value as Json;
use toml_edit::{DocumentMut, Item};

use super::plain;
use crate::{
    Action, bq2,
    nearest::{nearest, unknown},
};

/// The names in a plan.
#[derive(Debug)]
pub(in crate::overrides) struct Facts {
    packages: Vec<PackageFacts>,
    phases: Vec<PhaseFacts>,
}

#[derive(Debug)]
struct PackageFacts {
    name: String,
    phases: Option<Vec<String>>,
    stages: Vec<String>,
}

#[derive(Debug)]
pub(super) struct PhaseFacts {
    name: String,
    steps: Vec<StepFacts>,
}

#[derive(Debug)]
struct StepFacts {
    name: String,
    kind: Option<&'static str>,
    prefix: String,
    only: Option<Vec<String>>,
}

/// What an override of a step is about.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::overrides) enum Target {
    /// A step that is written in the phase, by its number.
    Step(usize),
    /// A package that the phase builds.
    Package(String),
}

impl Facts {
    pub(in crate::overrides) fn of(doc: &DocumentMut) -> Self {
        let packages = doc.get("package").and_then(Item::as_table_like);
        let packages = packages.into_iter().flat_map(|it| it.iter()).map(|(name, item)| {
            let package = plain(item);
            PackageFacts {
                name: name.to_owned(),
                phases: texts(&package["phases"]),
                stages: item
                    .as_table_like()
                    .and_then(|it| it.get("stages")?.as_table_like())
                    .into_iter()
                    .flat_map(|stages| stages.iter().map(|(name, _)| name.to_owned()))
                    .collect(),
            }
        });
        let phases = doc.get("phase").map(plain).unwrap_or_default();
        let phases = phases.as_array().into_iter().flatten().map(|phase| PhaseFacts {
            name: phase["name"].as_str().unwrap_or_default().to_owned(),
            steps: phase["step"].as_array().into_iter().flatten().map(StepFacts::of).collect(),
        });
        Self { packages: packages.collect(), phases: phases.collect() }
    }

    pub(super) fn packages(&self) -> Vec<&str> {
        self.packages.iter().map(|it| it.name.as_str()).collect()
    }

    pub(super) fn phases(&self) -> Vec<&str> {
        self.phases.iter().map(|it| it.name.as_str()).collect()
    }

    pub(super) fn phase(&self, name: &str) -> Option<&PhaseFacts> {
        self.phases.iter().find(|it| it.name == name)
    }

    /// The names of all steps, packages in place.
    pub(super) fn ids(&self) -> Vec<String> {
        let of_phase = |phase: &PhaseFacts| {
            let written = phase.steps.iter().map(|step| step.name.clone()).collect::<Vec<_>>();
            let built = self.builds(phase).into_iter().map(|(id, _)| id);
            written.into_iter().chain(built).collect::<Vec<_>>()
        };
        self.phases.iter().flat_map(of_phase).collect()
    }

    /// The steps that a phase has for packages, each with its package.
    fn builds(&self, phase: &PhaseFacts) -> Vec<(String, &str)> {
        let mut ids = Vec::new();
        for step in phase.steps.iter().filter(|step| step.kind == Some("packages")) {
            for package in &self.packages {
                let is_chosen = match (&step.only, &package.phases) {
                    (Some(only), _) => only.contains(&package.name),
                    (None, Some(phases)) => phases.contains(&phase.name),
                    (None, None) => true,
                };
                let id = format!("{}{}", step.prefix, package.name);
                if is_chosen && package.stages.is_empty() {
                    ids.push((id, package.name.as_str()));
                } else if is_chosen {
                    let stages = package.stages.iter();
                    ids.extend(stages.map(|stage| (format!("{id}-{stage}"), package.name.as_str())));
                }
            }
        }
        ids
    }

    /// What `text` means in a phase: a step by its name, or a package by its own or that of a step that builds it.
    pub(in crate::overrides) fn find(&self, phase: &str, text: &str) -> Option<Target> {
        let phase = self.phase(phase)?;
        let step = |name: &str| phase.steps.iter().position(|step| step.name == name).map(Target::Step);
        let builds = self.builds(phase);
        let package = || {
            let names = builds.iter().find(|(id, package)| id == text || *package == text);
            // A stage without the prefix.
            let stages =
                || builds.iter().find(|(id, package)| id.ends_with(text) && text.starts_with(package));
            Some(Target::Package(names.or_else(stages)?.1.to_owned()))
        };
        // A plan that was imported has the phase in the names of steps that are in several.
        let imported = || step(&bq2::name(text)).or_else(|| step(&bq2::name_in(&phase.name, text)));
        step(text).or_else(package).or_else(imported)
    }

    pub(super) fn unknown_step(&self, phase: &str, text: &str) -> String {
        let elsewhere = self.phases.iter().find(|it| it.name != phase && self.find(&it.name, text).is_some());
        let known = self.names(phase);
        if let (Some(other), None) = (elsewhere, nearest(text, known.iter().map(String::as_str))) {
            return format!("unknown step `{text}`: it is in phase `{}`", other.name);
        }
        unknown("step", text, &known)
    }

    pub(super) fn unknown_package(&self, phase: &str, text: &str) -> String {
        let mut known: Vec<String> = self.packages().into_iter().map(str::to_owned).collect();
        if known.is_empty() {
            known = self.names(phase);
        }
        unknown("package", text, &known)
    }

    /// Steps and packages of a phase.
    fn names(&self, phase: &str) -> Vec<String> {
        let Some(phase) = self.phase(phase) else { return Vec::new() };
        let mut names: Vec<String> = phase.steps.iter().map(|step| step.name.clone()).collect();
        for (_, package) in self.builds(phase) {
            if !names.iter().any(|it| it == package) {
                names.push(package.to_owned());
            }
        }
        names
    }
}

impl StepFacts {
    fn of(step: &Json) -> Self {
        let packages = &step["packages"];
        Self {
            name: step["name"].as_str().unwrap_or_default().to_owned(),
            kind: Action::KINDS.into_iter().find(|kind| step.get(kind).is_some()),
            prefix: packages["prefix"].as_str().unwrap_or_default().to_owned(),
            only: texts(&packages["only"]),
        }
    }
}

fn texts(value: &Json) -> Option<Vec<String>> {
    let texts = value.as_array()?.iter().filter_map(Json::as_str);
    Some(texts.map(str::to_owned).collect())
}

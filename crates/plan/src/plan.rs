//! Checked, ordered steps, and how a person reads them.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use crate::{
    Action, ArtifactKind, Digest, Name, OutputName, Requires, Source, StepId, Targets,
    resolve::LAYER,
    spec::{DefaultPhase, Generate, Inside, NixConfig, Skips, StepCommon, Tier, Tiers},
    step::{Disk, Machines, Vm},
    vars::Var,
};

/// A plan that makes sense: references exist, nothing waits for itself, the order is right.
///
/// There is no public constructor: see [`resolve()`](crate::resolve()). Its JSON can be kept and compared with a later
/// state of the same plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Plan {
    pub(crate) name: Name,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    pub(crate) epoch: u64,
    pub(crate) default_phase: DefaultPhase,
    pub(crate) skips: Skips,
    #[serde(default, skip_serializing_if = "Requires::is_empty")]
    pub(crate) requires: Requires,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) vars: BTreeMap<String, Var>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) env: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "NixConfig::is_default")]
    pub(crate) nix: NixConfig,
    #[serde(default, skip_serializing_if = "Tiers::is_empty")]
    pub(crate) tiers: Tiers,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) machines: Machines,
    #[serde(default, skip_serializing_if = "Targets::is_empty")]
    pub(crate) targets: Targets,
    #[serde(default, skip_serializing_if = "Generate::is_empty")]
    pub(crate) generate: Generate,
    pub(crate) phases: Vec<Phase>,
    #[serde(skip)]
    pub(crate) secrets: Vec<String>,
}

/// A part of a plan, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Phase {
    /// Its name.
    pub name: Name,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Whether nobody wrote it: it gets what the packages of the plan are built from.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub implied: bool,
    /// In order.
    pub steps: Vec<Step>,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Step {
    /// Unique in the plan.
    pub id: StepId,
    /// The phase it is in.
    pub phase: Name,
    /// What it does.
    pub action: Action,
    /// The steps it waits for, in the order of the plan.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<StepId>,
    /// Why it does not run, if its `when` does not hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
    /// Environment of its programs: plan, then phase, then step.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// The root that it runs in, or that it makes a tree of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inside: Option<Inside>,
    /// Limits, retries, tier.
    pub common: StepCommon,
}

impl Step {
    /// Everything it reads: what its parameters name, and what makes up the root that it runs in. Each once.
    pub fn inputs(&self) -> Vec<Source> {
        let mut inputs = self.action.inputs();
        for source in self.inside.iter().flat_map(Inside::sources) {
            if !inputs.contains(source) {
                inputs.push(source.clone());
            }
        }
        inputs
    }

    /// Everything it makes; the first is meant when a reference names none.
    pub fn outputs(&self) -> Vec<(OutputName, ArtifactKind)> {
        let mut outputs = self.action.outputs();
        if self.has_layer() {
            outputs.push((Name::fixed(LAYER), ArtifactKind::Tree));
        }
        outputs
    }

    /// Whether what it changes in its root is one of its outputs.
    pub fn has_layer(&self) -> bool {
        self.inside.is_some() && self.action.runs_inside()
    }

    /// Whether it runs each time: its verdict is about now, and it leaves nothing that could be reused.
    pub fn is_effect(&self) -> bool {
        self.outputs().is_empty() && self.action.is_effect()
    }

    /// Whether what an earlier run of it made or found is never good enough for this one.
    ///
    /// Every effect is like this; a look at a flake, whose files are not among the inputs of the step; and a store that
    /// is not in the directory of the run, which anybody may have changed.
    pub fn runs_each_time(&self) -> bool {
        self.is_effect() || self.action.looks_each_time()
    }

    /// The tier of checks that it belongs to, whether the plan says so or it follows from what it is.
    pub const fn tier(&self) -> Option<Tier> {
        match (self.common.tier, &self.action) {
            (Some(tier), _) => Some(tier),
            (None, _) if self.common.placeholder => Some(Tier::Full),
            (None, Action::NixCheck(_)) => Some(Tier::Quick),
            (None, _) => None,
        }
    }
}

impl Plan {
    /// Names the output directory and the report.
    pub const fn name(&self) -> &Name {
        &self.name
    }

    /// Seconds since 1970-01-01 UTC, stamped on everything.
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Which phases run when none is selected.
    pub const fn default_phase(&self) -> DefaultPhase {
        self.default_phase
    }

    /// What a skip means.
    pub const fn skips(&self) -> Skips {
        self.skips
    }

    /// What the machine must have.
    pub const fn requires(&self) -> &Requires {
        &self.requires
    }

    /// Environment of every program that the plan names; that of a step has it already.
    pub const fn env(&self) -> &BTreeMap<String, String> {
        &self.env
    }

    /// How Nix is used.
    pub const fn nix(&self) -> &NixConfig {
        &self.nix
    }

    /// What holds of the tiers of checks.
    pub const fn tiers(&self) -> &Tiers {
        &self.tiers
    }

    /// Machines by name.
    pub const fn machines(&self) -> &Machines {
        &self.machines
    }

    /// What a flake offers to run, by name, in the order of the file.
    pub const fn targets(&self) -> &Targets {
        &self.targets
    }

    /// Files that are made from the targets.
    pub const fn generate(&self) -> &Generate {
        &self.generate
    }

    /// Variables whose values came with `--var`, as they may be shown.
    pub fn given(&self) -> impl Iterator<Item = (&str, &str)> {
        let given = self.vars.iter().filter(|(_, var)| var.from == "--var");
        given.map(|(name, var)| (name.as_str(), var.value.as_str()))
    }

    /// The same without some steps: what comes after them in a root comes after what was before them.
    #[must_use]
    pub fn without(&self, steps: &[StepId]) -> Self {
        let mut plan = self.clone();
        for phase in &mut plan.phases {
            phase.steps.retain(|step| !steps.contains(&step.id));
            for step in &mut phase.steps {
                step.needs.retain(|id| !steps.contains(id));
                if let Some(inside) = &mut step.inside {
                    inside.layers.retain(|it| it.output().is_none_or(|of| !steps.contains(&of.step)));
                }
            }
        }
        plan
    }

    /// Values that must not be shown.
    pub fn secrets(&self) -> &[String] {
        &self.secrets
    }

    /// In order.
    pub fn phases(&self) -> &[Phase] {
        &self.phases
    }

    /// Every step, in the order of the plan.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.phases.iter().flat_map(|phase| &phase.steps)
    }

    /// A step by name.
    pub fn step(&self, id: &str) -> Option<&Step> {
        self.steps().find(|step| step.id == *id)
    }

    /// The plan as JSON, for programs and for comparing.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a plan is plain data")
    }

    /// Of the plan's JSON: it changes when anything changes that a person can see.
    pub fn digest(&self) -> Digest {
        Digest::of(self.to_json().as_bytes())
    }

    /// The plan as a graph in the language of Graphviz: steps, and what each takes from which.
    pub fn to_dot(&self) -> String {
        let mut dot = format!("digraph \"{}\" {{\n  rankdir = LR\n  node [shape = box]\n", self.name);
        for (n, phase) in self.phases.iter().enumerate() {
            dot += &format!("  subgraph cluster_{n} {{\n    label = \"{}\"\n", phase.name);
            for step in &phase.steps {
                dot += &format!("    \"{0}\" [label = \"{0}\\n{1}\"]\n", step.id, step.action.kind());
            }
            dot += "  }\n";
        }
        for step in self.steps() {
            let inputs = step.inputs();
            for needed in &step.needs {
                let of = |source: &&Source| source.output().is_some_and(|it| it.step == *needed);
                let label = inputs.iter().find(of).and_then(|source| source.output()?.output.clone());
                let label = label.map(|output| format!(" [label = \"{output}\"]")).unwrap_or_default();
                dot += &format!("  \"{needed}\" -> \"{}\"{label}\n", step.id);
            }
        }
        dot + "}\n"
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "plan {}, epoch {}", self.name, self.epoch)?;
        for (name, var) in &self.vars {
            writeln!(f, "  {name} = {} ({})", var.value, var.from)?;
        }
        let width = self.steps().map(|step| step.id.as_str().len()).max().unwrap_or(0);
        let mut number = 0;
        for phase in &self.phases {
            match &phase.description {
                Some(description) => writeln!(f, "{}: {description}", phase.name)?,
                None => writeln!(f, "{}", phase.name)?,
            }
            for step in &phase.steps {
                number += 1;
                let kind = step.action.kind();
                writeln!(f, "{number:>3}. {:width$}  {kind:9}  {}", step.id, step.action.summary())?;
                write_details(f, step, width + 7)?;
            }
        }
        Ok(())
    }
}

fn write_details(f: &mut fmt::Formatter<'_>, step: &Step, indent: usize) -> fmt::Result {
    match &step.action {
        Action::Disk(disk) => write_disk(f, disk, indent)?,
        Action::Vm(vm) => write_vm(f, vm, indent)?,
        _ => (),
    }
    if step.common.placeholder {
        writeln!(f, "{:indent$}placeholder: it proves nothing", "")?;
    }
    if let Some(reason) = &step.skipped {
        writeln!(f, "{:indent$}skipped: {reason}", "")?;
    }
    // What lies under the highest layer is said where that is made.
    let under =
        step.inside.as_ref().map_or(&[][..], |it| it.layers.split_last().map_or(&[], |(_, under)| under));
    let under = |id: &StepId| under.iter().any(|it| it.output().is_some_and(|of| of.step == *id));
    let needs: Vec<&str> = step.needs.iter().filter(|id| !under(id)).map(StepId::as_str).collect();
    if !needs.is_empty() {
        writeln!(f, "{:indent$}after {}", "", needs.join(", "))?;
    }
    Ok(())
}

fn write_disk(f: &mut fmt::Formatter<'_>, disk: &Disk, indent: usize) -> fmt::Result {
    let width = disk.partitions.iter().map(|it| it.label.chars().count()).max().unwrap_or(0);
    for (partition, n) in disk.partitions.iter().zip(1_u32..) {
        let number = partition.number.unwrap_or(n);
        let fs = partition.fs.map_or("", |fs| fs.as_str());
        let from = partition.content.as_ref().map(|content| format!("  from {content}")).unwrap_or_default();
        let line = format!(
            "p{number} {:width$}  {:16}  {:>8}  {fs:6}{from}",
            partition.label, partition.kind, partition.size
        );
        writeln!(f, "{:indent$}{}", "", line.trim_end())?;
    }
    Ok(())
}

fn write_vm(f: &mut fmt::Formatter<'_>, vm: &Vm, indent: usize) -> fmt::Result {
    for check in &vm.checks {
        let within = check.within.map(|within| format!(" within {within}")).unwrap_or_default();
        writeln!(f, "{:indent$}check {}{within}", "", check.name)?;
    }
    Ok(())
}

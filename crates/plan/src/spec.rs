//! `plan.toml` as the user wrote it, with its variables filled in.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Action, Bytes, Millis, Name, StepId,
    node::{Node, Span},
    problem::{Collector, Problems, unknown},
    step::Machines,
    vars::{Var, Vars, bind, substitute},
};

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
    /// Machines by name.
    pub machines: Machines,
    /// Variables with their values; secrets are not shown.
    pub vars: BTreeMap<String, Var>,
    /// In order.
    pub phases: Vec<PhaseSpec>,
    pub(crate) values: BTreeMap<String, String>,
    pub(crate) secrets: Vec<String>,
    pub(crate) text: String,
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
    /// Programs on `PATH`.
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
    /// The tier of checks that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<Tier>,
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

/// A tier of checks; each includes the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// Seconds.
    Quick,
    /// Minutes.
    Build,
    /// As long as it takes.
    Full,
}

/// A condition on variables; exactly one of `var`, `all`, `any`, `not`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct When {
    /// The variable that `is`, `in` and `set` are about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub var: Option<String>,
    /// It has this value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is: Option<String>,
    /// It has one of these values.
    #[serde(rename = "in", skip_serializing_if = "Option::is_none")]
    pub one_of: Option<Vec<String>>,
    /// It is not empty (`true`), or it is (`false`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set: Option<bool>,
    /// All of these hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub all: Vec<Self>,
    /// One of these holds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub any: Vec<Self>,
    /// This does not hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not: Option<Box<Self>>,
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
    /// Machines by name.
    #[serde(default)]
    pub(crate) machine: Machines,
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

impl Spec {
    /// Reads the text of a plan and fills in its variables.
    ///
    /// # Errors
    ///
    /// Everything that is spelled wrong, each with its line and column.
    pub fn from_toml(text: &str, vars: &Vars) -> Result<Self, Problems> {
        let mut problems = Collector::new(text);
        let mut root = match Node::from_toml(text) {
            Ok(root) => root,
            Err((span, message)) => {
                problems.add(&span, format!("this is not TOML: {message}"));
                return Err(problems.finish().expect_err("a problem was added"));
            }
        };
        let whole = 0..text.find('\n').unwrap_or(text.len());
        let bound = bind(root.take("vars").as_ref().map(|(_, node)| node), vars, &mut problems);
        let mut phases = root.take("phase").map(|(_, node)| node);
        let steps = phases.as_ref().map_or_else(Vec::new, step_names);
        substitute(&mut root, &bound, None, &mut problems);
        if let Some(phases) = &mut phases {
            each_action(phases, &mut |kind, node| {
                substitute(node, &bound, (kind == "command").then_some(steps.as_slice()), &mut problems);
            });
        }
        let mut errors = Vec::new();
        let head: Option<Head> = Node { span: whole.clone(), value: root.value.clone() }.read(&mut errors);
        problems.add_errors(errors, &whole);
        if let Some((_, format)) = root.entries().iter().find(|(key, _)| key.text == "format")
            && head.as_ref().is_some_and(|head| head.format != FORMAT)
        {
            problems.add(&format.span, format!("this format is not known: write `format = {FORMAT}`"));
        }
        let phases = phases.as_ref().map_or_else(Vec::new, |node| read_phases(node, &mut problems));
        problems.finish()?;
        let head = head.expect("a head that cannot be read is a problem");
        Ok(Self {
            name: head.name,
            description: head.description,
            epoch: head.epoch,
            default_phase: head.default_phase,
            skips: head.skips,
            requires: head.requires,
            env: head.env,
            machines: head.machine,
            vars: bound.shown,
            phases,
            values: bound.values,
            secrets: bound.secrets,
            text: text.to_owned(),
        })
    }
}

fn step_names(phases: &Node) -> Vec<String> {
    let steps = phases.elements().iter().filter_map(|phase| phase.get("step")).flat_map(Node::elements);
    steps.filter_map(|step| step.get("name")?.as_str()).map(str::to_owned).collect()
}

/// Calls `change` with every value of a phase or step, and the key it is under.
fn each_action(phases: &mut Node, change: &mut dyn FnMut(&str, &mut Node)) {
    let crate::node::Value::Array(phases) = &mut phases.value else { return };
    for phase in phases {
        let crate::node::Value::Table(entries) = &mut phase.value else { continue };
        for (key, node) in entries {
            match &mut node.value {
                crate::node::Value::Array(steps) if key.text == "step" => {
                    for step in steps {
                        if let crate::node::Value::Table(entries) = &mut step.value {
                            for (key, node) in entries {
                                change(&key.text, node);
                            }
                        }
                    }
                }
                _ => change(&key.text, node),
            }
        }
    }
}

fn read_phases(node: &Node, problems: &mut Collector<'_>) -> Vec<PhaseSpec> {
    if !matches!(node.value, crate::node::Value::Array(_)) {
        problems.add(&node.span, "phases are written as `[[phase]]`, with two brackets");
    }
    let mut phases = Vec::new();
    for phase in node.elements() {
        let mut head = phase.clone();
        let steps = head.take("step").map(|(_, steps)| steps);
        let mut errors = Vec::new();
        let read: Option<PhaseHead> = head.read(&mut errors);
        problems.add_errors(errors, &phase.span);
        let steps = steps.iter().flat_map(Node::elements);
        let steps = steps.filter_map(|step| read_step(step, problems)).collect();
        if let Some(head) = read {
            phases.push(PhaseSpec { name: head.name, description: head.description, env: head.env, steps });
        }
    }
    phases
}

fn read_step(node: &Node, problems: &mut Collector<'_>) -> Option<StepSpec> {
    let mut common = node.clone();
    let kinds: Vec<_> = Action::KINDS.iter().filter_map(|kind| common.take(kind)).collect();
    let mut errors = Vec::new();
    let read: Option<StepCommon> = common.read(&mut errors);
    let strange = errors.iter().any(|error| matches!(error.kind, crate::node::ErrorKind::UnknownField(..)));
    let only_strange_key = kinds.is_empty() && strange;
    if only_strange_key {
        // A key that nobody knows, in a step without a kind: most likely it is the kind that is misspelt.
        errors.retain(|error| !matches!(error.kind, crate::node::ErrorKind::UnknownField(..)));
        for (key, _) in common.entries() {
            if !StepCommon::KEYS.contains(&key.text.as_str()) {
                let known: Vec<&str> = Action::KINDS.iter().chain(&StepCommon::KEYS).copied().collect();
                problems.add(&key.span, unknown("kind of step or key", &key.text, &known));
            }
        }
    }
    problems.add_errors(errors, &node.span);
    let (key, value) = match kinds.as_slice() {
        [one] => one,
        [] => {
            if !only_strange_key {
                let kinds = Action::KINDS.join("`, `");
                problems.add(&node.span, format!("this step does nothing: give it one of `{kinds}`"));
            }
            return None;
        }
        [_, (key, _), ..] => {
            problems.add(
                &key.span,
                format!("a step has one kind, and `{}` is its second: make it a step of its own", key.text),
            );
            return None;
        }
    };
    let table = Node {
        span: value.span.clone(),
        value: crate::node::Value::Table(vec![(key.clone(), value.clone())]),
    };
    let mut errors = Vec::new();
    let action: Option<Action> = table.read(&mut errors);
    problems.add_errors(errors, &value.span);
    let mut sources = Vec::new();
    value.clone().each_string(&mut |span, text| {
        sources.push((span.clone(), text.to_owned()));
        None
    });
    Some(StepSpec {
        common: read?,
        action: action?,
        span: node.get("name").map_or_else(|| node.span.clone(), |name| name.span.clone()),
        action_span: key.span.clone(),
        sources,
    })
}

impl StepCommon {
    const KEYS: [&str; 9] =
        ["name", "description", "when", "tier", "env", "limit", "silent-warn", "retry", "requires"];
}

impl When {
    /// Whether it holds, and why (not); an unknown variable is an error.
    pub(crate) fn holds(&self, values: &BTreeMap<String, String>) -> Result<(bool, String), String> {
        let given = [self.var.is_some(), !self.all.is_empty(), !self.any.is_empty(), self.not.is_some()];
        if given.iter().filter(|it| **it).count() != 1 {
            return Err("a condition has exactly one of `var`, `all`, `any` and `not`".to_owned());
        }
        if let Some(inner) = &self.not {
            let (holds, why) = inner.holds(values)?;
            return Ok((!holds, why));
        }
        if let Some(var) = &self.var {
            return self.about(var, values);
        }
        let all = self.any.is_empty();
        let mut reasons = Vec::new();
        for inner in if all { &self.all } else { &self.any } {
            let (holds, why) = inner.holds(values)?;
            if holds != all {
                return Ok((holds, why));
            }
            reasons.push(why);
        }
        Ok((all, reasons.join(", ")))
    }

    fn about(&self, var: &str, values: &BTreeMap<String, String>) -> Result<(bool, String), String> {
        let Some(value) = values.get(var) else {
            let known: Vec<&str> = values.keys().map(String::as_str).collect();
            return Err(unknown("variable", var, &known));
        };
        let holds = match (&self.is, &self.one_of, self.set) {
            (Some(wanted), None, None) => value == wanted,
            (None, Some(wanted), None) => wanted.contains(value),
            (None, None, Some(set)) => value.is_empty() != set,
            _ => return Err("a condition on a variable has exactly one of `is`, `in` and `set`".to_owned()),
        };
        let why =
            if value.is_empty() { format!("`{var}` is not set") } else { format!("`{var}` is `{value}`") };
        Ok((holds, why))
    }
}

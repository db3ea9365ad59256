//! From text to a spec: every problem at once.

use super::{FORMAT, Head, PhaseHead, PhaseSpec, Spec, StepCommon, StepSpec, prune};
use crate::{
    Action,
    nearest::{nearest, unknown},
    node::{self, Node},
    problem::{Collector, Problems},
    vars::{Bound, Later, Vars, bind, substitute},
};

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
        let mut bound = bind(root.take("vars").as_ref().map(|(_, node)| node), vars, &mut problems);
        if let Some(node::Value::Integer(epoch)) = root.get("epoch").map(|node| &node.value) {
            bound.add_epoch(u64::try_from(*epoch).unwrap_or_default());
        }
        let mut phases = root.take("phase").map(|(_, node)| node);
        substitute_head(&mut root, &bound, &mut problems);
        if let Some(phases) = &mut phases {
            substitute_actions(phases, &bound, &mut problems);
        }
        let mut errors = Vec::new();
        let head: Option<Head> = Node { span: whole.clone(), value: root.value.clone() }.read(&mut errors);
        problems.add_errors(errors, &whole);
        check_format(&root, head.as_ref(), &mut problems);
        if let Some(phases) = &mut phases {
            each_action(phases, &mut |kind, node| {
                if Action::KINDS.contains(&kind) {
                    prune(node, &bound.values, &mut problems);
                }
            });
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
            nix: head.nix,
            tiers: head.tiers,
            machines: head.machine,
            namespaces: head.namespace,
            packages: head.package,
            targets: head.target,
            generate: head.generate,
            vars: bound.shown,
            phases,
            values: bound.values,
            secrets: bound.secrets,
            text: text.to_owned(),
            target_table: root.get("target").cloned(),
            package_table: root.get("package").cloned(),
            namespace_table: root.get("namespace").cloned(),
        })
    }
}

/// Fills variables into everything but phases; templates and packages keep what is only known later.
fn substitute_head(root: &mut Node, bound: &Bound, problems: &mut Collector<'_>) {
    let (mut targets, mut packages) = (root.take("target"), root.take("package"));
    // What is kept for another program has no variables of ours.
    let kept = root.take("bq2");
    substitute(root, bound, Later::Nothing, problems);
    if let Some((_, node)) = &mut packages {
        substitute(node, bound, Later::Package, problems);
    }
    if let Some((_, node)) = &mut targets {
        substitute_targets(node, bound, problems);
    }
    root.put(targets);
    root.put(packages);
    root.put(kept);
}

/// A plan of another format is none of ours.
fn check_format(root: &Node, head: Option<&Head>, problems: &mut Collector<'_>) {
    if let Some((_, format)) = root.entries().iter().find(|(key, _)| key.text == "format")
        && head.is_some_and(|head| head.format != FORMAT)
    {
        problems.add(&format.span, format!("this format is not known: write `format = {FORMAT}`"));
    }
}

/// Fills variables into the `[target]` table; a template keeps what only a target knows.
fn substitute_targets(targets: &mut Node, bound: &Bound, problems: &mut Collector<'_>) {
    each_template(targets, false, &mut |node, is_template| {
        let later = if is_template { Later::Target } else { Later::Nothing };
        substitute(node, bound, later, problems);
    });
}

/// Fills variables into the parameters of steps; a command keeps its references to steps.
fn substitute_actions(phases: &mut Node, bound: &Bound, problems: &mut Collector<'_>) {
    let steps = step_names(phases);
    each_action(phases, &mut |kind, node| {
        let later = match kind {
            "command" => Later::Command(&steps),
            "package" => Later::Package,
            _ => Later::Nothing,
        };
        substitute(node, bound, later, problems);
    });
}

/// Keys of a target, or of a variant, whose texts are templates.
const TEMPLATES: [&str; 4] = ["attribute", "run", "image", "env"];

/// Calls `change` with every part of the `[target]` table that is a template, or holds none.
fn each_template(node: &mut Node, is_template: bool, change: &mut dyn FnMut(&mut Node, bool)) {
    match &mut node.value {
        node::Value::Table(entries) if !is_template => {
            for (key, node) in entries {
                // A key that is misspelt is one problem; what is in it is not a second.
                each_template(node, nearest(&key.text, TEMPLATES).is_some(), change);
            }
        }
        _ => change(node, is_template),
    }
}

fn step_names(phases: &Node) -> Vec<String> {
    let steps = phases.elements().iter().filter_map(|phase| phase.get("step")).flat_map(Node::elements);
    steps.filter_map(|step| step.get("name")?.as_str()).map(str::to_owned).collect()
}

/// Calls `change` with every value of a phase or step, and the key it is under.
fn each_action(phases: &mut Node, change: &mut dyn FnMut(&str, &mut Node)) {
    let node::Value::Array(phases) = &mut phases.value else { return };
    for phase in phases {
        let node::Value::Table(entries) = &mut phase.value else { continue };
        for (key, node) in entries {
            match &mut node.value {
                node::Value::Array(steps) if key.text == "step" => {
                    for step in steps {
                        if let node::Value::Table(entries) = &mut step.value {
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
    if !matches!(node.value, node::Value::Array(_)) {
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
            phases.push(PhaseSpec {
                name: head.name,
                description: head.description,
                env: head.env,
                namespace: head.namespace,
                install_prefix: head.install_prefix,
                destdir: head.destdir,
                packages: head.package,
                implied: false,
                steps,
                span: phase.get("name").map_or_else(|| phase.span.clone(), |name| name.span.clone()),
            });
        }
    }
    phases
}

fn read_step(node: &Node, problems: &mut Collector<'_>) -> Option<StepSpec> {
    let mut common = node.clone();
    let kinds: Vec<_> = Action::KINDS.iter().filter_map(|kind| common.take(kind)).collect();
    let mut errors = Vec::new();
    let read: Option<StepCommon> = common.read(&mut errors);
    let strange = errors.iter().any(|error| matches!(error.kind, node::ErrorKind::UnknownField(..)));
    let only_strange_key = kinds.is_empty() && strange;
    if only_strange_key {
        // A key that nobody knows, in a step without a kind: most likely it is the kind that is misspelt.
        errors.retain(|error| !matches!(error.kind, node::ErrorKind::UnknownField(..)));
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
    let table =
        Node { span: value.span.clone(), value: node::Value::Table(vec![(key.clone(), value.clone())]) };
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

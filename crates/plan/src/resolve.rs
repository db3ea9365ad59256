//! From what was asked to what will happen.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    Action, Name, Phase, Plan, Problems, Source, Spec, Step, StepId,
    nearest::unknown,
    node::Span,
    problem::Collector,
    spec::{Inside, PhaseSpec, StepSpec},
    step::{MachineSpec, Machines},
};

mod expand;
mod roots;
mod rules;

pub(crate) use roots::LAYER;

/// Checks `spec` and puts its steps in order.
///
/// The order is that of the file, except that a step comes after what it takes something from. A step without
/// outputs is there for its effect: it waits for every step before it, and every step after it waits for it.
///
/// # Errors
///
/// Everything that is wrong, not only the first thing.
pub fn resolve(spec: &Spec) -> Result<Plan, Problems> {
    let mut problems = Collector::new(&spec.text);
    let phases = expand::expand(spec, &mut problems);
    let all: Vec<(usize, &StepSpec)> = phases
        .iter()
        .enumerate()
        .flat_map(|(phase, it)| it.steps.iter().map(move |step| (phase, step)))
        .collect();
    if all.is_empty() && spec.targets.is_empty() {
        problems.add(&(0..0), "this plan has no steps: add `[[phase]]` with a `[[phase.step]]`");
    }
    crate::target::check(&spec.targets, spec.target_table.as_ref(), &mut problems);
    check_names(spec, &all, &mut problems);
    check_machines(spec, &all, &mut problems);
    let mut steps: Vec<Step> = Vec::new();
    let mut roots = roots::Roots::new(spec, &mut problems);
    for (phase, step) in &all {
        rules::check_parameters(step, &mut problems);
        let inside =
            roots.enter(&phases[*phase], &step.common.name, &step.action, &step.action_span, &mut problems);
        steps.push(lower(spec, &phases[*phase], step, inside, &mut problems));
    }
    for (index, (phase, step)) in all.iter().enumerate() {
        let needs = needs(index, *phase, step, &steps, &all, &mut problems);
        let order = all.iter().map(|(_, step)| &step.common.name);
        steps[index].needs = order.filter(|id| needs.contains(*id)).cloned().collect();
    }
    if problems.is_empty() {
        add_effects(&mut steps);
        order(&mut steps, &all, &mut problems);
    }
    problems.finish()?;
    let phases = phases.iter().map(|phase| Phase {
        name: phase.name.clone(),
        description: phase.description.clone(),
        implied: phase.implied,
        steps: steps.iter().filter(|step| step.phase == phase.name).cloned().collect(),
    });
    Ok(Plan {
        name: spec.name.clone(),
        description: spec.description.clone(),
        epoch: spec.epoch,
        default_phase: spec.default_phase,
        skips: spec.skips,
        requires: spec.requires.clone(),
        vars: spec.vars.clone(),
        env: spec.env.clone(),
        nix: spec.nix.clone(),
        tiers: spec.tiers,
        machines: spec.machines.clone(),
        targets: spec.targets.clone(),
        generate: spec.generate.clone(),
        phases: phases.collect(),
        secrets: spec.secrets.clone(),
    })
}

fn check_names(spec: &Spec, all: &[(usize, &StepSpec)], problems: &mut Collector<'_>) {
    let mut seen = BTreeSet::new();
    for (_, step) in all {
        if !seen.insert(&step.common.name) {
            problems.add(
                &step.span,
                format!("`{}` is the name of an earlier step: names are unique in a plan", step.common.name),
            );
        }
    }
    let mut seen = BTreeSet::new();
    for phase in &spec.phases {
        if !seen.insert(&phase.name) {
            let span = phase.steps.first().map_or(0..0, |step| step.span.clone());
            problems.add(
                &span,
                format!("`{}` is the name of an earlier phase: names are unique in a plan", phase.name),
            );
        }
    }
}

fn check_machines(spec: &Spec, all: &[(usize, &StepSpec)], problems: &mut Collector<'_>) {
    let known: Vec<&str> = spec.machines.keys().map(Name::as_str).collect();
    for (_, step) in all {
        let Action::Vm(vm) = &step.action else { continue };
        let mut machine = MachineSpec::default();
        if let Some(name) = &vm.machine {
            let span = step.place_of(name.as_str());
            if !spec.machines.contains_key(name) {
                problems.add(&span, unknown("machine", name.as_str(), &known));
                continue;
            }
            match chain(&spec.machines, name) {
                Ok(chain) => {
                    machine = chain.iter().fold(machine, |machine, name| machine.over(&spec.machines[*name]));
                }
                Err(reason) => {
                    problems.add(&span, reason);
                    continue;
                }
            }
        }
        rules::check_on_machine(step, vm, &machine, problems);
    }
}

/// The machine `name` and everything it extends, nearest first.
fn chain<'a>(machines: &'a Machines, name: &'a Name) -> Result<Vec<&'a Name>, String> {
    let mut chain = vec![name];
    while let Some(base) = machines.get(chain[chain.len() - 1]).and_then(|machine| machine.extends.as_ref()) {
        if chain.contains(&base) {
            return Err(format!("machine `{name}` extends itself, by way of `{base}`"));
        }
        if !machines.contains_key(base) {
            let known: Vec<&str> = machines.keys().map(Name::as_str).collect();
            return Err(format!(
                "machine `{}`: {}",
                chain[chain.len() - 1],
                unknown("machine", base.as_str(), &known)
            ));
        }
        chain.push(base);
    }
    Ok(chain)
}

fn needs(
    index: usize,
    phase: usize,
    step: &StepSpec,
    steps: &[Step],
    all: &[(usize, &StepSpec)],
    problems: &mut Collector<'_>,
) -> BTreeSet<StepId> {
    let mut needs = BTreeSet::new();
    for source in steps[index].inputs() {
        let Source::Output { of, .. } = &source else { continue };
        let span = step.place_of_source(&source);
        let Some(position) = all.iter().position(|(_, other)| other.common.name == of.step) else {
            let known: Vec<&str> = all.iter().map(|(_, step)| step.common.name.as_str()).collect();
            let hint = if step.common.name == of.step { "" } else { "; a path begins with `./`" };
            problems.add(&span, format!("{}{hint}", unknown("step", of.step.as_str(), &known)));
            continue;
        };
        if position == index {
            problems.add(&span, format!("step `{}` takes something from itself", of.step));
            continue;
        }
        let (other_phase, other) = (all[position].0, &steps[position]);
        let outputs: Vec<Name> = other.outputs().into_iter().map(|(name, _)| name).collect();
        let names: Vec<&str> = outputs.iter().map(Name::as_str).collect();
        match &of.output {
            None if outputs.is_empty() => {
                problems.add(&span, format!("step `{}` makes nothing that could be used", of.step));
            }
            Some(output) if !outputs.contains(output) => {
                problems.add(
                    &span,
                    format!("step `{}`: {}", of.step, unknown("output", output.as_str(), &names)),
                );
            }
            _ if other_phase > phase => {
                problems
                    .add(&span, format!("step `{}` is in a later phase: phases go forward only", of.step));
            }
            _ => {
                needs.insert(of.step.clone());
            }
        }
    }
    needs
}

fn lower(
    spec: &Spec,
    phase: &PhaseSpec,
    step: &StepSpec,
    inside: Option<Inside>,
    problems: &mut Collector<'_>,
) -> Step {
    let skipped = step.common.when.as_ref().and_then(|when| match when.holds(&spec.values) {
        Ok((true, _)) => None,
        Ok((false, why)) => Some(format!("when: {why}")),
        Err(reason) => {
            problems.add(&step.span, format!("the `when` of step `{}`: {reason}", step.common.name));
            None
        }
    });
    let mut env: BTreeMap<String, String> = spec.env.clone();
    let namespace = inside.as_ref().and_then(|inside| spec.namespaces.get(inside.namespace.as_str()));
    env.extend(namespace.map(|(_, namespace)| namespace.env.clone()).unwrap_or_default());
    env.extend(phase.env.clone());
    env.extend(step.common.env.clone());
    env.retain(|name, _| !step.common.env_unset.contains(name));
    Step {
        id: step.common.name.clone(),
        phase: phase.name.clone(),
        action: step.action.clone(),
        needs: Vec::new(),
        skipped,
        env,
        inside,
        common: step.common.clone(),
    }
}

/// Makes effects wait for what is before them, and what is after them wait for them.
fn add_effects(steps: &mut [Step]) {
    let effects: Vec<bool> = steps.iter().map(Step::is_effect).collect();
    let ids: Vec<StepId> = steps.iter().map(|step| step.id.clone()).collect();
    for at in 0..steps.len() {
        for before in 0..at {
            if (effects[at] || effects[before]) && !steps[at].needs.contains(&ids[before]) {
                steps[at].needs.push(ids[before].clone());
            }
        }
    }
}

/// Puts each step behind what it needs, and otherwise leaves the order as it is.
fn order(steps: &mut Vec<Step>, all: &[(usize, &StepSpec)], problems: &mut Collector<'_>) {
    let mut waiting = std::mem::take(steps);
    let mut done: BTreeSet<StepId> = BTreeSet::new();
    while !waiting.is_empty() {
        let ready = waiting.iter().position(|step| step.needs.iter().all(|id| done.contains(id)));
        let Some(at) = ready else {
            let stuck: Vec<&str> = waiting.iter().map(|step| step.id.as_str()).collect();
            let first = all.iter().find(|(_, step)| step.common.name == *stuck[0]);
            let span = first.map_or(0..0, |(_, step)| step.span.clone());
            problems.add(&span, format!("these steps wait for each other: {}", stuck.join(", ")));
            return;
        };
        let step = waiting.remove(at);
        done.insert(step.id.clone());
        steps.push(step);
    }
}

impl StepSpec {
    /// Where a text of its parameters is written.
    fn place_of(&self, text: &str) -> Span {
        let found = self.sources.iter().find(|(_, it)| it == text);
        found.map_or_else(|| self.action_span.clone(), |(span, _)| span.clone())
    }

    /// Where a reference is written; in a template, the text that holds it.
    fn place_of_source(&self, source: &Source) -> Span {
        let text = source.to_string();
        let holds = |it: &str| *it == text || it.contains(&format!("${{{text}}}"));
        let found = self.sources.iter().find(|(_, it)| holds(it));
        found.map_or_else(|| self.action_span.clone(), |(span, _)| span.clone())
    }
}

#[cfg(test)]
mod tests;

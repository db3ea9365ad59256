//! What is done, what is stale and why, what comes next.

use bootway_exec::{Cx, Runner};
use bootway_plan::{Name, Step, StepId};
use serde::Serialize;

use crate::{
    Loaded, Work,
    digests::Digests,
    evaluated::ask,
    inputs::{Gathered, Made, gather},
    key::{first_difference, key_of},
    looking::looking,
    stamp::Stamp,
    tools::Versions,
};

/// How things stand with one step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct StepStatus {
    /// Which step.
    pub step: StepId,
    /// In which phase.
    pub phase: Name,
    /// How things stand.
    pub state: State,
}

/// Whether a step has to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// What it made is there and good.
    Done,
    /// It has never been done.
    Never,
    /// It has to run again, and why.
    Stale(String),
    /// Its `when` does not hold, and why.
    Skipped(String),
    /// It is there for its effect or its verdict, and runs each time.
    Effect,
}

/// How things stand with every step of a plan. Reads only.
pub fn status(loaded: &Loaded, work: &Work, runner: &dyn Runner) -> Vec<StepStatus> {
    let digests = Digests::load(work.cache().join("digests.json"));
    let mut versions = Versions::load(work.cache().join("tools.json"));
    let mut made = Made::new();
    let mut all: Vec<StepStatus> = Vec::new();
    for step in loaded.plan.steps() {
        let again = step.needs.iter().find(|id| {
            all.iter().any(|it| it.step == **id && matches!(it.state, State::Never | State::Stale(_)))
        });
        let state = match (&step.skipped, again) {
            (Some(reason), _) => State::Skipped(reason.clone()),
            _ if step.runs_each_time() => State::Effect,
            (None, again) => look(step, loaded, work, &digests, &mut versions, runner, &mut made, again),
        };
        all.push(StepStatus { step: step.id.clone(), phase: step.phase.clone(), state });
    }
    // What was learnt is kept only if the directory is there already.
    if work.cache().exists() {
        let _ = digests.save();
        versions.save();
    }
    all
}

#[expect(clippy::too_many_arguments, reason = "everything that a key depends on")]
fn look(
    step: &Step,
    loaded: &Loaded,
    work: &Work,
    digests: &Digests,
    versions: &mut Versions,
    runner: &dyn Runner,
    made: &mut Made,
    again: Option<&StepId>,
) -> State {
    let dir = work.out(&step.id);
    let Some(stamp) = Stamp::read(&dir) else { return State::Never };
    if let Some(needed) = again {
        return State::Stale(format!("`{needed}` has to run again"));
    }
    let known = gather(step, loaded, work, digests, made).and_then(|gathered| {
        let ask = |cx: &Cx<'_>| ask(cx, &step.action, loaded, &dir);
        let known = looking(step, loaded, work, runner, &gathered.inputs, ask)?;
        Ok((Gathered { evaluated: known.evaluated, ..gathered }, known.kept))
    });
    let (gathered, kept) = match known {
        Ok(known) => known,
        Err(failure) => return State::Stale(failure.chain.join(": ")),
    };
    let key = key_of(step, loaded, &gathered, versions, runner);
    if let Some(part) = first_difference(&stamp.key, &key) {
        let source = part.strip_prefix("input ");
        let before = Stamp::listings(&dir);
        let file = source.and_then(|source| {
            let source = source.split(':').next()?;
            let change = gathered.listings.get(source)?.first_change(before.get(source)?)?;
            Some(format!("in `{source}`, {change}"))
        });
        return State::Stale(file.unwrap_or_else(|| reason(&part, &stamp.key, &key)));
    }
    if !kept {
        return State::Stale("the store does not hold it any more".to_owned());
    }
    match stamp.verify(&dir, digests) {
        Ok(()) => {
            made.insert(step.id.clone(), stamp.artifacts_in(&dir));
            State::Done
        }
        Err(reason) => State::Stale(reason),
    }
}

fn reason(part: &str, before: &crate::key::Key, now: &crate::key::Key) -> String {
    let value = |key: &crate::key::Key| key.get(part).cloned();
    match (part.split_once(' '), value(before), value(now)) {
        _ if part == "parameters" => "its parameters have changed in the plan".to_owned(),
        (Some(("input", source)), Some(_), Some(_)) => format!("`{source}` is another than before"),
        (_, Some(before), Some(now)) => format!("{part} was `{before}` and is `{now}`"),
        (_, None, Some(now)) => format!("{part} is new: `{now}`"),
        (_, _, None) => format!("{part} is gone"),
    }
}

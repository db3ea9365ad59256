//! A shell in the root of a namespace, or where a step has failed.

use bootway_exec::{Cmd, Cx, Runner};
use bootway_plan::{
    Action, Class, Failure, Inside, Name, OutputRef, Source, Step, StepId, nearest, step::EditRoot,
};
use bootway_sysroot::shell;
use camino::{Utf8Path, Utf8PathBuf};

use crate::{
    Loaded, State, Work,
    digests::Digests,
    dispatch::explain,
    inputs::{Made, gather},
    looking::looking,
    stamp::Stamp,
    status,
    work::remove_all,
};

/// Everything that a root is entered with.
struct Entry<'a> {
    loaded: &'a Loaded,
    work: &'a Work,
    runner: &'a dyn Runner,
    helper: &'a [String],
    argv: &'a [String],
}

/// What takes the place of this process to be `argv`, or a shell, in the root of `namespace` as the steps that are done have
/// left it. What is changed there is forgotten.
///
/// # Errors
///
/// If there is no such namespace, or what its root begins as is not built.
pub fn enter_namespace(
    loaded: &Loaded,
    work: &Work,
    runner: &dyn Runner,
    helper: &[String],
    namespace: &str,
    argv: &[String],
) -> Result<Cmd, Failure> {
    let of_it: Vec<&Step> = loaded
        .plan
        .steps()
        .filter(|step| namespace_of(step) == Some(namespace) && step.has_layer())
        .collect();
    let Some(first) = of_it.first() else { return Err(unknown(loaded, namespace)) };
    let states = status(loaded, work, runner);
    let done = |step: &Step| states.iter().any(|it| it.step == step.id && it.state == State::Done);
    let last = of_it.iter().rev().find(|step| done(step));
    let inside = last.map_or_else(|| first.inside.clone(), |step| after(step));
    let dir = work.root().join("enter").join(namespace);
    if is_entered(&dir) {
        return Err(Failure::new(
            Class::Environment,
            format!("somebody is in the root of `{namespace}` already"),
        )
        .hint("leave that shell, or use another work directory: `--work DIR`"));
    }
    remove_all(&dir).map_err(|error| Failure::new(Class::Environment, error.to_string()))?;
    // A step that does nothing, behind the last one that is done.
    let action = Action::Edit(EditRoot { edits: Vec::new() });
    let step = Step { inside, action, ..(*last.unwrap_or(first)).clone() };
    let entry = Entry { loaded, work, runner, helper, argv };
    let cmd = entry.shell(&step, &dir, false)?;
    let pid = std::process::id().to_string();
    fs_err::write(dir.join(INHABITANT), pid)
        .map_err(|error| Failure::new(Class::Environment, error.to_string()))?;
    Ok(cmd)
}

/// Who is in a root: the process whose place was taken.
const INHABITANT: &str = "pid";

/// Whether somebody is in the root that was made up in `dir` to be entered.
///
/// A process number alone says nothing, the number may be another's by now; but its command line names the directory.
pub(crate) fn is_entered(dir: &Utf8Path) -> bool {
    let line = fs_err::read_to_string(dir.join(INHABITANT))
        .and_then(|pid| fs_err::read_to_string(format!("/proc/{}/cmdline", pid.trim())));
    line.is_ok_and(|line| line.split('\0').any(|arg| Utf8Path::new(arg).starts_with(dir)))
}

fn unknown(loaded: &Loaded, namespace: &str) -> Failure {
    let mut known: Vec<&str> = loaded.plan.steps().filter_map(namespace_of).collect();
    known.dedup();
    let failure = Failure::new(Class::Plan, format!("no step runs in a namespace called `{namespace}`"));
    match (nearest(namespace, known.iter().copied()), known.is_empty()) {
        (Some(near), _) => failure.hint(format!("did you mean `{near}`")),
        (None, false) => failure.hint(format!("there is {}", known.join(", "))),
        (None, true) => failure.hint("give a phase of the plan a `namespace`"),
    }
}

/// The same where the last step, or the one that is named, has failed: with what it has left, in the environment and the
/// directory of the program that did not end well.
///
/// # Errors
///
/// If no step has failed in a root.
pub fn enter_failed(
    loaded: &Loaded,
    work: &Work,
    runner: &dyn Runner,
    helper: &[String],
    step: Option<&str>,
    argv: &[String],
) -> Result<(StepId, Cmd), Failure> {
    let failed = |step: &&Step| work.failed(&step.id).join("root/failed.json").exists();
    let all: Vec<&Step> = loaded.plan.steps().filter(failed).collect();
    let found = match step {
        Some(name) => all.iter().find(|it| it.id == *name),
        None => all.last(),
    };
    let Some(found) = found else {
        let which = step.map_or_else(|| "no step has".to_owned(), |name| format!("step `{name}` has not"));
        let failure = Failure::new(Class::Nothing, format!("{which} failed in a root"));
        let names: Vec<&str> = all.iter().map(|step| step.id.as_str()).collect();
        return Err(if names.is_empty() {
            failure
        } else {
            failure.hint(format!("these have: {}", names.join(", ")))
        });
    };
    let entry = Entry { loaded, work, runner, helper, argv };
    Ok((found.id.clone(), entry.shell(found, &work.failed(&found.id), true)?))
}

fn namespace_of(step: &Step) -> Option<&str> {
    step.inside.as_ref().map(|inside| inside.namespace.as_str())
}

/// The root as `step` leaves it.
fn after(step: &Step) -> Option<Inside> {
    let mut inside = step.inside.clone()?;
    let of = OutputRef { step: step.id.clone(), output: Some(Name::fixed("layer")) };
    inside.layers.push(Source::Output { of, inside: None });
    Some(inside)
}

impl Entry<'_> {
    fn shell(&self, step: &Step, scratch: &Utf8PathBuf, failed: bool) -> Result<Cmd, Failure> {
        let digests = Digests::load(self.work.cache().join("digests.json"));
        let gathered = gather(step, self.loaded, self.work, &digests, &self.made())
            .map_err(|failure| failure.hint("build what the root begins as first: `bootway build`"))?;
        let helper = self.helper;
        let enter = |cx: &Cx<'_>| explain(shell(&Cx { helper, scratch, ..*cx }, self.argv, failed));
        looking(step, self.loaded, self.work, self.runner, &gathered.inputs, enter)
    }

    /// What is there of every step, good or not: a person wants to look at it.
    fn made(&self) -> Made {
        let of = |step: &Step| {
            let dir = self.work.out(&step.id);
            Some((step.id.clone(), Stamp::read(&dir)?.artifacts_in(&dir)))
        };
        self.loaded.plan.steps().filter_map(of).collect()
    }
}

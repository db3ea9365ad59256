//! One step: is it done already, and if not, do it, look at what it made, and put that in place.

use bootway_exec::{Cx, StepOutput};
use bootway_plan::{Action, Artifact, Class, EventKind, Failure, Skips, Step, StepId, Verdict};
use camino::{Utf8Path, Utf8PathBuf};

use crate::{
    Purpose, StepEnd, Work, dispatch,
    doctor::{unmet, without_kvm},
    evaluated::ask,
    fetch::fetch_step,
    inputs::{Gathered, Made, gather, link},
    kept,
    key::{Key, key_of},
    run::{Run, skip, strict},
    stamp::{Manifested, Stamp, artifact},
    watch::Watch,
    work::remove_all,
};

/// Does `step`, if it is not done already.
pub(crate) fn run_step(run: &Run<'_>, step: &Step, made: &Made, watch: &Watch) -> StepEnd {
    let emit = |kind: EventKind| {
        watch.hear(&kind);
        (run.say)(Some(&step.id), kind);
    };
    if let Some(reason) = unmet(&step.common.requires, run.loaded, run.machine.session.work()) {
        return skip(run, step, reason);
    }
    emit(EventKind::Started);
    let end = match run.options.purpose {
        Purpose::Build => build_step(run, step, made, watch, &emit),
        Purpose::Fetch => fetch_step(run, step, watch, &emit),
    };
    conclude(step, end, &emit)
}

/// Does it, and keeps it from being collected if the plan wants that.
fn build_step(
    run: &Run<'_>,
    step: &Step,
    made: &Made,
    watch: &Watch,
    emit: &(dyn Fn(EventKind) + Sync),
) -> Result<StepEnd, Failure> {
    let end = try_step(run, step, made, watch, emit)?;
    let (gathered, dirs) = (Gathered::default(), Dirs::of(run, step));
    let cx = context(run, step, &gathered, watch, emit, &dirs);
    kept::keep(&cx, &step.action, run.loaded, &run.machine.session.work().roots(&step.id), &end)?;
    Ok(end)
}

/// Says how a step has ended.
fn conclude(step: &Step, end: Result<StepEnd, Failure>, emit: &(dyn Fn(EventKind) + Sync)) -> StepEnd {
    match end {
        Ok(end) => {
            if step.common.placeholder && end.artifacts().is_some() {
                emit(placeholder(step));
            }
            match end {
                StepEnd::Cached(_) => emit(EventKind::Cached),
                StepEnd::Done(_) => emit(EventKind::Finished),
                StepEnd::Skipped(_) | StepEnd::Failed(_) => (), // Said where it was decided.
            }
            end
        }
        Err(failure) => {
            emit(EventKind::Failed(failure.clone()));
            StepEnd::Failed(failure)
        }
    }
}

/// What is said of a step that only keeps the place of a check, instead of a verdict.
fn placeholder(step: &Step) -> EventKind {
    EventKind::Check {
        name: step.id.to_string(),
        verdict: Verdict::Placeholder,
        after_ms: 0,
        detail: Some("it says of itself that the check is not written yet".to_owned()),
    }
}

fn try_step(
    run: &Run<'_>,
    step: &Step,
    made: &Made,
    watch: &Watch,
    emit: &(dyn Fn(EventKind) + Sync),
) -> Result<StepEnd, Failure> {
    let work = run.machine.session.work();
    let mut gathered = gather(step, run.loaded, work, run.digests, made)?;
    let dirs = Dirs::of(run, step);
    let known =
        ask(&context(run, step, &gathered, watch, emit, &dirs), &step.action, run.loaded, &dirs.placed);
    let known =
        known.map_err(|failure| over_limit(failure, watch).because(format!("step `{}` failed", step.id)))?;
    gathered.evaluated = known.evaluated;
    let key = current_key(run, step, &gathered);
    let selected = run.options.selection.steps.is_empty()
        || run.options.selection.steps.iter().any(|it| step.id == **it);
    if !(run.options.fresh && selected)
        && known.kept
        && let Some((artifacts, checks)) = cached(run, step, &key)
    {
        let is_there = |kind: &EventKind| !matches!(kind, EventKind::Kept(kept) if !kept.path.exists());
        Stamp::told(&work.out(&step.id)).into_iter().filter(is_there).for_each(emit);
        if checks > 0 {
            emit(EventKind::Note {
                text: format!("its {checks} checks passed when they ran; nothing has changed since"),
            });
        }
        return Ok(StepEnd::Cached(artifacts));
    }
    let attempts = u32::from(step.common.retry) + 1;
    for attempt in 1..=attempts {
        watch.begin();
        let result = attempt_step(run, step, &gathered, made, watch, emit);
        match result {
            Ok(Attempt::Skipped(reason)) => return Ok(skip(run, step, reason)),
            Ok(Attempt::Made(outputs)) => {
                return place(run, step, &gathered, &outputs, watch, emit).map(StepEnd::Done);
            }
            Err(failure) if attempt < attempts && failure.class != Class::Cancelled => {
                let cause = failure.chain.last().cloned().unwrap_or_default();
                emit(EventKind::Note { text: format!("attempt {attempt} of {attempts} failed: {cause}") });
            }
            Err(failure) => {
                if failure.class == Class::Cancelled {
                    discard(work, &step.id);
                } else {
                    keep_for_a_look(work, &step.id, emit);
                }
                return Err(failure.because(format!("step `{}` failed", step.id)));
            }
        }
    }
    unreachable!("there is at least one attempt, and the last one returns")
}

/// What came of an attempt that did not fail.
enum Attempt {
    Made(Vec<StepOutput>),
    Skipped(String),
}

fn current_key(run: &Run<'_>, step: &Step, gathered: &Gathered) -> Key {
    let mut versions = run.versions.lock().expect("no step panics");
    key_of(step, run.loaded, gathered, &mut versions, run.machine.runner)
}

/// What an earlier run made, if it is still good, and how many checks passed then.
fn cached(run: &Run<'_>, step: &Step, key: &Key) -> Option<(Vec<Artifact>, u32)> {
    if step.runs_each_time() {
        return None;
    }
    let dir = run.machine.session.work().out(&step.id);
    let stamp = Stamp::read(&dir)?;
    let good = stamp.key == *key && stamp.verify(&dir, run.digests).is_ok();
    good.then(|| (stamp.artifacts_in(&dir), stamp.checks_passed))
}

fn attempt_step(
    run: &Run<'_>,
    step: &Step,
    gathered: &Gathered,
    made: &Made,
    watch: &Watch,
    emit: &(dyn Fn(EventKind) + Sync),
) -> Result<Attempt, Failure> {
    let dirs = Dirs::of(run, step);
    for dir in [&dirs.scratch, &dirs.partial] {
        let made = remove_all(dir).and_then(|()| fs_err::create_dir_all(dir));
        made.map_err(|error| io_failure("cannot make a directory for the step", &error))?;
    }
    link(step, run.loaded, gathered, made)?;
    let cx = context(run, step, gathered, watch, emit, &dirs);
    if let Some(reason) = without_kvm(&cx, &step.common.requires) {
        return Ok(Attempt::Skipped(reason));
    }
    let outputs = dispatch::run(&cx, &step.action, run.loaded, gathered.evaluated.as_ref());
    let outputs = outputs.map_err(|failure| over_limit(failure, watch))?;
    if run.loaded.plan.skips() == Skips::Strict
        && let Some(what) = watch.not_run()
    {
        return Err(strict(what));
    }
    for output in &outputs {
        dispatch::verify(output.kind, &output.path).map_err(|failure| {
            failure.because(format!("output `{}` is not a good {}", output.name, output.kind))
        })?;
    }
    Ok(Attempt::Made(outputs))
}

/// The directories of a step.
pub(crate) struct Dirs {
    pub(crate) scratch: Utf8PathBuf,
    partial: Utf8PathBuf,
    placed: Utf8PathBuf,
    kept: Utf8PathBuf,
}

impl Dirs {
    pub(crate) fn of(run: &Run<'_>, step: &Step) -> Self {
        let work = run.machine.session.work();
        let kept = run.options.kept.as_ref().map(|dir| dir.join(step.id.as_str()));
        Self {
            scratch: work.scratch(&step.id),
            partial: work.partial(&step.id),
            placed: work.out(&step.id),
            kept: kept.unwrap_or_else(|| work.kept(&step.id)),
        }
    }
}

pub(crate) fn context<'a>(
    run: &'a Run<'_>,
    step: &'a Step,
    gathered: &'a Gathered,
    watch: &'a Watch,
    emit: &'a (dyn Fn(EventKind) + Sync),
    dirs: &'a Dirs,
) -> Cx<'a> {
    Cx {
        runner: run.machine.runner,
        emit,
        cancel: &watch.cancel,
        scratch: &dirs.scratch,
        out: &dirs.partial,
        placed: &dirs.placed,
        kept: &dirs.kept,
        plan_dir: &run.loaded.dir,
        cache: run.machine.session.work().cache(),
        inputs: &gathered.inputs,
        inside: step.inside.as_ref(),
        helper: run.machine.helper,
        epoch: run.loaded.plan.epoch(),
        env: &step.env,
        secrets: run.loaded.plan.secrets(),
        limit: None, // The schedule looks after it, for programs and for work in process alike.
        silent_warn: watch.warn,
        jobs: run.options.jobs,
    }
}

/// A step that was stopped because its time was up did not ask to be cancelled.
pub(crate) fn over_limit(failure: Failure, watch: &Watch) -> Failure {
    match watch.over() {
        Some(limit) if failure.class == Class::Cancelled => {
            Failure::new(Class::Step, format!("it was still running after its limit of {limit}"))
                .hint("raise the step's `limit`, or find out why it takes so long")
        }
        _ => failure,
    }
}

/// Digests the outputs, writes the stamp, and renames the directory into place.
fn place(
    run: &Run<'_>,
    step: &Step,
    gathered: &Gathered,
    outputs: &[StepOutput],
    watch: &Watch,
    emit: &(dyn Fn(EventKind) + Sync),
) -> Result<Vec<Artifact>, Failure> {
    let work = run.machine.session.work();
    let (partial, out) = (work.partial(&step.id), work.out(&step.id));
    let failed = |error: std::io::Error| io_failure("cannot put the outputs in place", &error);
    let mut artifacts = Vec::new();
    for (name, kind) in step.outputs() {
        if !outputs.iter().any(|output| output.name == name) {
            return Err(Failure::new(Class::Bug, format!("step `{}` made no `{name}`", step.id)));
        }
        let file = step.action.file_name(&name);
        let when = manifested(step);
        artifacts.push(artifact(&name, kind, &partial, &file, run.digests, when).map_err(failed)?);
    }
    let stamp = Stamp {
        format: 1,
        // Once more: a lock file that was resolved by this step is part of it.
        key: current_key(run, step, gathered),
        artifacts,
        checks_passed: watch.checks_passed(),
    };
    let written = stamp.write(&partial, &gathered.listings);
    written.and_then(|()| Stamp::write_told(&partial, &watch.told())).map_err(failed)?;
    remove_all(&out).and_then(|()| fs_err::rename(&partial, &out)).map_err(failed)?;
    let scratch = remove_all(work.scratch(&step.id)).and_then(|()| remove_all(work.failed(&step.id)));
    scratch.map_err(failed)?;
    let artifacts = stamp.artifacts_in(&out);
    for artifact in &artifacts {
        emit(EventKind::Made(artifact.clone()));
    }
    Ok(artifacts)
}

/// Steps about stores and roots make a manifest by reading what is in place; the others while they write it, and it is read
/// here.
fn manifested(step: &Step) -> Manifested {
    match &step.action {
        Action::NixBuild(_) | Action::Closure(_) => Manifested::Now,
        _ if step.has_layer() => Manifested::Now,
        _ => Manifested::Earlier,
    }
}

/// Removes what a step worked with that was stopped: there is nothing to be seen in it. The next run removes what stays.
fn discard(work: &Work, step: &StepId) {
    let _ = remove_all(work.partial(step));
    let _ = remove_all(work.scratch(step));
}

/// Moves what a failed step worked with to where a person can look at it.
fn keep_for_a_look(work: &Work, step: &StepId, emit: &(dyn Fn(EventKind) + Sync)) {
    let kept = work.failed(step);
    let scratch = work.scratch(step);
    let is_empty = |dir: &Utf8Path| fs_err::read_dir(dir).is_ok_and(|mut entries| entries.next().is_none());
    // Neither may hide the failure itself.
    let _ = remove_all(work.partial(step));
    if is_empty(&scratch) || !scratch.exists() {
        let _ = remove_all(&scratch);
        return;
    }
    let parent = kept.parent().unwrap_or(work.root());
    let moved = remove_all(&kept)
        .and_then(|()| fs_err::create_dir_all(parent))
        .and_then(|()| fs_err::rename(&scratch, &kept));
    if moved.is_ok() {
        emit(EventKind::Note { text: format!("what the step worked with is kept in {kept}") });
    }
}

pub(crate) fn io_failure(what: &str, error: &std::io::Error) -> Failure {
    Failure::new(Class::Environment, error.to_string()).because(what)
}

//! Which step runs when: in the order of the plan, as many at once as may, each after what it needs.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Condvar, Mutex, MutexGuard},
    thread,
    time::{Duration, Instant},
};

use bootway_plan::{Bytes, Class, EventKind, Failure, Step, StepId};

use crate::{
    Outcome, StepEnd,
    inputs::Made,
    run::{Run, skip},
    step::run_step,
    watch::Watch,
};

/// How often limits and silence are looked at.
const TICK: Duration = Duration::from_millis(100);

#[derive(Default)]
struct State<'a> {
    waiting: Vec<&'a Step>,
    running: BTreeMap<StepId, std::sync::Arc<Watch>>,
    ends: BTreeMap<StepId, StepEnd>,
    stopped: bool,
}

/// Runs `steps` to their ends.
pub(crate) fn schedule(run: &Run<'_>, steps: &[&Step]) -> Outcome {
    let state = Mutex::new(State { waiting: steps.to_vec(), ..State::default() });
    let changed = Condvar::new();
    let workers = run.options.jobs.max(1).min(steps.len().max(1));
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| work(run, &state, &changed));
        }
        let mut guard = state.lock().expect("no step panics");
        while !(guard.waiting.is_empty() && guard.running.is_empty()) {
            for (id, watch) in &guard.running {
                look_after(run, id, watch);
            }
            guard = changed.wait_timeout(guard, TICK).expect("no step panics").0;
            if run.machine.cancel.is_cancelled() && !guard.stopped {
                guard.stopped = true;
                guard.waiting.clear();
                changed.notify_all();
            }
        }
    });
    let state = state.into_inner().expect("no step panics");
    let mut outcome = Outcome { steps: state.ends, failures: Vec::new() };
    let cancelled =
        |end: &StepEnd| matches!(end, StepEnd::Failed(failure) if failure.class == Class::Cancelled);
    if run.machine.cancel.is_cancelled() && !outcome.steps.values().any(cancelled) {
        outcome.failures.push(Failure::new(Class::Cancelled, "stopped before everything was done"));
    }
    outcome
}

/// Emits heartbeats, and stops a step whose time is up.
fn look_after(run: &Run<'_>, id: &StepId, watch: &Watch) {
    if let Some((running, silent, last)) = watch.silence() {
        let millis = |time: Duration| time.as_millis() as u64;
        let kind = EventKind::Heartbeat {
            running_ms: millis(running),
            silent_ms: millis(silent),
            cpu_ms: 0,
            written: Bytes::new(0),
            last,
        };
        (run.say)(Some(id), kind);
    }
    watch.check_limit();
}

fn work(run: &Run<'_>, state: &Mutex<State<'_>>, changed: &Condvar) {
    let mut guard = state.lock().expect("no step panics");
    loop {
        if settle(run, &mut guard) {
            changed.notify_all();
        }
        if guard.waiting.is_empty() {
            changed.notify_all();
            return;
        }
        let Some(at) = guard.waiting.iter().position(|step| is_ready(step, &guard)) else {
            guard = changed.wait(guard).expect("no step panics");
            continue;
        };
        let step = guard.waiting.remove(at);
        let watch = std::sync::Arc::new(Watch::new(run.machine.cancel, step, Instant::now()));
        guard.running.insert(step.id.clone(), watch.clone());
        let made = made(&guard);
        drop(guard);
        let end = run_step(run, step, &made, &watch);
        guard = state.lock().expect("no step panics");
        if matches!(end, StepEnd::Failed(_)) && !run.options.keep_going {
            guard.stopped = true;
        }
        guard.running.remove(&step.id);
        guard.ends.insert(step.id.clone(), end);
        changed.notify_all();
    }
}

fn made(state: &State<'_>) -> Made {
    let made = state.ends.iter().filter_map(|(id, end)| Some((id.clone(), end.artifacts()?.to_vec())));
    made.collect()
}

/// Whether everything that the step waits for has ended.
fn is_ready(step: &Step, state: &State<'_>) -> bool {
    let pending = |id: &StepId| state.running.contains_key(id) || state.waiting.iter().any(|it| it.id == *id);
    !step.needs.iter().any(pending)
}

/// Takes the steps that cannot run out of the queue, saying why; whether there were any.
fn settle(run: &Run<'_>, state: &mut MutexGuard<'_, State<'_>>) -> bool {
    let mut settled = false;
    while let Some((at, reason)) =
        state.waiting.iter().enumerate().find_map(|(at, step)| Some((at, why_not(run, step, state)?)))
    {
        let step = state.waiting.remove(at);
        let end = skip(run, step, reason);
        state.ends.insert(step.id.clone(), end);
        settled = true;
    }
    settled
}

/// Why a step cannot run, if that is known already.
fn why_not(run: &Run<'_>, step: &Step, state: &State<'_>) -> Option<String> {
    if let Some(reason) = &step.skipped {
        return Some(reason.clone());
    }
    if state.stopped {
        return Some("the run was stopped by an earlier failure".to_owned());
    }
    let reads: BTreeSet<StepId> =
        step.inputs().iter().filter_map(|source| Some(source.output()?.step.clone())).collect();
    // What is there for its effect, such as an upload, is for what is good; a check may look at what is not.
    let may_follow = step.tier().is_some() || !step.is_effect();
    step.needs.iter().find_map(|id| match state.ends.get(id)? {
        // A check that failed has given its verdict; nobody depends on what else it did.
        StepEnd::Failed(_) if is_check(run, id) && !reads.contains(id) && may_follow => None,
        StepEnd::Failed(_) => Some(format!("it needs `{id}`, which failed")),
        StepEnd::Skipped(_) if reads.contains(id) => Some(format!("it needs `{id}`, which was skipped")),
        StepEnd::Skipped(_) | StepEnd::Done(_) | StepEnd::Cached(_) => None,
    })
}

fn is_check(run: &Run<'_>, id: &StepId) -> bool {
    run.loaded.plan.step(id.as_str()).is_some_and(|step| step.tier().is_some())
}

//! The run of a plan: announce, schedule, record.

use std::{fmt, sync::Mutex, time::Instant};

use bootway_exec::{Cancel, Runner};
use bootway_plan::{
    Class, DefaultPhase, Event, EventKind, Failure, Millis, Name, RunInfo, Selection, Step, StepId, StepInfo,
    Verdict,
};
use camino::Utf8PathBuf;

use crate::{
    Loaded, Outcome, Session, State, Work,
    digests::Digests,
    doctor,
    doctor::missing_failure,
    run::Run,
    schedule::schedule,
    status, tier,
    tools::{Versions, tools_of},
};

/// Everything outside the plan that a run depends on.
#[derive(Clone, Copy)]
pub struct Machine<'a> {
    /// Starts programs.
    pub runner: &'a dyn Runner,
    /// Whether to stop.
    pub cancel: &'a Cancel,
    /// The work directory, which is held.
    pub session: &'a Session,
    /// The program that enters a root, and its first arguments: `bootway inside`, or another whose `main` calls
    /// [`bootway_sysroot::enter`]. Plans without namespaces need none.
    pub helper: &'a [String],
}

impl fmt::Debug for Machine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine").field("session", &self.session).finish_non_exhaustive()
    }
}

/// How a plan is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which steps; nothing means the plan's default.
    pub selection: Selection,
    /// Whether the selected steps run even if nothing has changed.
    pub fresh: bool,
    /// Whether steps that do not need a failed one run still.
    pub keep_going: bool,
    /// What was looked at before the run.
    pub seen: Seen,
    /// How many steps run at once, at most.
    pub jobs: usize,
    /// When the run began, in seconds since 1970-01-01 UTC, for the report.
    pub started: u64,
    /// What the host is, in a line, for the report.
    pub host: String,
    /// Where steps keep what stays with the run, a directory each; `kept` in the work directory unless said.
    pub kept: Option<Utf8PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            selection: Selection::default(),
            fresh: false,
            keep_going: false,
            seen: Seen::default(),
            jobs: std::thread::available_parallelism().map_or(1, Into::into),
            started: 0,
            host: String::new(),
            kept: None,
        }
    }
}

/// Checks of the run as a whole that its front end has made before it; they are told and judged as the run's own.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// What each is called, and what is wrong.
    pub checks: Vec<(String, Option<String>)>,
    /// What that comes to, if anything is wrong.
    pub failure: Option<Failure>,
}

impl Seen {
    fn events(&self) -> impl Iterator<Item = EventKind> + '_ {
        self.checks.iter().map(|(name, wrong)| EventKind::Check {
            name: name.clone(),
            verdict: if wrong.is_some() { Verdict::Failed } else { Verdict::Passed },
            after_ms: 0,
            detail: wrong.clone(),
        })
    }
}

/// Runs the selected steps of a plan, and says what happens to `emit`.
///
/// Before any work, everything that the machine lacks is said at once. The first event is `run-started`, the last
/// `run-finished`.
pub fn build(
    loaded: &Loaded,
    machine: Machine<'_>,
    options: &Options,
    emit: &(dyn Fn(Event) + Sync),
) -> Outcome {
    let begun = Instant::now();
    // Events leave in the order of their times, whichever thread they come from.
    let order = Mutex::new(());
    let say = |step: Option<&StepId>, kind: EventKind| {
        let _turn = order.lock().expect("sinks do not panic");
        emit(Event { at_ms: begun.elapsed().as_millis() as u64, step: step.cloned(), kind });
    };
    let cache = machine.session.work().cache();
    let digests = Digests::load(cache.join("digests.json"));
    let mut versions = Versions::load(cache.join("tools.json"));
    let outcome = match choose(loaded, machine, options) {
        Ok(steps) => {
            say(
                None,
                EventKind::RunStarted(Box::new(announce(loaded, machine, options, &steps, &mut versions))),
            );
            let missing = doctor(loaded, &steps, machine.session.work());
            if missing.is_empty() {
                let versions = Mutex::new(versions);
                let run = Run { loaded, machine, options, digests: &digests, versions: &versions, say: &say };
                let mut outcome = schedule(&run, &steps);
                options.seen.events().for_each(|kind| say(None, kind));
                outcome.failures.extend(options.seen.failure.clone());
                if let Some(tier) = options.selection.tier {
                    let took = Millis::new(begun.elapsed().as_millis() as u64);
                    let tiers = loaded.plan.tiers();
                    if let Some(kind) = tier::time(tier, tiers, took) {
                        say(None, kind);
                    }
                    let failures = tier::failures(tier, tiers, took, &steps, &outcome);
                    outcome.failures.extend(failures);
                }
                versions.into_inner().expect("no step panics").save();
                outcome
            } else {
                Outcome::stillborn(missing_failure(&missing))
            }
        }
        Err(failure) => {
            say(
                None,
                EventKind::RunStarted(Box::new(announce(loaded, machine, options, &[], &mut versions))),
            );
            Outcome::stillborn(failure)
        }
    };
    for failure in &outcome.failures {
        say(None, EventKind::Failed(failure.clone()));
    }
    // Without it, files are read again.
    let _ = digests.save();
    say(None, EventKind::RunFinished { exit_code: outcome.exit_code() });
    outcome
}

/// The steps that will be looked at, in order.
fn choose<'a>(loaded: &'a Loaded, machine: Machine<'_>, options: &Options) -> Result<Vec<&'a Step>, Failure> {
    let plan = &loaded.plan;
    let first =
        || plan.phases().iter().find(|it| !it.implied).map(|it| it.name.clone()).into_iter().collect();
    let default: Option<Vec<Name>> = match plan.default_phase() {
        DefaultPhase::All => None,
        DefaultPhase::First => Some(first()),
        DefaultPhase::Next if !options.selection.is_empty() => None,
        DefaultPhase::Next => {
            let todo = status(loaded, machine.session.work(), machine.runner);
            let next = todo.iter().find(|it| matches!(it.state, State::Never | State::Stale(_)));
            if let Some(next) = next {
                Some(vec![next.phase.clone()])
            } else {
                let failure = Failure::new(Class::Nothing, "every phase is done");
                return Err(failure.hint("run all of them: `bootway build --phase all`"));
            }
        }
    };
    options.selection.steps(plan, default.as_deref()).map_err(|error| Failure::of(&error))
}

fn announce(
    loaded: &Loaded,
    machine: Machine<'_>,
    options: &Options,
    steps: &[&Step],
    versions: &mut Versions,
) -> RunInfo {
    let mut tools: Vec<_> = steps.iter().flat_map(|step| tools_of(step, loaded.plan.machines())).collect();
    tools.sort_unstable();
    tools.dedup();
    let version = |tool| Some((format!("{tool}"), versions.of(tool, machine.runner)?));
    RunInfo {
        format: 1,
        plan: loaded.plan.name().clone(),
        plan_digest: loaded.plan.digest(),
        plan_file: loaded.file.as_ref().map(ToString::to_string),
        arguments: arguments(loaded, machine.session.work()),
        started: options.started,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        host: options.host.clone(),
        tools: tools.into_iter().filter_map(version).collect(),
        steps: steps
            .iter()
            .map(|step| StepInfo {
                id: step.id.clone(),
                phase: step.phase.clone(),
                kind: step.action.kind().to_owned(),
                summary: step.action.summary(),
            })
            .collect(),
    }
}

/// Without these the same command line would do something else.
fn arguments(loaded: &Loaded, work: &Work) -> Vec<String> {
    let given = loaded.plan.given().map(|(name, value)| format!("{name}={value}"));
    let mut arguments: Vec<String> = given.flat_map(|it| ["--var".to_owned(), it]).collect();
    arguments.extend(loaded.arguments.iter().cloned());
    let usual = loaded.dir.join(".bootway").join(loaded.plan.name().as_str());
    if loaded.file.is_some() && work.root() != usual {
        arguments.extend(["--work".to_owned(), work.root().to_string()]);
    }
    arguments
}

//! The run of a plan: announce, schedule, record.

use std::{fmt, sync::Mutex, time::Instant};

use bootway_exec::{Cancel, Runner};
use bootway_plan::{Event, EventKind, Failure, Millis, RunInfo, Selection, Step, StepId, StepInfo, Verdict};
use camino::Utf8PathBuf;

use crate::{
    Loaded, Outcome, Purpose, Session, Work,
    chosen::{choose, reduce},
    digests::Digests,
    doctor,
    doctor::missing_failure,
    fetch,
    run::Run,
    schedule::schedule,
    tier,
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
    /// What for.
    pub purpose: Purpose,
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
            purpose: Purpose::default(),
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
    let chosen = reduce(loaded, machine.session.work(), machine.runner, &options.selection);
    let (reduced, left_out) = chosen.as_ref().map_or((loaded, &[][..]), |(plan, out)| (plan, out.as_slice()));
    let (whole, loaded) = (loaded, reduced);
    let steps = match options.purpose {
        Purpose::Build => choose(loaded, machine.session.work(), machine.runner, &options.selection),
        Purpose::Fetch => fetch::choose(whole, loaded, &options.selection),
    };
    let announced = announce(loaded, machine, options, steps.as_deref().unwrap_or_default(), &mut versions);
    say(None, EventKind::RunStarted(Box::new(announced)));
    for id in left_out {
        let text = format!("left out, as it was not asked for and is not built: {id}");
        say(None, EventKind::Note { text });
    }
    let (versions, fetched) = (Mutex::new(versions), Mutex::default());
    let run = Run {
        loaded,
        machine,
        options,
        digests: &digests,
        versions: &versions,
        fetched: &fetched,
        say: &say,
    };
    let outcome = match steps {
        Ok(steps) => carry_out(&run, &steps, begun),
        Err(failure) => Outcome::stillborn(failure),
    };
    versions.into_inner().expect("no step panics").save();
    for failure in &outcome.failures {
        say(None, EventKind::Failed(failure.clone()));
    }
    // Without it, files are read again.
    let _ = digests.save();
    say(None, EventKind::RunFinished { exit_code: outcome.exit_code() });
    outcome
}

/// Everything that was chosen, if the machine has what it takes.
fn carry_out(run: &Run<'_>, steps: &[&Step], begun: Instant) -> Outcome {
    let (loaded, options) = (run.loaded, run.options);
    let missing = doctor(loaded, steps, run.machine.session.work());
    if !missing.is_empty() {
        return Outcome::stillborn(missing_failure(&missing));
    }
    let mut outcome = schedule(run, steps);
    if options.purpose == Purpose::Fetch {
        let fetched = *run.fetched.lock().expect("no step panics");
        (run.say)(None, EventKind::Note { text: fetch::said(fetched, begun.elapsed()) });
    }
    options.seen.events().for_each(|kind| (run.say)(None, kind));
    outcome.failures.extend(options.seen.failure.clone());
    if let Some(tier) = options.selection.tier {
        let took = Millis::new(begun.elapsed().as_millis() as u64);
        let tiers = loaded.plan.tiers();
        if let Some(kind) = tier::time(tier, tiers, took) {
            (run.say)(None, kind);
        }
        outcome.failures.extend(tier::failures(tier, tiers, took, steps, &outcome));
    }
    outcome
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
        command: (options.purpose == Purpose::Fetch).then(|| "fetch".to_owned()),
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
    if work.has_shared_cache() {
        arguments.extend(["--cache".to_owned(), work.cache().to_string()]);
    }
    arguments
}

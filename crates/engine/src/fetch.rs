//! What a plan needs from the network, ahead of time.

use std::time::{Duration, Instant};

use bootway_exec::Runner;
use bootway_plan::{Action, Bytes, EventKind, Failure, Selection, Step, StepId};
use bootway_source::{Amount, Fetched};

use crate::{
    Loaded, StepEnd, Work,
    chosen::reduce,
    dispatch,
    inputs::Gathered,
    run::Run,
    step::{Dirs, context, io_failure, over_limit},
    watch::Watch,
    work::remove_all,
};

/// What a run is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purpose {
    /// Outputs, and the proof that they are good.
    #[default]
    Build,
    /// Downloads in the cache, for a build without a network; no outputs.
    Fetch,
}

/// What the selected steps need from the network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Downloads {
    /// Steps whose downloads are known, in the order of the plan.
    pub steps: Vec<StepId>,
    /// Steps that use the network themselves when they run, and how: nothing can be had for them ahead of time.
    pub own: Vec<(StepId, &'static str)>,
}

/// Finds out what the selected steps need from the network; all steps of the plan if nothing is selected.
///
/// # Errors
///
/// If something is selected that is not there.
pub fn downloads(
    loaded: &Loaded,
    work: &Work,
    runner: &dyn Runner,
    selection: &Selection,
) -> Result<Downloads, Failure> {
    let reduced = reduce(loaded, work, runner, selection);
    let reduced = reduced.as_ref().map_or(loaded, |(plan, _)| plan);
    let mut found = Downloads::default();
    for step in selected(loaded, reduced, selection)? {
        match network(step) {
            Network::Downloads => found.steps.push(step.id.clone()),
            Network::Own(how) => found.own.push((step.id.clone(), how)),
            Network::None => (),
        }
    }
    Ok(found)
}

/// How a step uses the network.
enum Network {
    /// For files that are known before it runs.
    Downloads,
    /// In its own way, when it runs.
    Own(&'static str),
    None,
}

fn network(step: &Step) -> Network {
    if step.skipped.is_some() {
        return Network::None;
    }
    let has_network = step.has_layer() && step.inside.as_ref().is_some_and(|inside| inside.network);
    match &step.action {
        Action::Fetch(_) | Action::Debian(_) | Action::DebianSource(_) => Network::Downloads,
        Action::NixBuild(_) | Action::NixCheck(_) => Network::Own("Nix gets what it needs when it runs"),
        _ if has_network => Network::Own("its namespace has a network, which its programs may use"),
        _ if step.common.requires.network == Some(true) => {
            Network::Own("it `requires` a network when it runs")
        }
        _ => Network::None,
    }
}

/// The selected steps of `reduced` whose downloads are known; that is `whole` without the packages that are not meant.
pub(crate) fn choose<'a>(
    whole: &Loaded,
    reduced: &'a Loaded,
    selection: &Selection,
) -> Result<Vec<&'a Step>, Failure> {
    let steps = selected(whole, reduced, selection)?;
    Ok(steps.into_iter().filter(|step| matches!(network(step), Network::Downloads)).collect())
}

/// The selected steps, without sources that only packages read that are not meant.
fn selected<'a>(
    whole: &Loaded,
    reduced: &'a Loaded,
    selection: &Selection,
) -> Result<Vec<&'a Step>, Failure> {
    let mut steps = selection.steps(&reduced.plan, None).map_err(|error| Failure::of(&error))?;
    if !selection.packages.is_empty() {
        let ids: Vec<StepId> = steps.iter().map(|step| step.id.clone()).collect();
        let is_read_by_others = |step: &Step| {
            let reads = |by: &&Step| {
                by.inputs().iter().any(|input| input.output().is_some_and(|of| of.step == step.id))
            };
            let mut readers = whole.plan.steps().filter(reads).peekable();
            readers.peek().is_some() && !readers.any(|by| ids.contains(&by.id))
        };
        steps.retain(|step| !is_read_by_others(step));
    }
    Ok(steps)
}

/// Brings what `step` downloads into the cache.
pub(crate) fn fetch_step(
    run: &Run<'_>,
    step: &Step,
    watch: &Watch,
    emit: &(dyn Fn(EventKind) + Sync),
) -> Result<StepEnd, Failure> {
    let (gathered, dirs) = (Gathered::default(), Dirs::of(run, step));
    let cleared = |dir| remove_all(dir).and_then(|()| fs_err::create_dir_all(dir));
    cleared(&dirs.scratch).map_err(|error| io_failure("cannot make a directory for the step", &error))?;
    let cx = context(run, step, &gathered, watch, emit, &dirs);
    watch.begin();
    let began = Instant::now();
    let fetched = dispatch::download(&cx, &step.action, run.loaded);
    let took = began.elapsed();
    // What it worked with was downloaded, and the next session sweeps what stays.
    let _ = remove_all(&dirs.scratch);
    let fetched = fetched.map_err(|failure| {
        over_limit(failure, watch).because(format!("what step `{}` needs was not fetched", step.id))
    })?;
    emit(EventKind::Note { text: said(fetched, took) });
    let mut sum = run.fetched.lock().expect("nothing panics while it is held");
    *sum = *sum + fetched;
    Ok(if fetched.came.files == 0 { StepEnd::Cached(Vec::new()) } else { StepEnd::Done(Vec::new()) })
}

/// What was there, what came, and how long that took.
pub(crate) fn said(fetched: Fetched, took: Duration) -> String {
    let Fetched { had, came, retries } = fetched;
    let files = |amount: Amount| {
        let s = if amount.files == 1 { "" } else { "s" };
        format!("{} file{s} ({})", amount.files, Bytes::new(amount.bytes).human())
    };
    let again = match retries {
        0 => String::new(),
        1 => ", 1 attempt was made again".to_owned(),
        n => format!(", {n} attempts were made again"),
    };
    format!("had {}, downloaded {} in {:.1} s{again}", files(had), files(came), took.as_secs_f64())
}

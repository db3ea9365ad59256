//! What every step of a run shares.

use std::sync::Mutex;

use bootway_plan::{Class, EventKind, Failure, Skips, Step, StepId};
use bootway_source::Fetched;

use crate::{Loaded, Machine, Options, StepEnd, digests::Digests, tools::Versions};

/// What every step of a run shares.
#[derive(Clone, Copy)]
pub(crate) struct Run<'a> {
    pub(crate) loaded: &'a Loaded,
    pub(crate) machine: Machine<'a>,
    pub(crate) options: &'a Options,
    pub(crate) digests: &'a Digests,
    pub(crate) versions: &'a Mutex<Versions>,
    /// What downloads ahead of time came to, so far.
    pub(crate) fetched: &'a Mutex<Fetched>,
    pub(crate) say: &'a (dyn Fn(Option<&StepId>, EventKind) + Sync),
}

/// The end of a step that does not run: in a strict plan a failure, unless its own `when` asked for it.
pub(crate) fn skip(run: &Run<'_>, step: &Step, reason: String) -> StepEnd {
    let asked_for = step.skipped.is_some() || reason.starts_with("it needs") || reason.starts_with("the run");
    if run.loaded.plan.skips() == Skips::Strict && !asked_for {
        let failure = strict(format!("step `{}` did not run: {reason}", step.id));
        (run.say)(Some(&step.id), EventKind::Failed(failure.clone()));
        return StepEnd::Failed(failure);
    }
    (run.say)(Some(&step.id), EventKind::Skipped { reason: reason.clone() });
    StepEnd::Skipped(reason)
}

/// The failure of what did not run in a plan that is strict about that.
pub(crate) fn strict(what: String) -> Failure {
    Failure::new(Class::Check, what)
        .hint("this plan has `skips = \"strict\"`: provide what is missing, or make it `graceful`")
}

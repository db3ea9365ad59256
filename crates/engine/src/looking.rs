//! A context for looking at a step without running it.

use bootway_exec::{Cancel, Cx, Inputs, Runner};
use bootway_plan::Step;

use crate::{Loaded, Work};

/// Calls `look` with the context that `step` would have, except that nobody hears what it says.
pub(crate) fn looking<T>(
    step: &Step,
    loaded: &Loaded,
    work: &Work,
    runner: &dyn Runner,
    inputs: &Inputs,
    look: impl FnOnce(&Cx<'_>) -> T,
) -> T {
    look(&Cx {
        runner,
        emit: &|_| (),
        cancel: &Cancel::default(),
        scratch: &work.scratch(&step.id),
        out: &work.partial(&step.id),
        placed: &work.out(&step.id),
        kept: &work.kept(&step.id),
        plan_dir: &loaded.dir,
        cache: work.cache(),
        inputs,
        inside: step.inside.as_ref(),
        helper: &[],
        epoch: loaded.plan.epoch(),
        env: &step.env,
        secrets: loaded.plan.secrets(),
        limit: None,
        silent_warn: std::time::Duration::MAX,
        jobs: 1,
    })
}

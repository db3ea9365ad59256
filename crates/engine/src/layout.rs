//! Sizes and places of everything on a disk, before a byte of it is written.

use bootway_exec::{Cx, Runner};
use bootway_plan::{Action, DiskMap, Failure, StepId};

use crate::{
    Loaded, State, Work,
    digests::Digests,
    inputs::{Made, gather},
    looking::looking,
    stamp::Stamp,
    status,
};

/// The layout of every disk of a plan whose contents are there already; of the others, why it is not known yet.
pub fn layouts(loaded: &Loaded, work: &Work, runner: &dyn Runner) -> Vec<(StepId, Result<DiskMap, String>)> {
    let digests = Digests::load(work.cache().join("digests.json"));
    let states = status(loaded, work, runner);
    let done = |id: &StepId| states.iter().any(|it| it.step == *id && it.state == State::Done);
    let mut made = Made::new();
    for step in loaded.plan.steps().filter(|step| done(&step.id)) {
        let dir = work.out(&step.id);
        if let Some(stamp) = Stamp::read(&dir) {
            made.insert(step.id.clone(), stamp.artifacts_in(&dir));
        }
    }
    let mut all = Vec::new();
    for step in loaded.plan.steps().filter(|step| step.skipped.is_none()) {
        let Action::Disk(disk) = &step.action else { continue };
        let waits = step.needs.iter().find(|id| !done(id));
        let layout = match waits {
            Some(id) => Err(format!("known when `{id}` is done")),
            None => gather(step, loaded, work, &digests, &made)
                .and_then(|gathered| {
                    let lay_out = |cx: &Cx<'_>| bootway_image::disk_layout(cx, disk);
                    looking(step, loaded, work, runner, &gathered.inputs, lay_out)
                        .map_err(|error| Failure::of(&error))
                })
                .map_err(|failure| failure.chain.join(": ")),
        };
        all.push((step.id.clone(), layout));
    }
    all
}

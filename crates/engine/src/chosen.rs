//! Which steps a run looks at.

use bootway_exec::Runner;
use bootway_plan::{Class, DefaultPhase, Failure, Name, Selection, Step, StepId};

use crate::{Loaded, State, Work, status};

/// The steps that `build` would look at with this selection, in order, and the plan that they are of: packages that were not
/// asked for and are not built are not in it.
///
/// # Errors
///
/// If nothing is selected, or something that is not there.
pub fn selected(
    loaded: &Loaded,
    work: &Work,
    runner: &dyn Runner,
    selection: &Selection,
) -> Result<(Loaded, Vec<StepId>), Failure> {
    let plan = reduce(loaded, work, runner, selection).map_or_else(|| loaded.clone(), |(plan, _)| plan);
    let steps = choose(&plan, work, runner, selection)?.into_iter().map(|step| step.id.clone()).collect();
    Ok((plan, steps))
}

/// The plan without the packages that were not asked for and are not built, and which these are; `None` if every package is
/// meant. What is built stays where it is: a root does not lose what it has because something else is built.
pub(crate) fn reduce(
    loaded: &Loaded,
    work: &Work,
    runner: &dyn Runner,
    selection: &Selection,
) -> Option<(Loaded, Vec<StepId>)> {
    if selection.packages.is_empty() {
        return None;
    }
    let states = status(loaded, work, runner);
    let is_built = |step: &&Step| states.iter().any(|it| it.step == step.id && it.state == State::Done);
    let out: Vec<StepId> = loaded
        .plan
        .steps()
        .filter(|step| selection.passes_over(step) && !is_built(step))
        .map(|step| step.id.clone())
        .collect();
    Some((Loaded { plan: loaded.plan.without(&out), ..loaded.clone() }, out))
}

/// The steps that will be looked at, in order.
pub(crate) fn choose<'a>(
    loaded: &'a Loaded,
    work: &Work,
    runner: &dyn Runner,
    selection: &Selection,
) -> Result<Vec<&'a Step>, Failure> {
    let plan = &loaded.plan;
    let first =
        || plan.phases().iter().find(|it| !it.implied).map(|it| it.name.clone()).into_iter().collect();
    let default: Option<Vec<Name>> = match plan.default_phase() {
        DefaultPhase::All => None,
        DefaultPhase::First => Some(first()),
        DefaultPhase::Next if !selection.is_empty() => None,
        DefaultPhase::Next => {
            let todo = status(loaded, work, runner);
            let next = todo.iter().find(|it| matches!(it.state, State::Never | State::Stale(_)));
            if let Some(next) = next {
                Some(vec![next.phase.clone()])
            } else {
                let failure = Failure::new(Class::Nothing, "every phase is done");
                return Err(failure.hint("run all of them: `bootway build --phase all`"));
            }
        }
    };
    selection.steps(plan, default.as_deref()).map_err(|error| Failure::of(&error))
}

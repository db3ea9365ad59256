//! Which steps of a plan run.

use std::collections::BTreeSet;

use thiserror::Error;

use crate::{Class, Explain, Name, Plan, Step, StepId, nearest::unknown, spec::Tier};

/// What was selected on the command line; nothing means the plan's default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Names of phases; `all` means all.
    pub phases: Vec<String>,
    /// Names of steps.
    pub steps: Vec<String>,
    /// Steps of this tier and the ones below it.
    pub tier: Option<Tier>,
}

impl Selection {
    /// Whether nothing was selected.
    pub const fn is_empty(&self) -> bool {
        self.phases.is_empty() && self.steps.is_empty() && self.tier.is_none()
    }

    /// The selected steps in the order of the plan, and everything that they need.
    ///
    /// A step is selected when its phase, its name and its tier are, as far as each was said. `default` is the phases
    /// that run when nothing was said; `None` is all.
    ///
    /// # Errors
    ///
    /// If a name is unknown, or nothing is left.
    pub fn steps<'a>(&self, plan: &'a Plan, default: Option<&[Name]>) -> Result<Vec<&'a Step>, SelectError> {
        let phases: Vec<&str> = plan.phases().iter().map(|phase| phase.name.as_str()).collect();
        let steps: Vec<&str> = plan.steps().map(|step| step.id.as_str()).collect();
        let strange = |kind, given: &[String], known: &[&str]| {
            let strange = given.iter().find(|name| !known.contains(&name.as_str()));
            strange.map(|name| SelectError::Unknown { message: unknown(kind, name, known) })
        };
        let named: Vec<String> = self.phases.iter().filter(|name| *name != "all").cloned().collect();
        if let Some(error) =
            strange("phase", &named, &phases).or_else(|| strange("step", &self.steps, &steps))
        {
            return Err(error);
        }
        let selected = |step: &Step| {
            let in_default = || default.is_none_or(|phases| phases.contains(&step.phase));
            let by_phase = match (self.phases.is_empty(), self.steps.is_empty() && self.tier.is_none()) {
                (true, true) => in_default(),
                (true, false) => true,
                (false, _) => {
                    named.len() < self.phases.len() || self.phases.iter().any(|it| step.phase == **it)
                }
            };
            let by_step = self.steps.is_empty() || self.steps.iter().any(|it| step.id == **it);
            let by_tier = self.tier.is_none_or(|tier| step.tier().is_some_and(|it| it <= tier));
            by_phase && by_step && by_tier
        };
        let wanted: BTreeSet<&StepId> =
            plan.steps().filter(|step| selected(step)).map(|step| &step.id).collect();
        if wanted.is_empty() {
            return Err(SelectError::Nothing);
        }
        let mut closure = wanted;
        for step in plan.steps().collect::<Vec<_>>().into_iter().rev() {
            if closure.contains(&step.id) {
                let inputs = step.inputs();
                let read =
                    |id: &&StepId| inputs.iter().any(|it| it.output().is_some_and(|of| of.step == **id));
                // It waits for effects, too, but only if they run anyway.
                closure.extend(step.needs.iter().filter(read));
            }
        }
        Ok(plan.steps().filter(|step| closure.contains(&step.id)).collect())
    }
}

/// No step can be selected.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SelectError {
    /// A name is not in the plan.
    #[error("{message}")]
    Unknown {
        /// Which, and what may have been meant.
        message: String,
    },
    /// All names are known, and no step has them all.
    #[error("no step is selected, so nothing would be proved")]
    Nothing,
}

impl Explain for SelectError {
    fn class(&self) -> Class {
        match self {
            Self::Unknown { .. } => Class::Plan,
            Self::Nothing => Class::Nothing,
        }
    }

    fn hint(&self) -> Option<String> {
        matches!(self, Self::Nothing).then(|| "`bootway plan` lists phases and steps".to_owned())
    }
}

//! Which steps of a plan run.

use std::collections::BTreeSet;

use thiserror::Error;

use crate::{Action, Class, Explain, Name, Plan, Step, StepId, nearest::unknown, spec::Tier};

/// What was selected on the command line; nothing means the plan's default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Names of phases; `all` means all.
    pub phases: Vec<String>,
    /// Names of steps.
    pub steps: Vec<String>,
    /// Names of packages: of the steps that build packages, only those of these.
    pub packages: Vec<String>,
    /// Steps of this tier and the ones below it.
    pub tier: Option<Tier>,
}

impl Selection {
    /// Whether nothing was selected.
    pub const fn is_empty(&self) -> bool {
        self.phases.is_empty() && self.steps.is_empty() && self.packages.is_empty() && self.tier.is_none()
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
        let phase_of_step = |step: &Step| {
            if self.phases.is_empty() {
                return default.is_none_or(|phases| phases.contains(&step.phase));
            }
            named.len() < self.phases.len() || self.phases.iter().any(|it| step.phase == **it)
        };
        self.check_packages(plan, &phase_of_step)?;
        let selected = |step: &Step| {
            // A step or a tier that is named is meant in whatever phase it is.
            let anywhere = self.phases.is_empty() && !(self.steps.is_empty() && self.tier.is_none());
            let by_phase = anywhere || phase_of_step(step);
            let by_step = self.steps.is_empty() || self.steps.iter().any(|it| step.id == **it);
            let by_tier = self.tier.is_none_or(|tier| step.tier().is_some_and(|it| it <= tier));
            by_phase && by_step && by_tier && !self.passes_over(step)
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

impl Selection {
    /// Whether `step` builds a package, and not one of those that were asked for.
    pub fn passes_over(&self, step: &Step) -> bool {
        let Action::Package(package) = &step.action else { return false };
        let is_it =
            |name: &String| step.id == **name || package.package.as_ref().is_some_and(|it| *it == **name);
        !self.packages.is_empty() && !self.packages.iter().any(is_it)
    }

    /// Every name must be that of a package that is built in the selected phases.
    fn check_packages(&self, plan: &Plan, in_phase: &dyn Fn(&Step) -> bool) -> Result<(), SelectError> {
        let mut known: Vec<&str> = Vec::new();
        for step in plan.steps().filter(|step| in_phase(step)) {
            if let Action::Package(package) = &step.action {
                known.push(step.id.as_str());
                known.extend(package.package.as_ref().map(Name::as_str));
            }
        }
        known.sort_unstable();
        known.dedup();
        let strange: Vec<&str> =
            self.packages.iter().map(String::as_str).filter(|name| !known.contains(name)).collect();
        match strange.as_slice() {
            [] => Ok(()),
            [one] => Err(SelectError::Unknown { message: unknown("package", one, &known) }),
            several => Err(SelectError::Unknown {
                message: format!("the selected phases build no package called {}", several.join(", ")),
            }),
        }
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

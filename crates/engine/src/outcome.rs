//! How a run ended.

use std::collections::BTreeMap;

use bootway_plan::{Artifact, Class, Failure, StepId, exit_code};

/// How a run ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// How each selected step ended.
    pub steps: BTreeMap<StepId, StepEnd>,
    /// What kept the run from beginning, or a step from being counted as good.
    pub failures: Vec<Failure>,
}

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepEnd {
    /// It ran, and made this.
    Done(Vec<Artifact>),
    /// It did not have to run; this is what it made before.
    Cached(Vec<Artifact>),
    /// It did not run, and why.
    Skipped(String),
    /// It failed.
    Failed(Failure),
}

impl StepEnd {
    /// What it made, if it is good.
    pub fn artifacts(&self) -> Option<&[Artifact]> {
        match self {
            Self::Done(artifacts) | Self::Cached(artifacts) => Some(artifacts),
            Self::Skipped(_) | Self::Failed(_) => None,
        }
    }
}

impl Outcome {
    /// A run that never began.
    pub(crate) fn stillborn(failure: Failure) -> Self {
        Self { steps: BTreeMap::new(), failures: vec![failure] }
    }

    /// The failure that decides the exit code.
    pub fn worst(&self) -> Option<&Failure> {
        let of_steps = self.steps.values().filter_map(|end| match end {
            StepEnd::Failed(failure) => Some(failure),
            _ => None,
        });
        of_steps.chain(&self.failures).max_by_key(|failure| failure.class)
    }

    /// The exit code that stands for it; `docs/exit-codes.md` lists them all.
    pub fn exit_code(&self) -> u8 {
        let proved = |end: &StepEnd| end.artifacts().is_some();
        match self.worst() {
            Some(failure) => failure.class.exit_code(),
            // A run of skips proves nothing.
            None if !self.steps.values().any(proved) => Class::Nothing.exit_code(),
            None => exit_code::DONE,
        }
    }
}

//! In which way there is no artifact, for programs that read it.

use std::error::Error;

use bootway_exec::{Cx, Exit, RunError};
use bootway_plan::{EventKind, Finding, Judgement, step};

use crate::{BuildError, call::CallError, eval::EvalError, realise::Cause};

/// Tells the cause of a failure, which its message only describes.
pub(super) fn tell(cx: &Cx<'_>, step: &step::NixBuild, cause: Cause, error: &dyn Error) {
    let message = error.to_string();
    (cx.emit)(EventKind::Finding(Finding {
        about: step.attribute.clone(),
        name: "cause".to_owned(),
        judgement: Judgement::Fact,
        answer: cause.as_str().to_owned(),
        evidence: message.lines().next().unwrap_or_default().to_owned(),
    }));
}

impl EvalError {
    /// In which way it does not evaluate.
    pub(super) fn cause(&self) -> Cause {
        match self {
            Self::Missing { .. } => Cause::MissingAttribute,
            Self::Failed { .. } => Cause::Evaluation,
            Self::Untracked(_) => Cause::Untracked,
            Self::Call(error) => error.cause(),
            Self::Shape(_) | Self::FarStore { .. } | Self::StoreInArgs => Cause::Nix,
        }
    }
}

impl CallError {
    fn cause(&self) -> Cause {
        match self {
            Self::Run(RunError::Cancelled) | Self::Refused { exit: Exit::Signal, .. } => Cause::Interrupted,
            Self::Run(RunError::TimedOut { .. }) => Cause::Timeout,
            Self::Run(_) | Self::Refused { .. } => Cause::Nix,
        }
    }
}

impl BuildError {
    /// In which way there is no artifact.
    pub fn cause(&self) -> Cause {
        match self {
            Self::Eval(error) => error.cause(),
            Self::Call(error) => error.cause(),
            Self::NotBuilt(error) => error.cause(),
            Self::Output(error) => error.cause(),
            Self::NoOut { .. } | Self::Invalid { .. } => Cause::OutputMissing,
            Self::Shape(_) | Self::Io(_) => Cause::Nix,
        }
    }
}

//! Store paths and all they refer to, to a store of their own.

use bootway_exec::{Cmd, Cx, StepOutput};
use bootway_plan::{Class, Explain, NixConfig, step};
use thiserror::Error;

/// Store paths and all they refer to, to a store of their own.
///
/// # Errors
///
/// Not written yet.
pub fn closure(
    _cx: &Cx<'_>,
    _step: &step::Closure,
    _nix: &NixConfig,
) -> Result<Vec<StepOutput>, ClosureError> {
    Err(ClosureError::NotWritten)
}

/// The command lines that it would run.
pub fn closure_commands(_cx: &Cx<'_>, _step: &step::Closure, _nix: &NixConfig) -> Vec<Cmd> {
    Vec::new()
}

/// It failed.
#[derive(Debug, Error)]
pub enum ClosureError {
    /// Not written yet.
    #[error("this kind of step is not written yet")]
    NotWritten,
}

impl Explain for ClosureError {
    fn class(&self) -> Class {
        Class::Bug
    }
}

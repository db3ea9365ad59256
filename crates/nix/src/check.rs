//! Expectations on a flake, by evaluation alone.

use bootway_exec::{Cmd, Cx, StepOutput};
use bootway_plan::{Class, Explain, NixConfig, step};
use thiserror::Error;

/// Expectations on a flake, by evaluation alone.
///
/// # Errors
///
/// Not written yet.
pub fn nix_check(
    _cx: &Cx<'_>,
    _step: &step::NixCheck,
    _nix: &NixConfig,
) -> Result<Vec<StepOutput>, CheckError> {
    Err(CheckError::NotWritten)
}

/// The command lines that it would run.
pub fn check_commands(_cx: &Cx<'_>, _step: &step::NixCheck, _nix: &NixConfig) -> Vec<Cmd> {
    Vec::new()
}

/// It failed.
#[derive(Debug, Error)]
pub enum CheckError {
    /// Not written yet.
    #[error("this kind of step is not written yet")]
    NotWritten,
}

impl Explain for CheckError {
    fn class(&self) -> Class {
        Class::Bug
    }
}

//! A flake attribute to an artifact.

use bootway_exec::{Cmd, Cx, StepOutput};
use bootway_plan::{Class, Explain, NixConfig, step};
use thiserror::Error;

/// A flake attribute to an artifact.
///
/// # Errors
///
/// Not written yet.
pub fn nix_build(
    _cx: &Cx<'_>,
    _step: &step::NixBuild,
    _nix: &NixConfig,
) -> Result<Vec<StepOutput>, BuildError> {
    Err(BuildError::NotWritten)
}

/// The command lines that it would run.
pub fn build_commands(_cx: &Cx<'_>, _step: &step::NixBuild, _nix: &NixConfig) -> Vec<Cmd> {
    Vec::new()
}

/// It failed.
#[derive(Debug, Error)]
pub enum BuildError {
    /// Not written yet.
    #[error("this kind of step is not written yet")]
    NotWritten,
}

impl Explain for BuildError {
    fn class(&self) -> Class {
        Class::Bug
    }
}

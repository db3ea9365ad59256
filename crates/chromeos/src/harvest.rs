//! The step `harvest`.

use bootway_exec::{Cx, StepOutput};
use bootway_plan::{Class, Explain, step};
use camino::Utf8Path;
use thiserror::Error;

/// Takes a shim and a recovery image apart.
pub fn harvest(cx: &Cx<'_>, step: &step::Harvest) -> Result<Vec<StepOutput>, HarvestError> {
    let _ = (cx, step);
    Err(HarvestError::Todo)
}

/// Whether the file at `path` is a kernel partition, whole.
pub fn verify(path: &Utf8Path) -> Result<(), HarvestError> {
    let _ = path;
    Err(HarvestError::Todo)
}

/// A harvest failed.
#[derive(Debug, Error)]
pub enum HarvestError {
    /// To be replaced.
    #[error("not written yet")]
    Todo,
}

impl Explain for HarvestError {
    fn class(&self) -> Class {
        Class::Bug
    }
}

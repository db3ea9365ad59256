//! The step `oci`: a tree to a container image.

use bootway_exec::{Cx, StepOutput};
use bootway_plan::{Class, Explain, step};
use thiserror::Error;

/// A tree to a container image.
///
/// # Errors
///
/// Not written yet.
pub fn oci(_cx: &Cx<'_>, _step: &step::Oci) -> Result<Vec<StepOutput>, OciError> {
    Err(OciError::NotWritten)
}

/// It failed.
#[derive(Debug, Error)]
pub enum OciError {
    /// Not written yet.
    #[error("this kind of step is not written yet")]
    NotWritten,
}

impl Explain for OciError {
    fn class(&self) -> Class {
        Class::Bug
    }
}

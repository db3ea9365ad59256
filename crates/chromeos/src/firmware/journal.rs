//! What was looked at, in order.

use super::{Finding, FirmwareError};

/// Findings as they are made.
#[derive(Debug, Default)]
pub(super) struct Journal {
    pub(super) findings: Vec<Finding>,
}

impl Journal {
    pub(super) fn say(&mut self, name: impl Into<String>, good: bool, detail: impl Into<String>) {
        self.findings.push(Finding { name: name.into(), good, detail: detail.into() });
    }

    pub(super) fn good(&mut self, name: impl Into<String>, detail: impl Into<String>) {
        self.say(name, true, detail);
    }

    pub(super) fn bad(&mut self, name: impl Into<String>, detail: impl Into<String>) {
        self.say(name, false, detail);
    }

    pub(super) fn no_kernel(self) -> FirmwareError {
        FirmwareError::NoKernel { findings: self.findings }
    }
}

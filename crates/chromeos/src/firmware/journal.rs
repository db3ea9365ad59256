//! What was looked at, in order.

use bootway_image::GptEntry;

use super::{Finding, FirmwareError};

/// Findings as they are made.
#[derive(Debug, Default)]
pub(super) struct Journal {
    pub(super) findings: Vec<Finding>,
    /// What kept the firmware from starting something, the first time.
    reason: Option<String>,
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

    /// Something for which the firmware goes on to the next kernel, or gives up.
    pub(super) fn refuse(&mut self, name: impl Into<String>, detail: impl Into<String>) {
        let (name, detail) = (name.into(), detail.into());
        self.reason.get_or_insert_with(|| format!("{name}: {detail}"));
        self.bad(name, detail);
    }

    pub(super) fn no_kernel(self) -> FirmwareError {
        let reason = self.reason.unwrap_or_else(|| "nothing was tried".to_owned());
        FirmwareError::NoKernel { reason, findings: self.findings }
    }
}

/// A partition by its number and its name, if it has one.
pub(super) fn called(entry: &GptEntry) -> String {
    match entry.label.as_str() {
        "" => format!("partition {}", entry.number),
        label => format!("partition {} (`{label}`)", entry.number),
    }
}

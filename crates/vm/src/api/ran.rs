//! What a command of a guest did, and what it should have done.

use bootway_plan::{
    Verdict,
    step::{CheckKind, RunCheck},
};

use super::failed;
use crate::{VmError, boot::Ready, checks::judge, shell::Ended};

/// What a command did: whether that is good is for who ran it to say, by what is called on it.
#[derive(Clone, Debug)]
pub struct Ran {
    pub(super) command: String,
    pub(super) output: Vec<u8>,
    pub(super) code: u8,
}

impl Ran {
    /// What it printed, to both of its outputs.
    pub fn output(&self) -> &[u8] {
        &self.output
    }

    /// How it ended; 128 and the signal's number if one killed it.
    pub const fn code(&self) -> u8 {
        self.code
    }

    /// It ended with this exit code.
    ///
    /// # Errors
    ///
    /// Says with which, and what it printed.
    pub fn exits(self, code: u8) -> Result<Self, VmError> {
        let wanted = RunCheck { exit: code, ..RunCheck::default() };
        self.judged(wanted)
    }

    /// It printed exactly this, but for white space around it.
    ///
    /// # Errors
    ///
    /// Says what it printed.
    pub fn prints(self, text: &str) -> Result<Self, VmError> {
        let wanted = RunCheck { exit: self.code, equals: Some(text.to_owned()), ..RunCheck::default() };
        self.judged(wanted)
    }

    /// It printed this, among other things.
    ///
    /// # Errors
    ///
    /// Says what it printed.
    pub fn contains(self, text: &str) -> Result<Self, VmError> {
        let wanted = RunCheck { exit: self.code, contains: Some(text.to_owned()), ..RunCheck::default() };
        self.judged(wanted)
    }

    /// It did not print this.
    ///
    /// # Errors
    ///
    /// Says what it printed.
    pub fn lacks(self, text: &str) -> Result<Self, VmError> {
        let wanted = RunCheck { exit: self.code, lacks: Some(text.to_owned()), ..RunCheck::default() };
        self.judged(wanted)
    }

    fn judged(self, wanted: RunCheck) -> Result<Self, VmError> {
        let wanted = RunCheck { command: self.command.clone(), ..wanted };
        let check = Ready {
            name: "run".to_owned(),
            kind: CheckKind::Run(wanted.clone()),
            matches: None,
            within: None,
        };
        let ended = Ended::Exited { output: self.output.clone(), code: self.code };
        let decision = judge(&wanted, &check, ended);
        if decision.verdict == Verdict::Passed {
            Ok(self)
        } else {
            Err(failed("run", decision.detail.unwrap_or_default()))
        }
    }
}

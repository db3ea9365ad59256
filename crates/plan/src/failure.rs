//! An error as data, and what it does to the exit code.

use serde::{Deserialize, Serialize};

/// An error as data: what a person needs to act on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Failure {
    /// Decides the exit code.
    pub class: Class,
    /// What failed, then why, outermost first.
    pub chain: Vec<String>,
    /// What to do about it.
    pub hint: Option<String>,
    /// The program that did not end well, if it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<Box<ProgramEnd>>,
}

/// Whose problem a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Nothing was selected, so nothing was proved.
    Nothing,
    /// The image was built, and is not good.
    Check,
    /// A step failed.
    Step,
    /// The machine lacks something.
    Environment,
    /// The plan is wrong.
    Plan,
    /// Someone asked to stop.
    Cancelled,
    /// A bug of bootway.
    Bug,
}

impl Class {
    /// The process's exit code; `docs/exit-codes.md` is the contract.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Nothing => exit_code::NOTHING,
            Self::Check => exit_code::CHECK,
            Self::Step => exit_code::STEP,
            Self::Environment => exit_code::ENVIRONMENT,
            Self::Plan => exit_code::PLAN,
            Self::Cancelled => exit_code::INTERRUPTED,
            Self::Bug => exit_code::BUG,
        }
    }
}

/// Exit codes of every front end.
pub mod exit_code {
    /// Done and good.
    pub const DONE: u8 = 0;
    /// A bug of bootway.
    pub const BUG: u8 = 1;
    /// The command line is wrong.
    pub const USAGE: u8 = 2;
    /// The plan is wrong.
    pub const PLAN: u8 = 3;
    /// The machine lacks something.
    pub const ENVIRONMENT: u8 = 4;
    /// A step failed.
    pub const STEP: u8 = 5;
    /// Built, but a check failed.
    pub const CHECK: u8 = 6;
    /// Nothing was selected.
    pub const NOTHING: u8 = 7;
    /// Stopped by SIGINT.
    pub const INTERRUPTED: u8 = 130;
    /// Stopped by SIGTERM.
    pub const TERMINATED: u8 = 143;
}

/// What every error that ends a step can say about itself.
pub trait Explain: std::error::Error {
    /// Whose problem it is.
    fn class(&self) -> Class;

    /// What to do about it, if anything in particular.
    fn hint(&self) -> Option<String> {
        None
    }

    /// The program that did not end well, if it was one.
    fn program(&self) -> Option<ProgramEnd> {
        None
    }
}

/// How a program ended that did not end well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ProgramEnd {
    /// What was run, ready to paste.
    pub command: String,
    /// Its exit code, if it ended by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    /// The signal that ended it, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
}

impl Failure {
    /// `error` and everything behind it, as data.
    ///
    /// A cause whose text an outer message already ends with is not said twice.
    pub fn of(error: &dyn Explain) -> Self {
        let mut chain = vec![error.to_string()];
        let mut cause = error.source();
        while let Some(error) = cause {
            let text = error.to_string();
            if chain.last().is_none_or(|last| *last != text) {
                chain.push(text);
            }
            cause = error.source();
        }
        Self { class: error.class(), chain, hint: error.hint(), program: error.program().map(Box::new) }
    }

    /// A failure that is one sentence.
    pub fn new(class: Class, message: impl Into<String>) -> Self {
        Self { class, chain: vec![message.into()], hint: None, program: None }
    }

    /// The same failure as the cause of `message`.
    #[must_use]
    pub fn because(mut self, message: impl Into<String>) -> Self {
        self.chain.insert(0, message.into());
        self
    }

    /// The same failure with something to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// So that a front end can return it with `?`; its causes are in its text.
impl std::error::Error for Failure {}

impl std::fmt::Display for Failure {
    /// As a person reads it: `error:`, `caused by:`, `hint:`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (n, text) in self.chain.iter().enumerate() {
            let text = text.replace('\n', "\n    ");
            if n == 0 { write!(f, "error: {text}")? } else { write!(f, "\n  caused by: {text}")? }
        }
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, "\n  hint: {hint}"))
    }
}

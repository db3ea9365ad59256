//! Names that things go by.

use std::{borrow::Borrow, fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The name of a plan, phase, step, output, variable or machine: 1 to 40 of `a-z`, `0-9`, `_` and `-`, starting
/// with a letter or a digit.
///
/// Doubles as the name of a directory, so it needs no escaping on any file system, in a shell or in a log.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Name(String);

/// The name of a step, unique in its plan.
pub type StepId = Name;

/// The name of one output of a step.
pub type OutputName = Name;

impl Name {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A name that is written in the source of this program.
    ///
    /// # Panics
    ///
    /// If `text` cannot be a name.
    pub fn fixed(text: &'static str) -> Self {
        text.parse().expect("names in the source are well formed")
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for Name {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

impl PartialEq<&str> for Name {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

impl FromStr for Name {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        text.to_owned().try_into()
    }
}

impl TryFrom<String> for Name {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        let starts_well = text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
        let spelled_well = text.chars().all(|c| matches!(c, 'a'..='z' | '0'..='9' | '-' | '_'));
        if starts_well && spelled_well && text.len() <= 40 {
            Ok(Self(text))
        } else {
            Err(InvalidName { text })
        }
    }
}

impl From<Name> for String {
    fn from(id: Name) -> Self {
        id.0
    }
}

/// The text cannot be a name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{text}` cannot be a name: use 1 to 40 of a-z, 0-9, `_` and `-`, starting with a letter or a digit")]
pub struct InvalidName {
    text: String,
}

//! What Nix answers in JSON, of every version: one parser for each question.
//!
//! The shape tells the version, not the other way round: Lix and Determinate Nix count otherwise, and a distribution
//! patches. What is not known is an error that names the field; see `fixtures/nix/recorded/README.md` for what was
//! recorded and what was written after the documents.

mod build;
mod derivation;
mod flake;
mod path_info;

pub use build::{Built, builds};
pub use derivation::{Derivation, derivations};
pub use flake::{FlakeMetadata, Shown, flake_metadata, flake_show};
pub use path_info::{PathInfo, path_infos};
use serde_json::{Map, Value};
use thiserror::Error;

use crate::Version;

/// An answer that no known Nix gives.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "{}`{question}` answers in an unknown shape: `{field}` is {found} and should be {wanted}",
    version.as_ref().map(|it| format!("{it}: ")).unwrap_or_default()
)]
pub struct UnknownShape {
    /// Which Nix, if it was asked.
    pub version: Option<Version>,
    /// What was asked: `nix path-info --json`.
    pub question: &'static str,
    /// Where in the answer: `[0].narHash`.
    pub field: String,
    /// What a known Nix has there.
    pub wanted: &'static str,
    /// What is there.
    pub found: String,
}

impl UnknownShape {
    /// The same, of a Nix that was asked who it is.
    #[must_use]
    pub fn of(self, version: Option<Version>) -> Self {
        Self { version, ..self }
    }
}

/// A value and where it is in an answer.
#[derive(Clone, Debug)]
struct At<'a> {
    question: &'static str,
    field: String,
    value: &'a Value,
}

/// Absent where a field may be absent.
const ABSENT: &Value = &Value::Null;

impl<'a> At<'a> {
    fn root(question: &'static str, value: &'a Value) -> Self {
        Self { question, field: String::new(), value }
    }

    fn parse(question: &'static str, json: &[u8]) -> Result<Value, UnknownShape> {
        serde_json::from_slice(json).map_err(|error| UnknownShape {
            version: None,
            question,
            field: ".".to_owned(),
            wanted: "JSON",
            found: error.to_string(),
        })
    }

    fn at(&self, name: &str) -> At<'a> {
        let field = if self.field.is_empty() { name.to_owned() } else { format!("{}.{name}", self.field) };
        At { question: self.question, field, value: self.value.get(name).unwrap_or(ABSENT) }
    }

    fn wrong(&self, wanted: &'static str) -> UnknownShape {
        let found = match self.value {
            Value::Null => "absent".to_owned(),
            Value::Bool(_) => "a boolean".to_owned(),
            Value::Number(number) => format!("the number {number}"),
            Value::String(text) => format!("`{}`", text.chars().take(40).collect::<String>()),
            Value::Array(_) => "a list".to_owned(),
            Value::Object(_) => "an object".to_owned(),
        };
        let field = if self.field.is_empty() { ".".to_owned() } else { self.field.clone() };
        UnknownShape { version: None, question: self.question, field, wanted, found }
    }

    fn present(&self) -> Option<&Self> {
        (!self.value.is_null()).then_some(self)
    }

    fn object(&self) -> Result<&'a Map<String, Value>, UnknownShape> {
        self.value.as_object().ok_or_else(|| self.wrong("an object"))
    }

    /// Each entry of an object.
    fn entries(&self) -> Result<Vec<(&'a str, At<'a>)>, UnknownShape> {
        Ok(self
            .object()?
            .iter()
            .map(|(name, value)| (name.as_str(), At { value, ..self.at(name) }))
            .collect())
    }

    /// Each element of a list.
    fn elements(&self) -> Result<Vec<At<'a>>, UnknownShape> {
        let list = self.value.as_array().ok_or_else(|| self.wrong("a list"))?;
        let place = |(n, value)| At { question: self.question, field: format!("{}[{n}]", self.field), value };
        Ok(list.iter().enumerate().map(place).collect())
    }

    fn string(&self) -> Result<String, UnknownShape> {
        self.value.as_str().map(str::to_owned).ok_or_else(|| self.wrong("a string"))
    }

    fn number(&self) -> Result<u64, UnknownShape> {
        self.value.as_u64().ok_or_else(|| self.wrong("a number"))
    }

    fn optional<T>(
        &self,
        read: impl FnOnce(&Self) -> Result<T, UnknownShape>,
    ) -> Result<Option<T>, UnknownShape> {
        self.present().map(read).transpose()
    }

    /// A path that some versions write whole and some without the directory of the store.
    fn store_path(&self, store_dir: Option<&str>) -> Result<String, UnknownShape> {
        Ok(whole(&self.string()?, store_dir))
    }
}

fn whole(path: &str, store_dir: Option<&str>) -> String {
    match store_dir {
        Some(dir) if !path.starts_with('/') => format!("{dir}/{path}"),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests;

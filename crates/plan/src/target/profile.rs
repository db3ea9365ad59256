//! Names of profiles, and where the list of them is.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};
use thiserror::Error;

use crate::node::{Node, Value};

/// The name of a profile: 1 to 64 of `A-Z`, `a-z`, `0-9`, `_` and `-`, starting with a letter, a digit or `_`.
///
/// It becomes a part of an attribute path, a word of a shell and a key of YAML, and needs no quotes in any of them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Profile(String);

impl Profile {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The list that Nix printed as JSON.
    ///
    /// # Errors
    ///
    /// If it is no list of names.
    pub fn list_from_json(json: &str) -> Result<Vec<Self>, InvalidProfileList> {
        let value: serde_json::Value = serde_json::from_str(json)
            .map_err(|error| InvalidProfileList(format!("this is not JSON: {error}")))?;
        let serde_json::Value::Array(elements) = value else {
            return Err(InvalidProfileList(format!("it is {}, and a list of names is wanted", what(&value))));
        };
        let name = |element: &serde_json::Value| match element {
            serde_json::Value::String(text) => {
                Self::try_from(text.clone()).map_err(|error| InvalidProfileList(error.to_string()))
            }
            other => Err(InvalidProfileList(format!("it holds {}, and names are wanted", what(other)))),
        };
        elements.iter().map(name).collect()
    }

    /// The list under `key` (`profiles`, `test-origin.profiles`) of a TOML file.
    ///
    /// # Errors
    ///
    /// If that is no TOML, there is no such key, or it is no list of names.
    pub fn list_from_toml(text: &str, key: &str) -> Result<Vec<Self>, InvalidProfileList> {
        let root = Node::from_toml(text)
            .map_err(|(_, message)| InvalidProfileList(format!("this is not TOML: {message}")))?;
        let mut node = &root;
        for part in key.split('.') {
            let known: Vec<&str> = node.entries().iter().map(|(key, _)| key.text.as_str()).collect();
            node = node
                .get(part)
                .ok_or_else(|| InvalidProfileList(crate::nearest::unknown("key", part, &known)))?;
        }
        if !matches!(node.value, Value::Array(_)) {
            return Err(InvalidProfileList(format!("`{key}` is not a list: write `{key} = [\"…\"]`")));
        }
        let name = |element: &Node| {
            let text = element.as_str().ok_or_else(|| {
                InvalidProfileList(format!("`{key}` holds something else than text, and names are wanted"))
            })?;
            Self::try_from(text.to_owned()).map_err(|error| InvalidProfileList(error.to_string()))
        };
        node.elements().iter().map(name).collect()
    }
}

fn what(value: &serde_json::Value) -> &'static str {
    match value {
        serde_json::Value::Null => "`null`",
        serde_json::Value::Bool(_) => "a truth value",
        serde_json::Value::Number(_) => "a number",
        serde_json::Value::String(_) => "text",
        serde_json::Value::Array(_) => "a list",
        serde_json::Value::Object(_) => "an attribute set",
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl PartialEq<str> for Profile {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

impl AsRef<str> for Profile {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Profile {
    type Error = InvalidProfile;

    fn try_from(text: String) -> Result<Self, InvalidProfile> {
        let starts_well = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        let spelled_well = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
        if starts_well && spelled_well && text.len() <= 64 {
            Ok(Self(text))
        } else {
            Err(InvalidProfile { text })
        }
    }
}

impl From<Profile> for String {
    fn from(profile: Profile) -> Self {
        profile.0
    }
}

/// The text cannot be the name of a profile.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "`{text}` cannot be a profile: use 1 to 64 of A-Z, a-z, 0-9, `_` and `-`, starting with a letter, a digit or `_`"
)]
pub struct InvalidProfile {
    text: String,
}

/// What was found is no list of profiles.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct InvalidProfileList(String);

/// Where the list of a target's profiles is; the only place that has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Profiles {
    /// Here.
    Listed(Vec<Profile>),
    /// In a Nix file, read without a flake.
    Nix {
        /// The file, relative to the plan's directory.
        nix: String,
        /// The attribute of what is in the file.
        attr: String,
    },
    /// In the flake.
    Flake {
        /// The attribute: `lib.profiles`.
        flake: String,
    },
    /// In another TOML file.
    Toml {
        /// The file, relative to the plan's directory.
        toml: String,
        /// The key: `profiles`, or `test-origin.profiles`.
        key: String,
    },
}

/// The table that says where the list is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
#[derive(Default)]
struct Elsewhere {
    /// A Nix file, relative to the plan's directory. If it is a function, it is called with arguments that must not be
    /// looked at.
    nix: Option<String>,
    /// With `nix`: the attribute; `profiles` unless said.
    attr: Option<String>,
    /// An attribute of the flake: `lib.profiles`.
    flake: Option<String>,
    /// A TOML file, relative to the plan's directory.
    toml: Option<String>,
    /// With `toml`: the key; `profiles` unless said.
    key: Option<String>,
}

impl TryFrom<Elsewhere> for Profiles {
    type Error = String;

    fn try_from(it: Elsewhere) -> Result<Self, String> {
        let default = || "profiles".to_owned();
        match it {
            Elsewhere { nix: Some(nix), attr, flake: None, toml: None, key: None } => {
                Ok(Self::Nix { nix, attr: attr.unwrap_or_else(default) })
            }
            Elsewhere { flake: Some(flake), nix: None, attr: None, toml: None, key: None } => {
                Ok(Self::Flake { flake })
            }
            Elsewhere { toml: Some(toml), key, nix: None, attr: None, flake: None } => {
                Ok(Self::Toml { toml, key: key.unwrap_or_else(default) })
            }
            _ => Err("profiles are in one place: use one of `{ nix = \"FILE\", attr = \"…\" }`, \
                      `{ flake = \"ATTRIBUTE\" }` and `{ toml = \"FILE\", key = \"…\" }`"
                .to_owned()),
        }
    }
}

impl<'de> Deserialize<'de> for Profiles {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Profiles;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of profiles, or a table that says where it is")
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, seq: A) -> Result<Profiles, A::Error> {
                let list = Vec::deserialize(de::value::SeqAccessDeserializer::new(seq))?;
                Ok(Profiles::Listed(list))
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Profiles, A::Error> {
                let it = Elsewhere::deserialize(de::value::MapAccessDeserializer::new(map))?;
                it.try_into().map_err(de::Error::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for Profiles {
    fn schema_name() -> Cow<'static, str> {
        "Profiles".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let elsewhere = generator.subschema_for::<Elsewhere>();
        json_schema!({
            "description": "The profiles of a target: a list, or where the one list is.",
            "anyOf": [{ "type": "array", "items": { "type": "string" } }, elsewhere]
        })
    }
}

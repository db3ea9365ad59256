//! Systems, in Nix's words.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::nearest::unknown;

/// A system as Nix calls it: `x86_64-linux`, `aarch64-darwin`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct System(String);

/// Where something is: an operating system (`linux`), or one [`System`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Platform(String);

const OPERATING_SYSTEMS: [&str; 2] = ["linux", "darwin"];
const WELL_KNOWN: [&str; 6] =
    ["linux", "darwin", "x86_64-linux", "aarch64-linux", "x86_64-darwin", "aarch64-darwin"];

impl System {
    /// From the words of Rust: `x86_64` and `linux`, `aarch64` and `macos`.
    pub fn of(arch: &str, os: &str) -> Self {
        Self(format!("{arch}-{}", if os == "macos" { "darwin" } else { os }))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Platform {
    /// Whether `system` is of it.
    pub fn has(&self, system: &System) -> bool {
        self.0 == system.0 || system.0.rsplit_once('-').is_some_and(|(_, os)| os == self.0)
    }

    /// As a person says it: `Linux`, `aarch64-darwin`.
    pub fn human(&self) -> &str {
        match self.0.as_str() {
            "linux" => "Linux",
            "darwin" => "macOS",
            system => system,
        }
    }
}

fn is_system(text: &str) -> bool {
    text.split_once('-').is_some_and(|(arch, os)| {
        !arch.is_empty()
            && arch.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
            && OPERATING_SYSTEMS.contains(&os)
    })
}

impl TryFrom<String> for System {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if is_system(&text) { Ok(Self(text)) } else { Err(unknown("system", &text, &WELL_KNOWN[2..])) }
    }
}

impl TryFrom<String> for Platform {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if is_system(&text) || OPERATING_SYSTEMS.contains(&text.as_str()) {
            Ok(Self(text))
        } else {
            Err(unknown("platform", &text, &WELL_KNOWN))
        }
    }
}

impl std::str::FromStr for System {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.to_owned().try_into()
    }
}

impl From<System> for String {
    fn from(system: System) -> Self {
        system.0
    }
}

impl From<Platform> for String {
    fn from(platform: Platform) -> Self {
        platform.0
    }
}

impl fmt::Display for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

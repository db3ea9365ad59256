//! `nix flake show --json` and `nix flake metadata --json`.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{At, UnknownShape};

const SHOW: &str = "nix flake show --json";
const METADATA: &str = "nix flake metadata --json";

/// What a flake shows at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// More below; empty as well for what was left out (another system, `legacyPackages`).
    Set(BTreeMap<String, Self>),
    /// Something with a type: `derivation`, `app`, `nixos-configuration`, `unknown`.
    Leaf {
        /// The type.
        kind: String,
        /// The name of a derivation.
        name: Option<String>,
        /// What it says about itself.
        description: Option<String>,
    },
}

impl Shown {
    /// What is at a path of attributes.
    pub fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |at, name| match at {
            Self::Set(set) => set.get(*name),
            Self::Leaf { .. } => None,
        })
    }
}

/// What `nix flake show --json` says; the same from 2.8 on, but for what is left out.
///
/// # Errors
///
/// If the shape is unknown.
pub fn flake_show(json: &[u8]) -> Result<Shown, UnknownShape> {
    let value = At::parse(SHOW, json)?;
    shown(&At::root(SHOW, &value))
}

fn shown(at: &At<'_>) -> Result<Shown, UnknownShape> {
    if let Some(Value::String(kind)) = at.object()?.get("type") {
        return Ok(Shown::Leaf {
            kind: kind.clone(),
            name: at.at("name").optional(At::string)?,
            description: at.at("description").optional(At::string)?,
        });
    }
    let inside = at.entries()?;
    let inside = inside.iter().map(|(name, at)| Ok(((*name).to_owned(), shown(at)?)));
    Ok(Shown::Set(inside.collect::<Result<_, UnknownShape>>()?))
}

/// Where a flake is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlakeMetadata {
    /// The reference that it was locked to.
    pub url: String,
    /// Where it is in the store.
    pub path: String,
    /// The commit; `None` for a working tree with changes, and for what is no repository.
    pub revision: Option<String>,
    /// What it says about itself.
    pub description: Option<String>,
}

/// What `nix flake metadata --json` says.
///
/// # Errors
///
/// If the shape is unknown.
pub fn flake_metadata(json: &[u8]) -> Result<FlakeMetadata, UnknownShape> {
    let value = At::parse(METADATA, json)?;
    let root = At::root(METADATA, &value);
    Ok(FlakeMetadata {
        url: root.at("url").string()?,
        path: root.at("path").string()?,
        revision: root.at("revision").optional(At::string)?,
        description: root.at("description").optional(At::string)?,
    })
}

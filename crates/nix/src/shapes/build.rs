//! `nix build --json`.

use std::collections::BTreeMap;

use super::{At, UnknownShape};

const QUESTION: &str = "nix build --json";

/// A derivation that was built, or would be, and where its outputs are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// The derivation; `None` if a store path was asked for.
    pub drv: Option<String>,
    /// The outputs that were asked for, by name.
    pub outputs: BTreeMap<String, Option<String>>,
}

/// What `nix build --json` says: a list of `{drvPath, outputs: {NAME: PATH}}`, and from 2.12 on, at times, numbers.
///
/// # Errors
///
/// If the shape is unknown.
pub fn builds(json: &[u8]) -> Result<Vec<Built>, UnknownShape> {
    let value = At::parse(QUESTION, json)?;
    let one = |at: &At<'_>| -> Result<Built, UnknownShape> {
        // A store path that was asked for by its name: `"path"` until 2.18, a string from then on.
        if at.value.is_string() || at.at("path").present().is_some() {
            return Ok(Built { drv: None, outputs: BTreeMap::new() });
        }
        let drv = Some(at.at("drvPath").string()?);
        let outputs = at.at("outputs").entries()?;
        let outputs = outputs.iter().map(|(name, path)| Ok(((*name).to_owned(), path.optional(At::string)?)));
        Ok(Built { drv, outputs: outputs.collect::<Result<_, UnknownShape>>()? })
    };
    At::root(QUESTION, &value).elements()?.iter().map(one).collect()
}

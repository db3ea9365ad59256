//! `nix derivation show`, `nix show-derivation` before 2.15.

use std::collections::{BTreeMap, BTreeSet};

use super::{At, UnknownShape, whole};

const QUESTION: &str = "nix derivation show";

/// A derivation, as far as anybody here asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Derivation {
    /// Its outputs by name and where they will be, where that is known before.
    pub outputs: BTreeMap<String, Option<String>>,
    /// What it is built on.
    pub system: String,
    /// Whether it says the hash of its output beforehand.
    pub fixed: bool,
    /// The derivations that it needs.
    pub inputs: BTreeSet<String>,
    /// Its environment; empty if it has structured attributes.
    pub env: BTreeMap<String, String>,
}

/// What is said about derivations, by path.
///
/// An object by path, from 2.33 on inside `{derivations, version}` with paths that lack the directory of the store.
///
/// # Errors
///
/// If the shape is unknown.
pub fn derivations(json: &[u8], store_dir: &str) -> Result<BTreeMap<String, Derivation>, UnknownShape> {
    let value = At::parse(QUESTION, json)?;
    let root = At::root(QUESTION, &value);
    let all = root.at("derivations").present().cloned().unwrap_or(root);
    let one = |(path, at): &(&str, At<'_>)| Ok((whole(path, Some(store_dir)), derivation(at, store_dir)?));
    all.entries()?.iter().map(one).collect()
}

fn derivation(at: &At<'_>, store_dir: &str) -> Result<Derivation, UnknownShape> {
    let env = at.at("env").entries()?;
    let env = env.iter().map(|(name, value)| Ok(((*name).to_owned(), value.string()?)));
    let env = env.collect::<Result<BTreeMap<_, _>, UnknownShape>>()?;
    let mut fixed = false;
    let mut outputs = BTreeMap::new();
    for (name, output) in at.at("outputs").entries()? {
        fixed |= output.at("hash").present().is_some();
        let path = output.at("path").optional(|at| at.store_path(Some(store_dir)))?;
        // Left out of a fixed output from 2.33 on; the builder is still told.
        let told = || env.get(name).filter(|path| path.starts_with(store_dir)).cloned();
        outputs.insert(name.to_owned(), path.or_else(told));
    }
    let inputs = match at.at("inputs").present() {
        Some(inputs) => inputs.at("drvs"),
        None => at.at("inputDrvs"),
    };
    let inputs = inputs.entries()?.iter().map(|(path, _)| whole(path, Some(store_dir))).collect();
    Ok(Derivation { outputs, system: at.at("system").string()?, fixed, inputs, env })
}

//! `nix path-info --json`.

use std::collections::BTreeMap;

use super::{At, UnknownShape, whole};

const QUESTION: &str = "nix path-info --json";

/// What a store knows about a valid path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathInfo {
    /// Of its archive: `sha256-…`.
    pub nar_hash: String,
    /// Bytes of its archive.
    pub nar_size: u64,
    /// What it refers to, itself included.
    pub references: Vec<String>,
    /// The derivation that made it, if that is known.
    pub deriver: Option<String>,
    /// Bytes of it and all that it refers to, if that was asked for.
    pub closure_size: Option<u64>,
}

/// What `nix path-info --json` says, by path; `None` for a path that is not valid.
///
/// A list until 2.18 and in Lix, an object by path from 2.19 on, and from 2.33 on maybe `{info, storeDir, version}`
/// with paths that lack the directory of the store.
///
/// # Errors
///
/// If the shape is unknown.
pub fn path_infos(json: &[u8]) -> Result<BTreeMap<String, Option<PathInfo>>, UnknownShape> {
    let value = At::parse(QUESTION, json)?;
    let root = At::root(QUESTION, &value);
    if root.value.is_array() {
        let one = |at: &At<'_>| Ok((at.at("path").string()?, info(at, None)?));
        return root.elements()?.iter().map(one).collect();
    }
    let (paths, store_dir) = match root.at("info").present() {
        Some(info) => (info.clone(), Some(root.at("storeDir").string()?)),
        None => (root, None),
    };
    let one = |(path, at): &(&str, At<'_>)| {
        Ok((whole(path, store_dir.as_deref()), at.optional(|at| info(at, store_dir.as_deref()))?.flatten()))
    };
    paths.entries()?.iter().map(one).collect()
}

fn info(at: &At<'_>, store_dir: Option<&str>) -> Result<Option<PathInfo>, UnknownShape> {
    if at.at("valid").value == false {
        return Ok(None);
    }
    let paths = at.at("references").elements()?;
    Ok(Some(PathInfo {
        nar_hash: nar_hash(&at.at("narHash"))?,
        nar_size: at.at("narSize").number()?,
        references: paths.iter().map(|at| at.store_path(store_dir)).collect::<Result<_, _>>()?,
        deriver: at.at("deriver").optional(|at| at.store_path(store_dir))?,
        closure_size: at.at("closureSize").optional(At::number)?,
    }))
}

/// A string, or an object of the same parts.
fn nar_hash(at: &At<'_>) -> Result<String, UnknownShape> {
    if at.value.is_object() {
        return Ok(format!("{}-{}", at.at("algorithm").string()?, at.at("hash").string()?));
    }
    at.string()
}

//! What a step's outputs depend on, part by part.

use std::collections::BTreeMap;

use bootway_exec::Runner;
use bootway_plan::{Action, Digest, Step};
use bootway_source::{DebianFiles, DebianStep};

use crate::{
    Loaded,
    inputs::{self, Gathered},
    tools::{Versions, tools_of},
};

/// Changed whenever the same parameters and inputs would make other bytes than before.
const RECIPE: u32 = 2;

/// Everything that decides what a step makes, by name: two keys that are equal mean the same outputs, and the first
/// part that differs is the reason why a step runs again.
pub(crate) type Key = BTreeMap<String, String>;

/// The key of `step` with these inputs.
pub(crate) fn key_of(
    step: &Step,
    loaded: &Loaded,
    gathered: &Gathered,
    versions: &mut Versions,
    runner: &dyn Runner,
) -> Key {
    let mut key = Key::new();
    let json = |value: serde_json::Result<String>| value.expect("parameters are plain data");
    key.insert("parameters".into(), json(serde_json::to_string(&step.action)));
    if let Some(inside) = &step.inside {
        key.insert("root".into(), json(serde_json::to_string(inside)));
    }
    key.insert("epoch".into(), loaded.plan.epoch().to_string());
    key.insert("bootway".into(), format!("{} recipe {RECIPE}", env!("CARGO_PKG_VERSION")));
    for (name, value) in &step.env {
        let secret = loaded.plan.secrets().contains(value);
        let shown = if secret { Digest::of(value.as_bytes()).to_string() } else { value.clone() };
        key.insert(format!("env {name}"), shown);
    }
    for (source, input) in &gathered.inputs {
        let (name, digest) = inputs::part(source, input.digest);
        key.insert(name, digest);
    }
    if let Some(evaluated) = &gathered.evaluated {
        key.insert("derivation".into(), evaluated.drv.clone());
    }
    // What a derivation makes does not depend on who realises it.
    let tools =
        if gathered.evaluated.is_some() { Vec::new() } else { tools_of(step, loaded.plan.machines()) };
    for tool in tools {
        let version = versions.of(tool, runner).unwrap_or_else(|| "not installed".to_owned());
        key.insert(format!("tool {tool}"), version);
    }
    match &step.action {
        Action::Closure(closure) => {
            for source in &closure.roots {
                let path = gathered.inputs.get(source).and_then(bootway_nix::closure::root);
                let path = path.map_or_else(|| "no store path".to_owned(), |path| path.to_string());
                key.insert(format!("root {source}"), path);
            }
        }
        Action::Vm(vm) => {
            let machines = json(serde_json::to_string(&(vm.machine.as_ref(), loaded.plan.machines())));
            key.insert("machine".into(), machines);
        }
        Action::Debian(step) => drop(key.insert("lock file".into(), locked(loaded, step.into()))),
        Action::DebianSource(step) => drop(key.insert("lock file".into(), locked(loaded, step.into()))),
        _ => (),
    }
    key
}

/// What the lock file says of a step, for a key.
fn locked(loaded: &Loaded, step: DebianStep<'_>) -> String {
    let lock = loaded.lock_file();
    let path = DebianFiles::of_plan(&lock).lock_path(&loaded.dir, step);
    match bootway_source::locked(&path, step) {
        Ok(Some(digest)) => digest.to_string(),
        Ok(None) => "not resolved".to_owned(),
        Err(error) => error.to_string(),
    }
}

/// The name of the first part that differs, parameters last: they are the longest to read.
pub(crate) fn first_difference(before: &Key, now: &Key) -> Option<String> {
    let mut names: Vec<&String> =
        before.keys().chain(now.keys()).filter(|name| before.get(*name) != now.get(*name)).collect();
    names.sort_by_key(|name| (name.as_str() == "parameters", !name.starts_with("input ")));
    names.first().map(|name| (*name).clone())
}

//! Overrides as JSON, in the words of the original.

use serde_json::{Map, Value, json};

use super::{Changes, Overrides, PhaseChanges, read::snake};

pub(super) fn json(overrides: &Overrides) -> String {
    let mut top = Map::new();
    put(&mut top, "vars", json!(overrides.vars));
    put(&mut top, "env", Value::Object(overrides.env.clone()));
    put(&mut top, "env_unset", json!(overrides.env_unset));
    let packages = overrides.packages.iter().map(|(name, it)| (name.clone(), changes(it)));
    put(&mut top, "packages", Value::Object(packages.collect()));
    let phases = overrides.phases.iter().map(|(name, it)| (name.clone(), phase(it)));
    put(&mut top, "phases", Value::Object(phases.collect()));
    serde_json::to_string_pretty(&top).expect("plain data") + "\n"
}

fn phase(of: &PhaseChanges) -> Value {
    let mut table = Map::new();
    for (key, value) in &of.set {
        match (key.as_str(), value) {
            ("destdir", Value::Null) => table.insert("destdir_clear".to_owned(), Value::Bool(true)),
            _ => table.insert(snake(key), value.clone()),
        };
    }
    put(&mut table, "env", Value::Object(of.env.clone()));
    put(&mut table, "env_unset", json!(of.env_unset));
    if let Some(packages) = &of.packages {
        table.insert("packages".to_owned(), json!(packages));
    }
    put(&mut table, "extra_steps", Value::Array(of.extra_steps.iter().map(changes).collect()));
    let steps = of.steps.iter().map(|(name, it)| (name.clone(), changes(it)));
    put(&mut table, "steps", Value::Object(steps.collect()));
    Value::Object(table)
}

fn changes(of: &Changes) -> Value {
    // A kind of step keeps its name.
    let word = |key: &String| {
        if crate::Action::KINDS.contains(&key.as_str()) { key.clone() } else { snake(key) }
    };
    Value::Object(of.iter().map(|(key, value)| (word(key), value.clone())).collect())
}

fn put(table: &mut Map<String, Value>, key: &str, value: Value) {
    let is_empty =
        value.as_object().is_some_and(Map::is_empty) || value.as_array().is_some_and(Vec::is_empty);
    if !is_empty {
        table.insert(key.to_owned(), value);
    }
}

//! From JSON to overrides: every mistake that can be seen without a plan, at once.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Changes, OverrideProblems, Overrides, PhaseChanges};
use crate::nearest::unknown;

/// Keys of the whole.
const TOP: [&str; 5] = ["vars", "env", "env-unset", "packages", "phases"];
/// Keys of a phase.
const PHASE: [&str; 10] = [
    "description",
    "namespace",
    "install-prefix",
    "destdir",
    "destdir-clear",
    "env",
    "env-unset",
    "packages",
    "extra-steps",
    "steps",
];

/// Mistakes, each with its place.
#[derive(Debug, Default)]
pub(super) struct Mistakes(pub(super) Vec<(String, String)>);

impl Mistakes {
    pub(super) fn add(&mut self, place: &str, what: impl Into<String>) {
        self.0.push((place.to_owned(), what.into()));
    }

    pub(super) fn finish(self) -> Result<(), OverrideProblems> {
        if self.0.is_empty() { Ok(()) } else { Err(OverrideProblems { file: None, problems: self.0 }) }
    }
}

pub(super) fn read(text: &str) -> Result<Overrides, OverrideProblems> {
    let mut mistakes = Mistakes::default();
    let value: Value = serde_json::from_str(text).map_err(|error| {
        let what = format!("this is not JSON: {error}");
        OverrideProblems { file: None, problems: vec![(String::new(), what)] }
    })?;
    let mut overrides = Overrides::default();
    for (key, value) in table("", value, &mut mistakes) {
        match kebab(&key).as_str() {
            "vars" => overrides.vars = vars(value, &mut mistakes),
            "env" => overrides.env = env("env", value, &mut mistakes),
            "env-unset" => overrides.env_unset = texts("env_unset", value, &mut mistakes),
            "packages" => overrides.packages = changes("packages", value, &mut mistakes),
            "phases" => {
                for (name, value) in table("phases", value, &mut mistakes) {
                    let phase = phase(&format!("phases.{name}"), value, &mut mistakes);
                    overrides.phases.insert(name, phase);
                }
            }
            _ => mistakes.add("", unknown("key", &key, &TOP.map(snake))),
        }
    }
    mistakes.finish()?;
    Ok(overrides)
}

fn phase(place: &str, value: Value, mistakes: &mut Mistakes) -> PhaseChanges {
    let mut phase = PhaseChanges::default();
    for (key, value) in table(place, value, mistakes) {
        let at = format!("{place}.{key}");
        match kebab(&key).as_str() {
            key @ ("description" | "namespace" | "install-prefix" | "destdir") => {
                if value.is_string() || value.is_null() {
                    phase.set.insert(key.to_owned(), value);
                } else {
                    mistakes.add(&at, format!("a text is wanted here, or `null` for none: not `{value}`"));
                }
            }
            "destdir-clear" => match value {
                Value::Bool(true) => {
                    phase.set.insert("destdir".to_owned(), Value::Null);
                }
                Value::Bool(false) => (),
                _ => mistakes.add(&at, format!("`true` or `false` is wanted here: not `{value}`")),
            },
            "env" => phase.env = env(&at, value, mistakes),
            "env-unset" => phase.env_unset = texts(&at, value, mistakes),
            "packages" => {
                phase.packages = if value.is_null() { None } else { Some(texts(&at, value, mistakes)) };
            }
            "extra-steps" => {
                let Value::Array(steps) = value else {
                    mistakes.add(&at, "a list of steps is wanted here");
                    continue;
                };
                for (n, step) in steps.into_iter().enumerate() {
                    phase.extra_steps.push(table(&format!("{at}[{n}]"), words(step), mistakes));
                }
            }
            "steps" => phase.steps = changes(&at, value, mistakes),
            _ => mistakes.add(place, unknown("key", &key, &PHASE.map(snake))),
        }
    }
    phase
}

/// What is changed about each of several things, by their names.
fn changes(place: &str, value: Value, mistakes: &mut Mistakes) -> BTreeMap<String, Changes> {
    let mut all = BTreeMap::new();
    for (name, value) in table(place, value, mistakes) {
        let at = format!("{place}.{name}");
        let mut changes = table(&at, words(value), mistakes);
        for (key, check) in [("env", true), ("env-unset", false)] {
            if let Some(value) = changes.get(key).cloned() {
                let at = format!("{at}.{}", snake(key));
                if check {
                    changes.insert(key.to_owned(), Value::Object(env(&at, value, mistakes)));
                } else {
                    texts(&at, value, mistakes);
                }
            }
        }
        all.insert(name, changes);
    }
    all
}

fn vars(value: Value, mistakes: &mut Mistakes) -> BTreeMap<String, String> {
    let mut vars = BTreeMap::new();
    for (name, value) in table("vars", value, mistakes) {
        match value {
            Value::String(text) => vars.insert(name, text),
            Value::Bool(_) | Value::Number(_) => vars.insert(name, value.to_string()),
            _ => {
                mistakes.add(
                    &format!("vars.{name}"),
                    "a text, a whole number, or `true` or `false` is wanted here",
                );
                None
            }
        };
    }
    vars
}

/// Variables of the environment; `null` takes one away.
fn env(place: &str, value: Value, mistakes: &mut Mistakes) -> Changes {
    let env = table(place, value, mistakes);
    for (name, value) in &env {
        if !(value.is_string() || value.is_null()) {
            let what = format!("a text is wanted here, or `null` to take it away: not `{value}`");
            mistakes.add(&format!("{place}.{name}"), what);
        }
    }
    env
}

fn texts(place: &str, value: Value, mistakes: &mut Mistakes) -> Vec<String> {
    let texts = match value {
        Value::Array(all) => all.into_iter().map(|it| it.as_str().map(str::to_owned)).collect(),
        _ => None,
    };
    texts.unwrap_or_else(|| {
        mistakes.add(place, "a list of texts is wanted here");
        Vec::new()
    })
}

fn table(place: &str, value: Value, mistakes: &mut Mistakes) -> Map<String, Value> {
    if let Value::Object(table) = value {
        return table;
    }
    mistakes.add(place, format!("a table is wanted here: not `{value}`"));
    Map::new()
}

/// Tables whose keys are the user's own.
const FREE: [&str; 4] = ["env", "config", "outputs", "stages"];

/// The same with the keys that a plan has, which are in `kebab-case`.
pub(crate) fn words(value: Value) -> Value {
    match value {
        Value::Object(table) => {
            let entry = |(key, value): (String, Value)| {
                let key = kebab(&key);
                let value = if FREE.contains(&key.as_str()) { value } else { words(value) };
                (key, value)
            };
            Value::Object(table.into_iter().map(entry).collect())
        }
        Value::Array(all) => Value::Array(all.into_iter().map(words).collect()),
        other => other,
    }
}

pub(super) fn kebab(key: &str) -> String {
    key.replace('_', "-")
}

pub(super) fn snake(key: &str) -> String {
    key.replace('-', "_")
}

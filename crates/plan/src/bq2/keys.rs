//! The keys that a build plan of the original may have: everything else is a mistake, and not passed over.

use serde_json::Value;

use super::list;
use crate::nearest::unknown;

const PLAN: [&str; 2] = ["format-version", "phases"];
const PHASE: [&str; 9] = [
    "name",
    "description",
    "namespace",
    "environment",
    "workspace",
    "install-prefix",
    "destdir",
    "env",
    "steps",
];
const STEP: [&str; 15] = [
    "name",
    "strategy",
    "workdir",
    "build-dir",
    "clean-build",
    "configure-flags",
    "patches",
    "install-prefix",
    "destdir",
    "env",
    "sources",
    "extract-sources",
    "packages",
    "content",
    "sources-directory",
];
const SOURCE: [&str; 7] = ["name", "version", "url", "sha256", "checksum-url", "filename", "build-directory"];

/// Every key that the original does not know, by place, with the one that it is likely to be.
pub(super) fn unknown_keys(plan: &Value) -> Vec<(String, String)> {
    let mut problems = Vec::new();
    look(plan, &PLAN, "", &mut problems);
    for (n, phase) in list(plan, "phases").enumerate() {
        let place = named(phase, "phases", n);
        look(phase, &PHASE, &place, &mut problems);
        for (n, step) in list(phase, "steps").enumerate() {
            let place = format!("{place}: {}", named(step, "steps", n));
            look(step, &STEP, &place, &mut problems);
            for key in ["sources", "extract-sources"] {
                for (n, source) in list(step, key).enumerate() {
                    look(source, &SOURCE, &format!("{place}: {}", named(source, key, n)), &mut problems);
                }
            }
        }
    }
    problems
}

fn look(value: &Value, known: &[&str], place: &str, problems: &mut Vec<(String, String)>) {
    let known: Vec<String> = known.iter().map(|key| key.replace('-', "_")).collect();
    let keys = value.as_object().into_iter().flat_map(|table| table.keys());
    for key in keys.map(|key| key.replace('-', "_")).filter(|key| !known.contains(key)) {
        problems.push((place.to_owned(), unknown("key", &key, &known)));
    }
}

/// What it is called; where it is, if it has no name.
fn named(value: &Value, key: &str, n: usize) -> String {
    value.get("name").and_then(Value::as_str).map_or_else(|| format!("{key}[{n}]"), str::to_owned)
}

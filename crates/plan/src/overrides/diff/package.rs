//! What a phase says of packages, in two plans.

use serde_json::{Map, Value as Json};

use super::entries;
use crate::overrides::{Changes, PhaseChanges, read::Mistakes};

/// Lists that a phase replaces, adds to, and takes from.
const LISTS: [&str; 3] = ["configure-flags", "make-flags", "patches"];

/// Finds what is different in `[phase.package]`; `base` has the packages of the new plan, `builds` says
/// whether the phase builds one at all.
pub(super) fn of_phase(
    phase: &str,
    packages: [&Json; 2],
    base: &Json,
    builds: &dyn Fn(&str) -> bool,
    changes: &mut PhaseChanges,
    mistakes: &mut Mistakes,
) {
    let empty = Map::new();
    let [before, after] = packages.map(|it| it.as_object().unwrap_or(&empty));
    let mut names: Vec<&String> = before.keys().collect();
    names.extend(after.keys().filter(|name| !before.contains_key(*name)));
    for name in names {
        let [old, new] = [before, after].map(|it| it.get(name).unwrap_or(&Json::Null));
        if old == new || !builds(name) {
            continue;
        }
        let place = format!("phase `{phase}`, package `{name}`");
        if changes.steps.contains_key(name) {
            mistakes.add(&place, "a step has the same name, and overrides name only one of them");
            continue;
        }
        match of_package(old, new, &base[name]) {
            Ok(found) => {
                changes.steps.insert(name.clone(), found);
            }
            Err(what) => mistakes.add(&place, what),
        }
    }
}

fn of_package(old: &Json, new: &Json, base: &Json) -> Result<Changes, String> {
    let mut changes = Map::new();
    for (key, value) in entries(old, new) {
        let list = LISTS.into_iter().find(|list| key.starts_with(list));
        if let Some(list) = list {
            changes.extend(of_list(list, old, new, base));
            continue;
        }
        match (key.as_str(), value) {
            ("env" | "config", value) => {
                changes.insert(key.clone(), Json::Object(entries(&old[&key], &value)));
            }
            ("env-unset", value) => {
                let before = old["env-unset"].as_array().cloned().unwrap_or_default();
                let after = value.as_array().cloned().unwrap_or_default();
                if !after.starts_with(&before) {
                    return Err(
                        "`env-unset` names fewer variables: give them a value in `env` instead".to_owned()
                    );
                }
                changes.insert(key, after[before.len()..].into());
            }
            (_, value) => {
                changes.insert(key, value);
            }
        }
    }
    Ok(changes)
}

/// A list that is longer is added to; one that is otherwise different is replaced by what it comes to.
fn of_list(list: &str, old: &Json, new: &Json, base: &Json) -> Changes {
    let part = |table: &Json, end: &str| table[format!("{list}{end}")].as_array().cloned();
    let (before, after) = (part(old, "-add").unwrap_or_default(), part(new, "-add").unwrap_or_default());
    let same = |end: &str| part(old, end) == part(new, end);
    if same("") && same("-drop") && after.starts_with(&before) {
        return Map::from_iter([(format!("{list}-add"), after[before.len()..].into())]);
    }
    let mut whole = part(new, "").or_else(|| part(base, "")).unwrap_or_default();
    let drop = part(new, "-drop").unwrap_or_default();
    whole.retain(|it| !drop.contains(it));
    whole.extend(after);
    Map::from_iter([(list.to_owned(), whole.into())])
}

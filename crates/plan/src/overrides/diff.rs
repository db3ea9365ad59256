//! The overrides that make one plan of another.

use serde_json::{Map, Value as Json, json};
use toml_edit::{DocumentMut, Item};

use super::{
    Changes, OverrideProblems, Overrides, PhaseChanges,
    apply::{Facts, Target},
    document,
    read::Mistakes,
};
use crate::Action;

mod package;

/// A table as it is written, in order.
pub(super) type Entries<'a> = Vec<(&'a str, &'a Item)>;

pub(super) fn diff(old: &str, new: &str) -> Result<Overrides, OverrideProblems> {
    let mut mistakes = Mistakes::default();
    let mut parse = |text: &str, which: &str| {
        text.parse::<DocumentMut>()
            .map_err(|error| mistakes.add(which, format!("this is not TOML: {error}")))
            .ok()
    };
    let (old, new) = (parse(old, "the old plan"), parse(new, "the new plan"));
    let (Some(old), Some(new)) = (old, new) else {
        mistakes.finish()?;
        return Ok(Overrides::default());
    };
    let mut overrides = Overrides::default();
    for (key, before, after) in pairs(old.as_item(), new.as_item()) {
        let null = (Json::Null, Json::Null);
        let (before, after) = (before.map_or(null.0, document::json), after.map_or(null.1, document::json));
        match key.as_str() {
            "vars" | "package" | "phase" => (),
            "env" => overrides.env = entries(&before, &after),
            _ if before == after => (),
            _ => mistakes.add(&key, "overrides do not change this"),
        }
    }
    vars(old.get("vars"), new.get("vars"), &mut overrides, &mut mistakes);
    packages(&old, &new, &mut overrides, &mut mistakes);
    phases(&old, &new, &mut overrides, &mut mistakes);
    mistakes.finish()?;
    Ok(overrides)
}

/// Each key of either table, with its values.
fn pairs<'a>(old: &'a Item, new: &'a Item) -> Vec<(String, Option<&'a Item>, Option<&'a Item>)> {
    let (before, after) = (listed(Some(old)), listed(Some(new)));
    let find = |all: &Entries<'a>, key: &str| all.iter().find(|(it, _)| *it == key).map(|(_, item)| *item);
    let mut keys: Vec<&str> = before.iter().map(|(key, _)| *key).collect();
    keys.extend(after.iter().map(|(key, _)| *key).filter(|key| find(&before, key).is_none()));
    keys.into_iter().map(|key| (key.to_owned(), find(&before, key), find(&after, key))).collect()
}

/// The entries of a table, in order.
fn listed(item: Option<&Item>) -> Entries<'_> {
    item.and_then(Item::as_table_like).into_iter().flat_map(toml_edit::TableLike::iter).collect()
}

/// Entries that are new or different, and `null` for those that are gone.
fn entries(before: &Json, after: &Json) -> Changes {
    let empty = Map::new();
    let (before, after) = (before.as_object().unwrap_or(&empty), after.as_object().unwrap_or(&empty));
    let gone = before.keys().filter(|key| !after.contains_key(*key)).map(|key| (key.clone(), Json::Null));
    let set = after.iter().filter(|(key, it)| before.get(*key) != Some(it));
    set.map(|(key, it)| (key.clone(), it.clone())).chain(gone).collect()
}

fn vars(old: Option<&Item>, new: Option<&Item>, overrides: &mut Overrides, mistakes: &mut Mistakes) {
    let none = Item::None;
    for (name, before, after) in pairs(old.unwrap_or(&none), new.unwrap_or(&none)) {
        let place = format!("vars.{name}");
        let (Some(before), Some(after)) = (before, after) else {
            mistakes.add(
                &place,
                "a variable is only in one of the plans: overrides change the values of those there are",
            );
            continue;
        };
        let (mut before, mut after) = (document::json(before), document::json(after));
        let [old, new] =
            [&mut before, &mut after].map(|it| it.as_object_mut().and_then(|it| it.remove("default")));
        if before != after {
            mistakes.add(&place, "overrides change the value of a variable, and nothing else of it");
        } else if old != new {
            match new {
                Some(Json::String(text)) => overrides.vars.insert(name, text),
                Some(other) => overrides.vars.insert(name, other.to_string()),
                None => {
                    mistakes.add(&place, "it has no value any more, and overrides take none away");
                    None
                }
            };
        }
    }
}

fn packages(old: &DocumentMut, new: &DocumentMut, overrides: &mut Overrides, mistakes: &mut Mistakes) {
    let (before, after) = (listed(old.get("package")), listed(new.get("package")));
    same_order("package", &names(&before), &names(&after), mistakes);
    for (name, item) in &after {
        let Some((_, old)) = before.iter().find(|(it, _)| it == name) else {
            mistakes.add(&format!("package.{name}"), "it is new: overrides change the packages there are");
            continue;
        };
        let changes = plain(&document::json(old), &document::json(item));
        if !changes.is_empty() {
            overrides.packages.insert((*name).to_owned(), changes);
        }
    }
}

fn names(entries: &Entries<'_>) -> Vec<String> {
    entries.iter().map(|(name, _)| (*name).to_owned()).collect()
}

/// What both have must be in one order, and nothing may be gone.
fn same_order(kind: &str, before: &[String], after: &[String], mistakes: &mut Mistakes) {
    for name in before.iter().filter(|name| !after.contains(name)) {
        mistakes.add(&format!("{kind} `{name}`"), "it is gone, and overrides take none away");
    }
    let both: Vec<&String> = before.iter().filter(|name| after.contains(name)).collect();
    let now: Vec<&String> = after.iter().filter(|name| before.contains(name)).collect();
    // What has moved is what is not in its turn once everything that has moved is left out.
    let mut rest = both.clone();
    for name in &now {
        if rest.first() == Some(name) {
            rest.remove(0);
        } else if let Some(at) = rest.iter().position(|it| it == name) {
            let (moved, past) = if at > 1 { (*name, rest[0]) } else { (rest[0], *name) };
            let where_to = if at > 1 { "before" } else { "behind" };
            mistakes.add(
                &format!("{kind} `{moved}`"),
                format!("it has moved {where_to} `{past}`, and overrides keep the order"),
            );
            return;
        }
    }
}

/// Keys of a table whose values are different, as changes: what is added to a list is added.
pub(super) fn plain(before: &Json, after: &Json) -> Changes {
    let mut changes = Map::new();
    for (key, new) in entries(before, after) {
        let old = &before[&key];
        match (old, &new) {
            (Json::Object(_), Json::Object(_) | Json::Null) | (Json::Null, Json::Object(_))
                if key == "env" || key == "config" =>
            {
                changes.insert(key, Json::Object(entries(old, &new)));
            }
            (Json::Array(olds), Json::Array(news))
                if !olds.is_empty()
                    && news.starts_with(olds)
                    && !key.ends_with("-add")
                    && key != "env-unset" =>
            {
                changes.insert(format!("{key}-add"), news[olds.len()..].into());
            }
            _ => {
                changes.insert(key, new);
            }
        }
    }
    changes
}

fn phases(old: &DocumentMut, new: &DocumentMut, overrides: &mut Overrides, mistakes: &mut Mistakes) {
    let all = |doc: &DocumentMut| doc.get("phase").map(document::json).unwrap_or_default();
    let (before, after) = (all(old), all(new));
    let (before, after) = (named(&before), named(&after));
    same_order("phase", &keys(&before), &keys(&after), mistakes);
    let facts = [old, new].map(Facts::of);
    for (name, phase) in &after {
        let Some((_, old_phase)) = before.iter().find(|(it, _)| it == name) else {
            mistakes.add(&format!("phase `{name}`"), "it is new: overrides change the phases there are");
            continue;
        };
        let mut changes = PhaseChanges::default();
        for (key, value) in entries(old_phase, phase) {
            match key.as_str() {
                "name" | "step" | "package" => (),
                "env" => changes.env = entries(&old_phase["env"], &value),
                _ => {
                    changes.set.insert(key, value);
                }
            }
        }
        steps(name, &old_phase["step"], &phase["step"], &mut changes, mistakes);
        let bases = [old, new].map(|doc| doc.get("package").map(document::json).unwrap_or_default());
        let builds = |package: &str| {
            facts.iter().any(|facts| matches!(facts.find(name, package), Some(Target::Package(_))))
        };
        let packages = [old_phase, phase].map(|it| &it["package"]);
        package::of_phase(name, packages, &bases[1], &builds, &mut changes, mistakes);
        if changes != PhaseChanges::default() {
            overrides.phases.insert(name.clone(), changes);
        }
    }
}

/// The tables of a list by their names.
fn named(all: &Json) -> Vec<(String, &Json)> {
    let name = |it: &Json| it["name"].as_str().unwrap_or_default().to_owned();
    all.as_array().into_iter().flatten().map(|it| (name(it), it)).collect()
}

fn keys(all: &[(String, &Json)]) -> Vec<String> {
    all.iter().map(|(name, _)| name.clone()).collect()
}

fn steps(phase: &str, before: &Json, after: &Json, changes: &mut PhaseChanges, mistakes: &mut Mistakes) {
    let (before, after) = (named(before), named(after));
    same_order("step", &keys(&before), &keys(&after), mistakes);
    let mut added: Option<&String> = None;
    for (name, step) in &after {
        let place = format!("step `{name}`");
        let Some((_, old)) = before.iter().find(|(it, _)| it == name) else {
            added = Some(name);
            if let Json::Object(step) = step {
                changes.extra_steps.push(step.clone());
            }
            continue;
        };
        if let Some(added) = added {
            let what =
                format!("it is new and before `{name}`: what overrides add to phase `{phase}` comes last");
            mistakes.add(&format!("step `{added}`"), what);
        }
        let kind = |step: &Json| Action::KINDS.into_iter().find(|kind| step.get(kind).is_some());
        let (Some(was), Some(is)) = (kind(old), kind(step)) else { continue };
        if was != is {
            mistakes
                .add(&place, format!("it was a `{was}` and is a `{is}`: overrides change parameters only"));
            continue;
        }
        let mut of_step = Map::new();
        for (key, value) in plain(old, step) {
            if key != is {
                of_step.insert(key, value);
            }
        }
        let parameters = plain(&old[is], &step[is]);
        let only_packages = is == "packages" && parameters.keys().all(|key| key.starts_with("only"));
        match step["packages"]["only"].as_array() {
            Some(only) if only_packages && !parameters.is_empty() && of_step.is_empty() && one(&after) => {
                let only = only.iter().filter_map(Json::as_str).map(str::to_owned);
                changes.packages = Some(only.collect());
                continue;
            }
            _ => (),
        }
        if !parameters.is_empty() {
            of_step.insert(is.to_owned(), json!(parameters));
        }
        if !of_step.is_empty() {
            changes.steps.insert(name.clone(), of_step);
        }
    }
}

/// Whether there is one step alone that builds packages.
fn one(steps: &[(String, &Json)]) -> bool {
    steps.iter().filter(|(_, step)| step.get("packages").is_some()).count() == 1
        && !steps.iter().any(|(_, step)| step.get("package").is_some())
}

//! Overrides in the text of a plan.

use serde_json::Value as Json;
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table};

use super::{
    Changes, OverrideProblems, Overrides, PhaseChanges,
    document::{edit, indent_of_steps, inner, json, merge, remove, set, sub_table, value},
    known::Keys,
    read::Mistakes,
    step::{change_step, change_table, unset},
};
use crate::{Action, nearest::unknown};

mod facts;

pub(super) use facts::{Facts, Target};

pub(super) fn apply(overrides: &Overrides, plan: &str, with_vars: bool) -> Result<String, OverrideProblems> {
    // What is no TOML stays as it is: who reads it says why.
    let Ok(mut doc) = plan.parse::<DocumentMut>() else { return Ok(plan.to_owned()) };
    let mut mistakes = Mistakes::default();
    in_one_line(overrides, &doc, &mut mistakes);
    mistakes.finish()?;
    let mut mistakes = Mistakes::default();
    let facts = Facts::of(&doc);
    apply_vars(overrides, &mut doc, with_vars, &mut mistakes);
    let root = doc.as_item_mut();
    if let Err(what) = merge(root, "env", &overrides.env) {
        mistakes.add("env", what);
    }
    if let Some(env) = root.as_table_like_mut().and_then(|root| root.get_mut("env")) {
        overrides.env_unset.iter().for_each(|name| remove(env, name));
    }
    for (name, changes) in &overrides.packages {
        let table = root.as_table_like_mut().and_then(|root| root.get_mut("package"));
        let package = table.and_then(|table| table.as_table_like_mut()?.get_mut(name));
        match package {
            Some(package) => {
                let place = format!("packages.{name}");
                change_table(package, &Keys::of_package(), changes, &place, &mut mistakes);
            }
            None => mistakes.add("packages", unknown("package", name, &facts.packages())),
        }
    }
    for name in overrides.phases.keys().filter(|name| facts.phase(name).is_none()) {
        mistakes.add("phases", unknown("phase", name, &facts.phases()));
    }
    let phases = doc.get_mut("phase").and_then(Item::as_array_of_tables_mut);
    for phase in phases.into_iter().flat_map(ArrayOfTables::iter_mut) {
        each_step(phase, |step| unset(step, &overrides.env_unset));
        let Some(name) = phase.get("name").and_then(Item::as_str).map(str::to_owned) else { continue };
        if let Some(changes) = overrides.phases.get(&name) {
            change_phase(phase, &name, changes, &facts, &mut mistakes);
        }
    }
    // What a phase builds may be something else by now.
    let now = Facts::of(&doc);
    let mut ids = now.ids();
    let phases = doc.get_mut("phase").and_then(Item::as_array_of_tables_mut);
    for phase in phases.into_iter().flat_map(ArrayOfTables::iter_mut) {
        let Some(name) = phase.get("name").and_then(Item::as_str).map(str::to_owned) else { continue };
        if let Some(changes) = overrides.phases.get(&name) {
            change_packages(phase, &name, changes, [&facts, &now], &mut mistakes);
            for (n, step) in changes.extra_steps.iter().enumerate() {
                if let Err(what) = add_step(phase, &name, step, &mut ids) {
                    mistakes.add(&format!("phases.{name}.extra_steps[{n}]"), what);
                }
            }
        }
    }
    mistakes.finish()?;
    Ok(doc.to_string())
}

/// Phases and steps that are written in one list: nothing could be changed in there and the rest left as it is.
fn in_one_line(overrides: &Overrides, doc: &DocumentMut, mistakes: &mut Mistakes) {
    let changes_all = !overrides.env_unset.is_empty();
    if overrides.phases.is_empty() && !changes_all {
        return;
    }
    if doc.get("phase").is_some_and(Item::is_value) {
        let what = "the plan writes its phases as a list, `phase = [{ … }]`, which overrides cannot change: write \
                    `[[phase]]` for each";
        mistakes.add("phases", what.to_owned());
    }
    let phases = doc.get("phase").and_then(Item::as_array_of_tables);
    for phase in phases.into_iter().flat_map(ArrayOfTables::iter) {
        let name = phase.get("name").and_then(Item::as_str).unwrap_or_default();
        if phase.get("step").is_some_and(Item::is_value)
            && (changes_all || overrides.phases.contains_key(name))
        {
            let what = "the plan writes the steps of this phase as a list, `step = [{ … }]`, which overrides cannot \
                        change: write `[[phase.step]]` for each";
            mistakes.add(&format!("phases.{name}"), what.to_owned());
        }
    }
}

/// Variables must be there; their defaults become what they are overridden with if that is asked for.
fn apply_vars(overrides: &Overrides, doc: &mut DocumentMut, write: bool, mistakes: &mut Mistakes) {
    let table = doc.get("vars").and_then(Item::as_table_like);
    let known: Vec<String> =
        table.into_iter().flat_map(|it| it.iter().map(|(name, _)| name.to_owned())).collect();
    for (name, text) in &overrides.vars {
        if !known.contains(name) {
            mistakes.add("vars", unknown("variable", name, &known));
        } else if write && let Some(var) = inner(doc.as_item_mut(), "vars").and_then(|vars| inner(vars, name))
        {
            let kind = var.as_table_like().and_then(|it| it.get("type")?.as_str());
            let typed = match kind {
                Some("int") => text.parse::<i64>().ok().map(toml_edit::Value::from),
                Some("bool") => text.parse::<bool>().ok().map(toml_edit::Value::from),
                _ => None,
            };
            set(var, "default", typed.unwrap_or_else(|| text.as_str().into()));
        }
    }
}

/// Calls `change` with each step that is written in a phase.
fn each_step(phase: &mut Table, mut change: impl FnMut(&mut Item)) {
    let steps = phase.get_mut("step").and_then(Item::as_array_of_tables_mut);
    for step in steps.into_iter().flat_map(ArrayOfTables::iter_mut) {
        edit(step, &mut change);
    }
}

fn change_phase(
    phase: &mut Table,
    name: &str,
    changes: &PhaseChanges,
    facts: &Facts,
    mistakes: &mut Mistakes,
) {
    let place = format!("phases.{name}");
    edit(phase, |phase| {
        for (key, new) in &changes.set {
            match value(new) {
                Ok(new) => set(phase, key, new),
                Err(_) => remove(phase, key),
            }
        }
        if let Err(what) = merge(phase, "env", &changes.env) {
            mistakes.add(&format!("{place}.env"), what);
        }
        if let Some(env) = phase.as_table_like_mut().and_then(|phase| phase.get_mut("env")) {
            changes.env_unset.iter().for_each(|name| remove(env, name));
        }
    });
    each_step(phase, |step| unset(step, &changes.env_unset));
    let destdir = phase.get("destdir").and_then(Item::as_str).map(str::to_owned);
    for (step, changes) in &changes.steps {
        let Some(Target::Step(at)) = facts.find(name, step) else { continue };
        let place = format!("{place}.steps.{step}");
        let steps = phase.get_mut("step").and_then(Item::as_array_of_tables_mut);
        if let Some(step) = steps.and_then(|steps| steps.get_mut(at)) {
            edit(step, |step| change_step(step, destdir.as_deref(), changes, &place, mistakes));
        }
    }
    if let Some(only) = &changes.packages {
        choose_packages(phase, name, only, facts, mistakes);
    }
}

/// Changes what a phase says of packages: of those that it built, or builds now.
fn change_packages(
    phase: &mut Table,
    name: &str,
    changes: &PhaseChanges,
    facts: [&Facts; 2],
    mistakes: &mut Mistakes,
) {
    for (step, changes) in &changes.steps {
        let place = format!("phases.{name}.steps.{step}");
        match facts[0].find(name, step).or_else(|| facts[1].find(name, step)) {
            Some(Target::Step(_)) => (),
            Some(Target::Package(package)) => {
                if let Some(table) = sub_table(phase, "package", &package) {
                    change_table(table, &Keys::of_change(), changes, &place, mistakes);
                }
            }
            None => mistakes.add(&format!("phases.{name}.steps"), facts[1].unknown_step(name, step)),
        }
    }
}

/// Builds only these packages in a phase.
fn choose_packages(phase: &mut Table, name: &str, only: &[String], facts: &Facts, mistakes: &mut Mistakes) {
    let place = format!("phases.{name}.packages");
    let mut wanted: Vec<String> = Vec::new();
    let (mut steps, mut by_packages) = (Vec::new(), false);
    for text in only {
        match facts.find(name, text) {
            Some(Target::Step(at)) => steps.push(at),
            Some(Target::Package(package)) => wanted.push(package),
            None if facts.packages().contains(&text.as_str()) => wanted.push(text.clone()),
            None => mistakes.add(&place, facts.unknown_package(name, text)),
        }
    }
    let Some(all) = phase.get_mut("step").and_then(Item::as_array_of_tables_mut) else { return };
    for step in all.iter_mut().filter(|step| step.contains_key("packages")) {
        by_packages = true;
        let only: Json = wanted.iter().map(String::as_str).collect();
        edit(step, |step| {
            if let (Some(action), Ok(only)) = (inner(step, "packages"), value(&only)) {
                set(action, "only", only);
            }
        });
    }
    let is_package = |step: &Table| step.contains_key("package");
    if !by_packages && !all.iter().any(is_package) {
        mistakes.add(&place, format!("phase `{name}` builds no packages: leave this out"));
    }
    // Packages that are steps of their own are there or not; other steps stay.
    let mut at = 0;
    all.retain(|step| {
        at += 1;
        !is_package(step) || steps.contains(&(at - 1))
    });
}

/// Adds a step behind all others of a phase.
fn add_step(
    phase: &mut Table,
    phase_name: &str,
    step: &Changes,
    ids: &mut Vec<String>,
) -> Result<(), String> {
    let step = if step.contains_key("strategy") {
        let place = |key: &str| phase.get(key).and_then(Item::as_str);
        let is_taken = |name: &str| ids.iter().any(|id| id == name);
        crate::bq2::extra_step(step, phase_name, place("destdir"), place("namespace"), is_taken)?
    } else {
        step.clone()
    };
    let Some(name) = step.get("name").and_then(Json::as_str) else {
        return Err("`name` is missing here: add it".to_owned());
    };
    if ids.iter().any(|id| id == name) {
        return Err(format!("`{name}` is the name of another step: names are unique in a plan"));
    }
    ids.push(name.to_owned());
    let indent = indent_of_steps(phase);
    let mut table = Table::new();
    table.decor_mut().set_prefix(format!("\n{indent}"));
    let is_kind = |key: &str| Action::KINDS.contains(&key);
    let mut entries: Vec<(&String, &Json)> = step.iter().collect();
    entries.sort_by_key(|(key, _)| (is_kind(key), *key != "name", *key != "description"));
    for (key, new) in entries {
        let new = value(new)?;
        edit(&mut table, |table| set(table, key, new));
    }
    if !phase.contains_key("step") {
        phase.insert("step", Item::ArrayOfTables(ArrayOfTables::new()));
    }
    let steps = phase.get_mut("step").and_then(Item::as_array_of_tables_mut);
    let steps = steps.ok_or("write each step of this phase as `[[phase.step]]`")?;
    steps.push(table);
    Ok(())
}

/// What is written in a plan, without its layout.
pub(super) fn plain(item: &Item) -> Json {
    json(item)
}

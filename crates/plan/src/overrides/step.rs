//! Changes to one table of a plan: a step, a package, or what a phase says of a package.

use serde_json::Value as Json;
use toml_edit::Item;

use super::{
    Changes,
    document::{drop_from, json, merge, push, remove, set, value},
    known::Keys,
    read::{Mistakes, snake},
};
use crate::{Action, bq2, nearest::unknown};

/// Tables that are merged and not replaced.
const MERGED: [&str; 2] = ["env", "config"];

/// Changes a table with these `keys`.
pub(super) fn change_table(
    item: &mut Item,
    keys: &Keys,
    changes: &Changes,
    place: &str,
    mistakes: &mut Mistakes,
) {
    for (key, new) in changes {
        let at = format!("{place}.{}", snake(key));
        let new = &paths(key, new);
        match from_the_original(key, new).or_else(|| change_key(item, keys, key, new)) {
            Some(Ok(())) => (),
            Some(Err(what)) => mistakes.add(&at, what),
            None => mistakes.add(place, unknown_key(key, &[keys])),
        }
    }
}

/// Changes a step that is written in the plan; `destdir` is that of its phase.
pub(super) fn change_step(
    step: &mut Item,
    destdir: Option<&str>,
    changes: &Changes,
    place: &str,
    mistakes: &mut Mistakes,
) {
    let kind = kind_of(step);
    let (common, parameters) = (Keys::of_step(), kind.map(Keys::of_kind).unwrap_or_default());
    let by_make = is_made(step);
    for (key, new) in changes {
        let at = format!("{place}.{}", snake(key));
        // The original has one list of flags, whoever reads them.
        let (key, new) =
            (&*if by_make { key.replace("configure-", "make-") } else { key.clone() }, &paths(key, new));
        if let (Some(kind), true) = (kind, Action::KINDS.contains(&key)) {
            match (new, step.as_table_like_mut().and_then(|it| it.get_mut(kind))) {
                (Json::Object(new), Some(action)) if key == kind => {
                    change_table(action, &parameters, new, &at, mistakes);
                }
                _ => mistakes.add(&at, format!("this step is a `{kind}`, and stays one")),
            }
            continue;
        }
        let result = of_an_edit(step, kind, destdir, key, new)
            .or_else(|| of_a_command(step, kind, key, new))
            .or_else(|| from_the_original(key, new))
            .or_else(|| change_key(step, &common, key, new))
            .or_else(|| {
                let action = step.as_table_like_mut()?.get_mut(kind?)?;
                // What the phase says counts unless something is said here.
                if key == "destdir-clear" && kind == Some("package") {
                    set(action, "destdir", "/".into());
                    return Some(Ok(()));
                }
                change_key(action, &parameters, key, new)
            });
        match result {
            Some(Ok(())) => (),
            Some(Err(what)) => mistakes.add(&at, what),
            None => mistakes.add(place, unknown_key(key, &[&common, &parameters])),
        }
    }
}

/// Whether a step builds with `make` alone, which takes no other flags.
fn is_made(step: &Item) -> bool {
    let strategy = || step.as_table_like()?.get("package")?.as_table_like()?.get("strategy")?.as_str();
    strategy().is_some_and(|it| matches!(it, "make" | "busybox" | "linux-headers"))
}

/// The patches of the original as paths of the plan; anything else as it is.
fn paths(key: &str, new: &Json) -> Json {
    match new {
        Json::Array(all) if key.starts_with("patches") => {
            all.iter().map(|it| it.as_str().map_or_else(|| it.clone(), |it| bq2::patch(it).into())).collect()
        }
        other => other.clone(),
    }
}

/// The kind of a step.
pub(super) fn kind_of(step: &Item) -> Option<&'static str> {
    let table = step.as_table_like()?;
    Action::KINDS.into_iter().find(|kind| table.contains_key(kind))
}

/// Programs of a step do not see these variables any more.
pub(super) fn unset(step: &mut Item, names: &[String]) {
    for name in names {
        if let Some(env) = step.as_table_like_mut().and_then(|table| table.get_mut("env")) {
            remove(env, name);
        }
        let known = step.as_table_like().and_then(|it| it.get("env-unset")).map(json).unwrap_or_default();
        let is_known = known.as_array().is_some_and(|all| all.iter().any(|it| it == name));
        if !is_known {
            push(step, "env-unset", name.into());
        }
    }
}

/// Changes one key; `None` if there is no such key.
fn change_key(item: &mut Item, keys: &Keys, key: &str, new: &Json) -> Option<Result<(), String>> {
    if keys.has(key) {
        return Some(change_known(item, keys, key, new));
    }
    let (base, is_add) = match (key.strip_suffix("-add"), key.strip_suffix("-drop")) {
        (Some(base), _) => (base, true),
        (_, Some(base)) => (base, false),
        _ => return None,
    };
    if !keys.is_list(base) {
        return None;
    }
    let Json::Array(all) = new else { return Some(Err(format!("a list is wanted here: not `{new}`"))) };
    if !is_add {
        drop_from(item, base, all);
        return Some(Ok(()));
    }
    Some(append(item, base, all))
}

fn change_known(item: &mut Item, keys: &Keys, key: &str, new: &Json) -> Result<(), String> {
    match new {
        Json::Null => remove(item, key),
        Json::Bool(false) if key == "destdir-clear" => remove(item, key),
        Json::Object(entries) if MERGED.contains(&key) => {
            merge(item, key, entries)?;
            let set: Vec<Json> = entries
                .iter()
                .filter(|(_, it)| !it.is_null())
                .map(|(name, _)| name.as_str().into())
                .collect();
            if key == "env" {
                drop_from(item, "env-unset", &set);
            }
        }
        Json::Array(names) if key == "env-unset" => {
            let names: Vec<String> = names.iter().filter_map(Json::as_str).map(str::to_owned).collect();
            unset(item, &names);
        }
        Json::Array(all) if key.ends_with("-add") || key.ends_with("-drop") => append(item, key, all)?,
        _ => {
            // What replaces all of it replaces what the plan adds to it, too.
            for more in [format!("{key}-add"), format!("{key}-drop")] {
                if keys.has(&more) {
                    remove(item, &more);
                }
            }
            set(item, key, value(new)?);
        }
    }
    Ok(())
}

fn append(item: &mut Item, key: &str, all: &[Json]) -> Result<(), String> {
    for it in all {
        if !push(item, key, value(it)?) {
            return Err(format!("`{key}` is written as something that is no list"));
        }
    }
    Ok(())
}

/// What the original says of builds, and bootway has no key for.
fn from_the_original(key: &str, new: &Json) -> Option<Result<(), String>> {
    let never = |what: &str| Some(Err(what.to_owned()));
    match key {
        "clean-build" if *new == Json::Bool(true) => Some(Ok(())), // Each build is.
        "clean-build" => never("every build begins with the source as it is: leave this out"),
        "workdir" if new.is_null() => Some(Ok(())),
        "workdir" => never(
            "a source is unpacked where it is built: change `source`, `subdir` or `build_dir`, or `cwd` of a `command`",
        ),
        "sources" | "extract-sources" => {
            never("a source belongs to the package that is built from it: change its `source`")
        }
        _ => None,
    }
}

/// `workdir` of a `command`.
fn of_a_command(step: &mut Item, kind: Option<&str>, key: &str, new: &Json) -> Option<Result<(), String>> {
    if kind != Some("command") || key != "workdir" {
        return None;
    }
    let action = step.as_table_like_mut()?.get_mut("command")?;
    Some(match new {
        Json::Null => {
            remove(action, "cwd");
            Ok(())
        }
        new => value(new).map(|new| set(action, "cwd", new)),
    })
}

/// `content` and `install-prefix` of a file or link that is written: the original has a step for each.
fn of_an_edit(
    step: &mut Item,
    kind: Option<&str>,
    destdir: Option<&str>,
    key: &str,
    new: &Json,
) -> Option<Result<(), String>> {
    if kind != Some("edit") || !matches!(key, "content" | "install-prefix") {
        return None;
    }
    let Some(text) = new.as_str() else { return Some(Err(format!("a text is wanted here: not `{new}`"))) };
    let all = step.as_table_like_mut()?.get_mut("edit")?.as_table_like_mut()?.get_mut("edits")?;
    let edits = all.as_array_mut()?;
    let only = if edits.len() == 1 { edits.get_mut(0).and_then(|it| it.as_inline_table_mut()) } else { None };
    let found = only.and_then(|edit| {
        let kind = ["write", "symlink"].into_iter().find(|kind| edit.contains_key(kind))?;
        Some((kind, edit.get_mut(kind)?.as_inline_table_mut()?))
    });
    let Some((kind, edit)) = found else {
        return Some(Err("this step does not write one file or link alone: change its `edits`".to_owned()));
    };
    let (key, text) = match (key, kind) {
        ("install-prefix", _) => ("path", format!("{}{text}", destdir.unwrap_or_default())),
        (_, "write") => ("text", text.to_owned()),
        _ => ("target", text.to_owned()),
    };
    let decor = edit.get(key).map(|it| it.decor().clone());
    let text = text.strip_prefix('/').filter(|_| key == "path").unwrap_or(&text);
    edit.insert(key, value(&text.into()).unwrap_or_else(|_| text.into()));
    if let (Some(decor), Some(new)) = (decor, edit.get_mut(key)) {
        *new.decor_mut() = decor;
    }
    Some(Ok(()))
}

fn unknown_key(key: &str, keys: &[&Keys]) -> String {
    let known = keys.iter().flat_map(|keys| keys.names().map(|name| (name, keys.is_list(name))));
    let mut names: Vec<String> = Vec::new();
    for (name, is_list) in known {
        names.push(snake(name));
        if is_list && !name.ends_with("-add") && !name.ends_with("-drop") && name != "env-unset" {
            for more in ["add", "drop"] {
                let more = format!("{}_{more}", snake(name));
                if !names.contains(&more) {
                    names.push(more);
                }
            }
        }
    }
    unknown("key", &snake(key), &names)
}

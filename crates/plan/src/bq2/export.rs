//! A plan of ours as a build plan of the original, format 2.
//!
//! What it says is imported again, and compared with the plan: so whatever does not come back is known.

use serde_json::{Map, Value, json};
use toml_edit::DocumentMut;

use super::{ExportProblems, NEWEST, imported, kept::Kept, list, name_in, shape, step, text_of};
use crate::{Name, overrides::json_of_document};

/// Where packages are unpacked in the original.
const WORKSPACE: &str = "/workspace";

/// A build plan of the original, and what of the plan it does not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    /// The build plan, as JSON.
    pub json: String,
    /// Where, and what is lost or another there when the build plan is imported again.
    pub lost: Vec<(String, String)>,
}

/// Prints the build plan that the text of a plan is: in format 2, if it was not imported from format 1.
///
/// # Errors
///
/// If the text is no TOML, and every step that the original has no counterpart for.
pub fn export_bq2(text: &str) -> Result<Exported, ExportProblems> {
    let one = |what: String| ExportProblems { problems: vec![(String::new(), what)] };
    let document: DocumentMut = text.parse().map_err(|error| one(format!("this is not TOML: {error}")))?;
    let mut plan = json_of_document(&document);
    let kept = plan.as_object_mut().and_then(|it| it.remove("bq2"));
    let kept: Option<Kept> = kept
        .map(serde_json::from_value)
        .transpose()
        .map_err(|error| one(format!("`bq2` is not what an import writes: {error}")))?;
    let phases = phases_of(&plan)?;
    let without = said(&plan, phases.clone(), None)?;
    let Some(kept) = kept else { return Ok(without) };
    let again = |meant: &[bool]| {
        let it = said(&plan, phases.clone(), Some((&kept, meant))).ok()?;
        it.lost.iter().all(|lost| without.lost.contains(lost)).then_some(it)
    };
    let places = kept.places();
    let mut meant = vec![true; places.len()];
    if let Some(all) = again(&meant) {
        return Ok(all);
    }
    // The plan has changed since: what still means it is said.
    meant.fill(false);
    let (mut best, mut dropped) = (without.clone(), Vec::new());
    for (n, place) in places.into_iter().enumerate() {
        meant[n] = true;
        if let Some(better) = again(&meant) {
            best = better;
        } else {
            meant[n] = false;
            let what = "has changed since it was imported: what `bq2` has of it is not said";
            dropped.push((place, what.to_owned()));
        }
    }
    best.lost.extend(dropped);
    Ok(best)
}

/// What the text of a plan that was imported cannot say of `original`, if it can be exported at all.
pub(super) fn unsaid(text: &str, original: &Value, format: u32) -> Option<Kept> {
    let document: DocumentMut = text.parse().ok()?;
    let phases = phases_of(&json_of_document(&document)).ok()?;
    Some(Kept::between(&shape::whole(phases, format), original, format))
}

/// The phases, with what they say.
fn phases_of(plan: &Value) -> Result<Vec<Value>, ExportProblems> {
    let mut problems = Vec::new();
    let origins = origins(plan);
    let phases = list(plan, "phase").map(|phase| plain(phase_of(phase, plan, &origins, &mut problems)));
    let phases = phases.collect();
    if problems.is_empty() { Ok(phases) } else { Err(ExportProblems { problems }) }
}

/// The build plan of `phases`, with those parts of what was kept that are meant.
fn said(
    plan: &Value,
    phases: Vec<Value>,
    kept: Option<(&Kept, &[bool])>,
) -> Result<Exported, ExportProblems> {
    let format =
        kept.filter(|(_, meant)| meant.first() == Some(&true)).map_or(NEWEST, |(kept, _)| kept.format);
    let mut exported = shape::whole(phases, format);
    if let Some((kept, meant)) = kept {
        kept.say(&mut exported, meant);
    }
    let json = serde_json::to_string_pretty(&exported).expect("plain data") + "\n";
    let name: Name = text_of(plan, "name").parse().unwrap_or(Name::fixed("sysroot"));
    let again = imported(&json, &name).map_err(|error| ExportProblems { problems: error.problems })?;
    let again: DocumentMut = again.text.parse().expect("what is imported is TOML");
    Ok(Exported { lost: lost(plan, &json_of_document(&again)), json })
}

/// Downloads of the plan, as sources of the original; unpacked in a directory of their name.
fn origins(plan: &Value) -> Vec<(String, Value)> {
    let steps = list(plan, "phase").flat_map(|phase| list(phase, "step"));
    let fetched = steps.filter_map(|step| Some((text_of(step, "name"), step.get("fetch")?)));
    let origin = |(id, fetch): (&str, &Value)| {
        let name = id.strip_suffix("-download").unwrap_or(id);
        let mut origin = json!({ "name": name, "version": "", "build_directory": name });
        for (key, ours) in [("url", "url"), ("sha256", "sha256"), ("filename", "file-name")] {
            if let Some(value) = fetch.get(ours) {
                origin[key] = value.clone();
            }
        }
        (id.to_owned(), origin)
    };
    fetched.map(origin).collect()
}

fn phase_of(
    phase: &Value,
    plan: &Value,
    origins: &[(String, Value)],
    problems: &mut Vec<(String, String)>,
) -> Value {
    let name = text_of(phase, "name");
    let mut steps: Vec<Value> = Vec::new();
    for ours in list(phase, "step") {
        let id = text_of(ours, "name");
        if ours.get("fetch").is_some() {
            let origin = origins.iter().find(|(of, _)| of == id).map(|(_, origin)| origin.clone());
            match steps.last_mut().filter(|step| step["strategy"] == "download-sources") {
                Some(step) => step["sources"].as_array_mut().into_iter().for_each(|all| all.extend(origin.clone())),
                None => steps.push(json!({ "name": "download-sources", "strategy": "download-sources", "sources": [origin] })),
            }
            continue;
        }
        match convert(ours, phase, origins) {
            Ok(mut step) => {
                step.insert("name".to_owned(), json!(original(id, name, plan)));
                steps.push(Value::Object(step));
            }
            Err(what) => problems.push((format!("{name}: {id}"), what)),
        }
    }
    let or_null = |key: &str| phase.get(key).cloned().unwrap_or_default();
    json!({
        "name": name,
        "description": or_null("description"),
        "namespace": phase.get("namespace").cloned().unwrap_or_else(|| json!("host")),
        "install_prefix": phase.get("install-prefix").cloned().unwrap_or_else(|| json!("/")),
        "destdir": or_null("destdir"),
        "env": phase.get("env").cloned().unwrap_or_else(|| json!({})),
        "steps": steps,
    })
}

/// The name without the phase before it, if that is only there because another phase has the same.
fn original<'a>(id: &'a str, phase: &str, plan: &Value) -> &'a str {
    let Some(short) = id.strip_prefix(phase).and_then(|rest| rest.strip_prefix('-')) else { return id };
    let others = list(plan, "phase").filter(|it| text_of(it, "name") != phase);
    let same = |other: &Value| {
        let long = name_in(text_of(other, "name"), short);
        list(other, "step").any(|step| text_of(step, "name") == long)
    };
    if others.into_iter().any(same) { short } else { id }
}

fn convert(ours: &Value, phase: &Value, origins: &[(String, Value)]) -> Result<Map<String, Value>, String> {
    let mut step = match kind(ours) {
        Some(("package", it)) => package(it, origins)?,
        Some(("edit", it)) => edit(it, phase)?,
        Some(("command", it)) => command(it)?,
        Some(("rootfs", it)) => {
            let of_phase = it.get("namespace") == phase.get("namespace");
            if !of_phase || it.get("drop") != Some(&json!(step::NOT_PACKED)) {
                return Err("only the root of the phase can be packed, without what the original leaves out"
                    .to_owned());
            }
            json!({ "strategy": "tarball" })
        }
        Some(("unpack", it)) => {
            let from = text_of(it, "from");
            let file = from.strip_prefix("./sources/").map(|file| json!({ "name": file, "filename": file }));
            let origin = origins.iter().find(|(id, _)| id == from).map(|(_, origin)| origin.clone()).or(file);
            let origin = origin.ok_or("only a download or a file of `./sources` can be unpacked")?;
            json!({ "strategy": "populate-seed", "sources": [origin] })
        }
        Some(("tree", it)) if it.get("from") == Some(&json!(["./seed-rootfs"])) => {
            json!({ "strategy": "populate-seed" })
        }
        Some((kind, _)) => return Err(format!("the original has no steps like `{kind}`")),
        None => return Err("it does nothing that is known".to_owned()),
    };
    let mut env = ours.get("env").and_then(Value::as_object).cloned().unwrap_or_default();
    env.extend(step.get("env").and_then(Value::as_object).cloned().unwrap_or_default());
    step["env"] = Value::Object(env);
    Ok(step.as_object().cloned().unwrap_or_default())
}

/// The key that says what a step does, and its parameters.
fn kind(step: &Value) -> Option<(&str, &Value)> {
    let known = crate::Action::KINDS;
    step.as_object()?.iter().map(|(key, it)| (key.as_str(), it)).find(|(key, _)| known.contains(key))
}

fn package(it: &Value, origins: &[(String, Value)]) -> Result<Value, String> {
    let texts = |key: &str| -> Vec<String> {
        list(it, key).filter_map(|it| it.as_str().map(str::to_owned)).collect()
    };
    let subdir = it.get("subdir").and_then(Value::as_str);
    let (strategy, flags) = match it.get("strategy").and_then(Value::as_str).unwrap_or("autotools") {
        "cmake" => ("cmake-project", texts("configure-flags")),
        "make" => {
            let flags = texts("make-flags");
            let own = flags.strip_prefix(["-f".to_owned(), "Makefile.bq2".to_owned()].as_slice());
            ("makefile-classic", own.ok_or("the original makes with `-f Makefile.bq2` only")?.to_vec())
        }
        "command" => {
            let first = list(it, "commands").next().cloned().unwrap_or_default();
            let words: Vec<String> =
                serde_json::from_value(first).map_err(|_| "it has no commands".to_owned())?;
            if words.first().is_none_or(|it| it != "./bootstrap") {
                return Err("of packages with `commands` the original has only CMake's own".to_owned());
            }
            ("cmake", words.into_iter().skip_while(|it| it != "--").skip(1).collect())
        }
        strategy @ ("busybox" | "linux-headers") => (known(strategy), texts("make-flags")),
        strategy => (known(strategy), texts("configure-flags")),
    };
    let source = text_of(it, "source");
    let dir = origins.iter().find(|(id, _)| id == source).map(|(_, origin)| text_of(origin, "name"));
    let dir = dir.or_else(|| source.strip_prefix("./sources/"));
    let dir = dir.ok_or("it is built from neither a download nor a file of `./sources`")?;
    let mut step = json!({
        "strategy": strategy,
        "workdir": format!("{WORKSPACE}/{dir}"),
        "configure_flags": flags,
        "patches": texts("patches").iter().map(|it| patch(it)).collect::<Vec<_>>(),
    });
    if let Some(subdir) = subdir {
        step["env"] = json!({ "CMAKE_SOURCE_DIR": subdir });
    }
    for (key, ours) in
        [("build_dir", "build-dir"), ("install_prefix", "install-prefix"), ("destdir", "destdir")]
    {
        if let Some(value) = it.get(ours) {
            step[key] = value.clone();
        }
    }
    Ok(step)
}

/// A path of the plan as a patch of the original, if it is imported as that path again.
fn patch(path: &str) -> &str {
    path.strip_prefix("./").filter(|it| super::patch(it) == path).unwrap_or(path)
}

/// Strategies that are called the same.
fn known(strategy: &str) -> &'static str {
    ["autotools", "meson", "busybox", "linux-headers"]
        .into_iter()
        .find(|it| *it == strategy)
        .unwrap_or("autotools")
}

fn edit(it: &Value, phase: &Value) -> Result<Value, String> {
    let destdir = text_of(phase, "destdir").trim_matches('/');
    let below = |path: &str| {
        let inner = path.strip_prefix(destdir).filter(|rest| destdir.is_empty() || rest.starts_with('/'));
        inner.map(|inner| format!("/{}", inner.trim_start_matches('/')))
    };
    let edits: Vec<(&str, &Value)> = list(it, "edits")
        .filter_map(|it| it.as_object()?.iter().next().map(|(key, it)| (key.as_str(), it)))
        .collect();
    let path = |it: &Value| below(text_of(it, "path"));
    match edits.as_slice() {
        [(kind @ ("write" | "symlink" | "remove"), it)] => {
            let (strategy, content) = match *kind {
                "write" => ("write-file", it.get("text")),
                "symlink" => ("symlink", it.get("target")),
                _ => ("remove-tree", None),
            };
            let mut step = json!({ "strategy": strategy, "content": content });
            if let Some(path) = path(it) {
                step["install_prefix"] = json!(path);
            } else {
                // Beside the directory that the phase installs into.
                step["install_prefix"] = json!(format!("/{}", text_of(it, "path")));
                step["destdir"] = json!("");
            }
            Ok(step)
        }
        files
            if !files.is_empty() && files.iter().all(|(kind, it)| *kind == "write" && path(it).is_some()) =>
        {
            let entry = |(n, (_, it)): (usize, &(&str, &Value))| {
                [
                    (format!("FILE_{n}_PATH"), json!(path(it))),
                    (format!("FILE_{n}_CONTENT"), it.get("text").cloned().unwrap_or_default()),
                ]
            };
            let env: Map<String, Value> = files.iter().enumerate().flat_map(entry).collect();
            Ok(json!({ "strategy": "prepare-rootfs", "env": env }))
        }
        _ => Err("the original writes files, or makes one link, or removes one thing in a step".to_owned()),
    }
}

fn command(it: &Value) -> Result<Value, String> {
    let argv: Vec<&str> = list(it, "argv").filter_map(Value::as_str).collect();
    match argv.as_slice() {
        ["cp", "-a", from, to] if from.ends_with("/.") => Ok(json!({
            "strategy": "copy-tree",
            "workdir": from.trim_end_matches("/."),
            "install_prefix": to,
        })),
        ["apk", "add", "--no-cache", packages @ ..] => {
            Ok(json!({ "strategy": "apk-add", "packages": packages }))
        }
        _ => Err(format!("the original runs no commands such as `{}`", argv.join(" "))),
    }
}

/// The same with the characters `${` as they are.
fn plain(value: Value) -> Value {
    match value {
        Value::String(text) => text.replace("$${", "${").into(),
        Value::Array(all) => all.into_iter().map(plain).collect(),
        Value::Object(table) => Value::Object(table.into_iter().map(|(key, it)| (key, plain(it))).collect()),
        other => other,
    }
}

/// Everything of `plan` that is not in `again` as it was.
fn lost(plan: &Value, again: &Value) -> Vec<(String, String)> {
    let mut lost = Vec::new();
    compare(plan, again, "", "phase", &mut lost);
    for phase in list(plan, "phase") {
        let name = text_of(phase, "name");
        let Some(other) = named(again, "phase", name) else {
            lost.push((name.to_owned(), "the phase is lost".to_owned()));
            continue;
        };
        compare(phase, other, name, "step", &mut lost);
        for step in list(phase, "step") {
            let id = text_of(step, "name");
            let place = format!("{name}: {id}");
            match named(other, "step", id) {
                Some(other) => compare(step, other, &place, "", &mut lost),
                None => lost.push((place, "the step is lost, or has another name".to_owned())),
            }
        }
        let order = |of: &Value| -> Vec<String> {
            list(of, "step").map(|it| text_of(it, "name").to_owned()).collect()
        };
        let (was, is) = (order(phase), order(other));
        if was != is && was.iter().all(|it| is.contains(it)) {
            lost.push((name.to_owned(), "its steps are others, or in another order".to_owned()));
        }
    }
    lost
}

/// The keys of a table that are not as they were, but for `except`.
fn compare(was: &Value, is: &Value, place: &str, except: &str, lost: &mut Vec<(String, String)>) {
    let (Some(was), Some(is)) = (was.as_object(), is.as_object()) else { return };
    let keys = was.keys().chain(is.keys().filter(|key| !was.contains_key(*key)));
    for key in keys.filter(|key| *key != except) {
        let what = match (was.get(key), is.get(key)) {
            (was, is) if was == is => continue,
            (Some(_), None) => format!("`{key}` is lost"),
            (None, Some(is)) => format!("`{key}` is {is} then"),
            (Some(was), Some(is)) => format!("`{key}` is {is} then, and was {was}"),
            (None, None) => continue,
        };
        lost.push((place.to_owned(), what));
    }
}

fn named<'a>(of: &'a Value, key: &str, name: &str) -> Option<&'a Value> {
    list(of, key).find(|it| text_of(it, "name") == name)
}

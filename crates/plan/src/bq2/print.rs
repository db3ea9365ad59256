//! The text of the plan.

use serde_json::{Value, json};

use super::{ImportProblems, Instead, Origin, Phase, Place, Plan, Step, name, name_in, shared, step};
use crate::{Name, overrides::toml_value};

/// A word of the original for where a phase runs, as the name of a namespace.
fn namespace(phase: &Phase) -> &str {
    match (&phase.namespace, &phase.environment) {
        (Some(namespace), _) => namespace,
        (None, Some(environment)) if environment.contains("host") => "host",
        (None, Some(environment)) if environment.contains("bq2") => "bq2",
        _ => "seed",
    }
}

pub(super) fn print(plan: &Plan, format: u32, name: &Name) -> Result<String, ImportProblems> {
    let steps = || plan.phases.iter().flat_map(|phase| &phase.steps);
    let origins: Vec<Origin> =
        steps().flat_map(|step| step.extract_sources.iter().chain(&step.sources)).cloned().collect();
    let shared = shared(plan);
    let mut problems = Vec::new();
    let mut text = head(plan, format, name, &mut problems);
    let mut fetched = Vec::new();
    for phase in &plan.phases {
        text += &phase_head(phase);
        let place =
            Place { namespace: Some(namespace(phase)), destdir: phase.destdir.as_deref(), origins: &origins };
        for step in &phase.steps {
            let short = super::name(&step.name);
            let id = if shared.contains(&short) { name_in(&phase.name, &step.name) } else { short };
            match step.strategy.as_str() {
                "download-sources" => text += &downloads(step, &mut fetched),
                "populate-seed" => text += &seed(&id, step, &origins, &mut fetched),
                _ => match step::convert(step, &place) {
                    Ok(Instead::Step(entries)) => text += &written(&id, &entries),
                    Ok(Instead::Nothing(why)) => text += &format!("\n  # {id}: {why}.\n"),
                    Err(what) => problems.push((format!("{}: {}", phase.name, step.name), what)),
                },
            }
        }
    }
    if problems.is_empty() { Ok(text) } else { Err(ImportProblems { problems }) }
}

/// Everything before the phases.
fn head(plan: &Plan, format: u32, name: &Name, problems: &mut Vec<(String, String)>) -> String {
    let default = if format == 1 { "first" } else { "all" };
    let mut text = format!(
        "# Imported from a build plan of bootstrap-qcow2, format {format}.\nformat = 1\nname = \"{name}\"\n\
         epoch = 1735689600      # 2025-01-01 00:00:00 UTC\ndefault-phase = \"{default}\"\n"
    );
    let used: Vec<&str> = plan.phases.iter().map(namespace).collect();
    for (phase, used) in plan.phases.iter().zip(&used) {
        if !["host", "seed", "bq2"].contains(used) {
            problems.push((phase.name.clone(), format!("namespace `{used}` is not known")));
        }
    }
    let steps = || plan.phases.iter().flat_map(|phase| &phase.steps);
    if used.iter().any(|it| *it != "host") {
        let seed = steps().find(|step| step.strategy == "populate-seed").map(|step| super::name(&step.name));
        let seed = seed.unwrap_or_else(|| "./seed-rootfs".to_owned());
        let asks = steps().any(|step| matches!(step.strategy.as_str(), "apk-add" | "alpine-setup"));
        let network = if asks { "network = true\n" } else { "" };
        text += &format!("\n[namespace.seed]\nrootfs = \"{seed}\"\n{network}");
    }
    if used.contains(&"bq2") {
        text += "\n[namespace.bq2]\ninside = \"seed\"\npath = \"bq2-rootfs\"\n\
                 binds = [{ outer = \"opt/sysroot\", to = \"opt/sysroot\" }]\n";
    }
    text
}

fn phase_head(phase: &Phase) -> String {
    let mut text = format!("\n[[phase]]\nname = {}\n", line(&json!(name(&phase.name))));
    let namespace = Some(namespace(phase).to_owned());
    let prefix = phase.install_prefix.clone().filter(|it| it != "/");
    for (key, value) in [
        ("description", &phase.description),
        ("namespace", &namespace),
        ("install-prefix", &prefix),
        ("destdir", &phase.destdir),
    ] {
        if let Some(value) = value {
            text += &format!("{key} = {}\n", line(&json!(value)));
        }
    }
    if !phase.env.is_empty() {
        text += &format!("env = {}\n", line(&Value::Object(phase.env.clone())));
    }
    text
}

/// The downloads of a step, each a step of its own.
fn downloads(step: &Step, fetched: &mut Vec<String>) -> String {
    let mut text = String::new();
    for origin in &step.sources {
        text += &download(origin, fetched);
    }
    text
}

fn download(origin: &Origin, fetched: &mut Vec<String>) -> String {
    let id = step::fetch_name(&origin.name);
    if fetched.contains(&id) {
        return String::new();
    }
    let file = origin.filename.clone().unwrap_or_else(|| origin.name.clone());
    if !origin.is_checked() {
        let url = origin.url.as_deref().unwrap_or("nowhere");
        return format!(
            "\n  # `{}` has no SHA-256 to know it by: put what is at {url} into ./sources/{file}.\n",
            origin.name
        );
    }
    let mut fetch = json!({ "url": origin.url, "sha256": origin.sha256 });
    if let Some(file) = &origin.filename {
        fetch["file-name"] = json!(file);
    }
    fetched.push(id.clone());
    written(&id, &[("fetch", fetch)])
}

/// The root that phases begin with: an archive, unpacked.
fn seed(id: &str, step: &Step, origins: &[Origin], fetched: &mut Vec<String>) -> String {
    let named = |it: &&Origin| it.name.contains("seed") || it.name.contains("rootfs");
    let Some(origin) = step.sources.first().or_else(|| origins.iter().find(named)) else {
        return written(id, &[("tree", json!({ "from": ["./seed-rootfs"] }))]);
    };
    let fetch = download(origin, fetched);
    let from = if origin.is_checked() {
        step::fetch_name(&origin.name)
    } else {
        format!("./sources/{}", origin.filename.as_ref().unwrap_or(&origin.name))
    };
    fetch + &written(id, &[("unpack", json!({ "from": from }))])
}

fn written(id: &str, entries: &[(&'static str, Value)]) -> String {
    let mut text = format!("\n  [[phase.step]]\n  name = \"{id}\"\n");
    for (key, value) in entries {
        text += &format!("  {key} = {}\n", line(value));
    }
    text
}

/// A value in one line.
pub(super) fn line(value: &Value) -> String {
    toml_value(value).unwrap_or_default()
}

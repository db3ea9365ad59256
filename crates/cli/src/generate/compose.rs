//! A compose file: a service for each container of each target.
//!
//! Source: the Compose Specification, chapters "services" and "profiles".

use bootway_plan::{ArtifactKind, Cell, Grid, Healthcheck, Millis};
use serde_json::Value;

use super::Made;

/// The whole file.
pub(super) fn text(made: &Made<'_>) -> String {
    let mut text = format!("# {}\n", made.header());
    text += "# Images are loaded, not pulled: `bootway up PROFILE VARIANT` does both.\n";
    let services: Vec<String> = made.grids.iter().flat_map(|grid| services(made, grid)).collect();
    text += if services.is_empty() { "services: {}\n" } else { "services:\n" };
    text + &services.concat()
}

fn services(made: &Made<'_>, grid: &Grid<'_>) -> Vec<String> {
    let is_container = |cell: &Cell<'_>| cell.variant.kind == Some(ArtifactKind::Container);
    let plain = grid.of_profile(grid.default_profile()).find(is_container).map(|cell| cell.to_string());
    let service = |cell: Cell<'_>| {
        let is_plain = plain.as_ref() == Some(&cell.to_string());
        let profile =
            if cell.profile == grid.default_profile() { cell.name.as_str() } else { cell.profile.as_str() };
        service(made, cell, (!is_plain).then_some(profile))
    };
    grid.cells().filter(is_container).map(service).collect()
}

/// One service; with a `profile`, `docker compose up` alone does not start it, for two would want the same ports.
fn service(made: &Made<'_>, cell: Cell<'_>, profile: Option<&str>) -> String {
    let mut text = format!("  {}-{}-{}:\n", cell.target, cell.profile, cell.name);
    let mut entry = |key: &str, value: String| text += &format!("    {key}: {value}\n");
    entry("image", quoted(&cell.image(&made.system)));
    entry("pull_policy", "never".to_owned());
    if let Some(profile) = profile {
        entry("profiles", list([profile]));
    }
    let argv = cell.argv(&[], &made.system, &|_| None);
    if !argv.args.is_empty() {
        entry("command", list(argv.args.iter().map(String::as_str)));
    }
    let container = cell.variant.container.clone().unwrap_or_default();
    let ports = container.published();
    for (key, values) in [("ports", &ports), ("cap_add", &container.cap_add), ("tmpfs", &container.tmpfs)] {
        if !values.is_empty() {
            entry(key, list(values.iter().map(String::as_str)));
        }
    }
    let own = container.env.iter().map(|(name, value)| (name.clone(), cell.fill(value, &made.system, "")));
    let mut env: Vec<(String, String)> = own.collect();
    env.extend(argv.env.into_iter().filter(|(name, _)| !container.env.keys().any(|it| it == name)));
    if !env.is_empty() {
        text += "    environment:\n";
        text +=
            &env.iter().map(|(name, value)| format!("      {name}: {}\n", quoted(value))).collect::<String>();
    }
    text + &container.healthcheck.as_ref().map(healthcheck).unwrap_or_default()
}

fn healthcheck(it: &Healthcheck) -> String {
    let test = std::iter::once("CMD").chain(it.test.iter().map(String::as_str));
    let mut text = format!("    healthcheck:\n      test: {}\n", list(test));
    for (key, time) in [("interval", it.interval), ("timeout", it.timeout), ("start_period", it.start_period)]
    {
        if let Some(time) = time {
            text += &format!("      {key}: {}\n", duration(time));
        }
    }
    text + &it.retries.map(|retries| format!("      retries: {retries}\n")).unwrap_or_default()
}

/// As a compose file writes times: `30s`, `1500ms`.
fn duration(time: Millis) -> String {
    let millis = time.duration().as_millis();
    if millis.is_multiple_of(1000) { format!("{}s", millis / 1000) } else { format!("{millis}ms") }
}

fn list<'a>(values: impl IntoIterator<Item = &'a str>) -> String {
    format!("[{}]", values.into_iter().map(quoted).collect::<Vec<_>>().join(", "))
}

/// Text as YAML: a JSON string is one. A `$` is doubled, or compose would look for a variable.
fn quoted(text: &str) -> String {
    Value::String(text.replace('$', "$$")).to_string()
}

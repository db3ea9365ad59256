//! Expectations on a container image.

use bootway_plan::step::{Expect, Healthcheck};

use super::runs;
use crate::oci::{ContainerHealthcheck, ContainerImage, words};

/// What is expected, in a few words for each.
pub(super) fn names(expect: &Expect) -> Vec<String> {
    let mut out = Vec::new();
    out.extend(expect.entrypoint.as_ref().map(|it| format!("entrypoint {}", words(it))));
    out.extend(expect.cmd.as_ref().map(|it| format!("cmd {}", words(it))));
    out.extend(expect.env.iter().map(|(name, value)| format!("env {name}={value}")));
    out.extend(expect.label.iter().map(|(key, value)| format!("label {key}={value}")));
    out.extend(expect.port.iter().map(|port| format!("port {port}")));
    out.extend(expect.user.as_ref().map(|user| format!("user {user}")));
    out.extend(expect.healthcheck.as_ref().map(|_| "healthcheck".to_owned()));
    out.extend(expect.layers.map(|layers| format!("{layers} layers")));
    out.extend(expect.max_layers.map(|layers| format!("at most {layers} layers")));
    out.extend(expect.runs.as_ref().map(runs::name));
    out
}

/// What was seen of what is expected, or what is wrong.
pub(super) fn check(image: &ContainerImage, expect: &Expect) -> Result<Option<String>, String> {
    for (what, wanted, found) in
        [("entrypoint", &expect.entrypoint, &image.entrypoint), ("cmd", &expect.cmd, &image.cmd)]
    {
        if let Some(wanted) = wanted.as_ref().filter(|wanted| *wanted != found) {
            return Err(format!("its {what} is {}, and not {}", words(found), words(wanted)));
        }
    }
    for (name, value) in &expect.env {
        let prefix = format!("{name}=");
        // The last one counts.
        match image.env.iter().rev().find_map(|it| it.strip_prefix(&prefix)) {
            Some(found) if found == value => {}
            Some(found) => {
                return Err(format!("`{name}` in its environment is {found:?}, and not {value:?}"));
            }
            None => return Err(format!("`{name}` is not in its environment")),
        }
    }
    for (key, value) in &expect.label {
        match image.labels.get(key) {
            Some(found) if found == value => {}
            Some(found) => return Err(format!("its label `{key}` is {found:?}, and not {value:?}")),
            None => {
                let keys: Vec<&str> = image.labels.keys().map(String::as_str).collect();
                return Err(format!("it has no label `{key}`: it has `{}`", keys.join("`, `")));
            }
        }
    }
    let with_protocol = |port: &str| if port.contains('/') { port.to_owned() } else { format!("{port}/tcp") };
    for port in &expect.port {
        if !image.ports.iter().any(|it| with_protocol(it) == with_protocol(port)) {
            return Err(format!("it does not listen on {port}: it does on `{}`", image.ports.join("`, `")));
        }
    }
    if let Some(user) = expect.user.as_ref().filter(|user| **user != image.user) {
        return Err(format!("its user is `{}`, and not `{user}`", image.user));
    }
    if let Some(wanted) = &expect.healthcheck {
        let found = image.healthcheck.as_ref().ok_or("it has no health check")?;
        health(found, wanted)?;
    }
    let count = image.layers.len();
    if let Some(wanted) = expect.layers.filter(|wanted| *wanted as usize != count) {
        return Err(format!("it has {count} layers, and not {wanted}"));
    }
    if let Some(most) = expect.max_layers.filter(|most| count > *most as usize) {
        return Err(format!("it has {count} layers, and may have {most}"));
    }
    let said = [
        expect.entrypoint.as_ref().map(|_| words(&image.entrypoint)),
        expect.cmd.as_ref().map(|_| words(&image.cmd)),
        expect.healthcheck.as_ref().and(image.healthcheck.as_ref()).map(ToString::to_string),
        expect.layers.or(expect.max_layers).map(|_| format!("{count} layers")),
    ];
    let said: Vec<String> = said.into_iter().flatten().collect();
    Ok((!said.is_empty()).then(|| said.join("; ")))
}

/// Whatever is said about it must be so.
fn health(found: &ContainerHealthcheck, wanted: &Healthcheck) -> Result<(), String> {
    let test = match &wanted.shell {
        Some(line) => Some(vec!["CMD-SHELL".to_owned(), line.clone()]),
        None if wanted.run.is_empty() => None,
        None => Some([&["CMD".to_owned()], &wanted.run[..]].concat()),
    };
    if let Some(test) = test.filter(|test| *test != found.test) {
        return Err(format!("its health check is {}, and not {}", words(&found.test), words(&test)));
    }
    let spans = [
        ("interval", wanted.interval, found.interval),
        ("timeout", wanted.timeout, found.timeout),
        ("start period", wanted.start_period, found.start_period),
    ];
    for (what, wanted, found) in spans {
        if let Some(wanted) = wanted.filter(|wanted| found != Some(*wanted)) {
            let found = found.map_or_else(|| "the engine's".to_owned(), |found| found.to_string());
            return Err(format!("the {what} of its health check is {found}, and not {wanted}"));
        }
    }
    if let Some(wanted) = wanted.retries.filter(|wanted| found.retries != Some(u64::from(*wanted))) {
        let found = found.retries.map_or_else(|| "the engine's".to_owned(), |found| found.to_string());
        return Err(format!("the retries of its health check are {found}, and not {wanted}"));
    }
    Ok(())
}

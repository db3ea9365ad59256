//! What is wrong with the configuration of an image, though it can be read.

use super::{
    report::{ContainerLayer, words},
    rootfs::RootFs,
};
use crate::format::oci::{Execution, Health, ImageConfig, digest};

/// What only a shell understands, as a word of a command that has none.
const OF_A_SHELL: [&str; 6] = ["||", "&&", "|", ";", ">", "2>&1"];

/// Everything that is wrong with it, each in a sentence.
pub(super) fn of(config: &ImageConfig, layers: &[ContainerLayer], files: &RootFs) -> Vec<String> {
    let mut flaws = Vec::new();
    if config.architecture.is_empty() || config.os.is_empty() {
        flaws.push("the configuration names no architecture, or no system".to_owned());
    }
    let rootfs = &config.rootfs;
    if rootfs.kind != "layers" {
        flaws.push(format!("the configuration has a root of kind `{}`, and not `layers`", rootfs.kind));
    }
    if rootfs.diff_ids.len() != layers.len() {
        let (ids, count) = (rootfs.diff_ids.len(), layers.len());
        flaws.push(format!("the configuration has {ids} layers, and the manifest {count}"));
    }
    for (layer, said) in layers.iter().zip(&rootfs.diff_ids) {
        match digest(said) {
            Ok(said) if said == layer.diff_id => {}
            Ok(said) => flaws.push(format!(
                "layer `{}` unpacks to sha256:{}, and the configuration says sha256:{}",
                layer.digest.short(),
                layer.diff_id.short(),
                said.short()
            )),
            Err(reason) => flaws.push(format!("the configuration: {reason}")),
        }
    }
    let made = config.history.iter().filter(|it| !it.empty_layer).count();
    if !config.history.is_empty() && made != layers.len() {
        flaws.push(format!("the history tells of {made} layers, and there are {}", layers.len()));
    }
    flaws.extend(of_execution(&config.config, files));
    flaws
}

/// What keeps an engine from running it.
pub(super) fn of_execution(it: &Execution, files: &RootFs) -> Vec<String> {
    let mut flaws = Vec::new();
    for env in it.env.iter().filter(|env| env.find('=').is_none_or(|at| at == 0)) {
        flaws.push(format!("`{env}` in its environment is not NAME=VALUE"));
    }
    for port in it.exposed_ports.0.iter().filter(|port| !is_port(port)) {
        flaws.push(format!(
            "`{port}` is no port: it must be a number, or two with `-` between, and tcp, udp or sctp"
        ));
    }
    if let Some(program) = it.entrypoint.first().or(it.cmd.first())
        && let Err(reason) = files.program(program, &it.env, &it.working_dir)
    {
        let what = if it.entrypoint.is_empty() { "command" } else { "entrypoint" };
        flaws.push(format!("its {what} {reason}"));
    }
    flaws.extend(it.healthcheck.as_ref().and_then(unhealthy));
    flaws
}

/// What is wrong with a health check.
fn unhealthy(health: &Health) -> Option<String> {
    let test = words(&health.test);
    match health.test.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        // Nothing: that of the image below.
        [] | ["NONE"] | ["CMD-SHELL", _] => None,
        ["CMD", _, ..] => {
            let word = health.test.iter().find(|word| OF_A_SHELL.contains(&word.as_str()))?;
            Some(format!(
                "its health check {test} has no shell that would understand `{word}`: write it as CMD-SHELL and one line"
            ))
        }
        ["CMD"] => Some("its health check has no command".to_owned()),
        ["CMD-SHELL", ..] => Some(format!("its health check {test} is not CMD-SHELL and one line")),
        _ => Some(format!("its health check {test} begins with neither CMD, CMD-SHELL nor NONE")),
    }
}

/// `80`, `80/tcp`, `8000-8010/udp`.
fn is_port(text: &str) -> bool {
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    matches!(protocol, "tcp" | "udp" | "sctp") && ports.splitn(2, '-').all(|it| it.parse::<u16>().is_ok())
}

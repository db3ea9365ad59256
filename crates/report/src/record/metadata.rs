//! `metadata.json`: what a guest was made of, how it was started, how long it took, how it ended.

use bootway_plan::{GuestImage, Kept, RunInfo};
use serde_json::{Value, json};

use super::clock;
use crate::{State, StepReport};

/// Programs that are not the guest's QEMU have other names.
const QEMU: &str = "qemu-system-";

/// The text of a step's metadata: keys in the order of the alphabet, two spaces a level.
pub(super) fn text(
    run: &str,
    info: Option<&RunInfo>,
    steps: &[StepReport],
    step: &StepReport,
    now: &str,
) -> String {
    let value = json!({
        "format": 1,
        "generated-at": now,
        "run": run,
        "plan": info.map(|info| &info.plan),
        "plan-digest": info.map(|info| info.plan_digest),
        "plan-file": info.map(|info| &info.plan_file),
        "arguments": info.map(|info| &info.arguments),
        "version": info.map(|info| &info.version),
        "host": info.map(|info| &info.host),
        "step": step.id,
        "phase": step.phase,
        "outcome": outcome(&step.state),
        "failure": step.failure(),
        "machine": machine(step),
        "artifacts": step.guests.last().map(|guest| {
            guest.images.iter().map(|image| artifact(image, steps)).collect::<Vec<_>>()
        }),
        "qemu": {
            "version": info.and_then(|info| info.tools.iter().find(|(tool, _)| tool.starts_with(QEMU)))
                .map(|(_, version)| version),
            "commands": commands(step),
        },
        "logs": { "serial": file(step, "serial log"), "harness": file(step, "harness log") },
        "kept": step.kept.iter().map(kept).collect::<Vec<_>>(),
        "checks": step.checks,
        "timings": timings(info, step),
        "notes": step.notes.iter().map(|said| &said.text).collect::<Vec<_>>(),
    });
    let mut text = serde_json::to_string_pretty(&value).expect("plain data");
    text.push('\n');
    text
}

const fn outcome(state: &State) -> &'static str {
    match state {
        State::Finished | State::Cached => "passed",
        State::Failed(_) => "failed",
        State::Cancelled(_) => "cancelled",
        State::Skipped { .. } => "skipped",
        // What stays if everything is killed.
        State::Waiting | State::Running => "unknown",
    }
}

fn machine(step: &StepReport) -> Option<Value> {
    let guest = step.guests.last()?;
    Some(json!({
        "name": guest.machine,
        "boot": guest.boot,
        "firmware": guest.firmware,
        "memory": guest.memory,
        "cpus": guest.cpus,
        "accel": guest.accel,
        "accel-reason": guest.accel_reason,
    }))
}

/// What the guest started from, and the step that made it: by its digest, as the same bytes may have several names.
fn artifact(image: &GuestImage, steps: &[StepReport]) -> Value {
    let made_it = |step: &&StepReport| {
        let named = image.source.split('/').next() == Some(step.id.as_str());
        named || step.artifacts.iter().any(|it| it.digest == image.digest)
    };
    let maker = steps.iter().find(made_it);
    json!({
        "source": image.source,
        "path": image.path,
        "sha256": image.digest,
        "size": image.size,
        "made-by": maker.map(|step| json!({
            "step": step.id,
            "kind": step.kind,
            "state": step.state.word(),
            "build-ms": step.took_ms(),
            "commands": step.commands.iter().map(|said| &said.text).collect::<Vec<_>>(),
            "notes": step.notes.iter().map(|said| &said.text).collect::<Vec<_>>(),
        })),
    })
}

fn commands(step: &StepReport) -> Vec<&str> {
    let all = step.commands.iter().map(|said| said.text.as_str());
    all.filter(|line| line.contains(QEMU)).collect()
}

fn file<'a>(step: &'a StepReport, label: &str) -> Option<&'a str> {
    step.kept.iter().find(|kept| kept.label == label).map(|kept| kept.path.as_str())
}

fn kept(kept: &Kept) -> Value {
    json!({ "what": kept.what, "label": kept.label, "path": kept.path, "test": kept.test })
}

/// Absent is what did not happen.
fn timings(info: Option<&RunInfo>, step: &StepReport) -> Value {
    let started = info.map_or(0, |info| info.started);
    let when = |at: Option<u64>| at.map(|at| clock(started, at));
    let once =
        |name: &str| step.timings.iter().find(|it| it.name == name && it.test.is_none()).map(|it| it.ms);
    let each = |name: &str| {
        let all = step.timings.iter().filter(|it| it.name == name);
        all.map(|it| json!({ "test": it.test, "ms": it.ms })).collect::<Vec<_>>()
    };
    json!({
        "start": when(step.started_ms),
        "end": when(step.ended_ms),
        "boot-to-login-ms": once("boot-to-login"),
        "boot-to-ready-ms": once("boot-to-ready"),
        "boot-to-ssh-ms": once("boot-to-ssh"),
        "save-ms": once("save"),
        "restore-ms": each("restore"),
        "total-ms": step.took_ms(),
    })
}

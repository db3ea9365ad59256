//! A file for each step that failed: what a person or a program needs to go on from there.

use std::collections::BTreeMap;

use bootway_engine::{Loaded, Work};
use bootway_plan::{Action, Failure, Step};
use bootway_report::{Report, State, StepReport, rerun_line};
use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;

use crate::style;

/// Lines of its programs that are in the file; the log has all of them.
const TAIL: usize = 50;

/// What the file says.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Record<'a> {
    /// Of this file: 1.
    format: u32,
    /// When it failed, UTC.
    occurred_at: String,
    /// As the plan has it.
    phase: &'a str,
    /// The namespace, if it ran in one.
    namespace: Option<&'a str>,
    /// Its name.
    step: &'a str,
    /// Its kind.
    kind: &'a str,
    /// Its parameters, as the plan has worked them out.
    parameters: &'a Action,
    /// What its programs saw of the environment of plan, namespace, phase and step; secrets are not shown.
    effective_env: BTreeMap<&'a str, &'a str>,
    /// What failed, why, and what to do; with the program that did not end well, if it was one.
    failure: &'a Failure,
    /// The last lines that its programs printed.
    last_lines: Vec<&'a str>,
    /// All of them.
    log: Utf8PathBuf,
    /// Where what it worked with is kept, if it is.
    kept: Option<Utf8PathBuf>,
    /// How to run it again.
    rerun: String,
}

/// Writes a file for each step of the run that failed.
///
/// One that cannot be written is said, and takes nothing away from the failure itself.
pub(crate) fn write(work: &Work, loaded: &Loaded, report: &Report, run_dir: &Utf8Path) {
    let failed = report.steps.iter().filter_map(|step| match &step.state {
        State::Failed(failure) => Some((step, failure)),
        _ => None,
    });
    for (of_run, failure) in failed {
        let Some(step) = loaded.plan.step(of_run.id.as_str()) else { continue };
        let record = record(work, loaded, report, run_dir, of_run, step, failure);
        let name = format!("{}-{}-{}.json", file_time(&record.occurred_at), step.phase, step.id);
        let file = work.failures().join(name);
        let text = serde_json::to_string_pretty(&record).expect("plain data") + "\n";
        let written = fs_err::create_dir_all(work.failures()).and_then(|()| fs_err::write(&file, text));
        if let Err(error) = written {
            style::say(&format!("the failure of `{}` could not be written down: {error}", step.id));
        }
    }
}

fn record<'a>(
    work: &Work,
    loaded: &'a Loaded,
    report: &'a Report,
    run_dir: &Utf8Path,
    of_run: &'a StepReport,
    step: &'a Step,
    failure: &'a Failure,
) -> Record<'a> {
    let run = report.run.as_ref();
    let began = run.map_or(0, |run| run.started);
    let secret = |value: &String| loaded.plan.secrets().contains(value);
    let env = step.env.iter();
    let kept = work.failed(&step.id);
    let last = of_run.log.lines.iter().rev().take(TAIL).map(|it| it.text.as_str());
    let mut last_lines: Vec<&str> = last.collect();
    last_lines.reverse();
    Record {
        format: 1,
        occurred_at: style::rfc3339(began + of_run.ended_ms.unwrap_or(0) / 1000),
        phase: step.phase.as_str(),
        namespace: step.inside.as_ref().map(|inside| inside.namespace.as_str()),
        step: step.id.as_str(),
        kind: step.action.kind(),
        parameters: &step.action,
        effective_env: env
            .map(|(name, value)| (name.as_str(), if secret(value) { "[secret]" } else { value }))
            .collect(),
        failure,
        last_lines,
        log: run_dir.join("events.jsonl"),
        kept: kept.exists().then_some(kept),
        rerun: run.map_or_else(String::new, |run| rerun_line(run, &step.id)),
    }
}

/// A time as a part of a file's name.
fn file_time(time: &str) -> String {
    time.chars().filter(char::is_ascii_alphanumeric).collect()
}

/// The file of the last failure, if there is one.
pub(crate) fn last(work: &Work) -> Option<Utf8PathBuf> {
    let mut files: Vec<Utf8PathBuf> = fs_err::read_dir(work.failures())
        .ok()?
        .flatten()
        .filter_map(|entry| Utf8PathBuf::from_path_buf(entry.path()).ok())
        .collect();
    files.sort();
    files.pop()
}

//! For programs: the whole report, and one line a run.

use bootway_plan::{Digest, Failure, Name, RunInfo, Slower};
use serde::{Serialize, Serializer};

use crate::{CheckReport, Counts, Outcome, Report, Said, StepReport};

/// `report.json`, in the order of its fields; ends with a newline.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Document<'a> {
    format: u32,
    outcome: Outcome,
    headline: String,
    exit_code: Option<u8>,
    duration_ms: u64,
    counts: Counts,
    run: Option<&'a RunInfo>,
    failures: &'a [Failure],
    notes: &'a [Said],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    checks: &'a [CheckReport],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    slower: &'a [Slower],
    steps: &'a [StepReport],
}

impl Serialize for Report {
    /// What was seen and what it adds up to, so that a reader need not add up again.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Document {
            format: 1,
            outcome: self.outcome(),
            headline: self.headline(),
            exit_code: self.exit_code,
            duration_ms: self.duration_ms,
            counts: self.counts(),
            run: self.run.as_ref(),
            failures: &self.failures,
            notes: &self.notes,
            checks: &self.checks,
            slower: &self.slower,
            steps: &self.steps,
        }
        .serialize(serializer)
    }
}

/// The text of `report.json`.
pub fn to_json(report: &Report) -> String {
    let mut text = serde_json::to_string_pretty(report).expect("a report has only string keys");
    text.push('\n');
    text
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct LedgerLine<'a> {
    format: u32,
    started: Option<u64>,
    plan: Option<&'a Name>,
    plan_digest: Option<Digest>,
    outcome: Outcome,
    exit_code: Option<u8>,
    duration_ms: u64,
    counts: Counts,
    steps: Vec<LedgerStep<'a>>,
    version: Option<&'a str>,
    host: Option<&'a str>,
    tools: &'a [(String, String)],
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct LedgerStep<'a> {
    id: &'a Name,
    state: &'static str,
    ms: Option<u64>,
}

impl<'a> LedgerStep<'a> {
    fn of(step: &'a StepReport) -> Self {
        Self { id: &step.id, state: step.state.word(), ms: step.took_ms() }
    }
}

/// One line of `ledger.jsonl`, without its newline: outcome, timings and versions of a run.
pub fn ledger_line(report: &Report) -> String {
    let run = report.run.as_ref();
    let line = LedgerLine {
        format: 1,
        started: run.map(|run| run.started),
        plan: run.map(|run| &run.plan),
        plan_digest: run.map(|run| run.plan_digest),
        outcome: report.outcome(),
        exit_code: report.exit_code,
        duration_ms: report.duration_ms,
        counts: report.counts(),
        steps: report.steps.iter().map(LedgerStep::of).collect(),
        version: run.map(|run| run.version.as_str()),
        host: run.map(|run| run.host.as_str()),
        tools: run.map_or(&[], |run| &run.tools),
    };
    serde_json::to_string(&line).expect("a ledger line has only string keys")
}

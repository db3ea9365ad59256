//! For programs: the whole report.

use bootway_plan::{Failure, RunInfo, Slower};
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

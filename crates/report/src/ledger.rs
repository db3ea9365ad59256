//! One line a run, of all runs: what `ledger.jsonl` has.

use bootway_plan::{Digest, GuestInfo, Kept, KeptKind, Name, Slower};
use serde::{Deserialize, Serialize};

use crate::{Counts, Outcome, Report, StepReport};

/// The version of a line that is written.
const FORMAT: u32 = 1;

/// What a line says; older ones say less.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Line {
    pub(crate) format: u32,
    /// The directory of the run, below `runs`.
    #[serde(default)]
    pub(crate) run: Option<String>,
    pub(crate) started: Option<u64>,
    pub(crate) plan: Option<Name>,
    pub(crate) plan_digest: Option<Digest>,
    #[serde(default)]
    pub(crate) arguments: Vec<String>,
    pub(crate) outcome: Outcome,
    pub(crate) exit_code: Option<u8>,
    pub(crate) duration_ms: u64,
    pub(crate) counts: Counts,
    pub(crate) steps: Vec<Step>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) slower: Vec<Slower>,
    pub(crate) version: Option<String>,
    pub(crate) host: Option<String>,
    pub(crate) tools: Vec<(String, String)>,
}

/// What became of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Step {
    pub(crate) id: Name,
    pub(crate) state: String,
    pub(crate) ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) phase: Option<Name>,
    /// By name, in the order of the names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) timings: Vec<(String, u64)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) guest: Option<Guest>,
}

/// What a guest was, and where its record is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Guest {
    #[serde(flatten)]
    pub(crate) info: GuestInfo,
    /// All programs that were started, in their order.
    pub(crate) commands: Vec<String>,
    /// Files of the run.
    pub(crate) kept: Vec<Kept>,
}

impl Line {
    /// Of `report`, whose run is called `run`.
    pub(crate) fn of(report: &Report, run: &str) -> Self {
        let info = report.run.as_ref();
        Self {
            format: FORMAT,
            run: Some(run.to_owned()),
            started: info.map(|info| info.started),
            plan: info.map(|info| info.plan.clone()),
            plan_digest: info.map(|info| info.plan_digest),
            arguments: info.map(|info| info.arguments.clone()).unwrap_or_default(),
            outcome: report.outcome(),
            exit_code: report.exit_code,
            duration_ms: report.duration_ms,
            counts: report.counts(),
            steps: report.steps.iter().map(Step::of).collect(),
            slower: report.slower.clone(),
            version: info.map(|info| info.version.clone()),
            host: info.map(|info| info.host.clone()),
            tools: info.map(|info| info.tools.clone()).unwrap_or_default(),
        }
    }
}

impl Step {
    fn of(step: &StepReport) -> Self {
        Self {
            id: step.id.clone(),
            state: step.state.word().to_owned(),
            ms: step.took_ms(),
            phase: step.phase.clone(),
            timings: timings(step),
            guest: step.guests.last().map(|info| Guest {
                info: info.clone(),
                commands: step.commands.iter().map(|said| said.text.clone()).collect(),
                kept: step.kept.iter().filter(|kept| kept.what != KeptKind::File).cloned().collect(),
            }),
        }
    }
}

/// A time for each name: the first for what happens once, the median for what each test does.
fn timings(step: &StepReport) -> Vec<(String, u64)> {
    let mut names: Vec<&str> = step.timings.iter().map(|it| it.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let time = |name: &str| {
        let all = || step.timings.iter().filter(|it| it.name == name);
        let own = all().find(|it| it.test.is_none()).map(|it| it.ms);
        own.or_else(|| median(&all().map(|it| it.ms).collect::<Vec<_>>())).unwrap_or_default()
    };
    names.into_iter().map(|name| (name.to_owned(), time(name))).collect()
}

/// The one in the middle; between two, half-way.
pub(crate) fn median(values: &[u64]) -> Option<u64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let last = sorted.len().checked_sub(1)?;
    Some(u64::midpoint(sorted[last / 2], sorted[last.div_ceil(2)]))
}

/// One line of `ledger.jsonl`, without its newline: outcome, timings and versions of a run, and where its record is.
///
/// `run` is the name of the run's directory.
pub fn ledger_line(report: &Report, run: &str) -> String {
    serde_json::to_string(&Line::of(report, run)).expect("a ledger line has only string keys")
}

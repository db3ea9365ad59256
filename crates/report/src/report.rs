//! The fold from events to a report.

use std::collections::VecDeque;

use bootway_plan::{
    Artifact, Class, DiskMap, Event, EventKind, Failure, Finding, GuestInfo, Kept, Name, RunInfo, Slower,
    StepId, Stream, Timing, Verdict,
};
use serde::{Deserialize, Serialize};

/// Everything a run said, in the shape a reader wants it.
///
/// Grows by [`Report::add`] and by nothing else, so replaying a log gives the same report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What was announced; `None` if the log ends before that.
    pub run: Option<RunInfo>,
    /// In the order of the announcement, then as they appeared.
    pub steps: Vec<StepReport>,
    /// Facts about the run as a whole.
    pub notes: Vec<Said>,
    /// What went wrong outside of any step.
    pub failures: Vec<Failure>,
    /// What was decided about the run as a whole.
    pub checks: Vec<CheckReport>,
    /// What took longer than it usually does.
    pub slower: Vec<Slower>,
    /// As the run said it itself; `None` if it never came to an end.
    pub exit_code: Option<u8>,
    /// From the start to the last event.
    pub duration_ms: u64,
}

/// What became of one step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct StepReport {
    /// Which step.
    pub id: StepId,
    /// Its phase, if it was announced.
    pub phase: Option<Name>,
    /// Its kind, as in the plan; empty if it was not announced.
    pub kind: String,
    /// What it does, in a few words.
    pub summary: String,
    /// How far it came.
    pub state: State,
    /// Since the run started.
    pub started_ms: Option<u64>,
    /// Since the run started.
    pub ended_ms: Option<u64>,
    /// Programs it started, ready to paste.
    pub commands: Vec<Said>,
    /// Facts it told.
    pub notes: Vec<Said>,
    /// What it made.
    pub artifacts: Vec<Artifact>,
    /// What it checked.
    pub checks: Vec<CheckReport>,
    /// What it found out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// What its guests are made of; more than one only if it was tried more than once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub guests: Vec<GuestInfo>,
    /// How long parts of it took.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub timings: Vec<Timing>,
    /// Files that stay with the run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<Kept>,
    /// Disks it laid out.
    pub layouts: Vec<DiskMap>,
    /// How often it was silent for too long.
    pub heartbeats: u64,
    /// The last lines its programs printed.
    pub log: Lines,
    /// What a guest printed.
    pub console: Lines,
}

/// How far a step came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It was announced and never began.
    Waiting,
    /// It began and nothing says that it ended.
    Running,
    /// Its outputs were there already, and verified again.
    Cached,
    /// It did not run.
    Skipped {
        /// Why.
        reason: String,
    },
    /// It ended well.
    Finished,
    /// It ended badly.
    Failed(Failure),
    /// It was stopped because somebody asked.
    Cancelled(Failure),
}

/// Something said at a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Said {
    /// Since the run started.
    pub at_ms: u64,
    /// What.
    pub text: String,
}

/// How a check ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct CheckReport {
    /// Its name in the plan.
    pub name: String,
    /// How it ended.
    pub verdict: Verdict,
    /// Since it began.
    pub after_ms: u64,
    /// What was seen, or what was missing.
    pub detail: Option<String>,
}

/// The newest lines of something that may print without end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Lines {
    /// Older lines that are only in `events.jsonl`.
    pub omitted: u64,
    /// Oldest first.
    pub lines: VecDeque<Said>,
}

/// Lines of programs that a report keeps for each step; the log has them all.
const LOG_LINES: usize = 200;

/// Lines of a console that a report keeps for each step: a Linux boot prints about a thousand.
const CONSOLE_LINES: usize = 20_000;

/// Characters of a line that a report keeps.
const LINE_CHARS: usize = 4000;

impl Report {
    /// The report of a whole log.
    pub fn of(events: &[Event]) -> Self {
        let mut report = Self::default();
        for event in events {
            report.add(event);
        }
        report
    }

    /// Takes one more event into account.
    pub fn add(&mut self, event: &Event) {
        self.duration_ms = self.duration_ms.max(event.at_ms);
        match &event.step {
            Some(id) => self.step_mut(id).add(event.at_ms, &event.kind),
            None => self.add_to_run(event.at_ms, &event.kind),
        }
    }

    /// The step called `id`.
    pub fn step(&self, id: &str) -> Option<&StepReport> {
        self.steps.iter().find(|step| step.id == *id)
    }

    fn add_to_run(&mut self, at_ms: u64, kind: &EventKind) {
        match kind {
            EventKind::RunStarted(info) => {
                for announced in &info.steps {
                    let step = self.step_mut(&announced.id);
                    step.phase = Some(announced.phase.clone());
                    step.kind.clone_from(&announced.kind);
                    step.summary.clone_from(&announced.summary);
                }
                self.run = Some((**info).clone());
            }
            EventKind::Note { text } | EventKind::Line { text, .. } | EventKind::Command { line: text } => {
                self.notes.push(Said { at_ms, text: text.clone() });
            }
            EventKind::Failed(failure) => self.failures.push(failure.clone()),
            EventKind::Slower(slower) => self.slower.push(slower.clone()),
            EventKind::RunFinished { exit_code } => self.exit_code = Some(*exit_code),
            EventKind::Check { name, verdict, after_ms, detail } => {
                self.checks.push(CheckReport::new(name, *verdict, *after_ms, detail.as_deref()));
            }
            // Only steps have these; `docs/events.md` says so.
            EventKind::Started
            | EventKind::Cached
            | EventKind::Skipped { .. }
            | EventKind::Progress { .. }
            | EventKind::Heartbeat { .. }
            | EventKind::Layout(_)
            | EventKind::Made(_)
            | EventKind::Finding(_)
            | EventKind::Guest(_)
            | EventKind::Timing(_)
            | EventKind::Kept(_)
            | EventKind::Finished => (),
        }
    }

    fn step_mut(&mut self, id: &StepId) -> &mut StepReport {
        let index = self.steps.iter().position(|step| step.id == *id).unwrap_or_else(|| {
            self.steps.push(StepReport::new(id));
            self.steps.len() - 1
        });
        &mut self.steps[index]
    }
}

impl StepReport {
    fn new(id: &StepId) -> Self {
        Self {
            id: id.clone(),
            phase: None,
            kind: String::new(),
            summary: String::new(),
            state: State::Waiting,
            started_ms: None,
            ended_ms: None,
            commands: Vec::new(),
            notes: Vec::new(),
            artifacts: Vec::new(),
            checks: Vec::new(),
            findings: Vec::new(),
            guests: Vec::new(),
            timings: Vec::new(),
            kept: Vec::new(),
            layouts: Vec::new(),
            heartbeats: 0,
            log: Lines::default(),
            console: Lines::default(),
        }
    }

    /// `phase/step`, or the step alone if it was never announced.
    pub fn label(&self) -> String {
        self.phase.as_ref().map_or_else(|| self.id.to_string(), |phase| format!("{phase}/{}", self.id))
    }

    /// How long it took, if it began and ended.
    pub fn took_ms(&self) -> Option<u64> {
        Some(self.ended_ms?.saturating_sub(self.started_ms?))
    }

    /// Why it failed or was stopped.
    pub fn failure(&self) -> Option<&Failure> {
        match &self.state {
            State::Failed(failure) | State::Cancelled(failure) => Some(failure),
            State::Waiting | State::Running | State::Cached | State::Skipped { .. } | State::Finished => None,
        }
    }

    /// The last `n` lines that its programs or its guest printed, oldest first.
    pub fn last_lines(&self, n: usize) -> Vec<&Said> {
        let mut lines: Vec<&Said> = self.log.lines.iter().chain(&self.console.lines).collect();
        lines.sort_by_key(|line| line.at_ms);
        lines.split_off(lines.len().saturating_sub(n))
    }

    fn add(&mut self, at_ms: u64, kind: &EventKind) {
        let said = |text: &str| Said { at_ms, text: text.to_owned() };
        match kind {
            EventKind::Started => {
                self.state = State::Running;
                self.started_ms = Some(at_ms);
            }
            EventKind::Cached => self.end(at_ms, State::Cached),
            EventKind::Skipped { reason } => self.end(at_ms, State::Skipped { reason: reason.clone() }),
            EventKind::Finished if self.state == State::Cached => self.ended_ms = Some(at_ms),
            EventKind::Finished => self.end(at_ms, State::Finished),
            EventKind::Failed(failure) if failure.class == Class::Cancelled => {
                self.end(at_ms, State::Cancelled(failure.clone()));
            }
            EventKind::Failed(failure) => self.end(at_ms, State::Failed(failure.clone())),
            EventKind::Command { line } => self.commands.push(said(line)),
            EventKind::Line { stream: Stream::Console, text } => self.console.push(said(text), CONSOLE_LINES),
            EventKind::Line { stream: Stream::Stdout | Stream::Stderr, text } => {
                self.log.push(said(text), LOG_LINES);
            }
            EventKind::Note { text } => self.notes.push(said(text)),
            EventKind::Heartbeat { .. } => self.heartbeats += 1,
            EventKind::Finding(finding) => self.findings.push(finding.clone()),
            EventKind::Guest(guest) => self.guests.push((**guest).clone()),
            EventKind::Timing(timing) => self.timings.push(timing.clone()),
            EventKind::Kept(kept) => self.keep(kept),
            EventKind::Layout(map) => self.layouts.push(map.clone()),
            EventKind::Made(artifact) => self.artifacts.push(artifact.clone()),
            EventKind::Check { name, verdict, after_ms, detail } => {
                self.checks.push(CheckReport::new(name, *verdict, *after_ms, detail.as_deref()));
            }
            // Progress is of the moment; the others are about the run.
            EventKind::Progress { .. }
            | EventKind::RunStarted(_)
            | EventKind::Slower(_)
            | EventKind::RunFinished { .. } => (),
        }
    }

    /// A file that is written again is the same file.
    fn keep(&mut self, kept: &Kept) {
        self.kept.retain(|it| it.path != kept.path);
        self.kept.push(kept.clone());
    }

    fn end(&mut self, at_ms: u64, state: State) {
        self.ended_ms = Some(at_ms);
        self.state = state;
    }
}

impl CheckReport {
    fn new(name: &str, verdict: Verdict, after_ms: u64, detail: Option<&str>) -> Self {
        Self { name: name.to_owned(), verdict, after_ms, detail: detail.map(str::to_owned) }
    }
}

impl Lines {
    /// Takes a line, and lets go of the oldest beyond `most`.
    fn push(&mut self, mut line: Said, most: usize) {
        if let Some((end, _)) = line.text.char_indices().nth(LINE_CHARS) {
            line.text.truncate(end);
            line.text.push('…');
        }
        if self.lines.len() == most {
            self.lines.pop_front();
            self.omitted += 1;
        }
        self.lines.push_back(line);
    }
}

impl State {
    /// The word for it.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Waiting => "not run",
            Self::Running => "not finished",
            Self::Cached => "cached",
            Self::Skipped { .. } => "skipped",
            Self::Finished => "finished",
            Self::Failed(_) => "failed",
            Self::Cancelled(_) => "cancelled",
        }
    }
}

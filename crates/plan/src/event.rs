//! What happened, one fact at a time.

use serde::{Deserialize, Serialize};

use crate::{Artifact, Bytes, Digest, Failure, Millis, Name, StepId};

mod guest;

pub use guest::{GuestImage, GuestInfo, Kept, KeptKind, Slower, Timing};

/// One fact about a run.
///
/// The terminal, `events.jsonl` and the report are all made from the same sequence of these, so they cannot
/// disagree. Field by field in `docs/events.md`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Event {
    /// Milliseconds since the run started.
    pub at_ms: u64,
    /// The step it is about, or `None` for the run as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<StepId>,
    /// The fact.
    pub kind: EventKind,
}

/// The facts there are.
///
/// A step's events are `started`, then `cached` or anything else, then exactly one of `finished`, `skipped`,
/// `failed`. Of one that never began there is only the last: `skipped`, or `failed` in a plan that is strict about that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum EventKind {
    /// The run begins.
    RunStarted(Box<RunInfo>),
    /// A step began.
    Started,
    /// A step's outputs were already there and verified again: nothing ran.
    Cached,
    /// A step did not run, and why.
    Skipped {
        /// Why, in a sentence that names the condition.
        reason: String,
    },
    /// An external program began; the text can be pasted into a shell.
    Command {
        /// The program and its arguments.
        line: String,
    },
    /// A program or a guest printed a line.
    Line {
        /// Where.
        stream: Stream,
        /// The line, without its end and without control sequences.
        text: String,
    },
    /// A fact about the machine or the step that a reader of the report needs, such as the accelerator and why.
    Note {
        /// In a sentence.
        text: String,
    },
    /// How far a step has come; at most five times a second.
    Progress {
        /// What is done so far.
        done: u64,
        /// Of how much, if that is known.
        total: Option<u64>,
        /// Of what.
        unit: Unit,
    },
    /// A step has been silent for its `silent-warn`.
    Heartbeat {
        /// Since the step began.
        running_ms: u64,
        /// Since it last said something.
        silent_ms: u64,
        /// Of its programs, so far.
        cpu_ms: u64,
        /// Written by its programs, so far.
        written: Bytes,
        /// What it said last.
        last: Option<String>,
    },
    /// Where everything on a disk is.
    Layout(DiskMap),
    /// An output exists.
    Made(Artifact),
    /// A check is decided; one of the run as a whole is about its time.
    Check {
        /// Its name in the plan.
        name: String,
        /// How it ended.
        verdict: Verdict,
        /// Since the check began.
        after_ms: u64,
        /// What was seen, or what was missing.
        detail: Option<String>,
    },
    /// Something that was found out about what the step looked at, and why it is believed.
    Finding(Finding),
    /// What a guest is made of, before it is switched on.
    Guest(Box<GuestInfo>),
    /// How long a part of a step took.
    Timing(Timing),
    /// A file stays with the run.
    Kept(Kept),
    /// Something of the run took longer than usual.
    Slower(Slower),
    /// A step ended well.
    Finished,
    /// A step ended badly.
    Failed(Failure),
    /// Nothing follows.
    RunFinished {
        /// The exit code of the process.
        exit_code: u8,
    },
}

/// What a run is about to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RunInfo {
    /// Of this log format: 1.
    pub format: u32,
    /// The plan's name.
    pub plan: Name,
    /// Of the resolved plan.
    pub plan_digest: Digest,
    /// How the user names the plan file, for rerun lines; `None` for the embedded default.
    pub plan_file: Option<String>,
    /// What the rerun line begins with, `fetch`; `build` unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// What else a rerun line needs, `--var NAME=VALUE` and `--work DIR`; secret values are not in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<String>,
    /// When the run began, in seconds since 1970-01-01 UTC. The only wall-clock time there is.
    pub started: u64,
    /// Version of bootway.
    pub version: String,
    /// What the host is, in a line.
    pub host: String,
    /// Versions of the programs that will be used.
    pub tools: Vec<(String, String)>,
    /// What will happen, in order.
    pub steps: Vec<StepInfo>,
}

/// A step in a run's announcement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct StepInfo {
    /// Which step.
    pub id: StepId,
    /// In which phase.
    pub phase: Name,
    /// Its kind, as in the plan.
    pub kind: String,
    /// What it does, in a few words.
    pub summary: String,
}

/// Where a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stream {
    /// Standard output of a program.
    Stdout,
    /// Standard error of a program.
    Stderr,
    /// Serial console of a guest.
    Console,
}

/// What progress counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Files, packages, checks.
    Items,
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It ran, and what was wanted was seen.
    Passed,
    /// It ran, and something else was seen.
    Failed,
    /// It ran, and nothing was seen in time.
    TimedOut,
    /// It did not run; the detail says why. Never counted as a pass.
    NotRun,
    /// It keeps the place of a check that is not written yet. Never counted as a pass, and no tier with one is good.
    Placeholder,
    /// All checks together took longer than their tier may.
    OverBudget,
}

/// Something that was found out about an image, and why it is believed.
///
/// A finding is no check: nobody said what must be true. What must be is written as an expectation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Finding {
    /// What it is about, such as `the shim`.
    pub about: String,
    /// The question, in a few words: `refuses an unsigned root`.
    pub name: String,
    /// What the answer means for whoever wants the image to boot.
    pub judgement: Judgement,
    /// The answer: `no`, `257`, `DEV REC`.
    pub answer: String,
    /// What was seen, and where.
    pub evidence: String,
}

/// What a [`Finding`] means for whoever wants an image to boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Judgement {
    /// As it should be.
    Good,
    /// Neither good nor bad.
    Fact,
    /// It may be trouble.
    Doubtful,
    /// It will be trouble.
    Bad,
    /// It could not be found out; the evidence says why.
    Unknown,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}: {} ({})", self.about, self.name, self.answer, self.evidence)
    }
}

impl Judgement {
    /// The word for it, with a sign.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Good => "✓ good",
            Self::Fact => "· fact",
            Self::Doubtful => "! doubtful",
            Self::Bad => "✗ bad",
            Self::Unknown => "? unknown",
        }
    }
}

/// A disk, drawn to scale in the report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct DiskMap {
    /// Of the whole disk.
    pub size: Bytes,
    /// Of a sector.
    pub sector_size: Bytes,
    /// In the order of the disk.
    pub partitions: Vec<PartitionMap>,
}

/// A partition in a [`DiskMap`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PartitionMap {
    /// Its number in the table, from 1.
    pub number: u32,
    /// Its GPT name.
    pub label: String,
    /// Its type, as in the plan.
    pub kind: String,
    /// What is in it: `fat32`, `ext4`, `squashfs`, `raw`, or nothing.
    pub fs: Option<String>,
    /// First byte.
    pub offset: Bytes,
    /// Bytes.
    pub size: Bytes,
    /// Bytes that hold something; the rest is free.
    pub used: Bytes,
    /// Partition GUID.
    pub guid: String,
}

impl Event {
    /// A fact about the run as a whole.
    pub const fn of_run(at_ms: u64, kind: EventKind) -> Self {
        Self { at_ms, step: None, kind }
    }

    /// When it happened.
    pub const fn at(&self) -> Millis {
        Millis::new(self.at_ms)
    }
}

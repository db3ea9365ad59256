//! Whether something takes longer than it used to.
//!
//! Compared is what is alike: the same step on the same host, a guest under the same accelerator, a phase of the same
//! steps; and only what really ran, never what was there already.

use std::fmt;

use bootway_plan::Slower;
use serde::Serialize;

use crate::{
    Outcome, Report,
    ledger::{Line, Step, median},
    text::seconds,
};

/// So many good runs are needed to know what is usual.
const ENOUGH: usize = 5;

/// So many count, the newest: what was usual a year ago is not.
const MOST: usize = 20;

/// What is slower takes more than so many times as long, in tenths, …
const TENTHS: u64 = 15;

/// … and more than so many milliseconds longer.
const MORE_MS: u64 = 500;

/// What all runs of a plan have taken.
#[derive(Clone, Debug, Default)]
pub struct History {
    lines: Vec<Line>,
    /// Lines of the ledger that nobody can read, such as one that was torn by a kill.
    pub unreadable: usize,
}

/// A time that is taken in each run, and how the newest one compares with those before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Series {
    /// What: `step boots`, `boot-to-ready of boots`, `phase test`.
    pub what: String,
    /// Where it was taken.
    pub host: String,
    /// The newest time, in milliseconds.
    pub last_ms: u64,
    /// Of the run it was taken in.
    pub last_run: Option<String>,
    /// Median of the good runs before.
    pub usual_ms: Option<u64>,
    /// How many those are.
    pub runs: u32,
    /// Whether it is slower: more than 1.5 times the usual, and more than 0.5 s longer, after five good runs or more.
    pub slower: bool,
}

/// One time of one run.
struct Sample {
    what: String,
    host: String,
    ms: u64,
    run: Option<String>,
    good: bool,
    /// What must be the same for it to be compared.
    like: String,
}

impl History {
    /// Of the text of a `ledger.jsonl`.
    pub fn parse(text: &str) -> Self {
        let mut history = Self::default();
        for line in text.lines() {
            match serde_json::from_str(line) {
                Ok(line) => history.lines.push(line),
                Err(_) => history.unreadable += 1,
            }
        }
        history
    }

    /// Each time that was ever taken, in the order of its first run.
    pub fn series(&self) -> Vec<Series> {
        let mut groups: Vec<Vec<Sample>> = Vec::new();
        for sample in self.lines.iter().flat_map(samples) {
            let like = |group: &&mut Vec<Sample>| group.iter().all(|it| it.is_like(&sample));
            match groups.iter_mut().find(like) {
                Some(group) => group.push(sample),
                None => groups.push(vec![sample]),
            }
        }
        groups.iter().filter_map(|group| judge(group)).collect()
    }

    /// What of a run that is about to end took longer than in the runs of this history.
    pub fn slower(&self, report: &Report) -> Vec<Slower> {
        let line = Line::of(report, "");
        let slower = |new: Sample| {
            let mut group: Vec<Sample> =
                self.lines.iter().flat_map(samples).filter(|old| old.is_like(&new)).collect();
            group.push(new);
            judge(&group).and_then(|series| series.slower())
        };
        samples(&line).filter_map(slower).collect()
    }
}

impl Sample {
    fn is_like(&self, other: &Self) -> bool {
        (&self.what, &self.host, &self.like) == (&other.what, &other.host, &other.like)
    }
}

impl Series {
    fn slower(&self) -> Option<Slower> {
        let usual_ms = self.usual_ms.filter(|_| self.slower)?;
        Some(Slower { what: self.what.clone(), ms: self.last_ms, usual_ms, runs: self.runs })
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} s", self.what, seconds(self.last_ms))?;
        match self.usual_ms {
            Some(usual) => write!(f, ", usually {} s ({} good runs)", seconds(usual), self.runs)?,
            None => f.write_str(", for the first time")?,
        }
        f.write_str(if self.slower { ": slower" } else { "" })
    }
}

/// All times of a run.
fn samples(line: &Line) -> impl Iterator<Item = Sample> {
    let sample = |what: String, ms: u64, like: String| Sample {
        what,
        host: line.host.clone().unwrap_or_default(),
        ms,
        run: line.run.clone(),
        good: line.outcome == Outcome::Good,
        like,
    };
    let steps = line.steps.iter().filter(|step| step.state == "finished").flat_map(move |step| {
        let accel = step.guest.as_ref().map(|it| it.info.accel.clone()).unwrap_or_default();
        let own = step.ms.map(|ms| sample(format!("step {}", step.id), ms, accel.clone()));
        let parts = step.timings.iter();
        let parts = parts.map(move |(name, ms)| (format!("{name} of {}", step.id), *ms, accel.clone()));
        own.into_iter().chain(parts.map(move |(what, ms, like)| sample(what, ms, like)))
    });
    steps.chain(phases(line).into_iter().map(move |(what, ms, like)| sample(what, ms, like)))
}

/// Phases of more than one step, all of which ran.
fn phases(line: &Line) -> Vec<(String, u64, String)> {
    let mut names: Vec<_> = line.steps.iter().filter_map(|step| step.phase.as_ref()).collect();
    names.dedup();
    let phase = |name| {
        let steps: Vec<&Step> = line.steps.iter().filter(|step| step.phase.as_ref() == Some(name)).collect();
        let all_ran = steps.len() > 1 && steps.iter().all(|step| step.state == "finished");
        let took = steps.iter().filter_map(|step| step.ms).sum();
        let ids: Vec<_> = steps.iter().map(|step| step.id.as_str()).collect();
        all_ran.then(|| (format!("phase {name}"), took, ids.join(" ")))
    };
    names.into_iter().filter_map(phase).collect()
}

/// The newest of times that are alike, and those before it.
fn judge(group: &[Sample]) -> Option<Series> {
    let (last, before) = group.split_last()?;
    let good: Vec<u64> = before.iter().rev().filter(|it| it.good).take(MOST).map(|it| it.ms).collect();
    let usual_ms = median(&good);
    let slower = good.len() >= ENOUGH
        && usual_ms.is_some_and(|usual| last.ms * 10 > usual * TENTHS && last.ms > usual + MORE_MS);
    Some(Series {
        what: last.what.clone(),
        host: last.host.clone(),
        last_ms: last.ms,
        last_run: last.run.clone(),
        usual_ms,
        runs: good.len() as u32,
        slower,
    })
}

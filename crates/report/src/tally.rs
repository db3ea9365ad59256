//! What a tier of checks came to: how many of each, and why some did not run.

use std::fmt::Write as _;

use bootway_plan::Verdict;
use serde::{Deserialize, Serialize};

use crate::{CheckReport, Report, State, StepReport, Style, outcome::number, terminal::Tone, text::one_line};

/// How many checks ended how; a step that checks nothing by name is one check.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Tally {
    /// They ran, and what was wanted was seen.
    pub passed: u64,
    /// They ran, and something else was seen or nothing in time; or the step itself failed.
    pub failed: u64,
    /// They did not run; each has its reason in `skips`.
    pub skipped: u64,
    /// They are not written yet.
    pub placeholders: u64,
    /// Tiers that took longer than they may.
    pub over_budget: u64,
    /// What did not pass, as `step: check`.
    pub failures: Vec<String>,
    /// What did not run, and why, as `step: reason`.
    pub skips: Vec<String>,
}

impl Tally {
    /// Of everything that a run did.
    pub fn of(report: &Report) -> Self {
        let mut tally = Self::default();
        for step in &report.steps {
            tally.add(step);
        }
        tally.decide("the run", &report.checks);
        tally
    }

    fn add(&mut self, step: &StepReport) {
        let failed_before = self.failed;
        self.decide(&step.id.to_string(), &step.checks);
        match &step.state {
            State::Finished | State::Cached if step.checks.is_empty() => self.passed += 1,
            State::Skipped { reason } => {
                self.skipped += 1;
                self.skips.push(format!("{}: {}", step.id, one_line(reason)));
            }
            State::Waiting => {
                self.skipped += 1;
                self.skips.push(format!("{}: the run ended before it", step.id));
            }
            State::Failed(failure) | State::Cancelled(failure) if self.failed == failed_before => {
                self.failed += 1;
                let why = failure.chain.last().map(|text| one_line(text)).unwrap_or_default();
                self.failures.push(format!("{}: {why}", step.id));
            }
            // The checks have said it.
            State::Finished | State::Cached | State::Failed(_) | State::Cancelled(_) => (),
            State::Running => {
                self.failed += 1;
                self.failures.push(format!("{}: nothing says how it ended", step.id));
            }
        }
    }

    /// Counts the checks of `whose`.
    fn decide(&mut self, whose: &str, checks: &[CheckReport]) {
        for check in checks {
            let said = || format!("{whose}: {}", one_line(&check.name));
            match check.verdict {
                Verdict::Passed => self.passed += 1,
                Verdict::Failed | Verdict::TimedOut => {
                    self.failed += 1;
                    self.failures.push(said());
                }
                Verdict::NotRun => {
                    let why = one_line(check.detail.as_deref().unwrap_or_default());
                    self.skipped += 1;
                    self.skips.push(format!("{}: {why}", said()));
                }
                Verdict::Placeholder => self.placeholders += 1,
                Verdict::OverBudget => self.over_budget += 1,
            }
        }
    }

    /// What did not pass and what did not run, each on a line, and the counts on the last.
    pub fn text(&self, style: &Style) -> String {
        let mut text = String::new();
        for (tone, sign, lines) in [(Tone::Bad, "✗", &self.failures), (Tone::Warn, "⊘", &self.skips)] {
            for line in lines {
                let _ = writeln!(text, "  {} {line}", style.paint(tone, sign));
            }
        }
        text + &self.to_string()
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { passed, failed, skipped, placeholders, over_budget, .. } = self;
        write!(f, "{passed} passed, {failed} failed, {skipped} skipped")?;
        if *placeholders > 0 {
            write!(f, ", {}", number(*placeholders, "placeholder"))?;
        }
        if *over_budget > 0 { f.write_str(", over budget") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use bootway_plan::{Class, Event, EventKind, Failure, Name};

    use super::*;

    fn check(name: &str, verdict: Verdict) -> EventKind {
        EventKind::Check { name: name.into(), verdict, after_ms: 1, detail: Some("no engine".into()) }
    }

    #[test]
    fn every_check_and_every_step_is_counted_once() {
        let failed = || EventKind::Failed(Failure::new(Class::Check, "1 of 2 expectations failed"));
        let steps: [(&str, Vec<EventKind>); 6] = [
            ("contract", vec![check("outputs", Verdict::Passed), check("gating", Verdict::Failed), failed()]),
            ("lint", vec![EventKind::Finished]),
            ("built", vec![EventKind::Cached]),
            ("smoke", vec![EventKind::Skipped { reason: "docker or podman not found".into() }]),
            ("broken", vec![EventKind::Failed(Failure::new(Class::Step, "it is broken"))]),
            ("later", vec![check("later", Verdict::Placeholder), EventKind::Finished]),
        ];
        let mut events = Vec::new();
        for (step, kinds) in steps {
            let of = |kind| Event { at_ms: 0, step: Some(Name::fixed(step)), kind };
            events.push(of(EventKind::Started));
            events.extend(kinds.into_iter().map(of));
        }
        events.push(Event::of_run(9, check("tier quick in 1s", Verdict::OverBudget)));
        events.push(Event::of_run(9, EventKind::RunFinished { exit_code: 5 }));
        let report = Report::of(&events);
        let style = Style { colour: false, width: 100, live: false, verbosity: crate::Verbosity::Normal };
        insta::assert_snapshot!(Tally::of(&report).text(&style), @"
          ✗ contract: gating
          ✗ broken: it is broken
          ⊘ smoke: docker or podman not found
        3 passed, 2 failed, 1 skipped, 1 placeholder, over budget
        ");
        assert_eq!(report.counts().placeholders, 1);
    }
}

//! What a report adds up to.

use bootway_plan::{Class, Verdict, exit_code};
use serde::{Deserialize, Serialize};

use crate::{Report, State, StepReport};

/// How a run ended, from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Everything that was announced is done, and no check failed.
    Good,
    /// Nothing was selected, so nothing was proved.
    Nothing,
    /// Built, and not good.
    Check,
    /// A step failed.
    Step,
    /// The machine lacks something.
    Environment,
    /// The plan or the command line is wrong.
    Plan,
    /// Someone asked to stop.
    Cancelled,
    /// The log does not say how the run, or one of its steps, ended.
    Interrupted,
    /// A bug of bootway.
    Bug,
}

/// How many of each there are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Counts {
    /// Steps that ran and ended well.
    pub built: u64,
    /// Steps whose outputs were there already.
    pub cached: u64,
    /// Steps that did not run, with the reason.
    pub skipped: u64,
    /// Steps that ended badly.
    pub failed: u64,
    /// Steps that were stopped.
    pub cancelled: u64,
    /// Steps that began and never ended.
    pub unfinished: u64,
    /// Steps that never began.
    pub not_run: u64,
    /// Checks that passed.
    pub checks_passed: u64,
    /// Checks that saw something else.
    pub checks_failed: u64,
    /// Checks that saw nothing in time.
    pub checks_timed_out: u64,
    /// Checks that did not run: never counted as passes.
    pub checks_not_run: u64,
    /// Checks that are not written yet: never counted as passes.
    pub placeholders: u64,
    /// Tiers that took longer than they may.
    pub over_budget: u64,
}

impl Report {
    /// The worst of the exit code, the failures, the checks, and of what is missing from the log.
    pub fn outcome(&self) -> Outcome {
        let said = self.exit_code.map_or(Outcome::Interrupted, Outcome::of_exit_code);
        let failures = self.failures.iter().map(|failure| Outcome::of_class(failure.class));
        let steps = self.steps.iter().map(|step| step.outcome(said));
        let checks = self.checks.iter().map(|check| outcome_of(check.verdict));
        failures.chain(steps).chain(checks).fold(said, Outcome::max)
    }

    /// How many of each there are.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for step in &self.steps {
            *match step.state {
                State::Waiting => &mut counts.not_run,
                State::Running => &mut counts.unfinished,
                State::Cached => &mut counts.cached,
                State::Skipped { .. } => &mut counts.skipped,
                State::Finished => &mut counts.built,
                State::Failed(_) => &mut counts.failed,
                State::Cancelled(_) => &mut counts.cancelled,
            } += 1;
            for check in &step.checks {
                counts.add(check.verdict);
            }
        }
        for check in &self.checks {
            counts.add(check.verdict);
        }
        counts
    }

    /// Whether nothing was to be built: the run only brought what a build needs from the network.
    pub(crate) fn is_fetch(&self) -> bool {
        self.run.as_ref().is_some_and(|run| run.command.as_deref() == Some("fetch"))
    }

    /// The outcome in a sentence that needs no legend.
    pub fn headline(&self) -> String {
        let counts = self.counts();
        let failed = || {
            let ids: Vec<_> = self.steps.iter().filter(|step| step.failure().is_some()).collect();
            match ids.as_slice() {
                [] => "the run".to_owned(),
                [one] => one.id.to_string(),
                [first, others @ ..] => format!("{} and {} more", first.id, others.len()),
            }
        };
        match self.outcome() {
            Outcome::Good if counts.placeholders > 0 => {
                format!("Good, but {} nothing", proves(counts.placeholders))
            }
            Outcome::Good if counts.checks_passed > 0 && counts.checks_not_run == 0 => {
                format!("It works: {}", checks_passed(counts.checks_passed))
            }
            Outcome::Good if counts.checks_passed > 0 => {
                format!("Good, but {} did not run", number(counts.checks_not_run, "check"))
            }
            Outcome::Good if self.is_fetch() => "Everything is here that was to be fetched".to_owned(),
            Outcome::Good if counts.built == 0 && counts.cached > 0 => {
                "Nothing to do: nothing has changed since it was done".to_owned()
            }
            Outcome::Good => "Done, and nothing was checked".to_owned(),
            Outcome::Nothing => "Nothing was selected, so nothing was proved".to_owned(),
            Outcome::Check => match counts.checks_failed + counts.checks_timed_out {
                0 if counts.placeholders > 0 => format!("Not good: {} nothing", proves(counts.placeholders)),
                0 if counts.over_budget > 0 => "Not good: it took longer than it may".to_owned(),
                0 => "Built, but not good".to_owned(),
                bad => format!("Built, but not good: {} did not pass", number(bad, "check")),
            },
            Outcome::Step => format!("Failed: {}", failed()),
            Outcome::Environment => format!("This machine lacks something: {} failed", failed()),
            Outcome::Plan => "The plan is wrong".to_owned(),
            Outcome::Cancelled => "Stopped, because somebody asked".to_owned(),
            Outcome::Interrupted => "Interrupted: the log does not say how it ended".to_owned(),
            Outcome::Bug => "A bug of bootway".to_owned(),
        }
    }
}

impl Counts {
    fn add(&mut self, verdict: Verdict) {
        *match verdict {
            Verdict::Passed => &mut self.checks_passed,
            Verdict::Failed => &mut self.checks_failed,
            Verdict::TimedOut => &mut self.checks_timed_out,
            Verdict::NotRun => &mut self.checks_not_run,
            Verdict::Placeholder => &mut self.placeholders,
            Verdict::OverBudget => &mut self.over_budget,
        } += 1;
    }
}

/// What a check says about its run; a placeholder is bad only where a tier is run, and then the run says so.
const fn outcome_of(verdict: Verdict) -> Outcome {
    match verdict {
        Verdict::Passed | Verdict::NotRun | Verdict::Placeholder => Outcome::Good,
        Verdict::Failed | Verdict::TimedOut | Verdict::OverBudget => Outcome::Check,
    }
}

impl StepReport {
    /// What this step says about a run that calls itself `said`.
    fn outcome(&self, said: Outcome) -> Outcome {
        let checks =
            self.checks.iter().map(|check| outcome_of(check.verdict)).fold(Outcome::Good, Outcome::max);
        let state = match &self.state {
            State::Cached | State::Skipped { .. } | State::Finished => Outcome::Good,
            State::Failed(failure) | State::Cancelled(failure) => Outcome::of_class(failure.class),
            // After a failure, what depends on it never begins. In a run that says it is good, the log is not whole.
            State::Waiting if said != Outcome::Good => Outcome::Good,
            State::Waiting | State::Running => Outcome::Interrupted,
        };
        checks.max(state)
    }
}

impl Outcome {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Nothing => "nothing",
            Self::Check => "check",
            Self::Step => "step",
            Self::Environment => "environment",
            Self::Plan => "plan",
            Self::Cancelled => "cancelled",
            Self::Interrupted => "interrupted",
            Self::Bug => "bug",
        }
    }

    pub(crate) const fn of_class(class: Class) -> Self {
        match class {
            Class::Nothing => Self::Nothing,
            Class::Check => Self::Check,
            Class::Step => Self::Step,
            Class::Environment => Self::Environment,
            Class::Plan => Self::Plan,
            Class::Cancelled => Self::Cancelled,
            Class::Bug => Self::Bug,
        }
    }

    const fn of_exit_code(code: u8) -> Self {
        match code {
            exit_code::DONE => Self::Good,
            exit_code::NOTHING => Self::Nothing,
            exit_code::CHECK => Self::Check,
            exit_code::STEP => Self::Step,
            exit_code::ENVIRONMENT => Self::Environment,
            exit_code::PLAN | exit_code::USAGE => Self::Plan,
            exit_code::INTERRUPTED | exit_code::TERMINATED => Self::Cancelled,
            _ => Self::Bug,
        }
    }
}

/// `1 check`, `7 checks`.
pub(crate) fn number(n: u64, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

fn proves(n: u64) -> String {
    format!("{} {}", number(n, "placeholder"), if n == 1 { "proves" } else { "prove" })
}

fn checks_passed(n: u64) -> String {
    match n {
        1 => "the check passed".to_owned(),
        n => format!("all {n} checks passed"),
    }
}

//! What a run says about what a task needs.

use bootway_plan::Verdict;

use crate::{CheckReport, Report, State, StepReport};

/// What of `needs` is not good in this run; nothing is said if nothing is needed, or something was not looked at.
pub(super) fn failing(report: &Report, needs: &[String]) -> Option<Vec<String>> {
    let seen: Vec<(&String, Option<bool>)> = needs.iter().map(|need| (need, is_good(report, need))).collect();
    let failing: Vec<String> =
        seen.iter().filter(|(_, good)| *good == Some(false)).map(|(need, _)| (*need).clone()).collect();
    let all_good = !seen.is_empty() && seen.iter().all(|(_, good)| *good == Some(true));
    (all_good || !failing.is_empty()).then_some(failing)
}

/// Whether `STEP`, or `STEP/CHECK`, is good; `None` if this run does not say.
fn is_good(report: &Report, need: &str) -> Option<bool> {
    let (step, check) = need.split_once('/').map_or((need, None), |(step, check)| (step, Some(check)));
    let step = report.step(step)?;
    match check {
        None => of_step(step),
        Some(check) => of_checks(step.checks.iter().filter(|it| it.name == check)),
    }
}

fn of_step(step: &StepReport) -> Option<bool> {
    match &step.state {
        State::Failed(_) => Some(false),
        // It was good when it ran, and nothing has changed since.
        State::Cached => Some(true),
        State::Finished if step.checks.is_empty() => Some(true),
        State::Finished => of_checks(step.checks.iter()),
        State::Waiting | State::Running | State::Skipped { .. } | State::Cancelled(_) => None,
    }
}

/// One that is bad makes all bad, and one that did not run leaves it open.
fn of_checks<'a>(checks: impl Iterator<Item = &'a CheckReport>) -> Option<bool> {
    let verdicts: Vec<Verdict> = checks.map(|it| it.verdict).collect();
    let is_bad = |it: &Verdict| matches!(it, Verdict::Failed | Verdict::TimedOut | Verdict::OverBudget);
    if verdicts.iter().any(is_bad) {
        return Some(false);
    }
    let all_passed = !verdicts.is_empty() && verdicts.iter().all(|it| *it == Verdict::Passed);
    all_passed.then_some(true)
}

//! For continuous integration: XML in the manner of `JUnit`.
//!
//! There is no normative schema; this follows the one that Jenkins and GitLab read (`testsuites`, `testsuite`,
//! `testcase`, with `failure`, `error` and `skipped`). What did not run is never a pass.

use std::fmt::Write as _;

use bootway_plan::{Failure, Verdict};

use crate::{
    CheckReport, Outcome, Report, State, StepReport, rerun_line,
    text::{Escaped, seconds, utc},
};

/// How a test case ended.
enum Ending {
    Passed,
    Failure { kind: &'static str, message: String, text: String },
    Error { kind: &'static str, message: String },
    Skipped { message: String },
}

struct Case {
    name: String,
    ms: u64,
    ending: Ending,
}

/// The text of `junit.xml`: a suite `steps` with each step and the run itself, and a suite for each step that
/// checked something.
pub fn to_junit(report: &Report) -> String {
    let plan = report.run.as_ref().map_or("run", |run| run.plan.as_str());
    let started = report.run.as_ref().map(|run| utc(run.started));
    let mut suites = vec![("steps".to_owned(), steps(report))];
    for step in report.steps.iter().filter(|step| !step.checks.is_empty()) {
        suites.push((step.label(), step.checks.iter().map(|check| check_case(Some(step), check)).collect()));
    }
    if !report.checks.is_empty() {
        suites.push((
            "the run".to_owned(),
            report.checks.iter().map(|check| check_case(None, check)).collect(),
        ));
    }
    let all: Vec<&Case> = suites.iter().flat_map(|(_, cases)| cases).collect();
    let mut xml = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned();
    let time = seconds(report.duration_ms);
    let _ = writeln!(xml, r#"<testsuites name="{plan}" {} time="{time}">"#, totals(&all));
    for (name, cases) in &suites {
        let time = seconds(cases.iter().map(|case| case.ms).sum());
        let when = started.as_ref().map(|at| format!(r#" timestamp="{}""#, at.trim_end_matches('Z')));
        let totals = totals(&cases.iter().collect::<Vec<_>>());
        let _ = writeln!(
            xml,
            r#"  <testsuite name="{name}" {totals} time="{time}"{}>"#,
            when.unwrap_or_default()
        );
        for case in cases {
            write_case(&mut xml, name, case);
        }
        xml.push_str("  </testsuite>\n");
    }
    xml.push_str("</testsuites>\n");
    xml
}

fn totals(cases: &[&Case]) -> String {
    let count = |is: fn(&Ending) -> bool| cases.iter().filter(|case| is(&case.ending)).count();
    format!(
        r#"tests="{}" failures="{}" errors="{}" skipped="{}""#,
        cases.len(),
        count(|ending| matches!(ending, Ending::Failure { .. })),
        count(|ending| matches!(ending, Ending::Error { .. })),
        count(|ending| matches!(ending, Ending::Skipped { .. })),
    )
}

fn write_case(xml: &mut String, suite: &str, case: &Case) {
    let name = Escaped(&case.name);
    let _ = write!(xml, r#"    <testcase classname="{suite}" name="{name}" time="{}""#, seconds(case.ms));
    let _ = match &case.ending {
        Ending::Passed => writeln!(xml, "/>"),
        Ending::Failure { kind, message, text } => writeln!(
            xml,
            ">\n      <failure type=\"{kind}\" message=\"{}\">{}</failure>\n    </testcase>",
            Escaped(message),
            Escaped(text),
        ),
        Ending::Error { kind, message } => {
            writeln!(
                xml,
                ">\n      <error type=\"{kind}\" message=\"{}\"/>\n    </testcase>",
                Escaped(message)
            )
        }
        Ending::Skipped { message } => {
            writeln!(xml, ">\n      <skipped message=\"{}\"/>\n    </testcase>", Escaped(message))
        }
    };
}

/// Each step, and last the run: its case fails whenever the run is not good, whatever the steps say.
fn steps(report: &Report) -> Vec<Case> {
    let mut cases: Vec<Case> = report.steps.iter().map(|step| step_case(report, step)).collect();
    let ending = match report.outcome() {
        Outcome::Good => Ending::Passed,
        outcome @ (Outcome::Nothing | Outcome::Cancelled | Outcome::Interrupted | Outcome::Bug) => {
            Ending::Error { kind: outcome.word(), message: report.headline() }
        }
        outcome @ (Outcome::Check | Outcome::Step | Outcome::Environment | Outcome::Plan) => {
            let text = report.failures.iter().map(Failure::to_string).collect::<Vec<_>>().join("\n");
            Ending::Failure { kind: outcome.word(), message: report.headline(), text }
        }
    };
    cases.push(Case { name: "the run".to_owned(), ms: 0, ending });
    cases
}

fn step_case(report: &Report, step: &StepReport) -> Case {
    let ending = match &step.state {
        State::Cached | State::Finished => Ending::Passed,
        State::Skipped { reason } => Ending::Skipped { message: reason.clone() },
        State::Waiting => Ending::Skipped { message: "not run: the run ended before it".to_owned() },
        State::Running => Ending::Error {
            kind: "interrupted",
            message: "it began, and nothing says how it ended".to_owned(),
        },
        State::Cancelled(failure) => Ending::Error { kind: "cancelled", message: failure.chain.join(": ") },
        State::Failed(failure) => {
            let mut text = failure.to_string();
            if let Some(run) = &report.run {
                let _ = write!(text, "\n  rerun: {}", rerun_line(run, &step.id));
            }
            for kept in &step.kept {
                let _ = write!(text, "\n  - {}: {}", kept.label, kept.path);
            }
            for line in step.last_lines(15) {
                let _ = write!(text, "\n  | {}", line.text);
            }
            Ending::Failure {
                kind: Outcome::of_class(failure.class).word(),
                message: failure.chain.first().cloned().unwrap_or_default(),
                text,
            }
        }
    };
    Case { name: step.id.to_string(), ms: step.took_ms().unwrap_or_default(), ending }
}

fn check_case(step: Option<&StepReport>, check: &CheckReport) -> Case {
    let detail = check.detail.clone().unwrap_or_default();
    let ending = match check.verdict {
        Verdict::Passed => Ending::Passed,
        Verdict::Failed => {
            Ending::Failure { kind: "failed", message: "something else was seen".to_owned(), text: detail }
        }
        Verdict::TimedOut => Ending::Failure {
            kind: "timed-out",
            message: "nothing was seen in time".to_owned(),
            text: detail,
        },
        // Where a tier is run, the case of the run fails for it.
        Verdict::Placeholder => Ending::Skipped { message: format!("placeholder: {detail}") },
        Verdict::OverBudget => Ending::Failure {
            kind: "over-budget",
            message: "it took longer than it may".to_owned(),
            text: detail,
        },
        Verdict::NotRun if step.is_some_and(|step| step.failure().is_some()) => {
            Ending::Error { kind: "not-run", message: format!("not run: {detail}") }
        }
        Verdict::NotRun => Ending::Skipped { message: format!("not run: {detail}") },
    };
    Case { name: check.name.clone(), ms: check.after_ms, ending }
}

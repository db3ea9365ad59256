//! For notes and job summaries: Markdown, as GitHub and GitLab render it.

use std::fmt::Write as _;

use bootway_plan::{KeptKind, Verdict};

use crate::{
    Outcome, Report, State, rerun_line,
    summary::counts_line,
    text::{one_line, seconds, span, utc},
};

/// The text of `report.md`: verdict first.
pub fn to_markdown(report: &Report) -> String {
    let mut md = format!("# {} {}\n\n", sign(report.outcome()), cell(&report.headline()));
    let _ = writeln!(md, "{}, in {}.", cell(&counts_line(report)), span(report.duration_ms));
    for slower in &report.slower {
        let _ = writeln!(md, "\nSlower: {}.", cell(&slower.to_string()));
    }
    if let Some(run) = &report.run {
        let file = run.plan_file.as_ref().map(|file| format!(" ({})", code(file))).unwrap_or_default();
        let _ = write!(
            md,
            "\nPlan **{}**{file}, begun {}, bootway {}, ",
            run.plan,
            utc(run.started),
            cell(&run.version)
        );
        let _ = writeln!(md, "on {}.", cell(&run.host));
    }
    failures(&mut md, report);
    checks(&mut md, report);
    findings(&mut md, report);
    steps(&mut md, report);
    artifacts(&mut md, report);
    md
}

const fn sign(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Good => "✓",
        Outcome::Nothing | Outcome::Cancelled | Outcome::Interrupted => "!",
        Outcome::Check | Outcome::Step | Outcome::Environment | Outcome::Plan | Outcome::Bug => "✗",
    }
}

fn failures(md: &mut String, report: &Report) {
    let steps = report.steps.iter().filter_map(|step| Some((step, step.failure()?)));
    for failure in &report.failures {
        let _ = write!(md, "\n## The run failed\n\n{}", block(&failure.to_string()));
    }
    for (step, failure) in steps {
        let _ = write!(md, "\n## {} {}\n\n{}", step.id, step.state.word(), block(&failure.to_string()));
        if let Some(run) = &report.run {
            let _ = writeln!(md, "\nAgain: {}", code(&rerun_line(run, &step.id)));
        }
        let kept = step.kept.iter().filter(|it| it.what != KeptKind::File);
        let kept = kept.map(|it| format!("- {}: {}\n", cell(&it.label), code(it.path.as_str())));
        let kept: String = kept.collect();
        if !kept.is_empty() {
            let _ = write!(md, "\n{kept}");
        }
        let lines: Vec<String> = step.last_lines(15).iter().map(|line| one_line(&line.text)).collect();
        if !lines.is_empty() {
            let _ = write!(md, "\nIts last lines:\n\n{}", block(&lines.join("\n")));
        }
    }
}

fn checks(md: &mut String, report: &Report) {
    let of_steps =
        report.steps.iter().flat_map(|step| step.checks.iter().map(move |it| (step.id.as_str(), it)));
    let checks: Vec<_> = of_steps.chain(report.checks.iter().map(|it| ("the run", it))).collect();
    if checks.is_empty() {
        return;
    }
    md.push_str("\n## Checks\n\n| verdict | check | step | after | detail |\n|---|---|---|--:|---|\n");
    for (step, check) in checks {
        let detail = check.detail.as_deref().map(cell).unwrap_or_default();
        let (verdict, after) = (verdict(check.verdict), seconds(check.after_ms));
        let _ = writeln!(md, "| {verdict} | {} | {} | {after} s | {detail} |", cell(&check.name), step);
    }
}

fn findings(md: &mut String, report: &Report) {
    let mut findings = report.steps.iter().flat_map(|step| &step.findings).peekable();
    if findings.peek().is_none() {
        return;
    }
    md.push_str("\n## Findings\n\n| about | question | answer | | evidence |\n|---|---|---|---|---|\n");
    for it in findings {
        let (about, name, answer) = (cell(&it.about), cell(&it.name), cell(&it.answer));
        let _ = writeln!(
            md,
            "| {about} | {name} | {answer} | {} | {} |",
            it.judgement.as_str(),
            cell(&it.evidence)
        );
    }
}

/// The word for a verdict, with its sign.
pub(crate) const fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "✓ passed",
        Verdict::Failed => "✗ failed",
        Verdict::TimedOut => "✗ timed out",
        Verdict::NotRun => "– not run",
        Verdict::Placeholder => "– placeholder",
        Verdict::OverBudget => "✗ over budget",
    }
}

fn steps(md: &mut String, report: &Report) {
    md.push_str("\n## Steps\n\n| step | kind | state | took | |\n|---|---|---|--:|---|\n");
    for step in &report.steps {
        let took = step.took_ms().map(|ms| format!("{} s", seconds(ms))).unwrap_or_default();
        let what = match &step.state {
            State::Skipped { reason } => format!("{}: {}", cell(&step.summary), cell(reason)),
            _ => cell(&step.summary),
        };
        let _ = writeln!(
            md,
            "| {} | {} | {} | {took} | {what} |",
            step.label(),
            cell(&step.kind),
            step.state.word()
        );
    }
}

fn artifacts(md: &mut String, report: &Report) {
    let made: Vec<_> =
        report.steps.iter().flat_map(|step| step.artifacts.iter().map(move |it| (step, it))).collect();
    if made.is_empty() {
        return;
    }
    md.push_str("\n## Artifacts\n\n| output | kind | size | SHA-256 | path |\n|---|---|--:|---|---|\n");
    for (step, made) in made {
        let size = made.size.human();
        let path = code(made.path.as_str());
        let _ = writeln!(
            md,
            "| {}/{} | {} | {size} | `{}` | {path} |",
            step.id, made.output, made.kind, made.digest
        );
    }
}

/// Text that no Markdown, table or HTML takes for its own.
pub(crate) fn cell(text: &str) -> String {
    let mut safe = String::new();
    for c in one_line(text).chars() {
        match c {
            '<' => safe.push_str("&lt;"),
            '&' => safe.push_str("&amp;"),
            '|' | '*' | '_' | '[' | ']' | '\\' | '~' | '`' => safe.extend(['\\', c]),
            _ => safe.push(c),
        }
    }
    safe
}

/// `text` in backticks, more of them than it has itself.
pub(crate) fn code(text: &str) -> String {
    let text = one_line(text).replace('|', "\\|");
    let fence = "`".repeat(longest_run(&text) + 1);
    if fence.len() > 1 { format!("{fence} {text} {fence}") } else { format!("`{text}`") }
}

fn block(text: &str) -> String {
    let text = text.lines().map(one_line).collect::<Vec<_>>().join("\n");
    let fence = "`".repeat((longest_run(&text) + 1).max(3));
    format!("{fence}text\n{text}\n{fence}\n")
}

fn longest_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or_default()
}

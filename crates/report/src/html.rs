//! For people: one page that needs nothing else.
//!
//! No script, no request: the page's own policy forbids both. Everything that a plan, a program or a guest said is
//! escaped. Pictures are in the page itself. What is read first comes first: the verdict, what went wrong, what was checked.

use std::fmt::{self, Write as _};

use bootway_plan::Verdict;

use crate::{
    Outcome, Pictures, Report, State, StepReport, markdown,
    outcome::number,
    rerun_line,
    summary::counts_line,
    text::{Escaped, one_line, seconds, span, utc},
};

mod disk;
mod findings;
mod screens;
mod steps;
mod timeline;

/// The look of the page.
const STYLE: &str = include_str!("html/page.css");

/// Lines of a failed step that are shown with its failure.
const LAST_LINES: usize = 15;

/// The text of `report.html`, with the pictures of screens that there are.
pub fn to_html(report: &Report, pictures: &Pictures) -> String {
    let mut page = String::new();
    write(&mut page, report, pictures).expect("a string takes everything");
    page
}

fn write(page: &mut String, report: &Report, pictures: &Pictures) -> fmt::Result {
    head(page, report)?;
    page.push_str("<main>\n");
    failures(page, report)?;
    checks(page, report)?;
    screens::write(page, report, pictures)?;
    findings::write(page, report)?;
    timeline::write(page, report)?;
    disk::write(page, report)?;
    skips(page, report)?;
    steps::write(page, report)?;
    steps::consoles(page, report)?;
    run_notes(page, report)?;
    tools(page, report)?;
    page.push_str("</main>\n</body>\n</html>\n");
    Ok(())
}

fn head(page: &mut String, report: &Report) -> fmt::Result {
    let plan = report.run.as_ref().map_or("a run", |run| run.plan.as_str());
    let headline = report.headline();
    writeln!(
        page,
        r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>{plan}: {}</title>
<style>
{STYLE}</style>
</head>
<body>
<header class="{}">
<p class="eyebrow">bootway <span aria-hidden="true">/</span> {plan}</p>
<h1>{}</h1>
<p class="lede">{}, in {}.</p>"#,
        Escaped(&headline),
        mood(report.outcome()),
        Escaped(&headline),
        rich(&sentence(&counts_line(report))),
        span(report.duration_ms),
    )?;
    for slower in &report.slower {
        writeln!(
            page,
            "<p class=\"slower\"><span class=\"name\">slower</span> {}</p>",
            Escaped(&slower.to_string())
        )?;
    }
    facts(page, report)?;
    page.push_str("</header>\n");
    Ok(())
}

/// With a capital letter.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// The colour of an outcome; its headline says the same in words.
const fn mood(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Good => "good",
        Outcome::Nothing | Outcome::Cancelled | Outcome::Interrupted => "warn",
        Outcome::Check | Outcome::Step | Outcome::Environment | Outcome::Plan | Outcome::Bug => "bad",
    }
}

fn facts(page: &mut String, report: &Report) -> fmt::Result {
    let mut facts = Vec::new();
    if let Some(run) = &report.run {
        let file = run.plan_file.clone().unwrap_or_else(|| "the built-in plan".to_owned());
        facts.push(("Plan", file));
        facts.push(("Begun", utc(run.started).replace('T', " ").replace('Z', " UTC")));
        facts.push(("Host", run.host.clone()));
        facts.push(("Version", format!("bootway {}", run.version)));
        facts.push(("Digest", run.plan_digest.short()));
    }
    let exit = report.exit_code.map_or("none: the log stops before it".to_owned(), |code| code.to_string());
    facts.push(("Exit code", exit));
    page.push_str("<dl class=\"facts\">\n");
    for (name, value) in facts {
        writeln!(page, "<div><dt>{name}</dt><dd>{}</dd></div>", Escaped(&value))?;
    }
    page.push_str("</dl>\n");
    Ok(())
}

fn failures(page: &mut String, report: &Report) -> fmt::Result {
    let steps: Vec<&StepReport> = report.steps.iter().filter(|step| step.failure().is_some()).collect();
    if steps.is_empty() && report.failures.is_empty() {
        return Ok(());
    }
    page.push_str("<section aria-labelledby=\"failures\">\n<h2 id=\"failures\">What went wrong</h2>\n");
    for failure in &report.failures {
        page.push_str("<article class=\"failure\">\n<h3>The run</h3>\n");
        chain(page, failure)?;
        page.push_str("</article>\n");
    }
    for step in steps {
        let Some(failure) = step.failure() else { continue };
        writeln!(page, "<article class=\"failure\">\n<h3>{} {}</h3>", step.label(), step.state.word())?;
        chain(page, failure)?;
        if let Some(run) = &report.run {
            let line = rerun_line(run, &step.id);
            writeln!(
                page,
                "<p class=\"name\">Try this step again</p>\n<pre class=\"command\">{}</pre>",
                Escaped(&line)
            )?;
        }
        screens::files(page, step, "<p class=\"name\">Files of the run</p>")?;
        let lines = step.last_lines(LAST_LINES);
        if !lines.is_empty() {
            writeln!(page, "<p class=\"name\">Its last {}</p>", number(lines.len() as u64, "line"))?;
            steps::lines(page, lines.into_iter(), &format!("last lines of {}", step.id))?;
        }
        page.push_str("</article>\n");
    }
    page.push_str("</section>\n");
    Ok(())
}

/// What failed, why, and what to do.
fn chain(page: &mut String, failure: &bootway_plan::Failure) -> fmt::Result {
    for (index, text) in failure.chain.iter().enumerate() {
        let class = if index == 0 { "what" } else { "why" };
        let because = if index == 0 { "" } else { "<span class=\"name\">caused by</span> " };
        writeln!(page, "<p class=\"{class}\">{because}{}</p>", rich(text))?;
    }
    if let Some(hint) = &failure.hint {
        writeln!(page, "<p class=\"hint\"><span class=\"name\">hint</span> {}</p>", rich(hint))?;
    }
    Ok(())
}

/// Escaped, and what is in backticks as code.
fn rich(text: &str) -> String {
    let parts: Vec<&str> = text.split('`').collect();
    if parts.len().is_multiple_of(2) {
        return Escaped(text).to_string();
    }
    let part = |(index, part): (usize, &&str)| match index % 2 {
        0 => Escaped(part).to_string(),
        _ => format!("<code>{}</code>", Escaped(part)),
    };
    parts.iter().enumerate().map(part).collect()
}

fn checks(page: &mut String, report: &Report) -> fmt::Result {
    let of_steps =
        report.steps.iter().flat_map(|step| step.checks.iter().map(move |it| (step.id.as_str(), it)));
    let checks: Vec<_> = of_steps.chain(report.checks.iter().map(|it| ("the run", it))).collect();
    if checks.is_empty() {
        return Ok(());
    }
    page.push_str("<section aria-labelledby=\"checks\">\n<h2 id=\"checks\">Checks</h2>\n<div class=\"wide\">\n<table class=\"checks\">\n");
    page.push_str(
        "<thead><tr><th scope=\"col\">Verdict</th><th scope=\"col\">Check</th><th scope=\"col\">Step</th>",
    );
    page.push_str("<th scope=\"col\" class=\"n\">After</th></tr></thead>\n<tbody>\n");
    for (step, check) in checks {
        let mood = match check.verdict {
            Verdict::Passed => "good",
            Verdict::Failed | Verdict::TimedOut | Verdict::OverBudget => "bad",
            Verdict::NotRun | Verdict::Placeholder => "warn",
        };
        let detail =
            check.detail.as_ref().map(|text| format!("<p class=\"detail\">{}</p>", rich(&one_line(text))));
        writeln!(
            page,
            "<tr><td class=\"verdict {mood}\">{}</td><td>{}{}</td><td>{}</td><td class=\"n\">{} s</td></tr>",
            markdown::verdict(check.verdict),
            Escaped(&check.name),
            detail.unwrap_or_default(),
            step,
            seconds(check.after_ms),
        )?;
    }
    page.push_str("</tbody>\n</table>\n</div>\n</section>\n");
    Ok(())
}

fn skips(page: &mut String, report: &Report) -> fmt::Result {
    let reason = |step: &StepReport| match &step.state {
        State::Skipped { reason } => Some((step.label(), reason.clone())),
        State::Waiting => Some((step.label(), "not run: the run ended before it".to_owned())),
        _ => None,
    };
    let skips: Vec<_> = report.steps.iter().filter_map(reason).collect();
    if skips.is_empty() {
        return Ok(());
    }
    page.push_str("<section aria-labelledby=\"skips\">\n<h2 id=\"skips\">What did not run</h2>\n<dl class=\"reasons\">\n");
    for (label, reason) in skips {
        writeln!(page, "<dt>{label}</dt><dd>{}</dd>", rich(&reason))?;
    }
    page.push_str("</dl>\n</section>\n");
    Ok(())
}

fn run_notes(page: &mut String, report: &Report) -> fmt::Result {
    if report.notes.is_empty() {
        return Ok(());
    }
    page.push_str("<section aria-labelledby=\"notes\">\n<h2 id=\"notes\">Notes on the run</h2>\n");
    steps::lines(page, report.notes.iter(), "notes on the run")?;
    page.push_str("</section>\n");
    Ok(())
}

fn tools(page: &mut String, report: &Report) -> fmt::Result {
    let Some(run) = report.run.as_ref().filter(|run| !run.tools.is_empty()) else { return Ok(()) };
    page.push_str(
        "<section aria-labelledby=\"tools\">\n<h2 id=\"tools\">Programs used</h2>\n<dl class=\"reasons\">\n",
    );
    for (name, version) in &run.tools {
        writeln!(page, "<dt>{}</dt><dd>{}</dd>", Escaped(name), Escaped(version))?;
    }
    page.push_str("</dl>\n</section>\n");
    Ok(())
}

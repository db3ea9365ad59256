//! Each step with all it said, and what guests said.

use std::fmt::{self, Write as _};

use super::rich;
use crate::{
    Lines, Report, Said, State, StepReport,
    outcome::number,
    text::{Escaped, one_line, seconds, span},
};

pub(super) fn write(page: &mut String, report: &Report) -> fmt::Result {
    if report.steps.is_empty() {
        return Ok(());
    }
    page.push_str("<section aria-labelledby=\"steps\">\n<h2 id=\"steps\">Steps</h2>\n");
    for step in &report.steps {
        let open = if step.failure().is_some() { " open" } else { "" };
        let took = step.took_ms().map_or_else(String::new, span);
        writeln!(page, "<details class=\"step\" id=\"step-{}\"{open}>", step.id)?;
        writeln!(
            page,
            "<summary><span class=\"verdict {}\">{} {}</span><span class=\"label\">{}</span><span class=\"sum\">{}</span><span class=\"took\">{took}</span></summary>",
            mood(&step.state),
            sign(&step.state),
            step.state.word(),
            step.label(),
            Escaped(&step.summary),
        )?;
        page.push_str("<div class=\"inside\">\n");
        inside(page, step)?;
        page.push_str("</div>\n</details>\n");
    }
    page.push_str("</section>\n");
    Ok(())
}

fn inside(page: &mut String, step: &StepReport) -> fmt::Result {
    if let State::Skipped { reason } = &step.state {
        writeln!(page, "<p>{}</p>", rich(reason))?;
    }
    if let Some(failure) = step.failure() {
        super::chain(page, failure)?;
    }
    if step.heartbeats > 0 {
        writeln!(page, "<p>It was silent for too long {}.</p>", number(step.heartbeats, "time"))?;
    }
    if !step.notes.is_empty() {
        page.push_str("<h3>Notes</h3>\n<ul>\n");
        for note in &step.notes {
            writeln!(page, "<li>{}</li>", rich(&one_line(&note.text)))?;
        }
        page.push_str("</ul>\n");
    }
    artifacts(page, step)?;
    super::screens::of_step(page, step)?;
    if !step.commands.is_empty() {
        page.push_str("<h3>Commands</h3>\n");
        lines(page, step.commands.iter(), &format!("commands of {}", step.id))?;
    }
    if !step.log.lines.is_empty() {
        page.push_str("<h3>Output</h3>\n");
        omitted(page, &step.log)?;
        lines(page, step.log.lines.iter(), &format!("output of {}", step.id))?;
    }
    if !step.console.lines.is_empty() {
        writeln!(
            page,
            "<p><a href=\"#console-{}\">Console, {}</a></p>",
            step.id,
            number(step.console.lines.len() as u64, "line")
        )?;
    }
    let kind = if step.kind.is_empty() { "unknown, it was never announced" } else { &step.kind };
    writeln!(page, "<p class=\"kind\">Kind: {}</p>", Escaped(kind))
}

fn artifacts(page: &mut String, step: &StepReport) -> fmt::Result {
    if step.artifacts.is_empty() {
        return Ok(());
    }
    page.push_str("<h3>Made</h3>\n<dl class=\"made\">\n");
    for made in &step.artifacts {
        writeln!(
            page,
            "<dt>{} <small>{}, {}</small></dt><dd>{}</dd><dd class=\"id\">sha256 {}</dd>",
            made.output,
            made.kind,
            made.size.human(),
            Escaped(made.path.as_str()),
            made.digest,
        )?;
    }
    page.push_str("</dl>\n");
    Ok(())
}

pub(super) fn consoles(page: &mut String, report: &Report) -> fmt::Result {
    let steps: Vec<&StepReport> = report.steps.iter().filter(|step| !step.console.lines.is_empty()).collect();
    if steps.is_empty() {
        return Ok(());
    }
    page.push_str("<section aria-labelledby=\"console\">\n<h2 id=\"console\">Console</h2>\n");
    for step in steps {
        writeln!(
            page,
            "<h3 id=\"console-{}\">{} <small>seconds since the step began</small></h3>",
            step.id,
            step.label()
        )?;
        omitted(page, &step.console)?;
        let since = step.started_ms.unwrap_or_default();
        let aria = format!("console of {}", step.id);
        let from_start =
            |line: &Said| Said { at_ms: line.at_ms.saturating_sub(since), text: line.text.clone() };
        let shifted: Vec<Said> = step.console.lines.iter().map(from_start).collect();
        lines(page, shifted.iter(), &aria)?;
    }
    page.push_str("</section>\n");
    Ok(())
}

fn omitted(page: &mut String, lines: &Lines) -> fmt::Result {
    if lines.omitted == 0 {
        return Ok(());
    }
    writeln!(
        page,
        "<p>{} before these are only in <code>events.jsonl</code>.</p>",
        number(lines.omitted, "line")
    )
}

/// Lines with their time, in a box that scrolls.
pub(super) fn lines<'a>(page: &mut String, lines: impl Iterator<Item = &'a Said>, name: &str) -> fmt::Result {
    let name = Escaped(name);
    write!(page, "<pre class=\"lines\" tabindex=\"0\" role=\"region\" aria-label=\"{name}\">")?;
    for line in lines {
        writeln!(page, "<i>{:>9}</i>  {}", seconds(line.at_ms), Escaped(&line.text.replace('\n', " ")))?;
    }
    page.push_str("</pre>\n");
    Ok(())
}

const fn mood(state: &State) -> &'static str {
    match state {
        State::Cached | State::Finished => "good",
        State::Failed(_) => "bad",
        State::Skipped { .. } | State::Cancelled(_) | State::Running | State::Waiting => "warn",
    }
}

const fn sign(state: &State) -> &'static str {
    match state {
        State::Cached | State::Finished => "✓",
        State::Failed(_) => "✗",
        State::Skipped { .. } => "↷",
        State::Cancelled(_) | State::Running => "!",
        State::Waiting => "–",
    }
}

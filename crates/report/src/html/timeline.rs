//! When each step ran, drawn to scale.

use std::fmt::{self, Write as _};

use crate::{Report, State, StepReport, text::span};

/// A row for each step that began: parallel steps are bars above each other.
pub(super) fn write(page: &mut String, report: &Report) -> fmt::Result {
    let steps: Vec<&StepReport> = report.steps.iter().filter(|step| step.started_ms.is_some()).collect();
    if steps.is_empty() {
        return Ok(());
    }
    let whole = report.duration_ms.max(1);
    let tick = tick(whole);
    page.push_str("<section aria-labelledby=\"timeline\">\n<h2 id=\"timeline\">Timeline</h2>\n<ol class=\"timeline\">\n");
    for step in steps {
        let start = step.started_ms.unwrap_or_default();
        let end = step.ended_ms.unwrap_or(report.duration_ms).max(start);
        let (label, took) = (step.label(), span(end - start));
        let word = step.state.word();
        writeln!(page, "<li><a href=\"#step-{}\">{label}</a><span class=\"took\">{took}</span>", step.id)?;
        let name = format!("{word}, from {} to {}", span(start), span(end));
        writeln!(
            page,
            "<svg role=\"img\" aria-label=\"{name}\" width=\"100%\" height=\"14\"><title>{name}</title>"
        )?;
        for at in (0..=whole).step_by(tick as usize) {
            let x = percent(at, whole);
            writeln!(page, "<line class=\"grid\" x1=\"{x}\" x2=\"{x}\" y1=\"0\" y2=\"14\"/>")?;
        }
        let (x1, x2) = (percent(start, whole), percent(end, whole));
        // A line with round ends is a dot when it has no length, so nothing is too short to be seen.
        writeln!(
            page,
            "<line class=\"bar {}\" x1=\"{x1}\" x2=\"{x2}\" y1=\"7\" y2=\"7\"/></svg></li>",
            class(step)
        )?;
    }
    page.push_str("</ol>\n");
    axis(page, whole, tick)?;
    page.push_str("</section>\n");
    Ok(())
}

fn axis(page: &mut String, whole: u64, tick: u64) -> fmt::Result {
    page.push_str("<div class=\"axis\" aria-hidden=\"true\"><svg width=\"100%\" height=\"20\">\n");
    for at in (0..=whole).step_by(tick as usize) {
        let anchor = if at == 0 {
            "start"
        } else if at + tick / 4 > whole {
            "end"
        } else {
            "middle"
        };
        writeln!(
            page,
            "<text x=\"{}\" y=\"14\" text-anchor=\"{anchor}\">{}</text>",
            percent(at, whole),
            short(at)
        )?;
    }
    page.push_str("</svg></div>\n");
    Ok(())
}

const fn class(step: &StepReport) -> &'static str {
    match &step.state {
        State::Cached => "cached",
        State::Finished => "finished",
        State::Failed(_) => "failed",
        State::Skipped { .. } | State::Cancelled(_) | State::Running | State::Waiting => "open",
    }
}

/// `0`, `30 s`, `5 min`.
fn short(ms: u64) -> String {
    match ms {
        0 => "0".to_owned(),
        _ if ms.is_multiple_of(60_000) => format!("{} min", ms / 60_000),
        _ if ms.is_multiple_of(1000) => format!("{} s", ms / 1000),
        _ => format!("{ms} ms"),
    }
}

/// A round number of milliseconds that cuts `whole` into three to six parts, so that labels fit a phone.
fn tick(whole: u64) -> u64 {
    const ROUND: [u64; 19] = [
        1, 5, 10, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000,
        600_000, 1_800_000, 3_600_000,
    ];
    let round = ROUND.into_iter().find(|tick| whole / tick < 6);
    round.unwrap_or_else(|| (whole / 5).next_multiple_of(3_600_000))
}

/// `at` of `whole`, as SVG wants it.
fn percent(at: u64, whole: u64) -> String {
    let thousandths = u128::from(at) * 100_000 / u128::from(whole);
    format!("{}.{:03}%", thousandths / 1000, thousandths % 1000)
}

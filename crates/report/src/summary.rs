//! The last lines a person sees.

use std::fmt::Write as _;

use camino::Utf8Path;

use crate::{
    Outcome, Report, State, Style,
    outcome::number,
    terminal::Tone,
    text::{one_line, span},
};

/// What a run came to, and where to look: the front end prints it when the report is written.
///
/// `places` are names and paths, such as `("image", …)` and `("report", …)`.
pub fn summary(report: &Report, style: &Style, places: &[(&str, &Utf8Path)]) -> String {
    let tone = match report.outcome() {
        Outcome::Good => Tone::Good,
        Outcome::Nothing | Outcome::Cancelled | Outcome::Interrupted => Tone::Warn,
        Outcome::Check | Outcome::Step | Outcome::Environment | Outcome::Plan | Outcome::Bug => Tone::Bad,
    };
    let headline = style.paint(tone, &one_line(&report.headline()));
    let mut text = format!("\n{headline}\n  {}, in {}\n", counts_line(report), span(report.duration_ms));
    let width = places.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    for (name, path) in places {
        let _ = writeln!(text, "  {}  {path}", style.paint(Tone::Dim, &format!("{name:<width$}")));
    }
    text
}

/// `built 4, cached 2, skipped 1 (kvm: no /dev/kvm), checks 7 passed`.
pub(crate) fn counts_line(report: &Report) -> String {
    let counts = report.counts();
    let skips = skips(report);
    let mut parts = Vec::new();
    let mut part = |n: u64, word: &str| {
        if n > 0 {
            parts.push(format!("{word} {n}"));
        }
    };
    let is_fetch = report.is_fetch();
    part(counts.built, if is_fetch { "fetched for" } else { "built" });
    part(counts.cached, if is_fetch { "there for" } else { "cached" });
    part(counts.failed, "failed");
    part(counts.cancelled, "cancelled");
    part(counts.unfinished, "not finished");
    part(counts.not_run, "not run");
    if !skips.is_empty() {
        parts.push(format!("skipped {} ({})", counts.skipped, skips.join("; ")));
    }
    let checks = [
        (counts.checks_passed, "passed"),
        (counts.checks_failed, "failed"),
        (counts.checks_timed_out, "timed out"),
        (counts.checks_not_run, "not run"),
        (counts.placeholders, "not written"),
        (counts.over_budget, "over budget"),
    ];
    let checks: Vec<String> =
        checks.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")).collect();
    if !checks.is_empty() {
        parts.push(format!("checks {}", checks.join(", ")));
    }
    if parts.is_empty() { number(0, "step") } else { parts.join(", ") }
}

/// A reason is said once, behind those that it holds for.
fn skips(report: &Report) -> Vec<String> {
    /// How many of them are named.
    const NAMED: usize = 3;
    let mut reasons: Vec<(String, Vec<&str>)> = Vec::new();
    for step in &report.steps {
        let State::Skipped { reason } = &step.state else { continue };
        let reason = one_line(reason);
        match reasons.iter_mut().find(|(it, _)| *it == reason) {
            Some((_, steps)) => steps.push(step.id.as_str()),
            None => reasons.push((reason, vec![step.id.as_str()])),
        }
    }
    let said = |(reason, steps): (String, Vec<&str>)| {
        let named = steps[..steps.len().min(NAMED)].join(", ");
        match steps.len().saturating_sub(NAMED) {
            0 => format!("{named}: {reason}"),
            more => format!("{named} and {more} more: {reason}"),
        }
    };
    reasons.into_iter().map(said).collect()
}

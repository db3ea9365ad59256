//! The screen: what a person sees while a run goes on.

use std::{collections::BTreeMap, fmt, fmt::Write as _, io::Write};

use bootway_plan::{Bytes, Class, Event, EventKind, Failure, Judgement, StepId, Unit, Verdict};

use crate::{
    Report, Sink, State, StepReport, markdown,
    outcome::number,
    rerun_line,
    text::{cut, one_line, span},
};

mod meter;
mod style;

use meter::Meter;
pub(crate) use style::{Signs, Tone};
pub use style::{Style, Verbosity, terminal_width};

/// Milliseconds between two drawings of the live lines: faster than this nobody reads.
const FRAME: u64 = 100;

/// Milliseconds between two plain lines of progress of a step.
const PLAIN_PROGRESS: u64 = 5000;

/// Live lines at most; the rest is a number.
const LIVE_LINES: usize = 8;

/// Lines of a failed step that are shown.
const LAST_LINES: usize = 15;

/// Tells a run to a person.
///
/// With [`Style::live`], each running step has a line that is drawn again and again, and what is finished scrolls
/// away above; otherwise each fact is a line. Colour never says what words do not.
pub struct Terminal<W> {
    out: W,
    style: Style,
    /// Where the run's files are, as a person would type it.
    run_dir: camino::Utf8PathBuf,
    signs: Signs,
    report: Report,
    meters: BTreeMap<StepId, Meter>,
    /// Finished lines that wait for the next frame.
    above: String,
    /// Live lines on the screen.
    drawn: usize,
    drawn_at: Option<u64>,
}

impl<W> fmt::Debug for Terminal<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terminal").field("style", &self.style).finish_non_exhaustive()
    }
}

impl<W: Write> Terminal<W> {
    /// A terminal that is written to `out`.
    pub fn new(out: W, style: Style) -> Self {
        let (report, meters, signs) = (Report::default(), BTreeMap::new(), Signs::Unicode);
        let run_dir = camino::Utf8PathBuf::new();
        Self { out, style, run_dir, signs, report, meters, above: String::new(), drawn: 0, drawn_at: None }
    }

    /// The same, where files that stay with the run are below `run_dir`, as a person would type it.
    #[must_use]
    pub fn of_run(self, run_dir: &camino::Utf8Path) -> Self {
        Self { run_dir: run_dir.to_owned(), ..self }
    }

    /// The same without signs beyond ASCII.
    #[must_use]
    pub fn ascii(self) -> Self {
        Self { signs: Signs::Ascii, ..self }
    }

    /// Turns one event into lines that stay.
    fn tell(&mut self, event: &Event) {
        let at = event.at_ms;
        let Some(id) = &event.step else { return self.tell_run(at, &event.kind) };
        let Some(step) = self.report.step(id.as_str()) else { return };
        let label = step.label();
        let took = span(at.saturating_sub(step.started_ms.unwrap_or(at)));
        let summary = one_line(&step.summary);
        let live = self.style.live;
        match &event.kind {
            EventKind::Started if live => (),
            EventKind::Started => self.line(at, Tone::Dim, "▸", &format!("{label}: started: {summary}")),
            EventKind::Cached => self.line(at, Tone::Good, "✓", &format!("{label}: cached")),
            EventKind::Finished if step.state == State::Cached => (),
            EventKind::Finished => self.line(at, Tone::Good, "✓", &format!("{label}: finished in {took}")),
            EventKind::Skipped { reason } => {
                self.line(at, Tone::Warn, "↷", &format!("{label}: skipped: {}", one_line(reason)));
            }
            EventKind::Failed(failure) => {
                let block = self.failure(step, failure);
                let (tone, sign, word) = match failure.class {
                    Class::Cancelled => (Tone::Warn, "!", "cancelled"),
                    _ => (Tone::Bad, "✗", "failed"),
                };
                self.line(at, tone, sign, &format!("{label}: {word} after {took}"));
                self.above.push_str(&block);
            }
            EventKind::Check { name, verdict, after_ms, detail } => {
                self.check(at, &label, &one_line(name), *verdict, *after_ms, detail.as_deref());
            }
            EventKind::Heartbeat { .. } => {
                self.line(at, Tone::Warn, "…", &format!("{label}: {}", heartbeat(&event.kind)));
            }
            EventKind::Progress { .. } => {
                if let Some(text) =
                    self.meters.get_mut(id).filter(|_| !live).and_then(|it| it.due(at, PLAIN_PROGRESS))
                {
                    self.line(at, Tone::Dim, "▸", &format!("{label}: {text}"));
                }
            }
            EventKind::Note { text } => {
                self.line(at, Tone::Dim, "·", &format!("{label}: {}", one_line(text)));
            }
            EventKind::Finding(it) if matches!(it.judgement, Judgement::Bad | Judgement::Doubtful) => {
                let bad = it.judgement == Judgement::Bad;
                let (tone, sign) = if bad { (Tone::Bad, "✗") } else { (Tone::Warn, "!") };
                self.line(at, tone, sign, &format!("{label}: {}", one_line(&it.to_string())));
            }
            kind if self.style.verbosity == Verbosity::Verbose => self.tell_more(at, &label, kind),
            // For the curious, or about the run.
            _ => (),
        }
    }

    /// Turns what only the curious want to know into lines.
    fn tell_more(&mut self, at: u64, label: &str, kind: &EventKind) {
        match kind {
            EventKind::Made(made) => {
                let size = made.size.human();
                let text = format!("{label}: made {} {}, {size}, {}", made.kind, made.output, made.path);
                self.line(at, Tone::Dim, "·", &text);
            }
            EventKind::Command { line } => {
                self.line(at, Tone::Dim, "$", &format!("{label}: {}", one_line(line)));
            }
            EventKind::Finding(finding) => {
                self.line(at, Tone::Dim, "·", &format!("{label}: {}", one_line(&finding.to_string())));
            }
            EventKind::Line { text, .. } => {
                self.line(at, Tone::Plain, "|", &format!("{label}: {}", one_line(text)));
            }
            EventKind::Kept(kept) => {
                let path = self.run_dir.join(&kept.path);
                self.line(at, Tone::Dim, "·", &format!("{label}: kept {}: {path}", one_line(&kept.label)));
            }
            _ => (),
        }
    }

    fn tell_run(&mut self, at: u64, kind: &EventKind) {
        match kind {
            EventKind::RunStarted(info) if self.style.verbosity != Verbosity::Quiet => {
                let steps = number(info.steps.len() as u64, "step");
                let _ = writeln!(self.above, "bootway {}: {}, {steps}", one_line(&info.version), info.plan);
            }
            EventKind::Note { text } => self.line(at, Tone::Warn, "·", &one_line(text)),
            EventKind::Slower(slower) => self.line(at, Tone::Warn, "!", &format!("slower: {slower}")),
            EventKind::Failed(failure) => self.above.push_str(&self.explain(failure)),
            EventKind::Check { name, verdict, after_ms, detail } => {
                self.check(at, "the run", &one_line(name), *verdict, *after_ms, detail.as_deref());
            }
            _ => (),
        }
    }

    fn check(
        &mut self,
        at: u64,
        label: &str,
        name: &str,
        verdict: Verdict,
        after_ms: u64,
        detail: Option<&str>,
    ) {
        let (sign, word) = markdown::verdict(verdict).split_once(' ').expect("a sign and a word");
        let mut text = format!("{label}: {name}: {word} after {}", span(after_ms));
        let tone = match verdict {
            Verdict::Passed => Tone::Good,
            Verdict::Failed | Verdict::TimedOut | Verdict::OverBudget => Tone::Bad,
            Verdict::NotRun | Verdict::Placeholder => Tone::Warn,
        };
        if let Some(detail) = detail.filter(|_| verdict != Verdict::Passed) {
            let _ = write!(text, ": {}", one_line(detail));
        }
        self.line(at, tone, sign, &text);
    }

    /// Adds a line that stays; when it is quiet, only what is bad.
    fn line(&mut self, at: u64, tone: Tone, sign: &str, text: &str) {
        if self.style.verbosity == Verbosity::Quiet && !matches!(tone, Tone::Bad | Tone::Warn) {
            return;
        }
        let sign = self.style.paint(tone, self.signs.show(sign));
        let _ = if self.style.live {
            writeln!(self.above, "{sign} {text}")
        } else {
            writeln!(self.above, "[{:>5}.{}s] {sign} {text}", at / 1000, at % 1000 / 100)
        };
    }

    /// What a failed step said last, why it failed, and how to try it again.
    fn failure(&self, step: &StepReport, failure: &Failure) -> String {
        let mut text = String::new();
        let bar = self.style.paint(Tone::Dim, self.signs.show("│"));
        for line in step.last_lines(LAST_LINES) {
            let _ = writeln!(text, "    {bar} {}", one_line(&line.text));
        }
        text.push_str(&self.explain(failure));
        for kept in &step.kept {
            let _ = writeln!(text, "  - {}: {}", one_line(&kept.label), self.run_dir.join(&kept.path));
        }
        if let Some(run) = &self.report.run {
            let _ = writeln!(text, "  rerun: {}", rerun_line(run, &step.id));
        }
        text
    }

    fn explain(&self, failure: &Failure) -> String {
        let text = failure.to_string().lines().map(|line| one_line(line) + "\n").collect::<String>();
        match text.strip_prefix("error:") {
            Some(rest) => self.style.paint(Tone::Bad, "error:") + rest,
            None => text,
        }
    }

    /// Shows what waits, and draws the live lines again.
    fn draw(&mut self, at: u64) -> Result<(), Failure> {
        let mut frame = String::new();
        if self.style.live {
            if self.drawn > 0 {
                let _ = write!(frame, "\x1b[{}A", self.drawn);
            }
            frame.push_str("\r\x1b[J");
        }
        frame.push_str(&std::mem::take(&mut self.above));
        let lines =
            if self.style.live && self.report.exit_code.is_none() { self.live(at) } else { Vec::new() };
        if !lines.is_empty() {
            // Without wrapping, a line is a line, also when the window was made narrower.
            frame.push_str("\x1b[?7l");
            for line in &lines {
                let _ = writeln!(frame, "{line}");
            }
            frame.push_str("\x1b[?7h");
        }
        (self.drawn, self.drawn_at) = (lines.len(), Some(at));
        self.out.write_all(frame.as_bytes()).and_then(|()| self.out.flush()).map_err(|error| {
            Failure::new(Class::Environment, error.to_string()).because("cannot write to the terminal")
        })
    }

    /// A line for each running step, and one for the run.
    fn live(&self, at: u64) -> Vec<String> {
        let running: Vec<_> = self.report.steps.iter().filter(|step| step.state == State::Running).collect();
        if running.is_empty() {
            return Vec::new();
        }
        let labels = running.iter().map(|step| step.label().len()).max().unwrap_or_default().min(28);
        let mut lines: Vec<String> =
            running.iter().take(LIVE_LINES).map(|step| self.live_step(step, labels, at)).collect();
        if running.len() > LIVE_LINES {
            lines.push(format!("  and {} more", running.len() - LIVE_LINES));
        }
        let waiting = self.report.steps.iter().filter(|step| step.state == State::Waiting).count();
        let done = self.report.steps.len() - waiting - running.len();
        let total = format!("  {done} of {} done, {waiting} waiting, {}", self.report.steps.len(), span(at));
        lines.push(self.style.paint(Tone::Dim, &cut(&total, self.style.width)));
        lines
    }

    fn live_step(&self, step: &StepReport, labels: usize, at: u64) -> String {
        let sign = self.signs.show("▸");
        let elapsed = span(at.saturating_sub(step.started_ms.unwrap_or(at)));
        let head = format!("{sign} {:<labels$}  {elapsed:>10}  ", cut(&step.label(), labels));
        let room = self.style.width.saturating_sub(head.chars().count());
        let said = || step.last_lines(1).first().map(|line| one_line(&line.text));
        let tail = match self.meters.get(&step.id) {
            Some(meter) => meter.live(&self.style, self.signs, room),
            None => cut(&said().unwrap_or_else(|| one_line(&step.summary)), room),
        };
        match head.strip_prefix(sign) {
            Some(rest) if room > 0 => format!("{}{rest}{tail}", self.style.paint(Tone::Busy, sign)),
            _ => cut(&head, self.style.width),
        }
    }
}

impl<W: Write + Send> Sink for Terminal<W> {
    fn event(&mut self, event: &Event) -> Result<(), Failure> {
        self.report.add(event);
        match (&event.step, &event.kind) {
            (Some(id), EventKind::Progress { done, total, unit }) => {
                let meter = self.meters.entry(id.clone()).or_insert_with(|| {
                    let since = self.report.step(id.as_str()).and_then(|step| step.started_ms);
                    Meter::new(since.unwrap_or(event.at_ms))
                });
                meter.add(event.at_ms, *done, *total, *unit);
            }
            (Some(id), EventKind::Finished | EventKind::Failed(_)) => drop(self.meters.remove(id)),
            _ => (),
        }
        self.tell(event);
        if self.style.live { self.tick(event.at_ms) } else { self.draw(event.at_ms) }
    }

    fn tick(&mut self, at_ms: u64) -> Result<(), Failure> {
        let due = self.drawn_at.is_none_or(|drawn| drawn + FRAME <= at_ms) || self.report.exit_code.is_some();
        if self.style.live && due { self.draw(at_ms) } else { Ok(()) }
    }

    fn end(&mut self) -> Result<(), Failure> {
        // A run that ended without saying so leaves its last state on the screen.
        if self.above.is_empty() { Ok(()) } else { self.draw(self.report.duration_ms) }
    }
}

/// `n` of something, for people.
fn quantity(n: u64, unit: Unit) -> String {
    match unit {
        Unit::Bytes => Bytes::new(n).human(),
        Unit::Items => n.to_string(),
    }
}

/// «still running after …», of an [`EventKind::Heartbeat`].
fn heartbeat(kind: &EventKind) -> String {
    let EventKind::Heartbeat { running_ms, silent_ms, cpu_ms, written, last } = kind else {
        return String::new();
    };
    let mut text = format!("still running after {}, silent for {}", span(*running_ms), span(*silent_ms));
    let _ = write!(text, ", cpu {}, wrote {}", span(*cpu_ms), written.human());
    if let Some(last) = last {
        let _ = write!(text, ", last line: {}", one_line(last));
    }
    text
}

#[cfg(test)]
mod tests;

//! The record of a guest, from its first byte: what it printed, what was done with it, and what it was.
//!
//! For each step that boots something, below the directory of the run:
//!
//! ```text
//! kept/STEP/serial.log      what the guest printed, each line with the time
//! kept/STEP/harness.log     what was done, and what came of it
//! kept/STEP/metadata.json   what it was made of, how it was started, how long it took, how it ended
//! kept/STEP/…               pictures, diagnostics, files of the guest
//! ```

use std::{collections::BTreeMap, io, io::Write as _};

use bootway_plan::{Class, Event, EventKind, Failure, Kept, KeptKind, StepId, Stream};
use camino::{Utf8Path, Utf8PathBuf};
use fs_err::File;

use crate::{Report, Sink, markdown, outcome::number, text::utc};

mod metadata;

/// The kind of a step that has a guest.
const VM: &str = "vm";

/// Where the files of a run's steps are, from the directory of the run.
const KEPT: &str = "kept";

/// The files of a record: what each is, how it is called, and its name.
const FILES: [(KeptKind, &str, &str); 3] = [
    (KeptKind::Log, "serial log", "serial.log"),
    (KeptKind::Log, "harness log", "harness.log"),
    (KeptKind::Metadata, "metadata", "metadata.json"),
];

/// Where the steps of the run in `run_dir` keep their files: `kept/STEP` each.
pub fn kept_dir(run_dir: &Utf8Path) -> Utf8PathBuf {
    run_dir.join(KEPT)
}

/// Makes the facts of a run whole: says where the record of a guest is, and files by their place in the run.
#[derive(Debug)]
pub struct Catalogue {
    run_dir: Utf8PathBuf,
    state: std::sync::Mutex<Begun>,
}

/// Which steps have a guest, and whether the record of each has begun.
#[derive(Debug, Default)]
struct Begun(BTreeMap<StepId, bool>);

impl Begun {
    /// Whether the record of a step begins with this event.
    fn begins(&mut self, event: &Event) -> bool {
        if let EventKind::RunStarted(info) = &event.kind {
            self.0 = info.steps.iter().filter(|it| it.kind == VM).map(|it| (it.id.clone(), false)).collect();
        }
        let begins = matches!(
            event.kind,
            EventKind::Guest(_) | EventKind::Command { .. } | EventKind::Line { .. } | EventKind::Failed(_)
        );
        let begun = event.step.as_ref().and_then(|step| self.0.get_mut(step));
        begins && begun.is_some_and(|begun| !std::mem::replace(begun, true))
    }
}

impl Catalogue {
    /// Of the run in `run_dir`.
    pub fn new(run_dir: &Utf8Path) -> Self {
        Self { run_dir: run_dir.to_owned(), state: std::sync::Mutex::default() }
    }

    /// Hands `event` on to `next`, behind what must be known before it.
    pub fn emit(&self, mut event: Event, next: &(dyn Fn(Event) + Sync)) {
        let begins = self.state.lock().expect("nobody panics with it").begins(&event);
        if let (true, Some(step)) = (begins, &event.step) {
            for (what, label, name) in FILES {
                let path = Utf8Path::new(KEPT).join(step.as_str()).join(name);
                let kept = Kept { what, label: label.to_owned(), path, test: None };
                next(Event { kind: EventKind::Kept(kept), ..event.clone() });
            }
        }
        if let EventKind::Kept(kept) = &mut event.kind {
            kept.path = self.in_run(&kept.path);
        }
        next(event);
    }

    /// `path`, from the directory of the run; that of an earlier run is beside it.
    fn in_run(&self, path: &Utf8Path) -> Utf8PathBuf {
        let runs = self.run_dir.parent().unwrap_or(&self.run_dir);
        match (path.strip_prefix(&self.run_dir), path.strip_prefix(runs)) {
            (Ok(inside), _) => inside.to_owned(),
            (_, Ok(beside)) => Utf8Path::new("..").join(beside),
            _ => path.to_owned(),
        }
    }
}

/// Writes the record of each guest as it happens.
#[derive(Debug)]
pub struct Recorder {
    run_dir: Utf8PathBuf,
    begun: Begun,
    /// Without what guests print.
    report: Report,
    /// What a step said before its record began.
    waiting: BTreeMap<StepId, Vec<String>>,
    logs: BTreeMap<StepId, Logs>,
}

#[derive(Debug)]
struct Logs {
    serial: File,
    harness: File,
}

impl Recorder {
    /// Of the run in `run_dir`.
    pub fn new(run_dir: &Utf8Path) -> Self {
        Self {
            run_dir: run_dir.to_owned(),
            begun: Begun::default(),
            report: Report::default(),
            waiting: BTreeMap::new(),
            logs: BTreeMap::new(),
        }
    }

    fn take(&mut self, event: &Event) -> io::Result<()> {
        let begins = self.begun.begins(event);
        let console = match &event.kind {
            EventKind::Line { stream: Stream::Console, text } => Some(text),
            _ => None,
        };
        if !matches!(event.kind, EventKind::Line { .. }) {
            self.report.add(event);
        }
        let Some(step) = event.step.as_ref().filter(|step| self.begun.0.contains_key(*step)) else {
            return Ok(());
        };
        let time = self.time(event.at_ms);
        let said = said(&event.kind).map(|text| entry(&time, &text));
        if begins {
            self.begin(step)?;
        }
        let Some(logs) = self.logs.get_mut(step) else {
            self.waiting.entry(step.clone()).or_default().extend(said);
            return Ok(());
        };
        if let Some(text) = console {
            logs.serial.write_all(entry(&time, text).as_bytes())?;
        }
        if let Some(said) = said {
            logs.harness.write_all(said.as_bytes())?;
        }
        let changes = matches!(
            event.kind,
            EventKind::Guest(_) | EventKind::Kept(_) | EventKind::Check { .. } | EventKind::Timing(_)
        );
        let ends =
            matches!(event.kind, EventKind::Finished | EventKind::Failed(_) | EventKind::Skipped { .. });
        if begins || changes || ends {
            self.describe(step, &time)?;
        }
        if ends {
            self.logs.remove(step);
        }
        Ok(())
    }

    fn dir(&self, step: &StepId) -> Utf8PathBuf {
        kept_dir(&self.run_dir).join(step.as_str())
    }

    fn begin(&mut self, step: &StepId) -> io::Result<()> {
        let dir = self.dir(step);
        fs_err::create_dir_all(&dir)?;
        let mut logs = Logs {
            serial: File::create(dir.join("serial.log"))?,
            harness: File::create(dir.join("harness.log"))?,
        };
        for said in self.waiting.remove(step).unwrap_or_default() {
            logs.harness.write_all(said.as_bytes())?;
        }
        self.logs.insert(step.clone(), logs);
        Ok(())
    }

    /// Writes what is known of a guest now; whoever reads it meanwhile finds the old one or the new one.
    fn describe(&self, step: &StepId, time: &str) -> io::Result<()> {
        let Some(report) = self.report.step(step.as_str()) else { return Ok(()) };
        let run = self.run_dir.file_name().unwrap_or_default();
        let text = metadata::text(run, self.report.run.as_ref(), &self.report.steps, report, time);
        let (place, partial) = (self.dir(step).join("metadata.json"), self.dir(step).join(PARTIAL_FACTS));
        fs_err::write(&partial, text).and_then(|()| fs_err::rename(&partial, &place))
    }

    /// The time of day, with milliseconds, in UTC.
    fn time(&self, at_ms: u64) -> String {
        let started = self.report.run.as_ref().map_or(0, |run| run.started);
        clock(started, at_ms)
    }
}

/// What a guest's facts are written to before they have their place.
const PARTIAL_FACTS: &str = ".partial-metadata";

/// Removes what a run that was killed while it wrote left in `run_dir`; nobody else may write there meanwhile.
///
/// # Errors
///
/// If a directory cannot be read, or a file not be removed. That there is no such run is none.
pub fn sweep_run(run_dir: &Utf8Path) -> io::Result<()> {
    let there = |dir: &Utf8Path| match dir.read_dir_utf8() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => entries?.collect::<io::Result<Vec<_>>>(),
    };
    for entry in there(run_dir)? {
        if entry.file_name().starts_with(".partial-") && entry.file_type()?.is_file() {
            fs_err::remove_file(entry.path())?;
        }
    }
    for entry in there(&kept_dir(run_dir))? {
        let facts = entry.path().join(PARTIAL_FACTS);
        if entry.file_type()?.is_dir() && facts.is_file() {
            fs_err::remove_file(facts)?;
        }
    }
    Ok(())
}

/// `2026-11-21T21:30:00.123Z`: so many milliseconds after so many seconds since 1970-01-01 UTC.
fn clock(started: u64, at_ms: u64) -> String {
    let second = utc(started + at_ms / 1000);
    format!("{}.{:03}Z", second.trim_end_matches('Z'), at_ms % 1000)
}

impl Sink for Recorder {
    fn event(&mut self, event: &Event) -> Result<(), Failure> {
        self.take(event).map_err(|error| {
            Failure::new(Class::Environment, error.to_string()).because("cannot write the record of a guest")
        })
    }
}

/// A line with its time; what follows its first line is indented.
fn entry(time: &str, text: &str) -> String {
    let mut lines = text.lines();
    let mut entry = format!("[{time}] {}\n", lines.next().unwrap_or_default());
    for line in lines {
        entry += &format!("  {line}\n");
    }
    entry
}

/// What the harness says of an event; nothing of what the guest says itself.
fn said(kind: &EventKind) -> Option<String> {
    let body = |text: &str| if text.trim().is_empty() { "<no output>".to_owned() } else { text.to_owned() };
    Some(match kind {
        EventKind::Started => "started".to_owned(),
        EventKind::Cached | EventKind::Finished => "finished".to_owned(),
        EventKind::Skipped { reason } => format!("skipped: {reason}"),
        EventKind::Command { line } => format!("$ {line}"),
        EventKind::Line { stream: Stream::Stdout | Stream::Stderr, text } => format!("| {}", body(text)),
        EventKind::Note { text } => text.clone(),
        EventKind::Check { name, verdict, after_ms, detail } => {
            let word = markdown::verdict(*verdict);
            let detail = detail.as_deref().unwrap_or_default();
            format!("{word} after {after_ms} ms: {name}\n{}", body(detail))
        }
        EventKind::Guest(guest) => {
            let images = guest.images.iter();
            let images = images.map(|it| format!("\n{}: {}, sha256 {}", it.source, it.path, it.digest));
            format!(
                "boot by {} through {}, {} of memory, {}, {}: {}{}",
                guest.boot,
                guest.firmware,
                guest.memory.human(),
                number(guest.cpus.into(), "processor"),
                guest.accel,
                guest.accel_reason,
                images.collect::<String>()
            )
        }
        EventKind::Timing(timing) => match &timing.test {
            Some(test) => format!("{test}: {}: {} ms", timing.name, timing.ms),
            None => format!("{}: {} ms", timing.name, timing.ms),
        },
        EventKind::Kept(kept) => format!("kept {}: {}", kept.label, kept.path),
        EventKind::Heartbeat { running_ms, silent_ms, .. } => {
            format!("still running after {running_ms} ms, silent for {silent_ms} ms")
        }
        EventKind::Failed(failure) => failure.to_string(),
        _ => return None,
    })
}

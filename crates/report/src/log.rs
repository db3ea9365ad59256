//! `events.jsonl`: written as it happens, read back whole.

use std::{
    fmt,
    io::{BufRead, BufReader, Write},
};

use bootway_plan::{Class, Event, EventKind, Failure};
use camino::Utf8Path;
use fs_err::File;

use crate::{Report, Sink};

/// The version of the log that this crate reads.
const FORMAT: u32 = 1;

/// Writes each event as a line of JSON, at once.
pub struct JsonLines<W>(W);

impl<W: Write + Send> JsonLines<W> {
    /// Writes to `out`.
    pub const fn new(out: W) -> Self {
        Self(out)
    }
}

impl<W> fmt::Debug for JsonLines<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JsonLines")
    }
}

impl<W: Write + Send> Sink for JsonLines<W> {
    fn event(&mut self, event: &Event) -> Result<(), Failure> {
        let mut line = serde_json::to_vec(event).expect("an event has only string keys");
        line.push(b'\n');
        // One write for a line, so that a kill leaves at most the last one torn.
        self.0.write_all(&line).and_then(|()| self.0.flush()).map_err(|error| {
            Failure::new(Class::Environment, error.to_string()).because("cannot write the event log")
        })
    }
}

/// The report of a log, the same as the run's own.
///
/// A run may be killed while it writes, so a last line that is not whole is left out; the report then says that the
/// run was interrupted.
///
/// # Errors
///
/// If the file cannot be read, or a line is not an event of this version; the line is named.
pub fn read_log(path: &Utf8Path) -> Result<Report, Failure> {
    let unreadable = |error: std::io::Error| {
        Failure::new(Class::Environment, error.to_string()).because(format!("cannot read the log `{path}`"))
    };
    let mut reader = BufReader::new(File::open(path).map_err(unreadable)?);
    let mut report = Report::default();
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        if reader.read_until(b'\n', &mut line).map_err(unreadable)? == 0 {
            break;
        }
        match event(&line) {
            Ok(event) => report.add(&event),
            Err(_) if !line.ends_with(b"\n") => break,
            Err(why) => {
                let failure = Failure::new(Class::Environment, format!("line {number}: {why}"));
                let failure = failure.because(format!("cannot read the log `{path}`"));
                return Err(failure.hint("read it with the version of bootway that wrote it"));
            }
        }
    }
    Ok(report)
}

/// What a line says, or why it says nothing.
fn event(line: &[u8]) -> Result<Event, String> {
    let event: Event = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    match &event.kind {
        EventKind::RunStarted(info) if info.format != FORMAT => {
            Err(format!("this is a log of format {}, and this bootway reads format {FORMAT}", info.format))
        }
        _ => Ok(event),
    }
}

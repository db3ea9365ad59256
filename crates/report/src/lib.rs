//! What happened, told to people and programs.
//!
//! - A [`Report`] is a pure fold over [`Event`](bootway_plan::Event)s: [`read_log()`] makes the same one from
//!   `events.jsonl` as the run did.
//! - A [`Sink`] hears each event as it happens, through [`watch()`]: [`JsonLines`] is the log, [`Terminal`] the
//!   screen, and [`Recorder`] the record of each guest.
//! - [`write_all()`] turns a report into `report.json`, `report.html`, `report.md` and `junit.xml`.
//!
//! A report never believes an exit code alone: its [`Outcome`] is the worst of everything that was seen, and a log
//! that just stops is an interrupted run. Nothing here looks at the environment; whether there is a terminal, how
//! wide it is and whether it may have colours is a [`Style`] that the front end decides.
//!
//! ```
//! use bootway_plan::{Event, EventKind, Name};
//! use bootway_report::{Outcome, Report, to_junit, watch};
//!
//! let (made, report) = watch(vec![], |emit| {
//!     let step = |at_ms, kind| emit(Event { at_ms, step: Some(Name::fixed("disk")), kind });
//!     step(0, EventKind::Started);
//!     step(1200, EventKind::Finished);
//!     emit(Event::of_run(1200, EventKind::RunFinished { exit_code: 0 }));
//!     "disk.raw"
//! });
//! assert_eq!(made, "disk.raw");
//! assert_eq!(report.outcome(), Outcome::Good);
//! assert!(to_junit(&report).contains(r#"<testcase classname="steps" name="disk" time="1.200"/>"#));
//!
//! let stopped = Report::of(&[Event::of_run(0, EventKind::Note { text: "one of four".to_owned() })]);
//! assert_eq!(stopped.outcome(), Outcome::Interrupted);
//! ```
#![forbid(unsafe_code)]

mod html;
mod json;
mod junit;
mod ledger;
mod log;
mod markdown;
mod outcome;
mod pictures;
mod queue;
mod record;
mod report;
mod rerun;
mod summary;
mod tally;
mod terminal;
mod text;
mod timings;
mod watch;
mod write;

pub use html::to_html;
pub use json::to_json;
pub use junit::to_junit;
pub use ledger::ledger_line;
pub use log::{JsonLines, read_log};
pub use markdown::to_markdown;
pub use outcome::{Counts, Outcome};
pub use pictures::Pictures;
pub use queue::{Evidence, Queue, Said as TaskVerdict, Task, TaskState};
pub use record::{Catalogue, Recorder, kept_dir, sweep_run};
pub use report::{CheckReport, Lines, Report, Said, State, StepReport};
pub use rerun::rerun_line;
pub use summary::summary;
pub use tally::Tally;
pub use terminal::{Style, Terminal, Verbosity, terminal_width};
pub use text::{civil, span};
pub use timings::{History, Series};
pub use watch::{Sink, watch};
pub use write::write_all;

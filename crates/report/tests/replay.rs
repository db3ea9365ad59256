//! A report is a fold over the log, whatever happens to the log.
#![expect(clippy::unwrap_used, reason = "a test stops where something is wrong")]

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

use bootway_plan::{Class, Event, EventKind, Failure, Name};
use bootway_report::{
    JsonLines, Outcome, Pictures, Report, Sink, State, ledger_line, read_log, to_json, watch, write_all,
};
use camino::{Utf8Path, Utf8PathBuf};
use proptest::prelude::*;

const NAMES: [&str; 7] = ["good", "failed", "check", "interrupted", "twelve", "shim", "guests"];

fn fixture(name: &str) -> Utf8PathBuf {
    Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../fixtures/events/{name}.jsonl"))
}

/// The events of a fixture; a torn last line is left out.
fn events(name: &str) -> Vec<Event> {
    let text = fs_err::read_to_string(fixture(name)).unwrap();
    let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    whole.map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn scratch() -> (tempfile::TempDir, Utf8PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
    (dir, path)
}

#[test]
fn fixtures_are_as_the_log_is_written() {
    for name in NAMES {
        let text = fs_err::read_to_string(fixture(name)).unwrap();
        for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            let event: Event = serde_json::from_str(line).unwrap();
            assert_eq!(serde_json::to_string(&event).unwrap() + "\n", line, "{name}");
        }
    }
}

#[test]
fn replaying_the_log_gives_the_same_files() {
    for name in NAMES {
        let (_guard, dir) = scratch();
        let log = dir.join("events.jsonl");
        let sink = JsonLines::new(fs_err::File::create(&log).unwrap());
        let ((), live) = watch(vec![Box::new(sink)], |emit| events(name).into_iter().for_each(emit));
        write_all(&dir.join("live"), &live, &Pictures::default()).unwrap();
        write_all(&dir.join("replayed"), &read_log(&log).unwrap(), &Pictures::default()).unwrap();
        for file in ["report.json", "report.html", "report.md", "junit.xml"] {
            let read = |from: &str| fs_err::read_to_string(dir.join(from).join(file)).unwrap();
            assert!(read("live") == read("replayed"), "{name}: {file} differs");
        }
        assert_eq!(fs_err::read_dir(dir.join("live")).unwrap().count(), 4, "something partial is left");
    }
}

#[test]
fn events_of_several_threads_all_arrive() {
    let ((), report) = watch(vec![], |emit| {
        std::thread::scope(|scope| {
            for name in ["a", "b", "c", "d"] {
                scope.spawn(move || {
                    for at_ms in 0..100 {
                        let kind = EventKind::Note { text: name.to_owned() };
                        emit(Event { at_ms, step: Some(Name::fixed(name)), kind });
                    }
                });
            }
        });
    });
    assert_eq!(report.steps.iter().map(|step| step.notes.len()).sum::<usize>(), 400);
}

#[test]
fn a_log_without_its_end_is_interrupted() {
    let report = read_log(&fixture("interrupted")).unwrap();
    assert_eq!((report.outcome(), report.exit_code), (Outcome::Interrupted, None));
    assert_eq!(report.step("boots").unwrap().state, State::Running);
    assert_eq!(report.headline(), "Interrupted: the log does not say how it ended");
}

#[test]
fn an_exit_code_alone_is_not_believed() {
    let good = events("good");
    let is_end_of = |event: &Event, id: &str| {
        event.step.as_ref().is_some_and(|step| *step == *id) && event.kind == EventKind::Finished
    };
    let without =
        |id: &str| Report::of(&good.iter().filter(|it| !is_end_of(it, id)).cloned().collect::<Vec<_>>());
    assert_eq!(Report::of(&good).outcome(), Outcome::Good);
    assert_eq!(without("disk").outcome(), Outcome::Interrupted);

    let said_good = |name: &str| {
        let mut events = events(name);
        events.last_mut().unwrap().kind = EventKind::RunFinished { exit_code: 0 };
        Report::of(&events).outcome()
    };
    assert_eq!(said_good("failed"), Outcome::Step.max(Outcome::Interrupted));
    assert_eq!(said_good("check"), Outcome::Check);
}

/// Wherever a SIGKILL cuts the log, it can be read, and only the whole log is a success.
#[test]
fn a_log_cut_anywhere_is_never_a_success() {
    let (_guard, dir) = scratch();
    let log = dir.join("events.jsonl");
    let whole = fs_err::read(fixture("good")).unwrap();
    for length in (0..whole.len() - 1).step_by(7).chain([whole.len() - 2]) {
        fs_err::write(&log, &whole[..length]).unwrap();
        assert_eq!(read_log(&log).unwrap().outcome(), Outcome::Interrupted, "cut at {length}");
    }
}

fn reading(text: &str) -> String {
    let (_guard, dir) = scratch();
    let log = dir.join("events.jsonl");
    fs_err::write(&log, text).unwrap();
    read_log(&log).unwrap_err().to_string().replace(dir.as_str(), "[dir]")
}

#[test]
fn says_which_line_it_cannot_read() {
    let fine = r#"{"at-ms":1,"kind":{"note":{"text":"fine"}}}"#;
    insta::assert_snapshot!(reading(&format!("{fine}\n{{\"at-ms\":2,\"kind\":\"teleported\"}}\n{fine}\n")));
    insta::assert_snapshot!(reading(&format!("{fine}\n\n{fine}\n")));
    let newer = fs_err::read_to_string(fixture("good")).unwrap().replacen("\"format\":1", "\"format\":2", 1);
    insta::assert_snapshot!(reading(&newer));
    insta::assert_snapshot!(read_log(Utf8Path::new("/nowhere/events.jsonl")).unwrap_err());
}

#[test]
fn a_ledger_line_is_a_line() {
    let line = ledger_line(&read_log(&fixture("failed")).unwrap(), "20261121T213000Z");
    assert!(!line.contains('\n'));
    insta::assert_snapshot!(line);
}

#[test]
fn report_json_says_what_it_adds_up_to() {
    let json: serde_json::Value =
        serde_json::from_str(&to_json(&read_log(&fixture("good")).unwrap())).unwrap();
    insta::assert_snapshot!(format!(
        "{:#}",
        serde_json::json!({
            "outcome": json["outcome"], "headline": json["headline"], "exit-code": json["exit-code"],
            "duration-ms": json["duration-ms"], "counts": json["counts"],
        })
    ));
}

/// A disk that is full after some lines.
struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.checked_sub(1).ok_or_else(|| io::Error::other("no space left on device"))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Keeps what it hears.
#[derive(Clone, Default)]
struct Ear(Arc<Mutex<Vec<Event>>>);

impl Sink for Ear {
    fn event(&mut self, event: &Event) -> Result<(), Failure> {
        self.0.lock().unwrap().push(event.clone());
        Ok(())
    }
}

#[test]
fn a_full_disk_does_not_end_the_run_and_is_told() {
    let ear = Ear::default();
    let sinks: Vec<Box<dyn Sink>> = vec![Box::new(JsonLines::new(Full(3))), Box::new(ear.clone())];
    let ((), report) = watch(sinks, |emit| events("good").into_iter().for_each(emit));
    let notes: Vec<_> = report.notes.iter().map(|note| note.text.as_str()).collect();
    assert_eq!(notes, ["cannot write the event log: no space left on device"]);
    assert_eq!(ear.0.lock().unwrap().len(), events("good").len() + 1);
    assert_eq!(report.outcome(), Outcome::Good);
}

#[test]
fn a_report_that_cannot_be_written_says_where() {
    let (_guard, dir) = scratch();
    fs_err::write(dir.join("file"), "").unwrap();
    let failure = write_all(&dir.join("file/report"), &Report::default(), &Pictures::default()).unwrap_err();
    assert_eq!(failure.class, Class::Environment);
    assert!(
        failure.to_string().contains(&format!("cannot write the report into `{dir}/file/report`")),
        "{failure}"
    );
}

proptest! {
    /// No order of events makes it panic, and no writer either.
    #[test]
    fn any_order_of_events_is_a_report(order in proptest::collection::vec(0_usize..60, 0..80)) {
        let events = events("good");
        let report = Report::of(&order.into_iter().filter_map(|n| events.get(n).cloned()).collect::<Vec<_>>());
        prop_assert!(report.exit_code.is_some() || report.outcome() >= Outcome::Interrupted);
        let _ = (bootway_report::to_html(&report, &Pictures::default()), to_json(&report));
    }
}

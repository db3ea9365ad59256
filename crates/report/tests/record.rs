//! The record of guests, written as it happens.
#![expect(clippy::unwrap_used, reason = "a test stops where something is wrong")]

use bootway_plan::{Event, EventKind};
use bootway_report::{Catalogue, History, Recorder, Report, Sink, ledger_line};
use camino::{Utf8Path, Utf8PathBuf};

fn events() -> Vec<Event> {
    let log = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/events/guests.jsonl");
    let text = fs_err::read_to_string(log).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn scratch() -> (tempfile::TempDir, Utf8PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = Utf8Path::from_path(dir.path()).unwrap().join("runs/20260101T000000Z");
    fs_err::create_dir_all(&path).unwrap();
    (dir, path)
}

/// The record of these events.
fn recorded(run_dir: &Utf8Path, events: &[Event]) {
    let mut recorder = Recorder::new(run_dir);
    for event in events {
        recorder.event(event).unwrap();
    }
}

fn read(run_dir: &Utf8Path, name: &str) -> String {
    fs_err::read_to_string(run_dir.join("kept/boots-uefi").join(name)).unwrap()
}

#[test]
fn a_guest_has_its_logs_with_times_and_its_facts() {
    let (_guard, dir) = scratch();
    recorded(&dir, &events());
    insta::assert_snapshot!(read(&dir, "serial.log"), @"
    [2026-01-01T00:00:04.600Z] BdsDxe: starting Boot0001
    [2026-01-01T00:00:05.300Z] Linux version 6.1.0
    [2026-01-01T00:00:06.000Z] Installer ready
    [2026-01-01T00:00:06.700Z] installer login:
    ");
    insta::assert_snapshot!("harness_log", read(&dir, "harness.log"));
    insta::assert_snapshot!("metadata", read(&dir, "metadata.json"));
    assert!(!dir.join("kept/iso").exists(), "only guests have a record");
}

/// Whoever is killed leaves what was known.
#[test]
fn at_any_moment_what_is_known_is_written() {
    let all = events();
    let steps = all.iter().position(|event| matches!(event.kind, EventKind::Guest(_))).unwrap();
    for end in steps + 1..all.len() {
        let (_guard, dir) = scratch();
        recorded(&dir, &all[..end]);
        let text = fs_err::read_to_string(dir.join("kept/boots-bios/metadata.json")).unwrap();
        let metadata: serde_json::Value = serde_json::from_str(&text).unwrap();
        let over = all[..end].iter().any(|event| {
            event.kind == EventKind::Finished && event.step.as_ref().is_some_and(|it| *it == *"boots-bios")
        });
        assert_eq!(metadata["outcome"], if over { "passed" } else { "unknown" });
    }
}

#[test]
fn what_a_killed_run_left_half_written_is_removed_and_nothing_else() {
    let (_guard, dir) = scratch();
    bootway_report::sweep_run(&dir.join("none")).unwrap();
    recorded(&dir, &events());
    let all = || {
        let files = walkdir::WalkDir::new(&dir).sort_by_file_name().into_iter();
        files.map(|it| it.unwrap().path().to_owned()).collect::<Vec<_>>()
    };
    let before = all();
    for left in [".partial-report.html", "kept/boots-bios/.partial-metadata"] {
        fs_err::write(dir.join(left), "{\"out").unwrap();
    }
    bootway_report::sweep_run(&dir).unwrap();
    assert_eq!(all(), before);
    // A file of the guest may be called so.
    fs_err::write(dir.join("kept/boots-bios/.partial-theirs"), "").unwrap();
    bootway_report::sweep_run(&dir).unwrap();
    assert_eq!(all().len(), before.len() + 1);
}

#[test]
fn files_are_named_by_their_place_in_the_run() {
    let (_guard, dir) = scratch();
    let catalogue = Catalogue::new(&dir);
    let said = std::sync::Mutex::new(Vec::new());
    let emit = |event: Event| {
        catalogue.emit(event, &|event| {
            if let EventKind::Kept(kept) = event.kind {
                said.lock().unwrap().push(kept.path.to_string());
            }
        });
    };
    let all = events().into_iter();
    for mut event in all.filter(|it| it.step.as_ref().is_none_or(|step| *step == *"boots-bios")) {
        if let EventKind::Kept(kept) = &mut event.kind {
            kept.path = dir.join(&kept.path);
        }
        emit(event);
    }
    let said = said.into_inner().unwrap();
    assert_eq!(
        said[..3],
        ["serial.log", "harness.log", "metadata.json"].map(|it| format!("kept/boots-bios/{it}"))
    );
    assert_eq!(said.last().unwrap(), "kept/boots-bios/the-installer-is-ready.png");
}

#[test]
fn what_is_slower_than_in_five_good_runs_is_named() {
    let report = Report::of(&events());
    let line = ledger_line(&report, "r");
    let good = |line: &str| line.replace("\"outcome\":\"check\"", "\"outcome\":\"good\"");
    let fast = good(&line).replace("\"ms\":4200", "\"ms\":2000");
    let slower = |lines: &[String]| {
        let history = History::parse(&lines.join("\n"));
        history.slower(&report).iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(
        slower(&vec![fast.clone(); 5]),
        ["step iso took 4.2 s; the median of 5 good runs before is 2.0 s"]
    );
    assert!(slower(&vec![fast.clone(); 4]).is_empty(), "four are not enough");
    let red = fast.replace("\"outcome\":\"good\"", "\"outcome\":\"check\"");
    assert!(slower(&vec![red; 9]).is_empty(), "runs that were not good say nothing");
    let elsewhere = fast.replace("2 processors", "64 processors");
    assert!(slower(&vec![elsewhere; 9]).is_empty(), "another host is another thing");
    assert_eq!(History::parse("{\"format\":1,\"torn").unreadable, 1);
}

use bootway_plan::{Class, Event, EventKind, RunInfo, StepId, StepInfo, Verdict};

use super::*;

const QUEUE: &str = r#"# What we work on. Evidence is written by runs.
format = 1

[[item]]
id = "lan"        # asked for by the first user
title = "The installer has an address on the LAN"
state = "active"  # runs decide
needs = ["boots/lan has an address", "image"]

  [[item.evidence]]
  run = "20260101T000000Z"   # the first red one
  at = "2026-01-01T00:00:00Z"
  verdict = "failed"
  failing = ["boots/lan has an address"]
  record = "runs/20260101T000000Z/report.html"

[[item]]
id = "later"
title = "Leftovers of RAID are wiped"
state = "backlog"
needs = ["boots"]

[[item]]
id = "prose"
title = "The guide is read by somebody else"
state = "active"
"#;

fn run(verdict: Option<Verdict>, exit_code: u8) -> Report {
    let step = |id: &'static str, at_ms, kind| Event { at_ms, step: Some(Name::fixed(id)), kind };
    let info = |id: &'static str| StepInfo {
        id: StepId::fixed(id),
        phase: Name::fixed("test"),
        kind: "vm".to_owned(),
        summary: String::new(),
    };
    let started = RunInfo {
        format: 1,
        plan: Name::fixed("demo"),
        plan_digest: bootway_plan::Digest::of(b""),
        plan_file: None,
        command: None,
        arguments: Vec::new(),
        started: 1_767_312_000,
        version: "0.1.0".to_owned(),
        host: String::new(),
        tools: Vec::new(),
        steps: vec![info("image"), info("boots")],
    };
    let mut events = vec![Event::of_run(0, EventKind::RunStarted(Box::new(started)))];
    events.extend([step("image", 1, EventKind::Started), step("image", 2, EventKind::Cached)]);
    events.push(step("boots", 3, EventKind::Started));
    if let Some(verdict) = verdict {
        let name = "lan has an address".to_owned();
        events.push(step("boots", 4, EventKind::Check { name, verdict, after_ms: 1, detail: None }));
    }
    let end = match exit_code {
        0 => EventKind::Finished,
        _ => EventKind::Failed(Failure::new(Class::Check, "it is not good")),
    };
    events.push(step("boots", 5, end));
    events.push(Event::of_run(6, EventKind::RunFinished { exit_code }));
    Report::of(&events)
}

fn judged(report: &Report) -> Queue {
    let mut queue = Queue::parse(QUEUE).unwrap();
    queue.judge(report, "20260102T000000Z", "runs/20260102T000000Z/report.html").unwrap();
    queue
}

#[test]
fn a_green_run_makes_a_task_done_and_changes_nothing_else() {
    let text = judged(&run(Some(Verdict::Passed), 0)).text();
    let expected = QUEUE.replacen("state = \"active\"  # runs", "state = \"done\"  # runs", 1);
    let (before, after) = expected.split_at(expected.find("\n[[item]]\nid = \"later\"").unwrap());
    assert!(text.starts_with(before), "{text}");
    assert!(text.ends_with(after), "{text}");
    insta::assert_snapshot!(&text[before.len()..text.len() - after.len()], @r#"
    [[item.evidence]]
    run = "20260102T000000Z"
    at = "2026-01-02T00:00:00Z"
    verdict = "passed"
    record = "runs/20260102T000000Z/report.html"
    "#);
    assert_eq!(Queue::parse(&text).unwrap().tasks()[0].evidence.len(), 2);
}

#[test]
fn a_red_run_leaves_it_active_and_says_what_failed() {
    let queue = judged(&run(Some(Verdict::TimedOut), 6));
    let task = &queue.tasks()[0];
    assert_eq!(task.state, TaskState::Active);
    assert_eq!(task.evidence[1].failing, ["boots/lan has an address"]);
    assert_eq!(task.evidence[1].verdict, Said::Failed);
}

#[test]
fn what_a_run_did_not_look_at_is_not_decided_by_it() {
    assert_eq!(judged(&run(None, 0)).text(), QUEUE, "the check is not there");
    assert_eq!(judged(&run(Some(Verdict::NotRun), 0)).text(), QUEUE);
    assert_eq!(judged(&run(Some(Verdict::Passed), 130)).text(), QUEUE, "somebody asked to stop");
}

#[test]
fn a_run_says_what_it_says_once() {
    let mut queue = judged(&run(Some(Verdict::Failed), 6));
    let before = queue.text();
    let again = queue.judge(&run(Some(Verdict::Failed), 6), "20260102T000000Z", "x").unwrap();
    assert!(again.is_empty());
    assert_eq!(queue.text(), before);
}

#[test]
fn people_move_what_no_run_decides() {
    let mut queue = Queue::parse(QUEUE).unwrap();
    queue.move_to("later", TaskState::Active).unwrap();
    queue.move_to("prose", TaskState::Done).unwrap();
    let mut expected = QUEUE.replacen("\"backlog\"", "\"active\"", 1);
    let at = expected.rfind("\"active\"").unwrap();
    expected.replace_range(at..at + 8, "\"done\"");
    assert_eq!(queue.text(), expected);
    insta::assert_snapshot!(queue.move_to("lan", TaskState::Done).unwrap_err(), @"
    error: `lan` is done when a run says so: it needs `boots/lan has an address`, `image`
      hint: make it active, and run the plan: `bootway build`
    ");
    insta::assert_snapshot!(queue.move_to("lann", TaskState::Backlog).unwrap_err(), @"
    error: there is no task `lann` in the queue
      hint: did you mean `lan`
    ");
}

#[test]
fn what_is_added_is_behind_all_others() {
    let mut queue = Queue::empty();
    let task = Task {
        id: Name::fixed("disks"),
        title: "Three disks are found".to_owned(),
        state: TaskState::Backlog,
        needs: vec!["boots/three disks".to_owned()],
        note: None,
        evidence: Vec::new(),
    };
    queue.add(task.clone()).unwrap();
    insta::assert_snapshot!(queue.text(), @r#"
    format = 1

    [[item]]
    id = "disks"
    title = "Three disks are found"
    state = "backlog"
    needs = ["boots/three disks"]
    "#);
    insta::assert_snapshot!(queue.add(task).unwrap_err(), @"error: there is a task `disks` already");
}

#[test]
fn the_markdown_has_three_parts() {
    insta::assert_snapshot!(judged(&run(Some(Verdict::Passed), 0)).to_markdown(), @"
    # Task queue

    _Last updated: 2026-01-02T00:00:00Z_

    ## Active Tasks

    1. **The guide is read by somebody else** (`prose`)

    ## Backlog

    1. **Leftovers of RAID are wiped** (`later`)
       - needs `boots`

    ## Recently Completed

    1. **The installer has an address on the LAN** (`lan`)
       - needs `boots/lan has an address`, `image`
       - 2026-01-01T00:00:00Z: failed: `boots/lan has an address`, run [20260101T000000Z](<runs/20260101T000000Z/report.html>)
       - 2026-01-02T00:00:00Z: passed, run [20260102T000000Z](<runs/20260102T000000Z/report.html>)
    ");
}

#[test]
fn what_is_wrong_with_a_queue_is_named() {
    let of = |text: &str| Queue::parse(text).unwrap_err().to_string();
    insta::assert_snapshot!(of("format = 2\n"), @"
    error: the queue cannot be read
      caused by: `format` is 2, and this bootway reads 1
      hint: see docs/guides/queue.md
    ");
    insta::assert_snapshot!(of("format = 1\n[[item]]\nid = \"a\"\ntitle = \"A\"\nstate = \"doing\"\n"), @r#"
    error: the queue cannot be read
      caused by: TOML parse error at line 5, column 9
          |
        5 | state = "doing"
          |         ^^^^^^^
        unknown variant `doing`, expected one of `active`, `backlog`, `done`
      hint: see docs/guides/queue.md
    "#);
    let twice = "[[item]]\nid = \"a\"\ntitle = \"A\"\nstate = \"backlog\"\n";
    insta::assert_snapshot!(of(&format!("format = 1\n{twice}{twice}")), @"
    error: the queue cannot be read
      caused by: two items are called `a`
      hint: see docs/guides/queue.md
    ");
}

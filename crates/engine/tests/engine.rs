//! Whole runs of small plans, with real files and real programs.
#![expect(clippy::unwrap_used, reason = "clippy does not take the helpers of tests for tests")]

use std::{collections::BTreeMap, sync::Mutex};

use bootway_engine::{Loaded, Machine, Options, Outcome, StepEnd, Work, build, doctor, preview, status};
use bootway_exec::{Cancel, SystemRunner};
use bootway_plan::{Class, Event, EventKind, Selection, Vars};
use camino::{Utf8Path, Utf8PathBuf};
use tempfile::TempDir;

/// A directory with a plan and what it reads.
struct Project {
    dir: TempDir,
    plan: String,
}

const TREE_AND_DISK: &str = r#"
[[phase]]
name = "build"
  [[phase.step]]
  name = "root"
  tree = { from = ["./root"] }
  [[phase.step]]
  name = "other"
  tree = { edits = [{ write = { path = "a", text = "a" } }] }
[[phase]]
name = "assemble"
  [[phase.step]]
  name = "disk"
  disk = { partition = [{ label = "ROOT", type = "linux-data", fs = "ext4", content = "root" }] }
"#;

impl Project {
    fn new(plan: &str) -> Self {
        let project = Self {
            dir: tempfile::tempdir().unwrap(),
            plan: format!("format = 1\nname = \"demo\"\nepoch = 1735689600\n{plan}"),
        };
        project.write("root/etc/hostname", "demo\n");
        project.write("root/etc/motd", "hello\n");
        project
    }

    fn path(&self) -> &Utf8Path {
        Utf8Path::from_path(self.dir.path()).unwrap()
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
    }

    fn load(&self) -> Loaded {
        Loaded::from_text(&self.plan, self.path(), &Vars::default())
            .unwrap_or_else(|problems| panic!("{problems}"))
    }

    fn work(&self) -> Work {
        Work::new(self.path().join(".bootway/demo"))
    }

    fn out(&self, name: &str) -> Utf8PathBuf {
        self.path().join(".bootway/demo/out").join(name)
    }

    fn build_with(&self, options: &Options, cancel: &Cancel) -> (Outcome, Vec<Event>) {
        let session = self.work().open().unwrap();
        let runner = SystemRunner { children: Some(session.work().children()) };
        let events = Mutex::new(Vec::new());
        let machine = Machine { runner: &runner, cancel, session: &session, helper: &[] };
        let outcome = build(&self.load(), machine, options, &|event| events.lock().unwrap().push(event));
        (outcome, events.into_inner().unwrap())
    }

    fn build(&self) -> (Outcome, Vec<Event>) {
        self.build_with(&Options::default(), &Cancel::default())
    }

    fn status(&self) -> String {
        let states = status(&self.load(), &self.work(), &SystemRunner::default());
        states.iter().map(|it| format!("{}: {:?}\n", it.step, it.state)).collect()
    }
}

/// How each step ended, in a word.
fn ends(outcome: &Outcome) -> String {
    let word = |end: &StepEnd| match end {
        StepEnd::Done(_) => "done".to_owned(),
        StepEnd::Cached(_) => "cached".to_owned(),
        StepEnd::Skipped(reason) => format!("skipped: {reason}"),
        StepEnd::Failed(failure) => format!("failed: {}", failure.chain.join(": ")),
    };
    outcome.steps.iter().map(|(id, end)| format!("{id} {}\n", word(end))).collect()
}

#[test]
fn the_second_run_has_nothing_to_do() {
    let project = Project::new(TREE_AND_DISK);
    let (first, _) = project.build();
    insta::assert_snapshot!(ends(&first), @"
    disk done
    other done
    root done
    ");
    assert_eq!(first.exit_code(), 0);
    let (second, _) = project.build();
    insta::assert_snapshot!(ends(&second), @"
    disk cached
    other cached
    root cached
    ");
    assert_eq!(second.exit_code(), 0);
    insta::assert_snapshot!(project.status(), @"
    root: Done
    other: Done
    disk: Done
    ");
}

#[test]
fn a_changed_file_is_named_and_only_what_depends_on_it_runs() {
    let project = Project::new(TREE_AND_DISK);
    project.build();
    project.write("root/etc/motd", "good bye\n");
    insta::assert_snapshot!(project.status(), @r#"
    root: Stale("in `./root`, `etc/motd` has changed")
    other: Done
    disk: Stale("`root` has to run again")
    "#);
    insta::assert_snapshot!(ends(&project.build().0), @"
    disk done
    other cached
    root done
    ");
    project.write("root/etc/issue", "new\n");
    fs_err::remove_file(project.path().join("root/etc/hostname")).unwrap();
    insta::assert_snapshot!(project.status(), @r#"
    root: Stale("in `./root`, `etc/issue` is new")
    other: Done
    disk: Stale("`root` has to run again")
    "#);
}

#[test]
fn a_changed_parameter_is_named() {
    let mut project = Project::new(TREE_AND_DISK);
    project.build();
    project.plan = project.plan.replace("text = \"a\"", "text = \"b\"");
    insta::assert_snapshot!(project.status(), @r#"
    root: Done
    other: Stale("its parameters have changed in the plan")
    disk: Done
    "#);
    project.plan = project.plan.replace("1735689600", "1735689601");
    insta::assert_snapshot!(project.status(), @r#"
    root: Stale("epoch was `1735689600` and is `1735689601`")
    other: Stale("epoch was `1735689600` and is `1735689601`")
    disk: Stale("`root` has to run again")
    "#);
}

#[test]
fn an_output_that_was_tampered_with_is_made_again() {
    let project = Project::new(TREE_AND_DISK);
    project.build();
    let before = fs_err::read(project.out("disk/disk.raw")).unwrap();
    fs_err::write(project.out("disk/disk.raw"), b"scribble").unwrap();
    insta::assert_snapshot!(project.status(), @r#"
    root: Done
    other: Done
    disk: Stale("output `disk` is not what was made")
    "#);
    insta::assert_snapshot!(ends(&project.build().0), @"
    disk done
    other cached
    root cached
    ");
    assert!(fs_err::read(project.out("disk/disk.raw")).unwrap() == before);
}

#[test]
fn jobs_and_places_make_no_difference_to_the_bytes() {
    let digest = |jobs| {
        let project = Project::new(TREE_AND_DISK);
        let (outcome, _) = project.build_with(&Options { jobs, ..Options::default() }, &Cancel::default());
        outcome.steps["disk"].artifacts().unwrap()[0].digest
    };
    assert_eq!(digest(1), digest(4));
}

#[test]
fn a_second_runner_is_refused_with_the_pid_of_the_first() {
    let project = Project::new(TREE_AND_DISK);
    let _first = project.work().open().unwrap();
    let failure = project.work().open().unwrap_err();
    assert_eq!(failure.class, Class::Environment);
    let text = failure.to_string().replace(project.path().as_str(), "[dir]");
    insta::assert_snapshot!(text.replace(&std::process::id().to_string(), "[pid]"), @"
    error: another run (pid [pid]) holds `[dir]/.bootway/demo`
      hint: wait for it, stop it with `kill [pid]`, or use another directory: `--work DIR`
    ");
}

const FAILING: &str = r#"
[[phase]]
name = "build"
  [[phase.step]]
  name = "bad"
  command = { argv = ["sh", "-c", "echo whole > $0/it; exit 3", "${out}"], outputs = { it = { path = "it" } } }
  [[phase.step]]
  name = "after"
  tree = { from = [{ source = "bad", at = "it" }] }
  [[phase.step]]
  name = "apart"
  tree = { edits = [{ mkdir = { path = "a" } }] }
"#;

#[test]
fn a_failed_step_leaves_nothing_and_stops_the_run() {
    let project = Project::new(FAILING);
    let (outcome, events) =
        project.build_with(&Options { jobs: 1, ..Options::default() }, &Cancel::default());
    insta::assert_snapshot!(ends(&outcome).replace(project.path().as_str(), "[dir]"), @"
    after skipped: the run was stopped by an earlier failure
    apart skipped: the run was stopped by an earlier failure
    bad failed: step `bad` failed: `cd [dir]/.bootway/demo/scratch/bad && SOURCE_DATE_EPOCH=1735689600 sh -c 'echo whole > $0/it; exit 3' [dir]/.bootway/demo/out/.partial-bad` exited with code 3
    ");
    assert_eq!(outcome.exit_code(), 5);
    assert!(!project.out("bad").exists());
    assert!(!project.out(".partial-bad").exists());
    let last = &events.last().unwrap().kind;
    assert_eq!(*last, EventKind::RunFinished { exit_code: 5 });
}

#[test]
fn keep_going_runs_what_does_not_need_the_failed_step() {
    let project = Project::new(FAILING);
    let options = Options { jobs: 1, keep_going: true, ..Options::default() };
    let (outcome, _) = project.build_with(&options, &Cancel::default());
    insta::assert_snapshot!(ends(&outcome).replace(project.path().as_str(), "[dir]"), @"
    after skipped: it needs `bad`, which failed
    apart done
    bad failed: step `bad` failed: `cd [dir]/.bootway/demo/scratch/bad && SOURCE_DATE_EPOCH=1735689600 sh -c 'echo whole > $0/it; exit 3' [dir]/.bootway/demo/out/.partial-bad` exited with code 3
    ");
}

const VERDICTS: &str = r#"
[[phase]]
name = "all"
  [[phase.step]]
  name = "lint"
  tier = "quick"
  command = { argv = ["false"] }
  [[phase.step]]
  name = "test"
  tier = "build"
  command = { argv = ["true"] }
  [[phase.step]]
  name = "tree"
  tree = { edits = [{ mkdir = { path = "a" } }] }
  [[phase.step]]
  name = "upload"
  command = { argv = ["touch", "${plan-dir}/uploaded"] }
  [[phase.step]]
  name = "after"
  tier = "full"
  command = { argv = ["true"] }
"#;

/// A check that fails is a verdict: others are looked at, and nothing happens that is for what is good.
#[test]
fn after_a_check_that_failed_other_checks_run_and_effects_do_not() {
    let project = Project::new(VERDICTS);
    let options = Options { jobs: 1, keep_going: true, ..Options::default() };
    let (outcome, _) = project.build_with(&options, &Cancel::default());
    insta::assert_snapshot!(ends(&outcome).replace(project.path().as_str(), "[dir]"), @"
    after done
    lint failed: step `lint` failed: `cd [dir]/.bootway/demo/scratch/lint && SOURCE_DATE_EPOCH=1735689600 false` exited with code 1
    test done
    tree done
    upload skipped: it needs `lint`, which failed
    ");
    assert!(!project.path().join("uploaded").exists());
    let (outcome, _) = project.build_with(&Options { jobs: 1, ..Options::default() }, &Cancel::default());
    insta::assert_snapshot!(ends(&outcome).replace(project.path().as_str(), "[dir]"), @"
    after skipped: the run was stopped by an earlier failure
    lint failed: step `lint` failed: `cd [dir]/.bootway/demo/scratch/lint && SOURCE_DATE_EPOCH=1735689600 false` exited with code 1
    test skipped: the run was stopped by an earlier failure
    tree skipped: the run was stopped by an earlier failure
    upload skipped: the run was stopped by an earlier failure
    ");
}

#[test]
fn exit_code_zero_without_the_output_is_no_success() {
    let project = Project::new(
        r#"
[[phase]]
name = "build"
  [[phase.step]]
  name = "liar"
  command = { argv = ["echo", "All done!"], outputs = { image = { path = "image.iso" } } }
"#,
    );
    let (outcome, _) = project.build();
    assert_eq!(outcome.exit_code(), 5);
    insta::assert_snapshot!(ends(&outcome).replace(project.path().as_str(), "[dir]"), @"liar failed: step `liar` failed: the command exited with code 0 but made no `image.iso` for output `image`: `${out}` has nothing");
}

#[test]
fn an_output_of_the_wrong_kind_is_no_success() {
    let project = Project::new(
        r#"
[[phase]]
name = "build"
  [[phase.step]]
  name = "liar"
  command = { argv = ["cp", "/etc/hostname", "${out}/image"], outputs = { image = { path = "image", kind = "disk" } } }
"#,
    );
    let (outcome, _) = project.build();
    assert_eq!(outcome.exit_code(), 5);
    let text = ends(&outcome);
    assert!(text.contains("output `image` is not a good disk"), "{text}");
}

#[test]
fn a_limit_ends_a_step_and_says_so() {
    let project = Project::new(
        r#"
[[phase]]
name = "build"
  [[phase.step]]
  name = "slow"
  limit = "200ms"
  command = { argv = ["sleep", "60"] }
"#,
    );
    let (outcome, _) = project.build();
    assert_eq!(outcome.exit_code(), 5);
    insta::assert_snapshot!(ends(&outcome).replace(project.path().as_str(), "[dir]"), @"slow failed: step `slow` failed: it was still running after its limit of 200ms");
}

#[test]
fn a_retry_is_told_and_may_succeed() {
    let project = Project::new(
        r#"
[[phase]]
name = "build"
  [[phase.step]]
  name = "flaky"
  retry = 1
  command = { argv = ["sh", "-c", "test -e $0/tried || { touch $0/tried; exit 1; }", "${plan-dir}"] }
"#,
    );
    let (outcome, events) = project.build();
    assert_eq!(outcome.exit_code(), 0, "{}", ends(&outcome));
    assert!(
        events
            .iter()
            .any(|it| matches!(&it.kind, EventKind::Note { text } if text.starts_with("attempt 1 of 2")))
    );
}

#[test]
fn when_and_requires_skip_with_their_reason_and_strict_plans_fail() {
    let plan = r#"
[vars.board]
default = "zork"
[[phase]]
name = "build"
  [[phase.step]]
  name = "octopus"
  when = { var = "board", is = "octopus" }
  tree = { edits = [{ mkdir = { path = "a" } }] }
  [[phase.step]]
  name = "lacking"
  requires = { tools = ["no-such-tool"] }
  tree = { edits = [{ mkdir = { path = "a" } }] }
  [[phase.step]]
  name = "after"
  tree = { from = ["lacking"] }
"#;
    let project = Project::new(plan);
    let (outcome, _) = project.build();
    insta::assert_snapshot!(ends(&outcome), @"
    after skipped: it needs `lacking`, which was skipped
    lacking skipped: program `no-such-tool` is missing: install `no-such-tool`
    octopus skipped: when: `board` is `zork`
    ");
    assert_eq!(outcome.exit_code(), 7, "a run of skips proves nothing");
    let strict = Project::new(&format!("skips = \"strict\"\n{plan}"));
    let (outcome, _) = strict.build();
    insta::assert_snapshot!(ends(&outcome), @"
    after skipped: the run was stopped by an earlier failure
    lacking failed: step `lacking` did not run: program `no-such-tool` is missing: install `no-such-tool`
    octopus skipped: when: `board` is `zork`
    ");
    assert_eq!(outcome.exit_code(), 6);
}

#[test]
fn cancelling_ends_the_run_with_its_own_code() {
    let project = Project::new(
        r#"
[[phase]]
name = "build"
  [[phase.step]]
  name = "slow"
  command = { argv = ["sleep", "60"] }
"#,
    );
    let cancel = Cancel::default();
    cancel.cancel();
    let (outcome, _) = project.build_with(&Options::default(), &cancel);
    assert_eq!(outcome.exit_code(), 130);
}

#[test]
fn events_of_a_step_have_their_order() {
    let project = Project::new(FAILING);
    let (_, events) =
        project.build_with(&Options { keep_going: true, ..Options::default() }, &Cancel::default());
    let mut open: BTreeMap<String, bool> = BTreeMap::new();
    for event in &events {
        let Some(step) = event.step.as_ref().map(ToString::to_string) else { continue };
        match event.kind {
            EventKind::Started => assert_eq!(open.insert(step, true), None),
            EventKind::Skipped { .. } => assert_eq!(open.insert(step, false), None, "it was not started"),
            EventKind::Finished | EventKind::Cached | EventKind::Failed(_) => {
                assert_eq!(open.insert(step, false), Some(true));
            }
            _ => assert_eq!(open.get(&step), Some(&true), "{step} says something before or after its time"),
        }
    }
    assert!(open.values().all(|open| !open));
}

#[test]
fn what_is_missing_is_said_all_at_once() {
    let project = Project::new(
        r#"
[requires]
tools = ["no-such-tool"]
env = ["NO_SUCH_VARIABLE"]
[[phase]]
name = "build"
  [[phase.step]]
  name = "root"
  tree = { from = ["./nowhere"] }
  [[phase.step]]
  name = "run"
  command = { argv = ["no-such-program"] }
"#,
    );
    let loaded = project.load();
    let steps: Vec<_> = loaded.plan.steps().collect();
    let missing = doctor(&loaded, &steps, &project.work());
    let text: String = missing.iter().map(|it| format!("{it}\n")).collect();
    insta::assert_snapshot!(text.replace(project.path().as_str(), "[dir]"), @"
    `[dir]/nowhere` (needed by `root`): make it, or fix the path in the plan
    environment variable `NO_SUCH_VARIABLE` (needed by `the plan`): set it
    program `no-such-program` (needed by `run`): install `no-such-program`, or fix `argv` in the plan
    program `no-such-tool` (needed by `the plan`): install `no-such-tool`
    ");
    assert_eq!(project.build().0.exit_code(), 4);
}

#[test]
fn a_build_starts_exactly_what_the_preview_says() {
    let project = Project::new(
        r#"
[[phase]]
name = "build"
  [[phase.step]]
  name = "made"
  command = { argv = ["cp", "${plan-dir}/root/etc/motd", "${out}/it"], outputs = { it = { path = "it" } } }
  [[phase.step]]
  name = "packed"
  squashfs = { from = "./root" }
  [[phase.step]]
  name = "used"
  command = { argv = ["cat", "${made/it}", "${packed}"] }
"#,
    );
    let options = Options { jobs: 1, ..Options::default() };
    let preview = preview(&project.load(), &project.work(), &SystemRunner::default(), &[]).unwrap();
    let says: Vec<String> =
        preview.iter().flat_map(|(_, commands)| commands).map(ToString::to_string).collect();
    let (_, events) = project.build_with(&options, &Cancel::default());
    let done: Vec<String> = events
        .into_iter()
        .filter_map(|event| if let EventKind::Command { line } = event.kind { Some(line) } else { None })
        .collect();
    assert_eq!(done, says);
    // Work that is done in Rust has no command line.
    assert_eq!(done.len(), 2);
}

#[test]
fn a_selection_of_nothing_has_its_own_code() {
    let project = Project::new(TREE_AND_DISK);
    let selection =
        Selection { phases: vec!["build".into()], steps: vec!["disk".into()], ..Selection::default() };
    let (outcome, _) = project.build_with(&Options { selection, ..Options::default() }, &Cancel::default());
    assert_eq!(outcome.exit_code(), 7);
}

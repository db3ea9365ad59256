//! Whole runs of small plans, with real files and real programs.

use std::{collections::BTreeMap, sync::Mutex};

use bootway_engine::{Loaded, Machine, Options, Outcome, StepEnd, Work, build, doctor, preview, status};
use bootway_exec::{Cancel, Reply, ScriptedRunner, SystemRunner, Tool};
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
        let machine = Machine { runner: &runner, cancel, session: &session };
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
    insta::assert_snapshot!(ends(&first), @"");
    assert_eq!(first.exit_code(), 0);
    let (second, _) = project.build();
    insta::assert_snapshot!(ends(&second), @"");
    assert_eq!(second.exit_code(), 0);
    insta::assert_snapshot!(project.status(), @"");
}

#[test]
fn a_changed_file_is_named_and_only_what_depends_on_it_runs() {
    let project = Project::new(TREE_AND_DISK);
    project.build();
    project.write("root/etc/motd", "good bye\n");
    insta::assert_snapshot!(project.status(), @"");
    insta::assert_snapshot!(ends(&project.build().0), @"");
    project.write("root/etc/issue", "new\n");
    fs_err::remove_file(project.path().join("root/etc/hostname")).unwrap();
    insta::assert_snapshot!(project.status(), @"");
}

#[test]
fn a_changed_parameter_is_named() {
    let mut project = Project::new(TREE_AND_DISK);
    project.build();
    project.plan = project.plan.replace("text = \"a\"", "text = \"b\"");
    insta::assert_snapshot!(project.status(), @"");
    project.plan = project.plan.replace("1735689600", "1735689601");
    insta::assert_snapshot!(project.status(), @"");
}

#[test]
fn an_output_that_was_tampered_with_is_made_again() {
    let project = Project::new(TREE_AND_DISK);
    project.build();
    let before = fs_err::read(project.out("disk/disk.raw")).unwrap();
    fs_err::write(project.out("disk/disk.raw"), b"scribble").unwrap();
    insta::assert_snapshot!(project.status(), @"");
    insta::assert_snapshot!(ends(&project.build().0), @"");
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
    insta::assert_snapshot!(text.replace(&std::process::id().to_string(), "[pid]"), @"");
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
    insta::assert_snapshot!(ends(&outcome).replace(project.path().as_str(), "[dir]"), @"");
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
    insta::assert_snapshot!(ends(&outcome).replace(project.path().as_str(), "[dir]"), @"");
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
    insta::assert_snapshot!(ends(&outcome).replace(project.path().as_str(), "[dir]"), @"");
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
    insta::assert_snapshot!(ends(&outcome).replace(project.path().as_str(), "[dir]"), @"");
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
    insta::assert_snapshot!(ends(&outcome), @"");
    assert_eq!(outcome.exit_code(), 7, "a run of skips proves nothing");
    let strict = Project::new(&format!("skips = \"strict\"\n{plan}"));
    let (outcome, _) = strict.build();
    insta::assert_snapshot!(ends(&outcome), @"");
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
            EventKind::Finished | EventKind::Cached | EventKind::Failed(_) | EventKind::Skipped { .. } => {
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
    insta::assert_snapshot!(text.replace(project.path().as_str(), "[dir]"), @"");
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
  command = { argv = ["make-it", "${out}", "${plan-dir}"], outputs = { it = { path = "it" } } }
  [[phase.step]]
  name = "used"
  command = { argv = ["use-it", "${made/it}"] }
"#,
    );
    let session = project.work().open().unwrap();
    fs_err::create_dir_all(project.path().join("bin")).unwrap();
    let runner =
        ScriptedRunner::default().on_program("make-it", Reply::ok("")).on_program("use-it", Reply::ok(""));
    let loaded = project.load();
    let says: String = preview(&loaded, session.work(), &runner)
        .unwrap()
        .iter()
        .flat_map(|(_, commands)| commands)
        .map(|it| format!("$ {it}\n"))
        .collect();
    insta::assert_snapshot!(says.replace(project.path().as_str(), "[dir]"), @"");
    let _ = Tool::QemuX86;
}

#[test]
fn a_selection_of_nothing_has_its_own_code() {
    let project = Project::new(TREE_AND_DISK);
    let selection = Selection { phases: vec!["build".into()], steps: vec!["disk".into()], tier: None };
    let (outcome, _) = project.build_with(&Options { selection, ..Options::default() }, &Cancel::default());
    assert_eq!(outcome.exit_code(), 7);
}

//! A run that boots guests, stopped or killed at any moment: nothing of it goes on, and nothing of it stays.

use std::os::unix::{ffi::OsStrExt as _, fs::FileTypeExt as _};

use camino::Utf8Path;
use rustix::process::{Pid, Signal, kill_process};
use walkdir::WalkDir;

use crate::{
    busybox::{self, processes, until},
    project::{Project, program, start},
};

/// A machine that is saved when it is ready, and tests that go on from it. What works is found out by a probe.
const SUITE: &str = r#"
  check = [{ name = "is up", run = "echo up", equals = "up" }]
  [[phase.step.vm.test]]
  name = "one"
  check = [{ name = "adds", run = "echo $((1 + 1))", equals = "2" }]
  [[phase.step.vm.test]]
  name = "two"
  check = [{ name = "writes", run = "echo a > /a; cat /a", equals = "a" }]
"#;

/// How many moments are tried besides those at which a QEMU is started.
const SPREAD: usize = 5;

#[test]
fn a_stopped_or_killed_run_leaves_no_guest_no_socket_and_no_scratch_file() {
    let project = busybox::project("", SUITE);
    busybox::edit(&project, "accel = \"tcg\"\n", "");
    let build = ["build", "test.plan.toml", "--jobs", "2", "--no-report"];
    let whole = project.bootway(&build);
    assert_eq!(whole.code, 0, "{}", whole.stderr);
    let log = fs_err::read_to_string(project.path().join(".bootway/test/runs/latest/events.jsonl")).unwrap();

    // Somebody else's, who is in the way.
    let mut bystander = program("sleep");
    let mut bystander = start(bystander.arg("1000").current_dir(project.path()));
    let theirs = format!("/proc/{}", bystander.id());
    let note = project.write("a-note", "not ours");

    let mut stopped = 0;
    for (n, events) in moments(&log).into_iter().enumerate() {
        fs_err::remove_dir_all(project.path().join(".bootway")).unwrap();
        let signal = if n % 2 == 0 { Signal::KILL } else { Signal::INT };
        let mut child = start(&mut project.command(&build));
        until(|| child.try_wait().unwrap().is_some() || seen(&project) >= events);
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).unwrap();
        let is_running = child.try_wait().unwrap().is_none();
        stopped += usize::from(is_running && kill_process(pid, signal).is_ok());
        let code = child.wait().unwrap().code();
        let what = format!("{signal:?} after {events} events");
        if is_running && signal == Signal::INT {
            assert_eq!(code, Some(130), "{what}");
        }
        // The kernel ends what dies with its parent a moment later.
        until(|| processes(project.path()).iter().all(|it| it.starts_with(&theirs)));
        if code.is_none() {
            let next = project.bootway(&["build", "test.plan.toml", "--step", "initrd"]);
            assert_eq!(next.code, 0, "{what}: {}", next.stderr);
        }
        assert_eq!(left_behind(&project), Vec::<String>::new(), "{what}");
    }
    assert!(stopped >= SPREAD, "only {stopped} runs were stopped before they ended");
    assert!(bystander.try_wait().unwrap().is_none() && note.exists());
    bystander.kill().unwrap();
    bystander.wait().unwrap();
}

/// Whoever is killed while the facts of its guest are written leaves a part of them, and no run looks at it any more.
#[test]
fn what_a_killed_run_left_in_its_record_is_removed_by_the_next() {
    let project = Project::new(
        "[[phase]]\nname = \"all\"\n[[phase.step]]\nname = \"t\"\ntree = { from = [\"./root\"] }\n",
    );
    project.write("root/a", "a");
    let build = ["build", "test.plan.toml"];
    // Somebody else's, by its name.
    let strange = std::ffi::OsStr::from_bytes(b"\xFF");
    fs_err::create_dir_all(project.path().join(".bootway/test/runs").as_std_path().join(strange)).unwrap();
    // The first run of all, and one behind a run that came to its end.
    for killed in ["20260101T000000Z", "29990101T000000Z"] {
        let left = project.write(
            &format!(".bootway/test/runs/{killed}/kept/boots/.partial-metadata"),
            "{\"generated_at\": \"2026",
        );
        let run = project.bootway(&build);
        assert_eq!(run.code, 0, "{}", run.stderr);
        assert!(!left.exists() && left.parent().unwrap().exists(), "{left}");
    }
}

/// Numbers of events after which a run is stopped: each start of QEMU, and others that are spread over all.
fn moments(log: &str) -> Vec<usize> {
    let all = log.lines().count();
    let starts = log.lines().enumerate().filter(|(_, line)| line.contains("qemu-system"));
    let mut moments: Vec<usize> = starts.map(|(n, _)| n + 1).collect();
    assert!(moments.len() >= 3, "there is a boot, and a start for each test: {log}");
    moments.extend((0..SPREAD).map(|n| 1 + n * all / SPREAD));
    moments.sort_unstable();
    moments.dedup();
    moments
}

/// How many events the run that goes on has told.
fn seen(project: &Project) -> usize {
    let logs = WalkDir::new(project.path().join(".bootway/test/runs")).into_iter().flatten();
    let logs = logs.filter(|it| it.file_name() == "events.jsonl");
    let lines = |path: &std::path::Path| fs_err::read_to_string(path).map_or(0, |text| text.lines().count());
    logs.map(|it| lines(it.path())).max().unwrap_or(0)
}

/// Sockets, and files that are not whole.
fn left_behind(project: &Project) -> Vec<String> {
    let work = project.path().join(".bootway/test");
    let is_left = |it: &walkdir::DirEntry| {
        let name = it.file_name().to_string_lossy();
        let inside = Utf8Path::from_path(it.path()).unwrap().strip_prefix(&work);
        let first = inside.ok().and_then(|path| path.components().next().map(|it| it.to_string()));
        it.file_type().is_socket()
            || name.starts_with(".partial-")
            || first.is_some_and(|it| ["scratch", "children", "debug", "failed", "lock"].contains(&&*it))
    };
    let walk = WalkDir::new(&work).into_iter().flatten().filter(is_left);
    walk.map(|it| it.path().display().to_string()).collect()
}

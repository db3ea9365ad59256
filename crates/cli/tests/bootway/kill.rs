//! Killed at any moment, the next run completes, with the same bytes, and nothing is left behind.

use camino::Utf8Path;
use walkdir::WalkDir;

use crate::project::{Project, digest, offline, start};

const POINTS: usize = 20;

#[test]
fn a_killed_run_is_continued_with_the_same_bytes() {
    let project = offline();
    let build = ["build", "test.plan.toml", "--jobs", "2"];
    assert_eq!(project.bootway(&build).code, 0);
    let disk = project.path().join(".bootway/test/out/disk/disk.raw");
    let wanted = digest(&disk);
    let events = lines(&project.path().join(".bootway/test/runs/latest/events.jsonl"));
    assert!(events > POINTS, "{events} events are too few to spread {POINTS} kills over");
    let mut killed = 0;
    for point in 0..POINTS {
        fs_err::remove_dir_all(project.path().join(".bootway")).unwrap();
        killed += usize::from(kill_after(&project, &build, point * events / POINTS));
        let run = project.bootway(&build);
        assert_eq!(run.code, 0, "after kill {point}: {}", run.stderr);
        assert_eq!(digest(&disk), wanted, "after kill {point}");
        assert_eq!(left_behind(&project), Vec::<String>::new(), "after kill {point}");
    }
    assert!(killed * 2 > POINTS, "only {killed} of {POINTS} runs were killed before they ended");
}

/// Starts a build and kills it when its log has `events` lines; whether it was still running.
pub(crate) fn kill_after(project: &Project, build: &[&str], events: usize) -> bool {
    let mut child = start(&mut project.command(build));
    let log = project.path().join(".bootway/test/runs");
    let seen = || {
        let logs = WalkDir::new(&log).into_iter().flatten().filter(|it| it.file_name() == "events.jsonl");
        logs.map(|it| lines(Utf8Path::from_path(it.path()).unwrap())).max().unwrap_or(0)
    };
    while seen() < events && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    let running = child.try_wait().unwrap().is_none();
    child.kill().unwrap();
    child.wait().unwrap();
    running
}

pub(crate) fn lines(path: &Utf8Path) -> usize {
    fs_err::read_to_string(path).map_or(0, |text| text.lines().count())
}

/// Partial files, locks and processes of the project.
fn left_behind(project: &Project) -> Vec<String> {
    let walk = WalkDir::new(project.path()).into_iter().flatten();
    let is_left = |name: &str| {
        [".partial-", ".squashfs-", ".tmp-"].iter().any(|begin| name.starts_with(begin))
            || ["lock", "children", "scratch"].contains(&name)
    };
    // This one is always there: who uses the cache locks it, and the kernel ends that with the process.
    let of_the_cache = project.path().join(".bootway/test/cache/squashfs/lock");
    let mut left: Vec<String> = walk
        .filter(|it| it.file_name().to_str().is_some_and(is_left) && it.path() != of_the_cache.as_std_path())
        .map(|it| it.path().display().to_string())
        .collect();
    for process in fs_err::read_dir("/proc").unwrap().flatten() {
        let cmdline = fs_err::read(process.path().join("cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&cmdline).contains(project.path().as_str()) {
            left.push(format!("process {}: {}", process.path().display(), String::from_utf8_lossy(&cmdline)));
        }
    }
    left
}

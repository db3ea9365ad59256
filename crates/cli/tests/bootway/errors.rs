//! Bad input, each with its code, its place and its remedy.

use crate::project::{Project, from_error, offline, run, start};

/// A plan with one step `it`.
fn step(kind: &str) -> Project {
    Project::new(&format!("[[phase]]\nname = \"build\"\n  [[phase.step]]\n  name = \"it\"\n  {kind}\n"))
}

#[test]
fn the_bad_plans_of_the_fixtures_say_what_is_wrong() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/plans/bad");
    let mut said = String::new();
    let mut plans: Vec<_> = fs_err::read_dir(dir).unwrap().map(|it| it.unwrap().path()).collect();
    plans.sort();
    for plan in plans.iter().filter(|it| it.extension().is_some_and(|it| it == "toml")) {
        let project = Project::new("");
        project.write("it.plan.toml", fs_err::read(plan).unwrap());
        let run = project.bootway(&["plan", "it.plan.toml"]);
        said +=
            &format!("# {}\nexit code {}\n{}\n", plan.file_name().unwrap().display(), run.code, run.stderr);
    }
    insta::assert_snapshot!(said);
}

#[test]
fn no_plan_at_that_path() {
    let project = Project::new("");
    let run = project.bootway(&["build", "nowhere.plan.toml"]);
    insta::assert_snapshot!(format!("exit code {}\n{}", run.code, run.stderr), @"
    exit code 3
    error: cannot read the plan `nowhere.plan.toml`
      caused by: failed to open file `nowhere.plan.toml`: No such file or directory (os error 2)
      hint: name a plan that is there, such as `demo.plan.toml`
    ");
}

#[test]
fn a_wrong_sha256() {
    let project = Project::new(&format!(
        "[[phase]]\nname = \"fetch\"\n  [[phase.step]]\n  name = \"file\"\n  fetch = {{ url = \"file://DIR/it\", sha256 = \"{:064}\" }}\n",
        0
    ));
    project.write("it", "not zeros");
    let plan = fs_err::read_to_string(project.path().join("test.plan.toml")).unwrap();
    project.write("test.plan.toml", plan.replace("DIR", project.path().as_str()));
    insta::assert_snapshot!(project.fails(&[]), @r#"
    exit code 5
    error: step `file` failed
      caused by: `file://[dir]/it` is the wrong file: its SHA-256 is `6cf912e764f2eaa7607e5d59b952821e07e2d077a341717437119d1e824b9815`, and `0000000000000000000000000000000000000000000000000000000000000000` is wanted
      hint: if the file was replaced on purpose and you trust it, set `sha256 = "6cf912e764f2eaa7607e5d59b952821e07e2d077a341717437119d1e824b9815"`; else use a `mirror` that has the old one
      rerun: bootway build test.plan.toml --step file
    "#);
}

#[test]
fn a_truncated_deb() {
    let project = step("unpack = { from = \"./it.deb\" }");
    project.write("it.deb", b"!<arch>\ndebian-binary   0           0     0     100644  4         `\n2.0\ndata.tar.xz     0           0     0     100644  4000      `\n\xfd7zXZ");
    insta::assert_snapshot!(project.fails(&[]), @"
    exit code 5
    error: step `it` failed
      caused by: cannot unpack `./it.deb`: member `data.tar.xz` is truncated at byte 5: download or make it again
      rerun: bootway build test.plan.toml --step it
    ");
}

#[test]
fn content_that_is_larger_than_its_partition() {
    let project = step(
        "disk = { partition = [{ label = \"ROOT\", type = \"linux-data\", size = \"2MiB\", fs = \"ext4\", content = \"./root\" }] }",
    );
    project.write("root/big", vec![7; 5 << 20]);
    insta::assert_snapshot!(project.fails(&[]), @r#"
    exit code 3
    error: step `it` failed
      caused by: partition `ROOT` needs 6 MiB, has 2 MiB
      hint: write `size = "fit"`, or at least `size = "6MiB"`
      rerun: bootway build test.plan.toml --step it
    "#);
}

#[test]
fn a_disk_that_is_too_small() {
    let project = step(
        "disk = { size = \"8MiB\", partition = [{ label = \"A\", type = \"linux-data\", size = \"5MiB\" }, { label = \"B\", type = \"linux-data\", size = \"5MiB\" }] }",
    );
    insta::assert_snapshot!(project.fails(&[]), @r#"
    exit code 3
    error: step `it` failed
      caused by: the disk needs 12 MiB, has 8 MiB
      hint: give the disk at least `size = "12MiB"`, or no size at all
      rerun: bootway build test.plan.toml --step it
    "#);
}

#[test]
fn a_file_system_that_is_full() {
    let project = offline();
    let work = project.path().join("small");
    fs_err::create_dir(&work).unwrap();
    // A mount of its own, in namespaces of its own: as an ordinary user, too.
    let script = format!(
        "mount -t tmpfs -o size=4m none {work} && exec {} build test.plan.toml --work {work}/w",
        env!("CARGO_BIN_EXE_bootway")
    );
    let mut command = crate::project::program("unshare");
    command
        .args(["--map-root-user", "--mount", "sh", "-c", &script])
        .current_dir(project.path())
        .env("CI", "1");
    let run = run(&mut command);
    assert_eq!(run.code, 4, "{}", run.stderr);
    let text = project.redact(&run.stderr);
    assert!(
        text.contains("No space left on device") || text.contains("has only") || text.contains("free"),
        "{text}"
    );
}

/// D.3.6 a: the disc is not there, or nothing in a directory is one.
#[test]
fn a_disc_is_missing() {
    let boots = |disc: &str| {
        let vm = format!(
            "vm = {{ boot = \"iso\", image = \"{disc}\", check = [{{ name = \"up\", console = \"x\" }}] }}"
        );
        let project = step(&vm);
        project.write("discs/readme", "none yet");
        // Where its logs are has the time in it.
        let text = project.fails(&[]);
        text.lines()
            .filter(|line| !line.starts_with("  - "))
            .map(|line| format!("{line}\n"))
            .collect::<String>()
    };
    insta::assert_snapshot!(boots("./disc.iso"), @"
    exit code 4
    error: this machine lacks something that the plan needs
      caused by: `[dir]/disc.iso` (needed by `it`): make it, or fix the path in the plan
    ");
    insta::assert_snapshot!(boots("./discs:*.iso"), @"
    exit code 5
    error: step `it` cannot have `./discs:*.iso`
      caused by: nothing matches `./discs:*.iso`
      rerun: bootway build test.plan.toml --step it
    ");
}

#[test]
fn qemu_is_missing() {
    let project = step(
        "vm = { boot = \"kernel\", kernel = \"./kernel\", check = [{ name = \"up\", console = \"x\" }] }",
    );
    project.write("kernel", "no kernel");
    project.write("bin/nothing", "");
    let mut command = project.command(&["build", "test.plan.toml"]);
    let run = run(command.env("PATH", project.path().join("bin")));
    let said = project.redact(&from_error(&run.stderr));
    insta::assert_snapshot!(format!("exit code {}\n{said}", run.code), @"
    exit code 4
    error: this machine lacks something that the plan needs
      caused by: program `qemu-system-x86_64` (needed by `it`): install it: `apt-get install qemu-system-x86`, or enter `nix develop ./nix`
      hint: on Debian: apt-get install qemu-system-x86
    ");
}

#[test]
fn a_second_runner() {
    let project = step("command = { argv = [\"sleep\", \"60\"] }");
    let mut first = start(&mut project.command(&["build", "test.plan.toml"]));
    let lock = project.path().join(".bootway/test/lock");
    let events = project.path().join(".bootway/test/runs");
    let holds = || lock.exists() && events.exists();
    while !holds() && first.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    let text = project.fails(&[]).replace(&first.id().to_string(), "[pid]");
    first.kill().unwrap();
    first.wait().unwrap();
    insta::assert_snapshot!(text, @"
    exit code 4
    error: another run (pid [pid]) holds `[dir]/.bootway/test`
      hint: wait for it, stop it with `kill [pid]`, or use another directory: `--work DIR`
    ");
}

#[test]
fn usage_has_its_own_code() {
    let project = Project::new("");
    assert_eq!(project.bootway(&["build", "--no-such-flag"]).code, 2);
    assert_eq!(project.bootway(&["--help"]).code, 0);
}

#[test]
fn an_interrupted_run_says_so_and_has_a_report() {
    let project = step("command = { argv = [\"sleep\", \"60\"] }");
    let mut child = start(&mut project.command(&["build", "test.plan.toml"]));
    let pid = rustix::process::Pid::from_child(&child);
    let log = project.path().join(".bootway/test/runs");
    let begun = || {
        let logs =
            walkdir::WalkDir::new(&log).into_iter().flatten().filter(|it| it.file_name() == "events.jsonl");
        logs.filter_map(|it| fs_err::read_to_string(it.path()).ok()).any(|text| text.contains("\"command\""))
    };
    while !begun() && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let report = fs_err::read_to_string(log.join("latest/report.md")).unwrap();
    assert!(
        report.to_lowercase().contains("stopped") || report.to_lowercase().contains("cancel"),
        "{report}"
    );
}

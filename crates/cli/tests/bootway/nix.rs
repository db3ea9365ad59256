//! `nix-build` as a user meets it: what it finds, what it says when there is nothing to find, stopped, and silent.

use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;

use crate::{
    guest,
    project::{Project, Run, from_error, run},
    testing::{TestNix, derivation, packages},
};

/// A plan that builds `a` of a flake, whose builder is `script`; `nix` is more of `[nix]`, `step` of the step.
fn project_with(nix: &TestNix, script: &str, more: &str, step: &str) -> Project {
    let flake = nix.flake("project", &packages(&[("a", &derivation("a", script))]));
    plan(&flake, more, step)
}

fn plan(flake: &Utf8Path, more: &str, step: &str) -> Project {
    Project::new(&format!(
        "[nix]\nflake = \"{flake}\"\n{more}\n[[phase]]\nname = \"build\"\n[[phase.step]]\n\
         name = \"a\"\nnix-build = {{ attribute = \"a\"{step} }}\n"
    ))
}

fn project(nix: &TestNix, script: &str) -> Project {
    project_with(nix, script, "silent-warn = \"2s\"", "")
}

fn command(project: &Project, nix: &TestNix, args: &[&str]) -> std::process::Command {
    let mut command = project.command(args);
    command.envs(nix.env());
    command
}

fn build(project: &Project, nix: &TestNix) -> std::process::Command {
    command(project, nix, &["build", "test.plan.toml"])
}

fn wait_for(path: &Utf8Path) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !path.exists() && Instant::now() < deadline {
        std::thread::yield_now();
    }
}

fn signal(child: &std::process::Child, signal: rustix::process::Signal) {
    rustix::process::kill_process(rustix::process::Pid::from_child(child), signal).unwrap();
}

/// The directory of the last run, also of one that was killed.
fn last_run(project: &Project) -> Utf8PathBuf {
    let runs = project.path().join(".bootway/test/runs");
    let runs = runs.read_dir_utf8().unwrap().map(|it| it.unwrap().path().to_owned());
    runs.filter(|it| it.file_name() != Some("latest")).max().unwrap()
}

/// What the log of the last run has of one kind of event.
fn events(project: &Project, kind: &str) -> Vec<Value> {
    let log = fs_err::read_to_string(last_run(project).join("events.jsonl")).unwrap();
    let events = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    events.filter_map(|event| event["kind"].get(kind).cloned()).collect()
}

/// The cause that the log gives.
fn cause(project: &Project) -> String {
    let findings = events(project, "finding");
    let causes: Vec<&str> =
        findings.iter().filter(|it| it["name"] == "cause").filter_map(|it| it["answer"].as_str()).collect();
    causes.join(" ")
}

fn artifact(project: &Project) -> Option<String> {
    fs_err::read_to_string(project.path().join(".bootway/test/out/a/built")).ok()
}

/// What went wrong with the step, without what was printed before.
fn failed_step(stderr: &str) -> String {
    from_error(&stderr[stderr.find("error: step").unwrap_or(0)..])
}

/// `text` without the directory of the store, and hashes that depend on it.
fn plain(nix: &TestNix, text: &str) -> String {
    let text = text.replace(nix.root().as_str(), "NIX");
    let mut pieces = text.split("NIX/store/");
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |text, piece| text + "STORE/" + piece.split_once('-').map_or(piece, |(_, name)| name))
}

/// D.2.8 and show 3: the six outputs of one attribute, five times; what they come to differs in each way that a
/// person or a program can see, and is the same each time.
#[test]
fn thirty_runs_of_six_outputs_have_thirty_correct_classes() {
    let nix = TestNix::new();
    let images = ", glob = \"**/*.img\"";
    for round in 0..5 {
        let of = |script: &str| {
            let project = project_with(&nix, &format!("{script} # {round}"), "", images);
            let ran = run(&mut build(&project, &nix));
            let said = plain(&nix, &failed_step(&ran.stderr));
            let outcome = (ran.code, cause(&project), artifact(&project));
            (outcome, said)
        };
        let found = |text: &str| (0, String::new(), Some(format!("{text}\n")));
        let failed = |cause: &str| (5, cause.to_owned(), None);
        assert_eq!(of("echo file > $out").0, found("file"));
        assert_eq!(of("mkdir $out; echo nixos > $out/nixos.img; echo > $out/nixos.txt").0, found("nixos"));
        let ambiguous = of("mkdir -p $out/b; echo x > $out/a.img; echo y > $out/b/b.img");
        let missing = of("mkdir $out; echo x > $out/a.iso");
        let broken = of("echo x > $out; echo it does not compile >&2; exit 2");
        assert_eq!(ambiguous.0, failed("output-ambiguous"));
        assert_eq!(missing.0, failed("output-missing"));
        assert_eq!(broken.0, failed("builder"));
        insta::allow_duplicates! {
            insta::assert_snapshot!(ambiguous.1 + &missing.1 + &broken.1, @"
            error: step `a` failed
              caused by: `**/*.img` in `STORE/a` matches more than one: `a.img`, `b/b.img`
              hint: write a `glob` that matches one of them
              rerun: bootway build test.plan.toml --step a
            error: step `a` failed
              caused by: nothing matches `**/*.img` in `STORE/a`; there is only `a.iso`
              hint: fix `glob`; it starts inside the output
              rerun: bootway build test.plan.toml --step a
            error: step `a` failed
              caused by: `a` failed to build: builder failed with exit code 2; it printed last:
                  it does not compile
              hint: build it alone: nix-store --realise STORE/a.drv
              rerun: bootway build test.plan.toml --step a
            ");
        }
        a_build_that_is_killed_half_way(&nix, round);
    }
}

/// By SIGINT, which the run survives for long enough to say so, or by SIGKILL, which it does not.
fn a_build_that_is_killed_half_way(nix: &TestNix, round: usize) {
    let (begun, go_on) = (nix.root().join(format!("begun-{round}")), nix.root().join(format!("go-{round}")));
    let project = project(nix, &format!("echo half > $out; touch {begun}; test -e {go_on} || sleep 60"));
    let mut child = build(&project, nix).stderr(std::process::Stdio::null()).spawn().unwrap();
    wait_for(&begun);
    let politely = round.is_multiple_of(2);
    signal(&child, if politely { rustix::process::Signal::INT } else { rustix::process::Signal::KILL });
    let code = child.wait().unwrap().code();
    assert_eq!(artifact(&project), None);
    if politely {
        assert_eq!((code, cause(&project).as_str()), (Some(130), "interrupted"));
    } else {
        let log = last_run(&project).join("events.jsonl");
        let report = project.bootway(&["report", "test.plan.toml", "--run", log.as_str()]).stdout;
        assert!(code.is_none() && report.contains("Interrupted"), "{report}");
    }
    fs_err::write(&go_on, "").unwrap();
    let again = run(&mut build(&project, nix));
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert_eq!(artifact(&project).as_deref(), Some("half\n"));
}

/// D.3.1: one phase runs, the inner file is the artifact, and where it is from is in the report and beside it.
#[test]
fn the_iso_inside_of_an_output_is_the_artifact() {
    let nix = TestNix::new();
    let script = format!(
        "mkdir -p $out/iso tree; echo readme > $out/README\n{}\
         xorriso -as mkisofs -quiet -b boot.img -no-emul-boot -boot-load-size 4 -o $out/iso/demo.iso tree",
        guest::disk("tree/boot.img", "BOOT-DEMO ready")
    );
    let flake = nix.flake("project", &packages(&[("bootImage", &derivation("boot-image", &script))]));
    let project = Project::new(&format!(
        "default-phase = \"first\"\n[nix]\nflake = \"{flake}\"\n[[phase]]\nname = \"build-iso\"\n\
         [[phase.step]]\nname = \"a\"\nnix-build = {{ attribute = \"bootImage\", glob = \"iso/*.iso\", kind = \"iso\" }}\n\
         [[phase]]\nname = \"later\"\n[[phase.step]]\nname = \"b\"\ncommand = {{ argv = [\"false\"] }}\n"
    ));
    let ran = run(&mut build(&project, &nix));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let started = events(&project, "run-started");
    let steps = started[0]["steps"].as_array().unwrap();
    assert_eq!(steps.iter().map(|it| it["phase"].as_str().unwrap()).collect::<Vec<_>>(), ["build-iso"]);
    let provenance = fs_err::read(project.path().join(".bootway/test/out/a/built.provenance.json")).unwrap();
    let provenance: Value = serde_json::from_slice(&provenance).unwrap();
    let at = |name: &str| provenance[name].as_str().unwrap_or_default();
    assert_eq!(at("file"), format!("{}/iso/demo.iso", at("store-path")));
    let artifact = project.path().join(".bootway/test/out/a/built");
    assert_eq!(artifact.canonicalize_utf8().unwrap().as_str(), at("file"));
    assert!(at("nar-hash").starts_with("sha256-") && at("deriver").ends_with("-boot-image.drv"));
    assert!(provenance["duration-ms"].is_u64());
    let report = fs_err::read_to_string(last_run(&project).join("report.json")).unwrap();
    assert!(report.contains(at("store-path")) && report.contains(at("nar-hash")), "{report}");
}

/// D.3.2 and show 4, first half.
#[test]
fn a_silent_builder_has_heartbeats_and_may_be_ended() {
    let nix = TestNix::new();
    let script = "echo begun; sleep 8; echo a > $out";
    let patient = project(&nix, script);
    let ran = run(&mut build(&patient, &nix));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let beats = events(&patient, "heartbeat");
    assert!(beats.len() >= 3, "{beats:?}");
    assert!(beats.iter().all(|beat| beat["silent-ms"].as_u64() >= Some(1900) && beat["last"] == "begun"));
    let shown = ran.stderr.lines().filter(|line| line.contains("silent")).count();
    assert_eq!(shown, beats.len(), "{}", ran.stderr);

    let hasty = "silent-warn = \"2s\"\nsilent-kill = \"3s\"";
    let hasty = project_with(&nix, &format!("{script} # again"), hasty, "");
    let ran = run(&mut build(&hasty, &nix));
    assert_eq!((ran.code, cause(&hasty).as_str()), (5, "silence"));
    insta::assert_snapshot!(plain(&nix, &failed_step(&ran.stderr)), @"
    error: step `a` failed
      caused by: `a` said nothing for too long: `silent-kill` is 3s; it printed last:
          begun
      hint: raise `silent-kill` in `[nix]`, or find out why it says nothing
      rerun: bootway build test.plan.toml --step a
    ");
}

/// D.3.3 and show 4, second half: what was done stays done, what was half done is no artifact.
#[test]
fn an_interrupted_build_of_nix_ends_with_130_and_the_next_run_goes_on() {
    let nix = TestNix::new();
    let (begun, go_on) = (nix.root().join("begun"), nix.root().join("go-on"));
    let script = format!(
        "cat ${{quick}}; mkdir $out; for n in $(seq 30); do echo $n > $out/$n; touch {begun}; \
         test -e {go_on} || sleep 1; done"
    );
    let flake = nix.flake(
        "project",
        &packages(&[("quick", &derivation("quick", "echo > $out")), ("a", &derivation("slow", &script))]),
    );
    let project = plan(&flake, "", ", glob = \"30\"");
    let mut child = build(&project, &nix).stderr(std::process::Stdio::null()).spawn().unwrap();
    wait_for(&begun);
    let stopped = Instant::now();
    signal(&child, rustix::process::Signal::INT);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(stopped.elapsed() < Duration::from_secs(30), "the builder was waited for");
    assert_eq!(cause(&project), "interrupted");
    let path = nix.ok("nix", &["eval", "--raw", &format!("{flake}#a.outPath")]);
    assert!(Utf8Path::new(&path).join("1").exists(), "nothing is left half done, so this test shows nothing");
    assert_ne!(nix.run("nix-store", &["--check-validity", &path]).code, 0);
    assert_eq!(artifact(&project), None);
    let status = run(&mut command(&project, &nix, &["status", "test.plan.toml"])).stdout;
    assert!(
        status.contains("a  never done") && status.contains("Stopped, because somebody asked"),
        "{status}"
    );

    fs_err::write(&go_on, "").unwrap();
    let again = run(&mut command(&project, &nix, &["build", "test.plan.toml", "--verbose"]));
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert_eq!(artifact(&project).as_deref(), Some("30\n"));
    let building = |name: &str| again.stderr.lines().any(|line| line.ends_with(&format!("building {name}")));
    assert!(building("slow") && !building("quick"), "{}", again.stderr);
}

/// D.2.9: nothing is built, and neither Nix nor Git is needed.
#[test]
fn a_dry_run_needs_no_nix() {
    let nix = TestNix::new();
    let project = project(&nix, "echo > $out");
    let mut command = project.command(&["build", "test.plan.toml", "--dry-run"]);
    let shown = run(command.env("PATH", ""));
    assert_eq!(shown.code, 0, "{}", shown.stderr);
    assert!(shown.stdout.contains("nix-store --realise"), "{}", shown.stdout);
    assert!(!nix.store().exists());
    assert!(!project.path().join(".bootway").exists());
}

/// What is built where nobody here can look is no artifact, and nothing is built to find that out.
#[test]
fn a_store_that_is_not_on_this_machine_is_refused_with_what_to_do_instead() {
    let nix = TestNix::new();
    let says = |more: &str| {
        let project = project_with(&nix, "echo > $out", more, "");
        let Run { code, stderr, .. } = run(&mut build(&project, &nix));
        format!("exit code {code}\n{}", plain(&nix, &failed_step(&stderr)))
    };
    insta::assert_snapshot!(says("store = \"ssh-ng://builder\""), @r#"
    exit code 3
    error: step `a` failed
      caused by: the store `ssh-ng://builder` is not on this machine, and what is built in it cannot be looked into
      hint: let it build for this machine's store instead: `builders = ["ssh-ng://builder x86_64-linux"]` in `[nix]`
      rerun: bootway build test.plan.toml --step a
    "#);
    insta::assert_snapshot!(says("store = \"https://cache.example.org\""), @r#"
    exit code 3
    error: step `a` failed
      caused by: the store `https://cache.example.org` is not on this machine, and what is built in it cannot be looked into
      hint: fetch from it instead: `substituters = ["https://cache.example.org"]` in `[nix]`
      rerun: bootway build test.plan.toml --step a
    "#);
    insta::assert_snapshot!(says("args = [\"--store\", \"/elsewhere\"]"), @r#"
    exit code 3
    error: step `a` failed
      caused by: `args` of `[nix]` has `--store`, which not all commands would have
      hint: write `store = "…"` there
      rerun: bootway build test.plan.toml --step a
    "#);
    assert!(!nix.store().exists());
}

//! `nix-build` as a user meets it: stopped, silent, failing.

use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};

use crate::{
    project::{Project, run},
    testing::{TestNix, derivation, packages},
};

/// A plan that builds `a` of a flake, whose builder is `script`.
fn project(nix: &TestNix, script: &str) -> Project {
    let flake = nix.flake("project", &packages(&[("a", &derivation("a", script))]));
    Project::new(&format!(
        "[nix]\nflake = \"{flake}\"\nsilent-warn = \"2s\"\n[[phase]]\nname = \"build\"\n[[phase.step]]\n\
         name = \"a\"\nnix-build = {{ attribute = \"a\" }}\n"
    ))
}

fn build(project: &Project, nix: &TestNix) -> std::process::Command {
    let mut command = project.command(&["build", "test.plan.toml"]);
    command.envs(nix.env());
    command
}

fn wait_for(path: &Utf8Path) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !path.exists() && Instant::now() < deadline {
        std::thread::yield_now();
    }
}

/// Show 4, second half.
#[test]
fn an_interrupted_build_of_nix_ends_with_130_and_the_next_run_passes() {
    let nix = TestNix::new();
    let (begun, go_on) = (nix.root().join("begun"), nix.root().join("go-on"));
    let project = project(&nix, &format!("echo half > $out; touch {begun}; test -e {go_on} || sleep 60"));
    let mut child = build(&project, &nix).stderr(std::process::Stdio::null()).spawn().unwrap();
    wait_for(&begun);
    let stopped = Instant::now();
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT)
        .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(stopped.elapsed() < Duration::from_secs(30), "the builder was waited for");
    let path = Utf8PathBuf::from(nix.ok("nix", &["eval", "--raw", &format!("{}#a.outPath", flake(&nix))]));
    assert!(path.exists(), "nothing is left half done, so this test shows nothing");
    assert_ne!(nix.run("nix-store", &["--check-validity", path.as_str()]).code, 0);
    assert!(!project.path().join(".bootway/test/out/a/built").exists());
    fs_err::write(&go_on, "").unwrap();
    let again = run(&mut build(&project, &nix));
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert_eq!(fs_err::read_to_string(project.path().join(".bootway/test/out/a/built")).unwrap(), "half\n");
}

fn flake(nix: &TestNix) -> Utf8PathBuf {
    nix.root().join("flakes/project")
}

#[test]
fn a_failing_builder_is_quoted() {
    let nix = TestNix::new();
    let project = project(&nix, "echo it does not compile >&2; exit 2");
    let failed = run(&mut build(&project, &nix));
    assert_eq!(failed.code, 5);
    assert!(failed.stderr.contains("`a` failed to build"), "{}", failed.stderr);
    assert!(failed.stderr.contains("it does not compile"), "{}", failed.stderr);
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

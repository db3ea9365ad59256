//! `nix-build` in whole runs, with a Nix of its own.
#![expect(clippy::unwrap_used, reason = "clippy does not take the helpers of tests for tests")]

use std::sync::Mutex;

use bootway_engine::{Loaded, Machine, Options, Outcome, StepEnd, Work, build, preview, status};
use bootway_exec::{Cancel, Reply, ScriptedRunner, SystemRunner, Tool};
use bootway_plan::{Event, EventKind, Vars};
use camino::Utf8PathBuf;

#[path = "../../nix/src/testing.rs"]
mod testing;

use testing::{TestNix, derivation, packages};

/// A plan whose only step builds `a` of the flake `flakes/project`.
fn load(nix: &TestNix, step: &str) -> Loaded {
    let env = nix.env().into_iter().map(|(name, value)| format!("{name} = {}\n", serde_json::json!(value)));
    let text = format!(
        "format = 1\nname = \"nix\"\nepoch = 1735689600\n[nix]\nflake = \"./flakes/project\"\n[env]\n{}\
         [[phase]]\nname = \"build\"\n[[phase.step]]\nname = \"a\"\nnix-build = {step}\n",
        env.collect::<String>()
    );
    Loaded::from_text(&text, &nix.root(), &Vars::default()).unwrap_or_else(|problems| panic!("{problems}"))
}

fn work(nix: &TestNix) -> Work {
    Work::new(nix.root().join(".bootway/nix"))
}

fn run(nix: &TestNix, loaded: &Loaded) -> (Outcome, Vec<EventKind>) {
    let session = work(nix).open().unwrap();
    let runner = SystemRunner { children: Some(session.work().children()) };
    let (events, cancel) = (Mutex::new(Vec::<Event>::new()), Cancel::default());
    let machine = Machine { runner: &runner, cancel: &cancel, session: &session, helper: &[] };
    let say = |event| events.lock().unwrap().push(event);
    let outcome = build(loaded, machine, &Options::default(), &say);
    (outcome, events.into_inner().unwrap().into_iter().map(|event| event.kind).collect())
}

fn word(outcome: &Outcome) -> &'static str {
    match outcome.steps.values().next().unwrap() {
        StepEnd::Done(_) => "done",
        StepEnd::Cached(_) => "cached",
        StepEnd::Skipped(_) => "skipped",
        StepEnd::Failed(_) => "failed",
    }
}

fn states(nix: &TestNix, loaded: &Loaded) -> String {
    let states = status(loaded, &work(nix), &SystemRunner::default());
    states.iter().map(|it| format!("{:?}", it.state)).collect()
}

fn artifact(nix: &TestNix) -> Utf8PathBuf {
    nix.root().join(".bootway/nix/out/a/built")
}

const STEP: &str = r#"{ attribute = "a", glob = "*.iso" }"#;

fn flake(nix: &TestNix, text: &str) {
    let script = format!("mkdir $out; echo {text} > $out/boot.iso");
    let dir = nix.flake("project", &packages(&[("a", &derivation("a", &script))]));
    if !dir.join(".git").exists() {
        nix.git(&dir);
    }
}

/// D.3.1 and the cache: the inner file is the artifact, and a step runs again when the derivation is another one, or
/// when its store has lost it.
#[test]
fn a_step_is_cached_as_long_as_its_derivation_is_the_same_and_its_output_valid() {
    let nix = TestNix::new();
    flake(&nix, "one");
    let loaded = load(&nix, STEP);
    let (first, events) = run(&nix, &loaded);
    assert_eq!(word(&first), "done", "{:?}", first.steps);
    assert_eq!(fs_err::read_to_string(artifact(&nix)).unwrap(), "one\n");
    assert!(events.iter().any(|event| matches!(event, EventKind::Finding(it) if it.name == "store path")));
    nix.ok("nix-store", &["--gc"]);

    let (second, events) = run(&nix, &loaded);
    assert_eq!(word(&second), "cached");
    assert!(events.iter().any(|event| matches!(event, EventKind::Finding(it) if it.name == "store path")));
    assert_eq!(states(&nix, &loaded), "Done");

    // What the derivation does not depend on changes nothing.
    let project = nix.root().join("flakes/project");
    nix.write(&project.join("README"), "hello");
    nix.git_in(&project, &["add", "README"]);
    assert_eq!(word(&run(&nix, &loaded).0), "cached");

    flake(&nix, "two");
    assert!(states(&nix, &loaded).contains("derivation was"), "{}", states(&nix, &loaded));
    assert_eq!(word(&run(&nix, &loaded).0), "done");
    assert_eq!(fs_err::read_to_string(artifact(&nix)).unwrap(), "two\n");

    let store_path = artifact(&nix).read_link_utf8().unwrap().parent().unwrap().to_owned();
    nix.ok("nix-store", &["--delete", "--ignore-liveness", store_path.as_str()]);
    assert!(states(&nix, &loaded).contains("the store does not hold it"), "{}", states(&nix, &loaded));
    assert_eq!(word(&run(&nix, &loaded).0), "done");
    assert_eq!(fs_err::read_to_string(artifact(&nix)).unwrap(), "two\n");
}

#[test]
fn a_run_starts_exactly_the_programs_that_the_preview_shows() {
    let nix = TestNix::new();
    flake(&nix, "one");
    let loaded = load(&nix, STEP);
    let shown = preview(&loaded, &work(&nix), &ScriptedRunner::default(), &[]).unwrap();
    let shown: Vec<String> = shown.iter().flat_map(|(_, cmds)| cmds).map(ToString::to_string).collect();
    assert!(!work(&nix).root().exists(), "a preview leaves nothing");
    let (outcome, events) = run(&nix, &loaded);
    assert_eq!(word(&outcome), "done");
    let ran = events.into_iter().filter_map(|event| match event {
        EventKind::Command { line } => Some(line),
        _ => None,
    });
    assert_eq!(shown, ran.collect::<Vec<_>>());
}

/// D.2.9: no program at all is started for a preview.
#[test]
fn a_preview_needs_no_nix() {
    let nix = TestNix::new();
    flake(&nix, "one");
    let runner =
        ScriptedRunner::default().on(Tool::Nix, Reply::missing()).on(Tool::NixStore, Reply::missing());
    let shown = preview(&load(&nix, STEP), &work(&nix), &runner, &[]).unwrap();
    assert!(shown[0].1.len() >= 5, "{shown:?}");
    assert_eq!(runner.to_string(), "");
}

#[test]
fn an_artifact_is_verified_by_its_kind() {
    let nix = TestNix::new();
    flake(&nix, "no iso at all");
    let loaded = load(&nix, r#"{ attribute = "a", glob = "*.iso", kind = "squashfs" }"#);
    let (outcome, _) = run(&nix, &loaded);
    assert_eq!(word(&outcome), "failed");
    assert!(!artifact(&nix).exists());
}

//! Pre-build, copy, test: what a plan does whose tests see a store of their own.
#![expect(clippy::unwrap_used, reason = "clippy does not take the helpers of tests for tests")]

use std::sync::Mutex;

use bootway_engine::{Loaded, Machine, Options, Outcome, StepEnd, Work, build, preview};
use bootway_exec::{Cancel, SystemRunner};
use bootway_plan::{Event, EventKind, Vars};
use camino::Utf8PathBuf;

#[path = "../../nix/src/testing.rs"]
mod testing;

use testing::{TestNix, derivation, packages};

const DRIVERS: [&str; 4] = ["help", "config", "themes", "broken"];

/// Four drivers; `broken` fails when it runs. `copied` are those whose closures are copied.
fn plan(nix: &TestNix, copied: &[&str]) -> Loaded {
    let script = |name: &str| {
        let code = i32::from(name == "broken");
        let text = format!("printf '#!/bin/sh\\nexit {code}\\n' > $out; chmod +x $out");
        (name.to_owned(), derivation(name, &text))
    };
    let drivers: Vec<(String, String)> = DRIVERS.iter().map(|name| script(name)).collect();
    let drivers: Vec<(&str, &str)> = drivers.iter().map(|(name, it)| (name.as_str(), it.as_str())).collect();
    nix.flake("drivers", &packages(&drivers));
    let env = nix.env().into_iter().map(|(name, value)| format!("{name} = {}\n", serde_json::json!(value)));
    let mut text = format!(
        "format = 1\nname = \"tests\"\nepoch = 1735689600\ndefault-phase = \"all\"\n\
         [nix]\nflake = \"path:./flakes/drivers\"\n[env]\n{}",
        env.collect::<String>()
    );
    text += "[[phase]]\nname = \"pre-build\"\n";
    for name in DRIVERS {
        text += &format!(
            "[[phase.step]]\nname = \"{name}\"\nnix-build = {{ attribute = \"{name}\", kind = \"program\" }}\n"
        );
    }
    text += &format!(
        "[[phase]]\nname = \"copy\"\n[[phase.step]]\nname = \"store\"\n\
         closure = {{ roots = {copied:?}, into = \"./test-store\", verify = \"hashes\" }}\n\
         [[phase]]\nname = \"test\"\n"
    );
    for name in DRIVERS {
        text += &format!(
            "[[phase.step]]\nname = \"test-{name}\"\n\
             command = {{ argv = [\"${{{name}}}\"], nix = {{ isolated = \"store\", no-build = [\"{name}\"] }} }}\n"
        );
    }
    Loaded::from_text(&text, &nix.root(), &Vars::default()).unwrap_or_else(|problems| panic!("{problems}"))
}

fn run(nix: &TestNix, copied: &[&str]) -> (Outcome, Vec<Event>) {
    let session = Work::new(nix.root().join(".bootway/tests")).open().unwrap();
    let runner = SystemRunner { children: Some(session.work().children()) };
    let (events, cancel) = (Mutex::new(Vec::new()), Cancel::default());
    let machine = Machine { runner: &runner, cancel: &cancel, session: &session, helper: &[] };
    let options = Options { keep_going: true, ..Options::default() };
    let outcome = build(&plan(nix, copied), machine, &options, &|event| events.lock().unwrap().push(event));
    (outcome, events.into_inner().unwrap())
}

/// How each test ended.
fn tests(nix: &TestNix, outcome: &Outcome) -> String {
    let of = outcome.steps.iter().filter(|(id, _)| id.as_str().starts_with("test-"));
    let word = |end: &StepEnd| match end {
        StepEnd::Done(_) => "passed".to_owned(),
        // What a program was given is shown by another test.
        StepEnd::Failed(failure) => match failure.chain.last().unwrap().rsplit_once("` exited with") {
            Some((_, code)) => format!("exited with{code}"),
            None => failure.chain.last().unwrap().clone(),
        },
        StepEnd::Skipped(reason) => format!("skipped: {reason}"),
        other @ StepEnd::Cached(_) => format!("{other:?}"),
    };
    let text: String = of.map(|(id, end)| format!("{id} {}\n", word(end))).collect();
    let text = text.replace(nix.root().as_str(), "NIX");
    // The hash of a path depends on the directory that the store is in.
    text.split('`')
        .map(|part| match part.strip_prefix("NIX/store/") {
            Some(path) => format!("NIX/store/HASH-{}", path.split_once('-').unwrap().1),
            None => part.to_owned(),
        })
        .collect::<Vec<_>>()
        .join("`")
}

fn commands(events: &[Event]) -> Vec<String> {
    let command = |event: &Event| match &event.kind {
        EventKind::Command { line } => Some(line.clone()),
        _ => None,
    };
    events.iter().filter_map(command).collect()
}

#[test]
fn tests_run_in_a_store_that_has_what_was_built_before() {
    let nix = TestNix::new();
    let (outcome, _) = run(&nix, &DRIVERS);
    insta::assert_snapshot!(tests(&nix, &outcome), @r"
    test-broken exited with code 1
    test-config passed
    test-help passed
    test-themes passed
    ");
    assert_eq!(outcome.exit_code(), 5);
    let before = nix.ok("nix-store", &["--dump-db"]);
    let (_, events) = run(&nix, &DRIVERS);
    assert_eq!(nix.ok("nix-store", &["--dump-db"]), before, "the store of the machine is as it was");
    let notes: Vec<_> = events
        .iter()
        .filter_map(
            |event| if let EventKind::Note { text } = &event.kind { Some(text.as_str()) } else { None },
        )
        .filter(|text| text.contains("there already"))
        .collect();
    assert_eq!(notes.len(), 1);
    assert!(notes[0].starts_with("4 paths, 4 of them there already; 0B in 0 files copied"), "{notes:?}");
    assert!(!commands(&events).iter().any(|line| line.contains("--load-db")));
}

#[test]
fn a_test_that_would_build_fails_before_it_starts() {
    let nix = TestNix::new();
    let (outcome, events) = run(&nix, &["help", "config", "broken"]);
    insta::assert_snapshot!(tests(&nix, &outcome), @r"
    test-broken skipped: it needs `test-themes`, which failed
    test-config passed
    test-help passed
    test-themes would build 1 derivation: `NIX/store/HASH-themes` is not in the store that the program sees
    ");
    let ran = |name: &str| {
        let program = Utf8PathBuf::from(format!("out/{name}/built"));
        commands(&events).iter().any(|line| line.ends_with(program.as_str()))
    };
    assert!(ran("help"));
    assert!(!ran("themes"));
}

#[test]
fn a_preview_has_the_environment_of_the_isolation() {
    let nix = TestNix::new();
    let work = Work::new(nix.root().join(".bootway/tests"));
    let all = preview(&plan(&nix, &DRIVERS), &work, &SystemRunner::default(), &[]).unwrap();
    let (_, of_test) = all.iter().find(|(id, _)| id.as_str() == "test-help").unwrap();
    let lines: Vec<String> = of_test.iter().map(ToString::to_string).collect();
    assert_eq!(lines.len(), 2);
    assert!(lines[0].contains("--check-validity --print-invalid"), "{}", lines[0]);
    assert!(lines[1].contains(&format!("NIX_REMOTE={}/test-store", nix.root())), "{}", lines[1]);
}

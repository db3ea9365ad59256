//! Contracts against real flakes, each broken in one way.

use bootway_exec::{Sandbox, SystemRunner};
use bootway_plan::{Action, Failure, Spec, Vars, resolve};

use super::*;
use crate::{Nix, testing::TestNix};

const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/nix/contracts/good");

/// A contract held against the flake of the fixture, changed by `change`.
struct Held {
    /// The checks that did not pass, without what can be typed to see it.
    wrong: String,
    /// What can be typed to see the first.
    by_hand: Option<String>,
    passed: usize,
    commands: Vec<String>,
    preview: Vec<String>,
    result: Result<(), Failure>,
}

/// The parameters of the step in the fixture's plan, without its lock, changed by `change`.
fn contract(change: impl FnOnce(&mut step::NixCheck)) -> step::NixCheck {
    let text = fs_err::read_to_string(format!("{FIXTURE}/plan.toml")).unwrap();
    let text: String =
        text.lines().filter(|line| !line.contains("digest")).map(|line| format!("{line}\n")).collect();
    let plan = resolve(&Spec::from_toml(&text, &Vars::default()).unwrap()).unwrap();
    let Action::NixCheck(mut contract) = plan.steps().next().unwrap().action.clone() else { panic!() };
    change(&mut contract);
    contract
}

/// Holds a contract against the fixture's flake, in which texts are replaced by others.
fn hold(contract: &step::NixCheck, changes: &[(&str, &str, &str)]) -> Held {
    let nix = TestNix::new();
    let flake = nix.root().join("flakes/contract");
    for file in ["flake.nix", "nix/profile-list.nix"] {
        let mut text = fs_err::read_to_string(format!("{FIXTURE}/{file}")).unwrap();
        for (_, from, to) in changes.iter().filter(|(of, ..)| *of == file) {
            assert!(text.contains(from), "{file} has no {from}");
            text = text.replace(from, to);
        }
        nix.write(&flake.join(file), &text);
    }
    nix.git(&flake);
    hold_against(&nix, contract, flake.as_str())
}

fn hold_against(nix: &TestNix, contract: &step::NixCheck, flake: &str) -> Held {
    let runner = SystemRunner::default();
    let mut sandbox = Sandbox::new(&runner);
    sandbox.env = nix.env();
    let config = NixConfig { flake: Some(flake.to_owned()), ..NixConfig::default() };
    let preview = check_commands(&sandbox.cx(), contract, &config).iter().map(ToString::to_string).collect();
    let result = nix_check(&sandbox.cx(), contract, &config);
    let root = nix.root();
    let mut held = Held {
        wrong: String::new(),
        by_hand: None,
        passed: 0,
        commands: Vec::new(),
        preview,
        result: result.map(drop).map_err(|error| Failure::of(&error)),
    };
    for event in sandbox.events() {
        match event {
            EventKind::Check { verdict: Verdict::Passed, .. } => held.passed += 1,
            EventKind::Check { name, detail, .. } => {
                let detail = detail.unwrap_or_default();
                let (said, by_hand) = detail.split_once("; by hand: ").unwrap_or((&detail, ""));
                let said = without_hashes(&said.replace(root.as_str(), "ROOT"));
                held.wrong += &format!("{name}: {said}\n");
                held.by_hand.get_or_insert_with(|| by_hand.to_owned());
            }
            EventKind::Command { line } => held.commands.push(line),
            _ => (),
        }
    }
    held
}

/// `text` without what depends on where the store is.
fn without_hashes(text: &str) -> String {
    let mut pieces = text.split("ROOT/store/");
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |text, piece| text + "STORE/" + piece.split_once('-').map_or(piece, |(_, name)| name))
}

#[test]
fn a_flake_that_keeps_its_contract_passes_in_two_evaluations() {
    let held = hold(&contract(|_| ()), &[]);
    assert_eq!(held.wrong, "");
    assert_eq!(held.result, Ok(()));
    assert_eq!(held.passed, 36);
    assert_eq!(held.commands, held.preview, "what is previewed is what runs");
    assert_eq!(
        held.commands.iter().filter(|line| line.contains("nix eval")).count(),
        2,
        "all, and what throws"
    );
}

/// All of D.4.4, one at a time: exactly what is wrong is said, and nothing else is.
#[test]
fn each_way_to_break_a_contract_is_said() {
    let all = || contract(|_| ());
    let flake = |from, to| hold(&all(), &[("flake.nix", from, to)]).wrong;
    insta::assert_snapshot!(flake("devShells =", "overlays = { }; devShells ="), @"the outputs are `apps`, `checks`, `devShells`, `formatter`, `packages`: expected exactly these, found `overlays`, which is not among them");
    insta::assert_snapshot!(flake("formatter =", "formater ="), @"the outputs are `apps`, `checks`, `devShells`, `formatter`, `packages`: expected exactly these, found `formater`, which is not among them; no `formatter` (but `formater`)");
    insta::assert_snapshot!(flake("error-handler = program system \"error-handler\"", "error-handler = null"), @"packages: what a system cannot have is left out: expected each to be a derivation, found `error-handler` on aarch64-darwin is null; `error-handler` on aarch64-linux is null; `error-handler` on x86_64-darwin is null; `error-handler` on x86_64-linux is null");
    insta::assert_snapshot!(
        flake("error-handler = program system \"error-handler\"", "error-handler = throw \"only on Linux\""), @"packages: what a system cannot have is left out: expected each to be a derivation, found `error-handler` on aarch64-darwin throws `only on Linux`; `error-handler` on aarch64-linux throws `only on Linux`; `error-handler` on x86_64-darwin throws `only on Linux`; `error-handler` on x86_64-linux throws `only on Linux`");
    insta::assert_snapshot!(flake("onLinux system (variants", "({ }: it: it) { } (variants"), @"*-vm is on *-linux only: expected it there, and left out of packages elsewhere, found `test-origin-default-vm` on x86_64-darwin, which must not have it; `test-origin-low-latency-vm` on x86_64-darwin, which must not have it; `test-origin-stress-test-vm` on x86_64-darwin, which must not have it; `test-origin-default-vm` on aarch64-darwin, which must not have it; `test-origin-low-latency-vm` on aarch64-darwin, which must not have it; and 1 more");
    insta::assert_snapshot!(flake("linux ++ [ \"x86_64-darwin\"", "linux ++ [ \"x86_64-freebsd\""), @"
    go-ffmpeg-hls-swarm on x86_64-darwin: expected that x86_64-darwin has it, found no x86_64-darwin in `packages`
    test-origin-default-runner on x86_64-darwin: expected that x86_64-darwin has it, found no x86_64-darwin in `packages`
    test-origin-low-latency-runner on x86_64-darwin: expected that x86_64-darwin has it, found no x86_64-darwin in `packages`
    test-origin-stress-test-runner on x86_64-darwin: expected that x86_64-darwin has it, found no x86_64-darwin in `packages`
    apps.up on x86_64-darwin: expected that x86_64-darwin has it, found no x86_64-darwin in `apps`
    ");
    insta::assert_snapshot!(flake("swarm = program system \"swarm-check\"", "quick = { a = program system \"a\"; }"), @"checks: what a system cannot have is left out: expected each to be a derivation, found `quick` on aarch64-darwin is a set; `quick` on aarch64-linux is a set; `quick` on x86_64-darwin is a set; `quick` on x86_64-linux is a set");
    insta::assert_snapshot!(flake("variants system \"runner\"", "variants system \"runer\""), @"packages are called {target}-{profile}-{variant}: expected names like `{target}-{profile}-{variant}`, found `test-origin-default-runer` on aarch64-darwin (like `test-origin-default-runner`, but not); `test-origin-low-latency-runer` on aarch64-darwin (like `test-origin-low-latency-runner`, but not); `test-origin-stress-test-runer` on aarch64-darwin (like `test-origin-stress-test-runner`, but not); no `test-origin-default-runner` on aarch64-darwin; no `test-origin-low-latency-runner` on aarch64-darwin; and 19 more");
    insta::assert_snapshot!(flake("profileList.profiles);", "[ \"default\" \"stress-test\" ]);"), @"packages are called {target}-{profile}-{variant}: expected names like `{target}-{profile}-{variant}`, found no `test-origin-low-latency-runner` on aarch64-darwin; no `test-origin-low-latency-runner` on aarch64-linux; no `test-origin-low-latency-vm` on aarch64-linux; no `test-origin-low-latency-runner` on x86_64-darwin; no `test-origin-low-latency-runner` on x86_64-linux; and 1 more");
    insta::assert_snapshot!(flake("linux = [", "a = <nixpkgs>; # <b>\n      linux = ["), @"no lookup path in **/*.nix: expected no lookup path, found `<nixpkgs>` in flake.nix:6");
}

#[test]
fn each_way_to_break_a_list_of_profiles_is_said() {
    let all = || contract(|_| ());
    let list = |from, to| hold(&all(), &[("nix/profile-list.nix", from, to)]).wrong;
    insta::assert_snapshot!(list("Unknown test-origin", "Unknown"), @r#"(import (flake + "/nix/profile-list.nix")).validateProfile refuses nope: expected that it throws `Unknown test-origin profile 'nope'. Available: default, low-latency, stress-test`, found `Unknown profile 'nope'. Available: default, low-latency, stress-test`"#);
    insta::assert_snapshot!(list("throw \"Unknown", "\"Unknown"), @r#"(import (flake + "/nix/profile-list.nix")).validateProfile refuses nope: expected that it throws `Unknown test-origin profile 'nope'. Available: default, low-latency, stress-test`, found that it has a value"#);
    insta::assert_snapshot!(list("then 8000", "then throw \"no such bitrate\""), @r#"profile stress-test can be had from (import (flake + "/nix/profile-list.nix")).config: expected a value, found that it throws `no such bitrate`"#);
    insta::assert_snapshot!(list("then 8000", "then { }.missing"), @r#"profile stress-test can be had from (import (flake + "/nix/profile-list.nix")).config: expected a value, found that it does not evaluate: attribute 'missing' missing"#);
    insta::assert_snapshot!(list("else 2000", "else 2001"), @r#"(import (flake + "/nix/profile-list.nix")).config "default" is {"bitrate":2000}: expected `{"bitrate":2000}`, found `{"bitrate":2001}`"#);
}

/// What cannot be caught in the language is blamed on what it belongs to, and the rest is still looked at.
#[test]
fn an_error_that_ends_the_evaluation_spoils_one_answer_only() {
    let broken =
        "error-handler = if system == \"aarch64-linux\" then { }.x else program system \"error-handler\"";
    let held =
        hold(&contract(|_| ()), &[("flake.nix", "error-handler = program system \"error-handler\"", broken)]);
    // Newer versions of Nix name the output, too.
    insta::assert_snapshot!(held.wrong.replace(".drv^out'", ".drv'"), @"packages: what a system cannot have is left out: expected each to be a derivation, found `error-handler` on aarch64-linux does not evaluate: attribute 'x' missing");
    let contract = contract(|it| {
        it.evaluates =
            ["packages.x86_64-linux.nope", "(", "1 + \"a\"", "packages.x86_64-linux.default.drvPath"]
                .map(String::from)
                .to_vec();
        it.throws = vec![step::Throws { expr: "throw \"on purpose\"".into(), message: "on purpose".into() }];
    });
    let held = hold(&contract, &[]);
    insta::assert_snapshot!(held.wrong, @r#"
    packages.x86_64-linux.nope evaluates: expected a value, found that it is missing: there is no `nope`
    ( evaluates: expected a value, found that it does not evaluate: syntax error, unexpected ')'
    1 + "a" evaluates: expected a value, found that it does not evaluate: cannot add a string to an integer
    "#);
}

#[test]
fn what_is_said_to_type_shows_what_is_wrong() {
    let nix = TestNix::new();
    let flake = nix.flake("small", "packages.x86_64-linux.a = throw \"on purpose\"; lib.n = 1;");
    nix.git(&flake);
    let typed = |contract: &step::NixCheck| {
        let held = hold_against(&nix, contract, flake.as_str());
        nix.run("sh", &["-c", &held.by_hand.unwrap()])
    };
    let gating = step::NixCheck { gating: Some(step::Gating::Omit), ..step::NixCheck::default() };
    let ran = typed(&gating);
    assert!(ran.code == 1 && ran.stderr.contains("on purpose"), "{ran:?}");
    let equals =
        step::NixCheck { equals: [("lib.n".to_owned(), 2.into())].into(), ..step::NixCheck::default() };
    assert_eq!(typed(&equals).stdout.trim(), "1");
    let outputs = step::NixCheck { outputs: Some(["lib".to_owned()].into()), ..step::NixCheck::default() };
    assert_eq!(typed(&outputs).stdout.trim(), r#"["lib","packages"]"#);
}

#[test]
fn a_flake_that_does_not_evaluate_breaks_no_expectation() {
    let nix = TestNix::new();
    let flake = nix.flake("torn", "}");
    let held = hold_against(&nix, &contract(|_| ()), flake.as_str());
    assert_eq!((held.wrong.as_str(), held.passed), ("", 1), "only its files could be looked at");
    let failure = held.result.unwrap_err();
    assert_eq!(failure.class, Class::Step);
    assert!(failure.chain[0].contains("does not evaluate: syntax error"), "{failure}");
}

#[test]
fn what_would_have_to_be_built_first_is_not_built() {
    let nix = TestNix::new();
    let flake = nix.flake(
        "ifd",
        &format!(
            "packages.x86_64-linux.a = import {};",
            crate::testing::derivation("made", "echo 1 > $out; echo built >> $TMPDIR/../built")
        ),
    );
    let contract = step::NixCheck { gating: Some(step::Gating::Omit), ..step::NixCheck::default() };
    let held = hold_against(&nix, &contract, flake.as_str());
    // Newer versions of Nix name the output, too.
    insta::assert_snapshot!(held.wrong.replace(".drv^out'", ".drv'"), @"packages: what a system cannot have is left out: expected each to be a derivation, found `a` on x86_64-linux does not evaluate: cannot build 'STORE/made.drv' during evaluation because the option 'allow-import-from-derivation' is disabled");
    assert!(held.result.is_err(), "{:?}", held.result);
}

#[test]
fn directories_become_inputs_whatever_they_are_called() {
    let nix = TestNix::new();
    let contract =
        step::NixCheck { equals: [("lib.n".to_owned(), 1.into())].into(), ..step::NixCheck::default() };
    let outside = nix.flake("a b+c", "lib.n = 1;");
    assert_eq!(hold_against(&nix, &contract, outside.as_str()).wrong, "");
    let inside = nix.flake("repository/sub dir", "lib.n = 1;");
    nix.git(inside.parent().unwrap());
    assert_eq!(hold_against(&nix, &contract, inside.as_str()).wrong, "");
}

#[test]
fn a_contract_and_others_at_once_make_one_new_store() {
    for _ in 0..4 {
        let nix = TestNix::new();
        let flake = nix.flake("many", "packages.x86_64-linux = { };");
        let contract = contract(|_| ());
        let asked = || {
            let runner = SystemRunner::default();
            let mut sandbox = Sandbox::new(&runner);
            sandbox.env = nix.env();
            let config = NixConfig::default();
            let nix = Nix::new(&sandbox.cx(), &config);
            nix.must(&nix.evaluate(&["eval", "--expr", "1"], true)).map(drop).map_err(|it| it.to_string())
        };
        let all: Vec<_> = std::thread::scope(|scope| {
            let held = scope.spawn(|| hold_against(&nix, &contract, flake.as_str()).wrong);
            let others: Vec<_> = (0..2).map(|_| scope.spawn(asked)).collect();
            assert_ne!(held.join().unwrap(), "", "the flake has nothing of what is asked for");
            others.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(all, [Ok(()), Ok(())]);
    }
}

//! A list of profiles that Git does not know: the same words and the same exit code from every command (D.4.2).

use crate::{
    project::Run,
    swarm::{PROFILES, Swarm},
};

/// The swarm whose list was never added.
fn swarm() -> Swarm {
    let swarm = Swarm::new();
    assert_eq!(swarm.bootway(&["generate"]).code, 0);
    swarm.nix.git_in(&swarm.dir, &["rm", "-q", "--cached", PROFILES]);
    swarm
}

#[track_caller]
fn is_told_what_to_add(swarm: &Swarm, Run { code, stderr, .. }: &Run) {
    assert_eq!(*code, 4, "{stderr}");
    let remedy = format!("git -C {} add -N {PROFILES}", swarm.dir);
    assert!(stderr.contains(&remedy), "{stderr}");
    assert!(!stderr.contains("getting status of"), "the words of Nix: {stderr}");
}

#[test]
fn every_command_says_which_file_to_add_and_works_when_it_is() {
    let swarm = swarm();
    for args in [&["up", "default", "runner"][..], &["up", "default", "vm"], &["check"]] {
        // Whether a machine can be started here does not matter to who has forgotten a file.
        swarm.edit("plan.toml", "needs = { kvm = \"required\" }", "needs = {}");
        is_told_what_to_add(&swarm, &swarm.bootway(args));
        swarm.edit("plan.toml", "needs = {}", "needs = { kvm = \"required\" }");
    }
    swarm.nix.git_in(&swarm.dir, &["add", "-N", PROFILES]);
    assert_eq!(swarm.bootway(&["up", "default", "runner"]).stdout, "origin default default\n");
    let checked = swarm.bootway(&["check"]);
    assert_eq!(checked.code, 0, "{}", checked.stderr);
}

/// The list out of the flake itself is not there either, and that is said before it is asked for.
#[test]
fn a_list_that_the_flake_has_is_missed_with_the_same_words() {
    let swarm = swarm();
    swarm.edit(
        "flake.nix",
        "packages = each",
        "lib = { inherit (origin) profiles; };\n      packages = each",
    );
    swarm.edit(
        "plan.toml",
        "profiles = { nix = \"test-origin/profile-list.nix\", attr = \"profiles\" }",
        "profiles = { flake = \"lib.profiles\" }",
    );
    for args in [&["up", "default", "runner"][..], &["targets"], &["check"], &["generate", "--check"]] {
        is_told_what_to_add(&swarm, &swarm.bootway(args));
    }
    swarm.nix.git_in(&swarm.dir, &["add", "-N", PROFILES]);
    assert_eq!(swarm.bootway(&["up", "default", "runner"]).stdout, "origin default default\n");
}

/// Without Git in between nothing is untracked.
#[test]
fn a_flake_that_is_a_path_has_every_file() {
    let swarm = swarm();
    swarm.edit("plan.toml", "flake = \".\"", "flake = \"path:.\"");
    let up = swarm.bootway(&["up", "default", "runner"]);
    assert_eq!((up.code, up.stdout.as_str()), (0, "origin default default\n"), "{}", up.stderr);
    let checked = swarm.bootway(&["check"]);
    assert_eq!(checked.code, 0, "{}", checked.stderr);
}

/// What is stale is a check of the run: nobody reads first that all is well.
#[test]
fn a_run_with_stale_files_does_not_say_that_it_works() {
    let swarm = Swarm::new();
    assert_eq!(swarm.bootway(&["generate"]).code, 0);
    let good = swarm.bootway(&["check"]);
    assert!(good.code == 0 && good.stderr.contains("It works"), "{}", good.stderr);
    swarm.edit("README.md", "low-latency", "latency");
    let stale = swarm.bootway(&["check"]);
    assert!(stale.code == 6 && !stale.stderr.contains("It works"), "{}", stale.stderr);
    let (_, summary) = stale.stderr.rsplit_once("\n\n").unwrap();
    let lines = summary.lines().filter(|line| !line.contains(", in ") && !line.starts_with("  report"));
    insta::assert_snapshot!(lines.collect::<Vec<_>>().join("\n"), @"
    Built, but not good: 1 check did not pass
      ✗ the run: README.md is up to date
    21 passed, 1 failed, 0 skipped
    ");
    assert!(stale.stderr.contains("run `bootway generate`"), "{}", stale.stderr);
    let report = swarm.read(".bootway/hls-swarm/runs/latest/report.json");
    assert!(report.contains("README.md is up to date"), "{report}");
}

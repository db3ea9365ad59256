//! Tiers and contracts as a user meets them: `bootway check`, its last lines and its exit codes.

use camino::{Utf8Path, Utf8PathBuf};

use crate::{
    project::{Project, Run, program, run},
    testing::TestNix,
};

/// What it says at the end: everything behind the headline and the counts, which have times in them.
fn ending(run: &Run) -> String {
    let (_, summary) = run.stderr.rsplit_once("\n\n").unwrap();
    let lines = summary.lines().filter(|line| !line.contains(", in ") && !line.starts_with("  report"));
    format!("exit code {}\n{}\n", run.code, lines.collect::<Vec<_>>().join("\n"))
}

const TIERS: &str = r#"
[[phase]]
name = "check"
step = [
    { name = "lint", tier = "quick", command = { argv = ["true"] } },
    { name = "compiles", tier = "build", command = { argv = ["true"] } },
    { name = "container", tier = "build", requires = { tools = ["no-such-engine|nor-this-one"] }, command = { argv = ["true"] } },
    { name = "in-a-vm", tier = "full", placeholder = true, command = { argv = ["true"] } },
    { name = "by-hand", command = { argv = ["false"] } },
]
"#;

#[test]
fn each_tier_adds_to_the_one_before_and_a_placeholder_fails_the_one_that_has_it() {
    let project = Project::new(TIERS);
    let check = |args: &[&str]| ending(&project.bootway(&[&["check", "test.plan.toml"], args].concat()));
    insta::assert_snapshot!(check(&[]), @"
    exit code 0
    Done, and nothing was checked
    1 passed, 0 failed, 0 skipped
    ");
    insta::assert_snapshot!(check(&["--tier", "build"]), @"
    exit code 0
    Done, and nothing was checked
      ⊘ container: program `no-such-engine` or `nor-this-one` is missing: install `no-such-engine` or `nor-this-one`
    2 passed, 0 failed, 1 skipped
    ");
    insta::assert_snapshot!(check(&["--tier", "full"]), @"
    exit code 6
    Not good: 1 placeholder proves nothing
      ⊘ container: program `no-such-engine` or `nor-this-one` is missing: install `no-such-engine` or `nor-this-one`
    2 passed, 0 failed, 1 skipped, 1 placeholder
    ");
    let events = project.bootway(&["check", "test.plan.toml", "--tier", "full", "--json"]).stdout;
    assert!(events.contains(r#""verdict":"placeholder""#), "{events}");
    let built = project.bootway(&["build", "test.plan.toml", "--step", "in-a-vm"]);
    assert_eq!(built.code, 0, "outside of a tier it is only said: {}", built.stderr);
    assert!(built.stderr.contains("Good, but 1 placeholder proves nothing"), "{}", built.stderr);
}

#[test]
fn a_tier_that_takes_longer_than_it_may_is_not_good() {
    let project = Project::new(
        &TIERS
            .replace("[\"true\"]", "[\"sleep\", \"0.02\"]")
            .replace("[[phase]]", "[tiers]\nbudget = { quick = \"1ms\", build = \"1h\" }\n[[phase]]"),
    );
    let run = project.bootway(&["check", "test.plan.toml"]);
    assert_eq!(run.code, 6, "{}", run.stderr);
    let last = run.stderr.lines().last().unwrap();
    assert_eq!(last, "1 passed, 0 failed, 0 skipped, over budget");
    assert!(run.stderr.contains("the run: tier quick in 1ms: over budget"), "{}", run.stderr);
    let run = project.bootway(&["check", "test.plan.toml", "--tier", "build"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
}

#[test]
fn the_worst_verdict_is_the_exit_code_and_everything_is_looked_at() {
    let project = Project::new(&format!(
        "skips = \"strict\"\n{}",
        TIERS.replace(
            "\"compiles\", tier = \"build\", command = { argv = [\"true\"]",
            "\"compiles\", tier = \"build\", command = { argv = [\"false\"]"
        )
    ));
    let run = project.bootway(&["check", "test.plan.toml", "--tier", "full"]);
    insta::assert_snapshot!(project.redact(&ending(&run)), @"
    exit code 5
    Failed: compiles and 1 more
      ✗ compiles: `cd [dir]/.bootway/test/scratch/compiles && SOURCE_DATE_EPOCH=1735689600 false` exited with code 1
      ✗ container: step `container` did not run: program `no-such-engine` or `nor-this-one` is missing: install `no-such-engine` or `nor-this-one`
    1 passed, 2 failed, 0 skipped, 1 placeholder
    ");
}

/// D.4.11: the server is started, waited for, asked by the client, and stopped.
#[test]
fn a_golden_path_is_a_command_beside_a_server() {
    let project = Project::new(
        r#"
[[phase]]
name = "check"

  [[phase.step]]
  name = "golden-path"
  tier = "build"

    [phase.step.command]
    argv   = ["busybox", "wget", "-qO-", "http://127.0.0.1:${port}/health"]
    beside = { argv = ["busybox", "httpd", "-f", "-p", "127.0.0.1:${port}", "-h", "${plan-dir}/www"], ready = { http = "http://127.0.0.1:${port}/health", within = "20s" } }
"#,
    );
    project.write("www/health", "fine\n");
    let run = project.bootway(&["check", "test.plan.toml", "--tier", "build", "--verbose"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stderr.contains("| check/golden-path: fine"), "{}", run.stderr);
    assert!(run.stderr.ends_with("1 passed, 0 failed, 0 skipped\n"), "{}", run.stderr);
}

#[test]
fn a_server_that_never_gets_well_fails_with_what_it_said_and_is_gone() {
    let project = Project::new(
        r#"
[[phase]]
name = "check"

  [[phase.step]]
  name = "golden-path"
  tier = "build"

    [phase.step.command]
    argv   = ["touch", "${plan-dir}/asked"]
    beside = { argv = ["sh", "-c", "echo $$ > $0; echo out of order; sleep 60; :", "${plan-dir}/pid"], ready = { http = "http://127.0.0.1:${port}/health", within = "1s" } }
"#,
    );
    let run = project.bootway(&["check", "test.plan.toml", "--tier", "build"]);
    assert_eq!(run.code, 5, "{}", run.stderr);
    assert!(run.stderr.contains("out of order"), "{}", run.stderr);
    assert!(run.stderr.ends_with("0 passed, 1 failed, 0 skipped\n"), "{}", run.stderr);
    assert!(!project.path().join("asked").exists(), "the client is not started");
    let pid = fs_err::read_to_string(project.path().join("pid")).unwrap();
    let cmdline = fs_err::read_to_string(format!("/proc/{}/cmdline", pid.trim())).unwrap_or_default();
    assert!(!cmdline.contains("out of order"), "{cmdline}");
}

/// A copy of `fixtures/nix/contracts/good` in a Nix of its own.
struct Contract {
    nix: TestNix,
    dir: Utf8PathBuf,
}

const FILES: [&str; 3] = ["flake.nix", "nix/profile-list.nix", "plan.toml"];

impl Contract {
    fn new() -> Self {
        let nix = TestNix::new();
        let dir = nix.root().join("contract");
        let fixture = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/nix/contracts/good");
        for file in FILES {
            nix.write(&dir.join(file), &fs_err::read_to_string(fixture.join(file)).unwrap());
        }
        nix.git(&dir);
        Self { nix, dir }
    }

    fn edit(&self, file: &str, from: &str, to: &str) {
        let path = self.dir.join(file);
        let text = fs_err::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file} has no `{from}`");
        fs_err::write(&path, text.replace(from, to)).unwrap();
    }

    fn check(&self, args: &[&str]) -> Run {
        let mut command = program(env!("CARGO_BIN_EXE_bootway"));
        let args = [&["check", "plan.toml"], args].concat();
        run(command.args(args).current_dir(&self.dir).envs(self.nix.env()).env("CI", "1"))
    }

    fn says(&self) -> String {
        ending(&self.check(&[])).replace(self.nix.root().as_str(), "[dir]")
    }
}

#[test]
fn a_contract_is_looked_at_each_time_and_each_thing_that_breaks_it_counts() {
    let contract = Contract::new();
    insta::assert_snapshot!(contract.says(), @"
    exit code 0
    It works: all 36 checks passed
    36 passed, 0 failed, 0 skipped
    ");
    contract.edit("flake.nix", "devShells =", "overlays = { }; devShells =");
    contract.edit("nix/profile-list.nix", "\"low-latency\" ", "\"low-latency\" \"gentle\" ");
    insta::assert_snapshot!(contract.says(), @"
    exit code 6
    Built, but not good: 1 check did not pass
      ✗ contract: the outputs are `apps`, `checks`, `devShells`, `formatter`, `packages`
    40 passed, 1 failed, 0 skipped
    ");
    contract.edit("flake.nix", "overlays = { }; ", "");
    contract.edit("plan.toml", "    digest ", "    #digest ");
    insta::assert_snapshot!(contract.says(), @"
    exit code 0
    It works: all 41 checks passed
    41 passed, 0 failed, 0 skipped
    ");
}

#[test]
fn a_locked_contract_cannot_be_changed_in_passing() {
    let contract = Contract::new();
    contract.edit("plan.toml", "\"formatter\", ", "\"formatter\", \"overlays\", ");
    let changed = contract.check(&[]);
    assert_eq!(changed.code, 3, "{}", changed.stderr);
    let (_, lock) = changed.stderr.split_once("if that is meant, write `digest = \"").unwrap();
    let plan = fs_err::read_to_string(contract.dir.join("plan.toml")).unwrap();
    let old = plan.lines().find(|line| line.contains("digest")).unwrap().to_owned();
    contract.edit("plan.toml", &old, &format!("    digest = \"{}\"", &lock[..64]));
    contract.edit("flake.nix", "devShells =", "overlays = { }; devShells =");
    let run = contract.check(&[]);
    assert_eq!(run.code, 0, "{}", run.stderr);
}

#[test]
fn a_file_that_git_does_not_know_is_said_before_anything_is_evaluated() {
    let contract = Contract::new();
    contract.edit(
        "flake.nix",
        "profileList = import ./nix/profile-list.nix",
        "profileList = import ./nix/new-list.nix",
    );
    let list = fs_err::read_to_string(contract.dir.join("nix/profile-list.nix")).unwrap();
    contract.nix.write(&contract.dir.join("nix/new-list.nix"), &list);
    let run = contract.check(&[]);
    assert!(run.code == 4 && run.stderr.contains("git -C"), "{}", run.stderr);
    assert!(run.stderr.contains("add -N nix/new-list.nix"), "{}", run.stderr);
    contract.nix.git_in(&contract.dir, &["add", "-N", "nix/new-list.nix"]);
    assert_eq!(contract.check(&[]).code, 0);
}

/// D.4.12: every flake of the fixtures that needs no nixpkgs; the others are only read.
#[test]
fn the_fixtures_are_flakes_that_nix_itself_likes() {
    let nix = TestNix::new();
    let fixtures = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/nix");
    let mut liked = Vec::new();
    for entry in walkdir::WalkDir::new(&fixtures).sort_by_file_name() {
        let flake = Utf8PathBuf::from_path_buf(entry.unwrap().into_path()).unwrap();
        if flake.file_name() != Some("flake.nix")
            || fs_err::read_to_string(&flake).unwrap().contains("nixpkgs.url")
        {
            continue;
        }
        let from = flake.parent().unwrap();
        let name = from.strip_prefix(&fixtures).unwrap().as_str().replace('/', "-");
        let dir = nix.root().join(&name);
        crate::swarm::copy(from, &dir);
        nix.git(&dir);
        let shown = nix.ok("nix", &["flake", "show", "--json", dir.as_str()]);
        let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
        assert!(shown["packages"]["x86_64-linux"].as_object().is_some_and(|it| it.len() > 5), "{shown}");
        nix.ok("nix", &["flake", "check", dir.as_str()]);
        liked.push(name);
    }
    assert_eq!(liked, ["contracts-good", "targets"]);
}

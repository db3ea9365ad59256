//! Targets, end to end: `up`, `targets`, `generate`, against a real Nix and a flake without nixpkgs.

use std::process::Stdio;

use camino::{Utf8Path, Utf8PathBuf};

use crate::{
    project::{program, run},
    swarm::{PROFILES, Swarm},
    testing::TestNix,
};

#[test]
fn up_runs_the_target_with_its_arguments_and_returns_its_exit_code() {
    let swarm = Swarm::new();
    insta::assert_snapshot!(swarm.says(&["up"]), @"
    exit code 0
    origin default default
    taking the defaults: target test-origin, profile default, variant runner
    Executing: nix run .#test-origin-default-runner
    ");
    insta::assert_snapshot!(swarm.says(&["up", "default", "runner", "--", "-h"]), @"
    exit code 0
    origin default default -h
    Executing: nix run .#test-origin-default-runner -- -h
    ");
    insta::assert_snapshot!(swarm.says(&["up", "low-latency", "runner", "-h", "--", "a b"]), @"
    exit code 0
    origin low-latency low-latency -h -- a b
    Executing: nix run .#test-origin-low-latency-runner -- -h -- 'a b'
    ");
    insta::assert_snapshot!(swarm.says(&["up", "stress-test"]), @"
    exit code 0
    origin stress-test stress-test
    taking the defaults: target test-origin, variant runner
    Executing: nix run .#test-origin-stress-test-runner
    ");
    let code = run(swarm.command(&["up", "default", "runner"]).env("EXIT", "42")).code;
    assert_eq!(code, 42);
}

/// The message is the one that Nix throws, and the exit code that of a command line that is wrong.
#[test]
fn what_is_not_there_is_said_with_all_there_is() {
    let swarm = Swarm::new();
    insta::assert_snapshot!(swarm.says(&["up", "nope"]), @"
    exit code 2
    error: Unknown test-origin profile 'nope'. Available: default, low-latency, stress-test
    ");
    insta::assert_snapshot!(swarm.says(&["up", "default", "runer"]), @"
    exit code 2
    error: Unknown test-origin variant 'runer'. Available: runner, container, container-enhanced, vm, iso
      hint: did you mean `runner`
    ");
    insta::assert_snapshot!(swarm.says(&["up", "--target", "swarm-clients"]), @"
    exit code 2
    error: Unknown target 'swarm-clients'. Available: test-origin, swarm-client, go-ffmpeg-hls-swarm
      hint: did you mean `swarm-client`
    ");
    let list = "(import ./test-origin/profile-list.nix { lib = builtins; }).validateProfile \"nope\"";
    let thrown = run(program("nix")
        .args(["eval", "--impure", "--expr", list])
        .current_dir(&swarm.dir)
        .envs(swarm.nix.env()));
    let said = swarm.bootway(&["up", "nope"]).stderr;
    let first = said.lines().next().unwrap().trim_start_matches("error: ");
    assert!(thrown.stderr.contains(first), "{}\n{first}", thrown.stderr);
}

#[test]
fn what_cannot_run_here_says_what_can() {
    let swarm = Swarm::new();
    insta::assert_snapshot!(swarm.says(&["up", "--system", "aarch64-darwin", "low-latency", "vm"]), @"
    exit code 4
    error: `vm` of test-origin cannot run here
      caused by: Linux only, this is aarch64-darwin
      hint: try one of these instead: `bootway up low-latency runner`
    ");
    let here = swarm.dir.join("bin");
    fs_err::create_dir(&here).unwrap();
    let without_engines = |args: &[&str]| {
        // No docker and no podman: only Nix and Git can be found.
        for tool in ["nix", "git", "sh"] {
            let _ = fs_err::os::unix::fs::symlink(which(tool), here.join(tool));
        }
        let run = run(swarm.command(args).env("PATH", &here));
        format!("exit code {}\n{}{}", run.code, run.stdout, run.stderr)
    };
    insta::assert_snapshot!(without_engines(&["up", "default", "container"]), @"
    exit code 4
    error: `container` of test-origin cannot run here
      caused by: docker or podman not found
      hint: what can: `bootway targets`
    ");
    // A docker whose daemon is down.
    fs_err::write(here.join("docker"), "#!/bin/sh\nexit 1\n").unwrap();
    fs_err::set_permissions(here.join("docker"), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
    insta::assert_snapshot!(without_engines(&["up", "default", "container-enhanced"]), @"
    exit code 4
    error: `container-enhanced` of test-origin cannot run here
      caused by: docker: daemon not running
      hint: try one of these instead: `bootway up default runner`
    ");
    let json = without_engines(&["targets", "--json"]);
    let rows: serde_json::Value = serde_json::from_str(json.split_once('\n').unwrap().1).unwrap();
    let reasons: std::collections::BTreeSet<&str> =
        rows.as_array().unwrap().iter().filter_map(|row| row["reason"].as_str()).collect();
    assert!(reasons.contains("docker: daemon not running"), "{reasons:?}");
}

/// The first of that name on `PATH`.
fn which(tool: &str) -> Utf8PathBuf {
    let path = std::env::var("PATH").unwrap();
    let found = path.split(':').map(|dir| Utf8Path::new(dir).join(tool)).find(|it| it.exists());
    found.unwrap_or_else(|| panic!("this test needs `{tool}`"))
}

#[test]
fn arguments_beat_the_environment() {
    let swarm = Swarm::new();
    let printed = |args: &[&str]| {
        let all: Vec<&str> =
            ["up", "--target", "go-ffmpeg-hls-swarm", "--"].iter().chain(args).copied().collect();
        let run = run(swarm.command(&all).env("PRINT_CMD", "1").env("CLIENTS", "5"));
        assert_eq!(run.code, 0, "{}", run.stderr);
        run.stdout.replace(swarm.dir.as_str(), "[dir]")
    };
    let all = [&[][..], &["--clients", "7"], &["--clients=7"], &["x", "--clients", "7"], &["-h"]];
    insta::assert_snapshot!(all.map(printed).concat(), @"
    [dir]/.bootway/hls-swarm/out/go-ffmpeg-hls-swarm-default-binary/built --clients 5 --metrics-port 9100 --log-level info
    [dir]/.bootway/hls-swarm/out/go-ffmpeg-hls-swarm-default-binary/built --metrics-port 9100 --log-level info --clients 7
    [dir]/.bootway/hls-swarm/out/go-ffmpeg-hls-swarm-default-binary/built --metrics-port 9100 --log-level info --clients=7
    [dir]/.bootway/hls-swarm/out/go-ffmpeg-hls-swarm-default-binary/built --metrics-port 9100 --log-level info x --clients 7
    [dir]/.bootway/hls-swarm/out/go-ffmpeg-hls-swarm-default-binary/built --clients 5 --metrics-port 9100 --log-level info -h
    ");
    insta::assert_snapshot!(swarm.says(&["up", "--print", "default", "runner", "a b"]), @"
    exit code 0
    PROFILE=default nix run [dir]/swarm#test-origin-default-runner --extra-experimental-features 'nix-command flakes' -- 'a b'
    ");
}

/// A variant with a kind is built by bootway, which finds the program in the output; a container is loaded first.
#[test]
fn what_has_a_kind_is_built_and_verified_before_it_runs() {
    let swarm = Swarm::new();
    swarm.edit("plan.toml", "needs = { kvm = \"required\" }", "needs = {}");
    let machine = swarm.bootway(&["up", "stress-test", "vm", "--", "-m", "1"]);
    assert_eq!(machine.code, 0, "{}", machine.stderr);
    assert_eq!(machine.stdout, "machine stress-test -m 1\n");
    assert!(machine.stderr.contains("Executing: "), "{}", machine.stderr);
    // A docker that answers, whatever this machine has.
    let here = swarm.dir.join("bin");
    fs_err::create_dir(&here).unwrap();
    fs_err::write(here.join("docker"), "#!/bin/sh\nexit 0\n").unwrap();
    fs_err::set_permissions(here.join("docker"), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
    let mut command = swarm.command(&["up", "--print", "default", "container-enhanced", "x"]);
    let path = format!("{here}:{}", std::env::var("PATH").unwrap());
    let printed = run(command.env("PATH", path));
    insta::assert_snapshot!(printed.stdout.replace(swarm.nix.root().as_str(), "[dir]"), @"
    docker load --input [dir]/swarm/.bootway/hls-swarm/out/test-origin-default-container-enhanced/built
    docker run --rm --interactive --pull=never --publish 8080:17080 --publish 9100:9100 --publish 9113:9113 --cap-add SYS_ADMIN --tmpfs /tmp --tmpfs /run --tmpfs /run/lock --env PROFILE=default --health-cmd 'curl -fsS http://localhost:17080/health' --health-interval 30000ms --health-timeout 5000ms --health-start-period 30000ms --health-retries 3 test-origin-enhanced:latest x
    ");
}

/// One profile more in the one list, and nothing else.
#[test]
fn a_profile_that_is_added_in_one_file_is_everywhere() {
    let swarm = Swarm::new();
    assert_eq!(swarm.bootway(&["generate"]).code, 0);
    assert_eq!(swarm.bootway(&["generate", "--check"]).code, 0);
    let steps = || swarm.bootway(&["check", "--tier", "full", "--list"]).stdout;
    let places = [
        "scripts/completion/bootway-up.bash",
        "scripts/completion/_bootway-up",
        "scripts/completion/bootway-up.fish",
        "docker-compose.yaml",
        "targets.just",
        "README.md",
    ];
    for text in places.map(|file| swarm.read(file)) {
        assert!(text.contains("low-latency") && !text.contains("4k-abr"), "{text}");
    }
    assert!(!steps().contains("4k-abr"));

    swarm.edit(PROFILES, "\"low-latency\"\n", "\"low-latency\"\n    \"4k-abr\"\n");

    assert!(swarm.bootway(&["targets"]).stdout.contains("4k-abr"));
    assert!(swarm.bootway(&["up", "--help"]).stdout.contains("4k-abr"));
    assert!(steps().contains("test-origin-4k-abr-runner"));
    assert_eq!(swarm.bootway(&["up", "4k-abr", "runner"]).stdout, "origin 4k-abr 4k-abr\n");
    insta::assert_snapshot!(swarm.says(&["generate", "--check"]), @r#"
    exit code 6
    error: 6 generated files are stale
      caused by: `scripts/completion/bootway-up.bash`: line 6: `    '' | test-origin) printf '%s\n' default low-latency stress-test ;;`, would be `    '' | test-origin) printf '%s\n' default low-latency 4k-abr stress-test ;;`
      caused by: `scripts/completion/_bootway-up`: line 7: `    '' | test-origin) printf '%s\n' default low-latency stress-test ;;`, would be `    '' | test-origin) printf '%s\n' default low-latency 4k-abr stress-test ;;`
      caused by: `scripts/completion/bootway-up.fish`: line 41: `complete -c bootway -f -k -n '__bootway_up_at "- 1 -" "test-origin 1 -"' -a 'default low-latency stress-test'`, would be `complete -c bootway -f -k -n '__bootway_up_at "- 1 -" "test-origin 1 -"' -a 'default low-latency 4k-abr stress-test'`
      caused by: `docker-compose.yaml`: line 32: `  test-origin-stress-test-container:`, would be `  test-origin-4k-abr-container:`
      caused by: `targets.just`: line 43: `# test-origin/stress-test/runner: Local script (all platforms)`, would be `# test-origin/4k-abr/runner: Local script (all platforms)`
      caused by: `README.md`: line 14: `| stress-test | `test-origin-stress-test-runner` | `test-origin-stress-test-container` | – | `test-origin-stress-test-vm` | – |`, would be `| 4k-abr | `test-origin-4k-abr-runner` | `test-origin-4k-abr-container` | – | `test-origin-4k-abr-vm` | – |`
      hint: run `bootway generate` and look at the difference
    "#);
    assert_eq!(swarm.bootway(&["generate"]).code, 0);
    assert_eq!(swarm.bootway(&["generate", "--check"]).code, 0);
    for text in places.map(|file| swarm.read(file)) {
        assert!(text.contains("4k-abr"), "{text}");
    }
}

#[test]
fn a_menu_on_a_terminal_lists_exactly_the_profiles() {
    let swarm = Swarm::new();
    let bootway = env!("CARGO_BIN_EXE_bootway");
    // `script` is the terminal; what it is given is typed.
    let mut command = program("script");
    command.args(["-qec", &format!("{bootway} up"), "/dev/null"]);
    command.current_dir(&swarm.dir).envs(swarm.nix.env()).env_remove("CI").env("TERM", "dumb");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"2\nrunner\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).replace('\r', "");
    assert!(output.status.success(), "{text}");
    let (profiles, rest) = text.split_once("profile [default]: ").unwrap_or((&text, ""));
    let offered: Vec<&str> = profiles.lines().filter(|line| line.contains(')')).collect();
    assert_eq!(offered, ["  1) default", "  2) low-latency", "  3) stress-test"]);
    // What of the variants cannot run depends on who looks.
    let names: Vec<&str> =
        rest.lines().filter_map(|line| line.split_once(") ")?.1.split(' ').next()).collect();
    assert_eq!(names, ["runner", "container", "vm"]);
    assert!(rest.contains("Executing: nix run .#test-origin-low-latency-runner\n"), "{text}");
    assert!(rest.ends_with("origin low-latency low-latency\n"), "{text}");
}

#[test]
fn the_files_that_are_made_from_the_targets_of_the_fixture_are_not_stale() {
    let nix = TestNix::new();
    let plan = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/plans/targets.plan.toml");
    let run = run(program(env!("CARGO_BIN_EXE_bootway"))
        .args(["generate", "--check", "--plan", plan])
        .envs(nix.env()));
    assert_eq!(run.code, 0, "{}", run.stderr);
}

/// What is left out of the outputs of a system is no target there; asking for it says so even where nothing runs.
#[test]
fn what_is_printed_exists() {
    let swarm = Swarm::new();
    insta::assert_snapshot!(swarm.says(&["up", "--print", "--system", "x86_64-darwin", "default", "iso"]), @"
    exit code 4
    error: `iso` of test-origin cannot run here
      caused by: Linux only, this is x86_64-darwin
      hint: what can: `bootway targets`
    ");
    insta::assert_snapshot!(swarm.says(&["up", "--print", "--system", "x86_64-linux", "default", "iso"]), @"
    exit code 0
    nothing runs it; when it is built it is `[dir]/swarm/.bootway/hls-swarm/out/test-origin-default-iso/built`
    ");
}

/// The files of the fixture say that they are made from a plan of another name, so all of them are stale in the copy.
#[test]
fn the_checks_of_a_plan_have_those_of_its_targets_and_what_is_stale() {
    let swarm = Swarm::new();
    let list = swarm.bootway(&["check", "--tier", "build", "--list"]).stdout;
    insta::assert_snapshot!(list, @"
    test-origin-evaluates  nix-check  .: 11 universal
    test-origin-default-runner  nix-build  test-origin-default-runner
    test-origin-default-container  nix-build  test-origin-default-container
    test-origin-default-container-enhanced  nix-build  test-origin-default-container-enhanced
    test-origin-default-vm  nix-build  test-origin-default-vm
    test-origin-default-iso  nix-build  test-origin-iso
    swarm-client-evaluates  nix-check  .: 3 universal
    swarm-client-default-runner  nix-build  swarm-client-default-runner
    swarm-client-default-container  nix-build  swarm-client-default-container
    go-ffmpeg-hls-swarm-evaluates  nix-check  .: 2 universal
    go-ffmpeg-hls-swarm-default-binary  nix-build  go-ffmpeg-hls-swarm
    go-ffmpeg-hls-swarm-default-container  nix-build  go-ffmpeg-hls-swarm-container
    generate  scripts/completion/bootway-up.bash
    generate  scripts/completion/_bootway-up
    generate  scripts/completion/bootway-up.fish
    generate  docker-compose.yaml
    generate  targets.just
    generate  README.md
    ");
    let run = swarm.bootway(&["check", "--tier", "quick"]);
    assert_eq!(run.code, 6, "{}", run.stderr);
    assert!(run.stderr.contains("6 generated files are stale"), "{}", run.stderr);
    assert_eq!(swarm.bootway(&["generate"]).code, 0);
    let run = swarm.bootway(&["check", "--tier", "quick"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
}

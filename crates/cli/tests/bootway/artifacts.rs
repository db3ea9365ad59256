//! What a flake builds, end to end: every target, containers that are run for a moment, and why they are not.

use std::os::unix::fs::{PermissionsExt as _, symlink};

use camino::{Utf8Path, Utf8PathBuf};

use crate::{
    project::{Run, program, run},
    testing::TestNix,
};

/// The flake of `fixtures/nix/targets` with a plan for four forms of one target.
struct Swarm {
    nix: TestNix,
    dir: Utf8PathBuf,
}

const PLAN: &str = r#"
format = 1
name = "swarm"
epoch = 1735689600
nix = { flake = "." }

[target.origin]
profiles = ["default"]
attribute = "test-origin-${profile}-${variant}"
variants.runner = { kind = "program", glob = "bin/*" }
variants.vm = { kind = "program", glob = "bin/*" }
variants.iso = { attribute = "test-origin-iso", kind = "iso", glob = "**/*.iso" }
variants.container = { kind = "container", container = { runs = { args = ["--help"], contains = "container --help" } } }
"#;
/// The target whose container is run.
const RUNS: &str = "origin-default-container-runs";

impl Swarm {
    fn new() -> Self {
        let nix = TestNix::new();
        let dir = nix.root().join("swarm");
        let fixture = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/nix/targets");
        for file in ["flake.nix", "make.nix", "test-origin/profile-list.nix", "swarm-client/profile-list.nix"]
        {
            nix.write(&dir.join(file), &fs_err::read_to_string(fixture.join(file)).unwrap());
        }
        nix.write(&dir.join("plan.toml"), PLAN);
        for tool in ["nix", "nix-store", "git"] {
            link(&dir.join("../bin"), tool);
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

    /// Runs the program where only Nix, Git and what is in `more` can be found.
    fn bootway(&self, more: &str, env: &[(&str, Utf8PathBuf)], args: &[&str]) -> Run {
        let mut command = program(env!("CARGO_BIN_EXE_bootway"));
        command.args(args).current_dir(&self.dir).envs(self.nix.env()).env("CI", "1").env_remove("NO_COLOR");
        let root = self.nix.root();
        command.env("PATH", format!("{root}/bin:{root}/{more}"));
        run(command.envs(env.iter().map(|(name, value)| (*name, value))))
    }

    /// What it comes to: the exit code, and all behind the headline that has no times in it.
    fn ending(&self, run: &Run) -> String {
        let (_, summary) = run.stderr.rsplit_once("\n\n").unwrap();
        let lines = summary.lines().filter(|line| !line.contains(", in ") && !line.starts_with("  report"));
        let text = format!("exit code {}\n{}\n", run.code, lines.collect::<Vec<_>>().join("\n"));
        text.replace(self.nix.root().as_str(), "[dir]")
    }
}

/// Puts a program of this machine into `dir`.
fn link(dir: &Utf8Path, tool: &str) {
    fs_err::create_dir_all(dir).unwrap();
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap());
    let found = path.split(':').map(|dir| Utf8Path::new(dir).join(tool)).find(|it| it.exists());
    let found = found.unwrap_or_else(|| panic!("this test needs `{tool}`: `cargo xtask setup` installs it"));
    symlink(found, dir.join(tool)).unwrap();
}

/// D.4.9.
#[test]
fn all_that_can_be_built_is_and_what_cannot_is_quoted() {
    let swarm = Swarm::new();
    swarm.edit(
        "flake.nix",
        r#"make.program "microvm-run" "echo machine ${it} \"$@\"""#,
        r#"make.broken "microvm-run""#,
    );
    swarm.edit(
        "make.nix",
        "  # A directory with one ISO",
        "  broken = name: derive name \"echo ${name}: no rule to make vmlinux >&2; exit 2\";\n  # A directory with one ISO",
    );
    let all = swarm.bootway("", &[], &["check", "--tier", "build", "plan.toml"]);
    insta::assert_snapshot!(swarm.ending(&all), @"
    exit code 5
    Failed: origin-default-vm
      ✗ origin-default-vm: `microvm-run` failed to build: builder failed with exit code 2; it printed last:   microvm-run: no rule to make vmlinux
    7 passed, 1 failed, 0 skipped
    ");
    assert!(all.stderr.contains("microvm-run: no rule to make vmlinux"), "{}", all.stderr);
    let out = swarm.dir.join(".bootway/swarm/out");
    let look = |step: &str| {
        let path = out.join(step).join("built");
        let looked = swarm.bootway("", &[], &["inspect", path.as_str()]);
        looked.stdout.replace(path.as_str(), step).lines().next().unwrap_or_default().to_owned()
    };
    let seen =
        ["origin-default-runner", "origin-default-iso", "origin-default-container", "origin-default-vm"];
    insta::assert_snapshot!(seen.map(look).join("\n"), @"
    origin-default-runner: 63 B, script, started by /bin/sh
    origin-default-iso: 372 KiB, ISO 9660 image TEST_ORIGIN, rock-ridge, 3 files, boots with bios
    origin-default-container: 1.9 MiB, Docker archive of 1 image
    ");

    // What is in place of an ISO image is found out by what is in it.
    swarm.edit("make.nix", "xorriso -as mkisofs -quiet", "echo not: > $out/iso/${name}.iso; : ");
    let wrong = swarm.bootway("", &[], &["check", "--tier", "build", "plan.toml"]);
    insta::assert_snapshot!(swarm.ending(&wrong), @"
    exit code 5
    Failed: origin-default-vm and 1 more
      ✗ origin-default-vm: `microvm-run` failed to build: builder failed with exit code 2; it printed last:   microvm-run: no rule to make vmlinux
      ✗ origin-default-iso: `[dir]/swarm/.bootway/swarm/out/.partial-origin-default-iso/built` is not an ISO 9660 image that firmware can start from: found no primary volume descriptor at byte 32768
    6 passed, 2 failed, 0 skipped
    ");
}

/// D.4.10: `docker` is a program that answers as the real one does without its daemon.
#[test]
fn a_container_that_nobody_can_run_is_skipped_with_the_reason() {
    let swarm = Swarm::new();
    let check = ["check", "--tier", "full", "plan.toml"];
    insta::assert_snapshot!(swarm.ending(&swarm.bootway("", &[], &check)), @r#"
    exit code 0
    Good, but 1 check did not run
      ⊘ origin-default-container-runs: runs "--help", prints "container --help": docker or podman not found
    8 passed, 0 failed, 1 skipped
    "#);
    let docker = swarm.nix.root().join("down/docker");
    swarm.nix.write(&docker, "#!/bin/sh\necho 'Cannot connect to the Docker daemon' >&2\nexit 1\n");
    fs_err::set_permissions(&docker, std::fs::Permissions::from_mode(0o755)).unwrap();
    insta::assert_snapshot!(swarm.ending(&swarm.bootway("down", &[], &check)), @r#"
    exit code 0
    Good, but 1 check did not run
      ⊘ origin-default-container-runs: runs "--help", prints "container --help": daemon not running
    8 passed, 0 failed, 1 skipped
    "#);
    swarm.edit("plan.toml", "epoch =", "skips = \"strict\"\nepoch =");
    insta::assert_snapshot!(swarm.ending(&swarm.bootway("down", &[], &check)), @r#"
    exit code 6
    Built, but not good
      ✗ origin-default-container-runs: check `runs "--help", prints "container --help"` did not run: daemon not running
      ⊘ origin-default-container-runs: runs "--help", prints "container --help": daemon not running
    8 passed, 1 failed, 1 skipped
    "#);
}

/// Podman with a storage of its own, in a configuration that asks little of the kernel.
struct Podman {
    dir: Utf8PathBuf,
}

impl Podman {
    fn new(swarm: &Swarm) -> Self {
        let dir = swarm.nix.root().join("podman");
        link(&dir, "podman");
        let config = format!(
            "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\n\
             [engine]\nruntime = \"runc\"\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\ntmp_dir = \"{dir}/tmp\"\n"
        );
        swarm.nix.write(&dir.join("containers.conf"), &config);
        let storage =
            format!("[storage]\ndriver = \"vfs\"\ngraphroot = \"{dir}/graph\"\nrunroot = \"{dir}/run\"\n");
        swarm.nix.write(&dir.join("storage.conf"), &storage);
        Self { dir }
    }

    fn env(&self) -> [(&'static str, Utf8PathBuf); 2] {
        [
            ("CONTAINERS_CONF", self.dir.join("containers.conf")),
            ("CONTAINERS_STORAGE_CONF", self.dir.join("storage.conf")),
        ]
    }

    /// What Podman itself says.
    fn says(&self, args: &[&str]) -> String {
        let run = run(program("podman").args(args).envs(self.env()));
        assert_eq!(run.code, 0, "podman {args:?}: {}", run.stderr);
        run.stdout
    }
}

#[test]
fn a_container_is_run_by_a_real_engine_which_gets_everything_back() {
    let swarm = Swarm::new();
    let podman = Podman::new(&swarm);
    let check = |args: &[&str]| {
        swarm.bootway("podman", &podman.env(), &[&["check", "--tier", "full", "plan.toml"], args].concat())
    };
    let ran = check(&["--verbose"]);
    insta::assert_snapshot!(swarm.ending(&ran), @"
    exit code 0
    It works: all 5 checks passed
    9 passed, 0 failed, 0 skipped
    ");
    assert!(ran.stderr.contains("test-origin-default-container --help"), "{}", ran.stderr);
    assert_eq!(podman.says(&["ps", "--all", "--quiet"]), "");
    assert_eq!(podman.says(&["images", "--all", "--quiet"]), "");

    // An image that was there before is there afterwards, although it is the same one.
    let built = swarm.dir.join(".bootway/swarm/out/origin-default-container/built");
    podman.says(&["load", "--quiet", "--input", built.as_str()]);
    let images = ["images", "--all", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"];
    let before = podman.says(&images);
    swarm.edit("plan.toml", "args = [\"--help\"], contains = \"container --help\"", "args = [\"fail\"]");
    let failed = check(&[]);
    insta::assert_snapshot!(swarm.ending(&failed), @r#"
    exit code 6
    Built, but not good: 1 check did not pass
      ✗ origin-default-container-runs: runs "fail"
    8 passed, 1 failed, 0 skipped
    "#);
    swarm.edit("plan.toml", "args = [\"fail\"]", "args = [\"sleep\"], stays = \"1s\", contains = \"sleep\"");
    assert_eq!(check(&[]).code, 0);
    swarm.edit("plan.toml", "args = [\"sleep\"], stays", "args = [\"sleep\"], within");
    insta::assert_snapshot!(swarm.ending(&check(&[])), @r#"
    exit code 6
    Built, but not good: 1 check did not pass
      ✗ origin-default-container-runs: runs "sleep", prints "sleep"
    8 passed, 1 failed, 0 skipped
    "#);
    assert_eq!(podman.says(&images), before);
    assert_eq!(podman.says(&["ps", "--all", "--quiet"]), "");
    assert!(!swarm.dir.join(".bootway/swarm/scratch").join(RUNS).join("container-1.tar").exists());
}

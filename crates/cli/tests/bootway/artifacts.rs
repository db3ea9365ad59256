//! What a flake builds, end to end: every target, containers that are run for a moment, and why they are not.

use std::{
    os::unix::fs::{PermissionsExt as _, symlink},
    process::Command,
    time::{Duration, Instant},
};

use camino::{Utf8Path, Utf8PathBuf};

use crate::{
    project::{Project, Run, program, run, start},
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

    /// The program where only Nix, Git and what is in `more` can be found.
    fn command(&self, more: &str, env: &[(&str, Utf8PathBuf)], args: &[&str]) -> Command {
        let mut command = program(env!("CARGO_BIN_EXE_bootway"));
        command.args(args).current_dir(&self.dir).envs(self.nix.env()).env("CI", "1").env_remove("NO_COLOR");
        let root = self.nix.root();
        command.env("PATH", format!("{root}/bin:{root}/{more}"));
        command.envs(env.iter().map(|(name, value)| (*name, value)));
        command
    }

    fn bootway(&self, more: &str, env: &[(&str, Utf8PathBuf)], args: &[&str]) -> Run {
        run(&mut self.command(more, env, args))
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
    symlink(which(tool), dir.join(tool)).unwrap();
}

fn which(tool: &str) -> Utf8PathBuf {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap());
    let found = path.split(':').map(|dir| Utf8Path::new(dir).join(tool)).find(|it| it.exists());
    found.unwrap_or_else(|| panic!("this test needs `{tool}`: `cargo xtask setup` installs it"))
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
    /// In a directory `podman` in `root`, where nothing else is found.
    fn new(root: &Utf8Path) -> Self {
        let dir = root.join("podman");
        link(&dir, "podman");
        let config = format!(
            "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\n\
             [engine]\nruntime = \"runc\"\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\ntmp_dir = \"{dir}/tmp\"\n"
        );
        fs_err::write(dir.join("containers.conf"), config).unwrap();
        let storage =
            format!("[storage]\ndriver = \"vfs\"\ngraphroot = \"{dir}/graph\"\nrunroot = \"{dir}/run\"\n");
        fs_err::write(dir.join("storage.conf"), storage).unwrap();
        Self { dir }
    }

    fn env(&self) -> [(&'static str, Utf8PathBuf); 2] {
        [
            ("CONTAINERS_CONF", self.dir.join("containers.conf")),
            ("CONTAINERS_STORAGE_CONF", self.dir.join("storage.conf")),
        ]
    }

    /// Looks whether it has neither containers nor images.
    fn has_nothing(&self) {
        assert_eq!(self.says(&["ps", "--all", "--quiet"]), "");
        assert_eq!(self.says(&["images", "--all", "--quiet"]), "");
    }

    /// What Podman itself says.
    fn says(&self, args: &[&str]) -> String {
        let run = run(program("podman").args(args).envs(self.env()));
        assert_eq!(run.code, 0, "podman {args:?}: {}", run.stderr);
        run.stdout
    }
}

#[test]
fn a_container_of_a_target_is_run_by_a_real_engine() {
    let swarm = Swarm::new();
    let podman = Podman::new(&swarm.nix.root());
    let args = ["check", "--tier", "full", "plan.toml", "--verbose"];
    let ran = swarm.bootway("podman", &podman.env(), &args);
    insta::assert_snapshot!(swarm.ending(&ran), @"
    exit code 0
    It works: all 5 checks passed
    9 passed, 0 failed, 0 skipped
    ");
    assert!(ran.stderr.contains("test-origin-default-container --help"), "{}", ran.stderr);
    podman.has_nothing();
}

/// Images as `oci` makes them, with what is expected of each of them.
const RUNS: &str = r#"
[[phase]]
name = "build"
step = [
    { name = "root", tree = { from = ["./root"] } },
    { name = "layout", oci = { from = "root", format = "layout", entrypoint = ["/bin/busybox"], cmd = ["echo", "by itself"] } },
    { name = "archive", oci = { from = "root", format = "archive", tag = "it:1", entrypoint = ["/bin/busybox"], compression = "zstd" } },
    { name = "starts", inspect = { image = "layout", expect = [
        { runs = { contains = "by itself" } },
        { runs = { args = ["sh", "-c", "echo $A; exit 3"], env = { A = "b c" }, exit = 3, contains = "b c" } },
        { runs = { args = ["sleep", "1000"], stays = "500ms" } },
    ] } },
    { name = "does-not", inspect = { image = "archive", expect = [
        { runs = { args = ["false"] } },
        { runs = { args = ["sh", "-c", "echo no >&2"], contains = "yes" } },
        { runs = { args = ["sh", "-c", "echo cannot bind"], stays = "10s" } },
        { runs = { args = ["sleep", "1000"], within = "500ms" } },
        { runs = { args = ["ping", "-c1", "192.0.2.1"] } },
    ] } },
]
"#;

#[test]
fn a_real_engine_says_what_a_container_does_and_keeps_nothing_of_it() {
    let project = Project::new(RUNS);
    let root = project.write("root/bin/busybox", fs_err::read(which("busybox")).unwrap());
    fs_err::set_permissions(root, std::fs::Permissions::from_mode(0o755)).unwrap();
    let podman = Podman::new(project.path());
    let ran = run(project
        .command(&["build", "test.plan.toml", "--keep-going"])
        .env("PATH", &podman.dir)
        .envs(podman.env()));
    let ran = project.redact(&ran.stderr);
    assert_eq!(ran.matches("✓ build/starts: runs").count(), 3, "{ran}");
    let failed: Vec<&str> = ran.lines().filter_map(|line| line.strip_prefix("    runs ")).collect();
    insta::assert_snapshot!(failed.join("\n"), @r#"
    "false": it ended with exit code 1, and not 0: it printed nothing
    "sh" "-c" "echo no >&2", prints "yes": exit code 0, and "yes" is not in what it printed: it printed `no`
    "sh" "-c" "echo cannot bind" for 10s: it ended with exit code 0 within 10s: it printed `cannot bind`
    "sleep" "1000": it still runs after 500ms: of a server say how long it `stays`; it printed nothing
    "ping" "-c1" "192.0.2.1": it ended with exit code 1, and not 0: it printed `ping: sendto: Network is unreachable`
    "#);
    podman.has_nothing();

    // An image that was there before is there afterwards, although it is the same one.
    let built = project.path().join(".bootway/test/out/archive/image.tar");
    podman.says(&["load", "--quiet", "--input", built.as_str()]);
    let images = ["images", "--all", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"];
    let before = podman.says(&images);
    let ran = run(project
        .command(&["build", "test.plan.toml", "--step", "does-not"])
        .env("PATH", &podman.dir)
        .envs(podman.env()));
    assert_eq!(ran.code, 6, "{}", ran.stderr);
    assert_eq!(podman.says(&images), before);
}

#[test]
fn a_container_goes_away_when_the_run_is_stopped() {
    let swarm = Swarm::new();
    let podman = Podman::new(&swarm.nix.root());
    swarm.edit(
        "plan.toml",
        "args = [\"--help\"], contains = \"container --help\"",
        "args = [\"sleep\"], stays = \"5min\"",
    );
    let args = ["check", "--tier", "full", "plan.toml"];
    let mut child = start(&mut swarm.command("podman", &podman.env(), &args));
    let deadline = Instant::now() + Duration::from_mins(2);
    while podman.says(&["ps", "--quiet"]).is_empty() {
        assert!(Instant::now() < deadline && child.try_wait().unwrap().is_none(), "it starts no container");
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    podman.has_nothing();
}

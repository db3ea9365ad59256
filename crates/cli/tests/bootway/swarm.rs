//! A project with targets, in a Nix of its own.

use std::process::Command;

use camino::{Utf8Path, Utf8PathBuf};

use crate::{
    project::{Run, program, run},
    testing::TestNix,
};

/// A project that is a copy of `fixtures/nix/targets` with its plan beside the flake, in a Nix of its own.
pub(crate) struct Swarm {
    pub(crate) nix: TestNix,
    pub(crate) dir: Utf8PathBuf,
}

/// Where the profiles of the fixture are, in one place.
pub(crate) const PROFILES: &str = "test-origin/profile-list.nix";

impl Swarm {
    pub(crate) fn new() -> Self {
        let nix = TestNix::new();
        let dir = nix.root().join("swarm");
        let fixtures = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures");
        copy(&fixtures.join("nix/targets"), &dir);
        let plan = fs_err::read_to_string(fixtures.join("plans/targets.plan.toml")).unwrap();
        nix.write(
            &dir.join("plan.toml"),
            &plan.replace("\"../nix/targets\"", "\".\"").replace("../nix/targets/", ""),
        );
        nix.git(&dir);
        Self { nix, dir }
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = program(env!("CARGO_BIN_EXE_bootway"));
        command.args(args).current_dir(&self.dir).envs(self.nix.env()).env("CI", "1").env_remove("NO_COLOR");
        command
    }

    pub(crate) fn bootway(&self, args: &[&str]) -> Run {
        run(&mut self.command(args))
    }

    /// Exit code, standard output and the last lines of standard error.
    pub(crate) fn says(&self, args: &[&str]) -> String {
        let run = self.bootway(args);
        // What Nix says while it builds has names of the day in it.
        let is_ours = |line: &&str| {
            let built = line.starts_with("  /") && Utf8Path::new(line).extension() == Some("drv");
            !line.starts_with("building '") && *line != "this derivation will be built:" && !built
        };
        let said: String = run.stderr.lines().filter(is_ours).map(|line| format!("{line}\n")).collect();
        format!("exit code {}\n{}{said}", run.code, run.stdout).replace(self.nix.root().as_str(), "[dir]")
    }

    pub(crate) fn edit(&self, file: &str, from: &str, to: &str) {
        let path = self.dir.join(file);
        let text = fs_err::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file} has no `{from}`");
        fs_err::write(&path, text.replace(from, to)).unwrap();
    }

    pub(crate) fn read(&self, file: &str) -> String {
        fs_err::read_to_string(self.dir.join(file)).unwrap()
    }
}

pub(crate) fn copy(from: &Utf8Path, to: &Utf8Path) {
    for entry in walkdir::WalkDir::new(from) {
        let entry = entry.unwrap();
        let path = Utf8Path::from_path(entry.path()).unwrap();
        let target = to.join(path.strip_prefix(from).unwrap());
        if entry.file_type().is_dir() {
            fs_err::create_dir_all(&target).unwrap();
        } else {
            fs_err::copy(path, &target).unwrap();
        }
    }
}

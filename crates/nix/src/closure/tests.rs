use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
};

use bootway_exec::{Input, Sandbox, SystemRunner};
use bootway_plan::{
    Bytes, Digest, EventKind, Failure, Manifest, Source,
    step::{Closure, CommandNix, StoreVerify},
};
use camino::Utf8Path;

use super::{place::remove, *};
use crate::testing::{TestNix, derivation, derivation_with};

mod faults;
mod installing;
mod isolating;
mod telling;

static RUNNER: std::sync::LazyLock<SystemRunner> = std::sync::LazyLock::new(SystemRunner::default);

/// A store with `top`, which refers to itself and to `dep`, which has every kind of file that a store can have; and the
/// context of a step.
struct World {
    nix: TestNix,
    env: BTreeMap<String, String>,
    sandbox: Sandbox<'static>,
    top: String,
    dep: String,
}

const DEP: &str = "mkdir -p $out/bin $out/share/empty; echo 'echo hi' > $out/bin/hi; chmod +x $out/bin/hi; \
    ln -s hi $out/bin/link; ln -s /nowhere $out/share/dangling; head -c 300000 /dev/zero | tr '\\0' x > $out/share/big; \
    ln $out/share/big $out/share/big-again; touch $out/share/nothing";

impl World {
    fn new() -> Self {
        let nix = TestNix::new();
        let text = expression("");
        let file = nix.root().join("closure.nix");
        nix.write(&file, &text);
        let build =
            |name: &str| nix.ok("nix-build", &[file.as_str(), "-A", name, "--no-out-link"]).trim().to_owned();
        let (dep, top) = (build("dep"), build("top"));
        Self { env: nix.env(), sandbox: Sandbox::new(&*RUNNER), nix, top, dep }
    }

    fn cx(&self) -> Cx<'_> {
        Cx { env: &self.env, ..self.sandbox.cx() }
    }

    /// A directory in the sandbox, below the plan.
    fn dir(&self, name: &str) -> Utf8PathBuf {
        self.cx().plan_dir.join(name)
    }

    /// A step that installs `top` into `./store`.
    fn step(&self) -> Closure {
        Closure { paths: vec![self.top.clone()], into: Some("./store".into()), ..Closure::default() }
    }

    /// Does `step` in a scratch directory that is empty, as the engine does.
    fn run(&self, step: &Closure) -> Result<Vec<StepOutput>, ClosureError> {
        for dir in [self.cx().scratch, self.cx().out] {
            remove(dir.as_std_path()).unwrap();
            fs_err::create_dir(dir).unwrap();
        }
        closure(&self.cx(), step, &NixConfig::default())
    }

    /// The same; what it said last.
    fn said(&self, step: &Closure) -> String {
        self.run(step).unwrap();
        let note = |event| if let EventKind::Note { text } = event { Some(text) } else { None };
        self.plain(&self.sandbox.events().into_iter().filter_map(note).next_back().unwrap())
    }

    /// An error, as a person reads it.
    fn failure(&self, step: &Closure) -> String {
        self.plain(&Failure::of(&self.run(step).unwrap_err()).to_string())
    }

    /// `text` without what is different in each run.
    fn plain(&self, text: &str) -> String {
        text.replace(&self.top, "TOP")
            .replace(&self.dep, "DEP")
            .replace(name(&self.top), "TOP")
            .replace(name(&self.dep), "DEP")
            .replace(self.sandbox.root().as_str(), "SANDBOX")
            .replace(self.nix.root().as_str(), "NIX")
    }

    /// Where the files of `path` are in the store in the sandbox.
    fn installed(&self, path: &str) -> Utf8PathBuf {
        self.dir("store").join("nix/store").join(name(path))
    }

    /// What the store in `dir` knows, from Nix.
    fn dump(&self, dir: &Utf8Path) -> String {
        self.nix.ok("nix-store", &["--store", dir.as_str(), "--dump-db"])
    }
}

impl Drop for World {
    /// An ordinary user cannot remove what is in a directory that nobody may write to.
    fn drop(&mut self) {
        for entry in walkdir::WalkDir::new(self.sandbox.root()).into_iter().flatten() {
            if entry.file_type().is_dir() {
                let _ = fs_err::set_permissions(entry.path(), std::fs::Permissions::from_mode(0o755));
            }
        }
    }
}

fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap()
}

/// The derivations; `more` can name them.
fn expression(more: &str) -> String {
    let dep = derivation("dep", DEP);
    // Names alone: their length is the same wherever the store is.
    let top = derivation("top", "echo ${builtins.baseNameOf dep} > $out; basename $out >> $out");
    format!("let dep = {dep}; top = {top}; in {{ inherit dep top; {more} }}")
}

/// Every file of the store in `dir`.
fn paths(dir: &Utf8Path) -> Vec<String> {
    let all = listing(&dir.join("nix/store")).into_iter().skip(1);
    all.filter(|line| !line.starts_with(".links")).collect()
}

/// Every file below `dir`: its name, kind, permissions, time, and contents.
fn listing(dir: &Utf8Path) -> Vec<String> {
    let entry = |entry: walkdir::DirEntry| {
        let metadata = entry.path().symlink_metadata().unwrap();
        let kind = metadata.file_type();
        let what = if kind.is_symlink() {
            format!("-> {}", entry.path().read_link().unwrap().display())
        } else if kind.is_dir() {
            "/".to_owned()
        } else {
            Digest::of(&fs_err::read(entry.path()).unwrap()).short()
        };
        let name = entry.path().strip_prefix(dir).unwrap().display().to_string();
        let mode = if kind.is_symlink() { 0 } else { metadata.mode() & 0o7777 };
        format!("{name} {mode:o} {} {what}", metadata.mtime())
    };
    walkdir::WalkDir::new(dir).sort_by_file_name().into_iter().map(|it| entry(it.unwrap())).collect()
}

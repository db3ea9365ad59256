//! A Nix of its own for a test: a store, a configuration and flakes in a temporary directory.
//!
//! Nothing of the machine's Nix is read or written, nobody is asked for substitutes, and flakes need no nixpkgs.
//!
//! Integration tests of other crates include this file: `#[path = "../../nix/src/testing.rs"] mod testing;`.
//!
//! ```ignore
//! let nix = TestNix::new();
//! let flake = nix.flake("demo", &packages(&[("hello", &derivation("hello", "echo hi > $out"))]));
//! let printed = nix.run("nix", &["build", "--no-link", "--json", &format!("{flake}#hello")]);
//! assert_eq!(printed.code, 0, "{}", printed.stderr);
//! ```
#![allow(clippy::allow_attributes, reason = "each file that includes this one uses another part of it")]
#![allow(
    clippy::unused_self,
    dead_code,
    unreachable_pub,
    reason = "each file that includes this one uses another part of it"
)]

use std::{collections::BTreeMap, os::unix::fs::PermissionsExt as _, time::Duration};

use bootway_exec::{Cmd, Exit, Poll, Runner as _, SpawnError, SystemRunner};
use bootway_plan::Stream;
use camino::{Utf8Path, Utf8PathBuf};
use tempfile::TempDir;

/// The system that test flakes are for.
pub const SYSTEM: &str = "x86_64-linux";

/// A store, a configuration and flakes in a temporary directory, which removes itself.
#[derive(Debug)]
pub struct TestNix {
    dir: TempDir,
}

/// What a program printed, and how it ended.
#[derive(Clone, Debug)]
pub struct Ran {
    /// The exit code; 255 if a signal ended it.
    pub code: i32,
    /// What it printed on standard output.
    pub stdout: String,
    /// What it printed on standard error.
    pub stderr: String,
}

impl TestNix {
    /// An empty store.
    ///
    /// # Panics
    ///
    /// If Nix is not installed, and says how to install it.
    pub fn new() -> Self {
        let dir =
            tempfile::Builder::new().prefix("nix-").tempdir().expect("a temporary directory can be made");
        let nix = Self { dir };
        for name in ["etc", "home", "flakes"] {
            fs_err::create_dir(nix.root().join(name)).unwrap();
        }
        let found = SystemRunner::default().spawn(&Cmd::user("nix-store").arg("--version"));
        assert!(
            !matches!(found, Err(SpawnError::Missing { .. })),
            "this test needs Nix: `apt-get install nix-bin`"
        );
        nix
    }

    /// The directory all of it is in, without symbolic links.
    pub fn root(&self) -> Utf8PathBuf {
        Utf8Path::from_path(self.dir.path()).unwrap().canonicalize_utf8().unwrap()
    }

    /// Where store paths are.
    pub fn store(&self) -> Utf8PathBuf {
        self.root().join("store")
    }

    /// What every program of Nix must find in its environment, so that it uses this store and nothing else.
    pub fn env(&self) -> BTreeMap<String, String> {
        let at = |name: &str| self.root().join(name).to_string();
        let config = [
            "experimental-features = nix-command flakes",
            "substituters =",
            "flake-registry =",
            "build-users-group =",
            "sandbox = false",
            "sandbox-paths =",
        ];
        let pairs = [
            ("NIX_STORE_DIR", at("store")),
            ("NIX_STATE_DIR", at("var")),
            ("NIX_LOG_DIR", at("log")),
            ("NIX_CONF_DIR", at("etc")),
            ("NIX_REMOTE", String::new()),
            ("HOME", at("home")),
            ("XDG_CACHE_HOME", at("cache")),
            ("XDG_CONFIG_HOME", at("home/config")),
            ("XDG_DATA_HOME", at("home/data")),
            ("GIT_CONFIG_NOSYSTEM", "1".to_owned()),
            ("GIT_AUTHOR_NAME", "Test".to_owned()),
            ("GIT_AUTHOR_EMAIL", "test@example.org".to_owned()),
            ("GIT_COMMITTER_NAME", "Test".to_owned()),
            ("GIT_COMMITTER_EMAIL", "test@example.org".to_owned()),
            ("NIX_CONFIG", config.join("\n")),
        ];
        pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// `cmd` with the environment of this store.
    pub fn cmd(&self, cmd: Cmd) -> Cmd {
        self.env().into_iter().fold(cmd, |cmd, (name, value)| cmd.env(&name, value))
    }

    /// A directory `name` with a `flake.nix` whose outputs are `outputs`, the inside of an attribute set; see
    /// [`packages`]. `self` can be used in it.
    pub fn flake(&self, name: &str, outputs: &str) -> Utf8PathBuf {
        let dir = self.root().join("flakes").join(name);
        self.write(
            &dir.join("flake.nix"),
            &format!("{{\n  outputs = {{ self }}: {{\n{outputs}\n  }};\n}}\n"),
        );
        dir
    }

    /// Writes a file and the directories above it.
    pub fn write(&self, path: &Utf8Path, text: &str) {
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
    }

    /// Makes `dir` a Git repository that knows the files that are there now, and commits them.
    pub fn git(&self, dir: &Utf8Path) {
        for args in [&["init", "-q"][..], &["add", "-A"], &["commit", "-q", "-m", "all of it"]] {
            self.git_in(dir, args);
        }
    }

    /// Runs `git` in `dir`.
    ///
    /// # Panics
    ///
    /// If it fails.
    pub fn git_in(&self, dir: &Utf8Path, args: &[&str]) -> String {
        let ran = self.spawn(Cmd::user("git").args(args.iter().copied()).dir(dir));
        assert_eq!(ran.code, 0, "git {args:?}: {}", ran.stderr);
        ran.stdout
    }

    /// Runs a program with this store to its end.
    pub fn run(&self, program: &str, args: &[&str]) -> Ran {
        self.spawn(Cmd::user(program).args(args.iter().copied()))
    }

    /// Runs a program with this store, which must succeed, and returns what it printed.
    ///
    /// # Panics
    ///
    /// If it fails.
    pub fn ok(&self, program: &str, args: &[&str]) -> String {
        let ran = self.run(program, args);
        assert_eq!(ran.code, 0, "{program} {args:?}: {}{}", ran.stdout, ran.stderr);
        ran.stdout
    }

    fn spawn(&self, cmd: Cmd) -> Ran {
        let cmd = self.cmd(cmd);
        let mut process = SystemRunner::default().spawn(&cmd).unwrap();
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let code = loop {
            match process.poll(Duration::from_millis(50)) {
                Poll::Output(Stream::Stdout, bytes) => stdout.extend(bytes),
                Poll::Output(_, bytes) => stderr.extend(bytes),
                Poll::Nothing => (),
                Poll::Ended(Exit::Code(code)) => break code,
                Poll::Ended(Exit::Signal) => break 255,
            }
        };
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ran { code, stdout: text(stdout), stderr: text(stderr) }
    }
}

/// A Nix expression: a derivation whose builder is a shell script with `$out` and the machine's own programs.
///
/// The script ends in a builtin whatever it says: Nix 2.8 loses the exit status of a shell that replaces itself by its
/// last program.
pub fn derivation(name: &str, script: &str) -> String {
    derivation_with(name, script, "")
}

/// The same with further attributes, such as `outputs = [ "out" "dev" ];`.
pub fn derivation_with(name: &str, script: &str, attributes: &str) -> String {
    format!(
        "(derivation {{ name = {}; system = \"{SYSTEM}\"; builder = \"/bin/sh\"; PATH = \"/usr/bin:/bin\"; \
         args = [ \"-c\" {} ]; {attributes} }})",
        nix_string(name),
        nix_string(&format!("set -e\n{script}\n:")),
    )
}

/// The outputs of a flake with these packages: names and Nix expressions, which can name each other.
pub fn packages(packages: &[(&str, &str)]) -> String {
    let lines: String =
        packages.iter().map(|(name, value)| format!("    {} = {value};\n", nix_string(name))).collect();
    format!("packages.{SYSTEM} = rec {{\n{lines}}};")
}

/// Text as a string of the Nix language; `${…}` stays what it is there.
pub fn nix_string(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

impl Drop for TestNix {
    /// Store paths may not be written to, and an ordinary user cannot remove what is in such directories.
    fn drop(&mut self) {
        for entry in walkdir::WalkDir::new(self.dir.path()).into_iter().flatten() {
            if entry.file_type().is_dir() {
                let _ = fs_err::set_permissions(entry.path(), std::fs::Permissions::from_mode(0o755));
            }
        }
    }
}

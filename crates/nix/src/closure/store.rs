//! Stores of this machine: what a path's files are, and what a store says.

use bootway_exec::{Cmd, Cx, Exit, RunError, Tool, listen};
use bootway_plan::{EventKind, NixConfig, Stream};
use camino::{Utf8Path, Utf8PathBuf};

use super::{ClosureError, Registration, StorePath};

/// Arguments that a store takes at once: far below what Linux lets a program have.
const ARGUMENTS: usize = 512;

/// A store on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalStore {
    /// What `--store` is given; that of the machine if nothing.
    uri: Option<String>,
    /// What its paths are below; nothing if they are where they say.
    root: Option<Utf8PathBuf>,
    args: Vec<String>,
}

impl LocalStore {
    /// The one that `[nix]` names; a relative directory starts at `plan_dir`.
    ///
    /// # Errors
    ///
    /// If it is one of another machine: its files are not here to be copied.
    pub fn of(plan_dir: &Utf8Path, nix: &NixConfig) -> Result<Self, ClosureError> {
        let args = nix.args.clone();
        let Some(uri) = nix.store.as_deref().filter(|uri| !matches!(*uri, "" | "auto" | "daemon" | "local"))
        else {
            return Ok(Self { uri: nix.store.clone(), root: None, args });
        };
        let root = uri.strip_prefix("local?root=").unwrap_or(uri);
        if root.contains("://") || root.contains('?') || root.starts_with("unix:") {
            return Err(ClosureError::NotLocal { store: uri.to_owned() });
        }
        let own = Self::at(&below(plan_dir, root.into()));
        Ok(Self { args: [own.args, args].concat(), ..own })
    }

    /// The one in the directory `dir`: its `/nix/store/X` is `DIR/nix/store/X`.
    pub fn at(dir: &Utf8Path) -> Self {
        // As root it would complain that there is no group of builders, and nothing is built or fetched anyway.
        let quiet = ["--option", "build-users-group", "", "--option", "substituters", ""];
        let args = quiet.map(str::to_owned).to_vec();
        Self { uri: Some(dir.to_string()), root: Some(dir.to_owned()), args }
    }

    /// Where the files of `path` are.
    pub fn file(&self, path: &StorePath) -> Utf8PathBuf {
        self.root.as_ref().map_or_else(|| path.as_str().into(), |root| store_dir(root).join(path.name()))
    }

    /// `nix-store`, about this store.
    pub(super) fn cmd(&self, cx: &Cx<'_>) -> Cmd {
        let cmd = cx.env.iter().fold(Cmd::new(Tool::NixStore), |cmd, (key, value)| cmd.env(key, value));
        let cmd = cmd.args(&self.args);
        self.uri.iter().fold(cmd, |cmd, uri| cmd.arg("--store").arg(uri))
    }

    /// Asks for everything that `roots` refer to: store paths, or links to them.
    pub(super) fn requisites_cmd(&self, cx: &Cx<'_>, roots: &[Utf8PathBuf]) -> Cmd {
        self.cmd(cx).args(["--query", "--requisites"]).args(roots.iter().map(|it| it.as_str()))
    }

    /// What the store knows of `roots` and of everything that they refer to.
    ///
    /// In two questions that every Nix understands: `--query --requisites`, and `--dump-db` of what that answers.
    ///
    /// # Errors
    ///
    /// If a root is not valid, or the store cannot be asked.
    pub fn closure(&self, cx: &Cx<'_>, roots: &[Utf8PathBuf]) -> Result<Registration, ClosureError> {
        let paths = ask(cx, &self.requisites_cmd(cx, roots))?;
        let paths: Vec<&str> = paths.lines().collect();
        let mut text = String::new();
        for some in paths.chunks(ARGUMENTS) {
            text += &ask(cx, &self.cmd(cx).arg("--dump-db").args(some.iter().copied()))?;
        }
        Ok(Registration::from_text(&text)?)
    }

    /// Everything that it knows; for stores that are small.
    pub(super) fn everything(&self, cx: &Cx<'_>) -> Result<Registration, ClosureError> {
        Ok(Registration::from_text(&ask(cx, &self.cmd(cx).arg("--dump-db"))?)?)
    }
}

/// A path of the plan, which is relative to the plan's directory.
pub(super) fn below(plan_dir: &Utf8Path, path: &Utf8Path) -> Utf8PathBuf {
    plan_dir.join(path.strip_prefix("./").unwrap_or(path))
}

/// Where the paths of a store in a directory are, whatever it calls them.
pub(super) fn store_dir(root: &Utf8Path) -> Utf8PathBuf {
    root.join("nix/store")
}

/// Runs `cmd`, and keeps what it prints for itself: a closure has thousands of lines, and nobody reads them. What it
/// complains about is said.
pub(super) fn ask(cx: &Cx<'_>, cmd: &Cmd) -> Result<String, ClosureError> {
    let mut hear = |text: String| {
        (cx.emit)(EventKind::Line { stream: Stream::Stderr, text: text.clone() });
        Some(text)
    };
    let ended = listen(cx, cmd, &mut hear)?;
    if ended.exit != Exit::Code(0) {
        return Err(RunError::Failed { cmd: cmd.to_string(), exit: ended.exit }.into());
    }
    String::from_utf8(ended.stdout).map_err(|_| ClosureError::NotText { cmd: cmd.to_string() })
}

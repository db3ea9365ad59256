//! How Nix is called: which programs, what every call says, and what came back.

use std::time::{Duration, Instant};

use bootway_exec::{Cmd, Cx, Ended, Exit, RunError, Tool, listen};
use bootway_plan::{Class, EventKind, Explain, Millis, NixConfig, Stream, Unit};
use camino::{Utf8Path, Utf8PathBuf};
use thiserror::Error;

use crate::{
    log::{Log, Told},
    new_store::{self, Alone},
};

/// How long Nix has to stop its builders and to let go of its locks when it must stop.
const GRACE: Duration = Duration::from_secs(10);

/// Evaluations and builds take as long as they take; the step's `limit` ends them.
const NO_LIMIT: Duration = Duration::from_hours(365 * 24);

/// How often progress is told at most.
const PROGRESS: Duration = Duration::from_millis(200);

/// Nix as a plan wants it to be called.
///
/// Every call has the environment of the step, so that one variable in a plan (`NIX_STORE_DIR`, `NIX_CONFIG`) is true
/// for all of them.
#[derive(Clone, Copy)]
#[expect(missing_debug_implementations, reason = "holds a closure")]
pub struct Nix<'a> {
    pub(crate) cx: Cx<'a>,
    pub(crate) config: &'a NixConfig,
}

/// What a call that ended by itself came to.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) cmd: String,
    pub(crate) exit: Exit,
    pub(crate) stdout: Vec<u8>,
    pub(crate) log: Log,
}

impl<'a> Nix<'a> {
    /// As `config` says, in the context of a step.
    pub fn new(cx: &Cx<'a>, config: &'a NixConfig) -> Self {
        let silent_warn = config.silent_warn.map_or(cx.silent_warn, Millis::duration);
        Self { cx: Cx { silent_warn, ..*cx }, config }
    }

    /// `nix SUBCOMMAND…`, with what the plan says about stores.
    pub(crate) fn nix(&self, subcommand: &[&str]) -> Cmd {
        let cmd = Cmd::new(Tool::Nix)
            .args(subcommand.iter().copied())
            .args(["--extra-experimental-features", "nix-command flakes"]);
        self.dressed(cmd)
    }

    /// `nix SUBCOMMAND…` that evaluates.
    pub(crate) fn evaluate(&self, subcommand: &[&str], impure: bool) -> Cmd {
        let cmd = self.nix(subcommand);
        let cmd = if impure { cmd.arg("--impure") } else { cmd };
        cmd.args(["--log-format", "internal-json"]).args(&self.config.args)
    }

    /// `nix-store OPERATION`, with what the plan says about stores.
    pub(crate) fn store(&self, operation: &str) -> Cmd {
        self.dressed(Cmd::new(Tool::NixStore).arg(operation))
    }

    fn dressed(&self, mut cmd: Cmd) -> Cmd {
        if let Some(store) = &self.config.store {
            cmd = cmd.args(["--store".to_owned(), store_url(self.cx.plan_dir, store)]);
        }
        if let Some(substituters) = &self.config.substituters {
            cmd = cmd.args(["--option".to_owned(), "substituters".to_owned(), substituters.join(" ")]);
            if substituters.is_empty() {
                cmd = cmd.args(["--option", "flake-registry", ""]);
            }
        }
        if let Some(builders) = &self.config.builders {
            cmd = cmd.args(["--option".to_owned(), "builders".to_owned(), builders.join(" ; ")]);
        }
        for (name, value) in self.cx.env {
            cmd = cmd.env(name, value);
        }
        for secret in self.cx.secrets {
            cmd = cmd.secret(secret);
        }
        cmd.limit(NO_LIMIT).grace(GRACE)
    }

    /// Runs `cmd` to its end, telling what it says.
    pub(crate) fn ask(&self, cmd: &Cmd) -> Result<Answer, CallError> {
        let _alone = self.alone();
        let mut log = Log::default();
        let mut teller =
            Teller { cx: &self.cx, cmd, alone: false, items: Count::default(), bytes: Count::default() };
        let ended = listen(&self.cx, cmd, &mut |line| {
            let told = log.hear(&line)?;
            teller.tell(&told);
            told.text()
        });
        teller.end();
        let Ended { exit, stdout } = ended?;
        Ok(Answer { cmd: cmd.to_string(), exit, stdout, log })
    }

    /// Runs `cmd`, which must succeed, and returns what it printed.
    pub(crate) fn must(&self, cmd: &Cmd) -> Result<Vec<u8>, CallError> {
        let answer = self.ask(cmd)?;
        if answer.exit == Exit::Code(0) { Ok(answer.stdout) } else { Err(answer.into_error()) }
    }

    /// To be held while a command runs that may be the first one of a store.
    pub(crate) fn alone(&self) -> Option<Alone> {
        new_store::alone(self.state_dir())
    }

    /// Where the store keeps what it knows. Source: nix.conf(5), "Environment"; `local` stores, `root` and `state`.
    fn state_dir(&self) -> Utf8PathBuf {
        if let Some(root) = self.config.store.as_deref().and_then(|store| root_of(self.cx.plan_dir, store)) {
            return root.join("nix/var/nix");
        }
        let own = self.cx.env.get("NIX_STATE_DIR").cloned();
        own.or_else(|| std::env::var("NIX_STATE_DIR").ok())
            .unwrap_or_else(|| "/nix/var/nix".to_owned())
            .into()
    }

    /// The store, if what is in it is not on this machine's disk: one of another machine, or a cache.
    pub(crate) fn far_store(&self) -> Option<&'a str> {
        let url = self.config.store.as_deref()?;
        let scheme = url.split_once("://").map(|(scheme, _)| scheme)?;
        (!["unix", "local"].contains(&scheme)).then_some(url)
    }

    /// Where a store path is in the file system: below the root of a store of its own.
    pub(crate) fn on_disk(&self, path: &Utf8Path) -> Utf8PathBuf {
        match self.config.store.as_deref().and_then(|store| root_of(self.cx.plan_dir, store)) {
            Some(root) => root.join(path.as_str().trim_start_matches('/')),
            None => path.to_owned(),
        }
    }
}

impl Answer {
    /// What it said went wrong, in one text: of warnings, which some versions say as loudly as errors, only if there is
    /// nothing else.
    pub(crate) fn complaint(&self) -> String {
        let (mut errors, mut warnings) = (Vec::new(), Vec::new());
        for text in self.log.errors() {
            let said = if text.starts_with("warning:") { &mut warnings } else { &mut errors };
            if !said.contains(&text) {
                said.push(text);
            }
        }
        if errors.is_empty() { warnings } else { errors }.join("\n")
    }

    /// The answer as the error that it is.
    pub(crate) fn into_error(self) -> CallError {
        CallError::Refused { complaint: self.complaint(), cmd: self.cmd, exit: self.exit }
    }
}

/// Tells the run what Nix says.
struct Teller<'a> {
    cx: &'a Cx<'a>,
    cmd: &'a Cmd,
    /// Whether it was said that nobody answers.
    alone: bool,
    items: Count,
    bytes: Count,
}

/// How far it has come, by one measure.
#[derive(Default)]
struct Count {
    /// Done, and expected, if that has not been told yet.
    untold: Option<(u64, u64)>,
    told: Option<Instant>,
}

impl Teller<'_> {
    fn tell(&mut self, told: &Told) {
        let line = |text: String| EventKind::Line { stream: Stream::Stderr, text: self.cmd.redact(&text) };
        match told {
            Told::Progress { done, expected, .. } => self.items.add(self.cx, *done, *expected, Unit::Items),
            Told::Bytes { done, expected } => self.bytes.add(self.cx, *done, *expected, Unit::Bytes),
            Told::Phase { .. } | Told::Waiting(_) => {
                (self.cx.emit)(EventKind::Note { text: told.text().unwrap_or_default() });
            }
            _ => {
                for text in told.text().unwrap_or_default().lines() {
                    (self.cx.emit)(line(text.to_owned()));
                }
            }
        }
        if let Told::Message(text) = told
            && text.contains("unable to download")
            && !std::mem::replace(&mut self.alone, true)
        {
            self.cx.note("somebody does not answer who is asked for built paths: without a network, write `substituters = []` into `[nix]`, and nobody is asked");
        }
    }

    /// Tells the progress that has not been told yet.
    fn end(&mut self) {
        self.bytes.tell(self.cx, Unit::Bytes);
        self.items.tell(self.cx, Unit::Items);
    }
}

impl Count {
    fn add(&mut self, cx: &Cx<'_>, done: u64, expected: u64, unit: Unit) {
        self.untold = Some((done, expected));
        if self.told.is_none_or(|at| at.elapsed() >= PROGRESS) {
            self.told = Some(Instant::now());
            self.tell(cx, unit);
        }
    }

    fn tell(&mut self, cx: &Cx<'_>, unit: Unit) {
        if let Some((done, expected)) = self.untold.take().filter(|(_, expected)| *expected > 0) {
            (cx.emit)(EventKind::Progress { done, total: Some(expected), unit });
        }
    }
}

/// A store as Nix wants it: a directory starts at the plan's.
fn store_url(plan_dir: &Utf8Path, store: &str) -> String {
    let is_url = store.contains("://") || store.contains('?') || ["auto", "daemon", "local"].contains(&store);
    if is_url { store.to_owned() } else { absolute(&plan_dir.join(store)).into_string() }
}

/// The directory that holds the `/nix/store` of a store of its own.
fn root_of(plan_dir: &Utf8Path, store: &str) -> Option<Utf8PathBuf> {
    let url = store_url(plan_dir, store);
    if url.starts_with('/') {
        return Some(url.into());
    }
    let (kind, options) = url.split_once('?')?;
    let local = ["local", "local://"].contains(&kind);
    let root = options.split('&').find_map(|option| option.strip_prefix("root="))?;
    local.then(|| root.into())
}

/// `path` from the root directory, whether it exists or not.
pub(crate) fn absolute(path: &Utf8Path) -> Utf8PathBuf {
    camino::absolute_utf8(path).unwrap_or_else(|_| path.to_owned())
}

/// A part of what Nix says on a machine that was not set up for root.
const NO_BUILD_USERS: &str = "'build-users-group' does not exist";

/// Nix could not be asked, or gave no answer.
#[derive(Debug, Error)]
pub enum CallError {
    /// It could not be run to an end.
    #[error(transparent)]
    Run(#[from] RunError),
    /// It refused.
    #[error("`{cmd}` {exit}{}", if complaint.is_empty() { String::new() } else { format!(": {complaint}") })]
    Refused {
        /// What was called, ready to paste.
        cmd: String,
        /// How it ended.
        exit: Exit,
        /// What it said.
        complaint: String,
    },
}

impl Explain for CallError {
    fn class(&self) -> Class {
        match self {
            Self::Run(error) => error.class(),
            Self::Refused { complaint, .. } if complaint.contains(NO_BUILD_USERS) => Class::Environment,
            Self::Refused { .. } => Class::Step,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Run(error) => error.hint(),
            Self::Refused { complaint, .. } if complaint.contains(NO_BUILD_USERS) => Some(
                "Nix that is started by root builds as other users, and this machine has none: install its daemon, \
                 start as an ordinary user, or write `build-users-group =` into /etc/nix/nix.conf"
                    .to_owned(),
            ),
            Self::Refused { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use bootway_plan::Failure;

    use super::*;

    /// As Nix 2.8 says it.
    #[test]
    fn a_machine_that_is_not_set_up_for_root_is_told_apart_and_warnings_are_left_out() {
        let mut log = Log::default();
        let no_users = "the group 'nixbld' specified in 'build-users-group' does not exist";
        for text in
            [format!("warning: {no_users}"), format!("error: {no_users}"), format!("error: {no_users}")]
        {
            log.hear(&format!(r#"@nix {{"action":"msg","level":0,"msg":"{text}"}}"#));
        }
        let answer =
            Answer { cmd: "nix-store --realise x".to_owned(), exit: Exit::Code(1), stdout: Vec::new(), log };
        insta::assert_snapshot!(Failure::of(&answer.into_error()), @"
        error: `nix-store --realise x` exited with code 1: the group 'nixbld' specified in 'build-users-group' does not exist
          hint: Nix that is started by root builds as other users, and this machine has none: install its daemon, start as an ordinary user, or write `build-users-group =` into /etc/nix/nix.conf
        ");
        assert_eq!(
            CallError::Refused { cmd: String::new(), exit: Exit::Code(1), complaint: no_users.to_owned() }
                .class(),
            Class::Environment
        );
    }

    #[test]
    fn a_warning_is_better_than_nothing() {
        let mut log = Log::default();
        log.hear(r#"@nix {"action":"msg","level":0,"msg":"warning: this is odd"}"#);
        let answer = Answer { cmd: "nix".to_owned(), exit: Exit::Code(1), stdout: Vec::new(), log };
        assert_eq!(answer.complaint(), "warning: this is odd");
    }
}

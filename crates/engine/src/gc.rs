//! What a work directory holds that nobody needs any more.
//!
//! Only what is known to be ours: roots of earlier builds, outputs with a stamp, runs with a log, machines that tests went on
//! from, and what a killed run left. Other roots of Nix, `result` links and files of other programs are not looked at.

mod find;
mod remove;
mod usage;

use std::collections::BTreeSet;

use bootway_exec::{Cancel, Cmd, Cx, Inputs, Runner};
use bootway_nix::Closures;
pub use bootway_nix::Collected;
use bootway_plan::{Bytes, Failure};
use camino::Utf8PathBuf;
pub use remove::Removed;
use serde::Serialize;

use crate::{Hold, Loaded, Work, dispatch::explain};

/// What nobody needs any more, and what it takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Garbage {
    /// One by one.
    pub items: Vec<Item>,
    /// What all of it takes on the disk.
    pub size: Bytes,
    /// What it keeps in the store of Nix and what nothing else in the work directory keeps: what a collection frees if
    /// no other root holds any of it. `None` if the store was not asked.
    pub store_size: Option<Bytes>,
    /// What could not be found out, and why.
    pub notes: Vec<String>,
}

/// Something that nobody needs any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Item {
    /// What it is.
    pub what: What,
    /// Where it is.
    pub path: Utf8PathBuf,
    /// Why nobody needs it.
    pub why: String,
    /// What it takes on the disk: allocated blocks, without files that other places have, too.
    pub size: Bytes,
    /// What it keeps in the store of Nix.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store_path: Option<Utf8PathBuf>,
    /// What that takes, with everything that it refers to: `closureSize` of `nix path-info`. `None` if the store does
    /// not hold it, or was not asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store_size: Option<Bytes>,
}

/// What kind of thing nobody needs any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// A root that keeps an earlier build.
    Root,
    /// Outputs and stamp of a step that the plan does not have.
    Output,
    /// What a step worked with that failed: one that the plan does not have, or that failed long ago.
    Failed,
    /// Log and reports of a run.
    Run,
    /// A machine as it was when it was ready, that tests go on from.
    Machine,
    /// What was changed in a root that somebody has entered, and has left again.
    Entered,
    /// What is written down of a failure.
    Failure,
    /// The source of a package as it was unpacked, that no package of the plan is built from.
    Source,
    /// Something that a killed run left.
    Leftover,
}

impl What {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Output => "output",
            Self::Failed => "failed",
            Self::Run => "run",
            Self::Machine => "machine",
            Self::Entered => "entered",
            Self::Failure => "failure",
            Self::Source => "source",
            Self::Leftover => "leftover",
        }
    }
}

/// How many stay of what has no other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// The newest runs.
    pub runs: usize,
    /// The machines that were used last, of those that tests go on from.
    pub machines: usize,
    /// The newest failures that are written down; and as many steps that failed, the last ones, with what they worked with.
    pub failures: usize,
}

/// Finds what nobody needs any more in the work directory of a plan, and in its cache.
///
/// Changes nothing. The store is asked for sizes only, and one that does not answer is a note.
///
/// # Errors
///
/// If a directory cannot be read.
pub fn garbage(loaded: &Loaded, hold: &Hold, runner: &dyn Runner, keep: Keep) -> Result<Garbage, Failure> {
    let found = find::find(loaded, hold.work(), keep).map_err(|error| find::failure(hold.work(), &error))?;
    let mut garbage = Garbage { items: found.items, ..Garbage::default() };
    let gone: BTreeSet<Utf8PathBuf> =
        garbage.items.iter().filter_map(|item| item.store_path.clone()).collect();
    garbage.size = Bytes::new(garbage.items.iter().map(|item| item.size.get()).sum());
    if gone.is_empty() {
        return Ok(garbage);
    }
    let all = gone.union(&found.kept).cloned().collect();
    let nix = loaded.plan.nix();
    match with_cx(loaded, hold.work(), runner, &Cancel::default(), |cx| Closures::ask(cx, nix, &all)) {
        Ok(closures) => {
            let (gone, kept) = (&gone, &found.kept);
            let only =
                closures.only(gone.iter().map(Utf8PathBuf::as_path), kept.iter().map(Utf8PathBuf::as_path));
            garbage.store_size = Some(only);
            for item in &mut garbage.items {
                item.store_size = item.store_path.as_ref().and_then(|path| closures.size(path));
            }
        }
        Err(error) => {
            let failure = Failure::of(&error);
            garbage.notes.push(format!("the store was not asked for sizes: {}", failure.chain.join(": ")));
        }
    }
    Ok(garbage)
}

/// The command that [`collect()`] runs.
pub fn collect_command(loaded: &Loaded, work: &Work, runner: &dyn Runner) -> Cmd {
    let nix = loaded.plan.nix();
    with_cx(loaded, work, runner, &Cancel::default(), |cx| bootway_nix::collect_command(cx, nix))
}

/// Lets the plan's store collect what no root holds, whoever put it there.
///
/// # Errors
///
/// If Nix is not there, or refuses.
pub fn collect(
    loaded: &Loaded,
    work: &Work,
    runner: &dyn Runner,
    cancel: &Cancel,
) -> Result<Collected, Failure> {
    let nix = loaded.plan.nix();
    explain(with_cx(loaded, work, runner, cancel, |cx| bootway_nix::collect(cx, nix)))
        .map_err(|failure| failure.because("the store was not collected"))
}

/// Calls `with` with a context that is no step's: the environment is the plan's, and nobody hears what is said.
fn with_cx<T>(
    loaded: &Loaded,
    work: &Work,
    runner: &dyn Runner,
    cancel: &Cancel,
    with: impl FnOnce(&Cx<'_>) -> T,
) -> T {
    with(&Cx {
        runner,
        emit: &|_| (),
        cancel,
        scratch: work.root(),
        out: work.root(),
        placed: work.root(),
        kept: work.root(),
        plan_dir: &loaded.dir,
        cache: work.cache(),
        inputs: &Inputs::new(),
        inside: None,
        helper: &[],
        epoch: loaded.plan.epoch(),
        env: loaded.plan.env(),
        secrets: loaded.plan.secrets(),
        limit: None,
        silent_warn: std::time::Duration::MAX,
        jobs: 1,
    })
}

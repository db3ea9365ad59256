//! The directory of a plan's runs, and the right to use it.
//!
//! ```text
//! .bootway/NAME/
//!   out/STEP/      outputs and stamp.json, whole or absent
//!   roots/STEP/N   roots of Nix that keep earlier builds, if the plan wants that
//!   failed/STEP/   what a step worked with that failed; until it passes
//!   failures/      UTC-PHASE-STEP.json for each step that failed
//!   enter/NAME/    what a shell in the root of a namespace changes; until the next one
//!   scratch/STEP/  what a step works with; empty between runs
//!   debug/NAME/    a guest that is kept for somebody to look at, as long as it is
//!   runs/UTC/      events.jsonl, the reports, and kept/STEP: logs and pictures of guests
//!   children/      process groups that run now
//!   cache/         files by content; digests of files that have not changed
//!   lock           pid of the run that holds the directory
//! ```

use std::{fs::TryLockError, io};

use bootway_exec::kill_leftovers;
pub(crate) use bootway_exec::remove_all;
use bootway_plan::{Class, Explain, Failure, StepId};
use camino::{Utf8Path, Utf8PathBuf};
use thiserror::Error;

/// The directory of a plan's runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    root: Utf8PathBuf,
    cache: Utf8PathBuf,
}

impl Work {
    /// At `root`, `.bootway/NAME` beside the plan as a rule.
    ///
    /// Made absolute: programs run in directories of their own.
    pub fn new(root: impl Into<Utf8PathBuf>) -> Self {
        let root = absolute(root.into());
        Self { cache: root.join("cache"), root }
    }

    /// With a cache that other plans share.
    #[must_use]
    pub fn with_cache(mut self, cache: impl Into<Utf8PathBuf>) -> Self {
        self.cache = absolute(cache.into());
        self
    }

    /// The directory itself.
    pub fn root(&self) -> &Utf8Path {
        &self.root
    }

    /// Files by content.
    pub fn cache(&self) -> &Utf8Path {
        &self.cache
    }

    /// Whether the cache is not this directory's own.
    pub(crate) fn has_shared_cache(&self) -> bool {
        self.cache != self.root.join("cache")
    }

    /// Where the outputs of a step are.
    pub fn out(&self, step: &StepId) -> Utf8PathBuf {
        self.root.join("out").join(step.as_str())
    }

    /// Where the roots are that keep earlier builds of a step.
    pub(crate) fn roots(&self, step: &StepId) -> Utf8PathBuf {
        self.root.join("roots").join(step.as_str())
    }

    /// Where a step writes its outputs before they are whole.
    pub(crate) fn partial(&self, step: &StepId) -> Utf8PathBuf {
        self.root.join("out").join(format!(".partial-{step}"))
    }

    /// What a step worked with that failed; until it passes.
    pub fn failed(&self, step: &StepId) -> Utf8PathBuf {
        self.root.join("failed").join(step.as_str())
    }

    /// A file for each step that failed, by time.
    pub fn failures(&self) -> Utf8PathBuf {
        self.root.join("failures")
    }

    /// What a step works with.
    pub(crate) fn scratch(&self, step: &StepId) -> Utf8PathBuf {
        self.root.join("scratch").join(step.as_str())
    }

    /// Where running process groups are recorded.
    pub fn children(&self) -> Utf8PathBuf {
        self.root.join("children")
    }

    /// Where the files of a step are that are worth looking at, and are no outputs.
    pub fn kept(&self, step: &StepId) -> Utf8PathBuf {
        self.root.join("kept").join(step.as_str())
    }

    /// Where guests are that are kept for somebody to look at.
    pub fn debug(&self) -> Utf8PathBuf {
        self.root.join("debug")
    }

    /// Where runs are recorded.
    pub fn runs(&self) -> Utf8PathBuf {
        self.root.join("runs")
    }

    /// One line for each run.
    pub fn ledger(&self) -> Utf8PathBuf {
        self.root.join("ledger.jsonl")
    }

    /// Takes the directory for a run, and clears away what a killed run left in it.
    ///
    /// # Errors
    ///
    /// If another run holds it, or it cannot be written.
    pub fn open(self) -> Result<Session, Failure> {
        self.take().map_err(|error| Failure::of(&error))
    }

    /// Takes the directory without changing anything in it; `None` if there is none.
    ///
    /// # Errors
    ///
    /// If a run holds it, or it cannot be read.
    pub fn hold(self) -> Result<Option<Hold>, Failure> {
        if !self.root.exists() {
            return Ok(None);
        }
        self.lock().map(Some).map_err(|error| Failure::of(&error))
    }

    fn lock(self) -> Result<Hold, WorkError> {
        let failed = |source| WorkError::Io { root: self.root.clone(), source };
        let dir = fs_err::File::open(&self.root).map_err(failed)?.into_parts().0;
        let pid_file = self.root.join("lock");
        match dir.try_lock() {
            Ok(()) => (),
            Err(TryLockError::WouldBlock) => {
                let pid = fs_err::read_to_string(&pid_file).unwrap_or_default();
                return Err(WorkError::Held { root: self.root.clone(), pid: pid.trim().to_owned() });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        fs_err::write(&pid_file, format!("{}\n", std::process::id())).map_err(failed)?;
        Ok(Hold { work: self, _dir: dir })
    }

    fn take(self) -> Result<Session, WorkError> {
        let failed = |source| WorkError::Io { root: self.root.clone(), source };
        fs_err::create_dir_all(&self.root).map_err(failed)?;
        let session = Session { hold: self.lock()? };
        let work = session.work();
        kill_leftovers(&work.children());
        let failed = |source| WorkError::Io { root: work.root.clone(), source };
        for dir in [work.root.join("out"), work.root.join("scratch"), work.children(), work.runs()] {
            fs_err::create_dir_all(dir).map_err(failed)?;
        }
        fs_err::create_dir_all(&work.cache).map_err(failed)?;
        work.sweep().map_err(failed)?;
        Ok(session)
    }

    /// Removes everything that is not whole.
    fn sweep(&self) -> io::Result<()> {
        for entry in fs_err::read_dir(self.root.join("out"))? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(".partial-") {
                remove_all(entry.path())?;
            }
        }
        for entry in fs_err::read_dir(self.root.join("scratch"))? {
            remove_all(entry?.path())?;
        }
        bootway_vm::sweep(&self.debug())?;
        for machine in bootway_vm::kept_machines(&self.cache)?.iter().filter(|it| !it.whole) {
            bootway_vm::remove_kept_machine(&machine.path)?;
        }
        for entry in fs_err::read_dir(&self.cache)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(".partial-") {
                remove_all(entry.path())?;
            }
        }
        Ok(())
    }
}

/// The same place, from the root of the file system.
pub(crate) fn absolute(path: Utf8PathBuf) -> Utf8PathBuf {
    // It fails only for the empty path and without a current directory, where nothing else works either.
    camino::absolute_utf8(&path).unwrap_or(path)
}

/// A work directory that nobody else uses until this is dropped.
#[derive(Debug)]
pub struct Hold {
    work: Work,
    _dir: std::fs::File,
}

impl Hold {
    /// The directory that is held.
    pub const fn work(&self) -> &Work {
        &self.work
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        // The lock itself goes with the file descriptor; the pid is only for people.
        let _ = fs_err::remove_file(self.work.root.join("lock"));
    }
}

/// A work directory that this process runs a plan in until this is dropped.
#[derive(Debug)]
pub struct Session {
    hold: Hold,
}

impl Session {
    /// The directory that is held.
    pub const fn work(&self) -> &Work {
        self.hold.work()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = fs_err::remove_dir(self.work().children());
        let _ = remove_all(self.work().root.join("scratch"));
    }
}

/// The work directory cannot be used.
#[derive(Debug, Error)]
enum WorkError {
    /// Another run holds it.
    #[error("another run (pid {pid}) holds `{root}`")]
    Held { root: Utf8PathBuf, pid: String },
    /// It cannot be written.
    #[error("cannot use `{root}` as work directory")]
    Io { root: Utf8PathBuf, source: io::Error },
}

impl Explain for WorkError {
    fn class(&self) -> Class {
        Class::Environment
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Held { pid, .. } => {
                format!("wait for it, stop it with `kill {pid}`, or use another directory: `--work DIR`")
            }
            Self::Io { .. } => "use another directory: `--work DIR`".to_owned(),
        })
    }
}

//! Something that is done in a root, watched from outside.

use std::time::Duration;

use bootway_exec::{Cmd, Cx, RunError, remove_all, run};
use bootway_plan::{Bytes, step::Edit};
use camino::Utf8Path;
use rustix::process::geteuid;

use super::{FAILED, Program, Root, copy::Roots};
use crate::{
    error::RootError,
    inside::{Job, Trouble, Verdict},
};

/// What must be left on the disk of the work directory.
pub(super) const FLOOR: Bytes = Bytes::new(256 << 20);

/// How often it is looked at, as long as there is [`PLENTY`].
const LOOK: Duration = Duration::from_millis(50);

/// How often when there is less: what a program writes into memory in that time is a small part of [`FLOOR`].
const LOOK_CLOSELY: Duration = Duration::from_millis(5);

/// More than any program writes between two looks.
const PLENTY: Bytes = Bytes::new(4 << 30);

impl Root<'_> {
    /// Runs `program` as the job number `n` to a good end.
    ///
    /// # Errors
    ///
    /// If it does not end with code 0, the root cannot be made up, or the disk is nearly full.
    pub(crate) fn run(&self, n: usize, program: &Program) -> Result<(), RootError> {
        let job = Job::Run { argv: program.argv.clone(), cwd: program.cwd.clone(), env: self.env(program) };
        let ran = self.job(&job, &self.preview(n, program)?, &n.to_string(), &program.argv);
        if let Err(RootError::Failed { .. }) = ran {
            // For whoever wants to look at it where it failed.
            fs_err::write(
                self.dir.join(FAILED),
                serde_json::to_vec(program).map_err(std::io::Error::other)?,
            )?;
        }
        ran
    }

    /// Makes `edits` as the job number `n`.
    ///
    /// # Errors
    ///
    /// The first change that cannot be made.
    pub(crate) fn edit(&self, n: usize, edits: &[Edit]) -> Result<(), RootError> {
        let name = n.to_string();
        self.job(&Job::Edit { edits: edits.to_vec() }, &self.cmd(&name, &[])?, &name, &[])
    }

    /// Does `job`, in another way where the first one is refused, which is said.
    pub(super) fn job(&self, job: &Job, cmd: &Cmd, name: &str, argv: &[String]) -> Result<(), RootError> {
        let mut refused_user = None;
        loop {
            match (self.try_job(job, cmd, name, argv), refused_user.take()) {
                (Err(RootError::Refused { trouble: Trouble::User, what, why }), _)
                    if geteuid().is_root() && !self.plain.get() =>
                {
                    self.plain.set(true);
                    refused_user = Some((what, why));
                }
                // Root that may do no more than anybody else: the first reason is the one that can be mended.
                (
                    Err(RootError::Refused { trouble: Trouble::Namespace, what: other, why: also }),
                    Some(it),
                ) => {
                    let (what, why) = it;
                    let why = format!("{why}; and without one: {other}: {also}");
                    return Err(RootError::Refused { trouble: Trouble::User, what, why });
                }
                (ran, refused) => {
                    if let Some((what, why)) = refused {
                        self.cx.note(format!("without a user namespace, as root may: {what}: {why}"));
                    }
                    match ran {
                        Err(RootError::Refused { trouble: Trouble::Overlay, what, why })
                            if Roots::asked()? == Roots::Any && self.is_untouched()? =>
                        {
                            self.make_copy(&format!("{what}: {why}"))?;
                        }
                        ran => return ran,
                    }
                }
            }
        }
    }

    /// Whether no job has changed anything yet, and there is no copy that could have been changed.
    fn is_untouched(&self) -> Result<bool, RootError> {
        Ok(!self.copy().exists() && fs_err::read_dir(self.upper())?.next().is_none())
    }

    /// The failure of a step that would fill the disk, of which nothing is kept: to keep it for a look would keep the disk
    /// full, and every step after it from beginning.
    pub(super) fn disk_full(&self, free: Bytes) -> RootError {
        remove_all(self.cx.scratch).map_or_else(RootError::from, |()| self.is_full(free))
    }

    fn is_full(&self, free: Bytes) -> RootError {
        RootError::DiskFull { dir: self.dir.clone(), free }
    }

    fn try_job(&self, job: &Job, cmd: &Cmd, name: &str, argv: &[String]) -> Result<(), RootError> {
        let (file, setup) = self.write_setup(job.clone(), name)?;
        let ran = self.watched(cmd);
        if let Err(RootError::DiskFull { free, .. }) = ran {
            // A root that is only looked at is not ours to remove.
            return Err(if *job == Job::Nothing { self.is_full(free) } else { self.disk_full(free) });
        }
        let verdict = fs_err::read(&setup.verdict).ok().and_then(|text| serde_json::from_slice(&text).ok());
        fs_err::remove_file(&file)?;
        match (ran, verdict) {
            (
                Err(RootError::Run(
                    error @ (RunError::Cancelled | RunError::Spawn(_) | RunError::TimedOut { .. }),
                )),
                _,
            ) => Err(error.into()),
            (_, Some(Verdict::Failed { trouble, what, why })) => {
                Err(RootError::Refused { trouble, what, why })
            }
            (_, Some(Verdict::Ended { code, signal, left })) => {
                if !left.is_empty() {
                    self.cx.note(format!("it left {} running, which has been ended", left.join(", ")));
                }
                match (code, signal) {
                    (Some(0), _) => Ok(()),
                    (code, signal) => Err(RootError::Failed { argv: argv.to_vec(), code, signal }),
                }
            }
            (Err(error), None) => Err(error),
            (Ok(()), None) => Err(RootError::NoVerdict),
        }
    }

    /// Runs it, and stops it before it has filled the disk.
    fn watched(&self, cmd: &Cmd) -> Result<(), RootError> {
        let cancel = self.cx.cancel.child();
        // A child of a child does not hear the first: both are looked at below.
        let done = std::sync::atomic::AtomicBool::new(false);
        let (dir, asked) = (&self.dir, self.cx.cancel);
        let (ran, full) = std::thread::scope(|scope| {
            let watch = scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::Acquire) {
                    let free = free(dir);
                    if let Some(free) = free.filter(|free| *free < FLOOR) {
                        cancel.cancel();
                        return Some(free);
                    }
                    if asked.is_cancelled() {
                        cancel.cancel();
                    }
                    std::thread::park_timeout(if free > Some(PLENTY) { LOOK } else { LOOK_CLOSELY });
                }
                None
            });
            let cx = Cx { cancel: &cancel, ..*self.cx };
            let ran = run(&cx, cmd);
            done.store(true, std::sync::atomic::Ordering::Release);
            watch.thread().unpark();
            (ran, watch.join().expect("looking does not panic"))
        });
        // It may have been quicker than the watch.
        let full = full.or_else(|| free(dir).filter(|free| ran.is_err() && *free < FLOOR));
        match (ran, full) {
            // One that has noticed it first has failed for the same reason.
            (Err(_), Some(free)) if !asked.is_cancelled() => Err(self.is_full(free)),
            (ran, _) => Ok(ran.map(drop)?),
        }
    }
}

pub(super) fn free(dir: &Utf8Path) -> Option<Bytes> {
    let at = rustix::fs::statvfs(dir.as_std_path()).ok()?;
    Some(Bytes::new(at.f_bavail * at.f_frsize))
}

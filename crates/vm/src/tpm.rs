//! The TPM of a machine: a program beside QEMU, `swtpm`.
//!
//! It has nothing of the host's: its state is new, and gone with the machine. It forbids itself what it does not need
//! (`swtpm(8)`, `--seccomp`), and whoever ends the guest ends it.

use std::time::{Duration, Instant};

use bootway_exec::{Cmd, Cx, Exit, Lines, Poll, Process, Tool};
use bootway_plan::{EventKind, Stream};
use camino::Utf8Path;

use crate::{VmError, boot::Said};

/// Name of its socket, in the machine's scratch directory; relative, as a socket's path has at most 107 bytes.
pub(crate) const SOCKET: &str = "tpm.sock";

/// Name of the directory of its state.
const STATE: &str = "tpm";

/// Name of the file that it writes once it listens: it does so behind `listen(2)`, and QEMU tries only once.
const READY: &str = "tpm.pid";

/// It needs 10 ms until it listens; a busy host is not a thousand times slower.
const PATIENCE: Duration = Duration::from_mins(1);

/// How often it is looked at meanwhile.
const MOMENT: Duration = Duration::from_millis(5);

/// What is kept of what it says: enough for the error that it ends with.
const SAID_LIMIT: usize = 20;

/// What was killed needs no longer to be gone.
const END: Duration = Duration::from_secs(5);

/// A machine ends before; this is only for a bug of ours.
const LIMIT: Duration = Duration::from_hours(24);

/// A TPM that a QEMU can be connected to.
pub(crate) struct Tpm {
    process: Box<dyn Process>,
    lines: Lines,
    said: Vec<String>,
    has_ended: bool,
    /// It stays with a guest that is kept.
    is_left: bool,
}

/// Its command line, in `scratch`.
pub(crate) fn command(scratch: &Utf8Path) -> Cmd {
    Cmd::new(Tool::Swtpm)
        .dir(scratch)
        .args(["socket", "--tpm2", "--tpmstate"])
        .arg(format!("dir={STATE}"))
        .arg("--ctrl")
        .arg(format!("type=unixio,path={SOCKET}"))
        .arg("--pid")
        .arg(format!("file={READY}"))
        // It ends with QEMU, however that ends and whoever is there to see it.
        .arg("--terminate")
        .limit(LIMIT)
}

impl Tpm {
    /// Starts a new one, in the scratch directory of `cx`, and waits until it listens.
    pub(crate) fn start(cx: &Cx<'_>) -> Result<Self, VmError> {
        let (state, ready) = (cx.scratch.join(STATE), cx.scratch.join(READY));
        for left in [&ready, &cx.scratch.join(SOCKET)] {
            // There is one if the machine was begun before.
            let _ = fs_err::remove_file(left);
        }
        let _ = fs_err::remove_dir_all(&state);
        fs_err::create_dir(&state).map_err(VmError::io(&state))?;
        let cmd = command(cx.scratch);
        (cx.emit)(EventKind::Command { line: cmd.to_string() });
        let process = cx.runner.spawn(&cmd)?;
        let mut tpm =
            Self { process, lines: Lines::default(), said: Vec::new(), has_ended: false, is_left: false };
        let since = Instant::now();
        while fs_err::read(&ready).map_or(0, |text| text.len()) == 0 {
            if cx.cancel.is_cancelled() {
                return Err(VmError::Cancelled);
            }
            if let Some(exit) = tpm.poll(cx, MOMENT) {
                return Err(tpm.error(exit));
            }
            if since.elapsed() >= PATIENCE {
                return Err(VmError::NoTpm { limit: PATIENCE });
            }
        }
        Ok(tpm)
    }

    /// Tells what it has to say. An error if it has ended, and QEMU did not tell it to.
    pub(crate) fn watch(&mut self, cx: &Cx<'_>) -> Result<(), VmError> {
        if self.has_ended {
            return Ok(());
        }
        match self.poll(cx, Duration::ZERO) {
            None => Ok(()),
            // A QEMU that ends switches it off.
            Some(Exit::Code(0)) => {
                self.has_ended = true;
                Ok(())
            }
            Some(exit) => Err(self.error(exit)),
        }
    }

    /// Leaves it to a guest that is kept, with which it ends.
    pub(crate) fn leave(&mut self, why: &str) -> std::io::Result<()> {
        self.is_left = self.process.leave(why)?.is_some();
        Ok(())
    }

    /// Tells what it says, and how it ended if it has.
    fn poll(&mut self, cx: &Cx<'_>, patience: Duration) -> Option<Exit> {
        let lines = match self.process.poll(patience) {
            Poll::Output(_, bytes) => self.lines.push(&bytes),
            Poll::Nothing => return None,
            Poll::Ended(exit) => {
                self.has_ended = true;
                return Some(exit);
            }
        };
        for text in lines {
            if self.said.len() < SAID_LIMIT {
                self.said.push(text.clone());
            }
            (cx.emit)(EventKind::Line { stream: Stream::Stderr, text });
        }
        None
    }

    fn error(&self, exit: Exit) -> VmError {
        VmError::Tpm { exit, said: (!self.said.is_empty()).then(|| Said(self.said.join("\n"))) }
    }
}

impl Drop for Tpm {
    fn drop(&mut self) {
        if self.is_left {
            return;
        }
        self.process.kill();
        // It has its state in a directory that is about to be removed.
        let since = Instant::now();
        while !self.has_ended && since.elapsed() < END {
            self.has_ended = matches!(self.process.poll(MOMENT), Poll::Ended(_));
        }
    }
}

//! Commands for the guest's shell, and what they must do.

use std::time::{Duration, Instant};

use bootway_plan::{Verdict, step::RunCheck};

use super::{Checks, Decision, EXIT_PATIENCE, Purpose};
use crate::{
    VmError,
    boot::{Ready, brief, seconds},
    shell::{Encoding, Ended, Frame, INTERRUPT, marker, typed},
};

/// For so long after it was asked, a shell on a port is listened to without a pause.
const EAGER: Duration = Duration::from_secs(1);

/// A guest that ends takes its connections down first.
const REASON: Duration = Duration::from_secs(1);

impl Checks<'_> {
    pub(super) fn run(&mut self, run: &RunCheck, check: &Ready) -> Result<Decision, VmError> {
        let limit = check.within.unwrap_or_else(|| self.machine.limits.check.duration());
        match self.command(&run.command, limit)? {
            Asked::Ended(ended) => Ok(judge(run, check, ended)),
            Asked::Late { last } => Ok(late(&run.command, limit, last)),
        }
    }

    /// Has the guest's shell run `command`. One that is still running after `limit` is interrupted, if it can be.
    pub(crate) fn command(&mut self, command: &str, limit: Duration) -> Result<Asked, VmError> {
        self.ask(command, command, limit)
    }

    /// The same, with `said` shown in the place of what is typed.
    pub(crate) fn ask(&mut self, command: &str, said: &str, limit: Duration) -> Result<Asked, VmError> {
        let encoding = self.shell()?;
        let encoding = if self.on_port() { Encoding::Raw } else { encoding };
        let began = Instant::now();
        self.counter += 1;
        let marker = marker(self.counter, command);
        let mut frame = Frame::new(&marker, encoding);
        self.type_to_shell(said, &typed(command, &marker, encoding));
        if let Some(ended) = self.follow(&mut frame, began, limit)? {
            return Ok(Asked::Ended(ended));
        }
        self.is_stuck = self.link.is_none();
        self.hang_up(); // Who is called again finds another shell.
        if !self.on_port() {
            // What it printed is in the guest's buffers.
            self.guest.type_text(INTERRUPT);
            self.is_stuck = self.follow(&mut frame, Instant::now(), EXIT_PATIENCE)?.is_none();
        }
        Ok(Asked::Late { last: frame.last_line() })
    }

    /// Types `text` to the guest's shell, and tells `said` in its place.
    pub(super) fn type_to_shell(&mut self, said: &str, text: &str) {
        if self.on_port() {
            for line in said.lines() {
                self.guest.tell_only(format!("{}{line}", self.machine.login.shell));
            }
            self.tell_port(text);
        } else {
            self.guest.say(&self.machine.login.shell, said, text);
        }
    }

    /// Tells what a command prints until it ends, or `limit` has passed since `began`.
    fn follow(
        &mut self,
        frame: &mut Frame,
        began: Instant,
        limit: Duration,
    ) -> Result<Option<Ended>, VmError> {
        let on_port = self.on_port();
        while began.elapsed() < limit {
            self.guest.hurry(on_port && began.elapsed() < EAGER);
            let turn = self.turn()?;
            if let Some(cause) = turn.reset {
                self.guest.hurry(false);
                return Err(self.was_reset(&cause, turn.text));
            }
            if let Some(why) = self.lost.take() {
                self.guest.hurry(false);
                self.see_why()?;
                return Ok(Some(Ended::Unreadable(format!("the connection to its shell ended: {why}"))));
            }
            let heard = if on_port {
                self.guest.show(&turn.text)?;
                self.keep(&turn.text);
                &turn.port
            } else {
                &turn.text
            };
            let progress = frame.push(heard);
            if !on_port && frame.is_flooded() {
                self.is_stuck = true;
                self.guest.hurry(false);
                self.guest.show(&turn.text)?;
                return Err(VmError::Flooded { words: self.guest.words() });
            }
            // What is kept in a file is not told, too, nor is it taken for what the guest says of itself.
            let told = if self.purpose == Purpose::Diagnosis { Vec::new() } else { progress.lines };
            for line in told {
                self.guest.tell_only(line);
            }
            for line in progress.kernel {
                self.guest.tell(line)?;
            }
            if let Some(ended) = progress.ended {
                self.guest.hurry(false);
                if !on_port {
                    self.guest.show(&progress.rest)?;
                    self.unread = progress.rest;
                }
                return Ok(Some(ended));
            }
        }
        self.guest.hurry(false);
        Ok(None)
    }
}

impl Checks<'_> {
    /// Waits a moment for what may be the reason why a connection to the guest has ended: that the guest has.
    fn see_why(&mut self) -> Result<(), VmError> {
        let since = Instant::now();
        while since.elapsed() < REASON {
            self.watch()?;
        }
        Ok(())
    }
}

/// The signal that a shell means by an exit code. Source: POSIX, Shell Command Language, 2.8.2; signal(7) for x86.
fn signal(code: u8) -> Option<&'static str> {
    Some(match code.checked_sub(128)? {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        5 => "SIGTRAP",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        31 => "SIGSYS",
        _ => return None,
    })
}

/// What came of asking a shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// The command ended.
    Ended(Ended),
    /// It had not ended in time.
    Late {
        /// The last line that it printed.
        last: Option<String>,
    },
}

impl Asked {
    /// What it printed, without surrounding white space, and its exit code; else why that is not known.
    pub(crate) fn answer(self, command: &str, limit: Duration) -> Result<(String, u8), String> {
        match self {
            Self::Ended(Ended::Exited { output, code }) => {
                Ok((String::from_utf8_lossy(&output).trim().to_owned(), code))
            }
            Self::Ended(Ended::Unreadable(why)) => {
                Err(format!("the output of `{command}` cannot be read: {why}"))
            }
            Self::Late { last } => Err(still_running(command, limit, last)),
        }
    }
}

pub(super) fn late(command: &str, limit: Duration, last: Option<String>) -> Decision {
    Decision::new(Verdict::TimedOut, still_running(command, limit, last))
}

fn still_running(command: &str, limit: Duration, last: Option<String>) -> String {
    let last = last.map_or_else(|| "nothing".to_owned(), |last| format!("last: `{}`", brief(&last)));
    format!("`{command}` was still running after {}; it printed {last}", seconds(limit))
}

/// Whether a command did what it must.
pub(crate) fn judge(run: &RunCheck, check: &Ready, ended: Ended) -> Decision {
    let (output, code) = match ended {
        Ended::Exited { output, code } => (output, code),
        Ended::Unreadable(why) => {
            let detail = format!("the output of `{}` cannot be read: {why}", run.command);
            return Decision::new(Verdict::Failed, detail);
        }
    };
    let output = String::from_utf8_lossy(&output);
    let output = output.trim();
    let printed = if output.is_empty() { "nothing".to_owned() } else { format!("`{}`", brief(output)) };
    let wrong = if code != run.exit {
        let by = signal(code).map_or_else(String::new, |signal| format!(", as what {signal} ends does"));
        Some(format!("exited with code {code}{by}, wanted {}; printed {printed}", run.exit))
    } else if let Some(wanted) = run.equals.as_ref().filter(|wanted| wanted.trim() != output) {
        Some(format!("printed {printed}, wanted exactly `{wanted}`"))
    } else if let Some(wanted) = run.contains.as_ref().filter(|wanted| !output.contains(wanted.as_str())) {
        Some(format!("printed {printed}, wanted `{wanted}` in it"))
    } else if let Some(wanted) = check.matches.as_ref().filter(|wanted| !wanted.is_match(output)) {
        Some(format!("printed {printed}, wanted a match of `{wanted}`"))
    } else {
        let unwanted = run.lacks.as_ref().filter(|unwanted| output.contains(unwanted.as_str()));
        unwanted.map(|unwanted| format!("printed {printed}, which must not have `{unwanted}` in it"))
    };
    match wrong {
        Some(wrong) => Decision::new(Verdict::Failed, format!("`{}` {wrong}", run.command)),
        None => Decision::new(Verdict::Passed, format!("printed {printed}")),
    }
}

//! Deciding one check after the other on a running guest.

use std::time::{Duration, Instant};

use bootway_exec::Cx;
use bootway_plan::{
    Verdict,
    step::{CheckKind, Look, RunCheck},
};

use crate::{
    Machine, Media, VmError,
    boot::{Ready, brief, seconds},
    guest::{Guest, Turn},
    shell::{Encoding, Ended, Frame, INTERRUPT, Next, Session, ask_init, marker, typed},
    watcher::Expect,
};

/// A guest, and what was seen of it.
pub(crate) struct Checks<'a> {
    cx: &'a Cx<'a>,
    guest: Guest<'a>,
    machine: &'a Machine,
    media: Media,
    session: Session,
    /// How the shell answers, once it did.
    shell: Option<Encoding>,
    /// Text of the console that no check has looked at.
    unread: Vec<u8>,
    /// Since power-on or reset.
    began: Instant,
    /// Nothing was printed since a reset.
    silent: bool,
    counter: u32,
}

/// How a check ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    pub(crate) verdict: Verdict,
    pub(crate) detail: Option<String>,
}

/// Text that no check has looked at is kept up to this; a guest that talks for ever does not fill the memory.
const UNREAD_LIMIT: usize = 4 << 20;

/// QEMU has little left to do for a guest that was switched off, and a command for one that was interrupted.
const EXIT_PATIENCE: Duration = Duration::from_secs(10);

impl Decision {
    const fn new(verdict: Verdict, detail: String) -> Self {
        Self { verdict, detail: Some(detail) }
    }
}

impl<'a> Checks<'a> {
    pub(crate) fn new(cx: &'a Cx<'a>, guest: Guest<'a>, machine: &'a Machine, media: Media) -> Self {
        Self {
            cx,
            began: guest.started,
            guest,
            machine,
            media,
            session: Session::new(&machine.login, 1),
            silent: false,
            shell: None,
            unread: Vec::new(),
            counter: 1,
        }
    }

    /// Decides `check`.
    ///
    /// # Errors
    ///
    /// If no other check can be decided after it.
    pub(crate) fn decide(&mut self, check: &Ready) -> Result<Decision, VmError> {
        match &check.kind {
            CheckKind::Console(look) => self.console(look, check.within),
            CheckKind::Screen(look) => self.screen(look, check.within),
            CheckKind::Run(run) => self.run(run, check),
            CheckKind::Reboot => self.reboot(check.within),
            CheckKind::PowerOff => self.power_off(check.within),
        }
    }

    /// Ends the guest if it still runs.
    pub(crate) fn finish(&mut self) {
        self.guest.flush();
        if !self.guest.has_ended() {
            self.cx.note("the guest still ran and was ended by bootway");
            self.guest.kill();
        }
    }

    /// Waits a moment, and sees to what concerns every check.
    fn turn(&mut self) -> Result<Turn, VmError> {
        let mut turn = self.guest.turn()?;
        self.silent &= turn.text.is_empty();
        if self.silent {
            turn.reset = None; // Linux tries one way after the other, and two may work at once.
        }
        if turn.reset.is_some() {
            self.silent = true;
            self.guest.flush();
            self.counter += 1;
            self.session = Session::new(&self.machine.login, self.counter);
            self.began = Instant::now();
        }
        if self.shell.is_none() {
            self.session.push(&turn.text);
        }
        Ok(turn)
    }

    /// The same, where the guest's text is told as it is and a reset is its own idea.
    fn watch(&mut self) -> Result<(), VmError> {
        let turn = self.turn()?;
        self.guest.show(&turn.text)?;
        self.keep(&turn.text);
        match turn.reset {
            Some(cause) if self.shell.is_some() => {
                Err(VmError::Reset { reason: cause.reason, words: self.guest.words() })
            }
            Some(cause) => {
                self.cx.note(format!("the machine was reset while it booted ({})", cause.reason));
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn keep(&mut self, text: &[u8]) {
        self.unread.extend_from_slice(text);
        let excess = self.unread.len().saturating_sub(UNREAD_LIMIT);
        self.unread.drain(..excess);
    }

    /// Limit of a check that waits for text.
    fn look_limit(&self, within: Option<Duration>) -> Duration {
        within.unwrap_or(match self.shell {
            Some(_) => self.machine.limits.check.duration(),
            None => self.machine.limits.boot.duration(),
        })
    }

    fn console(&mut self, look: &Look, within: Option<Duration>) -> Result<Decision, VmError> {
        let began = Instant::now();
        let mut expect = Expect::new(&look.text);
        let limit = self.look_limit(within);
        self.guest.awaited = Some(look.text.clone());
        loop {
            let unread = std::mem::take(&mut self.unread);
            if let Some(rest) = expect.push(&unread) {
                self.unread = unread[unread.len() - rest..].to_vec();
                self.guest.awaited = None;
                if let Some(typed) = &look.typed {
                    self.cx.note(format!("typed {} keys into the serial port", typed.chars().count()));
                    self.guest.type_text(typed);
                }
                return Ok(Decision { verdict: Verdict::Passed, detail: None });
            }
            if began.elapsed() >= limit {
                return Ok(self.not_seen(&look.text, "console", limit));
            }
            self.watch()?;
        }
    }

    fn screen(&mut self, look: &Look, within: Option<Duration>) -> Result<Decision, VmError> {
        let began = Instant::now();
        let limit = self.look_limit(within);
        self.guest.awaited = Some(look.text.clone());
        while !self.guest.shows(&look.text) {
            if began.elapsed() >= limit {
                return Ok(self.not_seen(&look.text, "screen", limit));
            }
            self.watch()?;
        }
        self.guest.awaited = None;
        if let Some(typed) = &look.typed {
            self.cx.note(format!("typed {} keys on the keyboard", typed.chars().count()));
            self.guest.press(typed);
            while self.guest.is_typing() {
                self.watch()?;
            }
        }
        Ok(Decision { verdict: Verdict::Passed, detail: None })
    }

    fn not_seen(&self, text: &str, place: &str, limit: Duration) -> Decision {
        let words = self.guest.words();
        let detail = format!("`{text}` was not on the {place} within {}{words}", seconds(limit));
        Decision::new(Verdict::TimedOut, detail)
    }

    /// Waits for a shell that answers.
    fn shell(&mut self) -> Result<Encoding, VmError> {
        self.shell_within(self.machine.limits.boot.duration())
    }

    /// The same, within `limit` since the machine was switched on or reset.
    fn shell_within(&mut self, limit: Duration) -> Result<Encoding, VmError> {
        loop {
            if let Some(encoding) = self.shell {
                return Ok(encoding);
            }
            match self.session.next() {
                Next::Wait => {}
                Next::Type(text) => self.guest.type_text(&text),
                Next::Refused(reason) => return Err(VmError::Refused { reason }),
                Next::Ready(encoding) => {
                    let took = self.began.elapsed().as_secs_f64();
                    self.cx.note(format!("the guest's shell answered after {took:.1} s"));
                    self.shell = Some(encoding);
                    self.unread.clear();
                    return Ok(encoding);
                }
            }
            if self.began.elapsed() >= limit {
                return Err(VmError::NoShell {
                    waited: limit,
                    words: self.guest.words(),
                    hint: self.no_shell_hint().to_owned(),
                });
            }
            self.watch()?;
        }
    }

    fn no_shell_hint(&self) -> &'static str {
        let words = self.guest.words();
        let has_console =
            self.media.cmdline.as_ref().is_some_and(|cmdline| cmdline.contains("console=ttyS0"));
        match words.line {
            None if self.media.kernel.is_some() && !has_console => {
                "add `console=ttyS0` to the step's `cmdline`, so that the kernel uses the serial console"
            }
            None => "the kernel's command line needs `console=ttyS0`, and the image something that boots",
            Some(line) if self.machine.login.prompt.is_none() && line.trim_end().ends_with("login:") => {
                "the guest asks who logs in: add `login = { prompt = \"login:\" }` to the machine"
            }
            Some(_) => "if it only needs more time, raise `boot` in the machine's `limits`",
        }
    }

    fn run(&mut self, run: &RunCheck, check: &Ready) -> Result<Decision, VmError> {
        let encoding = self.shell()?;
        let began = Instant::now();
        let limit = check.within.unwrap_or_else(|| self.machine.limits.check.duration());
        self.counter += 1;
        let marker = marker(self.counter, &run.command);
        let mut frame = Frame::new(&marker, encoding);
        self.guest.say(&self.machine.login.shell, &run.command, &typed(&run.command, &marker, encoding));
        if let Some(ended) = self.follow(&mut frame, began, limit)? {
            return Ok(judge(run, check, ended));
        }
        // What it printed is in the guest's buffers.
        self.guest.type_text(INTERRUPT);
        self.follow(&mut frame, Instant::now(), EXIT_PATIENCE)?;
        let last =
            frame.last_line().map_or_else(|| "nothing".to_owned(), |last| format!("last: `{}`", brief(last)));
        let detail =
            format!("`{}` was still running after {}; it printed {last}", run.command, seconds(limit));
        Ok(Decision::new(Verdict::TimedOut, detail))
    }

    /// Tells what a command prints until it ends, or `limit` has passed since `began`.
    fn follow(
        &mut self,
        frame: &mut Frame,
        began: Instant,
        limit: Duration,
    ) -> Result<Option<Ended>, VmError> {
        while began.elapsed() < limit {
            let turn = self.turn()?;
            if let Some(cause) = turn.reset {
                return Err(VmError::Reset { reason: cause.reason, words: self.guest.words() });
            }
            let progress = frame.push(&turn.text);
            for line in progress.lines {
                self.guest.tell_only(line);
            }
            for line in progress.kernel {
                self.guest.tell(line)?;
            }
            if let Some(ended) = progress.ended {
                self.guest.show(&progress.rest)?;
                self.unread = progress.rest;
                return Ok(Some(ended));
            }
        }
        Ok(None)
    }

    fn reboot(&mut self, within: Option<Duration>) -> Result<Decision, VmError> {
        self.shell()?;
        let asked = Instant::now();
        let limit = within.unwrap_or_else(|| self.machine.limits.boot.duration());
        self.ask("reboot");
        loop {
            let turn = self.turn()?;
            self.guest.show(&turn.text)?;
            if let Some(cause) = turn.reset {
                if !cause.guest {
                    return Err(VmError::Reset { reason: cause.reason, words: self.guest.words() });
                }
                break;
            }
            if asked.elapsed() >= limit {
                let detail =
                    format!("the guest did not reboot within {}{}", seconds(limit), self.guest.words());
                return Ok(Decision::new(Verdict::TimedOut, detail));
            }
        }
        self.shell = None;
        self.unread.clear();
        self.shell_within(limit)?;
        let detail = format!("shell again after {}", seconds(asked.elapsed()));
        Ok(Decision::new(Verdict::Passed, detail))
    }

    fn power_off(&mut self, within: Option<Duration>) -> Result<Decision, VmError> {
        self.shell()?;
        let asked = Instant::now();
        let limit = within.unwrap_or_else(|| self.machine.limits.power_off.duration());
        self.ask("poweroff");
        loop {
            let turn = self.turn()?;
            self.guest.show(&turn.text)?;
            if let Some(cause) = turn.reset {
                return Err(VmError::Reset { reason: cause.reason, words: self.guest.words() });
            }
            if let Some(cause) = self.guest.off().cloned() {
                let took = asked.elapsed();
                self.follow_to_the_end()?;
                let verdict = if cause.guest && cause.reason == "guest-shutdown" {
                    Verdict::Passed
                } else {
                    Verdict::Failed
                };
                let detail =
                    format!("the machine was switched off ({}) after {}", cause.reason, seconds(took));
                return Ok(Decision::new(verdict, detail));
            }
            if asked.elapsed() >= limit {
                let detail = format!("the guest was not off after {}{}", seconds(limit), self.guest.words());
                return Ok(Decision::new(Verdict::TimedOut, detail));
            }
        }
    }

    /// Sees what the guest printed last, until QEMU has ended.
    fn follow_to_the_end(&mut self) -> Result<(), VmError> {
        let since = Instant::now();
        while !self.guest.has_ended() && since.elapsed() < EXIT_PATIENCE {
            let turn = self.guest.turn()?;
            self.guest.show(&turn.text)?;
        }
        Ok(())
    }

    /// Types a request to whoever starts and stops the guest's system.
    fn ask(&mut self, verb: &str) {
        self.unread.clear();
        self.guest.say(&self.machine.login.shell, verb, &ask_init(verb));
    }
}

/// Whether a command did what it must.
fn judge(run: &RunCheck, check: &Ready, ended: Ended) -> Decision {
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
        Some(format!("exited with code {code}, wanted {}; printed {printed}", run.exit))
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

//! Deciding one check after the other on a running guest.

use std::time::{Duration, Instant};

use bootway_exec::Cx;
use bootway_plan::{
    Verdict,
    step::{Channel, CheckKind},
};

use crate::{
    Machine, VmError,
    boot::Ready,
    guest::{Guest, Turn},
    setup::Setup,
    shell::{Encoding, Next, Session},
    ssh::Link,
    told,
};

mod asleep;
mod diagnose;
mod files;
mod look;
mod picture;
mod power;
mod run;
mod ssh;
mod wait;

pub(crate) use picture::slug;
pub(crate) use run::{Asked, judge};

/// A guest, and what was seen of it.
pub(crate) struct Checks<'a> {
    cx: &'a Cx<'a>,
    guest: Guest<'a>,
    machine: &'a Machine,
    setup: &'a Setup,
    session: Session,
    /// The way to a shell over SSH, if that is the channel.
    link: Option<Link>,
    /// That way has ended, and why.
    lost: Option<String>,
    /// A shell has answered since power-on, or since a reset that was asked for.
    is_up: bool,
    /// How the shell answers, once it did.
    shell: Option<Encoding>,
    /// Text of the console that no check has looked at.
    unread: Vec<u8>,
    /// Since power-on or reset.
    began: Instant,
    /// Nothing was printed since a reset.
    silent: bool,
    /// Its shell runs something that has not ended, and cannot be interrupted.
    is_stuck: bool,
    purpose: Purpose,
    counter: u32,
}

/// What the guest is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// What the plan has.
    Check,
    /// Why a check is not good: kept, and not told.
    Diagnosis,
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
    /// Of a guest that was switched on.
    pub(crate) fn new(cx: &'a Cx<'a>, guest: Guest<'a>, setup: &'a Setup) -> Self {
        let mut checks = Self::mute(cx, guest, setup);
        checks.begin_session();
        checks
    }

    /// Of a guest that was not asked anything.
    fn mute(cx: &'a Cx<'a>, guest: Guest<'a>, setup: &'a Setup) -> Self {
        let machine = &setup.machine;
        Self {
            cx,
            began: guest.started,
            guest,
            machine,
            setup,
            session: Session::new(&machine.login, 1),
            link: None,
            lost: None,
            is_up: false,
            silent: false,
            is_stuck: false,
            purpose: Purpose::Check,
            shell: None,
            unread: Vec::new(),
            counter: 1,
        }
    }

    /// Of a guest that goes on where it was saved, with a shell that answers.
    pub(crate) fn resumed(
        cx: &'a Cx<'a>,
        guest: Guest<'a>,
        setup: &'a Setup,
        shell: Encoding,
        counter: u32,
    ) -> Self {
        // What waits in it on a port takes the first that is said for what it waits for.
        let mut checks = Self::mute(cx, guest, setup);
        checks.counter = counter;
        checks.is_up = true;
        // The end of a connection that is on the host is not saved with the guest's.
        if setup.machine.channel != Channel::Ssh {
            checks.shell = Some(shell);
        }
        checks
    }

    /// How the shell answers and how many questions it was asked, once it was.
    pub(crate) fn shell_state(&mut self) -> Result<(Encoding, u32), VmError> {
        Ok((self.shell()?, self.counter))
    }

    /// Since when it is switched on, or was reset.
    pub(crate) const fn began(&self) -> Instant {
        self.began
    }

    /// The guest itself.
    pub(crate) const fn guest(&mut self) -> &mut Guest<'a> {
        &mut self.guest
    }

    /// Whether the guest's shell is on a line of its own, and not on the console.
    const fn on_port(&self) -> bool {
        matches!(self.machine.channel, Channel::Port | Channel::Systemd | Channel::Ssh)
    }

    /// Says `text` on the line that is the shell's own.
    fn tell_port(&mut self, text: &str) {
        match &mut self.link {
            Some(link) => link.write(text.as_bytes()),
            None => self.guest.tell_port(text.as_bytes()),
        }
    }

    /// Ends the connection to the shell, if there is one that can be made again.
    pub(crate) fn hang_up(&mut self) {
        if let Some(link) = &mut self.link {
            link.hang_up();
            self.shell = None;
        }
    }

    /// What the shell says on its own line, over SSH.
    fn listen(&mut self) -> Result<Vec<u8>, VmError> {
        if self.link.is_none() && self.machine.channel == Channel::Ssh {
            self.link = Some(Link::new(&self.way()?));
        }
        let Some(link) = &mut self.link else { return Ok(Vec::new()) };
        if link.connect(self.cx)? {
            self.counter += 1;
            self.begin_session();
        }
        let Some(link) = &mut self.link else { return Ok(Vec::new()) };
        let heard = link.read();
        if heard.lost.is_some() && self.shell.take().is_some() {
            self.lost = heard.lost;
            self.began = Instant::now();
        }
        Ok(heard.text)
    }

    /// Looks for a shell anew.
    fn begin_session(&mut self) {
        if self.on_port() {
            let (session, question) = Session::direct(&self.machine.login, self.counter);
            self.session = session;
            self.tell_port(&question);
        } else {
            self.session = Session::new(&self.machine.login, self.counter);
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
            CheckKind::Ssh(run) => self.ssh(run, check),
            CheckKind::Unit(unit) => self.unit(unit, check.within),
            CheckKind::Ip(interface) => self.ip(interface, check.within),
            CheckKind::File(file) => self.file(file, check.within),
            CheckKind::Screenshot(picture) => self.picture(picture, &check.name),
            CheckKind::CopyIn(copy) => self.copy_in(copy),
            CheckKind::CopyOut(copy) => self.copy_out(copy, check.within),
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

    /// The same, unless the guest is not good, still runs, and is to be kept for somebody to look at.
    pub(crate) fn finish_after(&mut self, result: &Result<(), VmError>) {
        let why = result.as_ref().err().filter(|error| !matches!(error, VmError::Cancelled));
        if let Some(why) = why
            && !self.guest.has_ended()
            && self.guest.leave(&why.to_string())
        {
            return self.guest.flush();
        }
        self.finish();
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
            self.hang_up();
            self.counter += 1;
            self.begin_session();
            self.began = Instant::now();
        }
        if self.machine.channel == Channel::Ssh {
            turn.port = self.listen()?;
        }
        if self.shell.is_none() {
            self.session.push(if self.on_port() { &turn.port } else { &turn.text });
        }
        Ok(turn)
    }

    /// The same, where the guest's text is told as it is and a reset is its own idea.
    fn watch(&mut self) -> Result<(), VmError> {
        let turn = self.turn()?;
        if let Some(cause) = &turn.reset {
            if self.is_up {
                return Err(self.was_reset(cause, turn.text));
            }
            self.cx.note(format!("the machine was reset while it booted ({})", cause.reason));
        }
        self.guest.show(&turn.text)?;
        self.keep(&turn.text);
        Ok(())
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
                    let took = self.began.elapsed();
                    self.cx.note(format!("the guest's shell answered after {:.1} s", took.as_secs_f64()));
                    told::timing(self.cx, "boot-to-login", took);
                    self.shell = Some(encoding);
                    (self.is_up, self.lost) = (true, None);
                    self.unread.clear();
                    return Ok(encoding);
                }
            }
            if self.began.elapsed() >= limit {
                return Err(VmError::NoShell {
                    waited: limit,
                    words: self.guest.words(),
                    hint: self.no_shell_hint(),
                });
            }
            self.watch()?;
        }
    }

    fn no_shell_hint(&self) -> String {
        if let Some(link) = &self.link {
            let said =
                link.said().map_or_else(String::new, |said| format!("; ssh said last: `{}`", said.trim()));
            return format!(
                "nobody was let in over SSH: its system must start a server, and know the key{said}"
            );
        }
        self.console_hint().replace("ttyS0", self.machine.console())
    }

    fn console_hint(&self) -> &'static str {
        let words = self.guest.words();
        let media = &self.setup.media;
        let has_console =
            media.cmdline.as_ref().is_some_and(|cmdline| cmdline.contains(self.machine.console()));
        match words.line {
            _ if self.on_port() => "no shell answered on the guest's port: its system must start one there",
            None if media.kernel.is_some() && !has_console => {
                "add `console=ttyS0` to the step's `cmdline`, so that the kernel uses the serial console"
            }
            None => "the kernel's command line needs `console=ttyS0`, and the image something that boots",
            Some(line) if self.machine.login.prompt.is_none() && line.trim_end().ends_with("login:") => {
                "the guest asks who logs in: add `login = { prompt = \"login:\" }` to the machine"
            }
            Some(_) => "if it only needs more time, raise `boot` in the machine's `limits`",
        }
    }
}

//! A running QEMU: its console, its screen and keyboard, its control socket, its end.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bootway_exec::{Cmd, Cx, Exit, Poll, Process};
use bootway_plan::{Bytes, EventKind, Stream, step::Forward};
use serde_json::Value;

use crate::{
    VmError,
    ansi::Ansi,
    boot::LastWords,
    command::SCREEN,
    console::Console,
    keyboard,
    port::Port,
    qmp::{Cause, MachineEvent, Message, Qmp, Request},
    screen::{self, Screen},
    shell::OURS,
    tpm::Tpm,
    watcher::{End, diagnosis},
};

/// How often cancellation and time limits are looked at when the guest is silent.
const PATIENCE: Duration = Duration::from_millis(50);

/// The same while QEMU starts, which takes 30 ms: nothing tells that its control socket is there.
const START_PATIENCE: Duration = Duration::from_millis(5);

/// The same while something is waited for that takes milliseconds, and that a socket tells, not the console.
const HASTE: Duration = Duration::from_millis(1);

/// QEMU needs 30 ms until it answers; a busy host is not a thousand times slower.
const CONTROL_LIMIT: Duration = Duration::from_mins(1);

/// One QEMU in a thousand greets, and never answers (seen with 7.2): it is started anew.
const ANSWER_LIMIT: Duration = Duration::from_secs(15);

/// How often a port may have been taken before QEMU got it.
const PORT_TRIES: usize = 20;

/// What is kept of what QEMU says: enough for the error that it ends with.
const STDERR_LIMIT: usize = 20;

/// How often the screen is looked at.
const LOOK: Duration = Duration::from_millis(150);

/// How long each key has for itself; QEMU holds it for 100 ms.
const KEY: Duration = Duration::from_millis(150);

/// A guest that runs, or has just ended.
pub(crate) struct Guest<'a> {
    cx: &'a Cx<'a>,
    cmd: Cmd,
    process: Box<dyn Process>,
    qmp: Qmp,
    /// The guest's port, if it has one.
    port: Option<Port>,
    /// The machine's TPM, if it has one.
    tpm: Option<Tpm>,
    /// What QEMU answered to whoever waits for it.
    answers: Vec<(Request, Value)>,
    /// Ports of the host, and of the guest that they lead to.
    ports: Vec<(u16, u16)>,
    /// How far the machine's state has come, out or in.
    migration: Option<String>,
    /// Whether something is waited for that takes milliseconds.
    hasty: bool,
    /// When this QEMU was started, which may not be the first.
    launched: Instant,
    ansi: Ansi,
    console: Console,
    stderr: bootway_exec::Lines,
    said: Vec<String>,
    /// When QEMU was started.
    pub(crate) started: Instant,
    heard: Instant,
    warned: Instant,
    words: LastWords,
    panicked: bool,
    off: Option<Cause>,
    ended: Option<Exit>,
    /// What the screen shows, if there is one.
    screen: Option<Screen>,
    /// When the screen is looked at next; `None` while QEMU is asked.
    look: Option<Instant>,
    keys: VecDeque<Vec<&'static str>>,
    pressed: Instant,
    /// A line with this is what a check waits for, so that it is not the guest's end.
    pub(crate) awaited: Option<String>,
}

/// How a guest starts.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(crate) struct Start {
    /// A command line for its kernel, that is not on QEMU's.
    pub(crate) cmdline: Option<String>,
    /// It has a screen in text mode, which is told.
    pub(crate) screen: bool,
    /// It has a port.
    pub(crate) port: bool,
    /// It has a TPM.
    pub(crate) tpm: bool,
    /// Its state comes from a socket, and is what it goes on with.
    pub(crate) restored: bool,
    /// Something is done before it starts.
    pub(crate) waits: bool,
}

/// What happened in a moment.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    /// Text of the console.
    pub(crate) text: Vec<u8>,
    /// Text of the port.
    pub(crate) port: Vec<u8>,
    /// The guest, or somebody on the host, reset the machine.
    pub(crate) reset: Option<Cause>,
}

impl<'a> Guest<'a> {
    /// Starts QEMU; the guest runs as soon as its control socket is connected.
    pub(crate) fn start(cx: &'a Cx<'a>, cmd: &Cmd, start: Start) -> Result<Self, VmError> {
        let mut first: Vec<_> =
            start.cmdline.into_iter().flat_map(|it| [Request::Cmdline(it), Request::Make]).collect();
        match (start.restored, start.waits) {
            (true, _) => first.push(Request::Capabilities),
            (false, true) => {}
            (false, false) => first.push(Request::Start),
        }
        let port = start.port.then(|| Port::new(cx.scratch)).transpose().map_err(VmError::io(cx.scratch))?;
        let tpm = start.tpm.then(|| Tpm::start(cx)).transpose()?;
        let (process, qmp) = launch(cx, cmd, first)?;
        let now = Instant::now();
        Ok(Self {
            cx,
            cmd: cmd.clone(),
            process,
            qmp,
            port,
            tpm,
            answers: Vec::new(),
            ports: Vec::new(),
            migration: None,
            hasty: start.restored,
            launched: now,
            ansi: Ansi::default(),
            console: Console::default(),
            stderr: bootway_exec::Lines::default(),
            said: Vec::new(),
            started: now,
            heard: now,
            warned: now,
            words: LastWords::default(),
            panicked: false,
            off: None,
            ended: None,
            screen: start.screen.then(Screen::default),
            look: Some(now),
            keys: VecDeque::new(),
            pressed: now,
            awaited: None,
        })
    }

    /// Waits a moment for the next thing to happen.
    ///
    /// # Errors
    ///
    /// If the guest has ended and everything it printed was seen, if its kernel panicked without a word, if there is
    /// no time left for the step, or if someone asked to stop.
    pub(crate) fn turn(&mut self) -> Result<Turn, VmError> {
        if self.cx.cancel.is_cancelled() {
            return Err(VmError::Cancelled);
        }
        if let Some(exit) = self.ended {
            return Err(self.end(exit));
        }
        if let Some(limit) = self.cx.limit.filter(|limit| *limit <= self.started.elapsed()) {
            return Err(VmError::StepLimit { limit });
        }
        if !self.qmp.is_answering() {
            if self.started.elapsed() >= CONTROL_LIMIT {
                return Err(VmError::NoControl { limit: CONTROL_LIMIT });
            }
            if self.qmp.is_connected() && self.launched.elapsed() >= ANSWER_LIMIT {
                self.launch_again()?;
            }
        }
        let patience = match (self.hasty, self.qmp.is_connected()) {
            (true, _) => HASTE,
            (false, true) => PATIENCE,
            (false, false) => START_PATIENCE,
        };
        let mut turn = Turn::default();
        match self.process.poll(patience) {
            Poll::Output(Stream::Stdout | Stream::Console, bytes) => {
                self.hear();
                turn.text = self.ansi.push(&bytes);
            }
            Poll::Output(Stream::Stderr, bytes) => {
                for line in self.stderr.push(&bytes) {
                    self.complain(line);
                }
            }
            // What it printed is seen by now; there may be nothing, if its console is quiet.
            Poll::Nothing if self.panicked => {
                let line = self.words().line.unwrap_or_else(|| "it said nothing on the console".to_owned());
                return Err(VmError::Panicked { line });
            }
            Poll::Nothing => self.heartbeat(),
            Poll::Ended(exit) => {
                let last = self.stderr.unfinished();
                if !last.is_empty() {
                    self.complain(last);
                }
                self.ended = Some(exit);
            }
        }
        for message in self.qmp.messages() {
            match message {
                Message::Event(MachineEvent::Reset(cause)) => turn.reset = Some(cause),
                Message::Event(MachineEvent::Shutdown(cause)) => self.off = Some(cause),
                Message::Event(MachineEvent::Panicked) => self.panicked = true,
                Message::Event(MachineEvent::Migration(status)) => self.migration = Some(status),
                Message::Done(Request::Memory { .. }, _) => self.look()?,
                Message::Event(MachineEvent::Ejected(drive)) => {
                    self.cx.note("the guest ejected its disc, which was taken out".to_owned());
                    self.qmp.ask(Request::TakeOut(drive));
                }
                Message::Done(Request::Keys(_) | Request::TakeOut(_), _)
                | Message::Event(MachineEvent::Resumed) => {}
                Message::Done(request, answer) => self.answers.push((request, answer)),
                Message::Refused(request, why) => {
                    return Err(VmError::Control { command: request.command(), why });
                }
            }
        }
        self.ask();
        if let (Some(tpm), None) = (&mut self.tpm, self.ended) {
            tpm.watch(self.cx)?;
        }
        if let Some(port) = &mut self.port {
            turn.port = port.read();
            if !turn.port.is_empty() {
                self.hear();
            }
        }
        Ok(turn)
    }

    /// Has QEMU do `request`, and waits for its answer. What the console shows meanwhile is told.
    pub(crate) fn control(&mut self, request: &Request, limit: Duration) -> Result<Value, VmError> {
        let (command, asked) = (request.command(), Instant::now());
        self.qmp.ask(request.clone());
        self.hurried(|guest| {
            loop {
                if let Some(at) = guest.answers.iter().position(|(done, _)| done == request) {
                    return Ok(guest.answers.swap_remove(at).1);
                }
                if asked.elapsed() >= limit {
                    let why = format!("no answer within {} s", limit.as_secs());
                    return Err(VmError::Control { command, why });
                }
                let turn = guest.turn()?;
                guest.show(&turn.text)?;
            }
        })
    }

    /// Waits until the machine's state has arrived where it is to go.
    pub(crate) fn migrated(&mut self, limit: Duration) -> Result<(), VmError> {
        let since = Instant::now();
        let refused = |why: String| Err(VmError::Control { command: "migrate", why });
        self.hurried(|guest| {
            loop {
                match guest.migration.as_deref() {
                    Some("completed") => return Ok(()),
                    Some("failed" | "cancelled") => {
                        let answer = guest.control(&Request::Migration, limit)?;
                        let why = answer.get("error-desc").and_then(Value::as_str).unwrap_or("for no reason");
                        return refused(why.to_owned());
                    }
                    _ if since.elapsed() >= limit => {
                        return refused(format!("not done within {} s", limit.as_secs()));
                    }
                    _ => {
                        let turn = guest.turn()?;
                        guest.show(&turn.text)?;
                    }
                }
            }
        })
    }

    /// Does something that takes milliseconds.
    fn hurried<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> T {
        let before = std::mem::replace(&mut self.hasty, true);
        let done = work(self);
        self.hasty = before;
        done
    }

    /// What is waited for next takes milliseconds, or may take its time.
    pub(crate) const fn hurry(&mut self, hasty: bool) {
        self.hasty = hasty;
    }

    /// Lets ports of the host lead to the guest: free ones, as far as the plan does not say which.
    pub(crate) fn forward(&mut self, forwards: impl Iterator<Item = Forward>) -> Result<(), VmError> {
        for forward in forwards {
            let guest = forward.guest();
            for tries in 1.. {
                let host = match forward {
                    Forward::Fixed { host, .. } => host,
                    Forward::Any(_) => free_port().map_err(VmError::io("127.0.0.1".into()))?,
                };
                let answer = self.control(&Request::Forward { host, guest }, CONTROL_LIMIT)?;
                // QEMU says what is wrong, and nothing if nothing is.
                let why = answer.as_str().map(str::trim).unwrap_or_default();
                if why.is_empty() {
                    self.ports.push((host, guest));
                    break;
                }
                // Somebody else was quicker; again, if it may be another one.
                if matches!(forward, Forward::Fixed { .. }) || tries == PORT_TRIES {
                    return Err(VmError::Port { host, why: why.to_owned() });
                }
            }
        }
        Ok(())
    }

    /// The port of the host that leads to `guest`.
    pub(crate) fn port_of(&self, guest: u16) -> Option<u16> {
        self.ports.iter().find(|(_, it)| *it == guest).map(|(host, _)| *host)
    }

    /// Says `text` to the port.
    pub(crate) fn tell_port(&mut self, text: &str) {
        if let Some(port) = &mut self.port {
            port.write(text.as_bytes());
        }
    }

    /// Starts QEMU anew, which has done nothing yet of what it was asked for: its guest has not begun.
    fn launch_again(&mut self) -> Result<(), VmError> {
        self.cx.note(format!(
            "QEMU did not answer on its control socket for {}, and is started anew",
            crate::boot::seconds(ANSWER_LIMIT)
        ));
        self.process.kill();
        if self.port.is_some() {
            self.port = Some(Port::new(self.cx.scratch).map_err(VmError::io(self.cx.scratch))?);
        }
        if self.tpm.is_some() {
            self.tpm = Some(Tpm::start(self.cx)?);
        }
        (self.process, self.qmp) = launch(self.cx, &self.cmd, self.qmp.unanswered())?;
        self.launched = Instant::now();
        Ok(())
    }

    /// Asks QEMU for what is due: the screen, a key.
    fn ask(&mut self) {
        let now = Instant::now();
        if !self.qmp.is_connected() {
            return;
        }
        if self.screen.is_some() && self.look.is_some_and(|look| look <= now) {
            self.look = None;
            self.qmp.ask(Request::Memory { address: screen::ADDRESS, size: screen::SIZE, file: SCREEN });
        }
        if now.duration_since(self.pressed) >= KEY
            && let Some(keys) = self.keys.pop_front()
        {
            self.pressed = now;
            self.qmp.ask(Request::Keys(keys));
        }
    }

    /// Tells what is new on the screen, which QEMU has written to a file.
    fn look(&mut self) -> Result<(), VmError> {
        self.look = Some(Instant::now() + LOOK);
        let Some(screen) = &mut self.screen else { return Ok(()) };
        let cells = fs_err::read(self.cx.scratch.join(SCREEN)).map_err(VmError::io(self.cx.scratch))?;
        let rows = screen.look(&cells);
        self.words.screen = screen.last().map(str::to_owned);
        self.words.diagnosis = screen.diagnosis().or(self.words.diagnosis);
        if !rows.is_empty() {
            self.hear();
        }
        for row in &rows {
            let text = format!("{}{row}", screen::PREFIX);
            (self.cx.emit)(EventKind::Line { stream: Stream::Console, text });
        }
        let end = screen::end(&rows).filter(|(_, row)| !self.awaits(row));
        end.map_or(Ok(()), |(end, row)| Err(VmError::of_end(end, row)))
    }

    /// Whether `text` is on the screen.
    pub(crate) fn shows(&self, text: &str) -> bool {
        self.screen.as_ref().is_some_and(|screen| screen.shows(text))
    }

    fn awaits(&self, line: &str) -> bool {
        self.awaited.as_ref().is_some_and(|awaited| line.contains(awaited))
    }

    /// Types on the keyboard, key by key.
    pub(crate) fn press(&mut self, text: &str) {
        self.keys.extend(text.chars().filter_map(keyboard::keys));
    }

    /// Whether keys wait to be pressed.
    pub(crate) fn is_typing(&self) -> bool {
        !self.keys.is_empty()
    }

    /// Tells the lines of `text`; an error if one says that the guest will not get further.
    pub(crate) fn show(&mut self, text: &[u8]) -> Result<(), VmError> {
        for line in self.console.push(text) {
            self.tell(line)?;
        }
        Ok(())
    }

    /// Tells a line of the console; an error if it says that the guest will not get further.
    pub(crate) fn tell(&mut self, line: String) -> Result<(), VmError> {
        let end = End::in_line(&line).filter(|_| !self.awaits(&line));
        let error = end.map(|end| VmError::of_end(end, &line));
        self.tell_only(line);
        error.map_or(Ok(()), Err)
    }

    /// Tells a line that is a command's, or ours: what it says about the guest is not meant.
    pub(crate) fn tell_only(&mut self, line: String) {
        if line.contains(OURS) {
            return;
        }
        if let Some(meaning) = diagnosis(&line) {
            self.words.diagnosis = Some(meaning);
        }
        if !line.trim().is_empty() {
            self.words.line = Some(line.clone());
        }
        (self.cx.emit)(EventKind::Line { stream: Stream::Console, text: line });
    }

    /// Tells what the console shows of a line that has not ended.
    pub(crate) fn flush(&mut self) {
        let line = self.console.take();
        if !line.is_empty() {
            self.tell_only(line);
        }
    }

    /// Types `text` behind the prompt, and tells `said` in its place; `prompt` stands in for one that is not there yet.
    pub(crate) fn say(&mut self, prompt: &str, said: &str, text: &str) {
        let shown = if self.console.unfinished().ends_with(prompt) {
            self.console.take()
        } else {
            self.flush();
            prompt.to_owned()
        };
        format!("{shown}{said}").lines().for_each(|line| self.tell_only(line.to_owned()));
        self.type_text(text);
    }

    /// Types on the console.
    pub(crate) fn type_text(&mut self, text: &str) {
        // If QEMU has ended, its process says so, and why.
        let _ = self.process.write(text.as_bytes());
    }

    /// What the guest said last, for the error that says that it said no more.
    pub(crate) fn words(&self) -> LastWords {
        let mut words = self.words.clone();
        let unfinished = self.console.unfinished();
        if !unfinished.trim().is_empty() {
            words.diagnosis = diagnosis(&unfinished).or(words.diagnosis);
            words.line = Some(unfinished);
        }
        words
    }

    /// Who switched the machine off, once somebody did.
    pub(crate) const fn off(&self) -> Option<&Cause> {
        self.off.as_ref()
    }

    /// Whether QEMU has ended, and all of its output was seen.
    pub(crate) const fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// Has QEMU end, and waits for that.
    pub(crate) fn quit(&mut self, limit: Duration) -> Result<(), VmError> {
        let asked = Instant::now();
        self.qmp.ask(Request::Quit);
        self.hurried(|guest| {
            while !guest.has_ended() && asked.elapsed() < limit {
                let turn = guest.turn()?;
                guest.show(&turn.text)?;
            }
            Ok(())
        })
    }

    /// Leaves it to whoever keeps guests that are not good, for somebody to look at it; whether it is kept now.
    pub(crate) fn leave(&mut self, why: &str) -> bool {
        match self.process.leave(why) {
            Ok(Some(how)) => {
                self.cx.note(format!("the guest is kept: {how}"));
                true
            }
            Ok(None) => false,
            Err(error) => {
                self.cx.note(format!("the guest could not be kept: {error}"));
                false
            }
        }
    }

    /// Ends QEMU.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    fn end(&self, exit: Exit) -> VmError {
        match &self.off {
            Some(cause) if cause.guest => VmError::Off { reason: cause.reason.clone(), words: self.words() },
            off => VmError::QemuEnded {
                exit,
                after: self.started.elapsed(),
                reason: off.as_ref().map(|cause| cause.reason.clone()),
                said: (!self.said.is_empty()).then(|| crate::boot::Said(self.said.join("\n"))),
            },
        }
    }

    /// Tells a line of QEMU itself.
    fn complain(&mut self, line: String) {
        self.hear();
        if self.said.len() < STDERR_LIMIT {
            self.said.push(line.clone());
        }
        (self.cx.emit)(EventKind::Line { stream: Stream::Stderr, text: line });
    }

    fn hear(&mut self) {
        self.heard = Instant::now();
        self.warned = self.heard;
    }

    /// Says that a silent guest still runs: once for every `silent_warn`.
    fn heartbeat(&mut self) {
        if self.warned.elapsed() < self.cx.silent_warn {
            return;
        }
        self.warned = Instant::now();
        let usage = self.process.usage();
        (self.cx.emit)(EventKind::Heartbeat {
            running_ms: self.started.elapsed().as_millis() as u64,
            silent_ms: self.heard.elapsed().as_millis() as u64,
            cpu_ms: usage.cpu_ms,
            written: Bytes::new(usage.written),
            last: self.words().line,
        });
    }
}

/// A port that is free now. Somebody else may take it before QEMU does, and then QEMU says so.
fn free_port() -> std::io::Result<u16> {
    std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr().map(|address| address.port())
}

/// Starts QEMU, which is asked for `first` as soon as it listens.
fn launch(cx: &Cx<'_>, cmd: &Cmd, first: Vec<Request>) -> Result<(Box<dyn Process>, Qmp), VmError> {
    let qmp = Qmp::new(cx.scratch, first).map_err(VmError::io(cx.scratch))?;
    (cx.emit)(EventKind::Command { line: cmd.to_string() });
    Ok((cx.runner.spawn(cmd)?, qmp))
}

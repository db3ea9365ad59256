//! A running QEMU: its console, its screen and keyboard, its control socket, its end.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bootway_exec::{Cmd, Cx, Exit, Poll, Process};
use bootway_plan::{EventKind, Stream};
use serde_json::Value;

use crate::{
    VmError,
    ansi::Ansi,
    boot::LastWords,
    console::Console,
    port::Port,
    qmp::{Cause, MachineEvent, Message, Qmp, Request},
    screen::Screen,
    tpm::Tpm,
};

mod control;
mod forward;
mod screen;
mod talk;

/// How often cancellation and time limits are looked at when the guest is silent.
const PATIENCE: Duration = Duration::from_millis(50);

/// The same while something is waited for that takes milliseconds, and that a socket tells, not the console: QEMU itself
/// as long as it starts.
const HASTE: Duration = Duration::from_millis(1);

/// QEMU needs 30 ms until it answers; a busy host is not a thousand times slower.
const CONTROL_LIMIT: Duration = Duration::from_mins(1);

/// A guest that runs, or has just ended.
pub(crate) struct Guest<'a> {
    cx: &'a Cx<'a>,
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
    /// What happened while QEMU was waited for.
    unseen: Option<Turn>,
    /// Whether something is waited for that takes milliseconds.
    hasty: bool,
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
        let qmp = Qmp::new(cx.scratch, first).map_err(VmError::io(cx.scratch))?;
        (cx.emit)(EventKind::Command { line: cmd.to_string() });
        let process = cx.runner.spawn(cmd)?;
        let now = Instant::now();
        Ok(Self {
            cx,
            process,
            qmp,
            port,
            tpm,
            answers: Vec::new(),
            ports: Vec::new(),
            migration: None,
            unseen: None,
            hasty: start.restored,
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
        match self.unseen.take() {
            Some(turn) => Ok(turn),
            None => self.next_turn(),
        }
    }

    /// The same for who waits for something else: what happens is for whoever asks next.
    fn turn_aside(&mut self) -> Result<(), VmError> {
        let turn = self.next_turn()?;
        let unseen = self.unseen.get_or_insert_default();
        unseen.text.extend(turn.text);
        unseen.port.extend(turn.port);
        unseen.reset = turn.reset.or(unseen.reset.take());
        Ok(())
    }

    fn next_turn(&mut self) -> Result<Turn, VmError> {
        if self.cx.cancel.is_cancelled() {
            return Err(VmError::Cancelled);
        }
        if let Some(exit) = self.ended {
            return Err(self.end(exit));
        }
        if let Some(limit) = self.cx.limit.filter(|limit| *limit <= self.started.elapsed()) {
            return Err(VmError::StepLimit { limit });
        }
        let answers = self.qmp.is_answering();
        if !answers && self.started.elapsed() >= CONTROL_LIMIT {
            return Err(VmError::NoControl { limit: CONTROL_LIMIT });
        }
        let patience = if self.hasty || !answers { HASTE } else { PATIENCE };
        let mut turn = Turn { text: self.hear_process(patience)?, ..Turn::default() };
        self.hear_control(&mut turn)?;
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

    /// What QEMU's process does: text of the console, if there is any.
    fn hear_process(&mut self, patience: Duration) -> Result<Vec<u8>, VmError> {
        match self.process.poll(patience) {
            Poll::Output(Stream::Stdout | Stream::Console, bytes) => {
                self.hear();
                return Ok(self.ansi.push(&bytes));
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
        Ok(Vec::new())
    }

    /// What QEMU says on its control socket.
    fn hear_control(&mut self, turn: &mut Turn) -> Result<(), VmError> {
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
        Ok(())
    }

    /// Says `text` to the port.
    pub(crate) fn tell_port(&mut self, text: &[u8]) {
        if let Some(port) = &mut self.port {
            port.write(text);
        }
    }

    /// Who switched the machine off, once somebody did.
    pub(crate) const fn off(&self) -> Option<&Cause> {
        self.off.as_ref()
    }

    /// Whether QEMU has ended, and all of its output was seen.
    pub(crate) const fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// Leaves it to whoever keeps guests that are not good, for somebody to look at it; whether it is kept now.
    pub(crate) fn leave(&mut self, why: &str) -> bool {
        match self.process.leave(why) {
            Ok(Some(how)) => {
                self.cx.note(format!("the guest is kept: {how}"));
                if let Some(Err(error)) = self.tpm.as_mut().map(|tpm| tpm.leave(why)) {
                    self.cx.note(format!("its TPM could not be kept: {error}"));
                }
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
}

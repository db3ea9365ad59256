//! A running QEMU: its console, its screen and keyboard, its control socket, its end.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bootway_exec::{Cmd, Cx, Exit, Poll, Process};
use bootway_plan::{Bytes, EventKind, Stream};

use crate::{
    VmError,
    ansi::Ansi,
    boot::LastWords,
    command::SCREEN,
    console::Console,
    keyboard,
    qmp::{Cause, MachineEvent, Message, Qmp, Request},
    screen::{self, Screen},
    shell::OURS,
    watcher::{End, diagnosis},
};

/// How often cancellation and time limits are looked at when the guest is silent.
const PATIENCE: Duration = Duration::from_millis(50);

/// The same while QEMU starts, which takes 30 ms: nothing tells that its control socket is there.
const START_PATIENCE: Duration = Duration::from_millis(5);

/// QEMU needs 30 ms until it answers; a busy host is not a thousand times slower.
const CONTROL_LIMIT: Duration = Duration::from_mins(1);

/// One QEMU in a thousand greets, and never answers (seen with 7.2): it is started anew.
const ANSWER_LIMIT: Duration = Duration::from_secs(15);

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
    /// What it is asked for first.
    first: Vec<Request>,
    process: Box<dyn Process>,
    qmp: Qmp,
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
pub(crate) struct Start {
    /// A command line for its kernel, that is not on QEMU's.
    pub(crate) cmdline: Option<String>,
    /// It has a screen in text mode.
    pub(crate) screen: bool,
}

/// What happened in a moment.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    /// Text of the console.
    pub(crate) text: Vec<u8>,
    /// The guest, or somebody on the host, reset the machine.
    pub(crate) reset: Option<Cause>,
}

impl<'a> Guest<'a> {
    /// Starts QEMU; the guest runs as soon as its control socket is connected.
    pub(crate) fn start(cx: &'a Cx<'a>, cmd: &Cmd, start: Start) -> Result<Self, VmError> {
        let mut first: Vec<_> =
            start.cmdline.into_iter().flat_map(|it| [Request::Cmdline(it), Request::Make]).collect();
        first.push(Request::Start);
        let (process, qmp) = launch(cx, cmd, &first)?;
        let now = Instant::now();
        Ok(Self {
            cx,
            cmd: cmd.clone(),
            first,
            process,
            qmp,
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
        let patience = if self.qmp.is_connected() { PATIENCE } else { START_PATIENCE };
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
                Message::Done(Request::Memory { .. }) => self.look()?,
                Message::Event(MachineEvent::Resumed) | Message::Done(_) => {}
                Message::Refused(request, why) => {
                    return Err(VmError::Control { command: request.command(), why });
                }
            }
        }
        self.ask();
        Ok(turn)
    }

    /// Starts QEMU anew: its guest has not begun yet.
    fn launch_again(&mut self) -> Result<(), VmError> {
        self.cx.note(format!(
            "QEMU did not answer on its control socket for {}, and is started anew",
            crate::boot::seconds(ANSWER_LIMIT)
        ));
        self.process.kill();
        (self.process, self.qmp) = launch(self.cx, &self.cmd, &self.first)?;
        let now = Instant::now();
        (self.launched, self.look) = (now, Some(now));
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

/// Starts QEMU, which is asked for `first` as soon as it listens.
fn launch(cx: &Cx<'_>, cmd: &Cmd, first: &[Request]) -> Result<(Box<dyn Process>, Qmp), VmError> {
    let qmp = Qmp::new(cx.scratch, first.iter().cloned()).map_err(VmError::io(cx.scratch))?;
    (cx.emit)(EventKind::Command { line: cmd.to_string() });
    Ok((cx.runner.spawn(cmd)?, qmp))
}

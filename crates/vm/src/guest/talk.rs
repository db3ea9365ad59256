//! What a guest says and is told, and what QEMU says itself.

use std::time::Instant;

use bootway_plan::{Bytes, EventKind, Stream};

use super::Guest;
use crate::{
    VmError,
    boot::LastWords,
    shell::OURS,
    watcher::{End, diagnosis},
};

/// What is kept of what QEMU says: enough for the error that it ends with.
const STDERR_LIMIT: usize = 20;

/// What QEMU says while it waits for who controls it, which is us: nobody is told. Source: QEMU, `chardev/char-socket.c`.
const AWAITS_US: &str = ": info: QEMU waiting for connection on: ";

impl Guest<'_> {
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
        self.type_bytes(text.as_bytes());
    }

    /// The same, of what is no text.
    pub(crate) fn type_bytes(&mut self, bytes: &[u8]) {
        // If QEMU has ended, its process says so, and why.
        let _ = self.process.write(bytes);
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

    /// Tells a line of QEMU itself.
    pub(super) fn complain(&mut self, line: String) {
        if line.contains(AWAITS_US) {
            return;
        }
        self.hear();
        if self.said.len() < STDERR_LIMIT {
            self.said.push(line.clone());
        }
        (self.cx.emit)(EventKind::Line { stream: Stream::Stderr, text: line });
    }

    pub(super) fn hear(&mut self) {
        self.heard = Instant::now();
        self.warned = self.heard;
    }

    /// Says that a silent guest still runs: once for every `silent_warn`.
    pub(super) fn heartbeat(&mut self) {
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

//! A shell that waits for one message while its machine is saved, so that a copy needs no more than that to go on: what
//! is typed to a shell costs a guest without KVM a third of a millisecond a letter.

use std::time::{Duration, Instant};

use bootway_plan::step::Channel;

use super::Checks;
use crate::{VmError, guest::Turn, shell::OURS, wake::ASLEEP, watcher::find};

/// What is told of it at most, kernel messages in between included.
const LIMIT: usize = 1 << 20;

impl Checks<'_> {
    /// Has the shell run the program at `path`, which waits for a message of bytes. Returns whether it does.
    pub(crate) fn fall_asleep(&mut self, path: &str, limit: Duration) -> Result<bool, VmError> {
        if self.machine.channel == Channel::Ssh {
            return Ok(false);
        }
        self.shell()?;
        let text = format!("{path}; echo \"$? {OURS}asleep\"'>'\n");
        self.type_to_shell("# waits to be woken up", &text);
        self.hear(limit, |heard| find(heard, ASLEEP.as_bytes()).map(|at| (at + ASLEEP.len(), ())))
            .map(|heard| heard.is_some())
    }

    /// Sends `message` to the program that waits for it. Returns its exit code, if it ended within `limit`.
    pub(crate) fn wake(&mut self, message: &[u8], limit: Duration) -> Result<Option<u8>, VmError> {
        if self.on_port() {
            self.guest.tell_port(message);
        } else {
            self.guest.type_bytes(message);
        }
        let end = format!(" {OURS}asleep>");
        self.hear(limit, |heard| {
            let at = find(heard, end.as_bytes())?;
            let digits = heard[..at].rsplit(|byte| !byte.is_ascii_digit()).next()?;
            let code = std::str::from_utf8(digits).ok()?.parse().ok()?;
            Some((at + end.len(), code))
        })
    }

    /// Listens until `meant` knows what was said, and how much of it that was; what follows is for the next.
    fn hear<T>(
        &mut self,
        limit: Duration,
        meant: impl Fn(&[u8]) -> Option<(usize, T)>,
    ) -> Result<Option<T>, VmError> {
        let (began, on_port) = (Instant::now(), self.on_port());
        let mut heard = Vec::new();
        self.guest.hurry(true);
        while began.elapsed() < limit && heard.len() < LIMIT {
            let Turn { text, port, reset } = self.turn()?;
            if let Some(cause) = reset {
                self.guest.hurry(false);
                return Err(self.was_reset(&cause, text));
            }
            self.guest.show(&text)?;
            heard.extend_from_slice(if on_port { &port } else { &text });
            if let Some((end, what)) = meant(&heard) {
                self.guest.hurry(false);
                if !on_port {
                    self.unread = heard.split_off(end);
                }
                return Ok(Some(what));
            }
        }
        self.guest.hurry(false);
        Ok(None)
    }
}

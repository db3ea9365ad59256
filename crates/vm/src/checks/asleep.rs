//! A shell that waits for one message while its machine is saved, so that a copy needs no more than that to go on: what
//! is typed to a shell costs a guest without KVM a third of a millisecond a letter.

use std::time::{Duration, Instant};

use bootway_plan::step::Channel;

use super::Checks;
use crate::{VmError, guest::Turn, shell::OURS, wake::MESSAGE, watcher::find};

/// What is told of it at most, kernel messages in between included.
const LIMIT: usize = 1 << 20;

impl Checks<'_> {
    /// Has the shell run the program at `path`, which waits for a message of bytes. Returns whether it does: where the
    /// shell is on a terminal, `stty` must be there, as a terminal takes some bytes for commands, and hands
    /// over the first before the last is there.
    pub(crate) fn fall_asleep(&mut self, path: &str, limit: Duration) -> Result<bool, VmError> {
        if self.machine.channel == Channel::Ssh {
            return Ok(false);
        }
        let name = format!("_bwm={OURS}asleep");
        let run = format!(r#"echo "<$_bwm"; {path}; _bwr=$?"#);
        let text = if self.on_port() {
            format!("{name}; {run}; echo \"$_bwr $_bwm>\"\n")
        } else {
            format!(
                "{name}; if _bws=$(stty -g) && stty raw -echo min {MESSAGE}; then {run}; stty \"$_bws\"; echo \"$_bwr $_bwm>\"; \
                 else echo \"!$_bwm\"; fi\n"
            )
        };
        self.shell()?;
        self.type_to_shell("# waits to be woken up", &text);
        let (yes, no) = (format!("<{OURS}asleep\n"), format!("!{OURS}asleep"));
        self.hear(limit, |heard| {
            let is = |wanted: &String| find(heard, wanted.as_bytes()).map(|at| (at + wanted.len(), ()));
            is(&yes).map(|(end, ())| (end, true)).or_else(|| is(&no).map(|(end, ())| (end, false)))
        })
        .map(|heard| heard.unwrap_or(false))
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
                return Err(self.was_reset(&cause, &text));
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

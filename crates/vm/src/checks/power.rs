//! Reboot and power-off, as the machine tells them.

use std::time::{Duration, Instant};

use bootway_plan::Verdict;

use super::{Checks, Decision, EXIT_PATIENCE};
use crate::{VmError, boot::seconds, shell::ask_init};

impl Checks<'_> {
    pub(super) fn reboot(&mut self, within: Option<Duration>) -> Result<Decision, VmError> {
        self.shell()?;
        let asked = Instant::now();
        let limit = within.unwrap_or_else(|| self.machine.limits.boot.duration());
        self.ask_init("reboot");
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
        (self.shell, self.is_up) = (None, false);
        self.unread.clear();
        self.shell_within(limit)?;
        let detail = format!("shell again after {}", seconds(asked.elapsed()));
        Ok(Decision::new(Verdict::Passed, detail))
    }

    pub(super) fn power_off(&mut self, within: Option<Duration>) -> Result<Decision, VmError> {
        self.shell()?;
        let asked = Instant::now();
        let limit = within.unwrap_or_else(|| self.machine.limits.power_off.duration());
        self.ask_init("poweroff");
        loop {
            let turn = self.turn()?;
            self.guest.show(&turn.text)?;
            if let Some(cause) = turn.reset {
                return Err(self.was_reset(&cause, &[]));
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
    fn ask_init(&mut self, verb: &str) {
        self.unread.clear();
        self.type_to_shell(verb, &ask_init(verb));
    }
}

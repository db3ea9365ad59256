//! Reboot and power-off, as the machine tells them.

use std::time::{Duration, Instant};

use bootway_plan::Verdict;

use super::{Checks, Decision, EXIT_PATIENCE};
use crate::{VmError, boot::seconds, qmp::Cause, shell::ask_init, watcher::find};

/// A guest that is reset has said why within that.
const REASON: Duration = Duration::from_secs(1);

/// What firmware says first on a serial console: SeaBIOS, and EDK II of two ages.
const FIRMWARE: [&str; 3] = ["SeaBIOS (version ", "UEFI firmware (version ", "BdsDxe: "];

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
            if let Some(cause) = turn.reset {
                return Err(self.was_reset(&cause, turn.text));
            }
            self.guest.show(&turn.text)?;
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

    /// That the guest was reset, with what it said last: its console is heard later than QEMU, and its firmware begins at
    /// once. If the console says why, that it is.
    pub(super) fn was_reset(&mut self, cause: &Cause, mut text: Vec<u8>) -> VmError {
        let since = Instant::now();
        while let Ok(turn) = self.guest.turn()
            && !turn.text.is_empty()
            && since.elapsed() < REASON
        {
            text.extend(turn.text);
        }
        let (its, firmwares) = text.split_at(firmware_begins(&text));
        if let Err(error) = self.guest.show(its) {
            return error;
        }
        let reset = VmError::Reset { reason: cause.reason.clone(), words: self.guest.words() };
        self.guest.show(firmwares).err().unwrap_or(reset)
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

/// Where in `text` the firmware of a machine that was reset begins; its end, if it does not.
fn firmware_begins(text: &[u8]) -> usize {
    FIRMWARE.iter().filter_map(|first| find(text, first.as_bytes())).min().unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_firmware_says_is_not_the_guests() {
        for (text, its) in [
            ("reboot: Restarting system\n", "reboot: Restarting system\n"),
            ("reboot: Restarting system\nSeaBIOS (version 1.16.2-debian", "reboot: Restarting system\n"),
            ("bye\nUEFI firmware (version 2024.02)\nBdsDxe: loading Boot0001\n", "bye\n"),
            ("", ""),
        ] {
            assert_eq!(&text[..firmware_begins(text.as_bytes())], its);
        }
    }
}

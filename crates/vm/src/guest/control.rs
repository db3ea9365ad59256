//! What QEMU is asked for, and waited for.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::Guest;
use crate::{VmError, qmp::Request};

impl Guest<'_> {
    /// Has QEMU do `request`, and waits for its answer. What the guest says meanwhile is for the next turn.
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
                guest.turn_aside()?;
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
                        guest.turn_aside()?;
                    }
                }
            }
        })
    }

    /// Does something that takes milliseconds.
    pub(super) fn hurried<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> T {
        let before = std::mem::replace(&mut self.hasty, true);
        let done = work(self);
        self.hasty = before;
        done
    }

    /// What is waited for next takes milliseconds, or may take its time.
    pub(crate) const fn hurry(&mut self, hasty: bool) {
        self.hasty = hasty;
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
}

//! Text that must appear, on the console or on the screen.

use std::time::{Duration, Instant};

use bootway_plan::{Verdict, step::Look};

use super::{Checks, Decision};
use crate::{VmError, boot::seconds, watcher::Expect};

impl Checks<'_> {
    pub(super) fn console(&mut self, look: &Look, within: Option<Duration>) -> Result<Decision, VmError> {
        let began = Instant::now();
        let mut expect = Expect::new(&look.text);
        let limit = self.look_limit(within);
        self.guest.awaited = Some(look.text.clone());
        loop {
            let unread = std::mem::take(&mut self.unread);
            if let Some(rest) = expect.push(&unread) {
                self.unread = unread[unread.len() - rest..].to_vec();
                self.guest.awaited = None;
                if let Some(typed) = &look.typed {
                    self.cx.note(format!("typed {} keys into the serial port", typed.chars().count()));
                    self.guest.type_text(typed);
                }
                return Ok(Decision { verdict: Verdict::Passed, detail: None });
            }
            if began.elapsed() >= limit {
                return Ok(self.not_seen(&look.text, "console", limit));
            }
            self.watch()?;
        }
    }

    pub(super) fn screen(&mut self, look: &Look, within: Option<Duration>) -> Result<Decision, VmError> {
        let began = Instant::now();
        let limit = self.look_limit(within);
        self.guest.awaited = Some(look.text.clone());
        while !self.guest.shows(&look.text) {
            if began.elapsed() >= limit {
                return Ok(self.not_seen(&look.text, "screen", limit));
            }
            self.watch()?;
        }
        self.guest.awaited = None;
        if let Some(typed) = &look.typed {
            self.cx.note(format!("typed {} keys on the keyboard", typed.chars().count()));
            self.guest.press(typed);
            while self.guest.is_typing() {
                self.watch()?;
            }
        }
        Ok(Decision { verdict: Verdict::Passed, detail: None })
    }

    fn not_seen(&self, text: &str, place: &str, limit: Duration) -> Decision {
        let words = self.guest.words();
        let detail = format!("`{text}` was not on the {place} within {}{words}", seconds(limit));
        Decision::new(Verdict::TimedOut, detail)
    }
}

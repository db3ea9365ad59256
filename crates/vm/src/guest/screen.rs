//! The screen and the keyboard of a guest.

use std::time::{Duration, Instant};

use bootway_plan::{EventKind, Stream};

use super::Guest;
use crate::{VmError, command::SCREEN, keyboard, qmp::Request, screen};

/// How often the screen is looked at.
const LOOK: Duration = Duration::from_millis(150);

/// How long each key has for itself; QEMU holds it for 100 ms.
const KEY: Duration = Duration::from_millis(150);

impl Guest<'_> {
    /// Asks QEMU for what is due: the screen, a key.
    pub(super) fn ask(&mut self) {
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
    pub(super) fn look(&mut self) -> Result<(), VmError> {
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

    pub(super) fn awaits(&self, line: &str) -> bool {
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
}

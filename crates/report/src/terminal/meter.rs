//! How far a step has come, and how fast.

use bootway_plan::Unit;

use super::{Signs, Style, Tone, quantity};
use crate::text::{cut, span};

/// Columns of a bar: at most, and at least if there is to be one.
const BAR: usize = 24;
const LEAST_BAR: usize = 6;

/// The progress of one step.
#[derive(Clone, Debug)]
pub(super) struct Meter {
    /// When the count began, and at what.
    begun: (u64, u64),
    now: (u64, u64),
    total: Option<u64>,
    unit: Unit,
    said: u64,
}

impl Meter {
    /// A meter of a step that started at `since`.
    pub(super) const fn new(since: u64) -> Self {
        Self { begun: (since, 0), now: (since, 0), total: None, unit: Unit::Items, said: since }
    }

    /// Takes a count. When something else is counted than before, the rate starts anew.
    pub(super) fn add(&mut self, at: u64, done: u64, total: Option<u64>, unit: Unit) {
        if done < self.now.1 || unit != self.unit || total != self.total {
            self.begun =
                (if self.now.1 == 0 { self.begun.0 } else { at }, if self.now.1 == 0 { 0 } else { done });
        }
        self.now = (at, done);
        (self.total, self.unit) = (total, unit);
    }

    /// The progress as a plain line, if the last is at least `every` ms ago.
    pub(super) fn due(&mut self, at: u64, every: u64) -> Option<String> {
        let due = self.said + every <= at;
        if due {
            self.said = at;
        }
        due.then(|| match self.percent() {
            Some(percent) => format!("{percent} %, {}", self.text()),
            None => self.text(),
        })
    }

    /// The progress in at most `room` columns, with a bar if its end is known.
    pub(super) fn live(&self, style: &Style, signs: Signs, room: usize) -> String {
        let Some(percent) = self.percent() else { return cut(&self.text(), room) };
        let beside = |text: &str| room.saturating_sub(text.chars().count() + 2).min(BAR);
        let full = format!("{percent:>3} %  {}", self.text());
        // Where there is no room for a bar beside everything, the counts go before the rate does.
        let short = format!("{percent:>3} %  {}", self.pace().join(", "));
        let text = if beside(&full) >= LEAST_BAR { full } else { short };
        let bar = beside(&text);
        if bar < LEAST_BAR {
            return cut(&text, room);
        }
        let full = bar * percent as usize / 100;
        let (done, left) = (signs.show("━").repeat(full), signs.show("╌").repeat(bar - full));
        format!("{}{}  {text}", style.paint(Tone::Busy, &done), style.paint(Tone::Dim, &left))
    }

    fn percent(&self) -> Option<u64> {
        let total = self.total.filter(|total| *total > 0)?;
        Some((u128::from(self.now.1.min(total)) * 100 / u128::from(total)) as u64)
    }

    /// `120 MiB of 266 MiB, 31 MiB/s, 5.0 s left`.
    fn text(&self) -> String {
        let done = quantity(self.now.1, self.unit);
        let done =
            self.total.map_or(done.clone(), |total| format!("{done} of {}", quantity(total, self.unit)));
        [vec![done], self.pace()].concat().join(", ")
    }

    /// `31 MiB/s` and `5.0 s left`, as far as they are known.
    fn pace(&self) -> Vec<String> {
        let (ms, done) = (self.now.0.saturating_sub(self.begun.0), self.now.1.saturating_sub(self.begun.1));
        // Less than half a second says nothing about a rate.
        if ms < 500 || done == 0 {
            return Vec::new();
        }
        let mut pace = Vec::new();
        let rate = u128::from(done) * 1000 / u128::from(ms);
        if rate > 0 {
            pace.push(format!("{}/s", quantity(rate as u64, self.unit)));
        }
        if let Some(left) = self.total.map(|total| total.saturating_sub(self.now.1)).filter(|left| *left > 0)
        {
            pace.push(format!(
                "{} left",
                span((u128::from(left) * u128::from(ms) / u128::from(done)) as u64)
            ));
        }
        pace
    }
}

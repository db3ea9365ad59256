//! How many bytes of store paths have been copied, and how many are expected, out of what Nix says.
//!
//! A path that comes from somewhere is an activity of type 100, a file that is fetched one of type 101; both count
//! their bytes (result 105), and whoever plans them says how many there will be (result 106). Paths are counted as
//! they are written, so nothing is counted twice when a path comes as a compressed file; files are counted by
//! themselves only where no path is copied.

use std::collections::BTreeMap;

/// Activities that are remembered at once.
const ACTIVITIES: usize = 100_000;

/// Bytes of one kind of activity.
#[derive(Debug, Default)]
pub(super) struct Moved {
    /// Of activities that have stopped: done, and expected by them.
    past: (u64, u64),
    /// Of those that run, by id.
    now: BTreeMap<u64, (u64, u64)>,
    /// What was announced, by who announced it.
    announced: BTreeMap<u64, u64>,
}

impl Moved {
    pub(super) fn start(&mut self, id: u64) {
        if self.now.len() < ACTIVITIES {
            self.now.insert(id, (0, 0));
        }
    }

    /// Takes a count, if it is of one of these activities.
    pub(super) fn count(&mut self, id: u64, done: u64, expected: u64) -> bool {
        match self.now.get_mut(&id) {
            Some(counts) => *counts = (done, expected),
            None => return false,
        }
        true
    }

    /// Takes what `id` says that there will be; whether it is remembered.
    pub(super) fn announce(&mut self, id: u64, bytes: u64) -> bool {
        let room = self.announced.len() < ACTIVITIES;
        if room {
            self.announced.insert(id, bytes);
        }
        room
    }

    pub(super) fn stop(&mut self, id: u64) {
        if let Some((done, expected)) = self.now.remove(&id) {
            self.past = (self.past.0.saturating_add(done), self.past.1.saturating_add(expected));
        }
    }

    /// Done, and expected: what was announced may be more than has begun. `None` as long as nothing is known.
    pub(super) fn sum(&self) -> Option<(u64, u64)> {
        let sum =
            |of: fn(&(u64, u64)) -> u64, past| self.now.values().map(of).fold(past, u64::saturating_add);
        let (done, begun) = (sum(|it| it.0, self.past.0), sum(|it| it.1, self.past.1));
        let announced = self.announced.values().copied().fold(0, u64::saturating_add);
        let expected = begun.max(announced).max(done);
        (expected > 0).then_some((done, expected))
    }
}

//! How far a step has come, said not too often.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bootway_exec::Cx;
use bootway_plan::{EventKind, Unit};

/// At most five events a second.
const PAUSE: Duration = Duration::from_millis(200);

/// Counts what is done and emits it from time to time; shared by threads.
pub(crate) struct Progress<'a> {
    cx: &'a Cx<'a>,
    total: u64,
    unit: Unit,
    done: AtomicU64,
    said: Mutex<Instant>,
}

impl<'a> Progress<'a> {
    /// Counts bytes up to `total`.
    pub(crate) fn bytes(cx: &'a Cx<'a>, total: u64) -> Self {
        Self { cx, total, unit: Unit::Bytes, done: AtomicU64::new(0), said: Mutex::new(Instant::now()) }
    }

    /// `more` is done.
    pub(crate) fn add(&self, more: u64) {
        self.say(self.done.fetch_add(more, Ordering::Relaxed) + more);
    }

    /// So much is done in all, at least.
    pub(crate) fn reached(&self, done: u64) {
        self.say(self.done.fetch_max(done, Ordering::Relaxed).max(done));
    }

    fn say(&self, done: u64) {
        // Somebody else is just saying it: that is as good.
        let Ok(mut said) = self.said.try_lock() else { return };
        if said.elapsed() >= PAUSE {
            *said = Instant::now();
            (self.cx.emit)(EventKind::Progress { done, total: Some(self.total), unit: self.unit });
        }
    }
}

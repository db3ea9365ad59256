//! How far a step has come, said a few times a second.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use bootway_exec::Cx;
use bootway_plan::{EventKind, Unit};

/// Five times a second is as often as a person can read.
const PAUSE: Duration = Duration::from_millis(200);

/// Counts bytes from several threads and emits their sum.
pub(crate) struct Meter<'a> {
    cx: &'a Cx<'a>,
    state: Mutex<State>,
}

struct State {
    done: u64,
    total: Option<u64>,
    said: Instant,
}

impl<'a> Meter<'a> {
    /// Counts to `total` bytes, if that is known.
    pub(crate) fn new(cx: &'a Cx<'a>, total: Option<u64>) -> Self {
        Self { cx, state: Mutex::new(State { done: 0, total, said: Instant::now() }) }
    }

    /// Says what the total is.
    pub(crate) fn expect(&self, total: Option<u64>) {
        self.state.lock().expect("nothing panics while it is held").total = total;
    }

    /// Takes back `bytes` that were counted and have to come once more.
    pub(crate) fn forget(&self, bytes: u64) {
        let mut state = self.state.lock().expect("nothing panics while it is held");
        state.done = state.done.saturating_sub(bytes);
    }

    /// Counts `bytes` more.
    pub(crate) fn add(&self, bytes: u64) {
        let mut state = self.state.lock().expect("nothing panics while it is held");
        state.done += bytes;
        if state.said.elapsed() >= PAUSE {
            state.said = Instant::now();
            let State { done, total, .. } = *state;
            drop(state);
            (self.cx.emit)(EventKind::Progress { done, total, unit: Unit::Bytes });
        }
    }
}

//! Work on many things at once, and how far it has come.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bootway_exec::Cx;
use bootway_plan::{EventKind, Unit};

/// At most five events a second.
const PAUSE: Duration = Duration::from_millis(200);

/// What `work` makes of each of `items`, in their order, by several threads.
pub(super) fn each<T: Sync, R: Send>(threads: usize, items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let run = || {
        let mut done = Vec::new();
        while let Some((at, item)) =
            Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|at| items.get(at).map(|item| (at, item)))
        {
            done.push((at, work(item)));
        }
        done
    };
    let mut done: Vec<(usize, R)> = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads.min(items.len())).map(|_| scope.spawn(run)).collect();
        let mut done = run();
        done.extend(others.into_iter().flat_map(|it| it.join().expect("no work panics")));
        done
    });
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

/// Counts bytes up to a total and says so from time to time; shared by threads.
pub(super) struct Progress<'a> {
    cx: &'a Cx<'a>,
    total: u64,
    done: AtomicU64,
    said: Mutex<Instant>,
}

impl<'a> Progress<'a> {
    pub(super) fn new(cx: &'a Cx<'a>, total: u64) -> Self {
        Self { cx, total, done: AtomicU64::new(0), said: Mutex::new(Instant::now()) }
    }

    pub(super) fn add(&self, more: u64) {
        let done = self.done.fetch_add(more, Ordering::Relaxed) + more;
        // Somebody else is just saying it: that is as good.
        let Ok(mut said) = self.said.try_lock() else { return };
        if said.elapsed() >= PAUSE {
            *said = Instant::now();
            (self.cx.emit)(EventKind::Progress { done, total: Some(self.total), unit: Unit::Bytes });
        }
    }
}

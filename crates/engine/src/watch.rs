//! A running step, seen from outside: how long it runs, what it said last, whether its time is up.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use bootway_exec::Cancel;
use bootway_plan::{EventKind, Millis, Step, Verdict};

/// A running step as others see it.
#[derive(Debug)]
pub(crate) struct Watch {
    /// Stops this step, alone or with the run.
    pub(crate) cancel: Cancel,
    /// How long it may be silent.
    pub(crate) warn: Duration,
    begun: Instant,
    limit: Option<Duration>,
    heard: Mutex<Heard>,
    checks_passed: AtomicU32,
    told: Mutex<Vec<EventKind>>,
    not_run: Mutex<Option<String>>,
    over: AtomicBool,
}

#[derive(Debug)]
struct Heard {
    at: Instant,
    warned: Instant,
    last: Option<String>,
}

/// How long a step may be silent unless it says otherwise.
const SILENT_WARN: Duration = Duration::from_mins(1);

impl Watch {
    /// Of a step that begins `now`.
    pub(crate) fn new(cancel: &Cancel, step: &Step, now: Instant) -> Self {
        Self {
            cancel: cancel.child(),
            begun: now,
            limit: step.common.limit.map(Millis::duration),
            warn: step.common.silent_warn.map_or(SILENT_WARN, Millis::duration),
            heard: Mutex::new(Heard { at: now, warned: now, last: None }),
            checks_passed: AtomicU32::new(0),
            told: Mutex::default(),
            not_run: Mutex::default(),
            over: false.into(),
        }
    }

    /// Takes note of what the step says.
    pub(crate) fn hear(&self, kind: &EventKind) {
        let mut heard = self.heard.lock().expect("nobody panics with it");
        let now = Instant::now();
        heard.warned = now;
        match kind {
            EventKind::Heartbeat { .. } => return,
            EventKind::Line { text, .. } => heard.last = Some(text.clone()),
            EventKind::Check { verdict: Verdict::Passed, .. } => {
                self.checks_passed.fetch_add(1, Ordering::Relaxed);
            }
            EventKind::Check { verdict: Verdict::NotRun, name, detail, .. } => {
                let why = detail.as_deref().unwrap_or("it does not say why");
                let mut first = self.not_run.lock().expect("nobody panics with it");
                first.get_or_insert_with(|| format!("check `{name}` did not run: {why}"));
            }
            EventKind::Finding(_) | EventKind::Layout(_) | EventKind::Kept(_) => {
                self.told.lock().expect("nobody panics with it").push(kind.clone());
            }
            _ => (),
        }
        heard.at = now;
    }

    /// Forgets what an attempt that failed has found out.
    pub(crate) fn begin(&self) {
        self.checks_passed.store(0, Ordering::Relaxed);
        self.told.lock().expect("nobody panics with it").clear();
        self.not_run.lock().expect("nobody panics with it").take();
    }

    /// The first check that did not run in this attempt, and why.
    pub(crate) fn not_run(&self) -> Option<String> {
        self.not_run.lock().expect("nobody panics with it").clone()
    }

    /// How many checks have passed in this attempt.
    pub(crate) fn checks_passed(&self) -> u32 {
        self.checks_passed.load(Ordering::Relaxed)
    }

    /// What it found out in this attempt about what it read and made.
    pub(crate) fn told(&self) -> Vec<EventKind> {
        self.told.lock().expect("nobody panics with it").clone()
    }

    /// The limit, if it was the limit that stopped the step.
    pub(crate) fn over(&self) -> Option<Millis> {
        let limit = self.limit.filter(|_| self.over.load(Ordering::Relaxed))?;
        Some(Millis::new(limit.as_millis() as u64))
    }

    /// How long it runs, how long it has been silent and its last line, if a heartbeat is due.
    pub(crate) fn silence(&self) -> Option<(Duration, Duration, Option<String>)> {
        let mut heard = self.heard.lock().expect("nobody panics with it");
        if heard.warned.elapsed() < self.warn {
            return None;
        }
        heard.warned = Instant::now();
        Some((self.begun.elapsed(), heard.at.elapsed(), heard.last.clone()))
    }

    /// Stops the step if it has run for longer than it may.
    pub(crate) fn check_limit(&self) {
        if self.limit.is_some_and(|limit| self.begun.elapsed() > limit) {
            self.over.store(true, Ordering::Relaxed);
            self.cancel.cancel();
        }
    }
}

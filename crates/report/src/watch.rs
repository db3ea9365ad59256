//! From the stream of events to everyone who wants to know.

use std::{
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use bootway_plan::{Event, EventKind, Failure};

use crate::Report;

/// Something that wants to know each event as it happens.
///
/// A sink that fails is told nothing more, and the others hear of it: a full disk or a closed pipe does not end a
/// build.
pub trait Sink: Send {
    /// Takes one event.
    fn event(&mut self, event: &Event) -> Result<(), Failure>;

    /// Time has passed without an event; `at_ms` is since the run started.
    fn tick(&mut self, at_ms: u64) -> Result<(), Failure> {
        let _ = at_ms;
        Ok(())
    }

    /// Nothing follows.
    fn end(&mut self) -> Result<(), Failure> {
        Ok(())
    }
}

/// How long nothing may happen before there is a tick: a clock with tenths of a second looks alive.
const TICK: Duration = Duration::from_millis(100);

/// Sinks that may borrow from whoever watches.
type Sinks<'a> = Vec<Box<dyn Sink + 'a>>;

/// Does `run`, telling every sink what it emits, from any thread, and returns the report too.
///
/// Events reach the sinks in the order they were emitted, on one other thread, so a slow terminal never slows the
/// build down.
pub fn watch<'a, T>(
    sinks: Vec<Box<dyn Sink + 'a>>,
    run: impl FnOnce(&(dyn Fn(Event) + Sync)) -> T,
) -> (T, Report) {
    let (sender, events) = channel();
    thread::scope(|scope| {
        let listener = scope.spawn(move || listen(sinks, &events));
        // The listener outlives the run, so sending cannot fail; moved here, the sender also goes when `run` panics.
        let emit = move |event| sender.send(event).unwrap_or_default();
        let result = run(&emit);
        drop(emit);
        (result, listener.join().expect("sinks do not panic"))
    })
}

fn listen(mut sinks: Sinks<'_>, events: &Receiver<Event>) -> Report {
    let mut report = Report::default();
    // The run's clock, as far as it is known here.
    let (mut said, mut heard) = (0, Instant::now());
    loop {
        match events.recv_timeout(TICK) {
            Ok(event) => {
                (said, heard) = (event.at_ms, Instant::now());
                report.add(&event);
                tell(&mut sinks, &mut report, said, |sink| sink.event(&event));
            }
            Err(RecvTimeoutError::Timeout) => {
                let at_ms = said + heard.elapsed().as_millis() as u64;
                tell(&mut sinks, &mut report, said, |sink| sink.tick(at_ms));
            }
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    tell(&mut sinks, &mut report, said, |sink| sink.end());
    report
}

/// Tells every sink, and lets those go that fail: that they did is a fact too.
fn tell(
    sinks: &mut Sinks<'_>,
    report: &mut Report,
    at_ms: u64,
    say: impl Fn(&mut dyn Sink) -> Result<(), Failure>,
) {
    let mut lost = Vec::new();
    sinks.retain_mut(|sink| say(&mut **sink).map_err(|failure| lost.push(failure)).is_ok());
    while let Some(failure) = lost.pop() {
        let note = Event::of_run(at_ms, EventKind::Note { text: failure.chain.join(": ") });
        report.add(&note);
        sinks.retain_mut(|sink| sink.event(&note).map_err(|failure| lost.push(failure)).is_ok());
    }
}

//! How far it has come: one live line on a terminal, a line every few seconds elsewhere, on standard error.

use std::{
    collections::VecDeque,
    sync::{Mutex, mpsc},
    time::{Duration, Instant},
};

use bootway_plan::Bytes;
use bootway_report::{Style, span};

use crate::style;

/// Before this, nobody waits.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two drawings of the live line.
const FRAME: Duration = Duration::from_millis(100);
/// Between two plain lines.
const PLAIN: Duration = Duration::from_secs(5);
/// The rate is that of the last so many frames.
const FRAMES: usize = 50;
/// Columns of the bar: at most, and at least if there is to be one.
const BAR: usize = 24;
const LEAST_BAR: usize = 6;

/// What is being done, and how much of it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Files were found.
    Scan { files: u64 },
    /// Bytes of content are dealt with, of a total if it is known, and became bytes of an image.
    Pack { done: u64, total: Option<u64>, written: u64 },
    /// Bytes of content were read from an image.
    Read { done: u64, total: Option<u64> },
}

/// Runs `work`, and shows what it tells of itself unless `quiet`.
pub(crate) fn watched<T>(style: &Style, quiet: bool, work: impl FnOnce(&(dyn Fn(Stage) + Sync)) -> T) -> T {
    if quiet {
        return work(&|_| ());
    }
    let stage = Mutex::new(Stage::Scan { files: 0 });
    let tell = |now: Stage| {
        if let Ok(mut stage) = stage.lock() {
            *stage = now;
        }
    };
    std::thread::scope(|scope| {
        // The watcher ends when this end of the channel is dropped, also when `work` panics.
        let (_working, ended) = mpsc::channel::<()>();
        let stage = &stage;
        scope.spawn(move || {
            let mut line = Line::new(style);
            while ended.recv_timeout(FRAME) == Err(mpsc::RecvTimeoutError::Timeout) {
                if let Ok(stage) = stage.lock().map(|stage| *stage) {
                    line.tick(stage);
                }
            }
            line.clear();
        });
        work(&tell)
    })
}

/// The line and what it has to remember.
struct Line<'a> {
    style: &'a Style,
    begun: Instant,
    said: Instant,
    drawn: bool,
    /// When how much was done, the oldest first.
    past: VecDeque<(Duration, u64)>,
}

impl<'a> Line<'a> {
    fn new(style: &'a Style) -> Self {
        let now = Instant::now();
        Self { style, begun: now, said: now, drawn: false, past: VecDeque::new() }
    }

    #[expect(clippy::print_stderr, reason = "the command line is where progress is told")]
    fn tick(&mut self, stage: Stage) {
        let at = self.begun.elapsed();
        self.remember(at, stage);
        if at < PATIENCE {
            return;
        }
        if self.style.live {
            let text = self.live(stage);
            eprint!("\r\x1b[K\x1b[?7l{text}\x1b[?7h");
            self.drawn = true;
        } else if self.said.elapsed() >= PLAIN {
            self.said = Instant::now();
            let percent = percent(stage).map_or_else(String::new, |percent| format!("{percent} %, "));
            style::say(&format!(
                "[{:>5}.{}s] {percent}{}",
                at.as_secs(),
                at.subsec_millis() / 100,
                self.text(stage)
            ));
        }
    }

    #[expect(clippy::print_stderr, reason = "the command line is where progress is told")]
    fn clear(&mut self) {
        if self.drawn {
            eprint!("\r\x1b[K");
        }
    }

    /// Keeps what the rate is made of; what is counted anew begins anew.
    fn remember(&mut self, at: Duration, stage: Stage) {
        let done = match stage {
            Stage::Scan { .. } => return,
            Stage::Pack { done, .. } | Stage::Read { done, .. } => done,
        };
        if self.past.back().is_some_and(|(_, before)| *before > done) {
            self.past.clear();
        }
        if self.past.len() == FRAMES {
            self.past.pop_front();
        }
        self.past.push_back((at, done));
    }

    /// Bytes per second of late; nothing can be said about less than half a second.
    fn rate(&self) -> Option<u64> {
        let ((began, had), (now, has)) = (self.past.front()?, self.past.back()?);
        let ms = now.saturating_sub(*began).as_millis();
        let rate = u128::from(has.saturating_sub(*had)) * 1000 / ms.max(1);
        (ms >= 500 && rate > 0).then(|| u64::try_from(rate).unwrap_or(u64::MAX))
    }

    /// `351 MiB of 757 MiB, 48 MiB/s, to 31 %, 8.2 s left`.
    fn text(&self, stage: Stage) -> String {
        let (done, total, written) = match stage {
            Stage::Scan { files } => return format!("{files} files found"),
            Stage::Pack { done, total, written } => (done, total, Some(written)),
            Stage::Read { done, total } => (done, total, None),
        };
        let human = |n: u64| Bytes::new(n).human();
        let mut parts = vec![match total {
            Some(total) => format!("{} of {}", human(done), human(total)),
            None => human(done),
        }];
        let rate = self.rate();
        parts.extend(rate.map(|rate| format!("{}/s", human(rate))));
        let ratio = written.filter(|_| done > 0).map(|written| u128::from(written) * 100 / u128::from(done));
        parts.extend(ratio.map(|ratio| format!("to {ratio} %")));
        if let (Some(total), Some(rate)) = (total, rate)
            && total > done
        {
            let ms = u128::from(total - done) * 1000 / u128::from(rate);
            parts.push(format!("{} left", span(u64::try_from(ms).unwrap_or(u64::MAX))));
        }
        parts.join(", ")
    }

    /// The same with a bar, as wide as the terminal at most.
    fn live(&self, stage: Stage) -> String {
        let width = self.style.width.saturating_sub(1);
        let text = self.text(stage);
        let Some(percent) = percent(stage) else { return cut(&text, width) };
        let text = format!("{percent:>3} %  {text}");
        let bar = width.saturating_sub(text.chars().count() + 2).min(BAR);
        if bar < LEAST_BAR {
            return cut(&text, width);
        }
        let full = bar * percent as usize / 100;
        let (done, left) = ("━".repeat(full), "╌".repeat(bar - full));
        if self.style.colour {
            format!("\x1b[36m{done}\x1b[0m\x1b[2m{left}\x1b[0m  {text}")
        } else {
            format!("{done}{left}  {text}")
        }
    }
}

fn percent(stage: Stage) -> Option<u64> {
    let (done, total) = match stage {
        Stage::Scan { .. } => return None,
        Stage::Pack { done, total, .. } | Stage::Read { done, total } => (done, total?),
    };
    (total > 0).then(|| (u128::from(done.min(total)) * 100 / u128::from(total)) as u64)
}

fn cut(text: &str, width: usize) -> String {
    text.chars().take(width).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn line(style: &Style) -> Line<'_> {
        let mut line = Line::new(style);
        for tick in 0..20 {
            let stage =
                Stage::Pack { done: tick * 10 * MIB, total: Some(757 * MIB), written: tick * 3 * MIB };
            line.remember(Duration::from_millis(tick * 200), stage);
        }
        line
    }

    #[test]
    fn a_line_says_how_far_how_fast_how_small_and_how_long() {
        let stage = Stage::Pack { done: 190 * MIB, total: Some(757 * MIB), written: 57 * MIB };
        let wide = Style::PLAIN;
        insta::assert_snapshot!(line(&wide).live(stage), @"━━━━━━╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌   25 %  190 MiB of 757 MiB, 50 MiB/s, to 30 %, 11.3 s left");
        let narrow = Style { width: 70, ..Style::PLAIN };
        insta::assert_snapshot!(line(&narrow).live(stage), @"━━╌╌╌╌╌╌╌╌   25 %  190 MiB of 757 MiB, 50 MiB/s, to 30 %, 11.3 s left");
        let tiny = Style { width: 40, ..Style::PLAIN };
        insta::assert_snapshot!(line(&tiny).live(stage), @" 25 %  190 MiB of 757 MiB, 50 MiB/s, to");
    }

    #[test]
    fn without_a_total_there_is_no_bar() {
        let style = Style::PLAIN;
        insta::assert_snapshot!(line(&style).live(Stage::Pack { done: 200 * MIB, total: None, written: 60 * MIB }), @"200 MiB, 50 MiB/s, to 30 %");
        insta::assert_snapshot!(line(&style).live(Stage::Scan { files: 12_345 }), @"12345 files found");
    }
}

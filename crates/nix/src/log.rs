//! What Nix says while it works: its `--log-format internal-json`, a line at a time.
//!
//! A line is `@nix ` and a JSON object with an `action`: `start` and `stop` of an activity, a `result` of one, or a
//! message. The numbers are those of `src/libutil/logging.hh`, the same from Nix 2.8 to 2.34 and in Lix. An activity
//! that stops does not say how it ended, and a builder may print messages in Nix's name (`msg` in its own output is
//! passed on), so nothing that is read here decides whether something was built: exit codes and the store do.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use serde::Deserialize;
use serde_json::Value;

mod moved;

use moved::Moved;

/// Lines kept of what a derivation printed last.
const TAIL_LINES: usize = 40;

/// Bytes kept of one line.
const LINE_BYTES: usize = 4096;

/// Error messages kept.
const ERRORS: usize = 64;

/// Bytes kept of one message; an evaluation trace is long.
const MESSAGE_BYTES: usize = 64 * 1024;

/// Derivations that are remembered; no build has as many, and a log that claims more is not believed.
const DERIVATIONS: usize = 100_000;

/// Everything that a stream of lines has said so far, as far as it is needed later.
#[derive(Debug, Default)]
pub(crate) struct Log {
    activities: BTreeMap<u64, Activity>,
    builds: BTreeMap<String, BuildLog>,
    errors: Vec<String>,
    /// Store paths that come from somewhere.
    copied: Moved,
    /// Files that come from somewhere.
    fetched: Moved,
}

/// What was heard of the build of one derivation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct BuildLog {
    /// What it printed last.
    pub(crate) tail: VecDeque<String>,
    /// Lines that it printed before those.
    pub(crate) cut: usize,
    /// The phase it was in, if it has said so.
    pub(crate) phase: Option<String>,
    /// When it was heard of last; the log has no times of its own.
    pub(crate) heard: Option<Instant>,
    /// How long it had been silent when Nix let go of it; `None` as long as it is built.
    pub(crate) silent: Option<Duration>,
}

/// Activities that mean something to us; others are not remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Activity {
    /// All builds together: type 104.
    Builds,
    /// One build: type 105.
    Build(String),
    /// Another process builds the same, or holds what is needed: type 111.
    Waiting,
}

/// One fact out of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// A builder printed a line.
    Line {
        /// Its derivation.
        drv: String,
        /// The line.
        text: String,
    },
    /// Nix, or something that it started, says something worth reading.
    Message(String),
    /// A build began.
    Building {
        /// Its derivation.
        drv: String,
        /// The machine it runs on; empty for this one.
        machine: String,
    },
    /// A build came to a phase.
    Phase {
        /// Its derivation.
        drv: String,
        /// The phase.
        phase: String,
    },
    /// How many builds are done.
    Progress {
        /// Done.
        done: u64,
        /// Of this many, as far as is known by now.
        expected: u64,
        /// Running.
        running: u64,
    },
    /// How many bytes have been copied or fetched.
    Bytes {
        /// Done.
        done: u64,
        /// Of this many, as far as is known by now.
        expected: u64,
    },
    /// Something is fetched and not built.
    Fetching(String),
    /// Nix waits for a lock.
    Waiting(String),
}

impl Told {
    /// What a person would have read; `None` for mere counting.
    pub(crate) fn text(&self) -> Option<String> {
        Some(match self {
            Self::Line { text, .. } | Self::Message(text) | Self::Fetching(text) | Self::Waiting(text) => {
                text.clone()
            }
            Self::Building { drv, machine } if machine.is_empty() => format!("building {}", name_of(drv)),
            Self::Building { drv, machine } => format!("building {} on {machine}", name_of(drv)),
            Self::Phase { drv, phase } => format!("{} is in {phase}", name_of(drv)),
            Self::Progress { .. } | Self::Bytes { .. } => return None,
        })
    }
}

#[derive(Deserialize)]
struct Line {
    action: String,
    #[serde(default)]
    id: u64,
    #[serde(default, rename = "type")]
    kind: u64,
    #[serde(default)]
    level: u64,
    #[serde(default)]
    text: String,
    #[serde(default)]
    msg: String,
    #[serde(default)]
    fields: Vec<Value>,
}

impl Line {
    fn text(&self, n: usize) -> Option<String> {
        self.fields.get(n)?.as_str().map(str::to_owned)
    }

    fn number(&self, n: usize) -> Option<u64> {
        self.fields.get(n)?.as_u64()
    }
}

impl Log {
    /// Takes one line of standard error.
    pub(crate) fn hear(&mut self, line: &str) -> Option<Told> {
        let parsed = line.strip_prefix("@nix ").and_then(|json| serde_json::from_str::<Line>(json).ok());
        let Some(line) = parsed else {
            // From `git`, `ssh` or a hook, or from a builder that imitates us badly.
            return Some(plain(line, LINE_BYTES)).filter(|text| !text.trim().is_empty()).map(Told::Message);
        };
        match line.action.as_str() {
            "start" => self.start(&line),
            "stop" => {
                self.stop(line.id);
                None
            }
            "result" => self.result(&line),
            "msg" => self.message(&line),
            _ => None,
        }
    }

    fn start(&mut self, line: &Line) -> Option<Told> {
        match line.kind {
            104 => {
                self.activities.insert(line.id, Activity::Builds);
                None
            }
            100 => {
                self.copied.start(line.id);
                None
            }
            // What is known about paths is fetched, too, and is not worth counting.
            101 if !line
                .text(0)
                .is_some_and(|uri| uri.ends_with(".narinfo") || uri.ends_with("nix-cache-info")) =>
            {
                self.fetched.start(line.id);
                None
            }
            105 if self.builds.len() < DERIVATIONS => {
                let drv = line.text(0)?;
                self.activities.insert(line.id, Activity::Build(drv.clone()));
                let heard = Some(Instant::now());
                self.builds.insert(drv.clone(), BuildLog { heard, ..BuildLog::default() });
                Some(Told::Building { drv, machine: line.text(1).unwrap_or_default() })
            }
            108 => {
                let path = line.text(0)?;
                let from = line.text(1).unwrap_or_default();
                Some(Told::Fetching(format!("fetching {} from {from}", name_of(&path))))
            }
            111 => {
                self.activities.insert(line.id, Activity::Waiting);
                Some(Told::Waiting(plain(&line.text, LINE_BYTES)))
            }
            // Without a type: that something is looked at or copied; only what is worth a line for a person.
            0 if line.level <= 3 && !line.text.is_empty() => {
                Some(Told::Message(plain(&line.text, LINE_BYTES)))
            }
            _ => None,
        }
    }

    fn stop(&mut self, id: u64) {
        self.copied.stop(id);
        self.fetched.stop(id);
        if let Some(Activity::Build(drv)) = self.activities.remove(&id)
            && let Some(build) = self.builds.get_mut(&drv)
        {
            build.silent = build.heard.map(|heard| heard.elapsed());
        }
    }

    /// Takes what is said about bytes; whether it was about them.
    fn moved(&mut self, line: &Line) -> bool {
        let (Some(first), Some(second)) = (line.number(0), line.number(1)) else { return false };
        match (line.kind, first) {
            (105, _) => {
                self.copied.count(line.id, first, second) || self.fetched.count(line.id, first, second)
            }
            (106, 100) => self.copied.announce(line.id, second),
            (106, 101) => self.fetched.announce(line.id, second),
            _ => false,
        }
    }

    fn result(&mut self, line: &Line) -> Option<Told> {
        if self.moved(line) {
            let (done, expected) = self.copied.sum().or_else(|| self.fetched.sum())?;
            return Some(Told::Bytes { done, expected });
        }
        let activity = self.activities.get(&line.id)?;
        match (line.kind, activity) {
            (101 | 107, Activity::Build(drv)) => {
                let (drv, text) = (drv.clone(), plain(&line.text(0)?, LINE_BYTES));
                let build = self.builds.get_mut(&drv)?;
                build.push(text.clone());
                Some(Told::Line { drv, text })
            }
            (104, Activity::Build(drv)) => {
                let (drv, phase) = (drv.clone(), plain(&line.text(0)?, 100));
                self.builds.get_mut(&drv)?.phase = Some(phase.clone());
                Some(Told::Phase { drv, phase })
            }
            (105, Activity::Builds) => Some(Told::Progress {
                done: line.number(0)?,
                expected: line.number(1)?,
                running: line.number(2)?,
            }),
            _ => None,
        }
    }

    fn message(&mut self, line: &Line) -> Option<Told> {
        let text = plain_lines(&line.msg);
        if line.level == 0 && self.errors.len() < ERRORS {
            self.errors.push(text.clone());
        }
        let shown = line.level <= 3 && !text.trim().is_empty();
        shown.then_some(Told::Message(text))
    }

    /// What was said at the level of errors, without `error:`. Builders can say such things, too.
    pub(crate) fn errors(&self) -> impl Iterator<Item = &str> {
        self.errors.iter().map(|text| text.trim().strip_prefix("error:").unwrap_or(text).trim())
    }

    /// What was heard of each build that began, by derivation.
    pub(crate) const fn builds(&self) -> &BTreeMap<String, BuildLog> {
        &self.builds
    }
}

impl BuildLog {
    fn push(&mut self, line: String) {
        self.heard = Some(Instant::now());
        if self.tail.len() == TAIL_LINES {
            self.tail.pop_front();
            self.cut += 1;
        }
        self.tail.push_back(line);
    }
}

/// The name of a derivation or store path: without the directory, the hash, and `.drv`.
pub(crate) fn name_of(path: &str) -> &str {
    let base = path.rsplit('/').next().unwrap_or(path);
    let base = base.strip_suffix(".drv").unwrap_or(base);
    match base.split_once('-') {
        Some((hash, name)) if hash.len() == 32 => name,
        _ => base,
    }
}

/// One line as a terminal would show it in the end: without escape sequences and what a carriage return overwrote.
fn plain(text: &str, limit: usize) -> String {
    let text = text.trim_end_matches(['\r', '\n']);
    let shown = without_escapes(text.rsplit('\r').next().unwrap_or(text));
    cut(shown.replace(|c: char| c.is_control() && c != '\t', " "), limit)
}

fn plain_lines(text: &str) -> String {
    let lines: Vec<String> = text.split('\n').map(|line| plain(line, LINE_BYTES)).collect();
    cut(lines.join("\n"), MESSAGE_BYTES)
}

fn cut(mut text: String, limit: usize) -> String {
    if text.len() > limit {
        text.truncate(text.floor_char_boundary(limit));
        text.push('…');
    }
    text
}

/// Leaves out escape sequences: `ESC [` … final byte (ECMA-48), `ESC ]` … BEL, and `ESC` with one more character.
fn without_escapes(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\u{1b}' {
            shown.push(c);
            continue;
        }
        match chars.next() {
            Some('[') => {
                let _ = chars.by_ref().find(|c| ('\u{40}'..='\u{7e}').contains(c));
            }
            Some(']') => {
                let _ = chars.by_ref().find(|c| *c == '\u{7}');
            }
            _ => (),
        }
    }
    shown
}

#[cfg(test)]
mod tests;

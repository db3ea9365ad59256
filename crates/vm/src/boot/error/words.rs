//! What a guest, and what runs it, said last: the words of errors.

use std::{fmt, time::Duration};

use bootway_plan::step::Arch;
use thiserror::Error;

/// What QEMU printed before it ended.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct Said(pub(crate) String);

/// What a guest said last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LastWords {
    /// The last line of its console.
    pub line: Option<String>,
    /// The last row of its screen.
    pub(crate) screen: Option<String>,
    /// What its console says about its state.
    pub(crate) diagnosis: Option<&'static str>,
}

impl fmt::Display for LastWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(meaning) = self.diagnosis {
            write!(f, "; {meaning}")?;
        }
        match (&self.line, &self.screen) {
            (Some(line), None) => write!(f, "; its console said last: `{}`", brief(line.trim())),
            (None, Some(row)) => write!(f, "; its console said nothing; its screen shows `{}`", row.trim()),
            (Some(line), Some(row)) => {
                write!(
                    f,
                    "; its console said last: `{}`; its screen shows `{}`",
                    brief(line.trim()),
                    row.trim()
                )
            }
            (None, None) => f.write_str("; its console said nothing"),
        }
    }
}

/// Text for one line of a message.
pub(crate) fn brief(text: &str) -> String {
    /// About three lines of a terminal.
    const LIMIT: usize = 240;
    if text.chars().count() <= LIMIT {
        return text.to_owned();
    }
    let begin: String = text.chars().take(LIMIT).collect();
    format!("{begin}…")
}

/// `8.2 s`, or `60 s` without a fraction.
pub(crate) fn seconds(span: Duration) -> String {
    if span.subsec_millis() == 0 {
        format!("{} s", span.as_secs())
    } else {
        format!("{:.1} s", span.as_secs_f64())
    }
}

/// A QEMU that does not like its options needs no second.
pub(super) fn when(after: Duration) -> String {
    if after < Duration::from_secs(1) { "at once".to_owned() } else { format!("after {}", seconds(after)) }
}

pub(super) const fn of_arch(arch: Arch) -> &'static str {
    match arch {
        Arch::X8664 => "",
        Arch::Aarch64 => " and 64-bit ARM",
    }
}

pub(super) fn because(reason: Option<&str>) -> String {
    reason.map_or_else(String::new, |reason| format!(" ({reason})"))
}

pub(super) fn others(more: usize) -> String {
    match more {
        0 => String::new(),
        more => format!(", and {more} more did not pass"),
    }
}

/// What usually is the matter when Linux panics with `line`.
pub(super) fn panic_hint(line: &str) -> Option<&'static str> {
    let known = [
        (
            "nable to mount root fs",
            "`root=` of the kernel's command line names no file system that the kernel can read",
        ),
        (
            "No working init",
            "the root file system has no `/init` or `/sbin/init` that runs: is its interpreter there?",
        ),
        (
            "Attempted to kill init",
            "process 1 of the guest, its `/init` or `/sbin/init`, ended: it must never do so",
        ),
        // Linux counts ticks for 60 ms, in which a busy host may have given QEMU no time to make any.
        (
            "IO-APIC + timer doesn't work",
            "this host was too busy for the guest's timer: run fewer guests at once, or add `no_timer_check` to the \
             kernel's command line",
        ),
    ];
    known.into_iter().find(|(sign, _)| line.contains(sign)).map(|(_, hint)| hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_has_a_hint_if_its_cause_is_known() {
        let line = "Kernel panic - not syncing: IO-APIC + timer doesn't work!  Boot with apic=debug and send a report.";
        insta::assert_snapshot!(panic_hint(line).unwrap(), @"this host was too busy for the guest's timer: run fewer guests at once, or add `no_timer_check` to the kernel's command line");
        assert_eq!(panic_hint("Kernel panic - not syncing: sysrq triggered crash"), None);
    }
}

//! How this terminal wants to be talked to, and the few facts that only a front end may ask for.

use std::io::IsTerminal as _;

use bootway_report::{Style, Verbosity};
use clap::ValueEnum;

/// When to use colour.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum When {
    /// On a terminal, unless `NO_COLOR` is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// How to talk to standard error.
pub(crate) fn terminal(color: When, verbose: bool) -> Style {
    let set = |name: &str| std::env::var(name).is_ok_and(|value| !value.is_empty());
    let is_terminal = std::io::stderr().is_terminal();
    let colour = match color {
        When::Always => true,
        When::Never => false,
        When::Auto => is_terminal && !set("NO_COLOR") && std::env::var("TERM").is_ok_and(|it| it != "dumb"),
    };
    let width = bootway_report::terminal_width(std::io::stderr());
    Style {
        colour,
        width: width.filter(|width| *width >= 40).unwrap_or(100),
        live: is_terminal && !set("CI") && std::env::var("TERM").is_ok_and(|it| it != "dumb"),
        verbosity: if verbose { Verbosity::Verbose } else { Verbosity::Normal },
    }
}

/// Says a line to the person at the terminal.
#[expect(clippy::print_stderr, reason = "the command line is where things are said")]
pub(crate) fn say(line: &str) {
    eprintln!("{line}");
}

/// Seconds since 1970-01-01 UTC. Only for the names and heads of reports: nothing of it reaches an image.
#[expect(clippy::disallowed_methods, reason = "a run has a time; what it makes has not")]
pub(crate) fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |time| time.as_secs())
}

/// `20260131T235959Z`: a time that sorts, in a file name.
pub(crate) fn utc(seconds: u64) -> String {
    let (year, month, day) = bootway_report::civil(seconds);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

/// A time as RFC 3339 has it.
pub(crate) fn rfc3339(seconds: u64) -> String {
    let (year, month, day) = bootway_report::civil(seconds);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// The host in a line: distribution, architecture, processors.
pub(crate) fn host() -> String {
    let release = fs_err::read_to_string("/etc/os-release").unwrap_or_default();
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    let name = name.map_or_else(|| "Linux".to_owned(), |name| name.trim_matches('"').to_owned());
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let machine = rustix::system::uname().machine().to_string_lossy().into_owned();
    format!("{name}, {machine}, {processors} processors")
}

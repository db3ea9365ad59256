//! How a terminal may look.

use std::os::fd::AsFd;

/// How a terminal may look; the front end decides it from flags and environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Whether colours help.
    pub colour: bool,
    /// Columns.
    pub width: usize,
    /// Whether lines can be drawn over.
    pub live: bool,
    /// How much is told.
    pub verbosity: Verbosity,
}

/// How much is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verbosity {
    /// Only what is bad.
    Quiet,
    /// What happens.
    #[default]
    Normal,
    /// Also commands and everything they print.
    Verbose,
}

/// What a colour means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Good,
    Bad,
    Warn,
    Busy,
    Dim,
}

impl Style {
    /// For a file, a pipe or a log: no colours, no drawing.
    pub const PLAIN: Self = Self { colour: false, width: 100, live: false, verbosity: Verbosity::Normal };

    /// `text` in the colour of `tone`.
    pub(crate) fn paint(&self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Plain => return text.to_owned(),
            Tone::Good => "32",
            Tone::Bad => "1;31",
            Tone::Warn => "33",
            Tone::Busy => "36",
            Tone::Dim => "2",
        };
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Which signs can be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signs {
    Unicode,
    Ascii,
}

impl Signs {
    /// `sign`, or what stands for it in ASCII.
    pub(crate) fn show(self, sign: &str) -> &str {
        match sign {
            _ if self == Self::Unicode => sign,
            "✓" => "+",
            "✗" => "x",
            "↷" => ">",
            "▸" | "·" | "…" | "–" => "-",
            "│" => "|",
            "━" => "#",
            "╌" => ".",
            _ => sign,
        }
    }
}

/// Columns of the terminal behind `fd`; `None` if there is none.
pub fn terminal_width(fd: impl AsFd) -> Option<usize> {
    let columns = rustix::termios::tcgetwinsize(fd).ok()?.ws_col;
    (columns > 0).then_some(columns.into())
}

//! What comes back for one command.

use super::{Encoding, Kernel, Speech};
use crate::{ansi::Ansi, console::Console, watcher::Expect, watcher::find};

/// Finds one command's output and exit code in the text of a console.
#[derive(Debug)]
pub(crate) struct Frame {
    stage: Stage,
    encoding: Encoding,
    kernel: Kernel,
    begin: Expect,
    end: Vec<u8>,
    /// Output as it comes, until the end marker.
    raw: Vec<u8>,
    /// How much of it was decoded.
    decoded: usize,
    output: Vec<u8>,
    /// How much of it is not the command's, and what comes behind that.
    strange: usize,
    /// How much came before the command began.
    before: usize,
    /// How much of the output was shown.
    shown: usize,
    ansi: Ansi,
    console: Console,
    last: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// What was typed is shown.
    Echo,
    /// The command runs.
    Output,
}

/// What more text meant.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Lines of the command.
    pub(crate) lines: Vec<String>,
    /// Lines of the kernel.
    pub(crate) kernel: Vec<String>,
    /// How it ended, if it did.
    pub(crate) ended: Option<Ended>,
    /// What came behind its end.
    pub(crate) rest: Vec<u8>,
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// With all of its output.
    Exited {
        /// Standard output and error, in the order they were printed.
        output: Vec<u8>,
        /// The exit code.
        code: u8,
    },
    /// Its output cannot be read, and why.
    Unreadable(String),
}

/// More output than that is no check of an image.
const LIMIT: usize = 64 << 20;

/// Somebody who says that much between the lines of a command will not stop.
const FLOOD: usize = 64 << 10;

/// The same before a command has begun: a guest that boots may have much to say.
const FLOOD_BEFORE: usize = 1 << 20;

/// Room for the exit code behind the output: ` 255` and a newline.
const TRAILER: usize = 5;

impl Frame {
    /// For the command that was typed with `marker`.
    pub(crate) fn new(marker: &str, encoding: Encoding) -> Self {
        Self {
            stage: Stage::Echo,
            encoding,
            kernel: Kernel::new(if encoding == Encoding::Raw { Speech::None } else { Speech::Stamped }),
            begin: Expect::new(&format!("<{marker}\n")),
            end: format!("{marker}>").into_bytes(),
            raw: Vec::new(),
            decoded: 0,
            output: Vec::new(),
            strange: 0,
            before: 0,
            shown: 0,
            ansi: Ansi::default(),
            console: Console::default(),
            last: None,
        }
    }

    /// The last line that the command printed, so far.
    pub(crate) fn last_line(&self) -> Option<String> {
        let mut text = self.output[self.shown..].to_vec();
        if self.encoding != Encoding::Base64 {
            text.extend_from_slice(&self.raw[self.decoded..]);
        }
        let mut console = self.console.clone();
        let mut lines: Vec<_> = self.last.clone().into_iter().collect();
        lines.extend(console.push(&self.ansi.clone().push(&text)));
        lines.push(console.take());
        lines.into_iter().rfind(|line| !line.trim().is_empty())
    }

    /// Whether somebody else fills the console, so that no command gets through.
    pub(crate) const fn is_flooded(&self) -> bool {
        self.strange > FLOOD || self.before > FLOOD_BEFORE
    }

    /// Takes more text of the console.
    pub(crate) fn push(&mut self, text: &[u8]) -> Progress {
        let (kept, kernel) = self.kernel.cut(text);
        let mut progress = Progress { kernel, ..Progress::default() };
        match self.stage {
            Stage::Output => self.take(&kept, &mut progress),
            Stage::Echo => {
                self.before += kept.len();
                if let Some(after) = self.begin.push(&kept) {
                    self.before = 0;
                    self.begun(&kept[kept.len() - after..], &mut progress);
                }
            }
        }
        progress
    }

    /// The command runs; `text` is the first of its output.
    fn begun(&mut self, text: &[u8], progress: &mut Progress) {
        self.stage = Stage::Output;
        let held = self.kernel.take_held();
        self.kernel = Kernel::new(match self.encoding {
            Encoding::Base64 => Speech::Bracketed,
            Encoding::Plain => Speech::Stamped,
            Encoding::Raw => Speech::None,
        });
        let (kept, kernel) = self.kernel.cut(&[text, &held].concat());
        progress.kernel.extend(kernel);
        self.take(&kept, progress);
    }

    fn take(&mut self, text: &[u8], progress: &mut Progress) {
        let from = self.raw.len().saturating_sub(self.end.len());
        self.raw.extend_from_slice(text);
        let end = find(&self.raw[from..], &self.end).map(|at| from + at);
        if let Some(end) = end {
            progress.rest = self.raw.split_off(end + self.end.len());
            progress.rest.extend(self.kernel.take_held());
            self.raw.truncate(end);
        } else if self.raw.len() > LIMIT {
            progress.ended = Some(Ended::Unreadable(format!("it printed more than {} MiB", LIMIT >> 20)));
            return;
        }
        let readable = self.decode(end.is_some());
        if end.is_some() {
            progress.ended = Some(readable.map_or_else(Ended::Unreadable, |()| self.end()));
        }
        let ready = if end.is_some() { self.output.len() } else { self.output.len().saturating_sub(TRAILER) };
        if ready > self.shown {
            let text = self.ansi.push(&self.output[self.shown..ready]);
            progress.lines.extend(self.console.push(&text));
            self.shown = ready;
        }
        if end.is_some() && !self.console.unfinished().is_empty() {
            progress.lines.push(self.console.take());
        }
        if let Some(last) = progress.lines.iter().rfind(|line| !line.trim().is_empty()) {
            self.last = Some(last.clone());
        }
    }

    /// Decodes what is whole of the raw output; the end marker may still be at its end.
    fn decode(&mut self, all: bool) -> Result<(), String> {
        let until = if all { self.raw.len() } else { self.raw.len().saturating_sub(self.end.len()) };
        let until = until.max(self.decoded);
        match self.encoding {
            Encoding::Plain | Encoding::Raw => {
                self.output.extend_from_slice(&self.raw[self.decoded..until]);
                self.decoded = until;
            }
            Encoding::Base64 => {
                // By whole lines, which have whole groups of four.
                let ready = &self.raw[self.decoded..until];
                let whole = if all {
                    ready.len()
                } else {
                    ready.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1)
                };
                let ready = &self.raw[self.decoded..self.decoded + whole];
                match base64(ready) {
                    Some(bytes) => self.output.extend(bytes),
                    // Once more at the end, when it counts.
                    None if !all => {
                        self.strange = ready.len();
                        return Ok(());
                    }
                    None => {
                        let text = String::from_utf8_lossy(ready);
                        let text =
                            text.lines().find(|line| base64(line.as_bytes()).is_none()).unwrap_or_default();
                        return Err(format!(
                            "something else was printed on the console in between: `{text}`"
                        ));
                    }
                }
                self.decoded += whole;
            }
        }
        Ok(())
    }

    /// Output and exit code, which is behind it.
    fn end(&mut self) -> Ended {
        let missing = || Ended::Unreadable("its exit code is missing".to_owned());
        let Some(text) = self.output.strip_suffix(b"\n") else { return missing() };
        let Some(at) = text.iter().rposition(|byte| *byte == b' ') else { return missing() };
        let code = std::str::from_utf8(&text[at + 1..]).ok().and_then(|code| code.parse().ok());
        let Some(code) = code else { return missing() };
        self.output.truncate(at);
        Ended::Exited { output: self.output.clone(), code }
    }
}

/// Decodes base64 with line breaks and padding; `None` if it has anything else. Source: RFC 4648, section 4.
///
/// A terminal's echo of a control key, `^C`, is not meant.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count, mut padding) = (0_u32, 0, 0);
    let mut text = text.iter().filter(|byte| !b"\r\n".contains(byte));
    while let Some(byte) = text.next() {
        let value = match byte {
            b'^' => {
                text.next();
                continue;
            }
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => {
                padding += 1;
                continue;
            }
            _ => return None,
        };
        if padding > 0 {
            return None;
        }
        bits = bits << 6 | u32::from(value);
        count += 1;
        if count == 4 {
            bytes.extend_from_slice(&bits.to_be_bytes()[1..]);
            (bits, count) = (0, 0);
        }
    }
    match (count, padding) {
        (0, 0) => {}
        (2, 2) => bytes.push((bits >> 4) as u8),
        (3, 1) => bytes.extend_from_slice(&((bits >> 2) as u16).to_be_bytes()),
        _ => return None,
    }
    Some(bytes)
}

/// Bytes as lines of base64. Source: RFC 4648, section 4; lines as `base64(1)` has them.
pub(crate) fn to_base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    /// Bytes of a line of 76 digits.
    const LINE: usize = 57;
    let mut text = String::with_capacity(bytes.len() / 3 * 4 + bytes.len() / LINE + 8);
    for line in bytes.chunks(LINE) {
        for group in line.chunks(3) {
            let bits = group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte))
                << (8 * (3 - group.len()));
            for n in 0..4 {
                let digit = char::from(DIGITS[(bits >> (18 - 6 * n)) as usize & 63]);
                text.push(if n > group.len() { '=' } else { digit });
            }
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read_as_the_rfc_has_it() {
        for (text, bytes) in
            [("", ""), ("Zg==", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("^CZm9v\nYmFy\n", "foobar")]
        {
            assert_eq!(base64(text.as_bytes()), Some(bytes.into()));
        }
        for length in 0..200 {
            let bytes: Vec<u8> = (0..length).map(|n: u8| n.wrapping_mul(7) ^ 0xA5).collect();
            assert_eq!(base64(to_base64(&bytes).as_bytes()), Some(bytes));
        }
        for text in ["Z", "Zg", "Zg=", "Zg==Zg==", "Zm 9v", "Zm9v=", "random: crng"] {
            assert_eq!(base64(text.as_bytes()), None, "{text}");
        }
    }
}

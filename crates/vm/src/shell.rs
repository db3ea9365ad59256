//! A shell on a serial console: getting to it, and talking to it. Pure: text in, text out.
//!
//! A console shows what is typed, breaks long lines, and has the kernel talk in between. So a command's output comes
//! back as base64 between two markers that the guest computes: what is typed never looks like them, the kernel's lines
//! are recognised among base64 and taken out, and what remains is exact to the byte.

use bootway_plan::{Digest, step::Login};

use crate::watcher::find;

mod frame;
mod kernel;

pub(crate) use frame::{Ended, Frame, to_base64};
use kernel::{Kernel, Speech};

/// How a guest can send a command's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// Exactly.
    Base64,
    /// As the terminal shows it, as the guest has no `base64`.
    Plain,
    /// As it is, on a line that nobody else talks on and that changes nothing.
    Raw,
}

/// Names of ours in the guest's shell begin with this; lines of a console that have it are our own.
pub(crate) const OURS: &str = "_bw";

/// A marker that no other command of this guest has, without randomness.
pub(crate) fn marker(counter: u32, command: &str) -> String {
    format!("{OURS}{counter}-{}", Digest::of(command.as_bytes()).short())
}

/// What to do next to get to a shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Wait for more text.
    Wait,
    /// Type this.
    Type(String),
    /// A shell answered.
    Ready(Encoding),
    /// There will be no shell, and why.
    Refused(String),
}

/// The way from power-on to a shell that answers.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    login: Login,
    marker: String,
    kernel: Kernel,
    /// What was seen since something was typed, or since power-on.
    fresh: Vec<u8>,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nobody was asked anything.
    Boot,
    /// A shell without a prompt was asked already, and will answer when it is there.
    Asked,
    /// The name was given.
    Named,
    /// The password was given.
    Trusted,
}

/// A prompt is at the end of what was seen; more is kept only in case the guest talks on before it is wanted.
const FRESH_LIMIT: usize = 64 << 10;

impl Session {
    /// Begins at power-on; `counter` is new for each.
    pub(crate) fn new(login: &Login, counter: u32) -> Self {
        Self {
            login: login.clone(),
            marker: marker(counter, "session"),
            kernel: Kernel::new(Speech::Stamped),
            fresh: Vec::new(),
            stage: Stage::Boot,
        }
    }

    /// Begins with a shell that has no prompt and no terminal; returns what it is asked, too.
    pub(crate) fn direct(login: &Login, counter: u32) -> (Self, String) {
        let session = Self { stage: Stage::Asked, ..Self::new(login, counter) };
        let question = format!("{}\n", session.question());
        (session, question)
    }

    /// Takes text of the console.
    pub(crate) fn push(&mut self, text: &[u8]) {
        self.fresh.extend(self.kernel.cut(text).0);
        let excess = self.fresh.len().saturating_sub(FRESH_LIMIT);
        self.fresh.drain(..excess);
    }

    /// What to do, by all that was seen.
    pub(crate) fn next(&mut self) -> Next {
        for (answer, encoding) in [("base64", Encoding::Base64), ("plain", Encoding::Plain)] {
            if self.saw(&format!("<{} {answer}>", self.marker)) {
                return Next::Ready(encoding);
            }
        }
        if self.stage == Stage::Asked {
            return Next::Wait;
        }
        if self.stage != Stage::Boot && self.saw("Login incorrect") {
            return Next::Refused(format!("the guest refused the login of `{}`", self.login.user));
        }
        if self.stage == Stage::Named && self.saw("assword:") {
            let Some(password) = self.login.password.clone() else {
                return Next::Refused(format!(
                    "the guest asks for a password of `{}`: add `password` to the machine's `login`",
                    self.login.user
                ));
            };
            return self.type_line(&password, Stage::Trusted);
        }
        if let Some(prompt) = self.login.prompt.clone()
            && self.asks_for_a_name(&prompt)
        {
            let user = self.login.user.clone();
            return self.type_line(&user, Stage::Named);
        }
        if self.may_have_a_shell() && self.prompts(&self.login.shell) {
            return self.type_line(&self.question(), self.stage);
        }
        Next::Wait
    }

    /// What the shell answers, whichever it is; what is typed does not look like the answer.
    fn question(&self) -> String {
        format!(
            r#"_bwm={}; case "$(command -v base64)" in ?*) echo "<$_bwm base64>";; *) echo "<$_bwm plain>";; esac"#,
            self.marker
        )
    }

    fn type_line(&mut self, line: &str, stage: Stage) -> Next {
        self.stage = stage;
        self.fresh.clear();
        Next::Type(format!("{line}\n"))
    }

    /// Whatever is typed before that would be taken for a name. Behind a name there may be a shell without a password.
    fn may_have_a_shell(&self) -> bool {
        match self.stage {
            Stage::Boot => self.login.prompt.is_none(),
            Stage::Named | Stage::Trusted => true,
            Stage::Asked => false,
        }
    }

    /// Whether `prompt` was seen, and not as a part of `Last login: Sat Nov 21`, which greets who is in.
    fn asks_for_a_name(&self, prompt: &str) -> bool {
        let places = self.fresh.windows(prompt.len().max(1)).enumerate();
        let mut asked = places.filter(|(_, text)| *text == prompt.as_bytes());
        asked.any(|(at, _)| !self.fresh[..at].ends_with(b"Last "))
    }

    fn saw(&self, text: &str) -> bool {
        find(&self.fresh, text.as_bytes()).is_some()
    }

    /// Whether `prompt` is where a prompt is: at the end, or at the end of a line that somebody else ended.
    fn prompts(&self, prompt: &str) -> bool {
        self.fresh.ends_with(prompt.as_bytes()) || self.saw(&format!("{prompt}\n"))
    }
}

/// What is typed for `command`, one line after the other.
///
/// Lines are short, as line editors and terminals cut long ones, and have nothing but printable ASCII, as editors
/// react to the rest: a tab would be completed.
pub(crate) fn typed(command: &str, marker: &str, encoding: Encoding) -> String {
    // Each letter that is typed costs something: most commands are short, and are one chunk.
    let first = command.bytes().take_while(|byte| is_plain(*byte) && *byte != b'\'').take(CHUNK).count();
    let (first, rest) = command.split_at(first);
    let mut lines = format!("_bwm={marker}; _bwc='{first}'\n");
    let mut rest = rest.as_bytes();
    while let Some(first) = rest.first() {
        let plain = is_plain(*first);
        let length = rest.iter().take(CHUNK).take_while(|byte| is_plain(**byte) == plain).count();
        let (chunk, after) = rest.split_at(length);
        if plain {
            let text: String = chunk.iter().map(|byte| char::from(*byte)).collect();
            lines += &format!("_bwc=\"$_bwc\"'{}'\n", text.replace('\'', r"'\''"));
        } else {
            let octal: String = chunk.iter().map(|byte| format!(r"\{byte:03o}")).collect();
            // The point keeps newlines at the end, which a substitution would drop.
            lines += &format!("_bwc=\"$_bwc$(printf '{octal}.')\"; _bwc=\"${{_bwc%.}}\"\n");
        }
        rest = after;
    }
    // A subshell, so that `exit` ends the command only; an empty input, so that it cannot eat what is typed next.
    let run = r#"(eval "$_bwc"); echo " $?"; } 2>&1"#;
    // What a command printed is seen even if it has to be interrupted: only itself can be.
    let run = match encoding {
        Encoding::Base64 => format!("trap '' INT; : | {{ trap - INT; {run} | base64"),
        // What a program in the background prints belongs to its command, and to no other.
        Encoding::Raw => format!(": | {{ {run} | cat"),
        Encoding::Plain => format!("trap '' INT; : | {{ trap - INT; {run}"),
    };
    // All of it in a subshell: a command that kills its shell would else do so before the rest of its pipeline is there.
    lines + &format!("echo \"<$_bwm\"; ({run}; echo \"$_bwm>\")\n")
}

/// Ends the command that runs: Ctrl-C.
pub(crate) const INTERRUPT: &str = "\x03";

/// Bytes of a command in a line: with quotes and octal digits, a line has less than 255 bytes.
const CHUNK: usize = 40;

const fn is_plain(byte: u8) -> bool {
    matches!(byte, 0x20..=0x7E)
}

/// Asks for a reboot or power-off, by `verb`.
///
/// `poweroff` asks process 1 to do it. A shell that is process 1 does not listen, so there it is done directly; for
/// everybody else this would be pulling the plug.
pub(crate) fn ask_init(verb: &str) -> String {
    // Our own number, then the words of process 1, each with a space behind it.
    let who = r#"_bwi="$$ $(tr '\0' ' ' </proc/1/cmdline)""#;
    let how = r#"_bwf=; case "$_bwi" in "1 "*|*"sh "*) _bwf=-f;; esac"#;
    format!("{who}\n{how}\n{verb} $_bwf\n")
}

#[cfg(test)]
mod tests;

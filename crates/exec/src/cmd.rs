//! A program run, as a value.

use std::{collections::BTreeMap, fmt, time::Duration};

use camino::{Utf8Path, Utf8PathBuf};

use crate::Tool;

/// What a [`Cmd`] starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// A program that bootway knows.
    Tool(Tool),
    /// A program that the plan names.
    User(String),
}

impl Program {
    /// What is looked up on `PATH`, or a path.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Tool(tool) => tool.program(),
            Self::User(program) => program,
        }
    }
}

/// A program run: what would be typed into a shell, before anything happens.
///
/// Its `Display` is a line that can be pasted into a shell and does the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cmd {
    pub(crate) program: Program,
    pub(crate) args: Vec<String>,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) secrets: Vec<String>,
    pub(crate) dir: Option<Utf8PathBuf>,
    pub(crate) stdin: Stdin,
    pub(crate) limit: Duration,
    pub(crate) grace: Duration,
}

/// What a program reads from standard input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stdin {
    /// Nothing.
    Null,
    /// A file.
    File(Utf8PathBuf),
    /// What [`Process::write`](crate::Process::write) sends.
    Pipe,
}

/// Long enough for any tool that is not a build; builds say so themselves.
const DEFAULT_LIMIT: Duration = Duration::from_mins(10);

impl Cmd {
    /// Runs `tool` without arguments.
    pub fn new(tool: Tool) -> Self {
        Self::of(Program::Tool(tool))
    }

    /// Runs a program that the plan names, without arguments.
    pub fn user(program: impl Into<String>) -> Self {
        Self::of(Program::User(program.into()))
    }

    const fn of(program: Program) -> Self {
        Self {
            program,
            args: Vec::new(),
            env: BTreeMap::new(),
            secrets: Vec::new(),
            dir: None,
            stdin: Stdin::Null,
            limit: DEFAULT_LIMIT,
            grace: Duration::ZERO,
        }
    }

    /// Adds one argument, passed as it is.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments, each passed as it is.
    #[must_use]
    pub fn args<A: Into<String>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, key: &str, value: impl Into<String>) -> Self {
        self.env.insert(key.to_owned(), value.into());
        self
    }

    /// Text that is never shown: neither in this command's `Display` nor in what it prints.
    #[must_use]
    pub fn secret(mut self, text: impl Into<String>) -> Self {
        self.secrets.push(text.into());
        self
    }

    /// Reads standard input from `file`.
    #[must_use]
    pub fn stdin_file(mut self, file: &Utf8Path) -> Self {
        self.stdin = Stdin::File(file.to_owned());
        self
    }

    /// Reads from standard input what [`Process::write`](crate::Process::write) sends.
    #[must_use]
    pub fn stdin_pipe(mut self) -> Self {
        self.stdin = Stdin::Pipe;
        self
    }

    /// The same, started by another program, which is given the line of this one behind its own `args`.
    #[must_use]
    pub fn started_by(mut self, program: impl Into<String>, args: &[&str]) -> Self {
        let own = std::mem::replace(&mut self.program, Program::User(program.into()));
        let line = std::mem::take(&mut self.args);
        let before = args.iter().map(|arg| (*arg).to_owned()).chain([own.as_str().to_owned()]);
        self.args = before.chain(line).collect();
        self
    }

    /// The directory that it runs in, if that is not this process's.
    pub fn directory(&self) -> Option<&Utf8Path> {
        self.dir.as_deref()
    }

    /// Whether somebody is to write to its standard input.
    pub fn is_talked_to(&self) -> bool {
        self.stdin == Stdin::Pipe
    }

    pub(crate) fn stdin_exists(&self) -> bool {
        if let Stdin::File(file) = &self.stdin { file.exists() } else { true }
    }

    /// `text` with every secret of this command replaced.
    pub fn redact(&self, text: &str) -> String {
        let secrets = self.secrets.iter().filter(|secret| !secret.is_empty());
        secrets.fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), "[secret]"))
    }

    /// What it starts.
    pub const fn program(&self) -> &Program {
        &self.program
    }

    /// Runs in `dir` and not in the current directory.
    #[must_use]
    pub fn dir(mut self, dir: &Utf8Path) -> Self {
        self.dir = Some(dir.to_owned());
        self
    }

    /// Asks it to end (SIGTERM) when it must stop, and kills it only if it still runs `grace` later.
    #[must_use]
    pub const fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Stops it after `limit`.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }
}

impl fmt::Display for Cmd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = String::new();
        if let Some(dir) = &self.dir {
            line += &format!("cd {} && ", Quoted(dir.as_str()));
        }
        for (key, value) in &self.env {
            line += &format!("{key}={} ", Quoted(value));
        }
        line += &Quoted(self.program.as_str()).to_string();
        for arg in &self.args {
            line += &format!(" {}", Quoted(arg));
        }
        if let Stdin::File(file) = &self.stdin {
            line += &format!(" < {}", Quoted(file.as_str()));
        }
        f.write_str(&self.redact(&line))
    }
}

/// Text as one word of a POSIX shell.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./:=,+@%#".contains(&b);
        let comment = self.0.starts_with('#');
        if !self.0.is_empty() && !comment && self.0.bytes().all(plain) {
            f.write_str(self.0)
        } else {
            write!(f, "'{}'", self.0.replace('\'', r"'\''"))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Sandbox, SystemRunner, run};

    #[test]
    fn shows_what_to_paste() {
        let cmd = Cmd::new(Tool::Mke2fs)
            .args(["-L", "it's a label"])
            .arg("out.ext2")
            .env("SOURCE_DATE_EPOCH", "0")
            .dir("/scratch".into());
        insta::assert_snapshot!(cmd, @r"cd /scratch && SOURCE_DATE_EPOCH=0 mke2fs -L 'it'\''s a label' out.ext2");
    }

    #[test]
    fn who_starts_it_is_given_its_line() {
        let cmd = Cmd::new(Tool::Mke2fs).args(["-L", "a b"]).env("A", "b").dir("/scratch".into());
        insta::assert_snapshot!(cmd.started_by("/bin/nice", &["-n", "19"]), @"cd /scratch && A=b /bin/nice -n 19 mke2fs -L 'a b'");
    }

    #[test]
    fn secrets_are_not_shown() {
        let cmd = Cmd::user("sh").args(["-c", "echo hunter2"]).secret("hunter2");
        insta::assert_snapshot!(cmd, @"sh -c 'echo [secret]'");
        let runner = SystemRunner::default();
        let sandbox = Sandbox::new(&runner);
        run(&sandbox.cx(), &cmd).unwrap();
        insta::assert_snapshot!(sandbox.lines().join("\n"), @r"
        $ sh -c 'echo [secret]'
        [secret]
        ");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// A shell reads back exactly the arguments that were put in.
        #[test]
        fn a_shell_reads_it_back(args in proptest::collection::vec("[^\0]{0,12}", 0..4)) {
            let shown = Cmd::user("sh").args(&args).to_string();
            let script = format!(r#"for arg in{}; do printf '%s\0' "$arg"; done"#, &shown["sh".len()..]);
            let runner = SystemRunner::default();
            let sandbox = Sandbox::new(&runner);
            let printed = run(&sandbox.cx(), &Cmd::user("sh").args(["-c", &script])).unwrap().stdout;
            let expected: String = args.iter().map(|arg| format!("{arg}\0")).collect();
            prop_assert_eq!(printed, expected.into_bytes());
        }
    }
}

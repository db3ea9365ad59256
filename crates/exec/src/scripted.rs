//! The runner that plays back a script.

use std::{collections::VecDeque, fmt, io, sync::Mutex, time::Duration};

use bootway_plan::Stream;

use crate::{Cmd, Exit, Poll, Process, Runner, SpawnError, Tool};

/// Answers each program run with the next canned [`Reply`] for that program.
///
/// Its `Display` is the transcript: one line for every run that was asked for.
/// A run without a reply left ends with code 127, so that a forgotten reply
/// fails the test with the command line in the error.
#[derive(Debug, Default)]
pub struct ScriptedRunner {
    replies: Mutex<Vec<(String, Reply)>>,
    transcript: Mutex<Vec<String>>,
}

/// What a program is to print, and how it is to end.
#[derive(Clone, Debug)]
pub struct Reply {
    output: VecDeque<(Stream, Vec<u8>)>,
    exit: Exit,
    missing: bool,
}

impl Reply {
    /// Prints `stdout` and succeeds.
    pub fn ok(stdout: &str) -> Self {
        Self::exits(0).stdout(stdout)
    }

    /// Ends with `code`.
    pub fn exits(code: i32) -> Self {
        Self { output: VecDeque::new(), exit: Exit::Code(code), missing: false }
    }

    /// Is not installed.
    pub fn missing() -> Self {
        Self { missing: true, ..Self::exits(127) }
    }

    /// Is killed by a signal.
    pub fn killed() -> Self {
        Self { exit: Exit::Signal, ..Self::exits(0) }
    }

    /// Prints to standard output first.
    #[must_use]
    pub fn stdout(mut self, text: &str) -> Self {
        self.output.push_back((Stream::Stdout, text.into()));
        self
    }

    /// Prints to standard error first.
    #[must_use]
    pub fn stderr(mut self, text: &str) -> Self {
        self.output.push_back((Stream::Stderr, text.into()));
        self
    }
}

impl ScriptedRunner {
    /// Answers the next unanswered run of `tool` with `reply`.
    #[must_use]
    pub fn on(self, tool: Tool, reply: Reply) -> Self {
        self.on_program(tool.program(), reply)
    }

    /// Answers the next unanswered run of a program that the plan names.
    ///
    /// # Panics
    ///
    /// If a thread that used this runner panicked.
    #[must_use]
    pub fn on_program(self, program: &str, reply: Reply) -> Self {
        self.replies.lock().expect("no user panics").push((program.to_owned(), reply));
        self
    }
}

impl Runner for ScriptedRunner {
    fn spawn(&self, cmd: &Cmd) -> Result<Box<dyn Process>, SpawnError> {
        self.transcript.lock().expect("no user panics").push(cmd.to_string());
        let mut replies = self.replies.lock().expect("no user panics");
        let reply = match replies.iter().position(|(program, _)| program == cmd.program.as_str()) {
            Some(n) => replies.remove(n).1,
            None => Reply::exits(127).stderr("no reply was scripted for this run"),
        };
        if reply.missing {
            return Err(SpawnError::Missing { program: cmd.program.clone() });
        }
        Ok(Box::new(reply))
    }
}

impl Process for Reply {
    fn poll(&mut self, _: Duration) -> Poll {
        match self.output.pop_front() {
            Some((stream, bytes)) => Poll::Output(stream, bytes),
            None => Poll::Ended(self.exit),
        }
    }

    /// Accepts everything and reads nothing: a script answers whatever is said to it.
    fn write(&mut self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn kill(&mut self) {
        self.output.clear();
        self.exit = Exit::Signal;
    }
}

impl fmt::Display for ScriptedRunner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.transcript.lock().expect("no user panics").iter().try_for_each(|line| writeln!(f, "$ {line}"))
    }
}

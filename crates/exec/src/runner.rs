//! The boundary between describing a program run and having one.

use std::{fmt, io, time::Duration};

use bootway_plan::Stream;
use thiserror::Error;

use crate::{Cmd, Program, Tool};

/// Starts programs, or pretends to.
pub trait Runner: fmt::Debug + Sync {
    /// Starts `cmd`.
    fn spawn(&self, cmd: &Cmd) -> Result<Box<dyn Process>, SpawnError>;
}

/// A program that was started.
pub trait Process: fmt::Debug + Send {
    /// Waits up to `patience` for the next thing to happen.
    fn poll(&mut self, patience: Duration) -> Poll;

    /// Sends bytes to its standard input, which must be a pipe; does not wait until they are read.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Its number on this machine, if it has one.
    fn pid(&self) -> Option<u32> {
        None
    }

    /// Leaves it to somebody who looks after it when this is dropped, for a person who wants to look at it because of
    /// `why`; how to get at it then, or nothing if its runner leaves nothing to anybody.
    ///
    /// # Errors
    ///
    /// If who was to look after it does not.
    fn leave(&mut self, _why: &str) -> io::Result<Option<String>> {
        Ok(None)
    }

    /// From now on it is nobody's of ours: dropping this does not end it, and there is no record of it.
    fn let_go(&mut self) {}

    /// What it and everything it started have used so far.
    fn usage(&self) -> Usage {
        Usage::default()
    }

    /// Asks it to end.
    fn terminate(&mut self) {
        self.kill();
    }

    /// Ends it now, and everything it was going to print with it.
    fn kill(&mut self);
}

/// What a program did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Poll {
    /// Printed some bytes; they end anywhere.
    Output(Stream, Vec<u8>),
    /// Nothing, so far.
    Nothing,
    /// Ended, after all its output was seen.
    Ended(Exit),
}

/// What a program has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Processor time in milliseconds.
    pub cpu_ms: u64,
    /// Bytes written to files, pipes and sockets.
    pub written: u64,
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// With this code.
    Code(i32),
    /// By a signal: there is no code, and it is not a success.
    Signal,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exited with code {code}"),
            Self::Signal => f.write_str("was killed by a signal"),
        }
    }
}

/// A program could not be started.
#[derive(Debug, Error)]
pub enum SpawnError {
    /// It is not on `PATH`.
    #[error("`{}` is not on PATH", program.as_str())]
    Missing {
        /// The program.
        program: Program,
    },
    /// The operating system refused.
    #[error("cannot start `{}`", program.as_str())]
    Os {
        /// The program.
        program: Program,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl SpawnError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Missing { program: Program::Tool(tool) } => Some(Tool::hint(*tool)),
            Self::Missing { program: Program::User(name) } => {
                Some(format!("install `{name}`, or fix `argv` in the plan"))
            }
            Self::Os { .. } => None,
        }
    }
}

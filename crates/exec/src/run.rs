//! Running a program to its end.

use std::time::{Duration, Instant};

use bootway_plan::{Bytes, Class, EventKind, Explain, ProgramEnd, Stream};
use thiserror::Error;

use crate::{Cmd, Cx, Exit, Lines, Poll, SpawnError};

/// How often cancellation and the time limit are looked at.
const PATIENCE: Duration = Duration::from_millis(50);

/// What a program that succeeded printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Standard output, byte for byte.
    pub stdout: Vec<u8>,
}

/// How a program ended, well or badly, and what it printed on standard output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// How it ended.
    pub exit: Exit,
    /// Standard output, byte for byte.
    pub stdout: Vec<u8>,
}

/// Runs `cmd` to its end, emitting its lines as they come.
///
/// # Errors
///
/// Anything but exit code 0, a time limit or a cancellation that was hit, or a program that could not be started.
/// The program and everything it started have ended when this returns.
pub fn run(cx: &Cx<'_>, cmd: &Cmd) -> Result<Output, RunError> {
    let mut say = |stream, line: String| {
        (cx.emit)(EventKind::Line { stream, text: cmd.redact(&line) });
        Some(line)
    };
    match attend(cx, cmd, true, &mut say)? {
        Ended { exit: Exit::Code(0), stdout } => Ok(Output { stdout }),
        Ended { exit, .. } => Err(RunError::Failed { cmd: cmd.to_string(), exit }),
    }
}

/// Runs `cmd` to its end, with its standard error in the words of a program: each line goes to `hear`, which emits
/// what it means and returns what a person would have read, for heartbeats. Standard output is data and only kept.
///
/// # Errors
///
/// As [`run`], except that any exit code is an answer.
pub fn listen(
    cx: &Cx<'_>,
    cmd: &Cmd,
    hear: &mut dyn FnMut(String) -> Option<String>,
) -> Result<Ended, RunError> {
    attend(cx, cmd, false, &mut |_, line| hear(line))
}

fn attend(
    cx: &Cx<'_>,
    cmd: &Cmd,
    stdout_too: bool,
    hear: &mut dyn FnMut(Stream, String) -> Option<String>,
) -> Result<Ended, RunError> {
    (cx.emit)(EventKind::Command { line: cmd.to_string() });
    let started = Instant::now();
    let mut process = cx.runner.spawn(cmd)?;
    let limit = cx.limit.map_or(cmd.limit, |limit| limit.min(cmd.limit));
    let mut stdout = Vec::new();
    let (mut out_lines, mut err_lines) = (Lines::default(), Lines::default());
    let mut silence = Silence::new(started, cx.silent_warn);
    let exit = loop {
        if cx.cancel.is_cancelled() {
            stop(&mut *process, cmd.grace);
            return Err(RunError::Cancelled);
        }
        if limit <= started.elapsed() {
            stop(&mut *process, cmd.grace);
            return Err(RunError::TimedOut { cmd: cmd.to_string(), limit });
        }
        match process.poll(PATIENCE) {
            Poll::Output(stream, bytes) => {
                let lines = match stream {
                    Stream::Stdout if stdout_too => out_lines.push(&bytes),
                    Stream::Stdout => Vec::new(),
                    Stream::Stderr | Stream::Console => err_lines.push(&bytes),
                };
                for line in lines {
                    silence.heard(hear(stream, line));
                }
                if stream == Stream::Stdout {
                    stdout.extend(bytes);
                }
            }
            Poll::Nothing => {
                if let Some(heartbeat) = silence.heartbeat(&*process) {
                    (cx.emit)(heartbeat);
                }
            }
            Poll::Ended(exit) => break exit,
        }
    };
    process.kill(); // What it started and did not wait for must not outlive it.
    for (stream, lines) in [(Stream::Stdout, out_lines), (Stream::Stderr, err_lines)] {
        let last = lines.unfinished();
        if !last.is_empty() {
            hear(stream, last);
        }
    }
    Ok(Ended { exit, stdout })
}

/// Ends a program: asks it first if it has `grace` to clear up after itself.
fn stop(process: &mut dyn crate::Process, grace: Duration) {
    if !grace.is_zero() {
        process.terminate();
        let asked = Instant::now();
        while asked.elapsed() < grace && !matches!(process.poll(PATIENCE), Poll::Ended(_)) {}
    }
    process.kill();
}

/// How long a program has said nothing, and when to say so.
struct Silence {
    started: Instant,
    heard: Instant,
    warned: Instant,
    warn: Duration,
    last: Option<String>,
}

impl Silence {
    fn new(now: Instant, warn: Duration) -> Self {
        Self { started: now, heard: now, warned: now, warn, last: None }
    }

    fn heard(&mut self, line: Option<String>) {
        let Some(line) = line else { return };
        self.heard = Instant::now();
        self.warned = self.heard;
        if !line.trim().is_empty() {
            self.last = Some(line);
        }
    }

    /// A heartbeat, if one is due: once for every `warn` of silence.
    fn heartbeat(&mut self, process: &dyn crate::Process) -> Option<EventKind> {
        if self.warned.elapsed() < self.warn {
            return None;
        }
        self.warned = Instant::now();
        let usage = process.usage();
        let millis = |since: Instant| since.elapsed().as_millis() as u64;
        Some(EventKind::Heartbeat {
            running_ms: millis(self.started),
            silent_ms: millis(self.heard),
            cpu_ms: usage.cpu_ms,
            written: Bytes::new(usage.written),
            last: self.last.clone(),
        })
    }
}

/// A program did not run to a good end.
#[derive(Debug, Error)]
pub enum RunError {
    /// It never started.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// It ended badly.
    #[error("`{cmd}` {exit}")]
    Failed {
        /// The command line, ready to paste.
        cmd: String,
        /// How it ended.
        exit: Exit,
    },
    /// It took too long and was killed.
    #[error("`{cmd}` was still running after {:.1} s", limit.as_secs_f64())]
    TimedOut {
        /// The command line, ready to paste.
        cmd: String,
        /// The limit.
        limit: Duration,
    },
    /// Someone asked to stop.
    #[error("cancelled")]
    Cancelled,
}

impl Explain for RunError {
    fn program(&self) -> Option<ProgramEnd> {
        let Self::Failed { cmd, exit } = self else { return None };
        let code = if let Exit::Code(code) = exit { Some(*code) } else { None };
        Some(ProgramEnd { command: cmd.clone(), code, signal: None })
    }

    fn class(&self) -> Class {
        match self {
            Self::Spawn(_) => Class::Environment,
            Self::Failed { .. } | Self::TimedOut { .. } => Class::Step,
            Self::Cancelled => Class::Cancelled,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Spawn(error) => error.hint(),
            Self::TimedOut { .. } => {
                Some("raise the step's `limit`, or find out why it takes so long".to_owned())
            }
            Self::Failed { .. } | Self::Cancelled => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Reply, Runner, Sandbox, ScriptedRunner, SystemRunner};

    fn with(runner: &dyn Runner, cmd: &Cmd) -> (Result<Output, RunError>, Vec<EventKind>) {
        let sandbox = Sandbox::new(runner);
        let result = run(&sandbox.cx(), cmd);
        (result, sandbox.events())
    }

    fn sh(script: &str) -> Cmd {
        Cmd::user("sh").args(["-c", script])
    }

    #[test]
    fn both_runners_agree() {
        let scripted = ScriptedRunner::default().on_program("sh", Reply::exits(3).stdout("out"));
        let cmd = sh("echo out; exit 3");
        let (fake, fake_events) = with(&scripted, &cmd);
        let (real, real_events) = with(&SystemRunner::default(), &cmd);
        assert_eq!(fake_events, real_events);
        assert_eq!(fake.unwrap_err().to_string(), real.unwrap_err().to_string());
    }

    #[test]
    fn a_signal_is_not_a_success() {
        let (result, _) = with(&SystemRunner::default(), &sh("kill -9 $$"));
        assert!(matches!(result, Err(RunError::Failed { exit: Exit::Signal, .. })), "{result:?}");
    }

    #[test]
    fn stops_at_the_limit() {
        let (result, _) = with(&SystemRunner::default(), &sh("exec sleep 60").limit(PATIENCE));
        assert!(matches!(result, Err(RunError::TimedOut { .. })), "{result:?}");
    }

    /// Without the grace the program would not have got to say goodbye.
    #[test]
    fn a_program_with_grace_clears_up_before_it_ends() {
        let runner = SystemRunner::default();
        let sandbox = Sandbox::new(&runner);
        let (ready, gone) = (sandbox.root().join("ready"), sandbox.root().join("gone"));
        let script = format!("trap 'touch {gone}; exit 1' TERM; touch {ready}; while :; do sleep 0.01; done");
        let cmd = sh(&script).grace(Duration::from_secs(20));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !ready.exists() {
                    std::thread::yield_now();
                }
                sandbox.cancel.cancel();
            });
            let result = run(&sandbox.cx(), &cmd);
            assert!(matches!(result, Err(RunError::Cancelled)), "{result:?}");
        });
        assert!(gone.exists());
    }

    #[test]
    fn stops_when_asked() {
        let runner = SystemRunner::default();
        let sandbox = Sandbox::new(&runner);
        sandbox.cancel.cancel();
        let result = run(&sandbox.cx(), &sh("exec sleep 60"));
        assert!(matches!(result, Err(RunError::Cancelled)), "{result:?}");
    }

    /// A program that leaves something running must not hold us, nor outlive us.
    #[test]
    fn what_a_program_starts_ends_with_it() {
        let cmd = sh("sleep 61 >/dev/null 2>&1 & echo $!");
        let (result, _) = with(&SystemRunner::default(), &cmd);
        let pid: u32 = String::from_utf8(result.unwrap().stdout).unwrap().trim().parse().unwrap();
        let gone = || {
            let stat = fs_err::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['Z', 'X']))
        };
        let deadline = Instant::now() + Duration::from_secs(10);
        while !gone() && Instant::now() < deadline {
            std::thread::yield_now();
        }
        assert!(gone(), "the child of the child still runs");
    }

    /// A builder of Nix is in a session of its own.
    #[test]
    fn what_a_child_in_another_session_has_used_counts() {
        let runner = SystemRunner::default();
        let script = "setsid sh -c 'n=0; while [ $n -lt 300000 ]; do n=$((n + 1)); done; echo done; read line' <&0 & wait";
        let mut process = runner.spawn(&sh(script).stdin_pipe()).unwrap();
        let mut printed = Vec::new();
        while !printed.ends_with(b"done\n") {
            if let Poll::Output(_, bytes) = process.poll(PATIENCE) {
                printed.extend(bytes);
            }
        }
        assert!(process.usage().cpu_ms > 0);
        process.kill();
    }

    /// A pipe holds 64 KiB.
    #[test]
    fn who_writes_to_a_program_that_reads_nothing_does_not_wait() {
        let mut process = SystemRunner::default().spawn(&sh("exec sleep 1000").stdin_pipe()).unwrap();
        process.write(&vec![b'x'; 1 << 20]).unwrap();
        process.kill();
    }

    #[test]
    fn a_silent_program_has_a_heartbeat() {
        let runner = SystemRunner::default();
        let sandbox = Sandbox::new(&runner);
        let cx = Cx { silent_warn: Duration::from_millis(100), ..sandbox.cx() };
        run(&cx, &sh("echo begun; exec sleep 0.5")).unwrap();
        let last = sandbox.events().into_iter().find_map(|event| match event {
            EventKind::Heartbeat { last, .. } => Some(last),
            _ => None,
        });
        assert_eq!(last, Some(Some("begun".to_owned())));
    }
}

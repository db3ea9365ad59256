//! Who stands between bootway and the TPM of a guest that may have to be kept.
//!
//! A kept guest has a keeper, and that keeps QEMU alone; its TPM is a program of its own, that would die with bootway.

use std::{
    io::{self, Read as _, Write as _},
    sync::mpsc::{TryRecvError, channel},
    time::{Duration, Instant},
};

use bootway_exec::{Cancel, Cmd, Exit, Poll, Process, Runner as _, SystemRunner, Usage};
use bootway_plan::Stream;

use super::PATIENCE;

/// How often it is looked whether there is something to do.
const TICK: Duration = Duration::from_millis(20);

/// What is said to it so that it stays, and what it says then.
const STAY: &[u8] = b"stay\n";

/// Starts `cmd`, passes on what it says, and ends it when the process that started this one ends; unless that has said
/// otherwise on standard input: then it stays until it ends by itself. How it ended.
///
/// # Errors
///
/// If it could not be started.
pub fn nurse(cmd: &Cmd, cancel: &Cancel) -> io::Result<Exit> {
    let mut process = SystemRunner::default().spawn(cmd).map_err(io::Error::other)?;
    let (sender, told) = channel();
    std::thread::spawn(move || {
        let mut word = [0; STAY.len()];
        let _ = io::stdin().lock().read_exact(&mut word).map(|()| sender.send(word == STAY));
    });
    let mut stays = false;
    loop {
        match process.poll(TICK) {
            // Nobody may be there to hear it any more.
            Poll::Output(_, bytes) => drop(io::stderr().write_all(&bytes)),
            Poll::Nothing => {}
            Poll::Ended(exit) => return Ok(exit),
        }
        if !stays {
            match told.try_recv() {
                Ok(true) => {
                    rustix::process::set_parent_process_death_signal(None)?;
                    let mut stdout = io::stdout().lock();
                    let _ = stdout.write_all(STAY).and_then(|()| stdout.flush());
                    stays = true;
                }
                Err(TryRecvError::Empty) => {}
                Ok(false) | Err(TryRecvError::Disconnected) => return Ok(Exit::Signal),
            }
        }
        if cancel.is_cancelled() {
            return Ok(Exit::Signal);
        }
    }
}

/// A program with a nurse.
#[derive(Debug)]
pub(super) struct Nursed {
    pub(super) process: Box<dyn Process>,
    pub(super) is_left: bool,
}

impl Process for Nursed {
    fn poll(&mut self, patience: Duration) -> Poll {
        self.process.poll(patience)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.process.write(bytes)
    }

    fn pid(&self) -> Option<u32> {
        self.process.pid()
    }

    fn leave(&mut self, _why: &str) -> io::Result<Option<String>> {
        self.process.write(STAY)?;
        let (since, mut heard) = (Instant::now(), Vec::new());
        while !heard.ends_with(STAY) {
            match self.process.poll(TICK) {
                Poll::Output(Stream::Stdout, bytes) => heard.extend(bytes),
                Poll::Ended(exit) => return Err(io::Error::other(format!("it {exit}"))),
                _ if since.elapsed() >= PATIENCE => return Err(io::Error::other("it does not answer")),
                _ => {}
            }
        }
        self.process.let_go();
        self.is_left = true;
        Ok(Some("with its guest".to_owned()))
    }

    fn usage(&self) -> Usage {
        self.process.usage()
    }

    fn terminate(&mut self) {
        if !self.is_left {
            self.process.terminate();
        }
    }

    fn kill(&mut self) {
        if !self.is_left {
            self.process.kill();
        }
    }
}

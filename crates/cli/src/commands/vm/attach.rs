//! Between a terminal, or whatever standard input and output are, and a guest's serial console.

use std::{
    io::{self, ErrorKind, IsTerminal as _, Read as _, Write as _},
    os::unix::net::UnixStream,
    time::Duration,
};

use bootway_plan::{Class, Failure, exit_code};
use bootway_vm::Guests;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    termios::{OptionalActions, Termios, tcgetattr, tcsetattr},
};

use crate::{signals::Signals, style};

/// Ctrl-], which leaves.
const LEAVE: u8 = 0x1d;

/// A guest that says nothing for so long after the last word of a script has answered it.
const SILENCE: Duration = Duration::from_secs(1);

/// How often signals are looked at.
const TICK: Duration = Duration::from_millis(200);

/// Enters the console of the guest called `name`, or of the only one, until somebody leaves or the guest ends.
pub(super) fn attach(guests: &Guests, name: Option<&str>) -> Result<u8, Failure> {
    let guest = guests.find(name).map_err(|error| Failure::of(&error))?;
    let console = guests.console(&guest.name).map_err(|error| Failure::of(&error))?;
    let is_terminal = io::stdin().is_terminal();
    if is_terminal {
        style::say(&format!("at the console of {}; Ctrl-] leaves", guest.name));
    }
    let signals = Signals::listen();
    let raw = is_terminal.then(Raw::enter).transpose();
    let end = raw.and_then(|_raw| relay(&console, &signals));
    let end = end.map_err(|error| {
        Failure::new(Class::Environment, error.to_string()).because("cannot be at the console")
    })?;
    if is_terminal {
        let name = &guest.name;
        style::say(&match end {
            End::Left => {
                format!("\nleft {name}, which is kept: bootway vm attach {name}, bootway vm stop {name}")
            }
            End::Ended => format!("\n{name} has ended"),
        });
    }
    Ok(signals.exit_code(if signals.cancel().is_cancelled() {
        exit_code::INTERRUPTED
    } else {
        exit_code::DONE
    }))
}

/// Why nobody is at the console any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Somebody left.
    Left,
    /// The guest is gone.
    Ended,
}

/// A terminal that passes on every key as it is, until this is dropped.
struct Raw(Termios);

impl Raw {
    fn enter() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Now, &raw)?;
        Ok(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // A terminal that is gone needs it no more.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}

/// Passes on what is said on both sides.
fn relay(console: &UnixStream, signals: &Signals) -> io::Result<End> {
    let (mut typed, mut console) = (Some(io::stdin()), console);
    let mut buffer = [0; 8192];
    loop {
        if signals.cancel().is_cancelled() {
            return Ok(End::Left);
        }
        let wait = if typed.is_some() { TICK } else { SILENCE };
        let wait = Timespec::try_from(wait).expect("it is short");
        let mut fds = vec![PollFd::new(console, PollFlags::IN)];
        fds.extend(typed.iter().map(|stdin| PollFd::new(stdin, PollFlags::IN)));
        match poll(&mut fds, Some(&wait)) {
            Ok(0) if typed.is_none() => return Ok(End::Left),
            Err(error) if error != rustix::io::Errno::INTR => return Err(error.into()),
            Ok(0) | Err(_) => continue,
            Ok(_) => {}
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        if ready[0] {
            match console.read(&mut buffer) {
                Ok(0) => return Ok(End::Ended),
                Ok(n) => {
                    let mut stdout = io::stdout().lock();
                    stdout.write_all(&buffer[..n])?;
                    stdout.flush()?;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(End::Ended),
                Err(error) => return Err(error),
            }
        }
        if ready.get(1) == Some(&true) {
            let n = rustix::io::read(io::stdin(), &mut buffer)?;
            if n == 0 {
                typed = None;
            }
            let leaves = buffer[..n].iter().position(|byte| *byte == LEAVE);
            match console.write_all(&buffer[..leaves.unwrap_or(n)]) {
                Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(End::Ended),
                other => other?,
            }
            if leaves.is_some() {
                return Ok(End::Left);
            }
        }
    }
}

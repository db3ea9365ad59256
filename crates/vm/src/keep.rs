//! Guests that are kept for a person to look at, although whoever started them has ended.
//!
//! A QEMU that may have to be kept is started by a *keeper*, a process that passes on what QEMU says and is told, and
//! that dies with bootway like any other. Asked to keep the guest it stays behind: it moves the guest's directory to
//! where it can be found, serves the console on a socket, and ends the guest when somebody says so or its time is up.
//! See `docs/decisions/0018-a-kept-guest-has-a-keeper.md`.

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bootway_exec::{Cmd, Poll, Process, Program, Runner, SpawnError, SystemRunner, Tool, Usage};
use camino::{Utf8Path, Utf8PathBuf};

mod guests;
mod keeper;
mod nurse;
mod registry;
mod words;

pub use guests::{GuestError, Guests};
pub use keeper::keeper;
pub use nurse::nurse;
pub use registry::sweep;
pub use words::KeptGuest;

use crate::socket;
use nurse::Nursed;
use words::{Answer, Order, Request, ask};

/// A keeper answers at once, and a busy host is not a thousand times slower.
const PATIENCE: Duration = Duration::from_secs(20);

/// Starts QEMU so that the first guest of a run that is not good can be kept.
#[derive(Debug)]
pub struct KeepRunner {
    system: SystemRunner,
    keeper: Vec<String>,
    nurse: Vec<String>,
    prefix: String,
    shared: Arc<Shared>,
}

/// What the guests of a run share.
#[derive(Debug)]
struct Shared {
    guests: Guests,
    /// Where directories of kept guests go.
    places: Utf8PathBuf,
    limit: Duration,
    /// One is kept, or about to be.
    taken: AtomicBool,
    kept: Mutex<Option<KeptGuest>>,
}

impl KeepRunner {
    /// Starts programs as `system` does, QEMU by `keeper`, a command line that calls [`keeper()`] with what follows it, and
    /// its TPM by `nurse`, which calls [`nurse()`]. A guest is kept for `limit`, in the directory `places`, and its name begins with `prefix`.
    pub fn new(
        system: SystemRunner,
        [keeper, nurse]: [Vec<String>; 2],
        guests: Guests,
        places: Utf8PathBuf,
        prefix: &str,
        limit: Duration,
    ) -> Self {
        let shared = Shared { guests, places, limit, taken: AtomicBool::new(false), kept: Mutex::new(None) };
        Self { system, keeper, nurse, prefix: prefix.to_owned(), shared: Arc::new(shared) }
    }

    /// The guest that is kept, if one is.
    pub fn kept(&self) -> Option<KeptGuest> {
        self.shared.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What a guest in `dir` is called: the last two directories, which are those of its step and its test.
    fn name(&self, dir: &Utf8Path) -> String {
        let mut parts: Vec<&str> = dir.components().rev().take(2).map(|it| it.as_str()).collect();
        parts.reverse();
        if parts.first() == Some(&"scratch") {
            parts.remove(0);
        }
        format!("{}-{}", self.prefix, parts.join("-"))
    }
}

impl Runner for KeepRunner {
    fn spawn(&self, cmd: &Cmd) -> Result<Box<dyn Process>, SpawnError> {
        if let (Program::Tool(Tool::Swtpm), Some((program, args))) = (cmd.program(), self.nurse.split_first())
        {
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            let process = self.system.spawn(&cmd.clone().started_by(program, &args).stdin_pipe())?;
            return Ok(Box::new(Nursed { process, is_left: false }));
        }
        // A guest is somebody who is talked to, and has a place of its own.
        let (Some(dir), true, Some((program, args))) =
            (cmd.directory(), cmd.is_talked_to(), self.keeper.split_first())
        else {
            return self.system.spawn(cmd);
        };
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let process = self.system.spawn(&cmd.clone().started_by(program, &args))?;
        let (name, dir) = (self.name(dir), dir.to_owned());
        Ok(Box::new(Attended { process, name, dir, shared: Arc::clone(&self.shared), is_left: false }))
    }
}

/// A guest with a keeper.
#[derive(Debug)]
struct Attended {
    process: Box<dyn Process>,
    name: String,
    dir: Utf8PathBuf,
    shared: Arc<Shared>,
    is_left: bool,
}

impl Attended {
    fn ask_to_keep(&self, why: &str) -> io::Result<KeptGuest> {
        let order = Order {
            name: self.name.clone(),
            why: why.to_owned(),
            places: self.shared.places.clone(),
            registry: self.shared.guests.registry()?,
            seconds: self.shared.limit.as_secs(),
        };
        let stream = socket::reach(&socket::dir(&self.dir)?, words::CONTROL)?;
        match ask(stream, &Request::Keep(order), PATIENCE)? {
            Answer::Guest(guest) => Ok(guest),
            Answer::Refused(why) => Err(io::Error::other(why)),
            Answer::Stopped => Err(io::Error::other("its keeper has ended")),
        }
    }
}

impl Process for Attended {
    fn poll(&mut self, patience: Duration) -> Poll {
        self.process.poll(patience)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.process.write(bytes)
    }

    fn pid(&self) -> Option<u32> {
        self.process.pid()
    }

    fn leave(&mut self, why: &str) -> io::Result<Option<String>> {
        if self.shared.taken.swap(true, Ordering::Relaxed) {
            return Ok(None);
        }
        let guest =
            self.ask_to_keep(why).inspect_err(|_| self.shared.taken.store(false, Ordering::Relaxed))?;
        self.process.let_go();
        self.is_left = true;
        let said = guest.to_string();
        *self.shared.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(guest);
        Ok(Some(said))
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

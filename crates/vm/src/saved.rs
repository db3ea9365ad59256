//! A machine as it is when it is ready, kept so that others can go on from there.
//!
//! Its memory is a file that each copy maps for itself: what a copy writes is its own, and nothing is read that is not
//! needed, so a restore takes as long for a gigabyte as for a megabyte. Devices and processors are a state of some hundred
//! kilobytes. Disks are frozen, and each copy writes to a file of its own over them.
//!
//! The command line must be the same to the byte: with another `-cpu` QEMU takes the state without a word, and the guest
//! hangs. So what is kept is found by a key of everything that it depends on.

use std::{
    io::Read as _,
    os::fd::OwnedFd,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use bootway_exec::Cx;
use bootway_plan::{Digest, step::Arch};
use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use crate::{
    VmError, checks::Checks, command::Memory, guest::Guest, qmp::Request, setup::Setup, shell::Encoding,
    socket, stage, told, wake,
};

mod key;
mod shelf;

pub(crate) use key::Key;
use shelf::{Held, Partial, Shelf};
pub use shelf::{KeptMachine, kept_machines, remove_kept_machine};

/// Counts what makes a kept machine another one, if the command line does not show it: what is put into the guest, how
/// its shell is talked to, what is kept.
const RECIPE: u32 = 3;

/// What is kept, beside the disks.
const RAM: &str = "ram";
const STATE: &str = "state";
const FACTS: &str = "facts.json";

/// The socket that a state goes through.
const SOCKET: &str = "state.sock";

/// QEMU needs 30 ms, and a busy host is not a thousand times slower.
const PATIENCE: Duration = Duration::from_secs(30);

/// A guest that was restored answers within 0.2 s. One that was damaged may hang: it is not waited for as if it booted.
const ANSWER: Duration = Duration::from_secs(20);

/// How often somebody who waits for another looks.
const LOOK: Duration = Duration::from_millis(50);

/// A state has some hundred kilobytes.
const STATE_LIMIT: u64 = 256 << 20;

/// A machine that is kept, and that nobody takes away meanwhile.
#[derive(Debug)]
pub(crate) struct Saved {
    held: Held,
    facts: Facts,
    key: Key,
}

/// What must be known to go on from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Facts {
    /// Whether its shell has base64.
    base64: bool,
    /// Questions that its shell was asked.
    counter: u32,
    /// Where the program is that tells it the time.
    wake: String,
    /// Whether that program runs already, and waits for its message.
    asleep: bool,
    /// Milliseconds from power-on until it was ready.
    ready_ms: u64,
    /// Of the state.
    state: Digest,
    /// Bytes of the memory.
    ram: u64,
}

/// What there is for a key.
#[derive(Debug)]
pub(crate) enum Found {
    /// A machine.
    Saved(Saved),
    /// One that is to be made.
    Room(Keeping),
}

/// A machine that is kept under `key`, or room for it; what killed processes left there is removed. If somebody else is making it, it is waited for.
pub(crate) fn find(cx: &Cx<'_>, key: &Key, setup: &Setup) -> Result<Found, VmError> {
    let shelf = Shelf::new(cx.cache);
    let not_kept = |error: std::io::Error| VmError::NotKept { reason: error.to_string() };
    shelf.sweep();
    let look = || -> Result<Option<Saved>, VmError> {
        let Some(held) = shelf.hold(&key.digest).map_err(not_kept)? else { return Ok(None) };
        match facts(&held.dir, setup) {
            Ok(facts) => Ok(Some(Saved { held, facts, key: key.clone() })),
            Err(damage) => {
                cx.note(format!("the machine that was saved is damaged, and is made anew: {damage}"));
                held.forget();
                Ok(None)
            }
        }
    };
    let (began, mut waiting) = (Instant::now(), false);
    loop {
        if let Some(saved) = look()? {
            return Ok(Found::Saved(saved));
        }
        if let Some(partial) = shelf.make(&key.digest).map_err(not_kept)? {
            // Somebody may have kept it between two lines of this.
            return Ok(match look()? {
                Some(saved) => Found::Saved(saved),
                None => Found::Room(Keeping { partial, key: key.clone() }),
            });
        }
        if !std::mem::replace(&mut waiting, true) {
            cx.note("the same machine is being saved by somebody else, and is waited for");
        }
        std::thread::sleep(LOOK);
        if cx.cancel.is_cancelled() {
            return Err(VmError::Cancelled);
        }
        if let Some(limit) = cx.limit.filter(|limit| *limit <= began.elapsed()) {
            return Err(VmError::StepLimit { limit });
        }
    }
}

/// What is known of the machine in `dir`, or what is wrong with it.
fn facts(dir: &Utf8Path, setup: &Setup) -> Result<Facts, String> {
    let read = |name: &str| fs_err::read(dir.join(name)).map_err(|error| error.to_string());
    let facts: Facts =
        serde_json::from_slice(&read(FACTS)?).map_err(|error| format!("`{FACTS}`: {error}"))?;
    if Digest::of(&read(STATE)?) != facts.state {
        return Err(format!("`{STATE}` is not what was written"));
    }
    let size = fs_err::metadata(dir.join(RAM)).map_err(|error| error.to_string())?.len();
    if size != facts.ram {
        return Err(format!("`{RAM}` has {size} bytes, and had {}", facts.ram));
    }
    let names = stage::names(&setup.machine, &setup.media);
    match names.iter().find(|name| !dir.join(name).is_file()) {
        Some(name) => Err(format!("`{name}` is missing")),
        None => Ok(facts),
    }
}

impl Saved {
    /// Forgets it: it did not come to life.
    pub(crate) fn forget(&self) {
        self.held.forget();
    }

    /// Milliseconds from power-on until it was ready, when it was saved.
    pub(crate) const fn ready_ms(&self) -> u64 {
        self.facts.ready_ms
    }

    /// A copy that goes on, in the scratch directory of `cx`.
    pub(crate) fn restore<'a>(&self, cx: &'a Cx<'a>, setup: &'a Setup) -> Result<Checks<'a>, VmError> {
        let began = Instant::now();
        let dir = &self.held.dir;
        stage::restored(cx.scratch, &setup.machine, &setup.media, dir)?;
        let memory = Memory::Restored { file: &dir.join(RAM), sealed: self.key.version.maps_sealed_files() };
        let mut start = setup.beginning();
        start.restored = true;
        let mut guest = Guest::start(cx, &setup.command(memory, cx.scratch), start)?;
        guest.control(&Request::Load(SOCKET), PATIENCE)?;
        let state = fs_err::read(dir.join(STATE)).map_err(VmError::io(dir))?;
        send(cx.scratch, &state).map_err(VmError::io(cx.scratch))?;
        guest.migrated(PATIENCE)?;
        guest.forward(setup.forwards())?;
        guest.control(&Request::Start, PATIENCE)?;
        let encoding = if self.facts.base64 { Encoding::Base64 } else { Encoding::Plain };
        let mut checks = Checks::resumed(cx, guest, setup, encoding, self.facts.counter);
        wake_up(&mut checks, &self.facts)?;
        told::timing(cx, "restore", began.elapsed());
        Ok(checks)
    }
}

/// Room for a machine that is about to be kept.
#[derive(Debug)]
pub(crate) struct Keeping {
    partial: Partial,
    key: Key,
}

impl Keeping {
    /// Where its memory is.
    pub(crate) fn ram(&self) -> Utf8PathBuf {
        self.partial.dir.join(RAM)
    }

    /// Keeps the machine of `checks`, which has passed them all; it ends with that.
    pub(crate) fn keep(
        self,
        cx: &Cx<'_>,
        mut checks: Checks<'_>,
        setup: &Setup,
        ready: Duration,
    ) -> Result<Saved, VmError> {
        let wake = install(&mut checks, setup.machine.arch)?;
        let (encoding, counter) = checks.shell_state()?;
        let asleep = checks.fall_asleep(&wake, PATIENCE)?;
        checks.hang_up(); // The end that is on the host is not saved.
        let guest = checks.guest();
        let socket = socket::dir(cx.scratch).map_err(VmError::io(cx.scratch))?;
        let state = take(guest, &socket).map_err(|error| error.into_vm(cx.scratch))?;
        guest.quit(PATIENCE)?;
        let facts = Facts {
            base64: encoding == Encoding::Base64,
            counter,
            wake,
            asleep,
            ready_ms: ready.as_millis() as u64,
            state: Digest::of(&state),
            ram: fs_err::metadata(self.ram()).map_err(VmError::io(&self.ram()))?.len(),
        };
        let dir = self.partial.dir.clone();
        let names = stage::names(&setup.machine, &setup.media);
        self.write(cx.scratch, &state, &names, &facts).map_err(VmError::io(&dir))?;
        let held = self.partial.place().map_err(VmError::io(&dir))?;
        Ok(Saved { held, facts, key: self.key })
    }

    /// Writes what is not there yet, and the facts last.
    fn write(
        &self,
        scratch: &Utf8Path,
        state: &[u8],
        names: &[String],
        facts: &Facts,
    ) -> std::io::Result<()> {
        let dir = &self.partial.dir;
        fs_err::write(dir.join(STATE), state)?;
        for name in names {
            relocate(&scratch.join(name), &dir.join(name))?;
            seal(&dir.join(name))?;
        }
        if self.key.version.maps_sealed_files() {
            seal(&self.ram())?;
        }
        fs_err::write(dir.join(FACTS), serde_json::to_vec_pretty(facts)?)
    }
}

/// Nobody writes to what copies are made of.
fn seal(path: &Utf8Path) -> std::io::Result<()> {
    let mut mode = fs_err::metadata(path)?.permissions();
    mode.set_readonly(true);
    fs_err::set_permissions(path, mode)
}

/// Another file system may be in between.
fn relocate(from: &Utf8Path, to: &Utf8Path) -> std::io::Result<()> {
    match fs_err::rename(from, to) {
        Err(error) if error.kind() == std::io::ErrorKind::CrossesDevices => {
            fs_err::copy(from, to).map(|_| ())
        }
        done => done,
    }
}

enum TakeError {
    Io(std::io::Error),
    Vm(VmError),
}

impl TakeError {
    fn into_vm(self, path: &Utf8Path) -> VmError {
        match self {
            Self::Io(error) => VmError::io(path)(error),
            Self::Vm(error) => error,
        }
    }
}

/// The state of processors and devices, which stand still from then on.
fn take(guest: &mut Guest<'_>, dir: &OwnedFd) -> Result<Vec<u8>, TakeError> {
    let listener = socket::listen(dir, SOCKET).map_err(TakeError::Io)?;
    guest.control(&Request::Capabilities, PATIENCE).map_err(TakeError::Vm)?;
    let reader = std::thread::spawn(move || {
        let (stream, _) = listener.accept()?;
        let mut state = Vec::new();
        stream.take(STATE_LIMIT).read_to_end(&mut state)?;
        Ok(state)
    });
    let moved = guest.control(&Request::Save(SOCKET), PATIENCE).and_then(|_| guest.migrated(PATIENCE));
    if let Err(error) = moved {
        // Nobody may have come, and somebody waits.
        let _ = socket::connect(dir, SOCKET);
        let _ = reader.join();
        return Err(TakeError::Vm(error));
    }
    reader.join().expect("reading does not panic").map_err(TakeError::Io)
}

/// Sends a state to the QEMU in `scratch`, which waits for it.
fn send(scratch: &Utf8Path, state: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;
    let dir = socket::dir(scratch)?;
    let stream = socket::connect(&dir, SOCKET);
    let mut stream = stream.ok_or_else(|| std::io::Error::other("QEMU does not wait for a state"))?;
    stream.set_nonblocking(false)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(state)
}

/// Puts the program into the guest that it is woken up by.
fn install(checks: &mut Checks<'_>, arch: Arch) -> Result<String, VmError> {
    let said = "# a program that sets the clock and adds entropy";
    match checks
        .ask(&wake::install(arch), said, PATIENCE)?
        .answer("installing what wakes the guest up", PATIENCE)
    {
        Ok((path, 0)) => Ok(path),
        Ok((said, _)) => Err(VmError::NotKept {
            reason: format!("no program could be put into the guest that tells it the time: {said}"),
        }),
        Err(reason) => Err(VmError::NotKept { reason }),
    }
}

/// Tells a guest that was restored the time, and something that no other copy knows.
fn wake_up(checks: &mut Checks<'_>, facts: &Facts) -> Result<(), VmError> {
    let mut entropy = [0; wake::ENTROPY];
    rustix::rand::getrandom(&mut entropy, rustix::rand::GetRandomFlags::empty())
        .map_err(|error| VmError::io("/dev/urandom".into())(error.into()))?;
    let message = wake::message(now(), &entropy);
    let ended = if facts.asleep {
        let late = || format!("it did not answer within {}", crate::boot::seconds(ANSWER));
        checks.wake(&message, ANSWER)?.ok_or_else(late)
    } else {
        let asked = wake::run(&facts.wake, &message);
        let asked = checks.ask(&asked, "# the time, and entropy", ANSWER)?;
        asked.answer("waking the guest up", ANSWER).map(|(_, code)| code)
    };
    match ended {
        Ok(0) => Ok(()),
        Ok(code) => Err(VmError::NotKept { reason: wake::meaning(code).to_owned() }),
        Err(reason) => Err(VmError::NotKept { reason }),
    }
}

/// Sees to it that its shell answers. Whoever emulates a processor has translated by then what each command needs, so that
/// the next one takes a tenth of the time.
pub(crate) fn warm_up(checks: &mut Checks<'_>) -> Result<(), VmError> {
    let reason = match checks.ask("true", "true", ANSWER)?.answer("true", ANSWER) {
        Ok((_, 0)) => return Ok(()),
        Ok((_, code)) => format!("`true` exited with {code}"),
        Err(reason) => reason,
    };
    Err(VmError::NotKept { reason })
}

/// The time, for the clock of a guest.
#[expect(
    clippy::disallowed_methods,
    reason = "a guest's clock shows the time of day, and no image has it in it"
)]
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

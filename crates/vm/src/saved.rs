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

use bootway_exec::{Cmd, Cx, Tool, run};
use bootway_plan::{Digest, step};
use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use crate::{
    VmError, checks::Checks, command::Memory, guest::Guest, qmp::Request, setup::Setup, shell::Encoding,
    socket, stage, wake,
};

/// Counts what makes a kept machine another one, if the command line does not show it.
const RECIPE: u32 = 1;

/// What is kept, beside the disks.
const RAM: &str = "ram";
const STATE: &str = "state";
const FACTS: &str = "facts.json";

/// The socket that a state goes through.
const SOCKET: &str = "state.sock";

/// QEMU needs 30 ms, and a busy host is not a thousand times slower.
const PATIENCE: Duration = Duration::from_mins(1);

/// A state has some hundred kilobytes.
const STATE_LIMIT: u64 = 256 << 20;

/// A machine that is kept.
#[derive(Clone, Debug)]
pub(crate) struct Saved {
    dir: Utf8PathBuf,
    facts: Facts,
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
    /// Milliseconds from power-on until it was ready.
    ready_ms: u64,
    /// Of the state.
    state: Digest,
}

/// What a machine depends on, as a name.
pub(crate) fn key(cx: &Cx<'_>, step: &step::Vm, setup: &Setup) -> Result<Digest, VmError> {
    let version = run(cx, &Cmd::new(Tool::QemuX86).arg("--version"))?;
    let line = setup.command(Memory::Kept(Utf8Path::new(RAM)), Utf8Path::new("/")).to_string();
    let mut text = format!("{RECIPE}\n{}\n{line}\n", String::from_utf8_lossy(&version.stdout).trim());
    for source in step.ready_sources() {
        text += &format!("{source} {}\n", cx.input(source)?.digest);
    }
    if let Some(files) = &setup.host.firmware {
        for path in [&files.code, &files.vars] {
            text += &format!("{}\n", Digest::of(&fs_err::read(path).map_err(VmError::io(path))?));
        }
    }
    let checks = serde_json::to_string(&(&step.checks, &setup.machine.login)).expect("checks are plain data");
    Ok(Digest::of(format!("{text}{checks}").as_bytes()))
}

impl Saved {
    /// The one that was kept under `key`, if it is whole.
    pub(crate) fn find(cx: &Cx<'_>, key: &Digest, setup: &Setup) -> Option<Self> {
        let dir = place(cx, key);
        let facts: Facts = serde_json::from_slice(&fs_err::read(dir.join(FACTS)).ok()?).ok()?;
        let whole = Digest::of(&fs_err::read(dir.join(STATE)).ok()?) == facts.state
            && dir.join(RAM).is_file()
            && stage::names(&setup.machine, &setup.media).iter().all(|name| dir.join(name).is_file());
        whole.then_some(Self { dir, facts })
    }

    /// Forgets it: it did not come to life.
    pub(crate) fn forget(&self) {
        // Whoever finds a part of it finds no facts.
        let _ = fs_err::remove_file(self.dir.join(FACTS));
        let _ = fs_err::remove_dir_all(&self.dir);
    }

    /// Milliseconds from power-on until it was ready, when it was saved.
    pub(crate) const fn ready_ms(&self) -> u64 {
        self.facts.ready_ms
    }

    /// A copy that goes on, in the scratch directory of `cx`.
    pub(crate) fn restore<'a>(&self, cx: &'a Cx<'a>, setup: &'a Setup) -> Result<Checks<'a>, VmError> {
        stage::restored(cx.scratch, &setup.machine, &setup.media, &self.dir)?;
        let ram = self.dir.join(RAM);
        let mut start = setup.beginning();
        start.restored = true;
        let mut guest = Guest::start(cx, &setup.command(Memory::Restored(&ram), cx.scratch), start)?;
        guest.control(Request::Load(SOCKET), PATIENCE)?;
        let state = fs_err::read(self.dir.join(STATE)).map_err(VmError::io(&self.dir))?;
        send(cx.scratch, &state).map_err(VmError::io(cx.scratch))?;
        guest.migrated(PATIENCE)?;
        guest.forward(setup.forwards())?;
        guest.control(Request::Start, PATIENCE)?;
        let encoding = if self.facts.base64 { Encoding::Base64 } else { Encoding::Plain };
        let mut checks = Checks::resumed(cx, guest, setup, encoding, self.facts.counter);
        wake_up(&mut checks, &self.facts.wake)?;
        Ok(checks)
    }
}

/// Where a machine with `key` is kept.
fn place(cx: &Cx<'_>, key: &Digest) -> Utf8PathBuf {
    cx.cache.join("vm").join(key.short())
}

/// A machine that is about to be kept.
pub(crate) struct Keeping {
    partial: Utf8PathBuf,
    place: Utf8PathBuf,
}

impl Keeping {
    /// Makes room for the one with `key`.
    pub(crate) fn begin(cx: &Cx<'_>, key: &Digest) -> Result<Self, VmError> {
        let place = place(cx, key);
        let partial = Utf8PathBuf::from(format!("{place}.partial-{}", std::process::id()));
        let _ = fs_err::remove_dir_all(&partial);
        fs_err::create_dir_all(&partial).map_err(VmError::io(&partial))?;
        Ok(Self { partial, place })
    }

    /// Where its memory is.
    pub(crate) fn ram(&self) -> Utf8PathBuf {
        self.partial.join(RAM)
    }

    /// Keeps the machine of `checks`, which has passed them all; it ends with that.
    pub(crate) fn keep(
        self,
        cx: &Cx<'_>,
        mut checks: Checks<'_>,
        setup: &Setup,
        ready: Duration,
    ) -> Result<Saved, VmError> {
        let wake = install(&mut checks)?;
        let (encoding, counter) = checks.shell_state()?;
        let guest = checks.guest();
        let dir = socket::dir(cx.scratch).map_err(VmError::io(cx.scratch))?;
        let state = take(guest, &dir).map_err(|error| error.into_vm(cx.scratch))?;
        guest.quit(PATIENCE)?;
        fs_err::write(self.partial.join(STATE), &state).map_err(VmError::io(&self.partial))?;
        for name in stage::names(&setup.machine, &setup.media) {
            let (from, to) = (cx.scratch.join(&name), self.partial.join(&name));
            relocate(&from, &to).map_err(VmError::io(&to))?;
        }
        let facts = Facts {
            base64: encoding == Encoding::Base64,
            counter,
            wake,
            ready_ms: ready.as_millis() as u64,
            state: Digest::of(&state),
        };
        let text = serde_json::to_vec_pretty(&facts).expect("facts are plain data");
        fs_err::write(self.partial.join(FACTS), text).map_err(VmError::io(&self.partial))?;
        // Somebody else may have kept the same meanwhile, and may use it.
        if fs_err::rename(&self.partial, &self.place).is_err() {
            return Ok(Saved { dir: self.partial.clone(), facts });
        }
        Ok(Saved { dir: self.place.clone(), facts })
    }

    /// There will be none.
    pub(crate) fn give_up(self) {
        let _ = fs_err::remove_dir_all(&self.partial); // What is left of it has no facts.
    }
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
    guest.control(Request::Capabilities, PATIENCE).map_err(TakeError::Vm)?;
    let reader = std::thread::spawn(move || {
        let (stream, _) = listener.accept()?;
        let mut state = Vec::new();
        stream.take(STATE_LIMIT).read_to_end(&mut state)?;
        Ok(state)
    });
    let moved = guest.control(Request::Save(SOCKET), PATIENCE).and_then(|_| guest.migrated(PATIENCE));
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
fn install(checks: &mut Checks<'_>) -> Result<String, VmError> {
    let said = "# a program that sets the clock and adds entropy";
    match checks.ask(&wake::install(), said, PATIENCE)?.answer("installing what wakes the guest up", PATIENCE)
    {
        Ok((path, 0)) => Ok(path),
        Ok((said, _)) => Err(VmError::NotKept {
            reason: format!("no program could be put into the guest that tells it the time: {said}"),
        }),
        Err(reason) => Err(VmError::NotKept { reason }),
    }
}

/// Tells a guest that was restored the time, and something that no other copy knows.
fn wake_up(checks: &mut Checks<'_>, path: &str) -> Result<(), VmError> {
    let mut entropy = [0; wake::ENTROPY];
    rustix::rand::getrandom(&mut entropy, rustix::rand::GetRandomFlags::empty())
        .map_err(|error| VmError::io("/dev/urandom".into())(error.into()))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let began = Instant::now();
    match checks
        .ask(&wake::run(path, now, &entropy), "# the time, and entropy", PATIENCE)?
        .answer("waking the guest up", PATIENCE)
    {
        Ok((_, 0)) => {
            checks.note(&format!(
                "the guest answered {} ms after it was restored",
                began.elapsed().as_millis()
            ));
            Ok(())
        }
        Ok((_, code)) => Err(VmError::NotKept { reason: wake::meaning(code).to_owned() }),
        Err(reason) => Err(VmError::NotKept { reason }),
    }
}

//! Guests for tests that are written in Rust: boot one, ask it, and let others go on from where it was saved.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use bootway_exec::Cx;
use bootway_plan::{
    Failure, Name, Verdict,
    step::{Attach, Boot, CheckKind, Look, MachineSpec, Machines, RunCheck, UnitCheck, UnitState, WaitFile},
};
use camino::{Utf8Path, Utf8PathBuf};

use crate::{
    ImageFile, Machine, Media, VmError,
    boot::{Ready, host},
    checks::{Asked, Checks},
    command::Memory,
    saved::{self, Found, Key, Saved},
    setup::Setup,
    shell::Ended,
    suite::{impossible, no_loader},
};

mod ran;

pub use ran::Ran;

/// A virtual machine that a test of its own program boots.
///
/// What [`boot`](Self::boot) is given runs while the guest does, and the guest ends with it, however it ends.
///
/// ```no_run
/// use bootway_exec::{Sandbox, SystemRunner};
/// use bootway_vm::TestVm;
///
/// let runner = SystemRunner::default();
/// let sandbox = Sandbox::new(&runner);
/// let vm = TestVm::kernel("/boot/vmlinuz").initrd("initrd.img").cmdline("console=ttyS0");
/// vm.boot(&sandbox.cx(), |guest| {
///     guest.run("id -u")?.exits(0)?.prints("0")?;
///     guest.power_off()
/// })?;
/// # Ok::<(), bootway_vm::VmError>(())
/// ```
#[derive(Clone, Debug)]
pub struct TestVm {
    boot: Boot,
    media: Media,
    spec: MachineSpec,
    ssh_key: Option<Utf8PathBuf>,
}

/// A machine as it was when it was saved: each [`restore`](Self::restore) is a copy of it, within a tenth of a second.
///
/// It is gone when this is dropped.
#[derive(Debug)]
pub struct SavedVm {
    setup: Setup,
    saved: Saved,
}

/// A guest that runs.
#[expect(missing_debug_implementations, reason = "a process and its sockets")]
pub struct TestGuest<'a> {
    checks: Checks<'a>,
    limit: Duration,
}

/// Machines are told apart by it, within a scratch directory and a cache.
static COUNT: AtomicU32 = AtomicU32::new(0);

impl TestVm {
    /// One that starts from a disk, which is never written to.
    pub fn disk(image: impl Into<Utf8PathBuf>) -> Self {
        Self::of(Boot::Disk).image(image, Attach::Virtio)
    }

    /// One that starts from a disc.
    pub fn disc(image: impl Into<Utf8PathBuf>) -> Self {
        Self::of(Boot::Iso).image(image, Attach::Cdrom)
    }

    /// One whose kernel QEMU loads.
    pub fn kernel(kernel: impl Into<Utf8PathBuf>) -> Self {
        let mut vm = Self::of(Boot::Kernel);
        vm.media.kernel = Some(kernel.into());
        vm
    }

    fn of(boot: Boot) -> Self {
        Self { boot, media: Media::default(), spec: MachineSpec::default(), ssh_key: None }
    }

    /// With a kernel: its first root.
    #[must_use]
    pub fn initrd(mut self, initrd: impl Into<Utf8PathBuf>) -> Self {
        self.media.initrd = Some(initrd.into());
        self
    }

    /// With a kernel: its command line, all of it.
    #[must_use]
    pub fn cmdline(mut self, cmdline: impl Into<String>) -> Self {
        self.media.cmdline = Some(cmdline.into());
        self
    }

    /// Another disk or disc, which is never written to.
    #[must_use]
    pub fn image(mut self, image: impl Into<Utf8PathBuf>, attach: Attach) -> Self {
        self.media.images.push(ImageFile { path: image.into(), attach });
        self
    }

    /// What it is, as a plan would say it; `extends` means nothing here.
    #[must_use]
    pub fn machine(mut self, spec: MachineSpec) -> Self {
        self.spec = MachineSpec { extends: None, ..spec };
        self
    }

    /// The private key that the guest lets us in with, for [`TestGuest::ssh`].
    #[must_use]
    pub fn ssh_key(mut self, key: impl Into<Utf8PathBuf>) -> Self {
        self.ssh_key = Some(key.into());
        self
    }

    /// Boots it in a directory of its own in the scratch directory of `cx`, and has `test` talk to it.
    ///
    /// # Errors
    ///
    /// Those of `test`, and those of a machine that does not start.
    pub fn boot<T>(
        &self,
        cx: &Cx<'_>,
        test: impl FnOnce(&mut TestGuest<'_>) -> Result<T, VmError>,
    ) -> Result<T, VmError> {
        let setup = self.setup(cx)?;
        let scratch = place(cx)?;
        let cx = &Cx { scratch: &scratch, ..*cx };
        let guest = setup.start(cx, Memory::Own, &no_loader)?;
        TestGuest::new(Checks::new(cx, guest, &setup), &setup).until_end(test)
    }

    /// Boots it, has `ready` see to it that it is ready, and saves it.
    ///
    /// # Errors
    ///
    /// Those of `ready`, and [`VmError::NotKept`] if such a machine cannot be saved.
    pub fn save(
        &self,
        cx: &Cx<'_>,
        ready: impl FnOnce(&mut TestGuest<'_>) -> Result<(), VmError>,
    ) -> Result<SavedVm, VmError> {
        let setup = self.setup(cx)?;
        let not_kept = |reason: String| VmError::NotKept { reason };
        if let Some(reason) = impossible(&setup) {
            return Err(not_kept(reason.to_owned()));
        }
        let key = Key::once(cx, &setup, COUNT.fetch_add(1, Ordering::Relaxed))?;
        let Found::Room(keeping) = saved::find(cx, &key, &setup)? else {
            return Err(not_kept("another process has the number of this one".to_owned()));
        };
        let scratch = place(cx)?;
        let cx = &Cx { scratch: &scratch, ..*cx };
        let (ram, began) = (keeping.ram(), Instant::now());
        let guest = setup.start(cx, Memory::Kept(&ram), &no_loader)?;
        let mut guest = TestGuest::new(Checks::new(cx, guest, &setup), &setup);
        if let Err(error) = ready(&mut guest).and_then(|()| guest.checks.shell_state().map(drop)) {
            guest.checks.finish();
            return Err(error);
        }
        let saved = keeping.keep(cx, guest.checks, &setup, began.elapsed()).map_err(|error| match error {
            VmError::Cancelled | VmError::NotKept { .. } => error,
            error => not_kept(Failure::of(&error).chain.join(": ")),
        })?;
        Ok(SavedVm { setup, saved })
    }

    fn setup(&self, cx: &Cx<'_>) -> Result<Setup, VmError> {
        let name = Name::fixed("test");
        let machines = Machines::from([(name.clone(), self.spec.clone())]);
        let machine = Machine::resolve(Some(&name), &machines, self.boot)?;
        let host = host(cx, &machine)?;
        Ok(Setup { machine, boot: self.boot, media: self.media.clone(), host, ssh_key: self.ssh_key.clone() })
    }
}

impl SavedVm {
    /// Has `test` talk to a copy of it, which sees nothing of other copies. Several may run at once.
    ///
    /// # Errors
    ///
    /// Those of `test`, and those of a copy that does not come to life.
    pub fn restore<T>(
        &self,
        cx: &Cx<'_>,
        test: impl FnOnce(&mut TestGuest<'_>) -> Result<T, VmError>,
    ) -> Result<T, VmError> {
        let scratch = place(cx)?;
        let cx = &Cx { scratch: &scratch, ..*cx };
        TestGuest::new(self.saved.restore(cx, &self.setup)?, &self.setup).until_end(test)
    }
}

impl Drop for SavedVm {
    fn drop(&mut self) {
        self.saved.forget();
    }
}

/// A directory for one machine.
fn place(cx: &Cx<'_>) -> Result<Utf8PathBuf, VmError> {
    let dir = cx.scratch.join(format!("vm-{}", COUNT.fetch_add(1, Ordering::Relaxed)));
    fs_err::create_dir_all(&dir).map_err(VmError::io(&dir))?;
    Ok(dir)
}

impl<'a> TestGuest<'a> {
    fn new(checks: Checks<'a>, setup: &Setup) -> Self {
        Self { checks, limit: setup.machine.limits.check.duration() }
    }

    fn until_end<T>(mut self, test: impl FnOnce(&mut Self) -> Result<T, VmError>) -> Result<T, VmError> {
        let result = test(&mut self);
        self.checks.finish();
        result
    }

    /// How long whatever is asked from now on may take; the machine's `limits` until then.
    pub const fn within(&mut self, limit: Duration) -> &mut Self {
        self.limit = limit;
        self
    }

    /// Runs a command in the guest's shell, once there is one.
    ///
    /// # Errors
    ///
    /// If it does not end in time, or the guest ends.
    pub fn run(&mut self, command: &str) -> Result<Ran, VmError> {
        let limit = self.limit;
        let asked = self.checks.command(command, limit)?;
        let why = match asked {
            Asked::Ended(Ended::Exited { output, code }) => {
                return Ok(Ran { command: command.to_owned(), output, code });
            }
            asked => asked.answer(command, limit).err().unwrap_or_default(),
        };
        Err(failed("run", why))
    }

    /// Runs a command over SSH, once the guest lets us in; it must exit with 0 and print `text`.
    ///
    /// # Errors
    ///
    /// If it does not, or if it does not end in time.
    pub fn ssh(&mut self, command: &str, text: &str) -> Result<(), VmError> {
        let run =
            RunCheck { command: command.to_owned(), equals: Some(text.to_owned()), ..RunCheck::default() };
        self.passes("ssh", CheckKind::Ssh(run))
    }

    /// Waits until `text` is on the console, behind what was looked for before.
    ///
    /// # Errors
    ///
    /// If it does not come in time.
    pub fn sees(&mut self, text: &str) -> Result<(), VmError> {
        self.passes("sees", CheckKind::Console(Look { text: text.to_owned(), typed: None }))
    }

    /// Waits until a unit of systemd is active.
    ///
    /// # Errors
    ///
    /// If it fails, or is not in time.
    pub fn has_active(&mut self, unit: &str) -> Result<(), VmError> {
        let unit = UnitCheck { unit: unit.to_owned(), state: UnitState::Active };
        self.passes("has_active", CheckKind::Unit(unit))
    }

    /// Waits until an interface has an IPv4 address that is not link-local.
    ///
    /// # Errors
    ///
    /// If it has none in time.
    pub fn has_address(&mut self, interface: &str) -> Result<(), VmError> {
        self.passes("has_address", CheckKind::Ip(interface.to_owned()))
    }

    /// Waits until a file is there, with lines `KEY=VALUE` for each of `values`.
    ///
    /// # Errors
    ///
    /// If it does not come in time.
    pub fn has_file(&mut self, path: &str, values: &[(&str, &str)]) -> Result<(), VmError> {
        let values = values.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        self.passes("has_file", CheckKind::File(WaitFile { path: path.to_owned(), values }))
    }

    /// Puts a file into the guest, with mode 0755: up to 64 MiB.
    ///
    /// # Errors
    ///
    /// If the guest does not have exactly these bytes then.
    pub fn copy_in(&mut self, from: &Utf8Path, to: &str) -> Result<(), VmError> {
        let bytes = fs_err::read(from).map_err(VmError::io(from))?;
        self.checks.put(&bytes, from.as_str(), to)?.map_err(|why| failed("copy_in", why))
    }

    /// The bytes of a file of the guest.
    ///
    /// # Errors
    ///
    /// If there is no such file.
    pub fn copy_out(&mut self, from: &str) -> Result<Vec<u8>, VmError> {
        self.checks.take(from, self.limit)?.map_err(|why| failed("copy_out", why))
    }

    /// A picture of the screen, as a PNG; the machine needs `screen = true`.
    ///
    /// # Errors
    ///
    /// If there is no screen.
    pub fn screenshot(&mut self) -> Result<Vec<u8>, VmError> {
        self.checks.look_at_screen()
    }

    /// The port of this host that leads to a port of the guest, which the machine's `net` must name.
    pub fn port(&mut self, guest: u16) -> Option<u16> {
        self.checks.guest().port_of(guest)
    }

    /// Reboots it, and waits for its shell.
    ///
    /// # Errors
    ///
    /// If it does not reboot, or has no shell in time.
    pub fn reboot(&mut self) -> Result<(), VmError> {
        self.decide("reboot", CheckKind::Reboot, None)
    }

    /// Has it switch itself off.
    ///
    /// # Errors
    ///
    /// If it does not, or if the machine ends otherwise.
    pub fn power_off(&mut self) -> Result<(), VmError> {
        self.decide("power_off", CheckKind::PowerOff, None)
    }

    fn passes(&mut self, name: &str, kind: CheckKind) -> Result<(), VmError> {
        let limit = self.limit;
        self.decide(name, kind, Some(limit))
    }

    fn decide(&mut self, name: &str, kind: CheckKind, within: Option<Duration>) -> Result<(), VmError> {
        let check = Ready { name: name.to_owned(), kind, matches: None, within };
        let decision = self.checks.decide(&check)?;
        if decision.verdict == Verdict::Passed {
            return Ok(());
        }
        self.checks.diagnose(&check);
        Err(failed(name, decision.detail.unwrap_or_default()))
    }
}

fn failed(name: &str, detail: String) -> VmError {
    VmError::Failed { name: name.to_owned(), detail, more: 0, stopped: None }
}

#[cfg(test)]
mod tests;

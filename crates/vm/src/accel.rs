//! Who runs a guest's instructions, and why.
//!
//! That `/dev/kvm` opens proves nothing: there are hosts where a machine can be created and a boot sector runs, and
//! where a kernel is then a thousand times too slow or never starts. So a tiny firmware is booted the way a guest
//! would be, within a time limit.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use bootway_exec::{Cmd, Cx, Exit, RunError, Tool, run};
use bootway_plan::{EventKind, step::Arch};
use camino::Utf8Path;

use crate::command::basics;

mod rom;

/// Who runs a guest's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccelKind {
    /// The processor, through Linux's KVM.
    Kvm,
    /// QEMU, by translation.
    Tcg,
}

impl fmt::Display for AccelKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Kvm => "KVM",
            Self::Tcg => "TCG",
        })
    }
}

/// Which accelerator works here, and how that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccelProbe {
    /// The fastest one that works.
    pub kind: AccelKind,
    /// Why it is that one, in a sentence.
    pub reason: String,
}

impl AccelProbe {
    const fn tcg(reason: String) -> Self {
        Self { kind: AccelKind::Tcg, reason }
    }
}

impl fmt::Display for AccelProbe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.reason)
    }
}

/// A real KVM needs 0.1 s, nearly all of it QEMU's own start; a KVM that fails this is slower than emulation.
const LIMIT: Duration = Duration::from_secs(2);

/// What KVM is used through.
const DEVICE: &str = "/dev/kvm";

/// The probe's image, in the scratch directory.
const ROM: &str = "probe.rom";

/// What a process found out is true until it ends.
static KNOWN: Mutex<Option<AccelProbe>> = Mutex::new(None);

/// Finds out whether KVM works here for a machine with such a processor: at most 2 s, once for each process.
///
/// Only PCs are probed: nobody has tried KVM with a machine for 64-bit ARM, so that one is emulated.
///
/// # Errors
///
/// If QEMU could not be started, someone asked to stop, or the scratch directory cannot be written to. That KVM does
/// not work is an answer, not an error.
pub fn probe(cx: &Cx<'_>, arch: Arch) -> Result<AccelProbe, RunError> {
    if arch == Arch::Aarch64 {
        return Ok(AccelProbe::tcg("machines for 64-bit ARM are emulated on every host".to_owned()));
    }
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(probe) = &*known {
        return Ok(probe.clone());
    }
    let probe = look(cx, Utf8Path::new(DEVICE), AccelKind::Kvm, LIMIT)?;
    *known = Some(probe.clone());
    Ok(probe)
}

/// Whether `accel`, which is used through `device`, works; within `limit`.
fn look(cx: &Cx<'_>, device: &Utf8Path, accel: AccelKind, limit: Duration) -> Result<AccelProbe, RunError> {
    match fs_err::OpenOptions::new().read(true).write(true).open(device) {
        Ok(_) => boot(cx, accel, limit),
        Err(error) => Ok(AccelProbe::tcg(why_not(device, &error))),
    }
}

/// What it means that `device` cannot be opened.
fn why_not(device: &Utf8Path, error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => format!("this host has no {device}"),
        std::io::ErrorKind::PermissionDenied => {
            format!("this user may not open {device}: `sudo usermod -aG kvm $USER`, then log in again")
        }
        _ => error.to_string(),
    }
}

/// Boots the ROM with `accel`.
fn boot(cx: &Cx<'_>, accel: AccelKind, limit: Duration) -> Result<AccelProbe, RunError> {
    // A directory that cannot be written to shows when QEMU does not find the file.
    let _ = fs_err::write(cx.scratch.join(ROM), rom::image());
    let last = Mutex::new(None);
    // What the probe prints is no line of the step, which shows its last lines when it fails later: the first is a part
    // of the verdict, and a hint enough.
    let emit = |event: EventKind| match event {
        EventKind::Line { text, .. } if text.trim().is_empty() => {}
        EventKind::Line { text, .. } => {
            last.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(text);
        }
        event => (cx.emit)(event),
    };
    let ended = run(&Cx { emit: &emit, ..*cx }, &command(accel, cx.scratch).limit(limit));
    let _ = fs_err::remove_file(cx.scratch.join(ROM)); // The whole directory is removed soon.
    let said = last.into_inner().unwrap_or_else(PoisonError::into_inner);
    judge(accel, ended, said)
}

/// The command line of the probe.
fn command(accel: AccelKind, scratch: &Utf8Path) -> Cmd {
    Cmd::new(Tool::QemuX86)
        .dir(scratch)
        .args(basics(Arch::X8664, accel))
        .args(["-m", "16M", "-device", "isa-debug-exit,iobase=0xf4,iosize=4", "-bios", ROM])
        .limit(LIMIT)
}

/// What the end of the probe, and the first line that it printed, say about `accel`.
fn judge<T>(
    accel: AccelKind,
    ended: Result<T, RunError>,
    said: Option<String>,
) -> Result<AccelProbe, RunError> {
    let said = said.map_or_else(String::new, |said| format!(": {said}"));
    match ended {
        Err(RunError::Failed { exit: Exit::Code(rom::EXIT_CODE), .. }) => {
            Ok(AccelProbe { kind: accel, reason: format!("{accel} was probed and works") })
        }
        Err(RunError::TimedOut { limit, .. }) => Ok(AccelProbe::tcg(format!(
            "{accel} was probed and is too slow to use: what takes a working one milliseconds was not done after {} s",
            limit.as_secs_f64()
        ))),
        Err(RunError::Failed { exit, .. }) => {
            Ok(AccelProbe::tcg(format!("{accel} was probed and does not work: QEMU {exit}{said}")))
        }
        Ok(_) => Ok(AccelProbe::tcg(format!("{accel} was probed and does not work: QEMU ended early{said}"))),
        Err(error @ (RunError::Spawn(_) | RunError::Cancelled)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use bootway_exec::{Reply, Sandbox, ScriptedRunner, SystemRunner};

    use super::*;

    /// The ROM comes to its end on a processor that is known to work.
    #[test]
    fn the_rom_is_right() {
        let runner = SystemRunner::default();
        let sandbox = Sandbox::new(&runner);
        let cmd = command(AccelKind::Tcg, sandbox.cx().scratch).limit(Duration::from_mins(2));
        fs_err::write(sandbox.cx().scratch.join(ROM), rom::image()).unwrap();
        let ended = run(&sandbox.cx(), &cmd);
        let Err(RunError::Failed { exit: Exit::Code(code), .. }) = ended else {
            panic!("install qemu-system-x86: {ended:?} {:?}", sandbox.lines())
        };
        assert_eq!(code, rom::EXIT_CODE, "{:?}", sandbox.lines());
        assert!(sandbox.lines().contains(&"ok".to_owned()));
    }

    /// On any host the answer is quick, and says how it is known.
    #[test]
    fn a_probe_ends_with_a_reason() {
        let runner = SystemRunner::default();
        let sandbox = Sandbox::new(&runner);
        let found = probe(&sandbox.cx(), Arch::X8664).expect("qemu-system-x86 is installed");
        assert!(!found.reason.is_empty());
        let before = sandbox.events().len();
        assert_eq!(probe(&sandbox.cx(), Arch::X8664).unwrap(), found);
        assert_eq!(sandbox.events().len(), before, "the second answer needs no second probe");
    }

    #[test]
    fn how_the_probe_ends_is_the_answer() {
        let scripted = |reply| {
            let runner = ScriptedRunner::default().on(Tool::QemuX86, reply);
            let sandbox = Sandbox::new(&runner);
            boot(&sandbox.cx(), AccelKind::Kvm, LIMIT)
                .map_or_else(|error| error.to_string(), |probe| probe.to_string())
        };
        let works = scripted(Reply::exits(rom::EXIT_CODE).stdout("ok\n"));
        let aborts =
            scripted(Reply::killed().stderr("error: failed to set MSR 0x10a to 0x69\nqemu: assertion\n"));
        let says_ok = scripted(Reply::exits(0).stdout("ok\n"));
        let missing = scripted(Reply::missing());
        let slow =
            judge::<()>(AccelKind::Kvm, Err(RunError::TimedOut { cmd: String::new(), limit: LIMIT }), None);
        let slow = slow.unwrap().to_string();
        insta::assert_snapshot!([works, aborts, says_ok, missing, slow].join("\n"), @"
        KVM: KVM was probed and works
        TCG: KVM was probed and does not work: QEMU was killed by a signal: error: failed to set MSR 0x10a to 0x69
        TCG: KVM was probed and does not work: QEMU ended early: ok
        `qemu-system-x86_64` is not on PATH
        TCG: KVM was probed and is too slow to use: what takes a working one milliseconds was not done after 2 s
        ");
    }

    /// The last is a QEMU that really has to be stopped: no emulation comes to its end in a millisecond.
    #[test]
    fn three_reasons_lead_to_one_fallback() {
        let runner = SystemRunner::default();
        let sandbox = Sandbox::new(&runner);
        let device = sandbox.root().join("kvm");
        let look = || look(&sandbox.cx(), &device, AccelKind::Tcg, Duration::from_millis(1)).unwrap();
        let absent = look();
        let denied = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
        let unreadable = AccelProbe::tcg(why_not(Utf8Path::new(DEVICE), &denied));
        fs_err::write(&device, "").unwrap();
        let hangs = look();
        let all = [absent, unreadable, hangs];
        assert!(all.iter().all(|probe| probe.kind == AccelKind::Tcg));
        let said = all.map(|probe| probe.reason).join("\n").replace(sandbox.root().as_str(), "[dir]");
        insta::assert_snapshot!(said, @"
        this host has no [dir]/kvm
        this user may not open /dev/kvm: `sudo usermod -aG kvm $USER`, then log in again
        TCG was probed and is too slow to use: what takes a working one milliseconds was not done after 0.001 s
        ");
    }

    #[test]
    fn the_probe_is_run_as_a_guest_would_be() {
        insta::assert_snapshot!(command(AccelKind::Kvm, "/scratch/boots".into()), @"cd /scratch/boots && qemu-system-x86_64 -nodefaults -no-user-config -machine q35 -accel kvm -cpu host -sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny -display none -nic none -chardev stdio,id=console,signal=off -serial chardev:console -m 16M -device isa-debug-exit,iobase=0xf4,iosize=4 -bios probe.rom");
    }
}

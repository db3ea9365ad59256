//! What a machine depends on, as a name: one that differs in any of it is never restored.

use bootway_exec::{Cmd, Cx, run};
use bootway_plan::{Digest, step};
use camino::Utf8Path;

use super::{RAM, RECIPE};
use crate::{AccelKind, VmError, command::Memory, setup::Setup};

/// Name of a machine that is kept, and the QEMU that it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) digest: Digest,
    pub(crate) version: Version,
}

/// Version of a QEMU, as far as a command line depends on it; the oldest if it does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    major: u32,
    minor: u32,
}

impl Version {
    /// From what `--version` prints: `QEMU emulator version 7.2.22 (Debian …)`.
    fn of(text: &str) -> Self {
        let number = text.split_whitespace().skip_while(|word| *word != "version").nth(1).unwrap_or_default();
        let mut parts = number.split('.').map(|part| part.parse().ok());
        let mut next = || parts.next().flatten();
        match (next(), next()) {
            (Some(major), Some(minor)) => Self { major, minor },
            _ => Self::default(),
        }
    }

    /// Whether memory may be a file that QEMU cannot write to, and the guest can write to all the same.
    /// Source: QEMU 8.2, `memory-backend-file`, `rom=off` with `readonly=on`.
    pub(crate) fn maps_sealed_files(self) -> bool {
        self >= Self { major: 8, minor: 2 }
    }
}

impl Key {
    /// Of the machine of `setup`, which is ready once the checks of `step` have passed.
    pub(crate) fn of(cx: &Cx<'_>, step: &step::Vm, setup: &Setup) -> Result<Self, VmError> {
        let line = setup.command(Memory::Kept(Utf8Path::new(RAM)), Utf8Path::new("/"));
        let said = run(cx, &Cmd::new(setup.machine.qemu()).arg("--version"))?;
        let said = String::from_utf8_lossy(&said.stdout);
        let mut text = format!("{RECIPE}\n{}\n{line}\n", said.trim());
        for source in step.ready_sources() {
            text += &format!("{source} {}\n", cx.input(source)?.digest);
        }
        // Disks that were saved name their image by its place.
        for image in &setup.media.images {
            let path = image.path.canonicalize_utf8().map_err(VmError::io(&image.path))?;
            text += &format!("{path}\n");
        }
        if let Some(files) = &setup.host.firmware {
            for path in [&files.code, &files.vars] {
                text += &format!("{}\n", Digest::of(&fs_err::read(path).map_err(VmError::io(path))?));
            }
        }
        if setup.host.accel == AccelKind::Kvm {
            text += &processor();
        }
        let checks =
            serde_json::to_string(&(&step.checks, &setup.machine.login)).expect("checks are plain data");
        Ok(Self { digest: Digest::of(format!("{text}{checks}").as_bytes()), version: Version::of(&said) })
    }

    /// Of a machine that is ready when a program finds it so: it is number `count` of this process, and nobody else's.
    pub(crate) fn once(cx: &Cx<'_>, setup: &Setup, count: u32) -> Result<Self, VmError> {
        let said = run(cx, &Cmd::new(setup.machine.qemu()).arg("--version"))?;
        // When this process began is a part of it.
        let process = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let version = Version::of(&String::from_utf8_lossy(&said.stdout));
        Ok(Self { digest: Digest::of(format!("{RECIPE}\n{count}\n{process}").as_bytes()), version })
    }
}

/// The host's kernel and the first of its processors, which a guest sees with KVM.
fn processor() -> String {
    let info = fs_err::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let stays = |line: &&str| !line.contains("MHz") && !line.contains("bogomips");
    let first: Vec<&str> = info.lines().take_while(|line| !line.is_empty()).filter(stays).collect();
    let kernel = rustix::system::uname();
    format!("{}\n{}\n", kernel.release().to_string_lossy(), first.join("\n"))
}

#[cfg(test)]
mod tests;

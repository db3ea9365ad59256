//! What a guest runs on, with every default filled in.

use bootway_exec::Tool;
use bootway_plan::{
    Bytes, Class, Explain, Millis, Name,
    step::{
        AccelWish, Arch, Boot, Channel, CheckKind, Firmware, Limits, Login, MachineDisk, MachineSpec,
        Machines, Net,
    },
};
use thiserror::Error;

/// A virtual machine: what a plan says about it, and the default where it says nothing.
///
/// ```
/// use bootway_plan::step::{Boot, Machines};
/// use bootway_vm::Machine;
///
/// let machine = Machine::resolve(None, &Machines::new(), Boot::Disk)?;
/// assert_eq!(machine.memory.to_string(), "512MiB");
/// # Ok::<(), bootway_vm::MachineError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Its processor.
    pub arch: Arch,
    /// Its memory.
    pub memory: Bytes,
    /// How many processors.
    pub cpus: u32,
    /// Who is to run its instructions.
    pub accel: AccelWish,
    /// What starts first.
    pub firmware: Firmware,
    /// Empty disks that it has, behind its images.
    pub disks: Vec<MachineDisk>,
    /// Its network, if it has one.
    pub net: Option<Net>,
    /// Whether it has a TPM.
    pub tpm: bool,
    /// Whether it has a screen.
    pub screen: bool,
    /// How its guest is talked to.
    pub channel: Channel,
    /// How to get a shell on its serial console.
    pub login: Login,
    /// Times after which something is wrong.
    pub limits: Timeouts,
}

/// Times after which something is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From power-on to the shell.
    pub boot: Millis,
    /// For one check.
    pub check: Millis,
    /// From asking for power-off to its end.
    pub power_off: Millis,
}

/// Enough for a Debian system to boot from disk.
const MEMORY: Bytes = Bytes::new(512 << 20);

/// Shims copy their root into memory: a tmpfs of 1 GiB, which is not filled.
const SHIM_MEMORY: Bytes = Bytes::new(1 << 30);

/// A Debian system needs 15 s under emulation on an idle machine; a busy one is ten times slower.
const BOOT: Millis = Millis::new(300_000);

/// A command that takes longer says so itself, by `within`.
const CHECK: Millis = Millis::new(60_000);

/// systemd gives a service 90 s to stop, but an image that needs them is not good.
const POWER_OFF: Millis = Millis::new(60_000);

impl Machine {
    /// The machine called `name`, or one of defaults; `boot` decides which firmware is the default.
    ///
    /// # Errors
    ///
    /// If there is no such machine, or what it `extends` leads back to it.
    pub fn resolve(name: Option<&Name>, machines: &Machines, boot: Boot) -> Result<Self, MachineError> {
        let mut spec = MachineSpec::default();
        let mut path: Vec<&Name> = Vec::new();
        let mut next = name;
        while let Some(name) = next {
            if path.contains(&name) {
                let path = path.iter().chain([&name]).map(ToString::to_string).collect();
                return Err(MachineError::Cycle { path });
            }
            let base = machines.get(name).ok_or_else(|| MachineError::Unknown {
                name: name.clone(),
                by: path.last().map(|name| (*name).clone()),
                known: machines.keys().cloned().collect(),
            })?;
            path.push(name);
            next = base.extends.as_ref();
            spec = spec.over(base);
        }
        if boot == Boot::Chromeos && spec.firmware.is_some() {
            return Err(MachineError::Firmware);
        }
        if spec.arch == Some(Arch::Aarch64) {
            if boot == Boot::Chromeos {
                return Err(MachineError::Chromebook);
            }
            if spec.firmware == Some(Firmware::Bios) {
                return Err(MachineError::NoBios);
            }
        }
        Ok(Self::of(spec, boot))
    }

    /// The QEMU that it needs.
    pub const fn qemu(&self) -> Tool {
        match self.arch {
            Arch::X8664 => Tool::QemuX86,
            Arch::Aarch64 => Tool::QemuArm,
        }
    }

    /// The programs that it is made of.
    pub fn tools(&self) -> Vec<Tool> {
        self.tpm.then_some(Tool::Swtpm).into_iter().chain([self.qemu()]).collect()
    }

    /// The serial port, as the kernel's `console=` has it.
    pub(crate) const fn console(&self) -> &'static str {
        match self.arch {
            Arch::X8664 => "ttyS0",
            Arch::Aarch64 => "ttyAMA0",
        }
    }

    /// Whether it has what such a check looks at; else what is wrong, and what to do about it.
    pub(crate) fn can_be_asked(&self, check: &CheckKind) -> Result<(), &'static str> {
        let on_screen = matches!(check, CheckKind::Screen(_));
        if !self.screen && (on_screen || matches!(check, CheckKind::Screenshot(_))) {
            return Err("looks at the screen, and its machine has none: add `screen = true` to it");
        }
        if on_screen && self.arch == Arch::Aarch64 {
            return Err(
                "looks for text on the screen, which only a PC has: look at the `console`, or take a `screenshot`",
            );
        }
        let mut forwards = self.net.iter().flat_map(|net| net.forward.values());
        if matches!(check, CheckKind::Ssh(_)) && !forwards.any(|it| it.guest() == 22) {
            return Err(
                "needs SSH, and nothing leads to port 22 of its machine: add `net = { forward = { ssh = 22 } }` to it",
            );
        }
        Ok(())
    }

    fn of(spec: MachineSpec, boot: Boot) -> Self {
        let Limits { boot: boot_limit, check, power_off } = spec.limits.unwrap_or_default();
        let (firmware, memory) = match boot {
            Boot::Disk | Boot::Iso => (Firmware::Uefi, MEMORY),
            Boot::Kernel => (Firmware::Bios, MEMORY),
            Boot::Chromeos => (Firmware::Bios, SHIM_MEMORY),
        };
        Self {
            arch: spec.arch.unwrap_or_default(),
            memory: spec.memory.unwrap_or(memory),
            cpus: spec.cpus.unwrap_or(1).max(1),
            accel: spec.accel.unwrap_or_default(),
            firmware: spec.firmware.unwrap_or(firmware),
            disks: spec.disks,
            net: spec.net,
            tpm: spec.tpm.unwrap_or(false),
            screen: spec.screen.unwrap_or(boot == Boot::Chromeos),
            channel: spec.channel.unwrap_or_default(),
            login: spec.login.unwrap_or_else(|| Login {
                prompt: None,
                user: "root".to_owned(),
                password: None,
                shell: "# ".to_owned(),
            }),
            limits: Timeouts {
                boot: boot_limit.unwrap_or(BOOT),
                check: check.unwrap_or(CHECK),
                power_off: power_off.unwrap_or(POWER_OFF),
            },
        }
    }
}

/// A plan's machines do not add up.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MachineError {
    /// Nothing is called that.
    #[error("there is no machine `{name}`{}: {}", by_whom(by.as_ref()), known_machines(known))]
    Unknown {
        /// What was asked for.
        name: Name,
        /// The machine that extends it.
        by: Option<Name>,
        /// What there is.
        known: Vec<Name>,
    },
    /// A firmware was chosen where it is not the plan's to choose.
    #[error("a machine with `boot = \"chromeos\"` starts as a Chromebook does: leave out its `firmware`")]
    Firmware,
    /// What a Chromebook's firmware starts has an x86-64 kernel.
    #[error("`boot = \"chromeos\"` starts machines with `arch = \"x86-64\"` only")]
    Chromebook,
    /// A BIOS was chosen for a processor that never had one.
    #[error("a machine with `arch = \"aarch64\"` has no BIOS: leave out its `firmware`, or set it to `uefi`")]
    NoBios,
    /// A machine extends itself.
    #[error("machine `{}` extends itself: {}", path[path.len() - 1], path.join(" → "))]
    Cycle {
        /// From the machine that was asked for to the one that was seen before.
        path: Vec<String>,
    },
}

fn by_whom(by: Option<&Name>) -> String {
    by.map_or_else(String::new, |by| format!(", which machine `{by}` extends"))
}

fn known_machines(known: &[Name]) -> String {
    if known.is_empty() {
        return "the plan has no `[machine.NAME]`".to_owned();
    }
    let known: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
    format!("use one of {}", known.join(", "))
}

impl Explain for MachineError {
    fn class(&self) -> Class {
        Class::Plan
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machines(of: &[(&'static str, MachineSpec)]) -> Machines {
        of.iter().map(|(name, spec)| (Name::fixed(name), spec.clone())).collect()
    }

    fn extends(name: &'static str) -> MachineSpec {
        MachineSpec { extends: Some(Name::fixed(name)), ..MachineSpec::default() }
    }

    #[test]
    fn what_a_machine_does_not_say_comes_from_what_it_extends() {
        let machines = machines(&[
            ("a", MachineSpec { cpus: Some(4), ..extends("b") }),
            ("b", MachineSpec { cpus: Some(2), memory: Some(Bytes::new(1 << 30)), ..extends("c") }),
            (
                "c",
                MachineSpec {
                    memory: Some(Bytes::new(1)),
                    firmware: Some(Firmware::Bios),
                    ..MachineSpec::default()
                },
            ),
        ]);
        let machine = Machine::resolve(Some(&Name::fixed("a")), &machines, Boot::Disk).unwrap();
        assert_eq!(
            (machine.cpus, machine.memory, machine.firmware),
            (4, Bytes::new(1 << 30), Firmware::Bios)
        );
    }

    #[test]
    fn disks_start_from_uefi_and_kernels_without_it() {
        let firmware = |boot| Machine::resolve(None, &Machines::new(), boot).unwrap().firmware;
        assert_eq!((firmware(Boot::Disk), firmware(Boot::Kernel)), (Firmware::Uefi, Firmware::Bios));
    }

    #[test]
    fn shims_have_the_memory_that_they_copy_their_root_into() {
        let memory = |boot| Machine::resolve(None, &Machines::new(), boot).unwrap().memory.to_string();
        assert_eq!((memory(Boot::Disk), memory(Boot::Chromeos)), ("512MiB".to_owned(), "1GiB".to_owned()));
    }

    #[test]
    fn machines_that_do_not_add_up_are_errors() {
        let error = |name, machines: &Machines| {
            Machine::resolve(Some(&Name::fixed(name)), machines, Boot::Disk).unwrap_err().to_string()
        };
        let round = machines(&[("a", extends("b")), ("b", extends("a")), ("c", extends("d"))]);
        insta::assert_snapshot!(error("a", &round), @"machine `a` extends itself: a → b → a");
        insta::assert_snapshot!(error("c", &round), @"there is no machine `d`, which machine `c` extends: use one of `a`, `b`, `c`");
        let bios =
            machines(&[("a", MachineSpec { firmware: Some(Firmware::Bios), ..MachineSpec::default() })]);
        let error_of = Machine::resolve(Some(&Name::fixed("a")), &bios, Boot::Chromeos).unwrap_err();
        insta::assert_snapshot!(error_of, @r#"a machine with `boot = "chromeos"` starts as a Chromebook does: leave out its `firmware`"#);
        let of = |firmware, boot| {
            let spec = MachineSpec { arch: Some(Arch::Aarch64), firmware, ..MachineSpec::default() };
            Machine::resolve(Some(&Name::fixed("a")), &machines(&[("a", spec)]), boot).unwrap_err()
        };
        insta::assert_snapshot!(of(Some(Firmware::Bios), Boot::Disk), @r#"a machine with `arch = "aarch64"` has no BIOS: leave out its `firmware`, or set it to `uefi`"#);
        insta::assert_snapshot!(of(None, Boot::Chromeos), @r#"`boot = "chromeos"` starts machines with `arch = "x86-64"` only"#);
        insta::assert_snapshot!(error("x", &Machines::new()), @"there is no machine `x`: the plan has no `[machine.NAME]`");
    }
}

//! Parameters of `vm`: boot and check.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Bytes, Millis, Name, Source};

/// Boot an image and decide its checks, in their order. The image is never written to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Vm {
    /// The disk; only `boot = "kernel"` may do without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Source>,
    /// A `[machine.NAME]`; a machine of defaults unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<Name>,
    /// What starts.
    #[serde(default)]
    pub boot: Boot,
    /// What the disk is to the machine; a USB stick with `boot = "chromeos"` and a virtio disk else unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attach: Option<Attach>,
    /// For `boot = "kernel"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<Source>,
    /// For `boot = "kernel"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initrd: Option<Source>,
    /// For `boot = "kernel"`, all of it. For `boot = "chromeos"`, what is put behind the signed one, so that the
    /// guest can be seen: `console=tty1 console=ttyS0,115200 no-scroll` unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cmdline: Option<String>,
    /// What must be seen, in this order.
    #[serde(rename = "check")]
    pub checks: Vec<Check>,
}

impl Vm {
    pub(super) fn sources(&self) -> Vec<&Source> {
        [&self.image, &self.kernel, &self.initrd].into_iter().flatten().collect()
    }

    /// What the disk is to the machine.
    pub fn attach(&self) -> Attach {
        self.attach.unwrap_or(match self.boot {
            Boot::Disk | Boot::Kernel => Attach::Virtio,
            Boot::Chromeos => Attach::Usb,
        })
    }

    pub(super) fn summary(&self) -> String {
        let what = self.image.as_ref().or(self.kernel.as_ref()).map_or(String::new(), ToString::to_string);
        let how = match self.boot {
            Boot::Disk => "from disk",
            Boot::Kernel => "by kernel",
            Boot::Chromeos => "as a Chromebook would",
        };
        format!("boot {what} {how}, {} checks", self.checks.len())
    }
}

/// What a machine starts with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Boot {
    /// Its firmware, from the disk.
    #[default]
    Disk,
    /// A kernel that QEMU loads.
    Kernel,
    /// The kernel that the firmware of a Chromebook would choose on the disk, once all that it would check was found
    /// good: each finding is a check of its own. The machine has a screen; it has 1 GiB of memory unless said.
    Chromeos,
}

/// What a disk is to a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Attach {
    /// A virtio disk.
    Virtio,
    /// A USB stick.
    Usb,
    /// An SD card.
    Sd,
    /// An `NVMe` disk.
    Nvme,
}

/// One check: a name, what must be seen, and within what time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Check {
    /// What it proves, for the report.
    pub name: String,
    /// Text that must appear on the serial console, after what earlier checks saw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub console: Option<String>,
    /// Text that must be on the screen, in VGA's text mode; with `boot = "chromeos"`. It counts when it stands
    /// still for a moment: what scrolls by is better looked for on the console.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub screen: Option<String>,
    /// With `console` or `screen`: what is typed once the text was seen, into the serial port or on the keyboard (a US
    /// one); `\n` is Enter. Then the check has passed.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub typed: Option<String>,
    /// A command for the guest's shell, which must exit with `exit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// With `run`: the exit code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<u8>,
    /// With `run`: exactly what it prints, without surrounding white space.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equals: Option<String>,
    /// With `run`: a part of what it prints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
    /// With `run`: a regular expression for what it prints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matches: Option<String>,
    /// With `run`: what it must not print.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lacks: Option<String>,
    /// Reboot the guest, wait for its shell again.
    #[serde(default)]
    pub reboot: bool,
    /// Power the guest off; passes when the machine says that the guest did it, not when QEMU merely ends.
    #[serde(default)]
    pub power_off: bool,
    /// How long it may take; the machine's limits unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Millis>,
}

/// What a [`Check`] does; exactly one of its keys says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckKind {
    /// Wait for text on the console.
    Console(Look),
    /// Wait for text on the screen.
    Screen(Look),
    /// Run a command.
    Run(RunCheck),
    /// Reboot.
    Reboot,
    /// Power off.
    PowerOff,
}

/// Text that must appear, and what is done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// What must be seen.
    pub text: String,
    /// What is typed then.
    pub typed: Option<String>,
}

/// A command for the guest's shell and what it must do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunCheck {
    /// The command, for the guest's shell.
    pub command: String,
    /// The exit code that is wanted.
    pub exit: u8,
    /// Exactly what it prints, without surrounding white space.
    pub equals: Option<String>,
    /// A part of what it prints.
    pub contains: Option<String>,
    /// A regular expression for what it prints.
    pub matches: Option<String>,
    /// What it must not print.
    pub lacks: Option<String>,
}

impl Check {
    /// What it does.
    ///
    /// # Errors
    ///
    /// Says what is wrong when not exactly one of `console`, `screen`, `run`, `reboot` and `power-off` is given, or when
    /// a key goes with another kind.
    pub fn kind(&self) -> Result<CheckKind, String> {
        let mut kinds = Vec::new();
        let wanted = [&self.console, &self.screen, &self.run];
        if wanted.into_iter().flatten().any(|text| text.trim().is_empty()) {
            return Err(format!("check `{}` looks for nothing: write what must be seen or run", self.name));
        }
        self.check_typed()?;
        let look = |text: &String| Look { text: text.clone(), typed: self.typed.clone() };
        kinds.extend(self.console.as_ref().map(|text| CheckKind::Console(look(text))));
        kinds.extend(self.screen.as_ref().map(|text| CheckKind::Screen(look(text))));
        if let Some(command) = &self.run {
            kinds.push(CheckKind::Run(RunCheck {
                command: command.clone(),
                exit: self.exit.unwrap_or(0),
                equals: self.equals.clone(),
                contains: self.contains.clone(),
                matches: self.matches.clone(),
                lacks: self.lacks.clone(),
            }));
        } else if self.exit.is_some()
            || [&self.equals, &self.contains, &self.matches, &self.lacks].iter().any(|it| it.is_some())
        {
            return Err(format!(
                "check `{}` has `exit`, `equals`, `contains`, `matches` or `lacks` without `run`",
                self.name
            ));
        }
        if self.reboot {
            kinds.push(CheckKind::Reboot);
        }
        if self.power_off {
            kinds.push(CheckKind::PowerOff);
        }
        match (kinds.pop(), kinds.is_empty()) {
            (Some(kind), true) => Ok(kind),
            _ => Err(format!(
                "check `{}` needs exactly one of `console`, `screen`, `run`, `reboot = true` and `power-off = true`",
                self.name
            )),
        }
    }

    /// Whether what is to be typed goes with something that is looked for, and has a key.
    fn check_typed(&self) -> Result<(), String> {
        let Some(typed) = &self.typed else { return Ok(()) };
        if self.console.is_none() && self.screen.is_none() {
            return Err(format!(
                "check `{}` has `type` without `console` or `screen`: say when it is typed",
                self.name
            ));
        }
        if typed.is_empty() {
            return Err(format!("check `{}` types nothing: write what, or leave out `type`", self.name));
        }
        if self.screen.is_some()
            && let Some(key) = typed.chars().find(|it| !matches!(it, ' '..='~' | '\n' | '\t' | '\x1B'))
        {
            return Err(format!(
                "check `{}` types {key:?}, which has no key: use printable ASCII, `\\n`, `\\t` and `\\u001B`",
                self.name
            ));
        }
        Ok(())
    }
}

/// A virtual machine, `[machine.NAME]`. What `extends` says comes first; what is absent has a default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct MachineSpec {
    /// Another machine that this one is like.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extends: Option<Name>,
    /// The processor; `x86-64` unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arch: Option<Arch>,
    /// Memory; 512 MiB unless said, 1 GiB with `boot = "chromeos"`: shims copy their root into it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Bytes>,
    /// Processors; 1 unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpus: Option<u32>,
    /// Who runs the guest's instructions; `auto` unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accel: Option<AccelWish>,
    /// What starts first; UEFI for disks and nothing for kernels unless said; never with `boot = "chromeos"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub firmware: Option<Firmware>,
    /// How to get a shell on the serial console.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub login: Option<Login>,
    /// Times after which something is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
}

/// A processor architecture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Arch {
    /// 64-bit PC.
    #[default]
    #[serde(rename = "x86-64")]
    X8664,
}

/// Which accelerator a machine asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AccelWish {
    /// KVM if a probe shows that it works, else emulation, with the reason in the report.
    #[default]
    Auto,
    /// KVM or an error.
    Kvm,
    /// Emulation.
    Tcg,
}

/// What a machine's processor runs first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Firmware {
    /// OVMF.
    Uefi,
    /// SeaBIOS.
    Bios,
}

/// How to get a shell on the serial console.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Login {
    /// What the guest prints when it waits for a name; without it, the console is a shell already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// Who logs in.
    #[serde(default = "root")]
    pub user: String,
    /// Asked for after the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// What the shell prints when it waits for a command.
    #[serde(default = "hash")]
    pub shell: String,
}

fn root() -> String {
    "root".to_owned()
}

fn hash() -> String {
    "# ".to_owned()
}

/// Times after which something is wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Limits {
    /// From power-on to the shell; 5 minutes unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot: Option<Millis>,
    /// For a check without `within`; 60 seconds unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check: Option<Millis>,
    /// From asking for power-off to its end; 60 seconds unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub power_off: Option<Millis>,
}

impl MachineSpec {
    /// This machine, with what it does not say taken from `base`.
    #[must_use]
    pub fn over(self, base: &Self) -> Self {
        Self {
            extends: None,
            arch: self.arch.or(base.arch),
            memory: self.memory.or(base.memory),
            cpus: self.cpus.or(base.cpus),
            accel: self.accel.or(base.accel),
            firmware: self.firmware.or(base.firmware),
            login: self.login.or_else(|| base.login.clone()),
            limits: self.limits.or(base.limits),
        }
    }
}

/// Machines by name.
pub type Machines = BTreeMap<Name, MachineSpec>;

//! What a guest runs on.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Attach;
use crate::{Bytes, Millis, Name};

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
    /// Disks of its own, empty when it is switched on, and gone with it.
    #[serde(rename = "disk", skip_serializing_if = "Vec::is_empty")]
    pub disks: Vec<MachineDisk>,
    /// Its network; none unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub net: Option<Net>,
    /// Whether it has a TPM 2.0, by `swtpm`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tpm: Option<bool>,
    /// Whether it has a screen; a machine with `boot = "chromeos"` does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub screen: Option<bool>,
    /// How its guest is talked to; over the serial console unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<Channel>,
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
    /// 64-bit ARM, QEMU's `virt` machine.
    #[serde(rename = "aarch64")]
    Aarch64,
}

/// An empty disk of a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct MachineDisk {
    /// How big it is.
    pub size: Bytes,
    /// What it is to the machine; a virtio disk unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attach: Option<Attach>,
    /// Its serial number, by which the guest finds it in `/dev/disk/by-id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
}

/// The network of a machine: behind QEMU, which gives it an address by DHCP.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Net {
    /// Ports of the guest that can be reached from the host, by a name for each: `{ ssh = 22 }`. bootway chooses a port
    /// of the host that is free, unless one is given: `{ web = { guest = 80, host = 8080 } }`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub forward: BTreeMap<String, Forward>,
    /// Whether the guest can reach nothing but the host's answers.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub isolated: bool,
}

/// A port of a guest that can be reached from the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Forward {
    /// Over any port of the host.
    Any(u16),
    /// Over this one, or not at all.
    Fixed {
        /// The guest's.
        guest: u16,
        /// The host's.
        host: u16,
    },
}

impl Forward {
    /// The port of the guest.
    pub const fn guest(self) -> u16 {
        match self {
            Self::Any(guest) | Self::Fixed { guest, .. } => guest,
        }
    }
}

/// How a guest is talked to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Channel {
    /// By logging in on the serial console.
    #[default]
    Serial,
    /// By a shell on a virtio port, which the guest's system starts by itself: `bootway` is the port's name.
    Port,
    /// By a shell on a virtio port that systemd is told to start: for an image with systemd as it is. With
    /// `boot = "kernel"`, or with firmware for UEFI and a boot stub of systemd 254 or later.
    Systemd,
    /// By SSH, over the forwarded port 22.
    Ssh,
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
            disks: if self.disks.is_empty() { base.disks.clone() } else { self.disks },
            net: self.net.or_else(|| base.net.clone()),
            tpm: self.tpm.or(base.tpm),
            screen: self.screen.or(base.screen),
            channel: self.channel.or(base.channel),
            login: self.login.or_else(|| base.login.clone()),
            limits: self.limits.or(base.limits),
        }
    }
}

/// Machines by name.
pub type Machines = BTreeMap<Name, MachineSpec>;

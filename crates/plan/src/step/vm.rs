//! Parameters of `vm`: boot and check.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Name, Source};

mod check;
mod machine;

pub use check::{
    Check, CheckKind, CopyIn, CopyOut, Look, RunCheck, Screenshot, UnitCheck, UnitState, WaitFile,
};
pub use machine::{
    AccelWish, Arch, Channel, Firmware, Forward, Limits, Login, MachineDisk, MachineSpec, Machines, Net,
};

/// Boot an image and decide its checks, in their order. The image is never written to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Vm {
    /// The disk, or with `boot = "iso"` the disc; only `boot = "kernel"` may do without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Source>,
    /// A `[machine.NAME]`; a machine of defaults unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<Name>,
    /// What starts.
    #[serde(default)]
    pub boot: Boot,
    /// What the image is to the machine; a USB stick with `boot = "chromeos"`, a drive with `boot = "iso"` and a virtio
    /// disk else unless said. An ISO may be a USB stick or a disk, too, if it is hybrid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attach: Option<Attach>,
    /// Other images that the machine has: each is a disk that is never written to.
    #[serde(default, rename = "disk", skip_serializing_if = "Vec::is_empty")]
    pub disks: Vec<ImageDisk>,
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
    /// The private key that the guest lets us in with, for checks with `ssh`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh_key: Option<Source>,
    /// What must be seen, in this order; the machine is ready for its tests once all of them have passed.
    #[serde(default, rename = "check", skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
    /// Tests, each of which has the machine as it was when the checks had passed, and sees nothing of the others.
    #[serde(default, rename = "test", skip_serializing_if = "Vec::is_empty")]
    pub tests: Vec<Test>,
    /// How the tests get their machine.
    #[serde(default, skip_serializing_if = "Snapshot::is_auto")]
    pub snapshot: Snapshot,
}

/// Checks of a machine that is as it was when it was ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Test {
    /// What it proves, for the report; its checks are told as `NAME: CHECK`.
    pub name: String,
    /// What must be seen, in this order.
    #[serde(rename = "check")]
    pub checks: Vec<Check>,
}

/// How the tests of a `vm` step get a machine that is ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Snapshot {
    /// By restoring it, if it can be saved; else each boots, and it is said why.
    #[default]
    Auto,
    /// By restoring it, or the step fails.
    Required,
    /// Each boots.
    Never,
}

impl Snapshot {
    /// Whether it is what it is unless said.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it")]
    fn is_auto(&self) -> bool {
        *self == Self::Auto
    }
}

/// Another image that a machine has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ImageDisk {
    /// The image; what the guest writes is gone with the machine.
    pub image: Source,
    /// What it is to the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attach: Option<Attach>,
}

impl Vm {
    pub(super) fn sources(&self) -> Vec<&Source> {
        let tests = self.tests.iter().flat_map(|test| &test.checks).flat_map(Check::sources);
        self.ready_sources().chain(&self.ssh_key).chain(tests).collect()
    }

    /// What the machine depends on as it is when it is ready.
    pub fn ready_sources(&self) -> impl Iterator<Item = &Source> {
        let own = [&self.image, &self.kernel, &self.initrd].into_iter().flatten();
        let disks = self.disks.iter().map(|disk| &disk.image);
        own.chain(disks).chain(self.checks.iter().flat_map(Check::sources))
    }

    /// Those of the step, then those of each test.
    pub fn all_checks(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().chain(self.tests.iter().flat_map(|test| &test.checks))
    }

    /// What the image is to the machine.
    pub fn attach(&self) -> Attach {
        self.attach.unwrap_or(match self.boot {
            Boot::Disk | Boot::Kernel => Attach::Virtio,
            Boot::Iso => Attach::Cdrom,
            Boot::Chromeos => Attach::Usb,
        })
    }

    pub(super) fn summary(&self) -> String {
        let what = self.image.as_ref().or(self.kernel.as_ref()).map_or(String::new(), ToString::to_string);
        let how = match self.boot {
            Boot::Disk => "from disk",
            Boot::Iso => "from disc",
            Boot::Kernel => "by kernel",
            Boot::Chromeos => "as a Chromebook would",
        };
        let tests = match self.tests.len() {
            0 => String::new(),
            1 => ", 1 test".to_owned(),
            count => format!(", {count} tests"),
        };
        format!("boot {what} {how}, {} checks{tests}", self.checks.len())
    }
}

/// What a machine starts with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Boot {
    /// Its firmware, from the disk.
    #[default]
    Disk,
    /// Its firmware, from a disc: an ISO image in a drive, unless `attach` says something else.
    Iso,
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
    /// A disk of SATA.
    Sata,
    /// A disc in a drive of SATA.
    Cdrom,
}

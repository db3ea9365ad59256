//! The kinds of steps there are, and the parameters of each.
//!
//! A step's kind is a key of its table in `plan.toml` (`squashfs = { … }`), so that an error points at the value
//! itself. What a step reads and makes follows from its parameters; nothing else says it.

use camino::Utf8PathBuf;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ArtifactKind, Name, OutputName, Source};

mod closure;
mod command;
mod disk;
mod harvest;
mod inspect;
mod iso;
mod nix;
mod nix_check;
mod oci;
mod package;
mod rootfs;
mod source;
mod tree;
mod uki;
mod vm;

pub use closure::{Closure, CommandNix, StoreMode, StoreVerify};
pub use command::{Beside, Command, CommandOutput, InvalidTemplate, Part, Ready, Template};
pub use disk::{
    BootAttributes, Disk, DiskFormat, FsKind, Partition, PartitionType, Share, ShareOf, Size, Table,
};
pub use harvest::Harvest;
pub use inspect::{Expect, Inspect, Runs};
pub use iso::{Iso, IsoBios};
pub use nix::NixBuild;
pub use nix_check::{Gating, Names, Naming, NixCheck, Profiles, Refuses, Throws};
pub use oci::{Healthcheck, Oci, OciArch, OciFormat};
pub(crate) use package::BUILD_PLACES;
pub use package::{Package, PackageChange, PackageSpec, PackageSpecs, Packages, Strategy};
pub use rootfs::{EditRoot, Rootfs};
pub use source::{Debian, DebianArchive, DebianSource, Fetch, Unpack};
pub use tree::{Compression, Compressor, Edit, Initramfs, Mode, Owners, Squashfs, Tree, TreeFrom, TreePart};
pub use uki::Uki;
pub use vm::{
    AccelWish, Arch, Attach, Boot, Channel, Check, CheckKind, CopyIn, CopyOut, Firmware, Forward, ImageDisk,
    Limits, Login, Look, MachineDisk, MachineSpec, Machines, Net, RunCheck, Screenshot, Snapshot, Test,
    UnitCheck, UnitState, Vm, WaitFile,
};

/// A kind of step and its parameters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Run a program.
    Command(Command),
    /// Debian packages to a tree.
    Debian(Debian),
    /// A source package of Debian to a tree.
    DebianSource(DebianSource),
    /// Download a file.
    Fetch(Fetch),
    /// An archive to a tree.
    Unpack(Unpack),
    /// A flake's attribute to an artifact.
    NixBuild(NixBuild),
    /// Expectations on a flake.
    NixCheck(NixCheck),
    /// Store paths and all they refer to, to a store of their own.
    Closure(Closure),
    /// Build software inside the root of a namespace.
    Package(Package),
    /// Build the packages of the phase.
    Packages(Packages),
    /// Change files in the root of a namespace.
    Edit(EditRoot),
    /// The root of a namespace to a tree.
    Rootfs(Rootfs),
    /// Compose and edit a tree.
    Tree(Tree),
    /// A tree to a cpio archive.
    Initramfs(Initramfs),
    /// A tree to a squashfs image.
    Squashfs(Squashfs),
    /// Kernel, initramfs and command line to one EFI program.
    Uki(Uki),
    /// Partitions to a GPT disk.
    Disk(Disk),
    /// A tree to a disc that starts.
    Iso(Iso),
    /// A tree to a container image.
    Oci(Oci),
    /// `ChromeOS` images to what an image of one's own is made of.
    Harvest(Harvest),
    /// Expectations on an image or tree.
    Inspect(Inspect),
    /// Boot and check.
    Vm(Vm),
}

impl Action {
    /// Every kind, in the words of the plan.
    pub const KINDS: [&str; 22] = [
        "command",
        "debian",
        "debian-source",
        "fetch",
        "unpack",
        "nix-build",
        "nix-check",
        "closure",
        "package",
        "packages",
        "edit",
        "rootfs",
        "tree",
        "initramfs",
        "squashfs",
        "uki",
        "disk",
        "iso",
        "oci",
        "harvest",
        "inspect",
        "vm",
    ];

    /// Its kind, in the word of the plan.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Command(_) => "command",
            Self::Debian(_) => "debian",
            Self::DebianSource(_) => "debian-source",
            Self::Fetch(_) => "fetch",
            Self::Unpack(_) => "unpack",
            Self::NixBuild(_) => "nix-build",
            Self::NixCheck(_) => "nix-check",
            Self::Closure(_) => "closure",
            Self::Package(_) => "package",
            Self::Packages(_) => "packages",
            Self::Edit(_) => "edit",
            Self::Rootfs(_) => "rootfs",
            Self::Tree(_) => "tree",
            Self::Initramfs(_) => "initramfs",
            Self::Squashfs(_) => "squashfs",
            Self::Uki(_) => "uki",
            Self::Disk(_) => "disk",
            Self::Iso(_) => "iso",
            Self::Oci(_) => "oci",
            Self::Harvest(_) => "harvest",
            Self::Inspect(_) => "inspect",
            Self::Vm(_) => "vm",
        }
    }

    /// Everything it reads, in the order of its parameters, each once.
    pub fn inputs(&self) -> Vec<Source> {
        let mut sources: Vec<&Source> = match self {
            Self::Command(it) => it.sources(),
            Self::Debian(_)
            | Self::DebianSource(_)
            | Self::Fetch(_)
            | Self::NixBuild(_)
            | Self::NixCheck(_)
            | Self::Packages(_)
            | Self::Edit(_)
            | Self::Rootfs(_) => Vec::new(),
            Self::Package(it) => it.sources(),
            Self::Closure(it) => it.sources(),
            Self::Iso(it) => it.sources(),
            Self::Oci(it) => vec![&it.from],
            Self::Unpack(it) => vec![&it.from],
            Self::Tree(it) => it.sources(),
            Self::Initramfs(it) => it.from.iter().map(TreeFrom::source).chain(&it.kernel).collect(),
            Self::Squashfs(it) => vec![&it.from],
            Self::Uki(it) => it.sources(),
            Self::Disk(it) => {
                it.partitions.iter().filter_map(|partition| partition.content.as_ref()).collect()
            }
            Self::Harvest(it) => it.sources(),
            Self::Inspect(it) => vec![&it.image],
            Self::Vm(it) => it.sources(),
        };
        let mut seen = std::collections::BTreeSet::new();
        sources.retain(|source| seen.insert(*source));
        sources.into_iter().cloned().collect()
    }

    /// Everything it makes; the first is meant when a reference names none.
    pub fn outputs(&self) -> Vec<(OutputName, ArtifactKind)> {
        let one = |name, kind| vec![(Name::fixed(name), kind)];
        match self {
            Self::Command(it) => {
                it.outputs.iter().map(|(name, output)| (name.clone(), output.kind)).collect()
            }
            Self::Debian(_) | Self::DebianSource(_) | Self::Rootfs(_) | Self::Tree(_) | Self::Unpack(_) => {
                one("tree", ArtifactKind::Tree)
            }
            Self::NixBuild(it) => one("built", it.kind),
            Self::Closure(it) if it.into.is_some() => one("registration", ArtifactKind::Text),
            Self::Closure(_) => one("store", ArtifactKind::Tree),
            Self::Oci(it) if it.format == OciFormat::Layout => one("image", ArtifactKind::Tree),
            Self::Oci(_) => one("image", ArtifactKind::Container),
            Self::Fetch(it) => one("file", it.kind),
            Self::Initramfs(_) => one("initramfs", ArtifactKind::Initramfs),
            Self::Squashfs(_) => one("image", ArtifactKind::Squashfs),
            Self::Iso(it) => one("image", it.kind()),
            Self::Uki(_) => one("uki", ArtifactKind::Efi),
            Self::Disk(it) => one("disk", it.kind()),
            Self::Harvest(it) => it.outputs(),
            // What they change in their root is an output of the step: see `Step::outputs`.
            Self::Package(_)
            | Self::Packages(_)
            | Self::Edit(_)
            | Self::NixCheck(_)
            | Self::Inspect(_)
            | Self::Vm(_) => Vec::new(),
        }
    }

    /// Where an output is, relative to the directory of the step's outputs.
    ///
    /// Known before anything runs, so that later command lines are known too.
    pub fn file_name(&self, output: &OutputName) -> String {
        match self {
            Self::Command(it) => it
                .outputs
                .get(output)
                .and_then(|output| output.path.clone())
                .unwrap_or_else(|| output.to_string()),
            Self::Fetch(it) => it.file_name().to_owned(),
            Self::Initramfs(_) => "initramfs.img".to_owned(),
            Self::Squashfs(_) => "image.squashfs".to_owned(),
            Self::Iso(_) => "image.iso".to_owned(),
            Self::Uki(_) => "uki.efi".to_owned(),
            Self::Oci(it) if it.format != OciFormat::Layout => "image.tar".to_owned(),
            Self::Disk(disk) if disk.format == DiskFormat::Qcow2 => "disk.qcow2".to_owned(),
            Self::Disk(_) => "disk.raw".to_owned(),
            Self::Harvest(_) => Harvest::file_name(output),
            Self::Debian(_)
            | Self::DebianSource(_)
            | Self::Package(_)
            | Self::Packages(_)
            | Self::Edit(_)
            | Self::Rootfs(_)
            | Self::Unpack(_)
            | Self::NixBuild(_)
            | Self::NixCheck(_)
            | Self::Closure(_)
            | Self::Tree(_)
            | Self::Oci(_)
            | Self::Inspect(_)
            | Self::Vm(_) => output.to_string(),
        }
    }

    /// Whether it runs in the root of its phase's namespace, if that has one.
    pub const fn runs_inside(&self) -> bool {
        matches!(self, Self::Command(_) | Self::Package(_) | Self::Edit(_))
    }

    /// Whether it is there for what it does, and makes nothing that its parameters name.
    pub(crate) fn is_effect(&self) -> bool {
        match self {
            Self::Command(it) => it.outputs.is_empty(),
            _ => false,
        }
    }

    /// Whether it looks at something that is not among its inputs.
    pub(crate) fn looks_each_time(&self) -> bool {
        matches!(self, Self::NixCheck(_))
            || matches!(self, Self::Inspect(it) if it.runs_something())
            || matches!(self, Self::Closure(it) if it.into.is_some())
    }

    /// What it does, in a few words.
    pub fn summary(&self) -> String {
        match self {
            Self::Command(it) => it.summary(),
            Self::Debian(it) => format!("{} from Debian {}", it.packages.join(", "), it.suite),
            Self::DebianSource(it) => format!("{} from Debian {}", it.package, it.suite),
            Self::Fetch(it) => it.url.clone(),
            Self::Unpack(it) => it.from.to_string(),
            Self::NixBuild(it) => it.attribute.clone(),
            Self::NixCheck(it) => it.summary(),
            Self::Closure(it) => it.summary(),
            Self::Iso(it) => it.summary(),
            Self::Oci(it) => it.from.to_string(),
            Self::Package(it) => it.summary(),
            Self::Packages(_) => "packages".to_owned(),
            Self::Edit(it) => it.summary(),
            Self::Rootfs(it) => it.summary(),
            Self::Tree(it) => it.summary(),
            Self::Initramfs(it) => it.summary(),
            Self::Squashfs(it) => it.summary(),
            Self::Uki(it) => format!("{} + {} initrd", it.kernel, it.initrd.len()),
            Self::Disk(it) => it.summary(),
            Self::Harvest(it) => it.summary(),
            Self::Inspect(it) => format!("{}, {} expectations", it.image, it.expect.len()),
            Self::Vm(it) => it.summary(),
        }
    }
}

/// A host path in a plan, relative to the plan's directory.
pub type PlanPath = Utf8PathBuf;

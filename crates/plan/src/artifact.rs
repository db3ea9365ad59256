//! What steps make.

use camino::Utf8PathBuf;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Bytes, Digest, OutputName};

/// A named output of a step: written whole, verified by kind, digested.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Artifact {
    /// Which output of the step.
    pub output: OutputName,
    /// What it was verified to be.
    pub kind: ArtifactKind,
    /// Where it is.
    pub path: Utf8PathBuf,
    /// Bytes of the file, or of all files of a tree.
    pub size: Bytes,
    /// Of the file's bytes, or of a tree's manifest.
    pub digest: Digest,
}

/// What an artifact is; the engine looks inside before it believes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ArtifactKind {
    /// Any file that is not empty.
    File,
    /// A directory beside a manifest, `NAME` and `NAME.manifest`.
    Tree,
    /// A Linux kernel that a boot loader can start: x86 bzImage, arm64 Image, or ELF.
    Kernel,
    /// A `ChromeOS` kernel partition: keyblock, preamble and body, each where the one before says.
    ChromeosKernel,
    /// A cpio archive in the newc format, maybe compressed, that has an `/init`.
    Initramfs,
    /// A squashfs 4.0 image.
    Squashfs,
    /// An ext2, ext3 or ext4 file system.
    Ext4,
    /// A PE file that UEFI firmware can start.
    Efi,
    /// A disk with a GUID partition table, both copies whole.
    Disk,
    /// A qcow2 image without a base, whose disk has a GUID partition table, both copies whole.
    Qcow2,
    /// A tar archive, maybe compressed.
    Tar,
    /// UTF-8 text.
    Text,
    /// A program that can be started: an ELF file or a script, executable.
    Program,
    /// An ISO 9660 image that firmware can start from.
    Iso,
    /// A container image in a tar archive: an OCI layout, or what `docker save` writes.
    Container,
}

impl ArtifactKind {
    /// The word for it in a plan.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Tree => "tree",
            Self::Kernel => "kernel",
            Self::ChromeosKernel => "chromeos-kernel",
            Self::Initramfs => "initramfs",
            Self::Squashfs => "squashfs",
            Self::Ext4 => "ext4",
            Self::Efi => "efi",
            Self::Disk => "disk",
            Self::Qcow2 => "qcow2",
            Self::Tar => "tar",
            Self::Text => "text",
            Self::Program => "program",
            Self::Iso => "iso",
            Self::Container => "container",
        }
    }
}

impl std::fmt::Display for ArtifactKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

//! The programs that bootway itself knows how to use.

use std::fmt;

/// Where programs are looked up: `PATH`, then where Debian keeps programs for administrators, which an ordinary user's
/// `PATH` lacks and which work for everybody on files (`mke2fs`).
pub fn search_path() -> String {
    let path = std::env::var("PATH").unwrap_or_default();
    let missing = ["/usr/sbin", "/sbin"].into_iter().filter(|dir| !path.split(':').any(|it| it == *dir));
    std::iter::once(path.as_str()).chain(missing).filter(|dir| !dir.is_empty()).collect::<Vec<_>>().join(":")
}

/// An external program that bootway's own steps start.
///
/// The list is closed, so `doctor` can check every one that a plan needs before a build begins. What a plan's
/// `command` steps start is the plan's business: see [`Program::User`](crate::Program::User).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tool {
    /// Indexes kernel modules for modprobe.
    Depmod,
    /// Verifies the signature of a Debian release.
    Gpgv,
    /// Writes ext2, ext3 and ext4 where our own writer lacks a feature.
    Mke2fs,
    /// Evaluates, and builds from flakes.
    Nix,
    /// Builds and asks stores.
    NixStore,
    /// QEMU for 64-bit PCs.
    QemuX86,
    /// QEMU for 64-bit ARM.
    QemuArm,
    /// Makes and converts disk images.
    QemuImg,
    /// Talks to guests over their network.
    Ssh,
    /// Is the TPM of a machine.
    Swtpm,
}

impl Tool {
    /// The name looked up on `PATH`.
    pub const fn program(self) -> &'static str {
        match self {
            Self::Depmod => "depmod",
            Self::Gpgv => "gpgv",
            Self::Mke2fs => "mke2fs",
            Self::Nix => "nix",
            Self::NixStore => "nix-store",
            Self::QemuX86 => "qemu-system-x86_64",
            Self::QemuArm => "qemu-system-aarch64",
            Self::QemuImg => "qemu-img",
            Self::Ssh => "ssh",
            Self::Swtpm => "swtpm",
        }
    }

    /// The Debian package that has it.
    pub const fn debian_package(self) -> &'static str {
        match self {
            Self::Depmod => "kmod",
            Self::Gpgv => "gpgv",
            Self::Mke2fs => "e2fsprogs",
            Self::Nix | Self::NixStore => "nix-bin",
            Self::QemuX86 => "qemu-system-x86",
            Self::QemuArm => "qemu-system-arm",
            Self::QemuImg => "qemu-utils",
            Self::Ssh => "openssh-client",
            Self::Swtpm => "swtpm",
        }
    }

    /// Arguments that make it print its version.
    pub const fn version_args(self) -> &'static [&'static str] {
        match self {
            Self::Mke2fs | Self::Ssh => &["-V"],
            Self::Depmod
            | Self::Gpgv
            | Self::Nix
            | Self::NixStore
            | Self::QemuX86
            | Self::QemuArm
            | Self::QemuImg
            | Self::Swtpm => &["--version"],
        }
    }

    /// How to get it, for the error that says it is missing.
    pub fn hint(self) -> String {
        format!("install it: `apt-get install {}`, or enter `nix develop ./nix`", self.debian_package())
    }
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.program())
    }
}

//! What a Debian machine needs, and what each of it is for.

use camino::Utf8Path;

use crate::sh::search_path;

/// A Debian package.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) name: &'static str,
    /// What shows that it is there.
    pub(crate) proof: Proof,
    /// What it is for, after "for".
    pub(crate) purpose: &'static str,
    pub(crate) used_by: UsedBy,
}

/// What shows that a package is there, whoever installed it.
#[derive(Debug)]
pub(crate) enum Proof {
    /// A program that is found.
    Program(&'static str),
    /// One of these files.
    AnyFile(&'static [&'static str]),
    /// A file whose name begins like this, in this directory.
    Beginning(&'static str, &'static str),
}

/// Who uses a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum UsedBy {
    /// The demo, and so `cargo xtask build-image`.
    Demo,
    /// The tests, too: other people's tools that must agree with ours.
    Tests,
}

use Proof::{AnyFile, Beginning, Program};
use UsedBy::{Demo, Tests};

/// Everything, in the order of its use.
#[rustfmt::skip]
pub(crate) const PACKAGES: &[Package] = &[
    package("gpgv", Program("gpgv"), "the signature of Debian's release files", Demo),
    package("debian-archive-keyring", AnyFile(&["/usr/share/keyrings/debian-archive-keyring.gpg"]), "the keys of those signatures", Demo),
    package("qemu-system-x86", Program("qemu-system-x86_64"), "booting what was built", Demo),
    package("ovmf", AnyFile(&["/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_CODE.fd"]), "UEFI firmware of the machines", Demo),
    package("qemu-system-arm", Program("qemu-system-aarch64"), "booting what is for 64-bit ARM", Tests),
    package("qemu-efi-aarch64", AnyFile(&["/usr/share/AAVMF/AAVMF_CODE.fd"]), "UEFI firmware of the machines for 64-bit ARM", Tests),
    package("swtpm", Program("swtpm"), "the TPM of the machines that have one", Tests),
    package("qemu-utils", Program("qemu-img"), "a second opinion on qcow2 images", Tests),
    package("openssh-client", Program("ssh"), "talking to guests over SSH", Tests),
    package("gdisk", Program("sgdisk"), "a second opinion on partition tables", Tests),
    package("fdisk", Program("sfdisk"), "a third opinion on partition tables", Tests),
    package("dosfstools", Program("fsck.fat"), "a second opinion on FAT", Tests),
    package("mtools", Program("mcopy"), "reading files out of FAT", Tests),
    package("e2fsprogs", Program("e2fsck"), "a second opinion on ext4", Tests),
    package("xfsprogs", Program("mkfs.xfs"), "sharing blocks with the files a disk is made of", Tests),
    package("squashfs-tools", Program("unsquashfs"), "a second opinion on squashfs, and the peer of `cargo xtask bench squashfs`", Tests),
    package("squashfs-tools-ng", Program("gensquashfs"), "a third opinion on squashfs", Tests),
    package("g++", Program("g++"), "libFuzzer, for `cargo xtask fuzz`", Tests),
    package("cpio", Program("cpio"), "a second opinion on initramfs archives", Tests),
    package("xz-utils", Program("xz"), "a second opinion on .xz", Tests),
    package("bzip2", Program("bzip2"), "a second opinion on bzip2", Tests),
    package("lz4", Program("lz4"), "a second opinion on LZ4 streams", Tests),
    package("lzop", Program("lzop"), "kernels that are not read, and are named", Tests),
    package("device-tree-compiler", Program("dtc"), "a second opinion on FIT images", Tests),
    package("gnupg", Program("gpg"), "signing the archive of packages that tests have of their own", Tests),
    package("bsdutils", Program("script"), "terminals for tests", Tests),
    package("time", Program("time"), "the memory of the peers of `cargo xtask bench`", Tests),
    package("zstd", Program("zstd"), "a second opinion on .zst", Tests),
    package("binutils", Program("objdump"), "a second opinion on PE sections, and `ar`", Tests),
    package("binutils-aarch64-linux-gnu", Program("aarch64-linux-gnu-as"), "a second opinion on a program for guests of 64-bit ARM", Tests),
    package("kmod", Program("depmod"), "a second opinion on kernel modules", Tests),
    package("busybox-static", Program("busybox"), "the guests of the machine tests", Tests),
    package("dropbear-bin", Program("dropbear"), "the server of the guests that are talked to over SSH", Tests),
    package("linux-image-cloud-amd64", Beginning("/boot", "vmlinuz-"), "the kernel of the machine tests", Tests),
    package("linux-source-6.1", AnyFile(&["/usr/src/linux-source-6.1.tar.xz"]), "the kernel of the shim that `cargo xtask fixtures shim` makes", Tests),
    package("make", Program("make"), "compiling that kernel", Tests),
    package("gcc", Program("gcc"), "compiling that kernel", Tests),
    package("bc", Program("bc"), "compiling that kernel", Tests),
    package("bison", Program("bison"), "compiling that kernel", Tests),
    package("flex", Program("flex"), "compiling that kernel", Tests),
    package("libelf-dev", AnyFile(&["/usr/include/gelf.h"]), "compiling that kernel", Tests),
    package("libssl-dev", AnyFile(&["/usr/include/openssl/opensslv.h"]), "compiling that kernel", Tests),
    package("cgpt", Program("cgpt"), "partition tables as ChromeOS has them: making the shim's, and a second opinion on ours", Tests),
    package("vboot-kernel-utils", Program("vbutil_kernel"), "signed kernels and their public keys: making the shim's, and a second opinion on ours", Tests),
    package("cryptsetup-bin", Program("veritysetup"), "hash trees of dm-verity, and LUKS", Tests),
    package("gzip", Program("gzip"), "compressed modules, and the kernel's own compression", Tests),
    package("zip", Program("zip"), "the archive that a shim is downloaded as", Tests),
    package("mmdebstrap", Program("mmdebstrap"), "the plan with a whole Debian", Tests),
    package("uidmap", Program("newuidmap"), "mmdebstrap without root", Tests),
    package("nix-bin", Program("nix"), "flakes, and closures of store paths", Tests),
    package("xorriso", Program("xorriso"), "a second opinion on ISO images", Tests),
    package("skopeo", Program("skopeo"), "a second opinion on images of containers", Tests),
    package("umoci", Program("umoci"), "a third opinion on images of containers", Tests),
    package("podman", Program("podman"), "running the containers that were made", Tests),
    package("runc", Program("runc"), "what podman runs them with, on any kernel", Tests),
    package("zsh", Program("zsh"), "completions as zsh reads them", Tests),
    package("fish", Program("fish"), "completions as fish reads them", Tests),
    package("python3", Program("python3"), "a second opinion on YAML, and a terminal for menus", Tests),
    package("genimage", Program("genimage"), "the peer of `cargo xtask bench disk`", Tests),
    package("patch", Program("patch"), "a second opinion on patches", Tests),
    package("dpkg-dev", Program("dpkg-source"), "a second opinion on source packages", Tests),
    package("git", Program("git"), "patches, flakes, and the list of files that the tidy test looks at", Tests),
];

const fn package(name: &'static str, proof: Proof, purpose: &'static str, used_by: UsedBy) -> Package {
    Package { name, proof, purpose, used_by }
}

impl Package {
    /// Whether this machine has what the package would bring.
    pub(crate) fn is_there(&self) -> bool {
        match self.proof {
            Program(name) => has_program(name),
            AnyFile(files) => files.iter().any(|file| Utf8Path::new(file).is_file()),
            Beginning(dir, start) => {
                let entries = fs_err::read_dir(dir).into_iter().flatten().flatten();
                entries.into_iter().any(|entry| entry.file_name().to_string_lossy().starts_with(start))
            }
        }
    }
}

/// Whether a program of this name would be found.
pub(crate) fn has_program(name: &str) -> bool {
    std::env::split_paths(&search_path()).any(|dir| dir.join(name).is_file())
}

/// What of it this machine lacks.
pub(crate) fn missing(used_by: UsedBy) -> Vec<&'static Package> {
    PACKAGES.iter().filter(|package| package.used_by <= used_by && !package.is_there()).collect()
}

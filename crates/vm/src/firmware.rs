//! Where a host keeps its UEFI firmware.

use bootway_plan::step::Arch;
use camino::{Utf8Path, Utf8PathBuf};

/// The two files of a build of UEFI firmware for QEMU: OVMF, or AAVMF for 64-bit ARM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirmwareFiles {
    /// The program; never written to.
    pub code: Utf8PathBuf,
    /// Its variables as they are when it was never started; a guest gets a copy.
    pub vars: Utf8PathBuf,
}

/// Where distributions put OVMF without Secure Boot, the better build first: 4 MiB builds have room for variables
/// that 2 MiB builds lack. Code and variables belong together.
const PLACES: [(&str, &str); 9] = [
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"), // Debian, Ubuntu
    ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),       // Debian 11 and before
    ("/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"), // Arch
    ("/usr/share/edk2-ovmf/x64/OVMF_CODE.fd", "/usr/share/edk2-ovmf/x64/OVMF_VARS.fd"), // Arch before 2023
    ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"), // Fedora
    ("/usr/share/edk2-ovmf/OVMF_CODE.fd", "/usr/share/edk2-ovmf/OVMF_VARS.fd"), // Gentoo
    ("/usr/share/qemu/ovmf-x86_64-code.bin", "/usr/share/qemu/ovmf-x86_64-vars.bin"), // openSUSE
    ("/run/libvirt/nix-ovmf/OVMF_CODE.fd", "/run/libvirt/nix-ovmf/OVMF_VARS.fd"), // NixOS with libvirt
    ("/run/current-system/sw/FV/OVMF_CODE.fd", "/run/current-system/sw/FV/OVMF_VARS.fd"), // NixOS, OVMF.fd installed
];

/// Where they put the one for 64-bit ARM, as files of 64 MiB: QEMU's `virt` takes no others as its flash.
const ARM_PLACES: [(&str, &str); 5] = [
    ("/usr/share/AAVMF/AAVMF_CODE.no-secboot.fd", "/usr/share/AAVMF/AAVMF_VARS.fd"), // Debian 13, Ubuntu
    ("/usr/share/AAVMF/AAVMF_CODE.fd", "/usr/share/AAVMF/AAVMF_VARS.fd"),            // Debian 12 and before
    ("/usr/share/edk2/aarch64/QEMU_EFI-pflash.raw", "/usr/share/edk2/aarch64/vars-template-pflash.raw"), // Fedora
    ("/usr/share/edk2/aarch64/QEMU_CODE.fd", "/usr/share/edk2/aarch64/QEMU_VARS.fd"), // Arch
    ("/usr/share/qemu/aavmf-aarch64-code.bin", "/usr/share/qemu/aavmf-aarch64-vars.bin"), // openSUSE
];

/// What QEMU ships itself, relative to the `bin` that it is in: the only firmware of a Nix shell.
const fn beside(arch: Arch) -> (&'static str, &'static str, &'static str) {
    match arch {
        Arch::X8664 => {
            ("qemu-system-x86_64", "../share/qemu/edk2-x86_64-code.fd", "../share/qemu/edk2-i386-vars.fd")
        }
        Arch::Aarch64 => {
            ("qemu-system-aarch64", "../share/qemu/edk2-aarch64-code.fd", "../share/qemu/edk2-arm-vars.fd")
        }
    }
}

/// What QEMU's `virt` has room for as its flash, twice.
const ARM_FLASH: u64 = 64 << 20;

impl FirmwareFiles {
    /// The best firmware for such a processor that there is on this host, or `None`.
    pub fn find(arch: Arch) -> Option<Self> {
        Self::find_below(Utf8Path::new("/"), arch).or_else(|| {
            let path = std::env::var("PATH").ok()?;
            path.split(':').find_map(|bin| Self::beside_qemu(Utf8Path::new(bin), arch))
        })
    }

    fn find_below(root: &Utf8Path, arch: Arch) -> Option<Self> {
        let below = |path: &str| root.join(path.trim_start_matches('/'));
        let places: &[_] = match arch {
            Arch::X8664 => &PLACES,
            Arch::Aarch64 => &ARM_PLACES,
        };
        let mut places = places.iter().map(|(code, vars)| Self { code: below(code), vars: below(vars) });
        places.find(|files| files.is_there(arch))
    }

    /// `bin` may be full of links; the files are beside what they lead to.
    fn beside_qemu(bin: &Utf8Path, arch: Arch) -> Option<Self> {
        let (qemu, code, vars) = beside(arch);
        let qemu = bin.join(qemu).canonicalize_utf8().ok()?;
        let dir = qemu.parent()?;
        let files = Self { code: dir.join(code), vars: dir.join(vars) };
        files.is_there(arch).then_some(files)
    }

    fn is_there(&self, arch: Arch) -> bool {
        let fits = |path: &Utf8Path| {
            fs_err::metadata(path)
                .is_ok_and(|it| it.is_file() && (arch == Arch::X8664 || it.len() == ARM_FLASH))
        };
        fits(&self.code) && fits(&self.vars)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(path: &Utf8Path) {
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, "x").unwrap();
    }

    #[test]
    fn code_without_its_variables_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap();
        assert_eq!(FirmwareFiles::find_below(root, Arch::X8664), None);
        touch(&root.join("usr/share/OVMF/OVMF_CODE_4M.fd"));
        touch(&root.join("usr/share/edk2/ovmf/OVMF_CODE.fd"));
        touch(&root.join("usr/share/edk2/ovmf/OVMF_VARS.fd"));
        let found = FirmwareFiles::find_below(root, Arch::X8664).unwrap();
        assert_eq!(found.vars, root.join("usr/share/edk2/ovmf/OVMF_VARS.fd"));
    }

    #[test]
    fn what_qemu_ships_is_found_through_links() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap();
        touch(&root.join("store/bin/qemu-system-x86_64"));
        touch(&root.join("store/share/qemu/edk2-x86_64-code.fd"));
        touch(&root.join("store/share/qemu/edk2-i386-vars.fd"));
        fs_err::create_dir(root.join("bin")).unwrap();
        fs_err::os::unix::fs::symlink(
            root.join("store/bin/qemu-system-x86_64"),
            root.join("bin/qemu-system-x86_64"),
        )
        .unwrap();
        assert!(FirmwareFiles::beside_qemu(&root.join("bin"), Arch::X8664).is_some());
        assert_eq!(FirmwareFiles::beside_qemu(&root.join("store"), Arch::X8664), None);
    }
    /// QEMU would say no more than that a device has the wrong size.
    #[test]
    fn what_does_not_fit_into_the_flash_of_an_arm_machine_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap();
        for (file, size) in [
            ("usr/share/AAVMF/AAVMF_CODE.fd", 2 << 20),
            ("usr/share/AAVMF/AAVMF_VARS.fd", ARM_FLASH),
            ("usr/share/edk2/aarch64/QEMU_CODE.fd", ARM_FLASH),
            ("usr/share/edk2/aarch64/QEMU_VARS.fd", ARM_FLASH),
        ] {
            touch(&root.join(file));
            fs_err::OpenOptions::new().write(true).open(root.join(file)).unwrap().set_len(size).unwrap();
        }
        let found = FirmwareFiles::find_below(root, Arch::Aarch64).unwrap();
        assert_eq!(found.code, root.join("usr/share/edk2/aarch64/QEMU_CODE.fd"));
        assert_eq!(FirmwareFiles::find_below(root, Arch::X8664), None);
    }
}

//! Where a host keeps its UEFI firmware.

use camino::{Utf8Path, Utf8PathBuf};

/// The two files of an OVMF build.
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

/// What QEMU ships itself, relative to the `bin` that it is in: the only OVMF of a Nix shell.
const BESIDE_QEMU: (&str, &str) = ("../share/qemu/edk2-x86_64-code.fd", "../share/qemu/edk2-i386-vars.fd");

impl FirmwareFiles {
    /// The best OVMF there is on this host, or `None`.
    pub fn find() -> Option<Self> {
        Self::find_below(Utf8Path::new("/")).or_else(|| {
            let path = std::env::var("PATH").ok()?;
            path.split(':').map(Utf8Path::new).find_map(Self::beside_qemu)
        })
    }

    fn find_below(root: &Utf8Path) -> Option<Self> {
        let below = |path: &str| root.join(path.trim_start_matches('/'));
        let mut places = PLACES.iter().map(|(code, vars)| Self { code: below(code), vars: below(vars) });
        places.find(Self::is_there)
    }

    /// `bin` may be full of links; the files are beside what they lead to.
    fn beside_qemu(bin: &Utf8Path) -> Option<Self> {
        let qemu = bin.join("qemu-system-x86_64").canonicalize_utf8().ok()?;
        let dir = qemu.parent()?;
        let files = Self { code: dir.join(BESIDE_QEMU.0), vars: dir.join(BESIDE_QEMU.1) };
        files.is_there().then_some(files)
    }

    fn is_there(&self) -> bool {
        self.code.is_file() && self.vars.is_file()
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
        assert_eq!(FirmwareFiles::find_below(root), None);
        touch(&root.join("usr/share/OVMF/OVMF_CODE_4M.fd"));
        touch(&root.join("usr/share/edk2/ovmf/OVMF_CODE.fd"));
        touch(&root.join("usr/share/edk2/ovmf/OVMF_VARS.fd"));
        let found = FirmwareFiles::find_below(root).unwrap();
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
        assert!(FirmwareFiles::beside_qemu(&root.join("bin")).is_some());
        assert_eq!(FirmwareFiles::beside_qemu(&root.join("store")), None);
    }
}

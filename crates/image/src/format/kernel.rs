//! Linux kernels as boot loaders see them.
//!
//! Source: Linux, `Documentation/arch/x86/boot.rst` (the setup header) and `Documentation/arch/arm64/booting.rst`.

/// What a kernel image is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kernel {
    /// x86, with a boot sector and setup code before it.
    BzImage {
        /// What `uname -r` will say, if the setup header says it.
        version: Option<String>,
    },
    /// arm64, uncompressed.
    Arm64,
    /// An ELF file, such as `vmlinux`.
    Elf,
}

/// Looks at the first 64 KiB of a file.
pub(crate) fn parse(start: &[u8]) -> Option<Kernel> {
    if start.get(0x202..0x206) == Some(b"HdrS") {
        return Some(Kernel::BzImage { version: version(start) });
    }
    if start.get(56..60) == Some(b"ARM\x64") {
        return Some(Kernel::Arm64);
    }
    start.starts_with(b"\x7fELF").then_some(Kernel::Elf)
}

/// The first word of the string that `kernel_version` at 0x20e points to, which counts from 0x200.
fn version(start: &[u8]) -> Option<String> {
    let pointer = start.get(0x20e..0x210)?;
    let at = usize::from(u16::from_le_bytes([pointer[0], pointer[1]]));
    if at == 0 {
        return None;
    }
    let text = start.get(at + 0x200..)?;
    let text = &text[..text.len().min(256)];
    let end = text.iter().position(|byte| *byte == b' ' || *byte == 0)?;
    let version = std::str::from_utf8(&text[..end]).ok()?;
    let is_version = !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_graphic());
    is_version.then(|| version.to_owned())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A boot sector with a setup header that says `version`.
    pub(crate) fn bzimage(version: &str) -> Vec<u8> {
        let mut out = vec![0; 0x400];
        out[0x202..0x206].copy_from_slice(b"HdrS");
        out[0x20e..0x210].copy_from_slice(&0x100_u16.to_le_bytes());
        out[0x300..0x300 + version.len()].copy_from_slice(version.as_bytes());
        out
    }

    #[test]
    fn a_version_ends_at_the_first_space() {
        let version = |text: &str| match parse(&bzimage(text)) {
            Some(Kernel::BzImage { version }) => version,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            version("6.1.0-56-amd64 (debian-kernel@lists.debian.org) #1 SMP").as_deref(),
            Some("6.1.0-56-amd64")
        );
        assert_eq!(version(""), None);
        assert_eq!(parse(b"MZ"), None);
        let mut far = bzimage("6");
        far[0x20e..0x210].copy_from_slice(&[0xff; 2]);
        assert_eq!(parse(&far), Some(Kernel::BzImage { version: None }));
    }
}

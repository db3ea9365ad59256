//! What a kernel can do, by its version, its configuration, and its bytes.
//!
//! Everything here is a pure function; each answer comes with what it was drawn from.
//!
//! ```
//! use bootway_chromeos::kernel::fitness::{Verdict, Version, abilities, systemd};
//!
//! let version = Version::parse("4.14.336-23241-g1ab2").ok_or("no version")?;
//! assert_eq!(systemd(version).newest, Some(257));
//! // Without a configuration, a message of the driver is evidence that it is built in.
//! let kernel = b"\x016squashfs: version 4.0 (2009/01/31) Phillip Lougher\n\0";
//! let squashfs = abilities(None, kernel).into_iter().find(|ability| ability.name == "squashfs");
//! assert_eq!(squashfs.map(|ability| ability.verdict), Some(Verdict::Yes));
//! # Ok::<(), &str>(())
//! ```

use super::Config;

/// A kernel's version, without what comes after the second number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32);

impl Version {
    /// The first two numbers of what `uname -r` says.
    pub fn parse(release: &str) -> Option<Self> {
        let mut numbers = release.split(|byte: char| !byte.is_ascii_digit());
        Some(Self(numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// Whether a kernel can do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is built in.
    Yes,
    /// It is, with a module.
    Module,
    /// It is not.
    No,
    /// It could not be found out.
    Unknown,
}

/// One thing that a kernel can do, or cannot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ability {
    /// In a word or two: `squashfs`, `dm-verity`.
    pub name: &'static str,
    /// Whether it can.
    pub verdict: Verdict,
    /// What that was drawn from: `CONFIG_SQUASHFS=y`.
    pub evidence: String,
}

/// What is looked for: the option, and a string that only kernels that have it built in hold.
struct Question {
    name: &'static str,
    option: &'static str,
    /// Nothing if there is no such string.
    trace: Option<&'static str>,
    /// Whether it can be a module, so that a missing string says nothing.
    modular: bool,
}

const fn question(name: &'static str, option: &'static str, trace: &'static str, modular: bool) -> Question {
    Question { name, option, trace: Some(trace), modular }
}

const fn option_only(name: &'static str, option: &'static str) -> Question {
    Question { name, option, trace: None, modular: false }
}

/// Each trace is a message, a parameter or a file of `/proc` that the option brings, and that was looked for in kernels
/// with the option and without it.
const QUESTIONS: [Question; 26] = [
    question("ext4", "EXT4_FS", "EXT4-fs (", true),
    question("squashfs", "SQUASHFS", "squashfs: version", true),
    option_only("squashfs with gzip", "SQUASHFS_ZLIB"),
    option_only("squashfs with xz", "SQUASHFS_XZ"),
    option_only("squashfs with lz4", "SQUASHFS_LZ4"),
    option_only("squashfs with zstd", "SQUASHFS_ZSTD"),
    question("overlay", "OVERLAY_FS", "overlayfs: ", true),
    question("fuse", "FUSE_FS", "fuse.max_user_bgreq", true),
    question("vfat", "VFAT_FS", "FAT-fs (", true),
    question("btrfs", "BTRFS_FS", "Btrfs loaded", true),
    question("devtmpfs", "DEVTMPFS", "devtmpfs: initialized", false),
    question("cgroup2", "CGROUPS", "cgroup2", false),
    question("device mapper", "BLK_DEV_DM", "device-mapper: core", true),
    question("dm-crypt", "DM_CRYPT", "device-mapper: crypt: ", true),
    question("dm-verity", "DM_VERITY", "device-mapper: verity: ", true),
    question("loop devices", "BLK_DEV_LOOP", "loop-control", true),
    question("zram", "ZRAM", "zram.num_devices", true),
    question("usb-storage", "USB_STORAGE", "usb-storage", true),
    question("nvme", "BLK_DEV_NVME", "nvme_core.admin_timeout", true),
    question("kexec", "KEXEC", "kexec_load_disabled", false),
    question("virtual terminals", "VT", "consoleblank", false),
    option_only("console on virtual terminals", "VT_CONSOLE"),
    question("serial ports", "SERIAL_8250", "Serial: 8250/16550", true),
    option_only("console on a serial port", "SERIAL_8250_CONSOLE"),
    option_only("user namespaces", "USER_NS"),
    question(
        "a ban on mounts over symlinks",
        "SECURITY_CHROMIUMOS_NO_SYMLINK_MOUNT",
        "Mount path with symlinks prohibited",
        false,
    ),
];

/// What a kernel can do, by its configuration; without one, by the strings in `vmlinux`, the decompressed kernel.
///
/// A string that is there says yes; one that is missing says no only where a module is impossible.
pub fn abilities(config: Option<&Config>, vmlinux: &[u8]) -> Vec<Ability> {
    let answer = |question: &Question| {
        let (verdict, evidence) =
            config.map_or_else(|| by_trace(question, vmlinux), |config| by_config(config, question.option));
        Ability { name: question.name, verdict, evidence }
    };
    QUESTIONS.iter().map(answer).collect()
}

fn by_config(config: &Config, option: &str) -> (Verdict, String) {
    match config.get(option).map(String::as_str) {
        Some("y") => (Verdict::Yes, format!("CONFIG_{option}=y")),
        Some("m") => (Verdict::Module, format!("CONFIG_{option}=m")),
        Some(value) => (Verdict::Unknown, format!("CONFIG_{option}={value}")),
        None => (Verdict::No, format!("CONFIG_{option} is not set")),
    }
}

fn by_trace(question: &Question, vmlinux: &[u8]) -> (Verdict, String) {
    let Some(trace) = question.trace else {
        return (Verdict::Unknown, "the kernel carries no configuration".to_owned());
    };
    match (memchr::memmem::find(vmlinux, trace.as_bytes()), question.modular) {
        (Some(at), _) => (Verdict::Yes, format!("the kernel holds `{trace}` at byte {at}")),
        (None, true) => (
            Verdict::Unknown,
            format!("the kernel carries no configuration, and does not hold `{trace}`: no, or a module"),
        ),
        (None, false) => (Verdict::No, format!("the kernel does not hold `{trace}`")),
    }
}

/// The newest systemd that can run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Systemd {
    /// Its version; nothing if even the oldest of the table needs a newer kernel, `u32::MAX` if there is no limit known.
    pub newest: Option<u32>,
    /// Which release needs which kernel.
    pub evidence: String,
}

/// The newest systemd that runs on a kernel.
///
/// Source: the `README` of systemd, "REQUIREMENTS": 257 needs 3.15, 258 and 259 need 5.4, 260 needs 5.10.
pub fn systemd(version: Version) -> Systemd {
    let newest = match version {
        v if v >= Version(5, 10) => Some(u32::MAX),
        v if v >= Version(5, 4) => Some(259),
        v if v >= Version(3, 15) => Some(257),
        _ => None,
    };
    let evidence = match newest {
        Some(u32::MAX) => format!("Linux {version}: systemd 260 needs 5.10"),
        Some(259) => format!("Linux {version}: systemd 259 needs 5.4, and 260 needs 5.10"),
        Some(_) => format!("Linux {version}: systemd 257 needs 3.15, and 258 needs 5.4"),
        None => format!("Linux {version}: systemd 257 needs 3.15"),
    };
    Systemd { newest, evidence }
}

/// How a kernel that does not know a feature of ext4 takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// It ignores it.
    Ignores,
    /// It mounts read-only.
    ReadsOnly,
    /// It does not mount.
    Refuses,
}

/// A feature of ext4, by the name that `mke2fs -O` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ext4Feature {
    /// As in `mke2fs -O`.
    pub name: &'static str,
    /// The first kernel that has it.
    pub since: Version,
    /// What older kernels do.
    pub older: Unknown,
}

impl Ext4Feature {
    /// Whether a kernel can mount a file system with it for writing.
    pub fn mounts(&self, version: Version) -> bool {
        version >= self.since || self.older == Unknown::Ignores
    }
}

const fn feature(name: &'static str, major: u32, minor: u32, older: Unknown) -> Ext4Feature {
    Ext4Feature { name, since: Version(major, minor), older }
}

/// The features of ext4 that came after ext4 itself.
///
/// Source: ext4(5), "KERNEL SUPPORT", and Linux, `fs/ext4/ext4.h`, for what is compat, ro-compat and incompat;
/// `fast_commit` and `orphan_file` by the releases that brought them.
pub const EXT4_FEATURES: [Ext4Feature; 18] = [
    feature("64bit", 2, 6, Unknown::Refuses),
    feature("flex_bg", 2, 6, Unknown::Refuses),
    feature("mmp", 3, 0, Unknown::Refuses),
    feature("bigalloc", 3, 2, Unknown::ReadsOnly),
    feature("quota", 3, 6, Unknown::ReadsOnly),
    feature("inline_data", 3, 8, Unknown::Refuses),
    feature("sparse_super2", 3, 16, Unknown::Ignores),
    feature("metadata_csum", 3, 18, Unknown::ReadsOnly),
    feature("encrypt", 4, 1, Unknown::Refuses),
    feature("metadata_csum_seed", 4, 4, Unknown::Refuses),
    feature("project", 4, 5, Unknown::ReadsOnly),
    feature("ea_inode", 4, 13, Unknown::Refuses),
    feature("large_dir", 4, 13, Unknown::Refuses),
    feature("casefold", 5, 2, Unknown::Refuses),
    feature("verity", 5, 4, Unknown::ReadsOnly),
    feature("stable_inodes", 5, 5, Unknown::Ignores),
    feature("fast_commit", 5, 10, Unknown::Ignores),
    // Compatible, but for the bit that a mounted file system has besides (`orphan_present`, ro-compat).
    feature("orphan_file", 5, 15, Unknown::ReadsOnly),
];

/// The features of ext4 that a kernel cannot mount for writing.
pub fn ext4_too_new(version: Version) -> impl Iterator<Item = &'static Ext4Feature> {
    EXT4_FEATURES.iter().filter(move |feature| !feature.mounts(version))
}

/// Whether the kernel loads firmware that is compressed with xz (`.xz`), and with zstd (`.zst`).
///
/// Source: Linux, `drivers/base/firmware_loader/Kconfig`; `FW_LOADER_COMPRESS` came with 5.3 and was xz alone,
/// `FW_LOADER_COMPRESS_ZSTD` with 5.19.
pub fn compressed_firmware(version: Version, config: Option<&Config>) -> [Ability; 2] {
    let xz = match version {
        v if v < Version(5, 3) => too_old(version, "5.3"),
        v if v < Version(5, 19) => by_option(config, "FW_LOADER_COMPRESS"),
        _ => by_option(config, "FW_LOADER_COMPRESS_XZ"),
    };
    let zstd = match version {
        v if v < Version(5, 19) => too_old(version, "5.19"),
        _ => by_option(config, "FW_LOADER_COMPRESS_ZSTD"),
    };
    [ability("firmware in xz", xz), ability("firmware in zstd", zstd)]
}

/// Whether the kernel itself decompresses modules, and with what it does.
///
/// Without, kmod in the root has to be built with the compression; `ChromeOS` ships `.ko.gz`, which Debian's is not.
/// Source: Linux, `kernel/module/Kconfig`; `MODULE_DECOMPRESS` came with 5.17.
pub fn compressed_modules(version: Version, config: Option<&Config>) -> Ability {
    let mut answer = match version {
        v if v < Version(5, 17) => too_old(version, "5.17"),
        _ => by_option(config, "MODULE_DECOMPRESS"),
    };
    let with = ["GZIP", "XZ", "ZSTD"]
        .into_iter()
        .find(|name| config.is_some_and(|config| config.contains_key(&format!("MODULE_COMPRESS_{name}"))));
    if let (Verdict::Yes, Some(with)) = (answer.0, with) {
        answer.1 = format!("{}, CONFIG_MODULE_COMPRESS_{with}=y", answer.1);
    }
    ability("decompresses modules", answer)
}

fn by_option(config: Option<&Config>, option: &str) -> (Verdict, String) {
    let unknown = || (Verdict::Unknown, "the kernel carries no configuration".to_owned());
    config.map_or_else(unknown, |config| by_config(config, option))
}

fn too_old(version: Version, since: &str) -> (Verdict, String) {
    (Verdict::No, format!("Linux {version}: it came with {since}"))
}

fn ability(name: &'static str, (verdict, evidence): (Verdict, String)) -> Ability {
    Ability { name, verdict, evidence }
}

#[cfg(test)]
mod tests;

//! The disks of this machine, and what they are used for: what `/sys` and `/proc` say, read and never guessed.

use std::collections::BTreeMap;

use bootway_plan::Bytes;
use camino::{Utf8Path, Utf8PathBuf};

/// How deep what is on a disk is followed: a partition, a RAID, a LUKS, a volume, and more than anybody has.
const DEPTH: u32 = 8;

/// Where the kernel tells about itself; a test has files of its own there.
#[derive(Clone, Debug)]
pub(super) struct Host {
    /// `/sys`.
    pub(super) sys: Utf8PathBuf,
    /// `/proc`.
    pub(super) proc: Utf8PathBuf,
}

/// A whole disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Disk {
    /// As the kernel calls it: `sdb`.
    pub(super) name: String,
    pub(super) size: Bytes,
    /// Bytes that it reads and writes at once: 512 or 4096.
    pub(super) sector: u64,
    /// Who made it and what it is, for people.
    pub(super) model: String,
    /// How it is connected.
    pub(super) transport: &'static str,
    /// Whether it can be taken out.
    pub(super) removable: bool,
    pub(super) read_only: bool,
    /// Names of its partitions.
    pub(super) partitions: Vec<String>,
    /// What it and everything on it is used for now.
    pub(super) uses: Vec<Use>,
}

/// Something that uses a disk or a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Use {
    /// The disk, the partition, or what is made of them: `sdb1`, `dm-0`.
    pub(super) part: String,
    pub(super) by: By,
}

/// What uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// It is mounted there.
    Mount(String),
    /// It is swapped to.
    Swap,
    /// A device is made of it: LVM, LUKS, RAID.
    Device(String),
}

/// Mount points of the system that is running, and of what is below them.
const SYSTEM: [&str; 6] = ["/boot", "/efi", "/etc", "/nix", "/usr", "/var"];

impl Use {
    /// Whether the running system needs it.
    pub(super) fn is_system(&self) -> bool {
        match &self.by {
            By::Swap => true,
            By::Mount(at) => at == "/" || SYSTEM.iter().any(|it| Utf8Path::new(at).starts_with(it)),
            By::Device(_) => false,
        }
    }
}

impl std::fmt::Display for Use {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.by {
            By::Mount(at) => write!(f, "`{}` is mounted at `{at}`", self.part),
            By::Swap => write!(f, "`{}` is swapped to", self.part),
            By::Device(name) => write!(f, "`{}` is part of `{name}`", self.part),
        }
    }
}

impl Host {
    /// This machine.
    pub(super) fn here() -> Self {
        Self { sys: "/sys".into(), proc: "/proc".into() }
    }

    /// Every disk that is more than a piece of memory or of another disk, by name.
    pub(super) fn disks(&self) -> std::io::Result<Vec<Disk>> {
        const NOT_DISKS: [&str; 9] = ["dm-", "drbd", "fd", "loop", "md", "nbd", "ram", "sr", "zram"];
        let mut names = Vec::new();
        for entry in self.sys.join("block").read_dir_utf8()? {
            names.push(entry?.file_name().to_owned());
        }
        names.sort();
        names.retain(|name| !NOT_DISKS.iter().any(|it| name.starts_with(it)));
        let mounts = self.mounts();
        Ok(names.iter().map(|name| self.disk(name, &mounts)).filter(|disk| disk.size.get() > 0).collect())
    }

    /// The disk with this number (`8:16`), or the disk that the partition with this number is on.
    pub(super) fn by_number(&self, number: &str) -> Option<Numbered> {
        let dir = self.sys.join("dev/block").join(number).canonicalize_utf8().ok()?;
        if dir.join("partition").exists() {
            return Some(Numbered::Partition { of: dir.parent()?.file_name()?.to_owned() });
        }
        Some(Numbered::Disk(Box::new(self.disk(dir.file_name()?, &self.mounts()))))
    }

    fn disk(&self, name: &str, mounts: &Mounts) -> Disk {
        let dir = self.sys.join("block").join(name);
        let partitions = partitions(&dir);
        let mut uses = Vec::new();
        for part in std::iter::once(dir.clone()).chain(partitions.iter().map(|it| dir.join(it))) {
            self.uses(&part, mounts, DEPTH, &mut uses);
        }
        let real = dir.canonicalize_utf8().unwrap_or_else(|_| dir.clone());
        let transport = transport(&real);
        let flag = |name: &str| text(&dir.join(name)) == "1";
        let card = transport == "MMC" && text(&dir.join("device/type")) == "SD";
        Disk {
            name: name.to_owned(),
            // In units of 512 bytes, whatever its sectors have.
            size: Bytes::new(number(&dir.join("size")).saturating_mul(512)),
            sector: Some(number(&dir.join("queue/logical_block_size"))).filter(|it| *it > 0).unwrap_or(512),
            model: model(&dir),
            transport,
            removable: flag("removable") || transport == "USB" || card,
            read_only: flag("ro"),
            partitions,
            uses,
        }
    }

    /// What uses the disk or partition that `/sys` has at `dir`, and what is made of it.
    fn uses(&self, dir: &Utf8Path, mounts: &Mounts, depth: u32, uses: &mut Vec<Use>) {
        let part = dir.file_name().unwrap_or_default().to_owned();
        let number = text(&dir.join("dev"));
        let found = [mounts.by_number.get(&number), mounts.by_name.get(&part)];
        for by in found.into_iter().flatten().flatten() {
            let new = Use { part: part.clone(), by: by.clone() };
            if !uses.contains(&new) {
                uses.push(new);
            }
        }
        for holder in names(&dir.join("holders")) {
            let made = self.sys.join("block").join(&holder);
            let name = text(&made.join("dm/name"));
            let name = if name.is_empty() { holder } else { name };
            uses.push(Use { part: part.clone(), by: By::Device(name) });
            if depth > 0 {
                self.uses(&made, mounts, depth - 1, uses);
            }
        }
    }

    fn mounts(&self) -> Mounts {
        let mut mounts = Mounts::default();
        for line in text(&self.proc.join("self/mountinfo")).lines() {
            // Source: proc(5): id, parent, major:minor, root, mount point, options, optional fields, -, type, source.
            let mut words = line.split(' ');
            let (Some(number), Some(at)) = (words.nth(2), words.nth(1)) else { continue };
            let at = unescape(at);
            mounts.by_number.entry(number.to_owned()).or_default().push(By::Mount(at.clone()));
            // btrfs has a number of its own: the name of its device says more.
            let source = line.split_once(" - ").and_then(|(_, rest)| rest.split(' ').nth(1));
            mounts.add(source, &By::Mount(at));
        }
        for line in text(&self.proc.join("swaps")).lines().skip(1) {
            mounts.add(line.split_whitespace().next(), &By::Swap);
        }
        for volume in names(&self.sys.join("fs/btrfs")) {
            // All devices of a volume are in use if one is mounted.
            let devices = names(&self.sys.join("fs/btrfs").join(volume).join("devices"));
            let of_one = devices.iter().filter_map(|it| mounts.by_name.get(it)).flatten().cloned();
            let of_one: Vec<By> = of_one.collect();
            for device in devices {
                let list = mounts.by_name.entry(device).or_default();
                let new: Vec<By> = of_one.iter().filter(|it| !list.contains(it)).cloned().collect();
                list.extend(new);
            }
        }
        mounts
    }
}

/// What a device number is of.
#[derive(Debug)]
pub(super) enum Numbered {
    Disk(Box<Disk>),
    Partition { of: String },
}

/// What is mounted and swapped to.
#[derive(Debug, Default)]
struct Mounts {
    by_number: BTreeMap<String, Vec<By>>,
    by_name: BTreeMap<String, Vec<By>>,
}

impl Mounts {
    /// `source` is in use, if it is the path of a device.
    fn add(&mut self, source: Option<&str>, by: &By) {
        let Some(path) = source.map(unescape).filter(|it| it.starts_with("/dev/")) else { return };
        let real = Utf8Path::new(&path).canonicalize_utf8().unwrap_or_else(|_| path.clone().into());
        for name in [real.file_name(), Utf8Path::new(&path).file_name()].into_iter().flatten() {
            let list = self.by_name.entry(name.to_owned()).or_default();
            if !list.contains(by) {
                list.push(by.clone());
            }
        }
    }
}

/// What a file of the kernel says, without the line feed; nothing if it is not there.
fn text(path: &Utf8Path) -> String {
    fs_err::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default()
}

fn number(path: &Utf8Path) -> u64 {
    text(path).parse().unwrap_or_default()
}

fn names(dir: &Utf8Path) -> Vec<String> {
    let entries = dir.read_dir_utf8().into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_owned()).collect();
    names.sort();
    names
}

fn partitions(disk: &Utf8Path) -> Vec<String> {
    let mut found: Vec<(u64, String)> = names(disk)
        .into_iter()
        .filter(|name| disk.join(name).join("partition").exists())
        .map(|name| (number(&disk.join(&name).join("partition")), name))
        .collect();
    found.sort();
    found.into_iter().map(|(_, name)| name).collect()
}

fn model(dir: &Utf8Path) -> String {
    let parts = ["device/vendor", "device/model", "device/name"].map(|it| text(&dir.join(it)));
    let parts: Vec<String> = parts.into_iter().filter(|it| !it.is_empty()).collect();
    parts.join(" ").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// How a disk is connected, by where the kernel has it.
fn transport(real: &Utf8Path) -> &'static str {
    let has = |start: &str| real.components().any(|it| it.as_str().starts_with(start));
    let kinds = [
        ("usb", "USB"),
        ("mmc_host", "MMC"),
        ("nvme", "NVMe"),
        ("ata", "SATA"),
        ("virtio", "virtio"),
        ("virtual", "virtual"),
    ];
    kinds.into_iter().find(|(start, _)| has(start)).map_or("other", |(_, name)| name)
}

/// Octal escapes, as the kernel writes spaces in paths.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, more)) = rest.split_first() {
        let code = (first == b'\\').then(|| more.get(..3)).flatten();
        let code = code.and_then(|it| u8::from_str_radix(std::str::from_utf8(it).ok()?, 8).ok());
        bytes.push(code.unwrap_or(first));
        rest = if code.is_some() { &more[3..] } else { more };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

use std::io::Write;

use bootway_exec::{Cmd, Sandbox, SystemRunner, run};
use bootway_image::{Gpt, Guid, partition_type_guid};
use bootway_plan::step::PartitionType;
use camino::Utf8Path;
use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::*;
use crate::vboot::samples::{devkey, partition, signed};

/// Sectors of a partition in these disks.
const EACH: u64 = 1024;

/// A disk in the making.
struct Disk {
    entries: Vec<GptEntry>,
    contents: Vec<(u32, Vec<u8>)>,
}

impl Disk {
    const fn new() -> Self {
        Self { entries: Vec::new(), contents: Vec::new() }
    }

    /// With one partition more, of 512 KiB.
    fn with(
        mut self,
        number: u32,
        kind: &PartitionType,
        label: &str,
        attributes: u64,
        content: &[u8],
    ) -> Self {
        self.entries.push(GptEntry {
            number,
            kind: partition_type_guid(kind),
            guid: guid(number),
            first: EACH * u64::from(number),
            last: EACH * u64::from(number + 1) - 1,
            attributes,
            label: label.to_owned(),
        });
        self.contents.push((number, content.to_vec()));
        self
    }

    fn kernel(self, number: u32, attributes: u64, content: &[u8]) -> Self {
        self.with(number, &PartitionType::ChromeosKernel, "KERN", attributes << 48, content)
    }

    fn root(self, number: u32, label: &str, content: &[u8]) -> Self {
        self.with(number, &PartitionType::ChromeosRootfs, label, 0, content)
    }

    fn bytes(&self) -> Vec<u8> {
        let sectors = EACH * 16;
        let gpt = Gpt { guid: Guid::new(1), sector_size: 512, sectors, entries: self.entries.clone() };
        let (head, tail) = gpt.encode();
        let mut disk = head;
        disk.resize(sectors as usize * 512 - tail.len(), 0);
        disk.extend(tail);
        for (number, content) in &self.contents {
            let at = EACH as usize * 512 * *number as usize;
            disk[at..at + content.len()].copy_from_slice(content);
        }
        disk
    }

    fn told(&self) -> String {
        told(&self.bytes())
    }
}

fn guid(number: u32) -> Guid {
    Guid::new(0xABCD_0000_0000_0000_0000_0000_0000_0000 | u128::from(number))
}

fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn lines(findings: &[Finding]) -> String {
    findings.iter().map(|finding| format!("{finding}\n")).collect()
}

/// What was looked at, a line each, and what came of it.
fn told(bytes: &[u8]) -> String {
    told_for(bytes, None)
}

fn told_for(bytes: &[u8], key: Option<&Key>) -> String {
    match choose_for(&file(bytes), key) {
        Ok(chosen) => format!("{}=> partition {}", lines(&chosen.findings), chosen.partition.number),
        Err(error @ FirmwareError::NoKernel { .. }) => {
            let FirmwareError::NoKernel { findings, .. } = &error else { unreachable!() };
            format!("{}=> {error}", lines(findings))
        }
        Err(error) => error.to_string(),
    }
}

/// Only the lines that begin so.
fn only(told: &str, names: &[&str]) -> String {
    told.lines().filter(|line| names.iter().any(|name| line.contains(name))).collect::<Vec<_>>().join("\n")
}

/// An ext2 file system with these files.
fn ext2(files: &[(&str, &str)]) -> Vec<u8> {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let root = sandbox.cx().scratch.join("root");
    fs_err::create_dir_all(&root).unwrap();
    for (path, text) in files {
        let at = root.join(path);
        fs_err::create_dir_all(at.parent().unwrap()).unwrap();
        match text.strip_prefix("-> ") {
            Some(target) => fs_err::os::unix::fs::symlink(target, &at).unwrap(),
            None => fs_err::write(&at, text).unwrap(),
        }
    }
    let image = sandbox.cx().scratch.join("image");
    fs_err::File::create(&image).unwrap().set_len(256 << 10).unwrap();
    mke2fs(&sandbox, &root, &image);
    fs_err::read(&image).unwrap()
}

fn mke2fs(sandbox: &Sandbox<'_>, root: &Utf8Path, image: &Utf8Path) {
    let command = Cmd::user("mke2fs").args(["-q", "-F", "-t", "ext2", "-d", root.as_str(), image.as_str()]);
    run(&sandbox.cx(), &command).unwrap_or_else(|error| panic!("{error}: `apt install e2fsprogs`"));
}

const LINE: &str = "quiet kern_guid=%U dm=\"1 %U+1 %t\"";

/// The root of a stock shim.
fn stock() -> Vec<u8> {
    ext2(&[("sbin/init", "#!"), ("bin/bootstrap.sh", ""), ("etc/lsb-release", "CHROMEOS_RELEASE_BOARD=x\n")])
}

/// The partition that somebody puts in its place.
fn loader() -> Vec<u8> {
    ext2(&[("bin/init", "#!"), ("bin/bootstrap.sh", "#!"), ("sbin", "-> bin"), ("usr", "-> .")])
}

#[test]
fn a_shim_is_started_as_the_firmware_starts_it() {
    let disk = Disk::new().kernel(2, 0x5f, &signed("installer_kernel", LINE)).root(3, "ROOT-A", &stock());
    let bytes = disk.bytes();
    insta::assert_snapshot!(told(&bytes), @r#"
    ✓ a partition table that the firmware accepts: 2 partitions, sectors of 512 bytes
    ✓ both copies of the partition table: the primary: sound; the backup: sound
    ✓ kernel partition 2: `KERN` has priority 15, tries 5, successful 0: it may be started
    ✓ kernel partition 2: headers: keyblock 2.1, preamble 2.2, kernel version 1, body of 28672 bytes for 0x100000
    ✓ kernel partition 2: keyblock: signed with the public developer key `recovery_key`: a board that is sold does not start it
    ✓ kernel partition 2: recovery mode: DEV REC !MINIOS (only in developer mode, only in recovery mode, not as miniOS)
    ✓ kernel partition 2: preamble: signed with the public developer key `recovery_kernel_data_key` (RSA8192 SHA512)
    ✓ kernel partition 2: body: signed with the public developer key `recovery_kernel_data_key` (RSA8192 SHA512)
    ✓ the command line: quiet kern_guid=abcd0000-0000-0000-0000-000000000002 dm="1 abcd0000-0000-0000-0000-000000000002+1 %t" cros_secure
    ✓ kernel partition 2 is started: the firmware leaves 4 of 5 tries
    ✓ kern_guid leads to a partition: to partition 2, the kernel's own
    ✓ the partition after the kernel has a boot loader: partition 3 (`ROOT-A`) has sbin/init
    => partition 2
    "#);
    let chosen = choose(&file(&bytes)).unwrap();
    let parsed = crate::vboot::KernelPartition::parse(&chosen.bytes).unwrap();
    assert_eq!(parsed.body.end, chosen.bytes.len());
    assert_eq!(
        chosen.cmdline,
        format!("quiet kern_guid={0} dm=\"1 {0}+1 %t\" cros_secure", "abcd0000-0000-0000-0000-000000000002")
    );
}

#[test]
fn the_highest_priority_is_tried_first_and_of_equal_ones_the_lowest_number() {
    let kernel = partition(LINE);
    let order = |attributes: [u64; 4]| {
        let disk = (2..)
            .zip(attributes)
            .fold(Disk::new(), |disk, (number, bits)| disk.kernel(number, bits, &kernel));
        match choose(&file(&disk.bytes())) {
            Ok(chosen) => Some(chosen.partition.number),
            Err(_) => None,
        }
    };
    let (tries, successful) = (0x10, 0x100);
    assert_eq!(order([1 | tries, 2 | tries, 3 | tries, 15 | tries]), Some(5));
    assert_eq!(order([7 | tries, 7 | successful, 7 | tries, 6 | successful]), Some(2));
    assert_eq!(order([15, 1 | tries, 2 | successful, 0]), Some(4));
    assert_eq!(order([tries, successful, 15, 0]), None);
}

#[test]
fn a_kernel_that_is_not_as_signed_is_passed_over_for_the_next() {
    let (good, mut body) = (partition(LINE), partition(LINE));
    let mut preamble = body.clone();
    let mut keyblock = body.clone();
    let end = body.len() - 1;
    body[end] ^= 1;
    preamble[1208 + 40] ^= 1;
    keyblock[200] ^= 1;
    let disk = Disk::new()
        .kernel(2, 0x10f, &body)
        .kernel(4, 0x10e, &preamble)
        .kernel(5, 0x10d, &keyblock)
        .kernel(6, 0x10c, b"nothing")
        .kernel(7, 0x10b, &[&[0; 512][..], &good].concat())
        .kernel(8, 0x01a, &good);
    insta::assert_snapshot!(only(&disk.told(), &["✗", "=>", "is started"]), @"
    ✗ kernel partition 2: recovery mode: !DEV DEV !REC !MINIOS (with developer mode on or off, not in recovery mode, not as miniOS)
    ✗ kernel partition 2: body: it is not signed with the public developer key `kernel_data_key` (RSA2048 SHA256), or was changed afterwards
    ✗ kernel partition 4: recovery mode: !DEV DEV !REC !MINIOS (with developer mode on or off, not in recovery mode, not as miniOS)
    ✗ kernel partition 4: preamble: it is not signed with the public developer key `kernel_data_key` (RSA2048 SHA256), or was changed afterwards
    ✗ kernel partition 5: keyblock: its hash is wrong: it was changed afterwards
    ✗ kernel partition 6: headers: no keyblock at byte 0: a kernel partition begins with `CHROMEOS`
    ✗ kernel partition 7: headers: no keyblock at byte 0: a kernel partition begins with `CHROMEOS`
    ✗ kernel partition 8: recovery mode: !DEV DEV !REC !MINIOS (with developer mode on or off, not in recovery mode, not as miniOS)
    ✓ kernel partition 8 is started: this was the last try: the firmware sets its priority to 0
    ✗ the partition after the kernel has a boot loader: there is no partition 9, and the kernel is in partition 8
    => partition 8
    ");
}

#[test]
fn no_kernel_says_what_is_missing() {
    let mut nothing = Disk::new().bytes();
    let none = told(&nothing);
    nothing[..2048].fill(0);
    nothing.truncate(1 << 20);
    let overlapping = {
        let mut disk = Disk::new().kernel(2, 0x10f, &partition(LINE)).root(3, "ROOT-A", b"");
        disk.entries[1].first -= 1;
        disk.told()
    };
    insta::assert_snapshot!(
        [
            none,
            told(&nothing),
            overlapping,
            Disk::new().kernel(2, 0, &[]).told(),
            Disk::new().kernel(2, 0x10f, &partition("ends with %")).told(),
            Disk::new().kernel(2, 0x10f, &partition(&"%U".repeat(300))).told(),
        ]
        .join("\n"),
        @"
    ✓ a partition table that the firmware accepts: 0 partitions, sectors of 512 bytes
    ✓ both copies of the partition table: the primary: sound; the backup: sound
    ✗ a kernel partition to start: the disk has no partition of the type chromeos-kernel
    => the firmware finds no kernel to start on this disk: a kernel partition to start: the disk has no partition of the type chromeos-kernel
    ✗ a partition table that the firmware accepts: there is no GUID partition table: neither at byte 512 nor at byte 4096 stands `EFI PART`
    => the firmware finds no kernel to start on this disk: a partition table that the firmware accepts: there is no GUID partition table: neither at byte 512 nor at byte 4096 stands `EFI PART`
    ✗ a partition table that the firmware accepts: partitions 2 (`KERN`) and 3 (`ROOT-A`) overlap from sector 3071 on
    ✓ both copies of the partition table: the primary: sound; the backup: sound
    => the firmware finds no kernel to start on this disk: a partition table that the firmware accepts: partitions 2 (`KERN`) and 3 (`ROOT-A`) overlap from sector 3071 on
    ✓ a partition table that the firmware accepts: 1 partitions, sectors of 512 bytes
    ✓ both copies of the partition table: the primary: sound; the backup: sound
    ✓ kernel partition 2: `KERN` has priority 0, tries 0, successful 0: it is never started, for its priority is 0
    ✗ a kernel partition to start: none of the kernel partitions (1) may be started: give one a priority and `tries` or `successful`
    => the firmware finds no kernel to start on this disk: a kernel partition to start: none of the kernel partitions (1) may be started: give one a priority and `tries` or `successful`
    ✓ a partition table that the firmware accepts: 1 partitions, sectors of 512 bytes
    ✓ both copies of the partition table: the primary: sound; the backup: sound
    ✓ kernel partition 2: `KERN` has priority 15, tries 0, successful 1: it may be started
    ✓ kernel partition 2: headers: keyblock 2.1, preamble 2.2, kernel version 1, body of 28672 bytes for 0x100000
    ✓ kernel partition 2: keyblock: signed with the public developer key `kernel_subkey`: a board that is sold does not start it
    ✗ kernel partition 2: recovery mode: !DEV DEV !REC !MINIOS (with developer mode on or off, not in recovery mode, not as miniOS)
    ✓ kernel partition 2: preamble: signed with the public developer key `kernel_data_key` (RSA2048 SHA256)
    ✓ kernel partition 2: body: signed with the public developer key `kernel_data_key` (RSA2048 SHA256)
    ✗ the command line: it ends with `%`, which the firmware refuses: `ends with %`
    => the firmware finds no kernel to start on this disk: the command line: it ends with `%`, which the firmware refuses: `ends with %`
    ✓ a partition table that the firmware accepts: 1 partitions, sectors of 512 bytes
    ✓ both copies of the partition table: the primary: sound; the backup: sound
    ✓ kernel partition 2: `KERN` has priority 15, tries 0, successful 1: it may be started
    ✓ kernel partition 2: headers: keyblock 2.1, preamble 2.2, kernel version 1, body of 28672 bytes for 0x100000
    ✓ kernel partition 2: keyblock: signed with the public developer key `kernel_subkey`: a board that is sold does not start it
    ✗ kernel partition 2: recovery mode: !DEV DEV !REC !MINIOS (with developer mode on or off, not in recovery mode, not as miniOS)
    ✓ kernel partition 2: preamble: signed with the public developer key `kernel_data_key` (RSA2048 SHA256)
    ✓ kernel partition 2: body: signed with the public developer key `kernel_data_key` (RSA2048 SHA256)
    ✗ the command line: with `%U` replaced it has 10812 bytes, and 8191 at most have a place
    => the firmware finds no kernel to start on this disk: the command line: with `%U` replaced it has 10812 bytes, and 8191 at most have a place
    "
    );
}

#[test]
fn a_board_starts_only_what_its_key_has_signed() {
    let disk =
        Disk::new().kernel(2, 0x5f, &signed("installer_kernel", LINE)).root(3, "ROOT-A", &stock()).bytes();
    let with = |name: &str| {
        let key = Key::parse(&devkey(name)).unwrap();
        only(&told_for(&disk, Some(&key)), &["keyblock:", "=>"])
    };
    insta::assert_snapshot!(
        [with("recovery_key.vbpubk"), with("root_key.vbpubk"), with("kernel_subkey.vbpubk")].join("\n"),
        @"
    ✓ kernel partition 2: keyblock: signed with the board's key, the public developer key `recovery_key` (RSA8192 SHA512); DEV REC !MINIOS
    => partition 2
    ✗ kernel partition 2: keyblock: it is not signed with the public developer key `root_key` (RSA8192 SHA512), or was changed afterwards
    => the firmware finds no kernel to start on this disk: kernel partition 2: keyblock: it is not signed with the public developer key `root_key` (RSA8192 SHA512), or was changed afterwards
    ✗ kernel partition 2: keyblock: it is not signed with the public developer key `kernel_subkey` (RSA4096 SHA256): its signature has 1024 bytes, not 512
    => the firmware finds no kernel to start on this disk: kernel partition 2: keyblock: it is not signed with the public developer key `kernel_subkey` (RSA4096 SHA256): its signature has 1024 bytes, not 512
    "
    );
}

#[test]
fn either_copy_of_the_table_will_do() {
    let good = Disk::new().kernel(2, 0x10f, &partition(LINE)).root(3, "ROOT-A", &stock()).bytes();
    let mut primary = good.clone();
    primary[520] ^= 1;
    let mut bigger = good;
    bigger.resize(bigger.len() + 4096, 0);
    let copies = ["partition table", "=>"];
    insta::assert_snapshot!([only(&told(&primary), &copies), only(&told(&bigger), &copies)].join("\n"), @"
    ✓ a partition table that the firmware accepts: 2 partitions, sectors of 512 bytes
    ✗ both copies of the partition table: the primary: its revision, at byte 8, is 0x10001, not 0x10000; the backup: sound
    => partition 2
    ✓ a partition table that the firmware accepts: 2 partitions, sectors of 512 bytes
    ✗ both copies of the partition table: the primary: sound; the backup: it is in sector 16383, not in the last one, 16391: the image is on a bigger disk
    => partition 2
    ");
}

/// What is said of what the kernel will find.
fn ahead(disk: &Disk) -> String {
    only(&disk.told(), &["kern_guid leads", "the partition after", "a root file system", "vouches for"])
}

#[test]
fn a_wrong_kern_guid_is_its_own_finding() {
    let with = |line: &str| {
        ahead(&Disk::new().kernel(2, 0x10f, &partition(line)).kernel(4, 0, b"").root(3, "ROOT-A", &stock()))
    };
    insta::assert_snapshot!(
        [
            with("quiet"),
            with("kern_guid=01234567-89ab-cdef-0123-456789abcdef"),
            with("kern_guid=nonsense"),
            with(&format!("kern_guid={}", guid(4))),
            with(&format!("kern_guid={}", guid(2).to_string().to_uppercase())),
        ]
        .join("\n"),
        @"
    ✗ kern_guid leads to a partition: the signed command line has no `kern_guid=%U`: its init does not find the disk
    ✗ kern_guid leads to a partition: no partition has the GUID `01234567-89ab-cdef-0123-456789abcdef` of the signed command line: its init waits for it, and gives up
    ✗ kern_guid leads to a partition: no partition has the GUID `nonsense` of the signed command line: its init waits for it, and gives up
    ✓ kern_guid leads to a partition: to partition 4 (`KERN`), not the kernel's own
    ✗ the partition after the kernel has a boot loader: there is no partition 5, and the kernel is in partition 4
    ✓ kern_guid leads to a partition: to partition 2, the kernel's own
    ✓ the partition after the kernel has a boot loader: partition 3 (`ROOT-A`) has sbin/init
    "
    );
}

#[test]
fn a_missing_boot_loader_is_its_own_finding() {
    let kernel = || Disk::new().kernel(2, 0x10f, &partition(LINE));
    let mut place_holder = kernel().root(3, "ROOT-A", b"");
    place_holder.entries[1].last = place_holder.entries[1].first;
    insta::assert_snapshot!(
        [
            ahead(&kernel()),
            ahead(&kernel().with(3, &PartitionType::LinuxData, "boot", 0, &stock())),
            ahead(&place_holder),
            ahead(&kernel().root(3, "ROOT-A", b"")),
            ahead(&kernel().root(3, "ROOT-A", &ext2(&[("bin/sh", "")]))),
            ahead(&kernel().root(3, "ROOT-A", &ext2(&[("sbin", "-> ../../bin"), ("bin/init", "-> /bin/it"), ("bin/it", "")]))),
            ahead(&kernel().root(3, "ROOT-A", &ext2(&[("sbin", "-> sbin")]))),
        ]
        .join("\n"),
        @"
    ✓ kern_guid leads to a partition: to partition 2, the kernel's own
    ✗ the partition after the kernel has a boot loader: there is no partition 3, and the kernel is in partition 2
    ✓ kern_guid leads to a partition: to partition 2, the kernel's own
    ✗ the partition after the kernel has a boot loader: partition 3 (`boot`) has the type linux-data, not chromeos-rootfs
    ✓ kern_guid leads to a partition: to partition 2, the kernel's own
    ✗ the partition after the kernel has a boot loader: partition 3 (`ROOT-A`) has one sector: it is a place holder
    ✓ kern_guid leads to a partition: to partition 2, the kernel's own
    ✗ the partition after the kernel has a boot loader: partition 3 (`ROOT-A`) has no file system that the initramfs mounts: no ext file system: byte 1573944 has 0x0000, and not the 0xef53 of a superblock
    ✓ kern_guid leads to a partition: to partition 2, the kernel's own
    ✗ the partition after the kernel has a boot loader: partition 3 (`ROOT-A`) is ext2 without sbin/init
    ✓ kern_guid leads to a partition: to partition 2, the kernel's own
    ✓ the partition after the kernel has a boot loader: partition 3 (`ROOT-A`) has sbin/init
    ✓ kern_guid leads to a partition: to partition 2, the kernel's own
    ✗ the partition after the kernel has a boot loader: partition 3 (`ROOT-A`) is ext2 without sbin/init
    "
    );
}

#[test]
fn a_missing_root_file_system_is_its_own_finding() {
    let with =
        |labels: &[&str]| {
            let start = Disk::new().kernel(2, 0x10f, &partition(LINE)).root(3, "", &loader());
            ahead(&(4..).zip(labels).fold(start, |disk, (number, label)| {
                disk.with(number, &PartitionType::LinuxData, label, 0, b"")
            }))
        };
    insta::assert_snapshot!(
        [
            with(&[]),
            with(&["shimboot_rootfs:vendor"]),
            with(&["shimboot_rootfs:vendor", "shimboot_rootfs:nixos"]),
            with(&["shimboot_rootfs:a", "shimboot_rootfs:b"]),
        ]
        .join("\n"),
        @"
    ✓ kern_guid leads to a partition: to partition 2, the kernel's own
    ✓ the partition after the kernel has a boot loader: partition 3 has sbin/init
    ✗ a root file system for the boot loader: no partition but the vendor's has a name that begins with `shimboot_rootfs:`: its menu is empty
    ✓ kern_guid leads to a partition: to partition 2, the kernel's own
    ✓ the partition after the kernel has a boot loader: partition 3 has sbin/init
    ✗ a root file system for the boot loader: no partition but the vendor's has a name that begins with `shimboot_rootfs:`: its menu is empty
    ✓ kern_guid leads to a partition: to partition 2, the kernel's own
    ✓ the partition after the kernel has a boot loader: partition 3 has sbin/init
    ✓ a root file system for the boot loader: partition 5 (`shimboot_rootfs:nixos`)
    ✓ kern_guid leads to a partition: to partition 2, the kernel's own
    ✓ the partition after the kernel has a boot loader: partition 3 has sbin/init
    ✓ a root file system for the boot loader: partition 4 (`shimboot_rootfs:a`), partition 5 (`shimboot_rootfs:b`)
    "
    );
}

#[test]
fn a_partition_that_the_command_line_vouches_for_is_held_against_its_hash() {
    let other = partition("the kernel to be installed");
    let mut whole = other.clone();
    whole.resize(EACH as usize * 512, 0);
    let hash: String = Sha256::digest(&whole).iter().map(|byte| format!("{byte:02x}")).collect();
    let line = format!("cros_recovery kern_guid=%U kern_b_hash={hash}");
    let with = |content: &[u8]| {
        ahead(
            &Disk::new()
                .kernel(2, 0x10f, &partition(&line))
                .root(3, "ROOT-A", &stock())
                .kernel(4, 0, content),
        )
    };
    let alone = ahead(&Disk::new().kernel(2, 0x10f, &partition(&line)).root(3, "ROOT-A", &stock()));
    insta::with_settings!({filters => vec![("[0-9a-f]{64}", "[sha256]")]}, {
        insta::assert_snapshot!([with(&other), with(b"another"), alone].join("\n"), @"
        ✓ the partitions that the command line vouches for: partition 4 (`KERN`) is what `kern_b_hash` says
        ✓ kern_guid leads to a partition: to partition 2, the kernel's own
        ✓ the partition after the kernel has a boot loader: partition 3 (`ROOT-A`) has sbin/init
        ✗ the partitions that the command line vouches for: partition 4 is not the one that `kern_b_hash` was signed for: its hash is [sha256], not [sha256]
        ✓ kern_guid leads to a partition: to partition 2, the kernel's own
        ✓ the partition after the kernel has a boot loader: partition 3 (`ROOT-A`) has sbin/init
        ✗ the partitions that the command line vouches for: `kern_b_hash` is of partition 4, and there is none
        ✓ kern_guid leads to a partition: to partition 2, the kernel's own
        ✓ the partition after the kernel has a boot loader: partition 3 (`ROOT-A`) has sbin/init
        ");
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn damage_never_panics(
        changes in prop::collection::vec((prop_oneof![512..1200_usize, 0..(16 * EACH as usize * 512)], any::<u8>()), 0..20),
        len in prop_oneof![Just(usize::MAX), 0..(16 * EACH as usize * 512)],
    ) {
        thread_local! {
            static GOOD: Vec<u8> = Disk::new().kernel(2, 0x10f, &partition(LINE)).root(3, "ROOT-A", &stock()).bytes();
        }
        let mut bytes = GOOD.with(Clone::clone);
        for (at, byte) in changes {
            bytes[at] = byte;
        }
        bytes.truncate(len);
        let _ = choose(&file(&bytes));
    }
}

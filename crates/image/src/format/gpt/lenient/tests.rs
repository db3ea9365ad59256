use std::io::Cursor;

use bootway_exec::{Cmd, RunError, Sandbox, SystemRunner, run};
use proptest::prelude::*;

use super::*;

/// Bytes of the disk.
const DISK: usize = 1 << 20;
/// Where the backup is.
const LAST: usize = DISK - 512;

fn table() -> Gpt {
    let entry = |number: u32, first: u64, last: u64, label: &str, attributes: u64| Entry {
        number,
        kind: Guid::new(0xfe3a_2a5d_4f32_41a7_b725_accc_3285_a309),
        guid: Guid::new(number.into()),
        first,
        last,
        attributes,
        label: label.to_owned(),
    };
    let entries = vec![
        entry(2, 64, 127, "KERN-A", 0x015a << 48),
        entry(3, 128, 199, "ROOT-A", 0),
        entry(12, 256, 256, "EFI-SYSTEM", 4),
    ];
    Gpt { guid: Guid::new(9), sector_size: 512, sectors: DISK as u64 / 512, entries }
}

fn disk_of(gpt: &Gpt) -> Vec<u8> {
    let (head, tail) = gpt.encode();
    let mut disk = head;
    disk.resize((gpt.sectors * gpt.sector_size) as usize - tail.len(), 0);
    disk.extend(tail);
    disk
}

fn disk() -> Vec<u8> {
    disk_of(&table())
}

fn lenient(disk: &[u8]) -> Result<Found, GptError> {
    read_lenient(&mut Cursor::new(disk))
}

/// Makes the checksum of the header at `at` right.
fn checksum(disk: &mut [u8], at: usize) {
    disk[at + 16..at + 20].fill(0);
    let len = u32::from_le_bytes(disk[at + 12..at + 16].try_into().unwrap()).clamp(92, 512) as usize;
    let crc = crc32fast::hash(&disk[at..at + len]);
    disk[at + 16..at + 20].copy_from_slice(&crc.to_le_bytes());
}

/// Both copies with these entries.
fn with_entries(change: impl Fn(&mut Vec<Entry>)) -> Vec<u8> {
    let mut gpt = table();
    change(&mut gpt.entries);
    disk_of(&gpt)
}

fn told(disk: &[u8]) -> String {
    match lenient(disk) {
        Ok(found) => {
            let problems: String = found.problems.iter().map(|it| format!("\n  {it}")).collect();
            let accepted = if found.is_accepted() { "accepted" } else { "refused" };
            format!("{accepted}; primary: {}; backup: {}{problems}", found.primary, found.backup)
        }
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_whole_table_is_read_as_the_strict_reader_reads_it() {
    for sector_size in [512, 4096] {
        let mut gpt = table();
        (gpt.sector_size, gpt.sectors) = (sector_size, 2048);
        let disk = disk_of(&gpt);
        let found = lenient(&disk).unwrap();
        assert_eq!(found.gpt, super::super::read(&mut Cursor::new(&disk)).unwrap());
        assert!(found.is_accepted() && found.primary.is_sound() && found.backup.is_sound(), "{found:?}");
        assert_eq!(found.entry(3).unwrap().label, "ROOT-A");
        assert_eq!(found.entry_of(Guid::new(12)).unwrap().number, 12);
    }
}

#[test]
fn attributes_are_those_that_cgpt_sets() {
    let of = |attributes: u64| {
        let mut entry = table().entries[0].clone();
        entry.attributes = attributes;
        entry
    };
    let kernel = of(0x015a << 48);
    assert_eq!((kernel.priority(), kernel.tries(), kernel.successful()), (10, 5, true));
    assert!(!kernel.required() && !kernel.legacy_boot() && !kernel.error_counter() && !kernel.read_only());
    assert!(
        of(1).required() && of(4).legacy_boot() && of(1 << 57).error_counter() && of(1 << 60).read_only()
    );
    assert_eq!((of(0xff << 48).priority(), of(0xff << 48).tries()), (15, 15));
    assert_eq!(kernel.sectors(), 64);
}

#[test]
fn either_copy_is_enough_and_the_other_is_said_to_be_damaged() {
    let with = |changes: &[usize]| {
        let mut disk = disk();
        for at in changes {
            disk[*at] ^= 1;
        }
        told(&disk)
    };
    insta::assert_snapshot!(
        [
            with(&[]),
            with(&[512]),
            with(&[560]),
            with(&[1030]),
            with(&[LAST]),
            with(&[LAST - 1000]),
            with(&[512, LAST]),
            with(&[1030, LAST - 32 * 512]),
            with(&[512, LAST - 32 * 512]),
        ]
        .join("\n"),
        @"
    accepted; primary: sound; backup: sound
    accepted; primary: it has neither `EFI PART` nor `CHROMEOS` at its start; backup: sound
    accepted; primary: its checksum, at byte 16, is 0x3558dd85, and should be 0x1f70e5e7; backup: sound
    accepted; primary: the checksum of its entries is wrong; backup: sound
    accepted; primary: sound; backup: it has neither `EFI PART` nor `CHROMEOS` at its start
    accepted; primary: sound; backup: the checksum of its entries is wrong
    there is no GUID partition table: neither at byte 512 nor at byte 4096 stands `EFI PART`
    neither copy of the partition table can be used: the primary: the checksum of its entries is wrong; the backup: the checksum of its entries is wrong
    neither copy of the partition table can be used: the primary: it has neither `EFI PART` nor `CHROMEOS` at its start; the backup: the checksum of its entries is wrong
    "
    );
}

#[test]
fn where_the_backup_went_is_said() {
    let mut bigger = disk();
    bigger.resize(2 * DISK, 0);
    let cut = &disk()[..DISK - 64 * 512];
    insta::assert_snapshot!([told(&bigger), told(cut)].join("\n"), @"
    accepted; primary: sound; backup: it is in sector 2047, not in the last one, 4095: the image is on a bigger disk
    refused; primary: readable, but its last usable sector, at byte 48, is 2014, and the last possible one of this disk 1950: the firmware refuses it; backup: the disk ends with sector 1983, and the primary says that the backup is in sector 2047: the image was cut short, or is on a smaller disk
    ");
}

#[test]
fn signatures_of_chromeos_are_known() {
    let signed = |primary: &[u8], backup: &[u8]| {
        let mut disk = disk();
        disk[..512].fill(0);
        for (at, signature) in [(512, primary), (LAST, backup)] {
            disk[at..at + 8].copy_from_slice(signature);
            checksum(&mut disk, at);
        }
        told(&disk)
    };
    insta::assert_snapshot!(
        [
            signed(b"CHROMEOS", b"CHROMEOS"),
            signed(b"CHROMEOS", b"EFI PART"),
            signed(b"IGNOREME", b"EFI PART"),
            signed(b"EFI PART", b"IGNOREME"),
            signed(b"IGNOREME", b"IGNOREME"),
            signed(b"SOMEWHAT", b"SOMEWHAT"),
        ]
        .join("\n"),
        @"
    accepted; primary: sound; backup: sound
    accepted; primary: sound; backup: readable, but it differs from the other in the signature, and the firmware goes by the other
    accepted; primary: marked `IGNOREME`; backup: sound
    accepted; primary: sound; backup: marked `IGNOREME`
    neither copy of the partition table can be used: the primary: marked `IGNOREME`; the backup: marked `IGNOREME`
    there is no GUID partition table: neither at byte 512 nor at byte 4096 stands `EFI PART`
    "
    );
}

#[test]
fn partitions_that_are_in_the_way_of_others_are_both_named() {
    insta::assert_snapshot!(
        [
            told(&with_entries(|entries| entries[1].first = 127)),
            told(&with_entries(|entries| (entries[0].first, entries[0].last) = (64, 300))),
            told(&with_entries(|entries| entries[2].last = 4000)),
            told(&with_entries(|entries| entries[2].first = 33)),
            told(&with_entries(|entries| (entries[2].first, entries[2].last) = (u64::MAX, 5))),
            told(&with_entries(|entries| entries[2].guid = Guid::new(3))),
        ]
        .join("\n"),
        @"
    refused; primary: sound; backup: sound
      partitions 2 (`KERN-A`) and 3 (`ROOT-A`) overlap from sector 127 on
    refused; primary: sound; backup: sound
      partitions 2 (`KERN-A`) and 3 (`ROOT-A`) overlap from sector 128 on
      partitions 2 (`KERN-A`) and 12 (`EFI-SYSTEM`) overlap from sector 256 on
    refused; primary: sound; backup: sound
      partition 12 (`EFI-SYSTEM`), sectors 256 to 4000, is outside of the usable sectors 34 to 2014
    refused; primary: sound; backup: sound
      partition 12 (`EFI-SYSTEM`), sectors 33 to 256, is outside of the usable sectors 34 to 2014
      partitions 12 (`EFI-SYSTEM`) and 2 (`KERN-A`) overlap from sector 64 on
      partitions 12 (`EFI-SYSTEM`) and 3 (`ROOT-A`) overlap from sector 128 on
    refused; primary: sound; backup: sound
      partition 12 (`EFI-SYSTEM`), sectors 18446744073709551615 to 5, is outside of the usable sectors 34 to 2014
    refused; primary: sound; backup: sound
      partitions 3 (`ROOT-A`) and 12 (`EFI-SYSTEM`) have one GUID, 00000000-0000-0000-0000-000000000003
    "
    );
}

/// What `cgpt` says of both copies: whether it finds nothing wrong with the primary and with the backup. `None` if it
/// gives up.
fn cgpt(sandbox: &Sandbox<'_>, disk: &[u8]) -> Option<(bool, bool)> {
    let path = sandbox.cx().scratch.join("disk");
    fs_err::write(&path, disk).unwrap();
    let shown = match run(&sandbox.cx(), &Cmd::user("cgpt").args(["show", path.as_str()])) {
        Ok(output) => String::from_utf8(output.stdout).unwrap(),
        Err(RunError::Spawn(error)) => panic!("{error}: `apt install cgpt`"),
        Err(_) => return None,
    };
    let sound = |copy: &str| {
        let lines: Vec<&str> = shown.lines().filter(|line| line.contains(&format!("{copy} GPT"))).collect();
        lines.len() == 2 && lines.iter().all(|line| !line.contains("INVALID"))
    };
    Some((sound("Pri"), sound("Sec")))
}

#[test]
fn cgpt_finds_the_same_headers_sound() {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    for at in [512, LAST] {
        for (field, len) in FIELDS {
            for change in [Change::Flip, Change::Zero, Change::Ones, Change::More] {
                let mut disk = disk();
                change.apply(&mut disk[at + field..at + field + len]);
                if field != 16 {
                    checksum(&mut disk, at);
                }
                let ours = lenient(&disk)
                    .map_or((false, false), |found| (found.primary.is_sound(), found.backup.is_sound()));
                match cgpt(&sandbox, &disk) {
                    Some(theirs) => {
                        assert_eq!(ours, theirs, "byte {field} of the header at {at}: {change:?}");
                    }
                    // The firmware goes on with the other copy where entries cannot be read; the tool does not.
                    None => {
                        assert!(field == 72 || ours == (false, false), "byte {field}: {change:?}, {ours:?}");
                    }
                }
            }
        }
    }
}

/// Where the fields of a header are, and how long they are.
const FIELDS: [(usize, usize); 14] = [
    (0, 8),
    (8, 4),
    (12, 4),
    (16, 4),
    (20, 4),
    (24, 8),
    (32, 8),
    (40, 8),
    (48, 8),
    (56, 16),
    (72, 8),
    (80, 4),
    (84, 4),
    (88, 4),
];

#[derive(Clone, Copy, Debug)]
enum Change {
    Flip,
    Zero,
    Ones,
    More,
}

impl Change {
    fn apply(self, field: &mut [u8]) {
        match self {
            Self::Flip => field[0] ^= 1,
            Self::Zero => field.fill(0),
            Self::Ones => field.fill(0xff),
            Self::More => field[0] = field[0].wrapping_add(2),
        }
    }
}

proptest! {
    #[test]
    fn damage_never_panics(
        flips in prop::collection::vec((0..DISK, any::<u8>()), 0..8),
        headers in prop::collection::vec((prop_oneof![0..92_usize, (LAST - 512)..(LAST - 420)], any::<u8>()), 0..4),
        fixed: bool,
        len in prop_oneof![Just(DISK), 0..DISK],
    ) {
        let mut disk = disk();
        for (at, byte) in flips.into_iter().chain(headers.into_iter().map(|(at, byte)| (at + 512, byte))) {
            disk[at] = byte;
        }
        if fixed {
            checksum(&mut disk, 512);
            checksum(&mut disk, LAST);
        }
        let _ = lenient(&disk[..len]);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..70_000)) {
        let _ = lenient(&bytes);
    }
}

use std::io::Cursor;

use proptest::prelude::*;

use super::*;

/// A disk of 8 MiB with a table and nothing else.
fn disk(gpt: &Gpt) -> Vec<u8> {
    let (head, tail) = gpt.encode();
    let mut disk = head;
    disk.resize((gpt.sectors * gpt.sector_size) as usize - tail.len(), 0);
    disk.extend(tail);
    disk
}

fn table(sector_size: u64) -> Gpt {
    let entry = |number: u32, label: &str| Entry {
        number,
        kind: Guid::new(0xFE3A_2A5D_4F32_41A7_B725_ACCC_3285_A309),
        guid: Guid::new(number.into()),
        first: u64::from(number) << (20 - sector_size.trailing_zeros()),
        last: (u64::from(number + 1) << (20 - sector_size.trailing_zeros())) - 1,
        attributes: 1 << 60,
        label: label.to_owned(),
    };
    let entries = vec![entry(1, "KERN-A"), entry(3, "ROOT-ü")];
    Gpt { guid: Guid::new(9), sector_size, sectors: (8 << 20) / sector_size, entries }
}

fn reread(disk: &[u8]) -> Result<Gpt, GptError> {
    read(&mut Cursor::new(disk))
}

#[test]
fn what_was_written_is_read() {
    for sector_size in [512, 4096] {
        assert_eq!(reread(&disk(&table(sector_size))).unwrap(), table(sector_size));
    }
}

#[test]
fn each_copy_is_checked() {
    let good = disk(&table(512));
    let damaged = |at: usize| {
        let mut disk = good.clone();
        disk[at] ^= 1;
        reread(&disk).unwrap_err().to_string()
    };
    let end = good.len();
    insta::assert_snapshot!(
        [damaged(450), damaged(512), damaged(560), damaged(1030), damaged(end - 512), damaged(end - 500), damaged(end - 33 * 512)].join("\n"),
        @"
    the first sector is not a protective MBR
    there is no GUID partition table: neither at byte 512 nor at byte 4096 stands `EFI PART`
    the primary partition table at byte 512 is damaged: the checksum of its header is wrong
    the primary partition table at byte 512 is damaged: the checksum of its entries is wrong
    the backup partition table at byte 8388096 is damaged: it has no `EFI PART` at its start
    the backup partition table at byte 8388096 is damaged: the checksum of its header is wrong
    the backup partition table at byte 8388096 is damaged: the checksum of its entries is wrong
    "
    );
}

/// Name, first byte and bytes of each field of a header; UEFI 2.10, table 5-5.
const HEADER_FIELDS: [(&str, usize, usize); 14] = [
    ("signature", 0, 8),
    ("revision", 8, 4),
    ("header size", 12, 4),
    ("header checksum", 16, 4),
    ("reserved", 20, 4),
    ("my sector", 24, 8),
    ("other sector", 32, 8),
    ("first usable", 40, 8),
    ("last usable", 48, 8),
    ("disk GUID", 56, 16),
    ("entries' sector", 72, 8),
    ("number of entries", 80, 4),
    ("size of an entry", 84, 4),
    ("entries' checksum", 88, 4),
];

/// Name, first byte and bytes of each field of an entry; UEFI 2.10, table 5-6.
const ENTRY_FIELDS: [(&str, usize, usize); 6] = [
    ("type", 0, 16),
    ("GUID", 16, 16),
    ("first", 32, 8),
    ("last", 40, 8),
    ("attributes", 48, 8),
    ("name", 56, 72),
];

/// A field that was changed with its checksum is wrong as surely as one without: the other copy has it otherwise.
#[test]
fn every_field_of_either_copy_is_held_against_the_other() {
    let good = disk(&table(512));
    let end = good.len();
    let copies = [(512, 1024), (end - 512, end - 33 * 512)];
    let mut said = Vec::new();
    for (copy, (header, array)) in copies.into_iter().enumerate() {
        let headers = HEADER_FIELDS.map(|(name, at, len)| (name, header + at, len));
        let entries = ENTRY_FIELDS.map(|(name, at, len)| (name, array + at, len));
        for (name, at, len) in headers.into_iter().chain(entries) {
            for value in [0x00, 0x01, 0x7f, 0xff] {
                for checksums in [false, true] {
                    let mut disk = good.clone();
                    disk[at..at + len].fill(value);
                    if checksums && name != "header checksum" {
                        if at >= array && at < array + ARRAY as usize {
                            let crc = crc32fast::hash(&disk[array..array + ARRAY as usize]);
                            disk[header + 88..header + 92].copy_from_slice(&crc.to_le_bytes());
                        }
                        disk[header + 16..header + 20].fill(0);
                        let crc = crc32fast::hash(&disk[header..header + HEADER]);
                        disk[header + 16..header + 20].copy_from_slice(&crc.to_le_bytes());
                    }
                    if disk == good {
                        continue;
                    }
                    let what = format!("copy {copy}, {name} = {value:#04x}, checksums {checksums}");
                    let error = reread(&disk).expect_err(&what).to_string();
                    assert!(error.contains("partition"), "{what}: {error}");
                    if value == 0xff && checksums {
                        said.push(format!("{copy} {name}: {error}"));
                    }
                    // The firmware does not look at everything; what it does not look at changes nothing.
                    if let Ok(found) = read_lenient(&mut Cursor::new(&disk))
                        && found.flaws().is_empty()
                    {
                        assert_eq!(found.gpt, table(512), "{what}");
                    }
                }
            }
        }
    }
    insta::assert_snapshot!(said.join("\n"), @"
    0 signature: there is no GUID partition table: neither at byte 512 nor at byte 4096 stands `EFI PART`
    0 revision: the primary partition table at byte 512 is damaged: its revision is 0xffffffff with 0x0 behind its checksum: only 0x10000 and 0 are understood
    0 header size: the primary partition table at byte 512 is damaged: its header is said to be 4294967295 bytes, not 92 to 512
    0 header checksum: the primary partition table at byte 512 is damaged: the checksum of its header is wrong
    0 reserved: the primary partition table at byte 512 is damaged: its revision is 0x10000 with 0xffffffff behind its checksum: only 0x10000 and 0 are understood
    0 my sector: the primary partition table at byte 512 is damaged: it says that it is in sector 18446744073709551615, not in 1
    0 other sector: the primary partition table at byte 512 is damaged: it says that the other is in sector 18446744073709551615, not in 16383
    0 first usable: the primary and the backup partition table disagree in the usable sectors, at bytes 552 and 8388136
    0 last usable: the primary and the backup partition table disagree in the usable sectors, at bytes 552 and 8388136
    0 disk GUID: the primary and the backup partition table disagree in the GUID of the disk, at bytes 568 and 8388152
    0 entries' sector: the primary partition table at byte 512 is damaged: it points at entries in sector 18446744073709551615, which are not its own
    0 number of entries: the primary partition table at byte 512 is damaged: it has 4294967295 entries of 128 bytes; only 128 of 128 are understood
    0 size of an entry: the primary partition table at byte 512 is damaged: it has 128 entries of 4294967295 bytes; only 128 of 128 are understood
    0 entries' checksum: the primary partition table at byte 512 is damaged: the checksum of its entries is wrong
    0 type: the primary and the backup partition table disagree in the entries, at bytes 1024 and 8371712
    0 GUID: the primary and the backup partition table disagree in the entries, at bytes 1024 and 8371712
    0 first: the primary and the backup partition table disagree in the entries, at bytes 1024 and 8371712
    0 last: the primary and the backup partition table disagree in the entries, at bytes 1024 and 8371712
    0 attributes: the primary and the backup partition table disagree in the entries, at bytes 1024 and 8371712
    0 name: the primary and the backup partition table disagree in the entries, at bytes 1024 and 8371712
    1 signature: the backup partition table at byte 8388096 is damaged: it has no `EFI PART` at its start
    1 revision: the backup partition table at byte 8388096 is damaged: its revision is 0xffffffff with 0x0 behind its checksum: only 0x10000 and 0 are understood
    1 header size: the backup partition table at byte 8388096 is damaged: its header is said to be 4294967295 bytes, not 92 to 512
    1 header checksum: the backup partition table at byte 8388096 is damaged: the checksum of its header is wrong
    1 reserved: the backup partition table at byte 8388096 is damaged: its revision is 0x10000 with 0xffffffff behind its checksum: only 0x10000 and 0 are understood
    1 my sector: the backup partition table at byte 8388096 is damaged: it says that it is in sector 18446744073709551615, not in 16383
    1 other sector: the backup partition table at byte 8388096 is damaged: it says that the other is in sector 18446744073709551615, not in 1
    1 first usable: the primary and the backup partition table disagree in the usable sectors, at bytes 552 and 8388136
    1 last usable: the primary and the backup partition table disagree in the usable sectors, at bytes 552 and 8388136
    1 disk GUID: the primary and the backup partition table disagree in the GUID of the disk, at bytes 568 and 8388152
    1 entries' sector: the backup partition table at byte 8388096 is damaged: it points at entries in sector 18446744073709551615, which are not its own
    1 number of entries: the backup partition table at byte 8388096 is damaged: it has 4294967295 entries of 128 bytes; only 128 of 128 are understood
    1 size of an entry: the backup partition table at byte 8388096 is damaged: it has 128 entries of 4294967295 bytes; only 128 of 128 are understood
    1 entries' checksum: the backup partition table at byte 8388096 is damaged: the checksum of its entries is wrong
    1 type: the primary and the backup partition table disagree in the entries, at bytes 1024 and 8371712
    1 GUID: the primary and the backup partition table disagree in the entries, at bytes 1024 and 8371712
    1 first: the primary and the backup partition table disagree in the entries, at bytes 1024 and 8371712
    1 last: the primary and the backup partition table disagree in the entries, at bytes 1024 and 8371712
    1 attributes: the primary and the backup partition table disagree in the entries, at bytes 1024 and 8371712
    1 name: the primary and the backup partition table disagree in the entries, at bytes 1024 and 8371712
    ");
}

/// `sgdisk -v` does not see this one.
#[test]
fn a_backup_that_points_at_the_primary_s_entries_is_damaged() {
    let mut disk = disk(&table(512));
    let header = disk.len() - 512;
    disk[header + 72..header + 80].copy_from_slice(&2_u64.to_le_bytes());
    disk[header + 16..header + 20].fill(0);
    let crc = crc32fast::hash(&disk[header..header + HEADER]);
    disk[header + 16..header + 20].copy_from_slice(&crc.to_le_bytes());
    let error = reread(&disk).unwrap_err();
    insta::assert_snapshot!(error, @"the backup partition table at byte 8388096 is damaged: it points at entries in sector 2, which are not its own");
}

#[test]
fn partitions_may_not_overlap_or_leave_the_disk() {
    let mut overlapping = table(512);
    overlapping.entries[1].first = overlapping.entries[0].last;
    insta::assert_snapshot!(reread(&disk(&overlapping)).unwrap_err(), @"partitions `KERN-A` and `ROOT-ü` overlap");
    let mut outside = table(512);
    outside.entries[1].last = 8 << 11;
    insta::assert_snapshot!(
        reread(&disk(&outside)).unwrap_err(),
        @"partition `ROOT-ü`, sectors 6144 to 16384, is outside the usable part of the disk"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn garbage_is_an_error_and_never_a_panic(
        flips in proptest::collection::vec((0_usize..24 << 10, any::<u8>()), 1..40), cut in 0_usize..8 << 20, cuts in any::<bool>(),
    ) {
        let mut disk = disk(&table(512));
        let len = disk.len();
        for (at, byte) in flips {
            let at = if at < 12 << 10 { at } else { len - (24 << 10) + at };
            disk[at] = byte;
        }
        if cuts {
            disk.truncate(cut);
        }
        let _ = reread(&disk);
    }

    /// With every checksum right, so that the numbers behind it are reached.
    #[test]
    fn any_numbers_under_a_right_checksum_are_an_error_and_never_a_panic(
        at in 20_usize..92, bytes in any::<[u8; 8]>(), first in any::<u64>(), last in any::<u64>(),
    ) {
        let mut table = table(512);
        (table.entries[0].first, table.entries[0].last) = (first, last);
        let mut disk = disk(&table);
        let end = (512 + at + 8).min(512 + HEADER);
        disk[512 + at..end].copy_from_slice(&bytes[..end - 512 - at]);
        disk[512 + 16..512 + 20].fill(0);
        let crc = crc32fast::hash(&disk[512..512 + HEADER]);
        disk[512 + 16..512 + 20].copy_from_slice(&crc.to_le_bytes());
        let _ = reread(&disk);
    }
}

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
        @r"
    the first sector is not a protective MBR
    there is no GUID partition table: neither at byte 512 nor at byte 4096 stands `EFI PART`
    the primary partition table is damaged: the checksum of its header is wrong
    the primary partition table is damaged: the checksum of its entries is wrong
    the backup partition table is damaged: it has no `EFI PART` at its start
    the backup partition table is damaged: the checksum of its header is wrong
    the backup partition table is damaged: the checksum of its entries is wrong
    "
    );
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
    insta::assert_snapshot!(error, @"the backup partition table is damaged: it points at entries in sector 2, which are not its own");
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

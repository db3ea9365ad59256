//! Partition tables, read strictly and as the firmware of a Chromebook does.
//!
//! The input is the begin of a disk and its end; what is between is zeros. Checksums are made right, so that what is
//! behind them is reached.
#![no_main]

mod seeds;

use std::io::Cursor;

use bootway_image::{read_gpt, read_gpt_lenient};
use libfuzzer_sys::fuzz_target;

/// A table: the two first sectors, the entries, and at the end of the disk the same again, in the other order.
const TABLE: usize = 34 * 512;

fuzz_target!(init: seeds::write(disks), |bytes: &[u8]| {
    let mut disk = vec![0; 2 * TABLE + 64 * 512];
    let half = bytes.len().div_ceil(2).min(TABLE);
    disk[..half].copy_from_slice(&bytes[..half]);
    let rest = &bytes[half..];
    let rest = &rest[..rest.len().min(TABLE)];
    let end = disk.len() - rest.len();
    disk[end..].copy_from_slice(rest);
    let _ = (read_gpt(&mut Cursor::new(&disk)), read_gpt_lenient(&mut Cursor::new(&disk)));
    repair(&mut disk, 512);
    let last = disk.len() - 512;
    repair(&mut disk, last);
    let _ = (read_gpt(&mut Cursor::new(&disk)), read_gpt_lenient(&mut Cursor::new(&disk)));
});

/// Makes the checksums of the header at `at` those of what is there.
fn repair(disk: &mut [u8], at: usize) {
    let word = |disk: &[u8], at: usize| {
        u32::from_le_bytes([disk[at], disk[at + 1], disk[at + 2], disk[at + 3]]) as usize
    };
    let (size, table) = (word(disk, at + 12), word(disk, at + 72).saturating_mul(512));
    let entries = word(disk, at + 80).saturating_mul(word(disk, at + 84));
    if let Some(entries) = table.checked_add(entries).and_then(|end| disk.get(table..end)) {
        let crc = crc32(entries);
        disk[at + 88..at + 92].copy_from_slice(&crc.to_le_bytes());
    }
    disk[at + 16..at + 20].fill(0);
    if let Some(header) = at.checked_add(size).and_then(|end| disk.get(at..end)) {
        let crc = crc32(header);
        disk[at + 16..at + 20].copy_from_slice(&crc.to_le_bytes());
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(
            crc ^ u32::from(*byte),
            |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 },
        )
    })
}

/// Two headers and a few entries, as a Chromebook has them.
fn disks() -> Vec<(String, Vec<u8>)> {
    let sectors = (2 * TABLE + 64 * 512) as u64 / 512;
    let header = |my: u64, other: u64, table: u64| {
        let mut header = vec![0; 512];
        header[..16].copy_from_slice(b"EFI PART\0\0\x01\0\x5c\0\0\0");
        for (at, value) in [(24, my), (32, other), (40, 34), (48, sectors - 34), (72, table)] {
            header[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        header[80..88].copy_from_slice(&[128, 0, 0, 0, 128, 0, 0, 0]);
        header
    };
    let mut entries = vec![0; 128 * 128];
    for n in 0..4_u8 {
        let entry = &mut entries[usize::from(n) * 128..][..128];
        entry[..16].copy_from_slice(b"\x5d\x2a\x3a\xfe\x32\x4f\xa7\x41\xb7\x25\xac\xcc\x32\x85\xa3\x09");
        entry[16] = n + 1;
        entry[32] = 40 + 8 * n;
        entry[40] = 47 + 8 * n;
        (entry[54], entry[55], entry[56]) = (0x5a, 1, b'K');
    }
    let mut primary = [vec![0; 512], header(1, sectors - 1, 2), entries.clone()].concat();
    primary[450] = 0xee;
    (primary[458], primary[510], primary[511]) = (0xff, 0x55, 0xaa);
    let secondary = [entries, header(sectors - 1, 1, sectors - 33)].concat();
    vec![("both".to_owned(), [primary, vec![0; 512], secondary].concat())]
}

//! The sectors at the start of a volume.

use super::{
    Options,
    geometry::{FIRST_CLUSTER, Geometry, TABLES},
};

/// Where the information sector is.
const INFO: u64 = 1;
/// Where the copies of both are.
const BACKUP: u64 = 6;

/// Boot sector and information, each twice: where and what.
pub(super) fn sectors(
    geometry: &Geometry,
    options: &Options<'_>,
    label: &[u8; 11],
    free: u32,
    next: u32,
) -> Vec<(u64, Vec<u8>)> {
    let (boot, info) = (boot(geometry, options, label), info(geometry, free, next));
    let at = |sector: u64| sector * geometry.sector;
    vec![(0, boot.clone()), (at(INFO), info.clone()), (at(BACKUP), boot), (at(BACKUP + INFO), info)]
}

fn boot(geometry: &Geometry, options: &Options<'_>, label: &[u8; 11]) -> Vec<u8> {
    let mut sector = vec![0; geometry.sector as usize];
    let mut put = |at: usize, bytes: &[u8]| sector[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &[0xEB, 0x58, 0x90]);
    put(3, b"BOOTWAY ");
    put(11, &(geometry.sector as u16).to_le_bytes());
    put(13, &[geometry.per_cluster as u8]);
    put(14, &(geometry.reserved as u16).to_le_bytes());
    put(16, &[TABLES as u8]);
    put(21, &[0xF8]); // A fixed disk.
    put(24, &63_u16.to_le_bytes());
    put(26, &255_u16.to_le_bytes());
    // A partition that begins past what the field holds has none that is right.
    let hidden = u32::try_from(options.offset / geometry.sector).unwrap_or(0);
    put(28, &hidden.to_le_bytes());
    put(32, &geometry.sectors.to_le_bytes());
    put(36, &(geometry.table as u32).to_le_bytes());
    put(44, &FIRST_CLUSTER.to_le_bytes());
    put(48, &(INFO as u16).to_le_bytes());
    put(50, &(BACKUP as u16).to_le_bytes());
    put(64, &[0x80, 0, 0x29]);
    put(67, &options.serial.to_le_bytes());
    put(71, label);
    put(82, b"FAT32   ");
    put(90, &[0xFA, 0xF4, 0xEB, 0xFD]); // cli; hlt; again: a BIOS that starts it stops here.
    put(510, &[0x55, 0xAA]);
    sector
}

fn info(geometry: &Geometry, free: u32, next: u32) -> Vec<u8> {
    let mut sector = vec![0; geometry.sector as usize];
    let mut put = |at: usize, bytes: &[u8]| sector[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"RRaA");
    put(484, b"rrAa");
    put(488, &free.to_le_bytes());
    put(492, &next.min(geometry.clusters + FIRST_CLUSTER - 1).to_le_bytes());
    put(508, &[0, 0, 0x55, 0xAA]);
    sector
}

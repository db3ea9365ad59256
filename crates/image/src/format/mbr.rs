//! The protective master boot record (UEFI 2.10, section 5.2.3).

/// Bytes of the record.
pub(crate) const LEN: usize = 512;

/// The protective record of a disk of `sectors` sectors: one partition of type `0xEE` over all of it, so that a
/// program that knows no GPT sees a disk that is full.
///
/// With sectors of 4096 bytes it is the first 512 bytes of the first sector.
pub(crate) fn protective(sectors: u64) -> [u8; LEN] {
    let size = u32::try_from(sectors.saturating_sub(1)).unwrap_or(u32::MAX);
    let mut record = [0; LEN];
    record[446..454].copy_from_slice(&[0, 0, 2, 0, 0xEE, 0xFF, 0xFF, 0xFF]);
    record[454..458].copy_from_slice(&1_u32.to_le_bytes());
    record[458..462].copy_from_slice(&size.to_le_bytes());
    record[510..].copy_from_slice(&[0x55, 0xAA]);
    record
}

/// The primary partitions of a table that is no GPT's: number, first sector and sectors of each, in the order of the
/// table. An extended partition is none; what is in it is not looked for.
pub(crate) fn partitions(record: &[u8]) -> Vec<(u32, u64, u64)> {
    if record.len() < LEN || record[510..512] != [0x55, 0xAA] || is_protective(record) {
        return Vec::new();
    }
    let number = |at: usize| u64::from(u32::from_le_bytes(std::array::from_fn(|n| record[at + n])));
    let entries = (0..4).map(|n| (n as u32 + 1, 446 + 16 * n));
    entries
        .filter(|(_, at)| {
            !matches!(record[at + 4], 0 | 0x05 | 0x0F | 0x85) && matches!(record[*at], 0 | 0x80)
        })
        .map(|(n, at)| (n, number(at + 8), number(at + 12)))
        .filter(|(_, first, count)| *first > 0 && *count > 0)
        .collect()
}

/// Whether `record` protects a GPT.
pub(crate) fn is_protective(record: &[u8]) -> bool {
    record.len() >= LEN
        && record[510..512] == [0x55, 0xAA]
        && (0..4).any(|n| record[446 + 16 * n + 4] == 0xEE)
}

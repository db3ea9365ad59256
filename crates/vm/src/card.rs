//! An image as a card: a qcow2 file without data of its own, over the image, with a power of two of bytes.
//!
//! Source: QEMU, `docs/interop/qcow2.txt`, version 2.

use camino::Utf8Path;

/// Bytes of a cluster, as a power of two.
const CLUSTER_BITS: u32 = 16;
const CLUSTER: u64 = 1 << CLUSTER_BITS;

/// Bytes that an entry of the first table stands for: a cluster of entries of a cluster each.
const L1_SPAN: u64 = CLUSTER / 8 * CLUSTER;

/// Bytes of the fields of version 2.
const HEADER: usize = 72;

/// Longest name of a base that QEMU takes.
const NAME_LIMIT: usize = 1023;

/// The smallest size of a card that has room for `size` bytes: a power of two, as cards have; 64 MiB at least.
pub(crate) fn size(size: u64) -> Option<u64> {
    size.max(64 << 20).checked_next_power_of_two()
}

/// A qcow2 file of `size` bytes over the raw image `base`; `None` if there is no such file.
pub(crate) fn overlay(base: &Utf8Path, size: u64) -> Option<Vec<u8>> {
    let name = base.as_str().as_bytes();
    let l1_entries = size.div_ceil(L1_SPAN);
    // One cluster each for the header, the counts' table, the counts, and the first table.
    if name.len() > NAME_LIMIT || l1_entries > CLUSTER / 8 {
        return None;
    }
    let raw = extension(0xE279_2ACA, b"raw");
    let name_at = HEADER + raw.len();
    let mut file = Vec::with_capacity(4 * CLUSTER as usize);
    file.extend_from_slice(b"QFI\xFB");
    file.extend_from_slice(&2_u32.to_be_bytes());
    file.extend_from_slice(&(name_at as u64).to_be_bytes());
    file.extend_from_slice(&(name.len() as u32).to_be_bytes());
    file.extend_from_slice(&CLUSTER_BITS.to_be_bytes());
    file.extend_from_slice(&size.to_be_bytes());
    file.extend_from_slice(&0_u32.to_be_bytes()); // Not encrypted.
    file.extend_from_slice(&(l1_entries as u32).to_be_bytes());
    file.extend_from_slice(&(3 * CLUSTER).to_be_bytes());
    file.extend_from_slice(&CLUSTER.to_be_bytes());
    file.extend_from_slice(&1_u32.to_be_bytes());
    file.extend_from_slice(&[0; 12]); // No snapshots.
    file.extend_from_slice(&raw);
    file.extend_from_slice(name);
    file.resize(CLUSTER as usize, 0);
    file.extend_from_slice(&(2 * CLUSTER).to_be_bytes());
    file.resize(2 * CLUSTER as usize, 0);
    file.extend([1_u16.to_be_bytes(); 4].concat()); // These four clusters are in use once.
    file.resize(4 * CLUSTER as usize, 0);
    Some(file)
}

/// A header extension, and the one that ends them.
fn extension(kind: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = [kind.to_be_bytes(), (data.len() as u32).to_be_bytes()].concat();
    bytes.extend_from_slice(data);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes.extend_from_slice(&[0; 8]);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_have_a_power_of_two_of_bytes() {
        assert_eq!(size(0), Some(64 << 20));
        assert_eq!(size((64 << 20) + 1), Some(128 << 20));
        assert_eq!(size(1 << 30), Some(1 << 30));
        assert_eq!(size(u64::MAX), None);
    }

    // That QEMU takes it is shown by a guest that boots from it.
    #[test]
    fn what_no_card_can_be_is_none() {
        assert_eq!(overlay(Utf8Path::new("/x"), u64::MAX), None);
        assert_eq!(overlay(Utf8Path::new(&"x".repeat(2000)), 1 << 30), None);
        assert!(overlay(Utf8Path::new("/x"), 1 << 36).is_some());
    }
}

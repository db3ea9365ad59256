//! A qcow2 file without data of its own: what a guest writes to, over an image that stays as it is.
//!
//! Source: QEMU, `docs/interop/qcow2.txt`, version 2.

use camino::Utf8Path;

/// What is below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Base<'a> {
    /// Nothing: an empty disk.
    Nothing,
    /// An image as it is.
    Raw(&'a Utf8Path),
    /// Another such file.
    Qcow2(&'a Utf8Path),
}

/// Bytes of a cluster, as a power of two.
const CLUSTER_BITS: u32 = 16;
const CLUSTER: u64 = 1 << CLUSTER_BITS;

/// Bytes that an entry of the first table stands for: a cluster of entries of a cluster each.
const L1_SPAN: u64 = CLUSTER / 8 * CLUSTER;

/// Bytes of the fields of version 2.
const HEADER: usize = 72;

/// A disk has whole sectors.
const SECTOR: u64 = 512;

/// Longest name of a base that QEMU takes.
const NAME_LIMIT: usize = 1023;

/// The smallest size of a card that has room for `size` bytes: a power of two, as cards have; 64 MiB at least.
pub(crate) fn card_size(size: u64) -> Option<u64> {
    size.max(64 << 20).checked_next_power_of_two()
}

/// A file of `size` bytes over `base`; `None` if there is no such file.
pub(crate) fn overlay(base: Base<'_>, size: u64) -> Option<Vec<u8>> {
    let (name, format): (&[u8], &[u8]) = match base {
        Base::Nothing => (b"", b""),
        Base::Raw(path) => (path.as_str().as_bytes(), b"raw"),
        Base::Qcow2(path) => (path.as_str().as_bytes(), b"qcow2"),
    };
    let l1_entries = size.div_ceil(L1_SPAN);
    // One cluster each for the header, the counts' table, the counts, and the first table.
    if name.len() > NAME_LIMIT || l1_entries > CLUSTER / 8 || !size.is_multiple_of(SECTOR) {
        return None;
    }
    let format = if format.is_empty() { END.to_vec() } else { extension(BASE_FORMAT, format) };
    let name_at = if name.is_empty() { 0 } else { HEADER + format.len() };
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
    file.extend_from_slice(&format);
    file.extend_from_slice(name);
    file.resize(CLUSTER as usize, 0);
    file.extend_from_slice(&(2 * CLUSTER).to_be_bytes());
    file.resize(2 * CLUSTER as usize, 0);
    file.extend([1_u16.to_be_bytes(); 4].concat()); // These four clusters are in use once.
    file.resize(4 * CLUSTER as usize, 0);
    Some(file)
}

/// The extension that says which format the base has.
const BASE_FORMAT: u32 = 0xE279_2ACA;

/// What ends the extensions.
const END: [u8; 8] = [0; 8];

/// A header extension, and the one that ends them.
fn extension(kind: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = [kind.to_be_bytes(), (data.len() as u32).to_be_bytes()].concat();
    bytes.extend_from_slice(data);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes.extend_from_slice(&END);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_have_a_power_of_two_of_bytes() {
        assert_eq!(card_size(0), Some(64 << 20));
        assert_eq!(card_size((64 << 20) + 1), Some(128 << 20));
        assert_eq!(card_size(1 << 30), Some(1 << 30));
        assert_eq!(card_size(u64::MAX), None);
    }

    // That QEMU takes it is shown by a guest that boots from it.
    #[test]
    fn what_no_disk_can_be_is_none() {
        assert_eq!(overlay(Base::Nothing, u64::MAX), None);
        assert_eq!(overlay(Base::Raw(Utf8Path::new(&"x".repeat(2000))), 1 << 30), None);
        assert!(overlay(Base::Qcow2(Utf8Path::new("/x")), 1 << 36).is_some());
    }
}

//! What is where in a pack, as bytes and back.
//!
//! ```text
//! magic 8 | version u32 | 0 u32 | entries u64 | recipe 32 | entry 60 … | BLAKE3 of all before 32
//! entry:  key 32 | offset u64 | length u32, bit 31: stored as it is | XXH3-128 of the bytes 16
//! ```
//!
//! Little-endian; entries ascend by key, and no key is there twice.

use super::{Key, hex};

const MAGIC: &[u8; 8] = b"bwsqpack";
const VERSION: u32 = 1;
/// Bytes before the first entry.
pub(super) const HEADER: usize = 56;
const ENTRY: usize = 60;
const CHECKSUM: usize = 32;
const STORED: u32 = 1 << 31;
/// No block of squashfs is longer, compressed or not.
const LONGEST: u32 = 1 << 20;

/// An entry of a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) key: Key,
    pub(super) offset: u64,
    pub(super) length: u32,
    pub(super) stored: bool,
    pub(super) sum: u128,
}

/// What a file that should be an index turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// Entries of this recipe, by key.
    Items(Vec<Item>),
    /// Of another recipe, or of another version of this program.
    Other,
    /// Nothing that was ever written.
    Damaged,
}

/// The bytes of an index, and the name that belongs to them. `items` ascend by key.
pub(super) fn encode(recipe: &[u8; 32], items: &[Item]) -> (Vec<u8>, String) {
    debug_assert!(items.is_sorted_by(|a, b| a.key < b.key), "keys ascend");
    let mut bytes = Vec::with_capacity(HEADER + items.len() * ENTRY + CHECKSUM);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&(items.len() as u64).to_le_bytes());
    bytes.extend_from_slice(recipe);
    for item in items {
        let stored = if item.stored { STORED } else { 0 };
        bytes.extend_from_slice(&item.key.0);
        bytes.extend_from_slice(&item.offset.to_le_bytes());
        bytes.extend_from_slice(&(item.length | stored).to_le_bytes());
        bytes.extend_from_slice(&item.sum.to_le_bytes());
    }
    let checksum = blake3::hash(&bytes);
    bytes.extend_from_slice(checksum.as_bytes());
    (bytes, hex(&checksum.as_bytes()[..16]))
}

/// Whether an index that begins so is worth reading whole: it is, unless it is sound and of another recipe.
pub(super) fn concerns(header: &[u8; HEADER], recipe: &[u8; 32]) -> bool {
    !(header.starts_with(MAGIC) && (header[8..12] != VERSION.to_le_bytes() || header[24..] != *recipe))
}

/// What those bytes say.
pub(super) fn decode(bytes: &[u8], recipe: &[u8; 32]) -> Read {
    items(bytes, recipe).unwrap_or(Read::Damaged)
}

fn items(bytes: &[u8], recipe: &[u8; 32]) -> Option<Read> {
    let header = bytes.first_chunk::<HEADER>()?;
    if !concerns(header, recipe) {
        return Some(Read::Other);
    }
    let (body, checksum) = bytes.split_last_chunk::<CHECKSUM>()?;
    if *checksum != *blake3::hash(body).as_bytes() || !header.starts_with(MAGIC) {
        return None;
    }
    let count = u64::from_le_bytes(*header[16..].first_chunk()?);
    let (entries, rest) = body.get(HEADER..)?.as_chunks::<ENTRY>();
    if entries.len() as u64 != count || !rest.is_empty() {
        return None;
    }
    let items: Vec<Item> = entries.iter().map(item).collect::<Option<_>>()?;
    items.is_sorted_by(|a, b| a.key < b.key).then_some(Read::Items(items))
}

fn item(bytes: &[u8; ENTRY]) -> Option<Item> {
    let (key, rest) = bytes.split_first_chunk()?;
    let (offset, rest) = rest.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let (sum, _) = rest.split_first_chunk()?;
    let (offset, length) = (u64::from_le_bytes(*offset), u32::from_le_bytes(*length));
    let item = Item {
        key: Key(*key),
        offset,
        length: length & !STORED,
        stored: length & STORED != 0,
        sum: u128::from_le_bytes(*sum),
    };
    offset.checked_add(item.length.into())?;
    (1..=LONGEST).contains(&item.length).then_some(item)
}

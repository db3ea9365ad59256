//! Where everything on a disk goes, decided before a byte is written.
//!
//! [`plan`] is pure: what each partition's content needs goes in, every offset, size, number and GUID comes out, or
//! the one sentence that says what does not fit and what would.

use bootway_plan::{
    Bytes, Digest, Digester, DiskMap, PartitionMap,
    step::{Disk, Partition, Share, ShareOf, Size, Table},
};

use crate::{
    format::{
        gpt::{self, Gpt},
        guid::Guid,
    },
    partition_type,
};

mod error;

pub use error::LayoutError;

/// Every partition begins at a multiple of this, as every partitioning program has it since 2009.
pub(crate) const ALIGNMENT: u64 = 1 << 20;

/// What a partition's content asks of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Need {
    /// The least size in bytes that holds it.
    pub(crate) least: u64,
    /// What it will be: `fat32`, `ext4`, `squashfs`, `raw`, or nothing.
    pub(crate) fs: Option<String>,
    /// Bytes of the files in it, in blocks of 4 KiB.
    pub(crate) files: u64,
    /// Of the content, if there is any.
    pub(crate) digest: Option<Digest>,
    /// What makes it need that much, if it is not the content.
    pub(crate) why: Option<&'static str>,
}

/// A disk, laid out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DiskLayout {
    /// Bytes of the whole disk.
    pub(crate) size: u64,
    /// Bytes of a sector: 512 or 4096.
    pub(crate) sector_size: u64,
    /// Which disk it is: cut from what all its partitions are.
    pub(crate) guid: Guid,
    /// In the order of the disk.
    pub(crate) partitions: Vec<Slot>,
    /// Whether there is a table of them.
    pub(crate) table: Table,
}

/// A partition, laid out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    /// Its place in the table, from 1.
    pub(crate) number: u32,
    /// Its name.
    pub(crate) label: String,
    /// Its type, as in the plan.
    pub(crate) kind: String,
    /// Its type, as on disk.
    pub(crate) kind_guid: Guid,
    /// Attribute bits.
    pub(crate) attributes: u64,
    /// Cut from its number, label, type, size and content; what is in it gets its own identities from here.
    pub(crate) identity: Digest,
    /// First byte.
    pub(crate) offset: u64,
    /// Bytes.
    pub(crate) size: u64,
    /// What will be in it.
    pub(crate) fs: Option<String>,
}

/// Lays out `disk`; `needs` are those of its partitions, in order.
///
/// # Errors
///
/// If a partition is smaller than what it must hold, the disk than its partitions, or a parameter is out of range.
///
/// # Panics
///
/// If there is not one need for each partition.
pub(crate) fn plan(disk: &Disk, needs: &[Need]) -> Result<DiskLayout, LayoutError> {
    assert_eq!(disk.partitions.len(), needs.len(), "one need for each partition");
    let sector_size = disk.sector_size.get();
    if ![512, 4096].contains(&sector_size) {
        return Err(LayoutError::SectorSize { has: disk.sector_size });
    }
    if disk.table == Table::None {
        return alone(disk, needs);
    }
    for (partition, need) in disk.partitions.iter().zip(needs) {
        enough(partition, need)?;
    }
    let numbers = numbers(disk)?;
    let sizes = sizes(disk, needs)?;
    let (offsets, end) = offsets(&sizes, sector_size)?;
    let size = disk.size.map_or(end, Bytes::get);
    let mut partitions = Vec::with_capacity(sizes.len());
    for (n, partition) in disk.partitions.iter().enumerate() {
        partitions.push(Slot {
            number: numbers[n],
            label: partition.label.clone(),
            kind: partition.kind.to_string(),
            kind_guid: partition_type::guid_of(&partition.kind),
            attributes: attributes(partition)?,
            identity: identity(partition, numbers[n], sizes[n], sector_size, &needs[n]),
            offset: offsets[n],
            size: sizes[n],
            fs: needs[n].fs.clone(),
        });
    }
    let mut digester = Digester::default();
    digester.update(format!("disk {size} {sector_size}\n").as_bytes());
    for slot in &partitions {
        digester.update(slot.identity.bytes());
    }
    let guid = Guid::of_identity(digester.finish().identity("disk"));
    Ok(DiskLayout { size, sector_size, guid, partitions, table: Table::Gpt })
}

/// One partition, and nothing else in the file.
fn alone(disk: &Disk, needs: &[Need]) -> Result<DiskLayout, LayoutError> {
    let ([partition], [need]) = (disk.partitions.as_slice(), needs) else {
        return Err(LayoutError::NoTable { partitions: disk.partitions.len() });
    };
    enough(partition, need)?;
    let size = match disk.size {
        Some(size) if partition.grow => size.get(),
        _ => size(partition, need, disk)?,
    };
    if size < need.least {
        return Err(LayoutError::too_small(partition, need, size));
    }
    let sector_size = disk.sector_size.get();
    let slot = Slot {
        number: partition.number.unwrap_or(1),
        label: partition.label.clone(),
        kind: partition.kind.to_string(),
        kind_guid: partition_type::guid_of(&partition.kind),
        attributes: attributes(partition)?,
        identity: identity(partition, 1, size, sector_size, need),
        offset: 0,
        size,
        fs: need.fs.clone(),
    };
    let size = disk.size.map_or(size, Bytes::get).max(size);
    Ok(DiskLayout { size, sector_size, guid: slot.guid(), partitions: vec![slot], table: Table::None })
}

/// Whether there is as much content as the plan says there must be.
fn enough(partition: &Partition, need: &Need) -> Result<(), LayoutError> {
    match partition.min_content {
        Some(wants) if need.files < wants.get() => Err(LayoutError::Suspicious {
            label: partition.label.clone(),
            has: Bytes::new(need.files),
            wants,
        }),
        _ => Ok(()),
    }
}

impl DiskLayout {
    /// The partition table.
    pub(crate) fn gpt(&self) -> Gpt {
        let sector = self.sector_size;
        let entry = |slot: &Slot| gpt::Entry {
            number: slot.number,
            kind: slot.kind_guid,
            guid: slot.guid(),
            first: slot.offset / sector,
            last: (slot.offset + slot.size) / sector - 1,
            attributes: slot.attributes,
            label: slot.label.clone(),
        };
        let mut entries: Vec<_> = self.partitions.iter().map(entry).collect();
        entries.sort_by_key(|entry| entry.number);
        Gpt { guid: self.guid, sector_size: sector, sectors: self.size / sector, entries }
    }

    /// As a report shows it; `used` are the bytes that hold something, partition by partition.
    pub(crate) fn map(&self, used: &[u64]) -> DiskMap {
        let partition = |(slot, used): (&Slot, &u64)| PartitionMap {
            number: slot.number,
            label: slot.label.clone(),
            kind: slot.kind.clone(),
            fs: slot.fs.clone(),
            offset: Bytes::new(slot.offset),
            size: Bytes::new(slot.size),
            used: Bytes::new(*used),
            guid: slot.guid().to_string(),
        };
        DiskMap {
            size: Bytes::new(self.size),
            sector_size: Bytes::new(self.sector_size),
            partitions: self.partitions.iter().zip(used).map(partition).collect(),
        }
    }
}

impl Slot {
    /// The partition's own GUID.
    pub(crate) fn guid(&self) -> Guid {
        Guid::of_identity(self.identity.identity("partition"))
    }
}

/// Nothing in it depends on the host, the plan's name or the order in which partitions are made.
fn identity(partition: &Partition, number: u32, size: u64, sector_size: u64, need: &Need) -> Digest {
    let content = need.digest.map_or_else(String::new, |digest| digest.to_string());
    let fs = need.fs.as_deref().unwrap_or_default();
    let (label, kind) = (&partition.label, &partition.kind);
    Digest::of(format!("partition {number} {kind} {size} {sector_size} {fs} {content}\n{label}").as_bytes())
}

/// The places in the table: those that are asked for, and the first free ones for the rest.
fn numbers(disk: &Disk) -> Result<Vec<u32>, LayoutError> {
    let mut taken = std::collections::BTreeSet::new();
    for partition in &disk.partitions {
        let Some(number) = partition.number else { continue };
        if !(1..=gpt::ENTRIES).contains(&number) {
            return Err(LayoutError::Number { label: partition.label.clone(), number });
        }
        if !taken.insert(number) {
            return Err(LayoutError::NumberTwice { label: partition.label.clone(), number });
        }
    }
    let mut free = (1..=gpt::ENTRIES).filter(|number| !taken.contains(number));
    let number = |partition: &Partition| partition.number.or_else(|| free.next()).ok_or(LayoutError::TooMany);
    disk.partitions.iter().map(number).collect()
}

/// Source for the bits of `boot`: `ChromiumOS` disk format, "Selecting the kernel".
fn attributes(partition: &Partition) -> Result<u64, LayoutError> {
    let label = || partition.label.clone();
    let units = partition.label.encode_utf16().count();
    if units > gpt::LABEL_UNITS {
        return Err(LayoutError::Label { label: label(), units });
    }
    let mut bits = 0;
    for &bit in &partition.attributes {
        bits |=
            1_u64.checked_shl(bit.into()).ok_or_else(|| LayoutError::Attribute { label: label(), bit })?;
    }
    if let Some(boot) = partition.boot {
        for (name, value) in [("priority", boot.priority), ("tries", boot.tries)] {
            if value > 15 {
                return Err(LayoutError::Boot { label: label(), name, value });
            }
        }
        bits |=
            u64::from(boot.priority) << 48 | u64::from(boot.tries) << 52 | u64::from(boot.successful) << 56;
    }
    Ok(bits)
}

/// The bytes of every partition, those that grow included.
fn sizes(disk: &Disk, needs: &[Need]) -> Result<Vec<u64>, LayoutError> {
    let sector_size = disk.sector_size.get();
    let mut sizes = Vec::with_capacity(needs.len());
    for (partition, need) in disk.partitions.iter().zip(needs) {
        let size = size(partition, need, disk)?;
        // One that grows is looked at when it has grown.
        if size < need.least && !partition.grow {
            return Err(LayoutError::too_small(partition, need, size));
        }
        sizes.push(size);
    }
    let (_, end) = offsets(&sizes, sector_size)?;
    let Some(total) = disk.size.map(Bytes::get) else {
        return match disk.partitions.iter().find(|partition| partition.grow) {
            Some(partition) => Err(LayoutError::GrowsNowhere { label: partition.label.clone() }),
            None => Ok(sizes),
        };
    };
    if !total.is_multiple_of(sector_size) {
        return Err(LayoutError::DiskSectors { has: Bytes::new(total), sector: disk.sector_size });
    }
    let slack = end - last_end(&sizes, sector_size)? - gpt::tail_len(sector_size);
    if total < end - slack {
        return Err(LayoutError::DiskTooSmall { needs: Bytes::new(end), has: Bytes::new(total) });
    }
    let growing: Vec<usize> = (0..sizes.len()).filter(|n| disk.partitions[*n].grow).collect();
    let mut left = (total - (end - slack)) / ALIGNMENT;
    for (done, n) in growing.iter().enumerate() {
        let share = left.div_ceil((growing.len() - done) as u64);
        sizes[*n] += share * ALIGNMENT;
        left -= share;
        if sizes[*n] < needs[*n].least {
            let short = (needs[*n].least - sizes[*n]).next_multiple_of(ALIGNMENT);
            return Err(LayoutError::DiskTooSmall {
                needs: Bytes::new(total + short),
                has: Bytes::new(total),
            });
        }
    }
    Ok(sizes)
}

fn size(partition: &Partition, need: &Need, disk: &Disk) -> Result<u64, LayoutError> {
    let label = || partition.label.clone();
    let up = |bytes: u64| {
        bytes.checked_next_multiple_of(ALIGNMENT).ok_or_else(|| LayoutError::TooBig { label: label() })
    };
    let size = match partition.size {
        Size::Fit => up(need.least)?,
        Size::Exactly(size) if !size.get().is_multiple_of(disk.sector_size.get()) => {
            return Err(LayoutError::Sectors { label: label(), has: size, sector: disk.sector_size });
        }
        Size::Exactly(size) => size.get(),
        Size::Share(Share { of, percent, plus, min }) => {
            let whole = match of {
                ShareOf::Content => need.least,
                ShareOf::Files => need.files,
                ShareOf::Disk => {
                    disk.size.ok_or_else(|| LayoutError::ShareOfNothing { label: label() })?.get()
                }
            };
            let share = u128::from(whole) * u128::from(percent) / 100 + u128::from(plus.get());
            let share =
                u64::try_from(share).map_err(|_| LayoutError::TooBig { label: label() })?.max(min.get());
            match of {
                ShareOf::Disk => share / ALIGNMENT * ALIGNMENT,
                ShareOf::Content => up(share)?,
                ShareOf::Files => up(share.max(need.least))?,
            }
        }
    };
    if size == 0 && !partition.grow {
        return Err(LayoutError::Empty { label: label() });
    }
    Ok(size)
}

fn last_end(sizes: &[u64], sector_size: u64) -> Result<u64, LayoutError> {
    let mut end = gpt::head_len(sector_size);
    for size in sizes {
        end = end
            .next_multiple_of(ALIGNMENT)
            .checked_add(*size)
            .filter(|end| *end < 1 << 62)
            .ok_or(LayoutError::Huge)?;
    }
    Ok(end)
}

/// The first byte of every partition, and the size of the disk that holds them.
fn offsets(sizes: &[u64], sector_size: u64) -> Result<(Vec<u64>, u64), LayoutError> {
    let end = (last_end(sizes, sector_size)? + gpt::tail_len(sector_size)).next_multiple_of(ALIGNMENT);
    let mut at = gpt::head_len(sector_size);
    let offset = |size: &u64| {
        let offset = at.next_multiple_of(ALIGNMENT);
        at = offset + size;
        offset
    };
    Ok((sizes.iter().map(offset).collect(), end))
}

#[cfg(test)]
mod tests;

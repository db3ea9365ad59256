//! Why a disk cannot be laid out, and what would help.

use bootway_plan::{Bytes, Class, Explain, step::Partition};
use thiserror::Error;

use super::{ALIGNMENT, Need};
use crate::format::gpt;

/// A disk that cannot be laid out.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LayoutError {
    /// A sector size that no disk has.
    #[error("`sector-size` is {has}: a disk has sectors of 512B or 4KiB")]
    SectorSize {
        /// What was asked for.
        has: Bytes,
    },
    /// A label that does not fit its field.
    #[error("label `{label}` has {units} UTF-16 units, at most 36 fit a GPT label: shorten it by {}", units - gpt::LABEL_UNITS)]
    Label {
        /// The label.
        label: String,
        /// How long it is.
        units: usize,
    },
    /// A number that no table has.
    #[error("partition `{label}` has number {number}: a table has places 1 to 128")]
    Number {
        /// The partition.
        label: String,
        /// What was asked for.
        number: u32,
    },
    /// Two partitions in one place.
    #[error("partition `{label}` has number {number}, which another has: give it another, or none")]
    NumberTwice {
        /// The second of the two.
        label: String,
        /// Their number.
        number: u32,
    },
    /// More partitions than places.
    #[error("a table has places for 128 partitions: put fewer on the disk")]
    TooMany,
    /// A bit that is none.
    #[error("partition `{label}` sets attribute bit {bit}: there are bits 0 to 63")]
    Attribute {
        /// The partition.
        label: String,
        /// What was asked for.
        bit: u8,
    },
    /// A boot attribute that does not fit its four bits.
    #[error("partition `{label}` has boot {name} {value}: at most 15 is possible")]
    Boot {
        /// The partition.
        label: String,
        /// `priority` or `tries`.
        name: &'static str,
        /// What was asked for.
        value: u8,
    },
    /// Part of a sector.
    #[error("partition `{label}` is {has}, which is not whole sectors of {sector}: write {}", whole(*has, *sector))]
    Sectors {
        /// The partition.
        label: String,
        /// Its size.
        has: Bytes,
        /// Of a sector.
        sector: Bytes,
    },
    /// Part of a sector at the end of the disk.
    #[error("the disk's `size` is {has}, which is not whole sectors of {sector}: write {}", whole(*has, *sector))]
    DiskSectors {
        /// Its size.
        has: Bytes,
        /// Of a sector.
        sector: Bytes,
    },
    /// Nothing says how big it is to be.
    #[error("partition `{label}` has nothing that its size could fit: give it a `size`, or `content`")]
    Empty {
        /// The partition.
        label: String,
    },
    /// A share of a disk whose size is not known.
    #[error("partition `{label}` is a share of the disk, and the disk has no `size`: give it one")]
    ShareOfNothing {
        /// The partition.
        label: String,
    },
    /// Growth on a disk whose size follows from its partitions.
    #[error("partition `{label}` grows, and the disk has no `size` to grow into: give it one")]
    GrowsNowhere {
        /// The partition.
        label: String,
    },
    /// The content does not fit.
    #[error("partition `{label}` needs {}, has {}", apart(*needs, *has), apart(*has, *needs))]
    TooSmall {
        /// The partition.
        label: String,
        /// The least that holds its content.
        needs: Bytes,
        /// What the plan gives it.
        has: Bytes,
        /// What makes it need that much, if it is not the content.
        why: Option<&'static str>,
    },
    /// Much less content than the plan says there must be.
    #[error("the content of partition `{label}` is suspiciously small: {}, and `min-content` is {}", apart(*has, *wants), apart(*wants, *has))]
    Suspicious {
        /// The partition.
        label: String,
        /// What its files have.
        has: Bytes,
        /// What they must have at least.
        wants: Bytes,
    },
    /// Several partitions, and nothing that would say where they are.
    #[error("without a table there is one partition, not {partitions}: leave `table` out")]
    NoTable {
        /// How many were asked for.
        partitions: usize,
    },
    /// The partitions do not fit.
    #[error("the disk needs {}, has {}", apart(*needs, *has), apart(*has, *needs))]
    DiskTooSmall {
        /// The least that holds its partitions.
        needs: Bytes,
        /// What the plan gives it.
        has: Bytes,
    },
    /// A size past all bounds.
    #[error("partition `{label}` is bigger than 2^64 bytes: give it less")]
    TooBig {
        /// The partition.
        label: String,
    },
    /// Sizes that add up past all bounds.
    #[error("the partitions are bigger than 2^62 bytes together: give them less")]
    Huge,
}

impl LayoutError {
    pub(super) fn too_small(partition: &Partition, need: &Need, has: u64) -> Self {
        let (needs, has) = (Bytes::new(need.least), Bytes::new(has));
        Self::TooSmall { label: partition.label.clone(), needs, has, why: need.why }
    }
}

/// `size` for people, to the byte if three digits do not tell it from `other`.
fn apart(size: Bytes, other: Bytes) -> String {
    if size.human() == other.human() { size.to_string() } else { size.human() }
}

fn whole(size: Bytes, sector: Bytes) -> Bytes {
    size.round_up(sector).unwrap_or(sector)
}

impl Explain for LayoutError {
    fn class(&self) -> Class {
        Class::Plan
    }

    fn hint(&self) -> Option<String> {
        let least = |needs: Bytes| whole(needs, Bytes::new(ALIGNMENT));
        match self {
            Self::TooSmall { needs, why, .. } => {
                let why = why.map_or_else(String::new, |why| format!("; {why}"));
                Some(format!("write `size = \"fit\"`, or at least `size = \"{}\"`{why}", least(*needs)))
            }
            Self::Suspicious { .. } => Some(
                "look whether it is the tree that was meant; if it is, lower `min-content` or leave it out"
                    .to_owned(),
            ),
            Self::DiskTooSmall { needs, .. } => {
                Some(format!("give the disk at least `size = \"{}\"`, or no size at all", least(*needs)))
            }
            _ => None,
        }
    }
}

//! Where the parts of a FAT32 volume are.

use bootway_plan::Bytes;

use super::{BLOCK, FatProblem};

/// Clusters are counted from here.
pub(super) const FIRST_CLUSTER: u32 = 2;
/// Below this number of clusters, every driver takes a volume for FAT16.
const LEAST_CLUSTERS: u32 = 65_525;
/// Above this number, entries of the table mean something else.
const MOST_CLUSTERS: u64 = 0x0FFF_FFF5 - FIRST_CLUSTER as u64;
/// Sectors before the first table, at least: boot sector, information, their backups, and room.
const RESERVED: u64 = 32;
/// Copies of the allocation table.
pub(super) const TABLES: u64 = 2;

/// The shape of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Geometry {
    /// Bytes of a sector.
    pub(super) sector: u64,
    /// Sectors of the volume.
    pub(super) sectors: u32,
    /// Sectors of a cluster.
    pub(super) per_cluster: u64,
    /// Sectors before the first table.
    pub(super) reserved: u64,
    /// Sectors of one table.
    pub(super) table: u64,
    /// Clusters.
    pub(super) clusters: u32,
}

/// The least size in bytes of a FAT32 volume.
pub(crate) const fn least(sector: u64) -> u64 {
    let table = ((LEAST_CLUSTERS + FIRST_CLUSTER) as u64 * 4).div_ceil(sector);
    let front = ((RESERVED + TABLES * table) * sector).next_multiple_of(BLOCK);
    front + LEAST_CLUSTERS as u64 * sector
}

/// Bytes of a cluster that suit a volume up to a size in bytes: the table that mkfs.fat and Windows go by.
const SUITED: [(u64, u64); 5] =
    [(260 << 20, 512), (8 << 30, 4096), (16 << 30, 8192), (32 << 30, 16_384), (2 << 40, 32_768)];

fn suited(size: u64) -> u64 {
    SUITED.iter().find(|(most, _)| size <= *most).map_or(65_536, |(_, cluster)| *cluster)
}

impl Geometry {
    /// The shape of a volume of `size` bytes.
    pub(super) fn of(size: u64, sector: u64) -> Result<Self, FatProblem> {
        let sectors =
            u32::try_from(size / sector).map_err(|_| FatProblem::TooBig { has: Bytes::new(size) })?;
        let mut per_cluster = (suited(size) / sector).max(1);
        loop {
            match Self::with(sector, sectors, per_cluster) {
                Some(geometry) if geometry.clusters >= LEAST_CLUSTERS => return Ok(geometry),
                _ if per_cluster > 1 => per_cluster /= 2,
                _ => {
                    return Err(FatProblem::TooSmall {
                        needs: Bytes::new(least(sector)),
                        has: Bytes::new(size),
                    });
                }
            }
        }
    }

    fn with(sector: u64, sectors: u32, per_cluster: u64) -> Option<Self> {
        let clusters = |front: u64| Some(u64::from(sectors).checked_sub(front)? / per_cluster);
        let entries =
            |table| Some(clusters(RESERVED + TABLES * table)?.min(MOST_CLUSTERS) + u64::from(FIRST_CLUSTER));
        let needs = |table| Some((entries(table)? * 4).div_ceil(sector));
        // A table takes room that then needs no entries: too much at first, then down to what is enough.
        let mut table = needs(0)?;
        while table > 1 && needs(table - 1)? < table {
            table -= 1;
        }
        let front = ((RESERVED + TABLES * table) * sector).next_multiple_of(BLOCK) / sector;
        let clusters = u32::try_from(clusters(front)?.min(MOST_CLUSTERS)).ok()?;
        Some(Self { sector, sectors, per_cluster, reserved: front - TABLES * table, table, clusters })
    }

    /// Bytes of a cluster.
    pub(super) const fn cluster(&self) -> u64 {
        self.per_cluster * self.sector
    }

    /// First byte of a copy of the table.
    pub(super) const fn table_offset(&self, copy: u64) -> u64 {
        (self.reserved + copy * self.table) * self.sector
    }

    /// First byte of a cluster.
    pub(super) const fn offset(&self, cluster: u32) -> u64 {
        self.table_offset(TABLES) + (cluster - FIRST_CLUSTER) as u64 * self.cluster()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_size_is_the_least() {
        for sector in [512, 4096] {
            let least = least(sector);
            assert!(Geometry::of(least, sector).unwrap().clusters >= LEAST_CLUSTERS);
            assert!(Geometry::of(least - sector, sector).is_err());
        }
        assert_eq!(Bytes::new(least(512)).human(), "32.5 MiB");
        assert_eq!(Bytes::new(least(4096)).human(), "257 MiB");
    }

    #[test]
    fn tables_are_big_enough_and_the_data_begins_at_a_block() {
        for mib in (33..9000).step_by(7) {
            let size = (mib << 20) + 512 * (mib % 5);
            let geometry = Geometry::of(size, 512).unwrap();
            assert!(geometry.table * 512 >= u64::from(geometry.clusters + FIRST_CLUSTER) * 4, "{geometry:?}");
            assert_eq!(geometry.offset(FIRST_CLUSTER) % BLOCK, 0, "{geometry:?}");
            assert!(geometry.offset(FIRST_CLUSTER + geometry.clusters) <= size, "{geometry:?}");
        }
    }
}

//! Reading FAT32 without a mount: enough to look into an ESP and to read a file out of it.
//!
//! For bytes of any origin: every number is checked, every chain is bounded by the number of clusters.

use std::io::{self, Read, Seek, SeekFrom};

use thiserror::Error;

/// Bytes of a directory that are read at most: twice what the specification allows.
const MOST_DIRECTORY: u64 = 4 << 20;
/// The first number that ends a chain.
const END: u32 = 0x0FFF_FFF8;

/// A FAT32 volume on a disk.
#[derive(Debug)]
pub struct FatReader<R> {
    disk: R,
    /// First byte of the volume on the disk.
    start: u64,
    cluster: u64,
    table: u64,
    data: u64,
    clusters: u32,
    root: u32,
}

/// A file or directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FatEntry {
    /// Its long name, or its short one if it has no other.
    pub name: String,
    /// Whether it is a directory.
    pub is_dir: bool,
    /// Bytes; 0 for a directory.
    pub size: u64,
    first: u32,
}

impl<R: Read + Seek> FatReader<R> {
    /// The volume that begins `start` bytes into `disk`.
    pub fn open(mut disk: R, start: u64) -> Result<Self, FatError> {
        let mut boot = [0; 512];
        disk.seek(SeekFrom::Start(start))?;
        disk.read_exact(&mut boot)?;
        let u16_at = |at: usize| u64::from(u16::from_le_bytes([boot[at], boot[at + 1]]));
        let u32_at = |at: usize| u32::from_le_bytes([boot[at], boot[at + 1], boot[at + 2], boot[at + 3]]);
        let (sector, per_cluster) = (u16_at(11), u64::from(boot[13]));
        let (reserved, tables, table) = (u16_at(14), u64::from(boot[16]), u64::from(u32_at(36)));
        let is_fat32 = boot[510..] == [0x55, 0xAA] && u16_at(17) == 0 && u16_at(22) == 0;
        if !is_fat32
            || !sector.is_power_of_two()
            || !(512..=4096).contains(&sector)
            || !per_cluster.is_power_of_two()
        {
            return Err(FatError::NotFat32);
        }
        let front = reserved + tables * table;
        let sectors = u64::from(u32_at(32));
        let clusters = sectors.saturating_sub(front) / per_cluster;
        if reserved == 0 || tables == 0 || clusters == 0 || table * sector < clusters * 4 {
            return Err(FatError::NotFat32);
        }
        Ok(Self {
            disk,
            start,
            cluster: per_cluster * sector,
            table: reserved * sector,
            data: front * sector,
            clusters: u32::try_from(clusters).map_err(|_| FatError::NotFat32)?,
            root: u32_at(44),
        })
    }

    /// What is in the directory at `path`, `/`-separated; `""` is the root. In the order of the disk.
    pub fn list(&mut self, path: &str) -> Result<Vec<FatEntry>, FatError> {
        let first = match self.find(path)? {
            None => self.root,
            Some(entry) if entry.is_dir => entry.first,
            Some(_) => return Err(FatError::NotDirectory { path: path.to_owned() }),
        };
        self.directory(first)
    }

    /// The entry at `path`, without regard to case; `None` for the root.
    pub fn find(&mut self, path: &str) -> Result<Option<FatEntry>, FatError> {
        let (mut first, mut found) = (self.root, None);
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let absent = || FatError::Absent { path: path.to_owned() };
            if found.as_ref().is_some_and(|entry: &FatEntry| !entry.is_dir) {
                return Err(absent());
            }
            let wanted = name.to_uppercase();
            let entries = self.directory(first)?;
            let entry =
                entries.into_iter().find(|entry| entry.name.to_uppercase() == wanted).ok_or_else(absent)?;
            first = entry.first;
            found = Some(entry);
        }
        Ok(found)
    }

    /// The bytes of the file at `path`.
    ///
    /// # Errors
    ///
    /// If there is no such file, or it has more than `limit` bytes.
    pub fn read(&mut self, path: &str, limit: u64) -> Result<Vec<u8>, FatError> {
        match self.find(path)? {
            Some(entry) if !entry.is_dir && entry.size > limit => {
                Err(FatError::Big { path: path.to_owned(), size: entry.size, limit })
            }
            Some(entry) if !entry.is_dir => self.chain(entry.first, entry.size),
            _ => Err(FatError::Absent { path: path.to_owned() }),
        }
    }

    fn directory(&mut self, first: u32) -> Result<Vec<FatEntry>, FatError> {
        let bytes = self.chain(first, u64::MAX)?;
        let mut entries = Vec::new();
        let mut long: Vec<u16> = Vec::new();
        for raw in bytes.as_chunks::<32>().0 {
            match (raw[0], raw[11]) {
                (0, _) => break,
                (0xE5, _) => long.clear(),
                (ordinal, 0x0F) => {
                    if ordinal & 0x40 != 0 {
                        long.clear();
                    }
                    let slots = (1..11).chain(14..26).chain(28..32).step_by(2);
                    let mut part: Vec<u16> =
                        slots.map(|at| u16::from_le_bytes([raw[at], raw[at + 1]])).collect();
                    part.append(&mut long);
                    long = part;
                }
                (_, attributes) if attributes & 0x08 != 0 => long.clear(),
                (_, attributes) => {
                    let units: Vec<u16> =
                        std::mem::take(&mut long).into_iter().take_while(|unit| *unit != 0).collect();
                    let name =
                        if units.is_empty() { short_name(raw) } else { String::from_utf16_lossy(&units) };
                    let is_dir = attributes & 0x10 != 0;
                    let size = u32::from_le_bytes([raw[28], raw[29], raw[30], raw[31]]);
                    let first = u32::from_le_bytes([raw[26], raw[27], raw[20], raw[21]]);
                    if name != "." && name != ".." {
                        entries.push(FatEntry {
                            name,
                            is_dir,
                            size: if is_dir { 0 } else { size.into() },
                            first,
                        });
                    }
                }
            }
        }
        Ok(entries)
    }

    /// `size` bytes of the chain that begins at `first`, or all of it if it is shorter than `u64::MAX` says.
    fn chain(&mut self, first: u32, size: u64) -> Result<Vec<u8>, FatError> {
        let whole = size == u64::MAX;
        let limit = if whole { MOST_DIRECTORY } else { size };
        let mut bytes = Vec::new();
        let mut cluster = first;
        while (bytes.len() as u64) < limit {
            if whole && cluster >= END {
                break;
            }
            if !(2..self.clusters + 2).contains(&cluster) {
                return Err(FatError::Chain { cluster });
            }
            let want = self.cluster.min(limit - bytes.len() as u64) as usize;
            let at = bytes.len();
            bytes.resize(at + want, 0);
            self.read_at(self.data + u64::from(cluster - 2) * self.cluster, &mut bytes[at..])?;
            let mut next = [0; 4];
            self.read_at(self.table + u64::from(cluster) * 4, &mut next)?;
            cluster = u32::from_le_bytes(next) & 0x0FFF_FFFF;
        }
        Ok(bytes)
    }

    fn read_at(&mut self, at: u64, bytes: &mut [u8]) -> Result<(), FatError> {
        self.disk.seek(SeekFrom::Start(self.start + at))?;
        Ok(self.disk.read_exact(bytes)?)
    }
}

fn short_name(raw: &[u8; 32]) -> String {
    let part = |range: std::ops::Range<usize>| String::from_utf8_lossy(&raw[range]).trim_end().to_owned();
    let (stem, extension) = (part(0..8), part(8..11));
    if extension.is_empty() { stem } else { format!("{stem}.{extension}") }
}

/// A FAT volume that cannot be read, or does not have what was asked for.
#[derive(Debug, Error)]
pub enum FatError {
    /// The disk could not be read.
    #[error("cannot read the FAT volume")]
    Read(#[from] io::Error),
    /// The boot sector is not one.
    #[error("there is no FAT32 file system: its boot sector is missing or damaged")]
    NotFat32,
    /// A chain leaves the volume.
    #[error("the FAT volume is damaged: a chain leads to cluster {cluster}, which it does not have")]
    Chain {
        /// Where it leads.
        cluster: u32,
    },
    /// There is no such file.
    #[error("there is no file `{path}`")]
    Absent {
        /// What was asked for.
        path: String,
    },
    /// It is a file.
    #[error("`{path}` is no directory")]
    NotDirectory {
        /// What was asked for.
        path: String,
    },
    /// The file is bigger than whoever asked wants to know.
    #[error("`{path}` has {size} bytes, more than the {limit} that are read")]
    Big {
        /// What was asked for.
        path: String,
        /// What it has.
        size: u64,
        /// What was allowed.
        limit: u64,
    },
}

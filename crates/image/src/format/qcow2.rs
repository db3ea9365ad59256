//! qcow2 images: a disk in which only the clusters are stored that hold something.
//!
//! What is written is version 3 with 16-bit counts, nothing compressed and no base: the same disk gives the same bytes. What
//! is read is any image of version 2 or 3 that has its data in plain clusters of its own.
//!
//! Source: QEMU, `docs/interop/qcow2.txt`.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::FileExt,
};

use camino::Utf8Path;
use thiserror::Error;

/// The first bytes.
pub(crate) const MAGIC: &[u8] = b"QFI\xFB";
/// Bytes of a cluster, as a power of two: as QEMU does by itself.
const BITS: u32 = 16;
const CLUSTER: u64 = 1 << BITS;
/// Entries of a second table, each of which is a cluster of data.
const ENTRIES: u64 = CLUSTER / 8;
/// Counts in a cluster of counts.
const COUNTS: u64 = CLUSTER / 2;
/// Bytes of the header of version 3.
const HEADER: usize = 104;
/// Counted once, by this table alone.
const COPIED: u64 = 1 << 63;
/// In an entry, where the cluster is.
const PLACE: u64 = 0x00FF_FFFF_FFFF_FE00;
const COMPRESSED: u64 = 1 << 62;
/// In an entry of version 3: the cluster reads as zeros.
const ZERO: u64 = 1;
/// The largest first table that QEMU reads, bytes.
const L1_MAX: u64 = 32 << 20;

/// Writes the disk of `size` bytes that `disk` is to `to`, which is empty. Clusters of zeros are left out.
pub(crate) fn write(mut disk: impl Read, size: u64, to: &mut (impl Write + Seek)) -> io::Result<()> {
    let clusters = size.div_ceil(CLUSTER);
    // The first cluster is the header's, which is written last.
    to.seek(SeekFrom::Start(CLUSTER))?;
    let mut next = 1;
    let mut tables: Vec<Option<Vec<u64>>> = Vec::new();
    tables.resize_with(clusters.div_ceil(ENTRIES) as usize, || None);
    let mut buffer = vec![0; CLUSTER as usize];
    for n in 0..clusters {
        let length = CLUSTER.min(size - n * CLUSTER) as usize;
        disk.read_exact(&mut buffer[..length])?;
        buffer[length..].fill(0);
        if buffer.iter().all(|byte| *byte == 0) {
            continue;
        }
        let table = tables[(n / ENTRIES) as usize].get_or_insert_with(|| vec![0; ENTRIES as usize]);
        table[(n % ENTRIES) as usize] = (next * CLUSTER) | COPIED;
        to.write_all(&buffer)?;
        next += 1;
    }
    let mut first = Vec::with_capacity(tables.len());
    for table in &tables {
        let Some(table) = table else {
            first.push(0);
            continue;
        };
        first.push((next * CLUSTER) | COPIED);
        to.write_all(&words(table))?;
        next += 1;
    }
    let first_at = next * CLUSTER;
    let first_clusters = (first.len() as u64 * 8).div_ceil(CLUSTER).max(1);
    write_padded(to, &words(&first), first_clusters)?;
    next += first_clusters;
    // What counts the clusters is counted as well.
    let (mut blocks, mut table) = (0, 0);
    while blocks < (next + blocks + table).div_ceil(COUNTS) || table < (blocks * 8).div_ceil(CLUSTER) {
        blocks = (next + blocks + table).div_ceil(COUNTS);
        table = (blocks * 8).div_ceil(CLUSTER);
    }
    let counted = next + blocks + table;
    let counts: Vec<u8> = (0..counted).flat_map(|_| 1_u16.to_be_bytes()).collect();
    write_padded(to, &counts, blocks)?;
    let places: Vec<u64> = (0..blocks).map(|n| (next + n) * CLUSTER).collect();
    write_padded(to, &words(&places), table)?;
    to.rewind()?;
    to.write_all(&header(size, first.len() as u32, first_at, (next + blocks) * CLUSTER, table as u32))
}

fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

fn write_padded(to: &mut impl Write, bytes: &[u8], clusters: u64) -> io::Result<()> {
    to.write_all(bytes)?;
    let missing = clusters * CLUSTER - bytes.len() as u64;
    to.write_all(&vec![0; missing as usize])
}

fn header(size: u64, first: u32, first_at: u64, counts_at: u64, counts: u32) -> Vec<u8> {
    let mut header = MAGIC.to_vec();
    header.extend(3_u32.to_be_bytes());
    header.extend([0; 12]); // No base.
    header.extend(BITS.to_be_bytes());
    header.extend(size.to_be_bytes());
    header.extend(0_u32.to_be_bytes()); // Not encrypted.
    header.extend(first.to_be_bytes());
    header.extend(first_at.to_be_bytes());
    header.extend(counts_at.to_be_bytes());
    header.extend(counts.to_be_bytes());
    header.extend([0; 12]); // No snapshots.
    header.extend([0; 24]); // No features of any kind.
    header.extend(4_u32.to_be_bytes()); // Counts have 2^4 bits.
    header.extend((HEADER as u32).to_be_bytes());
    header.resize(CLUSTER as usize, 0); // The end of the extensions is zeros.
    header
}

/// The disk in the image at `path`, to be read only; nothing if there is no such image.
///
/// # Errors
///
/// If it is one that cannot be read.
pub(crate) fn open(path: &Utf8Path) -> Result<Option<Reader<File>>, Qcow2Error> {
    let file = fs_err::File::open(path)?.into_file();
    let mut magic = [0; 4];
    let is_one = file.read_exact_at(&mut magic, 0).is_ok() && magic == MAGIC;
    let len = file.metadata()?.len();
    is_one.then(|| Reader::open(file, len)).transpose()
}

/// The disk in an image, to be read only.
#[derive(Debug)]
pub(crate) struct Reader<F> {
    file: F,
    /// Of the file.
    len: u64,
    bits: u32,
    size: u64,
    first: Vec<u64>,
    at: u64,
    /// The second table that was read last, and which one it is.
    table: Option<(u64, Vec<u64>)>,
}

impl<F: FileExt> Reader<F> {
    /// The image in `file`, which has `len` bytes.
    ///
    /// # Errors
    ///
    /// If it is none, or has its data elsewhere or in another way than in plain clusters.
    pub(crate) fn open(file: F, len: u64) -> Result<Self, Qcow2Error> {
        let mut header = [0; HEADER];
        file.read_exact_at(&mut header[..72], 0)?;
        let word =
            |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let long = |at: usize| u64::from(word(at)) << 32 | u64::from(word(at + 4));
        let (version, bits) = (word(4), word(20));
        if !header.starts_with(MAGIC) || !(2..=3).contains(&version) {
            return Err(Qcow2Error::Damaged("it does not begin as one of version 2 or 3".to_owned()));
        }
        if !(9..=21).contains(&bits) {
            return Err(Qcow2Error::Damaged(format!(
                "its clusters have 2^{bits} bytes, and not 2^9 to 2^21"
            )));
        }
        if long(8) != 0 {
            return Err(Qcow2Error::Unsupported("it is over a base, and has only what differs from that"));
        }
        if word(32) != 0 {
            return Err(Qcow2Error::Unsupported("it is encrypted"));
        }
        let (size, first, first_at) = (long(24), u64::from(word(36)), long(40));
        let mut features = [0; 8];
        if version == 3 {
            file.read_exact_at(&mut features, 72)?;
        }
        // Bit 0 says that counts may be wrong, which nobody needs who only reads.
        if u64::from_be_bytes(features) & !1 != 0 {
            return Err(Qcow2Error::Unsupported("it has features that are not known here"));
        }
        let wanted = size.div_ceil(1 << bits).div_ceil((1 << bits) / 8);
        if first < wanted || first * 8 > L1_MAX || first_at.checked_add(first * 8).is_none_or(|end| end > len)
        {
            return Err(Qcow2Error::Damaged(format!(
                "its first table has {first} entries at byte {first_at}, of a file of {len} bytes"
            )));
        }
        let first = read_words(&file, first_at, wanted)?;
        Ok(Self { file, len, bits, size, first, at: 0, table: None })
    }

    /// Bytes of the disk.
    pub(crate) const fn size(&self) -> u64 {
        self.size
    }

    /// Bytes of a cluster.
    pub(crate) const fn cluster_size(&self) -> u64 {
        1 << self.bits
    }

    /// Looks at every table; how many clusters hold something.
    ///
    /// # Errors
    ///
    /// If one lies outside of the file, or two are the same: so no more is read than the file has.
    pub(crate) fn check(&mut self) -> Result<u64, Qcow2Error> {
        let mut used = 0;
        self.each(|_, _, _| {
            used += 1;
            Ok(())
        })?;
        Ok(used)
    }

    /// Writes the disk to `to`, which is empty: what reads as zeros stays a hole.
    ///
    /// # Errors
    ///
    /// The same, and if `to` cannot be written.
    pub(crate) fn unpack(&mut self, to: &File) -> Result<(), Qcow2Error> {
        to.set_len(self.size)?;
        let (bits, size, len) = (self.bits, self.size, self.len);
        let mut buffer = vec![0; 1 << bits];
        self.each(|file, n, at| {
            let place = n << bits;
            let length = (size - place).min(1 << bits) as usize;
            let there = (len - at).min(length as u64) as usize;
            buffer[there..].fill(0);
            file.read_exact_at(&mut buffer[..there], at)?;
            Ok(to.write_all_at(&buffer[..length], place)?)
        })
    }

    /// Calls `what` with the file, the number of each cluster of the disk that holds something, and the byte it is at.
    fn each(
        &mut self,
        mut what: impl FnMut(&F, u64, u64) -> Result<(), Qcow2Error>,
    ) -> Result<(), Qcow2Error> {
        let entries = (1_u64 << self.bits) / 8;
        let clusters = self.size.div_ceil(1 << self.bits);
        let mut taken = Taken::new(self.len, self.bits);
        taken.take(0)?; // The header is there.
        for first in 0..self.first.len() {
            let table = self.first[first] & PLACE;
            if table == 0 {
                continue;
            }
            self.inside(table)?;
            taken.take(table)?;
            let from = first as u64 * entries;
            for n in from..(from + entries).min(clusters) {
                if let Some(at) = self.cluster(n)? {
                    taken.take(at)?;
                    what(&self.file, n, at)?;
                }
            }
        }
        Ok(())
    }

    /// Where cluster `n` of the disk is in the file; nothing if it reads as zeros.
    fn cluster(&mut self, n: u64) -> Result<Option<u64>, Qcow2Error> {
        let entries = (1_u64 << self.bits) / 8;
        let (of_first, of_second) = (n / entries, (n % entries) as usize);
        let table_at = self.first[of_first as usize] & PLACE;
        if table_at == 0 {
            return Ok(None);
        }
        if self.table.as_ref().is_none_or(|(which, _)| *which != of_first) {
            self.inside(table_at)?;
            self.table = Some((of_first, read_words(&self.file, table_at, entries)?));
        }
        let entry = self.table.as_ref().map_or(0, |(_, table)| table[of_second]);
        if entry & COMPRESSED != 0 {
            return Err(Qcow2Error::Unsupported("it is compressed"));
        }
        let at = entry & PLACE;
        if at == 0 || entry & ZERO != 0 {
            return Ok(None);
        }
        self.inside(at)?;
        Ok(Some(at))
    }

    /// Whether there is a cluster at this byte. The last one of a file may be cut short.
    fn inside(&self, at: u64) -> Result<(), Qcow2Error> {
        if !at.is_multiple_of(1 << self.bits) || at >= self.len {
            return Err(Qcow2Error::Damaged(format!(
                "a cluster is said to be at byte {at} of a file of {} bytes",
                self.len
            )));
        }
        Ok(())
    }
}

/// Clusters of a file that something is in: a bit for each.
struct Taken {
    bits: u32,
    words: Vec<u64>,
}

impl Taken {
    /// Nothing is in any; the file has `len` bytes.
    fn new(len: u64, bits: u32) -> Self {
        Self { bits, words: vec![0; (len >> bits).div_ceil(64) as usize + 1] }
    }

    /// Takes the cluster at byte `at`, which is inside of the file.
    fn take(&mut self, at: u64) -> Result<(), Qcow2Error> {
        let (word, bit) = ((at >> self.bits) / 64, (at >> self.bits) % 64);
        let word = &mut self.words[word as usize];
        if *word >> bit & 1 == 1 {
            return Err(Qcow2Error::Damaged(format!(
                "two parts of the image are in one cluster, at byte {at}"
            )));
        }
        *word |= 1 << bit;
        Ok(())
    }
}

impl<F: FileExt> Read for Reader<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let cluster = 1_u64 << self.bits;
        let skipped = self.at % cluster;
        let length = (cluster - skipped).min(self.size.saturating_sub(self.at)).min(buffer.len() as u64);
        let buffer = &mut buffer[..length as usize];
        if buffer.is_empty() {
            return Ok(0);
        }
        buffer.fill(0);
        if let Some(place) = self.cluster(self.at / cluster).map_err(io::Error::other)? {
            let there = self.len.saturating_sub(place + skipped).min(length) as usize;
            self.file.read_exact_at(&mut buffer[..there], place + skipped)?;
        }
        self.at += length;
        Ok(length as usize)
    }
}

impl<F> Seek for Reader<F> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.size.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "before the beginning"))?;
        Ok(self.at)
    }
}

/// `count` big-endian words from byte `at` on.
fn read_words(file: &impl FileExt, at: u64, count: u64) -> io::Result<Vec<u64>> {
    let mut bytes = vec![0; count as usize * 8];
    file.read_exact_at(&mut bytes, at)?;
    Ok(bytes.chunks_exact(8).map(|word| u64::from_be_bytes(word.try_into().expect("eight bytes"))).collect())
}

/// An image cannot be read.
#[derive(Debug, Error)]
pub(crate) enum Qcow2Error {
    /// The file.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// What it says is not so.
    #[error("{0}")]
    Damaged(String),
    /// It is a good one, of a kind that is not read here.
    #[error("{0}, which is not read here: `qemu-img convert -O raw` makes a disk of it")]
    Unsupported(&'static str),
}

#[cfg(test)]
mod tests;

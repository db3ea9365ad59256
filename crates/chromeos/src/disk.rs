//! A disk with `ChromeOS` partitions, opened for reading.

use std::{fs::File, io, os::unix::fs::FileExt as _};

use bootway_exec::Cancel;
use bootway_image::{ExtReader, Gpt, GptEntry, Tree, partition_type_name, read_gpt_lenient};
use bootway_plan::step::PartitionType;
use camino::{Utf8Path, Utf8PathBuf};

use crate::{HarvestError, vboot::KernelPartition};

/// More than any kernel partition is: those of recovery images have 512 MiB.
const MOST_KERNEL: u64 = 1 << 30;
/// Keyblock and preamble are in the first of these bytes.
const HEADERS: u64 = 1 << 20;
/// A partition of one sector stands for one that is not there.
const PLACEHOLDER: u64 = 1;

/// A disk and its partition table.
pub(crate) struct Disk {
    pub(crate) path: Utf8PathBuf,
    pub(crate) file: File,
    pub(crate) gpt: Gpt,
    /// What is wrong with the partition table, though it can be used.
    pub(crate) flaws: Vec<String>,
}

impl Disk {
    pub(crate) fn open(path: &Utf8Path) -> Result<Self, HarvestError> {
        let file = fs_err::File::open(path)?.into_file();
        let found = read_gpt_lenient(&mut &file)
            .map_err(|source| HarvestError::Gpt { path: path.to_owned(), source })?;
        let flaws = found.flaws();
        Ok(Self { path: path.to_owned(), file, gpt: found.gpt, flaws })
    }

    /// First byte and bytes of a partition.
    pub(crate) fn place(&self, entry: &GptEntry) -> (u64, u64) {
        let sector = self.gpt.sector_size;
        (entry.first.saturating_mul(sector), entry.sectors().saturating_mul(sector))
    }

    /// The kernel partition called `label`; unless said, the one that the firmware would try first.
    pub(crate) fn kernel(&self, label: Option<&str>) -> Result<&GptEntry, HarvestError> {
        let missing = || HarvestError::NoKernelPartition {
            path: self.path.clone(),
            label: label.map(str::to_owned),
            found: self.labels(),
        };
        let starts = |entry: &&GptEntry| entry.priority() > 0 && (entry.successful() || entry.tries() > 0);
        let chosen = match label {
            Some(label) => self.gpt.entries.iter().find(|entry| entry.label == label),
            None => self.kernels().into_iter().find(starts),
        };
        chosen.ok_or_else(missing)
    }

    /// Kernel partitions that have room for a kernel, in the order in which the firmware tries them.
    pub(crate) fn kernels(&self) -> Vec<&GptEntry> {
        let is_kernel =
            |entry: &&GptEntry| is(entry, &PartitionType::ChromeosKernel) && entry.sectors() > PLACEHOLDER;
        let mut kernels: Vec<&GptEntry> = self.gpt.entries.iter().filter(is_kernel).collect();
        kernels.sort_by_key(|entry| (std::cmp::Reverse(entry.priority()), entry.number));
        kernels
    }

    /// The root partition that goes with a kernel partition: the next number.
    pub(crate) fn root_of(&self, kernel: &GptEntry) -> Option<&GptEntry> {
        let has_room =
            |entry: &&GptEntry| is(entry, &PartitionType::ChromeosRootfs) && entry.sectors() > PLACEHOLDER;
        let mut roots = self.gpt.entries.iter().filter(has_room);
        roots.find(|entry| entry.number == kernel.number + 1)
    }

    /// Labels with numbers, for messages.
    pub(crate) fn labels(&self) -> Vec<String> {
        self.gpt.entries.iter().map(|entry| format!("{} `{}`", entry.number, entry.label)).collect()
    }

    /// The bytes of a kernel partition, as far as they are signed; what does not begin like one, as far as a header goes.
    pub(crate) fn read(&self, entry: &GptEntry) -> io::Result<Vec<u8>> {
        let (offset, length) = self.place(entry);
        if length > MOST_KERNEL {
            let text = format!(
                "partition `{}` has {length} bytes, a kernel partition at most {MOST_KERNEL}",
                entry.label
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        let mut bytes = vec![0; length.min(HEADERS) as usize];
        self.file.read_exact_at(&mut bytes, offset)?;
        if let Ok(partition) = KernelPartition::headers(&bytes)
            && partition.body.end > bytes.len()
        {
            let head = bytes.len();
            bytes.resize((partition.body.end as u64).min(length) as usize, 0);
            self.file.read_exact_at(&mut bytes[head..], offset + head as u64)?;
        }
        Ok(bytes)
    }

    /// The file system in a partition.
    fn ext(&self, entry: &GptEntry) -> Result<ExtReader, HarvestError> {
        let (offset, length) = self.place(entry);
        ExtReader::open(&self.path, offset, length).map_err(|source| HarvestError::Root {
            path: self.path.clone(),
            label: entry.label.clone(),
            source,
        })
    }

    /// The files in a partition, their contents still in the image, and what of them could not be taken.
    pub(crate) fn tree(
        &self,
        entry: &GptEntry,
        cancel: &Cancel,
    ) -> Result<(Tree, Vec<String>), HarvestError> {
        self.ext(entry)?.tree(cancel).map_err(|source| HarvestError::Root {
            path: self.path.clone(),
            label: entry.label.clone(),
            source,
        })
    }
}

fn is(entry: &GptEntry, kind: &PartitionType) -> bool {
    partition_type_name(entry.kind) == kind.as_str()
}

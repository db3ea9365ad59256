//! What a file is, by what is in it.

use std::{
    fs::{File, Metadata},
    io,
};

use bootway_plan::Bytes;
use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;

use super::{
    InspectError,
    volume::{squashfs, start_of},
};
use crate::{
    compress::{self, Magic},
    format::{
        cpio, gpt,
        kernel::{self, Kernel},
        pe,
        program::{self, Program},
        qcow2,
        superblock::{self, Superblock},
    },
    fs::iso::{IsoError, IsoReport},
    oci::{Container, ContainerReport, Unreadable},
    partition_type::kind_of,
    tree,
};

/// What a file is, and what is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ImageReport {
    /// Which file.
    pub path: Utf8PathBuf,
    /// Of the file, or of all files of a tree.
    pub size: Bytes,
    /// What it is.
    pub image: ImageKind,
}

/// What an image is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum ImageKind {
    /// A disk with a GUID partition table.
    Disk {
        /// What is wrong with the table, though it can be read; nothing if both copies are whole.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        flaws: Vec<String>,
        /// Of the disk.
        guid: String,
        /// Of a sector.
        sector_size: Bytes,
        /// In the order of the disk.
        partitions: Vec<PartitionReport>,
    },
    /// A qcow2 image.
    Qcow2 {
        /// Of the disk in it.
        disk_size: Bytes,
        /// Of what is stored of it.
        used: Bytes,
        /// What is wrong with the disk's partition table; nothing if both copies are whole.
        flaw: Option<String>,
        /// In the order of the disk; what is in them is not looked at.
        partitions: Vec<PartitionReport>,
    },
    /// A file system.
    FileSystem(FsReport),
    /// A PE file, such as a unified kernel image.
    Pe {
        /// `x86-64`, `arm64`, or a number.
        machine: String,
        /// Whether firmware would start it.
        efi_application: bool,
        /// Names and sizes of its sections.
        sections: Vec<(String, Bytes)>,
        /// The kernel's version and command line, if it is a unified kernel image.
        kernel: Option<String>,
    },
    /// A Linux kernel.
    Kernel {
        /// `bzImage`, `arm64 Image` or `ELF`.
        format: String,
        /// What `uname -r` will say, if the kernel says it.
        version: Option<String>,
    },
    /// A cpio archive in the newc format.
    Initramfs {
        /// `none`, `gzip`, `zstd` or `xz`.
        compression: String,
        /// How many files are in it.
        files: u64,
    },
    /// An ISO 9660 image.
    Iso(Box<IsoReport>),
    /// An OCI layout, or an archive of container images.
    Container(ContainerReport),
    /// A program.
    Program {
        /// Its machine, or `script`.
        machine: String,
        /// The dynamic loader or the interpreter; nothing for a static program.
        interpreter: Option<String>,
    },
    /// A tree artifact: a directory beside its manifest.
    Tree {
        /// How many files are in it, of any kind.
        files: u64,
    },
    /// Nothing that is known here.
    Unknown {
        /// Its first sixteen bytes, escaped.
        starts_with: String,
    },
}

/// A partition of a disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PartitionReport {
    /// Its place in the table, from 1.
    pub number: u32,
    /// Its GPT name.
    pub label: String,
    /// Its type, as in a plan.
    #[serde(rename = "type")]
    pub kind: String,
    /// Partition GUID.
    pub guid: String,
    /// First byte.
    pub offset: Bytes,
    /// Bytes.
    pub size: Bytes,
    /// What is in it, if that is known here.
    pub fs: Option<FsReport>,
}

/// A file system, as it describes itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct FsReport {
    /// `ext2`, `ext3`, `ext4`, `squashfs`, `fat12`, `fat16`, `fat32`.
    pub name: String,
    /// Its label, if it has one.
    pub label: Option<String>,
    /// Its UUID, or the serial number of a FAT volume.
    pub uuid: Option<String>,
    /// Bytes it says that it has.
    pub size: Bytes,
    /// Bytes that hold something, if it says so.
    pub used: Option<Bytes>,
    /// What else it says: compressor and block size.
    pub detail: Option<String>,
}

/// Says what the file or tree at `path` is.
///
/// # Errors
///
/// If it cannot be read. What is damaged beyond recognition is [`ImageKind::Unknown`].
pub fn look(path: &Utf8Path) -> Result<ImageReport, InspectError> {
    Ok(look_into(path)?.0)
}

/// The same, with what was read of a container: reading it again would take as long.
pub(crate) fn look_into(path: &Utf8Path) -> Result<(ImageReport, Option<Container>), InspectError> {
    let metadata = fs_err::metadata(path)?;
    match Container::read(path) {
        Ok(Some(container)) => {
            let layers = container.report.images.iter().flat_map(|image| &image.layers);
            let size =
                if metadata.is_dir() { layers.map(|layer| layer.size.get()).sum() } else { metadata.len() };
            let image = ImageKind::Container(container.report.clone());
            let report = ImageReport { path: path.to_owned(), size: Bytes::new(size), image };
            return Ok((report, Some(container)));
        }
        Err(Unreadable::Io(error)) if error.raw_os_error().is_some() => return Err(error.into()),
        // What is damaged beyond recognition is for the others to look at.
        Ok(None) | Err(_) => {}
    }
    Ok((look_at(path, &metadata)?, None))
}

fn look_at(path: &Utf8Path, metadata: &Metadata) -> Result<ImageReport, InspectError> {
    if metadata.is_dir() {
        let manifest = tree::read_manifest(path)?;
        let files = manifest.entries.len() as u64;
        let size = Bytes::new(manifest.content_size());
        return Ok(ImageReport { path: path.to_owned(), size, image: ImageKind::Tree { files } });
    }
    let file = fs_err::File::open(path)?.into_file();
    Ok(ImageReport { path: path.to_owned(), size: Bytes::new(metadata.len()), image: image(&file)? })
}

fn image(file: &File) -> Result<ImageKind, InspectError> {
    let start = start_of(file, 0)?;
    // Before the tables of a hybrid image, which are a disk's as well.
    match IsoReport::read(file) {
        Ok(Some(report)) => return Ok(ImageKind::Iso(Box::new(report))),
        Err(IsoError::Io(error)) => return Err(error.into()),
        Ok(None) | Err(_) => {}
    }
    if let Ok(gpt) = gpt::read(&mut &*file) {
        return disk(file, &gpt, Vec::new());
    }
    if let Ok(found) = gpt::read_lenient(&mut &*file) {
        return disk(file, &found.gpt, found.flaws());
    }
    if start.starts_with(qcow2::MAGIC)
        && let Some(image) = qcow2(file)?
    {
        return Ok(image);
    }
    if let Some(superblock) = superblock::parse(&start) {
        return Ok(ImageKind::FileSystem(fs_report(file, 0, superblock)));
    }
    let mut head = vec![0; 64 << 10];
    let length = std::os::unix::fs::FileExt::read_at(file, &mut head, 0)?;
    head.truncate(length);
    if let Some(code) = code(file, &head)? {
        return Ok(code);
    }
    let magic = Magic::of(&start);
    io::Seek::rewind(&mut &*file)?;
    let mut files = 0;
    let count = |_: &cpio::Header, _: &[u8], _: &mut dyn io::Read| {
        files += 1;
        Ok(())
    };
    let scanned = compress::decoder(magic, file).map(|mut from| cpio::scan(&mut from, 8 << 30, count));
    if matches!(scanned, Ok(Ok(_))) {
        return Ok(ImageKind::Initramfs { compression: magic.as_str().to_owned(), files });
    }
    Ok(ImageKind::Unknown { starts_with: start[..start.len().min(16)].escape_ascii().to_string() })
}

/// What runs, by itself or under something, by its first 64 KiB; nothing if it is something else.
fn code(file: &File, head: &[u8]) -> Result<Option<ImageKind>, InspectError> {
    // A bzImage is a PE file too: its kernel is what it is for.
    match kernel::parse(head) {
        Some(Kernel::BzImage { version }) => {
            return Ok(Some(ImageKind::Kernel { format: "bzImage".to_owned(), version }));
        }
        Some(Kernel::Arm64) => {
            return Ok(Some(ImageKind::Kernel { format: "arm64 Image".to_owned(), version: None }));
        }
        Some(Kernel::Elf) | None => {}
    }
    match program::parse(head, file.metadata()?.len()) {
        Ok(Program::Elf { machine, loader, is_kernel: false }) => {
            return Ok(Some(ImageKind::Program { machine: machine.to_owned(), interpreter: loader }));
        }
        Ok(Program::Script { interpreter }) => {
            return Ok(Some(ImageKind::Program {
                machine: "script".to_owned(),
                interpreter: Some(interpreter),
            }));
        }
        _ if head.starts_with(b"\x7fELF") => {
            return Ok(Some(ImageKind::Kernel { format: "ELF".to_owned(), version: None }));
        }
        _ => {}
    }
    if let Ok(pe) = pe::parse(head) {
        return Ok(Some(pe_report(file, &pe)));
    }
    Ok(None)
}

/// The disk in a qcow2 image; nothing if it cannot be read.
fn qcow2(file: &File) -> Result<Option<ImageKind>, InspectError> {
    let len = file.metadata()?.len();
    let Ok(mut disk) = qcow2::Reader::open(file.try_clone()?, len) else { return Ok(None) };
    let Ok(clusters) = disk.check() else { return Ok(None) };
    let (flaw, partitions) = match gpt::read(&mut disk) {
        Ok(gpt) => (None, partitions(&gpt)),
        Err(error) => (Some(error.to_string()), Vec::new()),
    };
    let used = Bytes::new(clusters.saturating_mul(disk.cluster_size()));
    Ok(Some(ImageKind::Qcow2 { disk_size: Bytes::new(disk.size()), used, flaw, partitions }))
}

/// The partitions of a table in the order of the disk, without what is in them.
fn partitions(gpt: &gpt::Gpt) -> Vec<PartitionReport> {
    let partition = |entry: &gpt::Entry| PartitionReport {
        number: entry.number,
        label: entry.label.clone(),
        kind: kind_of(entry.kind).to_string(),
        guid: entry.guid.to_string(),
        offset: Bytes::new(entry.first.saturating_mul(gpt.sector_size)),
        size: Bytes::new(entry.sectors().saturating_mul(gpt.sector_size)),
        fs: None,
    };
    let mut partitions: Vec<_> = gpt.entries.iter().map(partition).collect();
    partitions.sort_by_key(|partition| partition.offset);
    partitions
}

fn disk(file: &File, gpt: &gpt::Gpt, flaws: Vec<String>) -> Result<ImageKind, InspectError> {
    let mut partitions = partitions(gpt);
    for partition in &mut partitions {
        partition.fs = fs_at(file, partition.offset.get())?;
    }
    Ok(ImageKind::Disk {
        flaws,
        guid: gpt.guid.to_string(),
        sector_size: Bytes::new(gpt.sector_size),
        partitions,
    })
}

fn pe_report(file: &File, pe: &pe::Pe) -> ImageKind {
    let text = |name: &str| {
        let section = pe.sections.iter().find(|section| section.name == name)?;
        let mut bytes = vec![0; section.size.min(section.file_size).min(4096) as usize];
        std::os::unix::fs::FileExt::read_exact_at(file, &mut bytes, section.file_offset.into()).ok()?;
        Some(String::from_utf8_lossy(&bytes).trim_end_matches(['\0', '\n']).to_owned())
    };
    let kernel = text(".cmdline").map(|cmdline| match text(".uname") {
        Some(version) => format!("{version}, {cmdline}"),
        None => cmdline,
    });
    let sections = pe.sections.iter().map(|it| (it.name.clone(), Bytes::new(it.size.into())));
    ImageKind::Pe {
        machine: match pe.machine {
            0x8664 => "x86-64".to_owned(),
            0xaa64 => "arm64".to_owned(),
            other => format!("{other:#06x}"),
        },
        efi_application: pe.subsystem == pe::EFI_APPLICATION,
        sections: sections.collect(),
        kernel,
    }
}

/// What the file system from byte `start` of `file` on is; nothing if it is none that is known.
pub(super) fn fs_at(file: &File, start: u64) -> io::Result<Option<FsReport>> {
    Ok(superblock::parse(&start_of(file, start)?).map(|superblock| fs_report(file, start, superblock)))
}

/// What the file system from byte `start` of `file` on is.
fn fs_report(file: &File, start: u64, superblock: Superblock) -> FsReport {
    let some = |text: String| (!text.is_empty()).then_some(text);
    match superblock {
        Superblock::Ext(ext) => FsReport {
            name: ext.name.to_owned(),
            label: some(ext.label),
            uuid: Some(ext.uuid.to_string()),
            size: Bytes::new(ext.blocks.saturating_mul(ext.block_size)),
            used: Some(Bytes::new(ext.blocks.saturating_sub(ext.free_blocks).saturating_mul(ext.block_size))),
            detail: None,
        },
        Superblock::Squashfs => squashfs_report(file, start),
        Superblock::Fat(fat) => FsReport {
            name: fat.name.to_owned(),
            label: some(fat.label).filter(|label| label != "NO NAME"),
            uuid: Some(format!("{:04X}-{:04X}", fat.serial >> 16, fat.serial & 0xffff)),
            size: Bytes::new(fat.size),
            used: None,
            detail: None,
        },
    }
}

fn squashfs_report(file: &File, start: u64) -> FsReport {
    let image = squashfs(file, start);
    let (size, detail) = match &image {
        Ok(image) => {
            let facts = image.facts();
            let block = Bytes::new(facts.block_size.get().into());
            let detail = format!("{}, blocks of {block}, {} files", facts.compressor, facts.inodes);
            (facts.bytes_used, detail)
        }
        Err(error) => {
            let length = file.metadata().map_or(0, |metadata| metadata.len());
            (length.saturating_sub(start), format!("which cannot be read: {error}"))
        }
    };
    FsReport {
        name: "squashfs".to_owned(),
        label: None,
        uuid: None,
        size: Bytes::new(size),
        used: image.is_ok().then_some(Bytes::new(size)),
        detail: Some(detail),
    }
}

//! What firmware finds in an ISO image: the boot catalogue, and the tables of a hybrid one.

use std::{fs::File, io, os::unix::fs::FileExt};

use bootway_plan::Bytes;

use super::{Extents, IsoBootEntry, IsoError, IsoFile, IsoPartition, IsoReader, IsoReport, Names};
use crate::{
    format::{
        gpt,
        iso::{
            self, BootEntry, SECTOR,
            hybrid::{self, Header},
        },
        superblock::{self, Superblock},
    },
    listing::{Found, Listing},
    partition_type,
};

/// Blocks of a boot catalogue that are read at most.
const CATALOGUE: u64 = 4;

impl IsoReport {
    /// What the image from byte 0 of `file` on is; nothing if it is none.
    pub(crate) fn read(file: &File) -> Result<Option<Self>, IsoError> {
        let Some(reader) = IsoReader::open(file, 0)? else { return Ok(None) };
        let len = file.metadata()?.len();
        let (mut flaws, mut files) = (Vec::new(), Vec::new());
        let size = u64::from(reader.volume.blocks) * SECTOR;
        if size > len {
            flaws.push(format!("the volume has {size} bytes, and the file {len}: it is cut short"));
        }
        let listing = match reader.list(&mut files) {
            Ok(listing) => listing,
            Err(IsoError::Io(error)) => return Err(error.into()),
            Err(error) => {
                flaws.push(format!("its files cannot be listed: {error}"));
                Listing::default()
            }
        };
        for (path, found) in &listing.files {
            if let Found::File { number, .. } = found
                && files[*number as usize].iter().any(|(at, size)| at + size > len)
            {
                flaws.push(format!("`{path}` ends after the image"));
                break;
            }
        }
        let mut look = Look { file, len, listing: &listing, files: &files, flaws };
        let boot = look.catalogue(&reader)?;
        let partitions = look.partitions()?;
        let flaws = look.flaws;
        let sizes = listing.files.iter().filter_map(|(path, found)| match found {
            Found::File { size, .. } => Some(IsoFile { path: path.to_string(), size: Bytes::new(*size) }),
            _ => None,
        });
        Ok(Some(Self {
            label: reader.volume.label.clone(),
            size: Bytes::new(size),
            names: match reader.names {
                Names::RockRidge { .. } => "rock-ridge",
                Names::Joliet => "joliet",
                Names::Plain => "iso-9660",
            }
            .to_owned(),
            created: reader.volume.created.clone(),
            application: Some(reader.volume.application.clone()).filter(|text| !text.is_empty()),
            flaws,
            boot,
            partitions,
            files: sizes.collect(),
        }))
    }
}

struct Look<'a> {
    file: &'a File,
    len: u64,
    listing: &'a Listing,
    files: &'a [Extents],
    flaws: Vec<String>,
}

impl Look<'_> {
    fn catalogue(&mut self, reader: &IsoReader<'_>) -> Result<Vec<IsoBootEntry>, IsoError> {
        let Some(block) = reader.catalogue else { return Ok(Vec::new()) };
        let bytes = self.bytes(u64::from(block) * SECTOR, CATALOGUE * SECTOR)?;
        let entries = match iso::catalogue(&bytes) {
            Ok(entries) => entries,
            Err(error) => {
                self.flaws.push(format!("the boot catalogue in block {block} {error}"));
                return Ok(Vec::new());
            }
        };
        let entries = entries.into_iter().filter(|entry| entry.is_bootable);
        let found: Vec<IsoBootEntry> =
            entries.map(|entry| self.boot_entry(&entry)).collect::<Result<_, _>>()?;
        if found.is_empty() {
            self.flaws.push("the boot catalogue has nothing that can be started".to_owned());
        }
        Ok(found)
    }

    fn boot_entry(&mut self, entry: &BootEntry) -> io::Result<IsoBootEntry> {
        let offset = u64::from(entry.block) * SECTOR;
        let firmware = match entry.platform {
            0 => "bios".to_owned(),
            0xEF => "uefi".to_owned(),
            other => format!("{other:#04x}"),
        };
        let mut size = u64::from(entry.sectors) * hybrid::SECTOR;
        let start = self.bytes(offset, superblock::START as u64)?;
        if entry.platform == 0xEF {
            // How many sectors are said does not matter to UEFI: the file system says how big it is.
            match superblock::parse(&start) {
                Some(Superblock::Fat(fat)) => size = fat.size,
                _ => self
                    .flaws
                    .push(format!("at byte {offset}, where UEFI looks, there is no FAT file system")),
            }
        } else if start.iter().all(|byte| *byte == 0) {
            self.flaws.push(format!("at byte {offset}, where {firmware} looks, there are only zeros"));
        }
        if offset + size > self.len {
            self.flaws
                .push(format!("what {firmware} starts ends after the image, at byte {}", offset + size));
        }
        let path = self.listing.files.iter().find(|(_, found)| match found {
            Found::File { number, .. } => {
                self.files[*number as usize].first().is_some_and(|it| it.0 == offset)
            }
            _ => false,
        });
        Ok(IsoBootEntry {
            firmware,
            emulation: match entry.emulation {
                0 => "none",
                4 => "hard-disk",
                _ => "floppy",
            }
            .to_owned(),
            offset: Bytes::new(offset),
            size: Bytes::new(size),
            path: path.map(|(path, _)| path.to_string()),
        })
    }

    fn partitions(&mut self) -> Result<Vec<IsoPartition>, IsoError> {
        let mut found = Vec::new();
        let sectors = self.len.div_ceil(hybrid::SECTOR);
        for it in hybrid::mbr(&self.bytes(0, 512)?).unwrap_or_default() {
            // The partition that protects a GPT may claim more than there is.
            if it.kind != 0xEE && it.first + it.sectors > sectors {
                self.flaws.push(format!("partition {} of the MBR ends after the image", it.number));
            }
            found.push(IsoPartition {
                table: "mbr".to_owned(),
                number: it.number,
                kind: format!("{:#04x}", it.kind),
                label: if it.is_active { "active" } else { "" }.to_owned(),
                offset: Bytes::new(it.first * hybrid::SECTOR),
                size: Bytes::new(it.sectors * hybrid::SECTOR),
            });
        }
        found.extend(self.gpt()?);
        Ok(found)
    }

    /// The partitions of the GPT, if there is one, of which both copies must be whole.
    fn gpt(&mut self) -> io::Result<Vec<IsoPartition>> {
        let Some(primary) = self.copy("primary", 1)? else { return Ok(Vec::new()) };
        let Ok((header, entries)) = primary else { return Ok(Vec::new()) };
        let backup = self.copy("backup", header.other)?;
        match backup {
            None => self.flaws.push(format!("there is no backup GPT in sector {}", header.other)),
            Some(Ok((other, its))) if other.other != 1 || other.guid != header.guid || its != entries => {
                self.flaws.push("the primary and the backup GPT disagree".to_owned());
            }
            Some(_) => {}
        }
        let sectors = self.len / hybrid::SECTOR;
        let mut found = Vec::new();
        for it in entries {
            if it.first > it.last || it.last >= sectors {
                self.flaws.push(format!("partition {} of the GPT ends after the image", it.number));
            }
            found.push(IsoPartition {
                table: "gpt".to_owned(),
                number: it.number,
                kind: partition_type::name_of(it.kind),
                offset: Bytes::new(it.first.saturating_mul(hybrid::SECTOR)),
                size: Bytes::new(
                    it.last.saturating_sub(it.first).saturating_add(1).saturating_mul(hybrid::SECTOR),
                ),
                label: it.label,
            });
        }
        Ok(found)
    }

    /// One copy of the GPT; nothing if there is none. What is wrong with it is noted.
    #[expect(clippy::type_complexity, reason = "it is taken apart where it is made")]
    fn copy(
        &mut self,
        which: &str,
        sector: u64,
    ) -> io::Result<Option<Result<(Header, Vec<gpt::Entry>), ()>>> {
        let bytes = self.bytes(sector.saturating_mul(hybrid::SECTOR), hybrid::SECTOR)?;
        let header = match hybrid::header(&bytes, sector) {
            None => return Ok(None),
            Some(Err(reason)) => {
                self.flaws.push(format!("the {which} GPT {reason}"));
                return Ok(Some(Err(())));
            }
            Some(Ok(header)) => header,
        };
        let len = u64::from(header.count) * u64::from(hybrid::ENTRY);
        let bytes = self.bytes(header.entries.saturating_mul(hybrid::SECTOR), len)?;
        if bytes.len() as u64 != len || crc32fast::hash(&bytes) != header.entries_crc {
            self.flaws.push(format!("the {which} GPT has entries whose checksum is wrong"));
            return Ok(Some(Err(())));
        }
        let (entries, _) = bytes.as_chunks();
        let entries = (1..).zip(entries).filter_map(|(number, entry)| gpt::Entry::decode(number, entry));
        Ok(Some(Ok((header, entries.collect()))))
    }

    /// As many bytes as there are.
    fn bytes(&self, at: u64, len: u64) -> io::Result<Vec<u8>> {
        let end = self.len.min(at.saturating_add(len));
        let mut bytes = vec![0; end.saturating_sub(at) as usize];
        self.file.read_exact_at(&mut bytes, at)?;
        Ok(bytes)
    }
}

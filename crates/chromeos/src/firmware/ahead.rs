//! What is waiting for the kernel once it runs: what the initramfs of a shim looks for on the disk.
//!
//! Source: `ChromiumOS` `platform/initramfs/factory_shim/bootstrap.sh`.

use std::{
    fs::File,
    io::{Seek, SeekFrom},
    sync::Arc,
};

use bootway_image::{
    Backing, ExtError, ExtReader, GptEntry, GptFound, Guid, partition_type_guid, partition_type_name,
};
use bootway_plan::step::PartitionType;

use super::{
    FirmwareError,
    journal::{Journal, called},
};
use crate::vboot::{PartitionHash, argument};

const KERN_GUID: &str = "kern_guid leads to a partition";
const BOOT_LOADER: &str = "the partition after the kernel has a boot loader";
const ROOT: &str = "a root file system for the boot loader";
const HASHES: &str = "the partitions that the command line vouches for";
/// What the name of a root file system begins with, for the boot loaders of shims.
const ROOT_PREFIX: &str = "shimboot_rootfs:";
/// The partition with that prefix that has drivers and no root.
const VENDOR: &str = "shimboot_rootfs:vendor";

/// Looks at what the started kernel `entry` will look at.
pub(super) fn look(
    disk: &File,
    table: &GptFound,
    entry: &GptEntry,
    cmdline: &str,
    journal: &mut Journal,
) -> Result<(), FirmwareError> {
    hashes(disk, table, cmdline, journal)?;
    let Some(kernel) = kern_guid(table, entry, cmdline, journal) else { return Ok(()) };
    match boot_loader(disk, table, kernel) {
        Ok((partition, reader)) => {
            journal.good(BOOT_LOADER, format!("{} has sbin/init", called(partition)));
            roots(table, &reader, journal);
        }
        Err(Trouble::Seen(detail)) => journal.bad(BOOT_LOADER, detail),
        Err(Trouble::Io(source)) => return Err(FirmwareError::Read(source)),
    }
    Ok(())
}

/// The partition that the initramfs takes the kernel to come from.
fn kern_guid<'a>(
    table: &'a GptFound,
    entry: &GptEntry,
    cmdline: &str,
    journal: &mut Journal,
) -> Option<&'a GptEntry> {
    let Some(value) = argument(cmdline, "kern_guid") else {
        journal
            .bad(KERN_GUID, "the signed command line has no `kern_guid=%U`: its init does not find the disk");
        return None;
    };
    let found = value.parse::<Guid>().ok().and_then(|guid| table.entry_of(guid));
    match found {
        Some(found) if found.number == entry.number => {
            journal.good(KERN_GUID, format!("to partition {}, the kernel's own", found.number));
        }
        Some(found) => {
            journal.good(KERN_GUID, format!("to {}, not the kernel's own", called(found)));
        }
        None => {
            journal.bad(
                KERN_GUID,
                format!("no partition has the GUID `{value}` of the signed command line: its init waits for it, and gives up"),
            );
        }
    }
    found
}

/// Why there is no boot loader.
enum Trouble {
    Seen(String),
    Io(std::io::Error),
}

impl From<std::io::Error> for Trouble {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

/// The partition behind `kernel` and its file system, if that is what the initramfs goes on with.
fn boot_loader<'a>(
    disk: &File,
    table: &'a GptFound,
    kernel: &GptEntry,
) -> Result<(&'a GptEntry, ExtReader), Trouble> {
    let number = kernel.number + 1;
    let seen = |detail: String| Err(Trouble::Seen(detail));
    let Some(entry) = table.entry(number) else {
        return seen(format!(
            "there is no partition {number}, and the kernel is in partition {}",
            kernel.number
        ));
    };
    let name = called(entry);
    if entry.kind != partition_type_guid(&PartitionType::ChromeosRootfs) {
        return seen(format!("{name} has the type {}, not chromeos-rootfs", partition_type_name(entry.kind)));
    }
    if entry.sectors() <= 1 {
        return seen(format!("{name} has one sector: it is a place holder"));
    }
    let sector = table.gpt.sector_size;
    let reader = match ExtReader::at(backing(disk)?, entry.first * sector, entry.sectors() * sector) {
        Ok(reader) => reader,
        Err(ExtError::Io(error)) => return Err(Trouble::Io(error)),
        Err(error) => return seen(format!("{name} has no file system that the initramfs mounts: {error}")),
    };
    match has(&reader, "sbin/init") {
        Ok(true) => Ok((entry, reader)),
        Ok(false) => seen(format!("{name} is {} without sbin/init", reader.facts().name)),
        Err(error) => seen(format!("{name} is {} and damaged: {error}", reader.facts().name)),
    }
}

fn backing(disk: &File) -> std::io::Result<Arc<Backing>> {
    Backing::of(disk.try_clone()?, "the disk".into())
}

/// Whether `reader` has a regular file at `path`, links followed.
fn has(reader: &ExtReader, path: &str) -> Result<bool, ExtError> {
    match reader.read(&path.parse().expect("a path without `..`"), 0) {
        Ok(_) | Err(ExtError::TooBig { .. }) => Ok(true),
        Err(ExtError::NotFound { .. } | ExtError::WrongKind { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether the boot loader of a shim, if that is what `reader` has, finds a root file system.
fn roots(table: &GptFound, reader: &ExtReader, journal: &mut Journal) {
    let stock = reader
        .read(&"etc/lsb-release".parse().expect("a path without `..`"), 1 << 20)
        .is_ok_and(|text| String::from_utf8_lossy(&text).contains("CHROMEOS_RELEASE"));
    if stock || !has(reader, "bin/bootstrap.sh").unwrap_or(false) {
        return;
    }
    let names: Vec<String> = table
        .gpt
        .entries
        .iter()
        .filter(|entry| entry.label.starts_with(ROOT_PREFIX) && entry.label != VENDOR)
        .map(called)
        .collect();
    if names.is_empty() {
        let detail = format!(
            "no partition but the vendor's has a name that begins with `{ROOT_PREFIX}`: its menu is empty"
        );
        journal.bad(ROOT, detail);
    } else {
        journal.good(ROOT, names.join(", "));
    }
}

/// Whether the partitions that the command line has hashes of are those that were signed.
fn hashes(disk: &File, table: &GptFound, cmdline: &str, journal: &mut Journal) -> Result<(), FirmwareError> {
    let hashes = match PartitionHash::from_cmdline(cmdline) {
        Ok(hashes) => hashes,
        Err(error) => {
            journal.bad(HASHES, error.to_string());
            return Ok(());
        }
    };
    for hash in hashes {
        let Some(entry) = table.entry(hash.partition) else {
            journal.bad(
                HASHES,
                format!("`{}` is of partition {}, and there is none", hash.argument, hash.partition),
            );
            continue;
        };
        let sector = table.gpt.sector_size;
        let mut disk = disk;
        disk.seek(SeekFrom::Start(entry.first * sector)).map_err(FirmwareError::Read)?;
        match hash.verify(&mut std::io::Read::take(disk, entry.sectors() * sector)) {
            Ok(()) => journal.good(HASHES, format!("{} is what `{}` says", called(entry), hash.argument)),
            Err(crate::vboot::HashError::Read(source)) => return Err(FirmwareError::Read(source)),
            Err(error) => journal.bad(HASHES, error.to_string()),
        }
    }
    Ok(())
}

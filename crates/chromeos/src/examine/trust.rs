//! Signatures: who vouches for what.

use std::io::{Read, Seek as _, SeekFrom};

use bootway_exec::Cancel;
use bootway_image::GptEntry;
use bootway_plan::{Bytes, Judgement};

use super::{KernelReport, Notes, boot::ROOTS, called, chain};
use crate::{
    disk::Disk,
    kernel,
    vboot::{DmVerity, KernelPartition, Known, PartitionHash},
    verity::{self, VerityFormat, VerityVersion},
};

/// The room that the layouts of shims' followers leave for a kernel.
const SLOT: u64 = 32 << 20;

/// Looks at one kernel partition: what it is, and whether it is what was signed.
pub(super) fn kernel(disk: &Disk, entry: &GptEntry, notes: &mut Notes<'_>) -> KernelReport {
    let mut report = KernelReport {
        number: entry.number,
        label: entry.label.clone(),
        priority: entry.priority(),
        tries: entry.tries(),
        successful: entry.successful(),
        flags: None,
        version: None,
        size: None,
        cmdline: None,
    };
    let name = format!("kernel in {}", called(entry));
    let bytes = match disk.read(entry) {
        Ok(bytes) => bytes,
        Err(error) => {
            notes.say(Judgement::Bad, name, "cannot be read", error.to_string());
            return report;
        }
    };
    if bytes.iter().all(|byte| *byte == 0) {
        notes.say(Judgement::Fact, name, "none", "the partition is zero");
        return report;
    }
    let partition = match KernelPartition::parse(&bytes) {
        Ok(partition) => partition,
        Err(error) => {
            notes.say(Judgement::Bad, name, "damaged", chain(&error));
            return report;
        }
    };
    let cmdline = partition.cmdline(&bytes);
    signatures(&partition, &bytes, entry, &name, notes);
    hashes(disk, &cmdline, entry, notes);
    let size = partition.body.end as u64;
    if size > SLOT {
        let evidence =
            "the layouts of shimboot and its followers give a kernel 32 MiB: give the partition more";
        let name = format!("size of {}", called(entry));
        notes.say(Judgement::Doubtful, name, Bytes::new(size).human(), evidence);
    }
    report.flags = Some(partition.keyblock.flag_names());
    report.version = kernel::boot_kernel(&bytes, &partition).ok().and_then(|kernel| kernel.version());
    report.size = Some(Bytes::new(size));
    report.cmdline = Some(cmdline);
    report
}

/// Whether a kernel partition is what was signed, and who vouches for the key.
fn signatures(
    partition: &KernelPartition,
    bytes: &[u8],
    entry: &GptEntry,
    name: &str,
    notes: &mut Notes<'_>,
) {
    let keyblock = &partition.keyblock;
    match partition.verify(bytes) {
        Ok(()) => {
            let evidence = format!("preamble and body, with {}", keyblock.data_key);
            notes.say(Judgement::Good, name, "is what was signed", evidence);
        }
        Err(error) => notes.say(Judgement::Bad, name, "is not what was signed", chain(&error)),
    }
    let (flags, modes) = (keyblock.flag_names(), keyblock.modes());
    let (judgement, verdict, evidence) = match Known::signer_of(keyblock) {
        Some(known) => (
            Judgement::Doubtful,
            format!("signed with the published {}, for {flags}", known.name),
            format!(
                "anybody can sign with that key, and only machines with developer keys accept it; it starts {modes}"
            ),
        ),
        None => (
            Judgement::Fact,
            format!("signed with a key that is not published, for {flags}"),
            format!(
                "it starts {modes}; whether your machine's firmware has the key, only the machine can say"
            ),
        ),
    };
    notes.say(judgement, format!("keyblock of {}", called(entry)), verdict, evidence);
    for remark in partition.remarks() {
        notes.say(Judgement::Doubtful, name, "odd", remark);
    }
}

/// The partitions that a command line vouches for by their hash.
fn hashes(disk: &Disk, cmdline: &str, entry: &GptEntry, notes: &mut Notes<'_>) {
    let hashes = match PartitionHash::from_cmdline(cmdline) {
        Ok(hashes) => hashes,
        Err(error) => {
            notes.say(
                Judgement::Doubtful,
                format!("command line of {}", called(entry)),
                "odd",
                chain(&error),
            );
            return;
        }
    };
    for hash in hashes {
        let name = format!("partition {} by {} of {}", hash.partition, hash.argument, called(entry));
        let Some(other) = disk.gpt.entries.iter().find(|other| other.number == hash.partition) else {
            notes.say(
                Judgement::Bad,
                name,
                "is not there",
                format!("there are {}", disk.labels().join(", ")),
            );
            continue;
        };
        let (offset, length) = disk.place(other);
        let verified = fs_err::File::open(&disk.path).and_then(|mut file| {
            file.seek(SeekFrom::Start(offset))?;
            Ok(hash.verify(&mut file.take(length)))
        });
        match verified {
            Ok(Ok(())) => {
                notes.say(
                    Judgement::Good,
                    name,
                    "is what was signed",
                    format!("all of {}, {length} bytes", called(other)),
                );
            }
            Ok(Err(error)) => notes.say(Judgement::Bad, name, "is not what was signed", chain(&error)),
            Err(error) => notes.say(Judgement::Unknown, name, "cannot be read", error.to_string()),
        }
    }
}

/// Whether the root file system is the one that a signed kernel vouches for.
///
/// In a recovery image that is not the kernel that starts, but the one it installs, which it vouches for by its hash.
pub(super) fn root(disk: &Disk, main: &GptEntry, root: &GptEntry, notes: &mut Notes<'_>) {
    let name = format!("root in {}", called(root));
    let tables = [main].into_iter().chain(disk.kernels()).filter_map(|entry| {
        let bytes = disk.read(entry).ok()?;
        let cmdline = KernelPartition::parse(&bytes).ok()?.cmdline(&bytes);
        Some((entry, DmVerity::from_cmdline(&cmdline)))
    });
    for (entry, table) in tables {
        match table {
            Ok(None) => {}
            Ok(Some(table)) => return verify(disk, entry, root, &table, notes),
            Err(error) => {
                notes.say(Judgement::Doubtful, format!("dm= of {}", called(entry)), "odd", chain(&error));
                return;
            }
        }
    }
    notes.say(Judgement::Fact, name, "nobody vouches for it", "no kernel's command line has a dm= table");
}

fn verify(disk: &Disk, kernel: &GptEntry, root: &GptEntry, table: &DmVerity, notes: &mut Notes<'_>) {
    let name = format!("root in {}", called(root));
    let (offset, length) = disk.place(root);
    let format = VerityFormat { version: VerityVersion::V0, hash: table.algorithm, salt: &table.salt };
    let data = offset..offset.saturating_add(table.sectors.saturating_mul(512));
    let hashes = offset.saturating_add(table.hash_start.saturating_mul(512))..offset.saturating_add(length);
    let verified =
        verity::verify(&disk.file, data, hashes, format, &table.root_digest, &Cancel::default(), &|_| {});
    match verified {
        Ok(verified) => notes.say(
            Judgement::Good,
            name,
            "is what was signed",
            format!(
                "dm-verity of {}: {} blocks of data and {} of hashes lead to its signed digest",
                called(kernel),
                verified.blocks,
                verified.hash_blocks
            ),
        ),
        Err(_) if disk.gpt.entries.iter().any(|it| it.label.starts_with(ROOTS)) => notes.say(
            Judgement::Fact,
            name,
            "is a boot loader, not what was signed",
            format!(
                "dm= of {} is about the root that the shim had; it starts this one if it does not look",
                called(kernel)
            ),
        ),
        Err(error) => notes.say(
            Judgement::Doubtful,
            name,
            "is not what was signed",
            format!("dm-verity of {}: {}", called(kernel), chain(&error)),
        ),
    }
}

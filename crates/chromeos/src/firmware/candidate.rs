//! A kernel partition that is tried: its headers, its keys, its signatures.

use std::{fs::File, io, os::unix::fs::FileExt};

use bootway_image::{GptEntry, GptFound};

use super::{FirmwareError, journal::Journal};
use crate::vboot::{FIRMWARE_READS, KernelPartition, Key, Known, VbootError, VerifyError};

/// More than any kernel has; what claims to be larger is not read.
const LARGEST: usize = 512 << 20;
/// The highest version of a kernel that fits where the firmware remembers it.
const VERSIONS: u32 = 0xffff;

/// The bytes of the kernel partition `entry` as far as they are signed, if the firmware would start it.
pub(super) fn load(
    disk: &File,
    table: &GptFound,
    entry: &GptEntry,
    key: Option<&Key>,
    journal: &mut Journal,
) -> Result<Option<(Vec<u8>, KernelPartition)>, FirmwareError> {
    let mut tried = Tried { number: entry.number, journal };
    let sector = table.gpt.sector_size;
    let len = usize::try_from(entry.sectors().saturating_mul(sector)).unwrap_or(usize::MAX);
    if len < FIRMWARE_READS {
        tried.refuse(
            "headers",
            format!("the partition has {len} bytes, and the firmware reads {FIRMWARE_READS}"),
        );
        return Ok(None);
    }
    let start = entry.first * sector;
    let Some(partition) = tried.headers(&read(disk, start, FIRMWARE_READS)?) else { return Ok(None) };
    let end = partition.body.end;
    if end > len.min(LARGEST) {
        let detail =
            format!("it ends at byte {end}, and the partition has {len}; more than {LARGEST} is never read");
        tried.refuse("body", detail);
        return Ok(None);
    }
    if !tried.keyblock(&partition, key) {
        return Ok(None);
    }
    let bytes = read(disk, start, end)?;
    let signed = [
        ("preamble", partition.preamble.verify(&partition.keyblock.data_key)),
        (
            "body",
            partition.preamble.verify_body(&partition.keyblock.data_key, &bytes[partition.body.clone()]),
        ),
    ];
    for (what, verified) in signed {
        if !tried.signed(what, &partition, verified) {
            return Ok(None);
        }
    }
    Ok(Some((bytes, partition)))
}

fn read(disk: &File, at: u64, len: usize) -> Result<Vec<u8>, FirmwareError> {
    let mut bytes = vec![0; len];
    disk.read_exact_at(&mut bytes, at).map_err(|error| {
        FirmwareError::Read(io::Error::new(error.kind(), format!("{len} bytes at byte {at}: {error}")))
    })?;
    Ok(bytes)
}

/// A candidate, and where what is found of it is written down.
struct Tried<'a> {
    number: u32,
    journal: &'a mut Journal,
}

impl Tried<'_> {
    fn good(&mut self, what: &str, detail: impl Into<String>) {
        self.journal.good(format!("kernel partition {}: {what}", self.number), detail);
    }

    fn bad(&mut self, what: &str, detail: impl Into<String>) {
        self.journal.bad(format!("kernel partition {}: {what}", self.number), detail);
    }

    fn refuse(&mut self, what: &str, detail: impl Into<String>) {
        self.journal.refuse(format!("kernel partition {}: {what}", self.number), detail);
    }

    fn headers(&mut self, bytes: &[u8]) -> Option<KernelPartition> {
        // A keyblock further in is one that other readers find, and the firmware does not.
        let headers = if bytes.starts_with(b"CHROMEOS") {
            KernelPartition::headers(bytes)
        } else {
            Err(VbootError::NoKeyblock { offset: 0 })
        };
        let partition = match headers {
            Ok(partition) => partition,
            Err(error) => {
                self.refuse("headers", error.to_string());
                return None;
            }
        };
        let preamble = &partition.preamble;
        let mut remarks = partition.remarks();
        if preamble.kernel_version > VERSIONS {
            remarks.push(format!(
                "its kernel version is {}, and {VERSIONS} the highest",
                preamble.kernel_version
            ));
        }
        if !remarks.is_empty() {
            self.refuse("headers", remarks.join("; "));
            return None;
        }
        let (keyblock, (major, minor)) = (&partition.keyblock, preamble.version);
        self.good(
            "headers",
            format!(
                "keyblock {}.{}, preamble {major}.{minor}, kernel version {}, body of {} bytes for {:#x}",
                keyblock.version.0,
                keyblock.version.1,
                preamble.kernel_version,
                preamble.body_size,
                preamble.load_address
            ),
        );
        Some(partition)
    }

    /// Whether the keyblock is whole, and `key` has signed it, if there is one.
    fn keyblock(&mut self, partition: &KernelPartition, key: Option<&Key>) -> bool {
        let keyblock = &partition.keyblock;
        if let Some(key) = key {
            return match keyblock.verify(key) {
                Ok(()) => {
                    self.good(
                        "keyblock",
                        format!("signed with the board's key, {key}; {}", keyblock.flag_names()),
                    );
                    self.mode(partition)
                }
                Err(error) => {
                    self.refuse("keyblock", error.to_string());
                    false
                }
            };
        }
        if let Err(error) = keyblock.verify_hash() {
            self.refuse("keyblock", error.to_string());
            return false;
        }
        match (Known::signer_of(keyblock), keyblock.is_signed()) {
            (Some(known), _) => self.good(
                "keyblock",
                format!(
                    "signed with the public developer key `{}`: a board that is sold does not start it",
                    known.name
                ),
            ),
            (None, true) => self.good("keyblock", "signed with a key that is not public, as that of a board"),
            (None, false) => {
                self.bad("keyblock", "not signed, only hashed: it is started in developer mode, if at all");
            }
        }
        self.mode(partition)
    }

    /// Says when the keyblock is accepted. A wrong mode keeps nothing from being started: which one it will be is not
    /// known here.
    fn mode(&mut self, partition: &KernelPartition) -> bool {
        let keyblock = &partition.keyblock;
        let detail = format!("{} ({})", keyblock.flag_names(), keyblock.modes());
        self.journal.say(
            format!("kernel partition {}: recovery mode", self.number),
            keyblock.is_for_recovery(),
            detail,
        );
        true
    }

    fn signed(&mut self, what: &str, partition: &KernelPartition, verified: Result<(), VerifyError>) -> bool {
        match verified {
            Ok(()) => self.good(what, format!("signed with {}", partition.keyblock.data_key)),
            Err(error) => {
                self.refuse(what, error.to_string());
                return false;
            }
        }
        true
    }
}

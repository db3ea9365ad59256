//! What an ISO image says about itself, for people and programs.

use std::fmt;

use bootway_plan::Bytes;
use serde::Serialize;

/// How many files a text names at most.
const MAX_NAMED: usize = 40;

/// An ISO 9660 image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct IsoReport {
    /// Its volume id.
    pub label: String,
    /// Bytes of the volume; the file may have some more.
    pub size: Bytes,
    /// How names are kept: `rock-ridge`, `joliet` or `iso-9660`.
    pub names: String,
    /// `YYYYMMDDHHMMSS`, if it says so.
    pub created: Option<String>,
    /// The program that made it.
    pub application: Option<String>,
    /// What is wrong with it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub flaws: Vec<String>,
    /// What firmware starts from a disc; empty if there is no boot catalogue: then it holds data only.
    pub boot: Vec<IsoBootEntry>,
    /// What firmware sees on a disk or stick with the same bytes; empty if it is no hybrid.
    pub partitions: Vec<IsoPartition>,
    /// Every regular file, by path.
    pub files: Vec<IsoFile>,
}

/// An entry of the boot catalogue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct IsoBootEntry {
    /// `bios`, `uefi`, or the number of the platform.
    pub firmware: String,
    /// `none`, `floppy` or `hard-disk`.
    pub emulation: String,
    /// First byte in the image.
    pub offset: Bytes,
    /// Bytes that are loaded, or of the file system for UEFI.
    pub size: Bytes,
    /// The file with the same bytes, if there is one.
    pub path: Option<String>,
}

/// A partition of a hybrid image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct IsoPartition {
    /// `mbr` or `gpt`.
    pub table: String,
    /// Its place in the table, from 1.
    pub number: u32,
    /// Its type: the number of an MBR, or as in a plan.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether a BIOS starts it, or its name in a GPT.
    pub label: String,
    /// First byte.
    pub offset: Bytes,
    /// Bytes.
    pub size: Bytes,
}

/// A regular file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct IsoFile {
    /// From the root of the volume, with a slash.
    pub path: String,
    /// Bytes.
    pub size: Bytes,
}

impl IsoReport {
    /// What starts it, in a few words: `bios, uefi; hybrid (mbr, gpt)`, or that it holds data only.
    pub fn summary(&self) -> String {
        let mut tables: Vec<&str> = self.partitions.iter().map(|it| it.table.as_str()).collect();
        tables.dedup();
        let hybrid =
            if tables.is_empty() { String::new() } else { format!("; hybrid ({})", tables.join(", ")) };
        if self.boot.is_empty() {
            return format!("data only: it has no boot catalogue{hybrid}");
        }
        let firmware: Vec<&str> = self.boot.iter().map(|it| it.firmware.as_str()).collect();
        format!("boots with {}{hybrid}", firmware.join(", "))
    }
}

/// Lines behind the size of the file.
impl fmt::Display for IsoReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ISO 9660 image {}, {}, {} files, ", self.label, self.names, self.files.len())?;
        writeln!(f, "{}", self.summary())?;
        self.flaws.iter().try_for_each(|flaw| writeln!(f, "  !  {flaw}"))?;
        for it in &self.boot {
            let (at, size) = (it.offset.human(), it.size.human());
            let emulation = match it.emulation.as_str() {
                "none" => String::new(),
                other => format!(", as a {other}"),
            };
            let path = it.path.as_ref().map(|path| format!("  {path}")).unwrap_or_default();
            writeln!(f, "  {:<4} {at:>9}  {size:>9}{path}{emulation}", it.firmware)?;
        }
        for it in &self.partitions {
            let (at, size) = (it.offset.human(), it.size.human());
            let label = if it.label.is_empty() { String::new() } else { format!("  {}", it.label) };
            writeln!(f, "  {} {} {at:>9}  {size:>9}  {}{label}", it.table, it.number, it.kind)?;
        }
        for file in self.files.iter().take(MAX_NAMED) {
            writeln!(f, "      {:>9}  {}", file.size.human(), file.path)?;
        }
        match self.files.len().saturating_sub(MAX_NAMED) {
            0 => Ok(()),
            more => writeln!(f, "      and {more} more: see `--json`"),
        }
    }
}

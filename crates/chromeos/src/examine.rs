//! Who signed what, and what an image is fit for.

use bootway_exec::Cancel;
use bootway_image::{GptEntry, Tree};
use bootway_plan::{Bytes, Finding, Judgement};
use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;

use crate::{HarvestError, anatomy::Anatomy, disk::Disk};

mod abilities;
mod boot;
mod release;
mod text;
mod trust;

pub use release::Release;

/// What is known of a `ChromeOS` image: findings, each with its evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ChromeosReport {
    /// What it is called in the findings.
    pub about: String,
    /// The raw disk.
    pub path: Utf8PathBuf,
    /// What `etc/lsb-release` of its root says.
    pub release: Option<Release>,
    /// Its kernel partitions, in the order in which the firmware tries them.
    pub kernels: Vec<KernelReport>,
    /// Everything that was found out.
    pub findings: Vec<Finding>,
}

/// A kernel partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct KernelReport {
    /// Of the partition.
    pub number: u32,
    /// Of the partition.
    pub label: String,
    /// 0 to 15; the highest is tried first.
    pub priority: u8,
    /// 0 to 15.
    pub tries: u8,
    /// It has come up before.
    pub successful: bool,
    /// What it is signed for: `DEV REC !MINIOS`.
    pub flags: Option<String>,
    /// What `uname -r` will say.
    pub version: Option<String>,
    /// Bytes of keyblock, preamble and body.
    pub size: Option<Bytes>,
    /// The signed command line.
    pub cmdline: Option<String>,
}

/// What an image is to the one who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Its kernel is to start a root of the user's.
    Shim,
    /// It only gives files.
    Recovery,
    /// Whatever it is.
    Image,
}

impl Role {
    /// What it is called in findings.
    const fn about(self) -> &'static str {
        match self {
            Self::Shim => "the shim",
            Self::Recovery => "the recovery image",
            Self::Image => "the image",
        }
    }
}

/// What was taken apart already, so that it is not done twice.
#[derive(Clone, Copy, Default)]
pub(crate) struct Known<'a> {
    pub(crate) anatomy: Option<&'a Anatomy>,
    pub(crate) initramfs: Option<&'a Tree>,
    pub(crate) root: Option<&'a Tree>,
}

/// Examines the raw disk at `path`; `None` if it has no `ChromeOS` kernel partition with a kernel in it.
///
/// # Errors
///
/// If the disk cannot be read. What is damaged in it is a finding.
pub fn examine(path: &Utf8Path) -> Result<Option<ChromeosReport>, HarvestError> {
    let disk = match Disk::open(path) {
        Ok(disk) => disk,
        Err(HarvestError::Gpt { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    if disk.kernels().is_empty() {
        return Ok(None);
    }
    Ok(Some(report(&disk, Role::Image, Known::default())))
}

/// What is known of a disk.
pub(crate) fn report(disk: &Disk, role: Role, known: Known<'_>) -> ChromeosReport {
    let mut notes = Notes { about: role.about(), findings: Vec::new() };
    table(disk, &mut notes);
    let main = disk.kernel(None).ok().cloned();
    let root_entry = main.as_ref().and_then(|entry| disk.root_of(entry)).cloned();
    let mut own_root = None;
    let root = known.root.or_else(|| {
        own_root = root_entry.as_ref().and_then(|entry| match disk.tree(entry, &Cancel::default()) {
            Ok((tree, _)) => Some(tree),
            Err(error) => {
                notes.unknown("root file system", "it cannot be read", chain(&error));
                None
            }
        });
        own_root.as_ref()
    });
    let release = root.and_then(Release::of);
    release::findings(release.as_ref(), root, &mut notes);
    let kernels: Vec<KernelReport> =
        disk.kernels().into_iter().map(|entry| trust::kernel(disk, entry, &mut notes)).collect();
    let recovers = main.as_ref().is_some_and(|main| boot::recovers(&kernels, main.number));
    boot::kind(role, recovers, &mut notes);
    if let (Some(main), Some(root)) = (&main, &root_entry) {
        trust::root(disk, main, root, &mut notes);
    }
    if role != Role::Recovery && !recovers {
        starts(disk, main.as_ref(), root, known, &mut notes);
    }
    ChromeosReport {
        about: role.about().to_owned(),
        path: disk.path.clone(),
        release,
        kernels,
        findings: notes.findings,
    }
}

/// What its kernel does once the firmware has started it, and what it can do.
fn starts(
    disk: &Disk,
    main: Option<&GptEntry>,
    root: Option<&Tree>,
    known: Known<'_>,
    notes: &mut Notes<'_>,
) {
    let mut own_anatomy = None;
    let anatomy = known.anatomy.or_else(|| {
        own_anatomy = main.and_then(|entry| match Anatomy::of(disk, entry) {
            Ok(anatomy) => Some(anatomy),
            Err(error) => {
                notes.say(Judgement::Bad, "kernel", "it cannot be taken apart", chain(&error));
                None
            }
        });
        own_anatomy.as_ref()
    });
    if let Some(anatomy) = anatomy {
        let mut own_tree = None;
        let early = known.initramfs.or_else(|| {
            own_tree = match anatomy.initramfs() {
                Ok((_, tree)) => Some(tree),
                Err(error) => {
                    notes.unknown("initramfs", "none was found", chain(&error));
                    None
                }
            };
            own_tree.as_ref()
        });
        boot::findings(disk, anatomy, early, root, notes);
        abilities::findings(anatomy, notes);
    }
}

/// What is to be said about the partition table.
fn table(disk: &Disk, notes: &mut Notes<'_>) {
    let answer = if disk.flaws.is_empty() { "both copies are sound" } else { "usable" };
    let judgement = if disk.flaws.is_empty() { Judgement::Good } else { Judgement::Doubtful };
    if let Some((entry, end)) = disk.gpt.beyond() {
        let length = disk.file.metadata().map_or(0, |metadata| metadata.len());
        let evidence = format!("{} ends at byte {end}, and the image at byte {length}", called(entry));
        notes.say(Judgement::Bad, "partition table", "the image was cut short", evidence);
        return;
    }
    let evidence = if disk.flaws.is_empty() {
        format!("{} partitions, checksums right, nothing overlaps", disk.gpt.entries.len())
    } else {
        disk.flaws.join("; ")
    };
    notes.say(judgement, "partition table", answer, evidence);
}

/// Findings while they are made.
pub(crate) struct Notes<'a> {
    about: &'a str,
    findings: Vec<Finding>,
}

impl Notes<'_> {
    pub(crate) fn say(
        &mut self,
        judgement: Judgement,
        name: impl Into<String>,
        answer: impl Into<String>,
        evidence: impl Into<String>,
    ) {
        let about = self.about.to_owned();
        let (name, answer, evidence) = (name.into(), answer.into(), evidence.into());
        self.findings.push(Finding { about, name, judgement, answer, evidence });
    }

    fn unknown(&mut self, name: &str, answer: &str, evidence: String) {
        self.say(Judgement::Unknown, name, answer, evidence);
    }
}

/// An error with everything that it comes from.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text += &format!(": {error}");
        source = error.source();
    }
    text
}

/// `KERN-A (2)`.
pub(crate) fn called(entry: &GptEntry) -> String {
    if entry.label.is_empty() {
        format!("partition {}", entry.number)
    } else {
        format!("{} ({})", entry.label, entry.number)
    }
}

//! The step `harvest`: a shim and a recovery image to the parts of an image of one's own.

use std::io;

use bootway_exec::{Cmd, Cx, StepOutput};
use bootway_image::{NodeKind, Tree, write_tree};
use bootway_plan::{Action, ArtifactKind, EventKind, Finding, Judgement, OutputName, Unit, step};
use camino::Utf8Path;
use globset::GlobBuilder;
use serde::Serialize;

use crate::{
    anatomy::Anatomy,
    disk::Disk,
    examine::{self, ChromeosReport, Known, Subject},
    open::open,
    vboot::KernelPartition,
};

mod error;
mod firmware;
mod layer;
mod modprobe;
mod modules;
mod unpacked;

pub use error::HarvestError;
use layer::{Layer, Origin};
use unpacked::Unpacker;

/// How much is copied between two looks at the cancellation.
const STRIDE: u64 = 4 << 20;

/// Takes a shim and a recovery image apart: kernel partition, bzImage, command line, initramfs, drivers, and a report.
///
/// Each fact about the images is told as a finding.
///
/// # Errors
///
/// If an image cannot be read, is not what was signed, has no modules for its kernel, or lacks what is expected of it.
pub fn harvest(cx: &Cx<'_>, step: &step::Harvest) -> Result<Vec<StepOutput>, HarvestError> {
    let shim = open_image(cx, &step.image, "shim.bin", step.sha256.as_deref())?;
    let recovery = match &step.recovery {
        Some(source) => Some(open_image(cx, source, "recovery.bin", step.recovery_sha256.as_deref())?),
        None => None,
    };
    let entry = shim.kernel(step.kernel.as_deref())?;
    let anatomy = Anatomy::of(&shim, entry)?;
    let (initramfs, early) = anatomy.initramfs()?;
    signed(&anatomy)?;
    cx.note(format!(
        "the kernel is in partition {} `{}`, its initramfs has {} files in {} bytes",
        entry.number,
        entry.label,
        early.nodes.len() - 1,
        initramfs.cpio.len()
    ));
    copy_partition(cx, &shim, entry)?;
    fs_err::write(cx.out.join("bzImage"), &anatomy.boot.image)?;
    fs_err::write(cx.out.join("cmdline.txt"), format!("{}\n", anatomy.cmdline))?;
    fs_err::write(cx.out.join("initramfs.cpio"), &initramfs.cpio)?;
    write_tree(cx, &early, &cx.out.join("initramfs"))?;
    let root = shim.root_of(entry).ok_or_else(|| HarvestError::NoRoot {
        path: shim.path.clone(),
        number: entry.number + 1,
        found: shim.labels(),
    })?;
    let root = shim.tree(root, cx.cancel)?;
    let recovery_root = match &recovery {
        Some(disk) => Some(recovery_root(cx, disk)?),
        None => None,
    };
    let drivers = Drivers::take(cx, step, &anatomy, &root.0, recovery_root.as_ref())?;
    if step.has_drivers() {
        write_tree(cx, drivers.layer.tree(), &cx.out.join("drivers"))?;
    }
    expected(step, drivers.layer.tree(), &early)?;
    let known = Known { anatomy: Some(&anatomy), initramfs: Some(&early), root: Some(&root.0) };
    let mut reports = vec![examine::report(&Subject { about: "the shim", disk: &shim, starts: true }, known)];
    if let Some(disk) = &recovery {
        let known = Known { root: recovery_root.as_ref(), ..Known::default() };
        reports.push(examine::report(&Subject { about: "the recovery image", disk, starts: false }, known));
    }
    for finding in reports.iter().flat_map(|report| &report.findings).chain(&drivers.findings()) {
        (cx.emit)(EventKind::Finding(finding.clone()));
    }
    let report = HarvestReport { images: reports, drivers: drivers.facts() };
    let json = serde_json::to_string_pretty(&report).expect("plain data") + "\n";
    fs_err::write(cx.out.join("report.json"), json)?;
    Ok(outputs(cx, step))
}

/// The command lines that [`harvest()`] would run.
pub fn commands(cx: &Cx<'_>, step: &step::Harvest) -> Vec<Cmd> {
    if step.modules { modules::commands(cx.scratch) } else { Vec::new() }
}

fn open_image(
    cx: &Cx<'_>,
    source: &bootway_plan::Source,
    name: &str,
    sha256: Option<&str>,
) -> Result<Disk, HarvestError> {
    let input = cx.input(source)?;
    Disk::open(&open(cx, &input.path, name, sha256)?)
}

/// A kernel partition that is not what was signed is damaged, or somebody changed it: no firmware starts it.
fn signed(anatomy: &Anatomy) -> Result<(), HarvestError> {
    let label = || anatomy.entry.label.clone();
    anatomy
        .partition
        .verify(&anatomy.bytes)
        .map_err(|source| HarvestError::Unsigned { label: label(), source })
}

/// The root partition of a recovery image: the one that goes with its first kernel.
fn recovery_root(cx: &Cx<'_>, disk: &Disk) -> Result<Tree, HarvestError> {
    let entry = disk.kernel(None)?;
    let root = disk.root_of(entry).ok_or_else(|| HarvestError::NoRoot {
        path: disk.path.clone(),
        number: entry.number + 1,
        found: disk.labels(),
    })?;
    Ok(disk.tree(root, cx.cancel)?.0)
}

/// Copies the kernel partition bit for bit.
fn copy_partition(cx: &Cx<'_>, disk: &Disk, entry: &bootway_image::GptEntry) -> Result<(), HarvestError> {
    use io::{Read as _, Seek as _};
    let (offset, length) = disk.place(entry);
    let mut from = fs_err::File::open(&disk.path)?;
    from.seek(io::SeekFrom::Start(offset))?;
    let mut to = fs_err::File::create_new(cx.out.join("kernel.bin"))?;
    let mut done = 0;
    while done < length {
        if cx.cancel.is_cancelled() {
            return Err(HarvestError::Cancelled);
        }
        let stride = STRIDE.min(length - done);
        // The kernel copies: these are files, not a reader and a writer.
        let copied = io::copy(&mut from.file_mut().take(stride), to.file_mut())?;
        if copied < stride {
            let text = format!("partition `{}` ends behind the end of `{}`", entry.label, disk.path);
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text).into());
        }
        done += copied;
        (cx.emit)(EventKind::Progress { done, total: Some(length), unit: Unit::Bytes });
    }
    Ok(())
}

/// Modules, firmware and module options, and what was remarkable about them.
struct Drivers {
    layer: Layer,
    modules: Vec<modules::Module>,
    remarks: firmware::Remarks,
    masked: Vec<String>,
    wants_firmware: bool,
}

impl Drivers {
    fn take(
        cx: &Cx<'_>,
        step: &step::Harvest,
        anatomy: &Anatomy,
        shim: &Tree,
        recovery: Option<&Tree>,
    ) -> Result<Self, HarvestError> {
        let mut layer = Layer::new();
        let unpacker = Unpacker::new(cx)?;
        let mut remarks = firmware::Remarks::default();
        let mut taken = Vec::new();
        if step.modules {
            let release = anatomy.boot.version();
            let release =
                release.ok_or_else(|| HarvestError::NoVersion { label: anatomy.entry.label.clone() })?;
            taken = modules::take(cx, shim, &release, &unpacker, &mut layer)?;
        }
        if step.firmware {
            firmware::take(shim, Origin::Shim, &unpacker, &mut layer, &mut remarks)?;
            if let Some(root) = recovery {
                firmware::take(root, Origin::Recovery, &unpacker, &mut layer, &mut remarks)?;
            }
        }
        let mut masked = Vec::new();
        if step.modprobe
            && let Some(root) = recovery
        {
            masked = modprobe::take(root, &mut layer);
        }
        Ok(Self { layer, modules: taken, remarks, masked, wants_firmware: step.firmware })
    }

    fn count(&self, directory: &str, origin: Origin) -> usize {
        let inside = |path: &str| path.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'));
        self.layer.origin.iter().filter(|(path, from)| **from == origin && inside(path.as_str())).count()
    }

    fn facts(&self) -> DriverFacts {
        DriverFacts {
            modules: self.modules.len(),
            firmware_of_shim: self.count("lib/firmware", Origin::Shim),
            firmware_of_recovery: self.count("lib/firmware", Origin::Recovery),
            firmware: serde_json::to_value(&self.remarks).expect("plain data"),
            masked_options: self.masked.clone(),
            missing_firmware: self.missing(),
            origin: self.layer.origin.iter().map(|(path, from)| (path.as_str().to_owned(), *from)).collect(),
        }
    }

    fn missing(&self) -> Vec<String> {
        let wanted = self.modules.iter().flat_map(|module| &module.info.firmware).map(String::as_str);
        firmware::missing(wanted, &self.layer).into_iter().collect()
    }

    /// What to say about the drivers.
    fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut say = |name: &str, judgement, answer: String, evidence: String| {
            let (about, name) = ("the drivers".to_owned(), name.to_owned());
            findings.push(Finding { about, name, judgement, answer, evidence });
        };
        if !self.modules.is_empty() {
            let answer = format!("{} modules", self.modules.len());
            let evidence =
                "each was built for the shim's kernel, and depmod's index has it with all that it needs"
                    .to_owned();
            say("modules", Judgement::Good, answer, evidence);
        }
        if self.wants_firmware {
            let (shim, recovery) =
                (self.count("lib/firmware", Origin::Shim), self.count("lib/firmware", Origin::Recovery));
            let answer = format!("{} files", shim + recovery);
            let evidence = format!(
                "{shim} of the shim, {recovery} of the recovery image, which took the place of {}; {} links out of lib/firmware became files, {} files were unpacked",
                self.remarks.replaced.len(),
                self.remarks.resolved.len(),
                self.remarks.unpacked.len(),
            );
            say("firmware", Judgement::Fact, answer, evidence);
            if !self.remarks.dangling.is_empty() {
                let answer = format!("{} lead nowhere", self.remarks.dangling.len());
                say("links of firmware", Judgement::Doubtful, answer, named(&self.remarks.dangling));
            }
            let missing = self.missing();
            if !self.modules.is_empty() {
                let (judgement, answer) = match missing.len() {
                    0 => (Judgement::Good, "all there".to_owned()),
                    n => (Judgement::Doubtful, format!("{n} not there")),
                };
                let evidence = if missing.is_empty() {
                    "of every file that a module names".to_owned()
                } else {
                    format!("modules may ask for {}", named(&missing))
                };
                say("firmware that modules name", judgement, answer, evidence);
            }
        }
        if !self.masked.is_empty() {
            let answer = format!("{} masked", self.masked.len());
            say("module options", Judgement::Fact, answer, named(&self.masked));
        }
        findings
    }
}

/// The first few of many.
fn named(all: &[String]) -> String {
    let shown = all.iter().take(5).map(String::as_str).collect::<Vec<_>>().join(", ");
    if all.len() > 5 { format!("{shown} and {} more", all.len() - 5) } else { shown }
}

/// `report.json`.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct HarvestReport {
    images: Vec<ChromeosReport>,
    drivers: DriverFacts,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct DriverFacts {
    modules: usize,
    firmware_of_shim: usize,
    firmware_of_recovery: usize,
    firmware: serde_json::Value,
    masked_options: Vec<String>,
    missing_firmware: Vec<String>,
    /// Which image each file came from.
    origin: std::collections::BTreeMap<String, Origin>,
}

/// Holds the harvest against what the plan expects of it.
fn expected(step: &step::Harvest, drivers: &Tree, initramfs: &Tree) -> Result<(), HarvestError> {
    let mut missing = Vec::new();
    for pattern in &step.expect {
        let (tree, glob) = match pattern.strip_prefix("initramfs:") {
            Some(rest) => (initramfs, rest),
            None => (drivers, pattern.as_str()),
        };
        let glob = GlobBuilder::new(glob.trim_start_matches('/')).literal_separator(true).build();
        let there = glob.is_ok_and(|glob| {
            let glob = glob.compile_matcher();
            tree.nodes.iter().any(|(path, node)| {
                glob.is_match(path.as_str())
                    && !matches!(node.kind, NodeKind::Symlink { .. } if tree.follow(path.as_str()).is_none())
            })
        });
        if !there {
            missing.push(format!("`{pattern}`"));
        }
    }
    if missing.is_empty() { Ok(()) } else { Err(HarvestError::Lacks { missing }) }
}

fn outputs(cx: &Cx<'_>, step: &step::Harvest) -> Vec<StepOutput> {
    let action = Action::Harvest(step.clone());
    let output = |(name, kind): (OutputName, ArtifactKind)| {
        let path = cx.out.join(action.file_name(&name));
        StepOutput { name, kind, path }
    };
    action.outputs().into_iter().map(output).collect()
}

/// Whether the file at `path` is a kernel partition whose signatures hold, as far as they can be held here.
///
/// # Errors
///
/// If it is not; the error says which structure is wrong, and where.
pub fn verify(path: &Utf8Path) -> Result<(), HarvestError> {
    let bytes = fs_err::read(path)?;
    let label = || path.file_name().unwrap_or_default().to_owned();
    let partition =
        KernelPartition::parse(&bytes).map_err(|source| HarvestError::Vboot { label: label(), source })?;
    partition.verify(&bytes).map_err(|source| HarvestError::Unsigned { label: label(), source })
}

#[cfg(test)]
mod damage;
#[cfg(test)]
mod tests;

//! The step `harvest`: a shim and a recovery image to the parts of an image of one's own.

use std::io;

use bootway_exec::{Cmd, Cx, StepOutput};
use bootway_image::{NodeKind, Tree, write_tree};
use bootway_plan::{Action, ArtifactKind, EventKind, OutputName, Unit, step};
use camino::Utf8Path;
use globset::GlobBuilder;
use serde::Serialize;

use crate::{
    anatomy::Anatomy,
    disk::Disk,
    examine::{self, ChromeosReport, Known, Role},
    open::open,
    vboot::KernelPartition,
};

mod drivers;
mod error;
mod firmware;
mod layer;
mod modprobe;
mod modules;
mod unpacked;

use drivers::{DriverFacts, Drivers};
pub use error::HarvestError;

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
    let mut reports = vec![examine::report(&shim, Role::Shim, known)];
    if let Some(disk) = &recovery {
        let known = Known { root: recovery_root.as_ref(), ..Known::default() };
        reports.push(examine::report(disk, Role::Recovery, known));
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

/// `report.json`.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct HarvestReport {
    images: Vec<ChromeosReport>,
    drivers: DriverFacts,
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

//! The step `disk`: trees and images to a disk with a GUID partition table.
//!
//! First every content is looked at and the whole disk is laid out, to the byte, without writing one. Then one pass
//! puts each byte where it stays.

use std::io::BufReader;

use bootway_exec::{Cx, MissingInput, StepOutput};
use bootway_plan::{
    ArtifactKind, Bytes, Class, Digest, DiskMap, EventKind, Explain, Name,
    step::{Disk, DiskFormat, FsKind, Partition, Size, Table},
};
use camino::{Utf8Path, Utf8PathBuf};
use thiserror::Error;

use crate::{
    Content, Node, NodeKind, Tree, TreeError,
    format::qcow2,
    fs::{self, FsError, Request, Volume},
    layout::{self, DiskLayout, LayoutError, Need},
    sink::{Sink, SinkError},
    tree,
};

/// Name of the file, below the step's output directory.
const FILE: &str = "disk.raw";
/// The same, as QEMU's own format.
const QCOW2: &str = "disk.qcow2";

/// Lays out the disk that `step` describes and writes it, sparse, in one pass.
///
/// The layout is emitted as [`EventKind::Layout`] before the first byte is written.
///
/// # Errors
///
/// If the disk cannot be laid out, the file system that takes it has no room for it, a source changes while it is
/// copied, or something cannot be read or written.
pub fn disk(cx: &Cx<'_>, step: &Disk) -> Result<Vec<StepOutput>, DiskError> {
    let plan = Planned::of(cx, step)?;
    (cx.emit)(EventKind::Layout(plan.map()));
    for partition in &step.partitions {
        if partition.fs == Some(FsKind::Ext4) && partition.journal.is_none() && !has_journal(partition) {
            cx.note(format!("partition `{}` is too small for a journal: its ext4 has none", partition.label));
        }
        if let Some(text) = long_in_a_menu(&partition.label) {
            cx.note(text);
        }
    }
    let path = cx.out.join(FILE);
    check_space(&plan, cx)?;
    plan.write(cx, &path)?;
    let path = match step.format {
        DiskFormat::Raw => path,
        DiskFormat::Qcow2 => to_qcow2(cx, &path, plan.layout.size).map_err(DiskError::Read)?,
    };
    Ok(vec![StepOutput { name: Name::fixed("disk"), kind: step.kind(), path }])
}

/// Takes the disk at `raw` into a qcow2 image beside it, and removes it.
fn to_qcow2(cx: &Cx<'_>, raw: &Utf8Path, size: u64) -> std::io::Result<Utf8PathBuf> {
    let path = cx.out.join(QCOW2);
    let disk = BufReader::with_capacity(1 << 20, fs_err::File::open(raw)?);
    qcow2::write(disk, size, &mut fs_err::File::create(&path)?)?;
    fs_err::remove_file(raw)?;
    Ok(path)
}

/// What shim boot loaders say about names that are long: their menus have so many columns.
fn long_in_a_menu(label: &str) -> Option<String> {
    const COLUMNS: usize = 16;
    let name = label.strip_prefix("shimboot_rootfs:")?;
    let units = name.encode_utf16().count();
    (units > COLUMNS).then(|| {
        format!(
            "`{name}` has {units} characters: menus of shim boot loaders have room for {COLUMNS}, shorten it"
        )
    })
}

/// Where everything would be on the disk that `step` describes, if its inputs are there already. Writes nothing.
///
/// # Errors
///
/// As [`disk`], as far as that can be known before anything is written.
pub fn disk_layout(cx: &Cx<'_>, step: &Disk) -> Result<DiskMap, DiskError> {
    Ok(Planned::of(cx, step)?.map())
}

/// A disk of which every byte has its place.
struct Planned {
    layout: DiskLayout,
    volumes: Vec<Volume>,
}

/// What goes into a partition.
enum Filling {
    Nothing,
    Image(Content),
    Tree(Tree),
}

impl Planned {
    fn of(cx: &Cx<'_>, step: &Disk) -> Result<Self, DiskError> {
        let mut fillings = Vec::with_capacity(step.partitions.len());
        let mut needs = Vec::with_capacity(step.partitions.len());
        for partition in &step.partitions {
            let (filling, need) = look(cx, partition)?;
            fillings.push(filling);
            needs.push(need);
        }
        let mut fits = Vec::with_capacity(fillings.len());
        for (n, filling) in fillings.iter().enumerate() {
            let request = request(cx, step, n, filling, needs[n].digest);
            let labelled = |source| DiskError::Fs { label: step.partitions[n].label.clone(), source };
            let fit = request.as_ref().map(Request::fit).transpose().map_err(labelled)?;
            if let (Some(request), Some(fit)) = (&request, &fit) {
                needs[n].least = fit.least;
                needs[n].why = request.why(fit.least);
            }
            fits.push(fit);
        }
        let layout = layout::plan(step, &needs)?;
        let mut volumes = Vec::with_capacity(fillings.len());
        for (n, (filling, fit)) in fillings.iter().zip(fits).enumerate() {
            let slot = &layout.partitions[n];
            let request = request(cx, step, n, filling, needs[n].digest);
            volumes.push(match (request, fit, filling) {
                (Some(request), Some(fit), _) => {
                    let planned = request.plan(fit, slot);
                    planned.map_err(|source| DiskError::Fs { label: slot.label.clone(), source })?
                }
                (_, _, Filling::Image(content)) => Volume::Image(content.clone()),
                _ => Volume::Blank,
            });
        }
        Ok(Self { layout, volumes })
    }

    fn map(&self) -> DiskMap {
        let used: Vec<u64> = self.volumes.iter().map(Volume::used).collect();
        self.layout.map(&used)
    }

    fn written(&self) -> u64 {
        self.volumes.iter().map(Volume::written).sum()
    }

    fn write(&self, cx: &Cx<'_>, path: &Utf8Path) -> Result<(), SinkError> {
        let mut sink = Sink::create(cx, path, self.layout.size, self.written())?;
        let table = (self.layout.table == Table::Gpt).then(|| self.layout.gpt().encode());
        if let Some((head, _)) = &table {
            sink.put(0, head)?;
        }
        for (slot, volume) in self.layout.partitions.iter().zip(&self.volumes) {
            sink.partition(slot.offset);
            volume.write(&mut sink)?;
        }
        sink.partition(0);
        if let Some((_, tail)) = &table {
            sink.put(self.layout.size - tail.len() as u64, tail)?;
        }
        sink.finish()
    }
}

/// The file system that partition `n` is to get, if it gets one.
///
/// Its ids follow from what is in it and where, not from how big it is.
fn request<'a>(
    cx: &Cx<'_>,
    step: &'a Disk,
    n: usize,
    filling: &'a Filling,
    digest: Option<Digest>,
) -> Option<Request<'a>> {
    let Partition { fs: Some(kind), label, .. } = &step.partitions[n] else { return None };
    let journal = has_journal(&step.partitions[n]);
    let Filling::Tree(tree) = filling else { return None };
    let content = digest.map_or_else(String::new, |digest| digest.to_string());
    let identity = Digest::of(format!("fs {n} {} {content}\n{label}", kind.as_str()).as_bytes());
    Some(Request {
        kind: *kind,
        journal,
        tree,
        label: step.partitions[n].fs_label.as_deref().unwrap_or(label),
        identity,
        sector_size: step.sector_size.get(),
        epoch: cx.epoch,
    })
}

/// Whether an ext4 there has a journal: one that is too small for it has none.
fn has_journal(partition: &Partition) -> bool {
    let has_room =
        partition.grow || !matches!(partition.size, Size::Exactly(size) if size.get() < fs::JOURNALED);
    partition.journal.unwrap_or(has_room)
}

/// Looks at what goes into `partition`; what an image needs is known then, what a tree needs is not yet.
fn look(cx: &Cx<'_>, partition: &Partition) -> Result<(Filling, Need), DiskError> {
    let label = || partition.label.clone();
    let Some(kind) = partition.fs else {
        let Some(source) = &partition.content else { return Ok((Filling::Nothing, Need::default())) };
        let input = cx.input(source)?;
        if input.kind == ArtifactKind::Tree {
            return Err(DiskError::TreeWithoutFs { label: label(), source_name: source.to_string() });
        }
        let fs = match input.kind {
            kind @ (ArtifactKind::Squashfs | ArtifactKind::Ext4) => kind.as_str(),
            _ => "raw",
        };
        let size = fs_err::metadata(&input.path).map_err(DiskError::Read)?.len();
        let need =
            Need { least: size, fs: Some(fs.to_owned()), files: size, digest: Some(input.digest), why: None };
        return Ok((Filling::Image(Content::File { path: input.path.clone(), size, digest: None }), need));
    };
    let need = |digest, files| Need { fs: Some(kind.as_str().to_owned()), digest, files, ..Need::default() };
    let Some(source) = &partition.content else { return Ok((Filling::Tree(empty()), need(None, 0))) };
    let digest = cx.input(source)?.digest;
    let tree = tree::load(cx, source, partition.owners);
    let tree = tree.map_err(|source| DiskError::Tree { label: label(), source })?;
    let files = files(&tree);
    Ok((Filling::Tree(tree), need(Some(digest), files)))
}

/// What the files of a tree have, each once, in blocks of 4 KiB.
fn files(tree: &Tree) -> u64 {
    let sizes = tree.nodes.values().filter_map(|node| match &node.kind {
        NodeKind::File(content) => Some(content.size().next_multiple_of(4096)),
        _ => None,
    });
    sizes.sum()
}

/// A tree with a root and nothing in it.
fn empty() -> Tree {
    let root = Node {
        mode: 0o755,
        uid: 0,
        gid: 0,
        xattrs: std::collections::BTreeMap::new(),
        kind: NodeKind::Directory,
    };
    Tree { nodes: [(bootway_plan::TreePath::root(), root)].into() }
}

/// Magic numbers of file systems that share blocks between files: btrfs and XFS.
const SHARING: [i64; 2] = [0x9123_683E, 0x5846_5342];
/// Contents at least this big are shared there.
const SHARED_FROM: u64 = 64 << 10;

/// Whether what will be written fits the file system that takes it.
fn check_space(plan: &Planned, cx: &Cx<'_>) -> Result<(), DiskError> {
    let stat = rustix::fs::statvfs(cx.out.as_std_path()).map_err(|error| DiskError::Read(error.into()))?;
    let shares = rustix::fs::statfs(cx.out.as_std_path()).is_ok_and(|stat| SHARING.contains(&stat.f_type));
    let mut needs = plan.written();
    if shares {
        let contents = plan.volumes.iter().flat_map(Volume::contents).map(Content::size);
        needs -= contents.filter(|size| *size >= SHARED_FROM).sum::<u64>();
    }
    let has = stat.f_bavail.saturating_mul(stat.f_frsize);
    if needs > has {
        let (needs, has) = (Bytes::new(needs), Bytes::new(has));
        return Err(DiskError::Space { path: cx.out.to_owned(), needs, has });
    }
    Ok(())
}

/// The disk was not made.
#[derive(Debug, Error)]
pub enum DiskError {
    /// It cannot be laid out.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// It cannot be written.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The engine forgot something.
    #[error(transparent)]
    Input(#[from] MissingInput),
    /// A content cannot be looked at.
    #[error(transparent)]
    Read(std::io::Error),
    /// A content is no tree, or cannot be walked.
    #[error("cannot read the content of partition `{label}`")]
    Tree {
        /// The partition.
        label: String,
        /// Why.
        source: TreeError,
    },
    /// A content is a tree and nothing says what to make of it.
    #[error(
        "partition `{label}` has the tree `{source_name}` as content and no `fs`: say which, such as `fs = \"ext4\"`"
    )]
    TreeWithoutFs {
        /// The partition.
        label: String,
        /// The tree.
        source_name: String,
    },
    /// A content cannot become the file system.
    #[error("cannot make the file system of partition `{label}`")]
    Fs {
        /// The partition.
        label: String,
        /// Why.
        source: FsError,
    },
    /// There is no room for the disk's file.
    #[error("the disk needs {}, the file system of `{path}` has {}", needs.human(), has.human())]
    Space {
        /// Where it was to be written.
        path: Utf8PathBuf,
        /// Bytes that would be written.
        needs: Bytes,
        /// Bytes that are free.
        has: Bytes,
    },
}

impl Explain for DiskError {
    fn class(&self) -> Class {
        match self {
            Self::Layout(error) => error.class(),
            Self::Input(error) => error.class(),
            Self::Tree { source, .. } => source.class(),
            Self::TreeWithoutFs { .. } | Self::Fs { .. } => Class::Plan,
            Self::Space { .. } | Self::Sink(SinkError::Full { .. }) => Class::Environment,
            Self::Sink(SinkError::Cancelled) => Class::Cancelled,
            Self::Sink(_) | Self::Read(_) => Class::Step,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Layout(error) => error.hint(),
            Self::Tree { source, .. } => source.hint(),
            Self::Space { .. } | Self::Sink(SinkError::Full { .. }) => {
                Some("free some space there, or give another place with `--work`".to_owned())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;

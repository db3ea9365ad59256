//! Trees to a cpio archive that the kernel unpacks as its first root.

use std::{
    collections::BTreeMap,
    io::{self, BufWriter, Read, Write},
    sync::Arc,
};

use bootway_exec::{Cx, MissingInput, StepOutput};
use bootway_plan::{ArtifactKind, Class, Explain, Name, TreePath, step};
use thiserror::Error;

use crate::{
    class::{class_of, hint_of},
    compress::Encoder,
    format::cpio::{self, Header},
    modules::{Modules, ModulesError},
    progress::Progress,
    tree::{self, Composer, Content, Node, NodeKind, Tree, TreeError},
};

/// Archives are padded to this, as `cpio` does.
const BLOCK: u64 = 512;
/// How much is copied between two looks at the cancellation.
const STRIDE: usize = 256 << 10;

/// Packs trees into an initramfs, with kernel modules and all that these depend on.
///
/// The archive is the same each time: sorted by path, numbered from 1, every time the plan's epoch.
pub fn initramfs(cx: &Cx<'_>, step: &step::Initramfs) -> Result<Vec<StepOutput>, InitramfsError> {
    let mut composer = tree::compose(cx, &step.from, step::Owners::Root)?;
    if !step.modules.is_empty() {
        let source = step.kernel.as_ref().ok_or(InitramfsError::NoKernel)?;
        let kernel = tree::load(cx, source, step::Owners::Root)?;
        add_modules(cx, &mut composer, &kernel, &step.modules)?;
    }
    let tree = composer.finish();
    let path = cx.out.join("initramfs.img");
    let file = BufWriter::with_capacity(1 << 20, fs_err::File::create_new(&path)?);
    let encoder = write_archive(cx, &tree, Encoder::new(step.compression, file)?)?;
    encoder.finish()?.flush()?;
    Ok(vec![StepOutput { name: Name::fixed("initramfs"), kind: ArtifactKind::Initramfs, path }])
}

/// Puts the modules `wanted` of `kernel` into the tree, with `modules.dep` and `modules.alias`.
fn add_modules(
    cx: &Cx<'_>,
    composer: &mut Composer,
    kernel: &Tree,
    wanted: &[String],
) -> Result<(), InitramfsError> {
    let modules = Modules::find(kernel)?;
    let closure = modules.closure(wanted, cx.cancel)?;
    let dir = format!("lib/modules/{}", modules.version());
    let files = closure.modules().map(|module| (module.path.as_str(), Arc::from(&*module.bytes)));
    let dep = ("modules.dep", Arc::from(closure.modules_dep().into_bytes()));
    let alias = ("modules.alias", Arc::from(closure.modules_alias().into_bytes()));
    let builtin: String = modules.builtin().map(|name| format!("kernel/{name}.ko\n")).collect();
    let builtin = ("modules.builtin", Arc::from(builtin.into_bytes()));
    for (name, bytes) in files.chain([dep, alias, builtin]) {
        let path: TreePath = format!("{dir}/{name}").parse().expect("it is made of a tree's path");
        composer.place(&path, Node::new(0o644, NodeKind::File(Content::Bytes(bytes))))?;
    }
    Ok(())
}

/// Writes `tree` as a newc archive.
fn write_archive<W: Write>(cx: &Cx<'_>, tree: &Tree, to: W) -> Result<W, InitramfsError> {
    let epoch = u32::try_from(cx.epoch).map_err(|_| InitramfsError::Epoch { epoch: cx.epoch })?;
    let mut names: BTreeMap<&TreePath, u32> = BTreeMap::new();
    let mut total = 0;
    for node in tree.nodes.values() {
        match &node.kind {
            NodeKind::HardLink { to } => *names.entry(to).or_insert(1) += 1,
            NodeKind::File(content) => total += content.size(),
            _ => {}
        }
    }
    let mut archive = Archive { cx, to, written: 0, progress: Progress::bytes(cx, total) };
    let mut numbers: BTreeMap<&TreePath, u32> = BTreeMap::new();
    for ((path, node), number) in tree.nodes.iter().zip(1..) {
        if cx.cancel.is_cancelled() {
            return Err(InitramfsError::Cancelled);
        }
        let first = if let NodeKind::HardLink { to } = &node.kind { to } else { path };
        let ino = *numbers.entry(first).or_insert(number);
        let nlink = match &node.kind {
            NodeKind::Directory => 2,
            _ => names.get(first).copied().unwrap_or(1),
        };
        let header = Header { ino, nlink, mtime: epoch, uid: node.uid, gid: node.gid, ..Header::default() };
        archive.add(path, node, header)?;
    }
    archive.put(&cpio::trailer())?;
    archive.put(&vec![0; (archive.written.next_multiple_of(BLOCK) - archive.written) as usize])?;
    Ok(archive.to)
}

/// An archive that is being written.
struct Archive<'a, W> {
    cx: &'a Cx<'a>,
    to: W,
    written: u64,
    progress: Progress<'a>,
}

impl<W: Write> Archive<'_, W> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.written += bytes.len() as u64;
        self.to.write_all(bytes)
    }

    /// Adds one file; `header` has all but its type, size and device number.
    fn add(&mut self, path: &TreePath, node: &Node, mut header: Header) -> Result<(), InitramfsError> {
        // File types of stat(2).
        let kind = match &node.kind {
            NodeKind::Directory => 0o040_000,
            NodeKind::File(_) | NodeKind::HardLink { .. } => 0o100_000,
            NodeKind::Symlink { .. } => 0o120_000,
            NodeKind::CharDevice { .. } => 0o020_000,
            NodeKind::BlockDevice { .. } => 0o060_000,
            NodeKind::Fifo => 0o010_000,
            NodeKind::Socket => 0o140_000,
        };
        header.mode = kind | u32::from(node.mode);
        if let NodeKind::CharDevice { major, minor } | NodeKind::BlockDevice { major, minor } = node.kind {
            header.rdev = (major, minor);
        }
        let name = if path.is_root() { "." } else { path.as_str() };
        let size = match &node.kind {
            NodeKind::File(content) => content.size(),
            NodeKind::Symlink { target } => target.len() as u64,
            _ => 0,
        };
        header.size =
            u32::try_from(size).map_err(|_| InitramfsError::TooLarge { path: path.clone(), size })?;
        self.put(&cpio::encode(&header, name))?;
        match &node.kind {
            NodeKind::File(content) => self.copy(path, content)?,
            NodeKind::Symlink { target } => self.put(target.as_bytes())?,
            _ => {}
        }
        self.put(cpio::padding(self.written))?;
        Ok(())
    }

    fn copy(&mut self, path: &TreePath, content: &Content) -> Result<(), InitramfsError> {
        let expected = content.size();
        // One byte more than expected shows that the file has grown.
        let mut from = content.open()?.take(expected + 1);
        let mut buffer = vec![0; STRIDE.min(expected as usize + 1)];
        let mut found = 0;
        loop {
            if self.cx.cancel.is_cancelled() {
                return Err(InitramfsError::Cancelled);
            }
            let length = from.read(&mut buffer)?;
            if length == 0 {
                break;
            }
            found += length as u64;
            self.put(&buffer[..length])?;
            self.progress.add(length as u64);
        }
        if found != expected {
            let path = match content {
                Content::File { path, .. } => path.clone(),
                Content::Slices { file, .. } => file.path().to_owned(),
                Content::Bytes(_) => path.as_str().into(),
            };
            return Err(TreeError::Changed { path, expected, found }.into());
        }
        Ok(())
    }
}

/// An initramfs cannot be made.
#[derive(Debug, Error)]
pub enum InitramfsError {
    /// A file of the host.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The engine did not provide an input.
    #[error(transparent)]
    Input(#[from] MissingInput),
    /// What it is made of.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// Its kernel modules.
    #[error(transparent)]
    Modules(#[from] ModulesError),
    /// Modules, but no kernel to take them from.
    #[error("`modules` are asked for without a `kernel`: name the tree that has `lib/modules`")]
    NoKernel,
    /// A file that the format cannot hold.
    #[error("`{path}` has {size} bytes, and a file in an initramfs at most 4294967295: leave it out")]
    TooLarge {
        /// In the tree.
        path: TreePath,
        /// Bytes.
        size: u64,
    },
    /// A time that the format cannot hold.
    #[error("the epoch {epoch} is after 2106-02-07, the last day that an initramfs can hold")]
    Epoch {
        /// Seconds since 1970-01-01 UTC.
        epoch: u64,
    },
    /// Someone asked to stop.
    #[error("cancelled")]
    Cancelled,
}

impl Explain for InitramfsError {
    fn class(&self) -> Class {
        match self {
            Self::Io(error) => class_of(error),
            Self::Input(error) => error.class(),
            Self::Tree(error) => error.class(),
            Self::Modules(error) => error.class(),
            Self::NoKernel | Self::TooLarge { .. } | Self::Epoch { .. } => Class::Plan,
            Self::Cancelled => Class::Cancelled,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Io(error) => hint_of(error),
            Self::Tree(error) => error.hint(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;

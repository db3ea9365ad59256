//! A tree to a squashfs 4.0 image, through `mksquashfs`.
//!
//! The tree is streamed as a tar archive, which can say everything that an ordinary user cannot have on disk: owners,
//! modes, devices, extended attributes. It goes through a named pipe, so nothing is written twice.

use std::{
    io::{self, BufWriter, Read, Write},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use bootway_exec::{Cmd, Cx, MissingInput, RunError, StepOutput, Tool, run};
use bootway_plan::{
    ArtifactKind, Bytes, Class, Explain, Name,
    step::{self, Compressor, Owners},
};
use camino::{Utf8Path, Utf8PathBuf};
use globset::GlobMatcher;
use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
};
use thiserror::Error;

use crate::{
    progress::Progress,
    tree::{self, Content, Node, NodeKind, Tree, TreeError},
};

/// Long enough for the largest trees at the highest levels; the step's own `limit` is usually lower.
const LIMIT: Duration = Duration::from_hours(24);
/// How long the writer waits before it looks again whether the program has opened its end of the pipe.
const PAUSE: Duration = Duration::from_millis(1);

/// Packs a tree into a squashfs image: the same bytes on any number of processors.
pub fn squashfs(cx: &Cx<'_>, step: &step::Squashfs) -> Result<Vec<StepOutput>, SquashfsError> {
    check(cx, step)?;
    let exclude: Vec<GlobMatcher> =
        step.exclude.iter().map(|pattern| tree::matcher(pattern)).collect::<Result<_, _>>()?;
    let tree = tree::without(tree::load(cx, &step.from, Owners::Root)?, &exclude);
    check_root(&tree)?;
    let pipe = pipe_path(cx);
    rustix::fs::mkfifoat(rustix::fs::CWD, pipe.as_std_path(), Mode::RUSR | Mode::WUSR).map_err(|error| {
        io::Error::new(io::Error::from(error).kind(), format!("cannot make the pipe `{pipe}`: {error}"))
    })?;
    let ended = AtomicBool::new(false);
    let (ran, written) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| stream(cx, &tree, &pipe, &ended));
        let ran = commands(cx, step).iter().try_for_each(|cmd| run(cx, cmd).map(drop));
        ended.store(true, Ordering::Relaxed);
        (ran, writer.join().expect("the writer does not panic"))
    });
    // When the tree cannot be read, the program is cut off and fails too: the cause comes first.
    written?;
    ran?;
    fs_err::remove_file(&pipe)?;
    Ok(vec![StepOutput { name: Name::fixed("image"), kind: ArtifactKind::Squashfs, path: image_path(cx) }])
}

/// The command lines of `step`.
pub fn commands(cx: &Cx<'_>, step: &step::Squashfs) -> Vec<Cmd> {
    let epoch = cx.epoch.to_string();
    // `sqfstar` is the same program, and its 4.5.1 takes the level for the name of the image.
    let mut cmd = as_root().args(["-", image_path(cx).as_str(), "-tar", "-comp", step.compressor.as_str()]);
    if let Some(level) = step.level {
        cmd = cmd.args(["-Xcompression-level", &level.to_string()]);
    }
    cmd = cmd
        .arg("-b")
        .arg(step.block_size.map_or(128 << 10, Bytes::get).to_string())
        .args([
            "-mkfs-time",
            &epoch,
            "-all-time",
            &epoch,
            "-root-mode",
            "755",
            "-root-uid",
            "0",
            "-root-gid",
            "0",
        ])
        .args(["-xattrs", "-exit-on-error", "-no-progress", "-quiet"]);
    vec![cmd.stdin_file(&pipe_path(cx)).limit(LIMIT)]
}

/// `mksquashfs`, seen by itself as started by root.
///
/// Version 4.5.1 ignores `-root-uid` when it reads a tar archive, and gives the root directory to whoever runs it. An
/// ordinary user is root in a user namespace of its own; that this is needed is a fact of the host.
fn as_root() -> Cmd {
    if rustix::process::geteuid().is_root() {
        Cmd::new(Tool::Mksquashfs)
    } else {
        Cmd::new(Tool::Unshare).args(["--map-root-user", Tool::Mksquashfs.program()])
    }
}

fn image_path(cx: &Cx<'_>) -> Utf8PathBuf {
    cx.out.join("image.squashfs")
}

fn pipe_path(cx: &Cx<'_>) -> Utf8PathBuf {
    cx.scratch.join("tree.tar")
}

/// What `mksquashfs` would refuse, said before anything is read.
fn check(cx: &Cx<'_>, step: &step::Squashfs) -> Result<(), SquashfsError> {
    let block = step.block_size.map_or(128 << 10, Bytes::get);
    if !block.is_power_of_two() || !(4 << 10..=1 << 20).contains(&block) {
        return Err(SquashfsError::BlockSize { size: Bytes::new(block) });
    }
    let highest = match step.compressor {
        Compressor::Gzip => 9,
        Compressor::Zstd => 22,
        Compressor::Xz | Compressor::Lz4 => 0,
    };
    if let Some(level) = step.level
        && !(1..=highest).contains(&level)
    {
        return Err(SquashfsError::Level { compressor: step.compressor, level, highest });
    }
    if u32::try_from(cx.epoch).is_err() {
        return Err(SquashfsError::Epoch { epoch: cx.epoch });
    }
    Ok(())
}

/// `mksquashfs` takes the root's mode and owner from its command line, which must not depend on the tree.
fn check_root(tree: &Tree) -> Result<(), SquashfsError> {
    match tree.nodes.values().next() {
        Some(Node { mode: 0o755, uid: 0, gid: 0, .. }) | None => Ok(()),
        Some(root) => Err(SquashfsError::Root { mode: root.mode, uid: root.uid, gid: root.gid }),
    }
}

/// Writes `tree` as a tar archive into the named pipe at `pipe`, once somebody reads it.
fn stream(cx: &Cx<'_>, tree: &Tree, pipe: &Utf8Path, ended: &AtomicBool) -> Result<(), SquashfsError> {
    let pipe = loop {
        // Without `NONBLOCK` this would wait forever for a program that could not be started.
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        match rustix::fs::open(pipe.as_std_path(), flags, Mode::empty()) {
            Ok(pipe) => break std::fs::File::from(pipe),
            Err(Errno::NXIO) if ended.load(Ordering::Relaxed) => return Ok(()),
            Err(Errno::NXIO) => std::thread::sleep(PAUSE),
            Err(error) => return Err(io::Error::from(error).into()),
        }
    };
    rustix::fs::fcntl_setfl(&pipe, OFlags::empty()).map_err(io::Error::from)?;
    let mut archive = tar::Builder::new(BufWriter::with_capacity(1 << 20, pipe));
    let total = tree
        .nodes
        .values()
        .map(|node| if let NodeKind::File(content) = &node.kind { content.size() } else { 0 });
    let progress = Progress::bytes(cx, total.sum());
    for (path, node) in tree.nodes.iter().filter(|(path, _)| !path.is_root()) {
        match append(cx, &mut archive, path.as_str(), node, &progress) {
            Ok(()) => {}
            // The program has ended before the tree: it says why.
            Err(SquashfsError::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    let end = archive.into_inner().and_then(|mut pipe| pipe.flush());
    match end {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

fn append(
    cx: &Cx<'_>,
    archive: &mut tar::Builder<impl Write>,
    path: &str,
    node: &Node,
    progress: &Progress<'_>,
) -> Result<(), SquashfsError> {
    if cx.cancel.is_cancelled() {
        return Err(TreeError::Cancelled.into());
    }
    let mut header = tar::Header::new_gnu();
    header.set_mode(u32::from(node.mode));
    header.set_uid(node.uid.into());
    header.set_gid(node.gid.into());
    header.set_mtime(cx.epoch);
    header.set_size(0);
    if !node.xattrs.is_empty() && !matches!(node.kind, NodeKind::HardLink { .. }) {
        let keys: Vec<String> = node.xattrs.keys().map(|name| format!("SCHILY.xattr.{name}")).collect();
        archive.append_pax_extensions(
            keys.iter().map(String::as_str).zip(node.xattrs.values().map(Vec::as_slice)),
        )?;
    }
    let mut device = |kind, major, minor| {
        header.set_entry_type(kind);
        header.set_device_major(major)?;
        header.set_device_minor(minor)
    };
    match &node.kind {
        NodeKind::Directory => header.set_entry_type(tar::EntryType::Directory),
        NodeKind::File(content) => return append_file(cx, archive, path, header, content, progress),
        NodeKind::HardLink { to } => {
            header.set_entry_type(tar::EntryType::Link);
            return Ok(archive.append_link(&mut header, path, to.as_str())?);
        }
        NodeKind::Symlink { target } => {
            header.set_entry_type(tar::EntryType::Symlink);
            return Ok(archive.append_link(&mut header, path, target)?);
        }
        NodeKind::CharDevice { major, minor } => device(tar::EntryType::Char, *major, *minor)?,
        NodeKind::BlockDevice { major, minor } => device(tar::EntryType::Block, *major, *minor)?,
        NodeKind::Fifo => header.set_entry_type(tar::EntryType::Fifo),
        NodeKind::Socket => {
            cx.note(format!("`/{path}` is a socket and is left out: only a running program can make one"));
            return Ok(());
        }
    }
    Ok(archive.append_data(&mut header, path, io::empty())?)
}

fn append_file(
    cx: &Cx<'_>,
    archive: &mut tar::Builder<impl Write>,
    path: &str,
    mut header: tar::Header,
    content: &Content,
    progress: &Progress<'_>,
) -> Result<(), SquashfsError> {
    header.set_size(content.size());
    let inner = content.open().map_err(TreeError::Io)?;
    let mut from = Exactly { cx, inner, left: content.size(), more: false, progress };
    archive.append_data(&mut header, path, &mut from)?;
    if cx.cancel.is_cancelled() {
        return Err(TreeError::Cancelled.into());
    }
    if from.left > 0 || from.more {
        let (name, size) = if let Content::File { path, size, .. } = content {
            (path.clone(), *size)
        } else {
            (path.into(), 0)
        };
        let found = size - from.left + u64::from(from.more);
        return Err(TreeError::Changed { path: name, expected: size, found }.into());
    }
    Ok(())
}

/// A reader of as many bytes as were announced; what is missing or too much is noted.
struct Exactly<'a, R> {
    cx: &'a Cx<'a>,
    inner: R,
    left: u64,
    more: bool,
    progress: &'a Progress<'a>,
}

impl<R: Read> Read for Exactly<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.cx.cancel.is_cancelled() {
            return Ok(0);
        }
        if self.left == 0 {
            self.more = self.inner.read(&mut [0])? > 0;
            return Ok(0);
        }
        let length = (buffer.len() as u64).min(self.left) as usize;
        let length = self.inner.read(&mut buffer[..length])?;
        self.left -= length as u64;
        self.progress.add(length as u64);
        Ok(length)
    }
}

/// A squashfs image cannot be made.
#[derive(Debug, Error)]
pub enum SquashfsError {
    /// A file of the host.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The engine did not provide an input.
    #[error(transparent)]
    Input(#[from] MissingInput),
    /// What it is made of.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The program that makes it.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A size that the format does not have.
    #[error("`block-size` is {size}: write a power of two from 4KiB to 1MiB")]
    BlockSize {
        /// As it is in the plan.
        size: Bytes,
    },
    /// A level that the compressor does not have.
    #[error("`level` is {level}, and {}", levels(*compressor, *highest))]
    Level {
        /// Which.
        compressor: Compressor,
        /// As it is in the plan.
        level: u8,
        /// The highest it has, or 0.
        highest: u8,
    },
    /// A time that the format cannot hold.
    #[error("the epoch {epoch} is after 2106-02-07, the last day that a squashfs image can hold")]
    Epoch {
        /// Seconds since 1970-01-01 UTC.
        epoch: u64,
    },
    /// The root directory is not what the program can make.
    #[error(
        "`/` of the tree is {mode:04o} and belongs to {uid}:{gid}, and `mksquashfs` makes it 0755 and 0:0 only: add a `chmod` and `chown` of `/` to the tree's edits"
    )]
    Root {
        /// Permission bits.
        mode: u16,
        /// Numeric owner.
        uid: u32,
        /// Numeric group.
        gid: u32,
    },
}

fn levels(compressor: Compressor, highest: u8) -> String {
    match highest {
        0 => format!("{compressor} has no levels: leave it out"),
        _ => format!("{compressor} has 1 to {highest}: write one of them"),
    }
}

impl Explain for SquashfsError {
    fn class(&self) -> Class {
        match self {
            Self::Io(error) if error.kind() == io::ErrorKind::StorageFull => Class::Environment,
            Self::Io(_) => Class::Step,
            Self::Input(error) => error.class(),
            Self::Tree(error) => error.class(),
            Self::Run(error) => error.class(),
            Self::BlockSize { .. } | Self::Level { .. } | Self::Epoch { .. } | Self::Root { .. } => {
                Class::Plan
            }
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Tree(error) => error.hint(),
            Self::Run(error) => error.hint(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;

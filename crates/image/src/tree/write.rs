//! A tree to an artifact: a directory with the contents, and the manifest beside it.

use std::{
    fs::File,
    io::{self, Read, Write},
    sync::atomic::{AtomicUsize, Ordering},
};

use bootway_exec::Cx;
use bootway_plan::{Digest, Digester, Entry, EntryKind, Manifest, TreePath};
use camino::Utf8Path;

use super::{
    Backing, Content, Node, NodeKind, Stretch, Tree, TreeError, load::join, manifest_path, stretches,
};
use crate::progress::Progress;

/// How much is copied between two looks at the cancellation.
const STRIDE: u64 = 4 << 20;

/// Writes `tree` as an artifact at `dir`, which must not exist: a directory with everything that an ordinary user
/// can write, and `DIR.manifest` with the rest.
///
/// On disk, directories are 0755 and files 0644 or 0755, whatever the manifest says; devices, pipes and sockets are
/// in the manifest only. Symbolic links are made last, so nothing is ever written through one.
///
/// # Errors
///
/// If a file has changed since the tree was read, or anything cannot be read or written.
pub fn write(cx: &Cx<'_>, tree: &Tree, dir: &Utf8Path) -> Result<Manifest, TreeError> {
    check(tree)?;
    for (path, _) in tree.nodes.iter().filter(|(_, node)| node.kind == NodeKind::Directory) {
        fs_err::create_dir(join(dir, path))?;
    }
    let digests = write_files(cx, tree, dir)?;
    let mut manifest = Manifest::default();
    let mut digests = digests.into_iter();
    for (path, node) in &tree.nodes {
        if let NodeKind::HardLink { to } = &node.kind {
            fs_err::hard_link(join(dir, to), join(dir, path))?;
        }
        manifest.entries.insert(path.clone(), entry(node, || digests.next().expect("one for each file")));
    }
    for (path, node) in &tree.nodes {
        if let NodeKind::Symlink { target } = &node.kind {
            fs_err::os::unix::fs::symlink(target, join(dir, path))?;
        }
    }
    fs_err::write(manifest_path(dir), manifest.to_text())?;
    Ok(manifest)
}

/// The manifest's entry of `node`; `digest` is asked for regular files only.
pub(super) fn entry(node: &Node, digest: impl FnOnce() -> Digest) -> Entry {
    let kind = match &node.kind {
        NodeKind::Directory => EntryKind::Directory,
        NodeKind::File(content) => EntryKind::File { size: content.size(), digest: digest() },
        NodeKind::HardLink { to } => EntryKind::HardLink { to: to.clone() },
        NodeKind::Symlink { target } => EntryKind::Symlink { target: target.clone() },
        NodeKind::CharDevice { major, minor } => EntryKind::CharDevice { major: *major, minor: *minor },
        NodeKind::BlockDevice { major, minor } => EntryKind::BlockDevice { major: *major, minor: *minor },
        NodeKind::Fifo => EntryKind::Fifo,
        NodeKind::Socket => EntryKind::Socket,
    };
    Entry { mode: node.mode, uid: node.uid, gid: node.gid, kind, xattrs: node.xattrs.clone() }
}

/// Every file is in a directory of the tree, and every hard link leads to a file before it.
fn check(tree: &Tree) -> Result<(), TreeError> {
    let is = |path: &TreePath, wanted: fn(&NodeKind) -> bool| {
        tree.nodes.get(path).is_some_and(|node| wanted(&node.kind))
    };
    let is_directory = |kind: &NodeKind| *kind == NodeKind::Directory;
    if !is(&TreePath::root(), is_directory) {
        return Err(TreeError::NotADirectory { path: TreePath::root() });
    }
    for (path, node) in &tree.nodes {
        if let Some(parent) = path.parent()
            && !is(&parent, is_directory)
        {
            return Err(TreeError::NotADirectory { path: parent });
        }
        if let NodeKind::HardLink { to } = &node.kind
            && (to >= path || !is(to, |kind| matches!(kind, NodeKind::File(_))))
        {
            return Err(TreeError::NotAFile { path: to.clone() });
        }
    }
    Ok(())
}

/// Writes the regular files on as many threads as the step may use; their digests in the order of the tree.
fn write_files(cx: &Cx<'_>, tree: &Tree, dir: &Utf8Path) -> Result<Vec<Digest>, TreeError> {
    let files: Vec<(&TreePath, &Node, &Content)> =
        tree.nodes
            .iter()
            .filter_map(|(path, node)| {
                if let NodeKind::File(content) = &node.kind { Some((path, node, content)) } else { None }
            })
            .collect();
    let progress = Progress::bytes(cx, files.iter().map(|(_, _, content)| content.size()).sum());
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        let mut buffer = vec![0; 256 << 10];
        while let Some((path, node, content)) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            let digest = write_file(cx, &join(dir, path), node.mode, content, &mut buffer, &progress)?;
            done.push((*path, digest));
        }
        Ok(done)
    };
    let mut digests = if cx.jobs < 2 || files.len() < 2 {
        work()?
    } else {
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..cx.jobs.min(8)).map(|_| scope.spawn(work)).collect();
            let results: Vec<Result<_, TreeError>> =
                threads.into_iter().map(|thread| thread.join().expect("a writer does not panic")).collect();
            results.into_iter().collect::<Result<Vec<_>, _>>().map(|parts| parts.concat())
        })?
    };
    digests.sort_unstable();
    Ok(digests.into_iter().map(|(_, digest)| digest).collect())
}

fn write_file(
    cx: &Cx<'_>,
    to: &Utf8Path,
    mode: u16,
    content: &Content,
    buffer: &mut [u8],
    progress: &Progress<'_>,
) -> Result<Digest, TreeError> {
    let mode = if mode & 0o111 == 0 { 0o644 } else { 0o755 };
    let mut options = fs_err::OpenOptions::new();
    fs_err::os::unix::fs::OpenOptionsExt::mode(options.write(true).create_new(true), mode);
    let mut file = options.open(to)?;
    match content {
        Content::Bytes(bytes) => {
            file.write_all(bytes)?;
            progress.add(bytes.len() as u64);
            Ok(Digest::of(bytes))
        }
        Content::File { path, size, digest } => {
            let mut from = fs_err::File::open(path)?;
            let (copied, digest) = match digest {
                Some(digest) => (copy(cx, from.file(), file.file(), to, progress)?, *digest),
                None => copy_and_digest(cx, &mut from, &mut file, buffer, progress)?,
            };
            if copied != *size {
                return Err(TreeError::Changed { path: path.clone(), expected: *size, found: copied });
            }
            Ok(digest)
        }
        Content::Slices { file: from, slices, size } => {
            let digest = copy_slices(cx, from, stretches(slices, *size, 0, *size), &file, buffer, progress)?;
            file.set_len(*size)?;
            Ok(digest)
        }
    }
}

/// Copies what is not a hole; the digest of all of it.
fn copy_slices(
    cx: &Cx<'_>,
    from: &Backing,
    stretches: impl Iterator<Item = Stretch>,
    to: &fs_err::File,
    buffer: &mut [u8],
    progress: &Progress<'_>,
) -> Result<Digest, TreeError> {
    let (mut digester, mut at) = (Digester::default(), 0);
    for stretch in stretches {
        let (offset, len) = match stretch {
            Stretch::Data { offset, len } => (Some(offset), len),
            Stretch::Hole { len } => (None, len),
        };
        let mut done = 0;
        while done < len {
            if cx.cancel.is_cancelled() {
                return Err(TreeError::Cancelled);
            }
            let piece = (len - done).min(buffer.len() as u64);
            let bytes = &mut buffer[..piece as usize];
            if let Some(offset) = offset {
                from.read_exact_at(bytes, offset + done)?;
                std::os::unix::fs::FileExt::write_all_at(to.file(), bytes, at)?;
            } else {
                bytes.fill(0);
            }
            digester.update(bytes);
            progress.add(piece);
            done += piece;
            at += piece;
        }
    }
    Ok(digester.finish())
}

/// The kernel copies, or shares the blocks where the file system can.
fn copy(
    cx: &Cx<'_>,
    mut from: &File,
    mut to: &File,
    name: &Utf8Path,
    progress: &Progress<'_>,
) -> Result<u64, TreeError> {
    let mut total = 0;
    loop {
        if cx.cancel.is_cancelled() {
            return Err(TreeError::Cancelled);
        }
        let copied = io::copy(&mut (&mut from).take(STRIDE), &mut to)
            .map_err(|error| io::Error::new(error.kind(), format!("cannot write `{name}`: {error}")))?;
        if copied == 0 {
            return Ok(total);
        }
        total += copied;
        progress.add(copied);
    }
}

fn copy_and_digest(
    cx: &Cx<'_>,
    from: &mut impl Read,
    to: &mut impl Write,
    buffer: &mut [u8],
    progress: &Progress<'_>,
) -> Result<(u64, Digest), TreeError> {
    let mut digester = Digester::default();
    let mut total = 0;
    loop {
        if cx.cancel.is_cancelled() {
            return Err(TreeError::Cancelled);
        }
        let length = from.read(buffer)?;
        if length == 0 {
            return Ok((total, digester.finish()));
        }
        digester.update(&buffer[..length]);
        to.write_all(&buffer[..length])?;
        total += length as u64;
        progress.add(length as u64);
    }
}

#[cfg(test)]
mod tests;

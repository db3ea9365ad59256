//! Trees to layers: tar archives that are the same each time.

use std::{
    collections::BTreeMap,
    io::{self, BufWriter, Read, Write},
};

use bootway_exec::Cx;
use bootway_plan::{Digest, Digester, TreePath, step::Compression};
use camino::Utf8Path;

use super::{error::OciError, gzip::Gzip};
use crate::{
    compress::Encoder,
    format::tar::{self, Member, kind},
    progress::Progress,
    tree::{Content, Node, NodeKind, Tree, TreeError},
};

/// How much is copied between two looks at the cancellation.
const STRIDE: usize = 256 << 10;
/// What layers hide files with.
const WHITEOUT: &str = ".wh.";

/// Files of one layer, by path; their directories too, so that modes and owners are right whatever is below.
pub(super) type Files<'a> = BTreeMap<&'a TreePath, &'a Node>;

/// A layer that was written.
pub(super) struct Written {
    pub(super) digest: Digest,
    pub(super) size: u64,
    /// Of the archive before it was compressed.
    pub(super) diff_id: Digest,
}

/// Cuts `tree` into layers: one for each list of paths, and one for the rest if there is any.
///
/// All names of a file are in the layer of the first one: a link cannot lead from one layer into another.
pub(super) fn cut<'a>(tree: &'a Tree, layers: &[Vec<TreePath>]) -> Result<Vec<Files<'a>>, OciError> {
    check(tree)?;
    let place = |path: &TreePath| {
        let mut at = Some(path.clone());
        while let Some(prefix) = at {
            if let Some(index) = layers.iter().position(|paths| paths.contains(&prefix)) {
                return index;
            }
            at = prefix.parent();
        }
        layers.len()
    };
    let mut cut: Vec<Files<'a>> = vec![BTreeMap::new(); layers.len() + 1];
    for (path, node) in &tree.nodes {
        let first = if let NodeKind::HardLink { to } = &node.kind { to } else { path };
        let files = &mut cut[place(first)];
        let is_plain = *node == Node::new(0o755, NodeKind::Directory);
        if !path.is_root() || !is_plain {
            files.insert(path, node);
        }
        // Whatever has no parent here is in a layer below whose directories are those of the tree.
        let mut parent = path.parent();
        while let Some((path, node)) = parent.and_then(|path| tree.nodes.get_key_value(&path)) {
            if path.is_root() || files.insert(path, node).is_some() {
                break;
            }
            parent = path.parent();
        }
    }
    let absent = |(files, paths): (&Files<'_>, &Vec<TreePath>)| {
        paths.iter().find(|path| !files.contains_key(path)).cloned()
    };
    if let Some(path) = cut.iter().zip(layers).find_map(absent) {
        return Err(OciError::NoFiles { path });
    }
    let rest = cut.pop().expect("there is one more than lists");
    // What has nothing but directories of other layers needs no layer.
    let is_in_others = |path: &TreePath| cut.iter().any(|files| files.contains_key(path));
    if cut.is_empty() || rest.keys().any(|path| !is_in_others(path)) {
        cut.push(rest);
    }
    Ok(cut)
}

/// What no layer can hold.
fn check(tree: &Tree) -> Result<(), OciError> {
    for (path, node) in &tree.nodes {
        if node.kind == NodeKind::Socket {
            return Err(OciError::Socket { path: path.clone() });
        }
        if path.name().starts_with(WHITEOUT) {
            return Err(OciError::Whiteout { path: path.clone() });
        }
        if let Some(name) = node.xattrs.keys().find(|name| name.contains('=')) {
            return Err(OciError::Xattr { path: path.clone(), name: name.clone() });
        }
    }
    Ok(())
}

/// Writes a layer to the new file `to`.
pub(super) fn write(
    cx: &Cx<'_>,
    files: &Files<'_>,
    compression: Compression,
    to: &Utf8Path,
    progress: &Progress<'_>,
) -> Result<Written, OciError> {
    let file = BufWriter::with_capacity(1 << 20, fs_err::File::create_new(to)?);
    let packed = Counted::new(file);
    let packer = match compression {
        Compression::Gzip => Packer::Gzip(Gzip::new(packed, cx.jobs)),
        other => Packer::Other(Encoder::new(other, packed)?),
    };
    let mut archive = Counted::new(packer);
    for (path, node) in files {
        if cx.cancel.is_cancelled() {
            return Err(OciError::Cancelled);
        }
        add(cx, &mut archive, path, node, progress)?;
    }
    archive.write_all(&tar::END)?;
    let (packer, diff_id, _) = archive.finish();
    let packed = match packer {
        Packer::Gzip(gzip) => gzip.finish()?,
        Packer::Other(encoder) => encoder.finish()?,
    };
    let (mut file, digest, size) = packed.finish();
    file.flush()?;
    Ok(Written { digest, size, diff_id })
}

fn add<W: Write>(
    cx: &Cx<'_>,
    to: &mut Counted<W>,
    path: &TreePath,
    node: &Node,
    progress: &Progress<'_>,
) -> Result<(), OciError> {
    let (mut size, mut link, mut device) = (0, "", (0, 0));
    let kind = match &node.kind {
        NodeKind::Directory => kind::DIRECTORY,
        NodeKind::File(content) => {
            size = content.size();
            kind::FILE
        }
        NodeKind::HardLink { to } => {
            link = to.as_str();
            kind::HARD_LINK
        }
        NodeKind::Symlink { target } => {
            link = target;
            kind::SYMLINK
        }
        NodeKind::CharDevice { major, minor } => {
            device = (*major, *minor);
            kind::CHAR_DEVICE
        }
        NodeKind::BlockDevice { major, minor } => {
            device = (*major, *minor);
            kind::BLOCK_DEVICE
        }
        NodeKind::Fifo => kind::FIFO,
        NodeKind::Socket => return Err(OciError::Socket { path: path.clone() }),
    };
    let name = match (kind, path.is_root()) {
        (_, true) => "./".to_owned(),
        (kind::DIRECTORY, _) => format!("{}/", path.as_str()),
        _ => path.as_str().to_owned(),
    };
    let member = Member {
        path: &name,
        link,
        kind,
        mode: node.mode,
        uid: node.uid,
        gid: node.gid,
        size,
        mtime: cx.epoch,
        device,
        // The names of a file have one set of them, which is with the first.
        xattrs: (kind != kind::HARD_LINK).then_some(&node.xattrs),
    };
    to.write_all(&tar::encode(&member))?;
    if let NodeKind::File(content) = &node.kind {
        copy(cx, to, path, content, progress)?;
        to.write_all(tar::padding(size))?;
    }
    Ok(())
}

fn copy<W: Write>(
    cx: &Cx<'_>,
    to: &mut Counted<W>,
    path: &TreePath,
    content: &Content,
    progress: &Progress<'_>,
) -> Result<(), OciError> {
    let expected = content.size();
    // One byte more than expected shows that the file has grown.
    let mut from = content.open()?.take(expected + 1);
    let mut buffer = vec![0; STRIDE.min(expected as usize + 1)];
    let mut found = 0;
    loop {
        if cx.cancel.is_cancelled() {
            return Err(OciError::Cancelled);
        }
        let length = from.read(&mut buffer)?;
        found += length as u64;
        if length == 0 || found > expected {
            break;
        }
        to.write_all(&buffer[..length])?;
        progress.add(length as u64);
    }
    if found == expected {
        return Ok(());
    }
    let path = match content {
        Content::File { path, .. } => path.clone(),
        Content::Slices { file, .. } => file.path().to_owned(),
        Content::Bytes(_) => path.as_str().into(),
    };
    Err(TreeError::Changed { path, expected, found }.into())
}

/// What compresses a layer.
enum Packer<W: Write> {
    Gzip(Gzip<W>),
    Other(Encoder<W>),
}

impl<W: Write> Write for Packer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Gzip(gzip) => gzip.write(bytes),
            Self::Other(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Gzip(gzip) => gzip.flush(),
            Self::Other(encoder) => encoder.flush(),
        }
    }
}

/// A writer that digests and counts what goes through it.
struct Counted<W> {
    to: W,
    size: u64,
    digester: Digester,
}

impl<W> Counted<W> {
    fn new(to: W) -> Self {
        Self { to, size: 0, digester: Digester::default() }
    }

    fn finish(self) -> (W, Digest, u64) {
        (self.to, self.digester.finish(), self.size)
    }
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = self.to.write(bytes)?;
        self.digester.update(&bytes[..len]);
        self.size += len as u64;
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

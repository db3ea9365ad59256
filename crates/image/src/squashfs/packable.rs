//! A tree as the squashfs writer wants it.

use std::{collections::BTreeMap, os::unix::fs::MetadataExt, sync::Arc};

use bootway_exec::Cx;
use bootway_plan::TreePath;
use bootway_squashfs::{Ident, Kind, Piece};
use camino::Utf8Path;

use super::SquashfsError;
use crate::tree::{Content, Node, NodeKind, Slice, Tree, TreeError};

/// How many files a note names at most.
const MAX_NAMED: usize = 5;

/// `tree`, every file of which was changed at `mtime`, seconds since 1970.
///
/// What is in files of the host stays there; what they are now is noted, so that the writer notices a change.
pub(super) fn packable(
    cx: &Cx<'_>,
    tree: &Tree,
    mtime: u32,
) -> Result<bootway_squashfs::Tree, SquashfsError> {
    let mut packable = bootway_squashfs::Tree::new(bootway_squashfs::Node::directory(0o755).mtime(mtime))?;
    let mut listed = Vec::new();
    for (path, node) in &tree.nodes {
        // With a slash before it, as errors should show it.
        let name = path.to_string();
        if cx.cancel.is_cancelled() {
            return Err(TreeError::Cancelled.into());
        }
        if let NodeKind::HardLink { to } = &node.kind {
            let first = packable.find(to.as_str()).ok_or_else(|| TreeError::NotAFile { path: to.clone() })?;
            packable.link(name, first)?;
            continue;
        }
        let mut packed =
            bootway_squashfs::Node::new(node.mode, kind(node)?).owner(node.uid, node.gid).mtime(mtime);
        for (attribute, value) in &node.xattrs {
            // The format has no number for these: access control lists, as a rule.
            if attribute.starts_with("system.") {
                listed.push((path, attribute));
            } else {
                packed = packed.xattr(attribute, value);
            }
        }
        packable.insert(name, packed)?;
    }
    if !listed.is_empty() {
        cx.note(dropped(&listed));
    }
    Ok(packable)
}

fn kind(node: &Node) -> Result<Kind, TreeError> {
    Ok(match &node.kind {
        NodeKind::Directory => Kind::Directory(BTreeMap::new()),
        NodeKind::File(Content::Bytes(bytes)) => {
            Kind::File(bootway_squashfs::Content::Bytes(Arc::clone(bytes)))
        }
        NodeKind::File(Content::File { path, size, .. }) => {
            let ident = ident(path, *size)?;
            Kind::File(bootway_squashfs::Content::File { path: path.as_std_path().into(), ident })
        }
        NodeKind::File(Content::Slices { file, slices, size }) => {
            let piece = |it: &Slice| Piece { at: it.at, offset: it.offset, size: it.len };
            Kind::File(bootway_squashfs::Content::Pieces {
                file: Arc::clone(file.file()),
                pieces: slices.iter().map(piece).collect(),
                size: *size,
            })
        }
        NodeKind::HardLink { to } => return Err(TreeError::NotAFile { path: to.clone() }),
        NodeKind::Symlink { target } => Kind::Symlink(target.as_bytes().into()),
        NodeKind::CharDevice { major, minor } => Kind::CharDevice { major: *major, minor: *minor },
        NodeKind::BlockDevice { major, minor } => Kind::BlockDevice { major: *major, minor: *minor },
        NodeKind::Fifo => Kind::Fifo,
        NodeKind::Socket => Kind::Socket,
    })
}

/// What the file at `path` is now; it must have the size that it had when the tree was made.
fn ident(path: &Utf8Path, size: u64) -> Result<Ident, TreeError> {
    let now = fs_err::symlink_metadata(path)?;
    if now.len() != size {
        return Err(TreeError::Changed { path: path.to_owned(), expected: size, found: now.len() });
    }
    let nanoseconds = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
    Ok(Ident {
        dev: now.dev(),
        ino: now.ino(),
        size,
        mtime: nanoseconds(now.mtime(), now.mtime_nsec()),
        ctime: nanoseconds(now.ctime(), now.ctime_nsec()),
    })
}

/// Says which extended attributes are left out.
fn dropped(listed: &[(&TreePath, &String)]) -> String {
    let named: Vec<String> =
        listed.iter().take(MAX_NAMED).map(|(path, name)| format!("`{name}` of `{path}`")).collect();
    let more = match listed.len().saturating_sub(MAX_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("left out, since squashfs has no place for access control lists: {}{more}", named.join(", "))
}

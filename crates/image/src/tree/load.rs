//! Reading a tree: a step's output with its manifest, or any directory.

use std::{
    collections::BTreeMap,
    ffi::{CString, OsStr},
    fs::Metadata,
    io,
    os::unix::{
        ffi::OsStrExt,
        fs::{FileTypeExt, MetadataExt},
    },
};

use bootway_exec::{Cancel, Cx};
use bootway_plan::{EntryKind, Source, TreePath, step::Owners};
use camino::{Utf8Path, Utf8PathBuf};

use super::{Content, Node, NodeKind, Tree, TreeError, read_manifest};

/// Reads what the plan calls `source`, without reading the contents of its files.
///
/// What a step made comes with its manifest, and `owners` says nothing about it; any other directory is walked.
///
/// # Errors
///
/// If it is not a tree, has a name that is not UTF-8, or cannot be read.
pub(crate) fn load(cx: &Cx<'_>, source: &Source, owners: Owners) -> Result<Tree, TreeError> {
    let input = cx.input(source)?;
    if !fs_err::metadata(&input.path)?.is_dir() {
        return Err(TreeError::NotATree { name: source.clone() });
    }
    if input.made { load_made(&input.path) } else { load_directory(&input.path, owners, cx.cancel) }
}

/// Reads the tree artifact at `dir`.
pub(crate) fn load_made(dir: &Utf8Path) -> Result<Tree, TreeError> {
    let manifest = read_manifest(dir)?;
    let nodes = manifest.entries.into_iter().map(|(path, entry)| {
        let kind = match entry.kind {
            EntryKind::Directory => NodeKind::Directory,
            EntryKind::File { size, digest } => {
                NodeKind::File(Content::File { path: dir.join(path.as_str()), size, digest: Some(digest) })
            }
            EntryKind::HardLink { to } => NodeKind::HardLink { to },
            EntryKind::Symlink { target } => NodeKind::Symlink { target },
            EntryKind::CharDevice { major, minor } => NodeKind::CharDevice { major, minor },
            EntryKind::BlockDevice { major, minor } => NodeKind::BlockDevice { major, minor },
            EntryKind::Fifo => NodeKind::Fifo,
            EntryKind::Socket => NodeKind::Socket,
        };
        (path, Node { mode: entry.mode, uid: entry.uid, gid: entry.gid, xattrs: entry.xattrs, kind })
    });
    Ok(Tree { nodes: nodes.collect() })
}

/// Walks `dir`. Symbolic links are kept as they are and never followed, except for `dir` itself.
pub(crate) fn load_directory(dir: &Utf8Path, owners: Owners, cancel: &Cancel) -> Result<Tree, TreeError> {
    let mut tree = Tree::default();
    let mut first_names = BTreeMap::new();
    let root = fs_err::metadata(dir)?;
    tree.nodes.insert(TreePath::root(), node(dir, &root, owners, NodeKind::Directory)?);
    let mut todo = vec![TreePath::root()];
    while let Some(parent) = todo.pop() {
        if cancel.is_cancelled() {
            return Err(TreeError::Cancelled);
        }
        let host_dir = join(dir, &parent);
        for entry in fs_err::read_dir(&host_dir)? {
            let entry = entry?;
            let path = parent.join(utf8(&host_dir, &entry.file_name())?).map_err(io::Error::other)?;
            let host = join(dir, &path);
            let metadata = entry.metadata()?;
            let kind = kind(&host_dir, &host, &metadata)?;
            if kind == NodeKind::Directory {
                todo.push(path.clone());
            }
            if metadata.nlink() > 1 && matches!(kind, NodeKind::File(_)) && owners == Owners::Keep {
                first_names
                    .entry((metadata.dev(), metadata.ino()))
                    .or_insert_with(Vec::new)
                    .push(path.clone());
            }
            tree.nodes.insert(path, node(&host, &metadata, owners, kind)?);
        }
    }
    for mut names in first_names.into_values() {
        names.sort_unstable();
        for name in &names[1..] {
            let node = tree.nodes.get_mut(name).expect("every name was inserted above");
            node.kind = NodeKind::HardLink { to: names[0].clone() };
        }
    }
    Ok(tree)
}

/// `path` of a tree whose root is `dir` on the host.
pub(crate) fn join(dir: &Utf8Path, path: &TreePath) -> Utf8PathBuf {
    if path.is_root() { dir.to_owned() } else { dir.join(path.as_str()) }
}

fn node(host: &Utf8Path, metadata: &Metadata, owners: Owners, kind: NodeKind) -> Result<Node, TreeError> {
    let bits = (metadata.mode() & 0o7777) as u16;
    match owners {
        Owners::Root => {
            let mode = match &kind {
                NodeKind::Directory => 0o755,
                NodeKind::Symlink { .. } => 0o777,
                NodeKind::File(_) if bits & 0o100 != 0 => 0o755,
                _ => 0o644,
            };
            Ok(Node::new(mode, kind))
        }
        Owners::Keep => {
            let xattrs = xattrs(host)?;
            Ok(Node { mode: bits, uid: metadata.uid(), gid: metadata.gid(), xattrs, kind })
        }
    }
}

fn kind(host_dir: &Utf8Path, host: &Utf8Path, metadata: &Metadata) -> Result<NodeKind, TreeError> {
    let file_type = metadata.file_type();
    let device = metadata.rdev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    Ok(if file_type.is_dir() {
        NodeKind::Directory
    } else if file_type.is_file() {
        NodeKind::File(Content::File { path: host.to_owned(), size: metadata.len(), digest: None })
    } else if file_type.is_symlink() {
        let target = fs_err::read_link(host)?;
        NodeKind::Symlink { target: utf8(host_dir, target.as_os_str())?.to_owned() }
    } else if file_type.is_char_device() {
        NodeKind::CharDevice { major, minor }
    } else if file_type.is_block_device() {
        NodeKind::BlockDevice { major, minor }
    } else if file_type.is_fifo() {
        NodeKind::Fifo
    } else {
        NodeKind::Socket
    })
}

fn utf8<'a>(dir: &Utf8Path, name: &'a OsStr) -> Result<&'a str, TreeError> {
    name.to_str().ok_or_else(|| {
        let escaped = name.as_bytes().utf8_chunks().map(|chunk| {
            let invalid: String = chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")).collect();
            format!("{}{invalid}", chunk.valid())
        });
        TreeError::NotUtf8 { dir: dir.to_owned(), escaped: escaped.collect() }
    })
}

/// How XFS shows access control lists to root, besides showing them as everyone does.
const ALIASES: [&[u8]; 2] = [b"trusted.SGI_ACL_FILE", b"trusted.SGI_ACL_DEFAULT"];

/// Extended attributes of `host` itself, not of what it links to; none where the file system has none.
fn xattrs(host: &Utf8Path) -> Result<BTreeMap<String, Vec<u8>>, TreeError> {
    let failed = |error: rustix::io::Errno| {
        let error = io::Error::from(error);
        TreeError::Io(io::Error::new(
            error.kind(),
            format!("cannot read extended attributes of `{host}`: {error}"),
        ))
    };
    let mut names = vec![0; 64 << 10]; // XATTR_LIST_MAX
    let length = match rustix::fs::llistxattr(host.as_std_path(), &mut names[..]) {
        Ok(length) => length,
        Err(rustix::io::Errno::OPNOTSUPP) => 0,
        Err(error) => return Err(failed(error)),
    };
    let mut found = BTreeMap::new();
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        if ALIASES.contains(&name) {
            continue;
        }
        let c_name = CString::new(name).expect("split at NUL");
        let mut value = vec![0; 64 << 10]; // XATTR_SIZE_MAX
        let length = rustix::fs::lgetxattr(host.as_std_path(), &c_name, &mut value[..]).map_err(failed)?;
        value.truncate(length);
        found.insert(utf8(host, OsStr::from_bytes(name))?.to_owned(), value);
    }
    Ok(found)
}

#[cfg(test)]
mod tests;

//! Everything in a file system, as a tree.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    sync::Arc,
};

use bootway_exec::Cancel;
use bootway_plan::TreePath;

use super::{
    ROOT,
    directory::{self, DirEntry},
    error::{ExtError, Structure},
    inode::{ENCRYPTED, INLINE, Inode, Type},
    mapping,
    pass::Pass,
    superblock::Super,
    window::Window,
    xattr::{self, Shared},
};
use crate::{
    Content, Node, NodeKind, Tree,
    tree::{Backing, Slice},
};

/// More than any image has; a damaged one may say that it has more.
const MOST_FILES: u64 = 8 << 20;
/// `PATH_MAX`, without the NUL.
const LONGEST_PATH: usize = 4095;
/// Bytes of paths that a file system may have without having as many in its directories.
const FREE_PATHS: u64 = 64 << 20;
/// As many files as are told of by name when they are left out.
const MOST_LEFT: usize = 1000;

/// A directory that is yet to be read.
struct Todo {
    path: TreePath,
    inode: Inode,
    parent: u32,
}

/// What becomes of a name or a link that is not UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Names {
    /// It is left out.
    Utf8,
    /// What is not UTF-8 is replaced, which is enough to look for something.
    Replaced,
}

struct Walk<'a> {
    pass: Pass<'a>,
    shared: Shared,
    tree: Tree,
    todo: Vec<Todo>,
    /// Directories and files that were come by.
    seen: HashSet<u32>,
    /// Names of each regular file that has several, and how many it may have.
    names: HashMap<u32, (u16, Vec<TreePath>)>,
    left: Vec<String>,
    left_more: u64,
    names_as: Names,
    files: u64,
    path_bytes: u64,
    entry_bytes: u64,
}

/// Everything in the file system, and what could not be taken.
pub(super) fn tree(
    window: &Window,
    sup: &Super,
    names_as: Names,
    cancel: &Cancel,
) -> Result<(Tree, Vec<String>), ExtError> {
    let mut walk = Walk {
        pass: Pass::new(window, sup, cancel),
        shared: Shared::default(),
        tree: Tree::default(),
        todo: Vec::new(),
        seen: HashSet::new(),
        names: HashMap::new(),
        left: Vec::new(),
        left_more: 0,
        names_as,
        files: 0,
        path_bytes: 0,
        entry_bytes: 0,
    };
    if sup.facts.needs_recovery {
        let text = "its journal has changes that were not played back: files are as they are without them";
        walk.left.push(text.to_owned());
    }
    let root = walk.pass.inode(ROOT)?;
    if root.kind() != Type::Directory {
        let offset = window.absolute(root.at);
        let problem = "the root is no directory".to_owned();
        return Err(ExtError::Damaged { structure: Structure::Inode(ROOT), offset, problem });
    }
    walk.seen.insert(ROOT);
    walk.add(TreePath::root(), root, ROOT)?;
    while let Some(todo) = walk.todo.pop() {
        walk.directory(&todo)?;
    }
    Ok(walk.finish())
}

impl Walk<'_> {
    fn leave(&mut self, text: String) {
        if self.left.len() < MOST_LEFT { self.left.push(text) } else { self.left_more += 1 }
    }

    fn directory(&mut self, todo: &Todo) -> Result<(), ExtError> {
        let mut entries = directory::entries(&mut self.pass, &todo.inode, todo.parent)?;
        // Their inodes are read one behind the other then.
        entries.sort_by_key(|entry| entry.inode);
        for entry in entries {
            self.files += 1;
            if self.files > MOST_FILES {
                return Err(ExtError::TooMuch { what: "files", limit: MOST_FILES });
            }
            self.entry_bytes += 8 + entry.name.len() as u64;
            let name = String::from_utf8_lossy(&entry.name);
            if matches!(name, Cow::Owned(_)) && self.names_as == Names::Utf8 {
                let name = entry.name.escape_ascii();
                self.leave(format!("`{name}` in `{}`: its name is not UTF-8", todo.path));
                continue;
            }
            let path = todo
                .path
                .join(&name)
                .map_err(|error| self.damaged(&todo.inode, &entry, &error.to_string()))?;
            self.path_bytes += path.as_str().len() as u64;
            if path.as_str().len() > LONGEST_PATH || self.path_bytes > FREE_PATHS + 32 * self.entry_bytes {
                return Err(self.damaged(
                    &todo.inode,
                    &entry,
                    "its path is too long: directories are too deep",
                ));
            }
            self.entry(todo, &entry, path)?;
        }
        Ok(())
    }

    fn damaged(&self, dir: &Inode, entry: &DirEntry, problem: &str) -> ExtError {
        ExtError::Damaged {
            structure: Structure::Directory(dir.number),
            offset: self.pass.window.absolute(entry.at),
            problem: format!("the entry `{}`: {problem}", entry.name.escape_ascii()),
        }
    }

    fn entry(&mut self, todo: &Todo, entry: &DirEntry, path: TreePath) -> Result<(), ExtError> {
        let inode = self.pass.inode(entry.inode)?;
        let kind = inode.kind();
        if ![0, kind.in_directory()].contains(&entry.kind) {
            let problem =
                format!("it says that it is of type {}, and its inode that it is {kind:?}", entry.kind);
            return Err(self.damaged(&todo.inode, entry, &problem));
        }
        if self.tree.nodes.contains_key(&path) {
            return Err(self.damaged(&todo.inode, entry, "the name is there twice"));
        }
        let is_first = self.seen.insert(entry.inode);
        if !is_first && kind == Type::Directory {
            let problem = format!("inode {} is a directory that is in two places, or in itself", entry.inode);
            return Err(self.damaged(&todo.inode, entry, &problem));
        }
        if !is_first && inode.links == 1 {
            let problem =
                format!("`i_links_count` of inode {} is 1, and this is its second name", entry.inode);
            return Err(self.damaged(&todo.inode, entry, &problem));
        }
        if kind == Type::File && inode.links > 1 {
            let (links, names) = self.names.entry(entry.inode).or_insert((inode.links, Vec::new()));
            if names.len() >= usize::from(*links) {
                let problem =
                    format!("`i_links_count` of inode {} is {links}, and it has more names", entry.inode);
                return Err(self.damaged(&todo.inode, entry, &problem));
            }
            names.push(path.clone());
            if !is_first {
                // Which of them is the first is known at the end.
                let kind = NodeKind::HardLink { to: TreePath::root() };
                let first = self.tree.nodes.get(&names[0]);
                if let Some(node) = first.map(|first| Node { kind, ..first.clone() }) {
                    self.tree.nodes.insert(path, node);
                }
                return Ok(());
            }
        }
        self.add(path, inode, todo.inode.number)
    }

    /// Puts what `inode` is at `path`.
    fn add(&mut self, path: TreePath, inode: Inode, parent: u32) -> Result<(), ExtError> {
        if inode.is(ENCRYPTED) {
            self.leave(format!("`{path}`: it is encrypted"));
            return Ok(());
        }
        let mut lost = Vec::new();
        let xattrs = xattr::attributes(&mut self.pass, &mut self.shared, &inode, &mut lost)?;
        for lost in lost {
            self.leave(format!("of `{path}`, {lost}"));
        }
        let kind = match inode.kind() {
            Type::Directory => NodeKind::Directory,
            Type::File => NodeKind::File(self.content(&inode)?),
            Type::Symlink => {
                let target = target(&mut self.pass, &inode)?;
                match String::from_utf8(target) {
                    Ok(target) => NodeKind::Symlink { target },
                    Err(error) if self.names_as == Names::Replaced => {
                        NodeKind::Symlink { target: String::from_utf8_lossy(error.as_bytes()).into_owned() }
                    }
                    Err(error) => {
                        let target = error.as_bytes().escape_ascii();
                        self.leave(format!("`{path}`: it links to `{target}`, which is not UTF-8"));
                        return Ok(());
                    }
                }
            }
            Type::CharDevice => {
                let (major, minor) = inode.device();
                NodeKind::CharDevice { major, minor }
            }
            Type::BlockDevice => {
                let (major, minor) = inode.device();
                NodeKind::BlockDevice { major, minor }
            }
            Type::Fifo => NodeKind::Fifo,
            Type::Socket => NodeKind::Socket,
        };
        let node = Node { mode: inode.mode & 0o7777, uid: inode.uid, gid: inode.gid, xattrs, kind };
        if node.kind == NodeKind::Directory {
            self.todo.push(Todo { path: path.clone(), inode, parent });
        }
        self.tree.nodes.insert(path, node);
        Ok(())
    }

    /// Where the content of a regular file is.
    fn content(&mut self, inode: &Inode) -> Result<Content, ExtError> {
        let slices = if inode.is(INLINE) {
            let pieces = inline_pieces(&self.pass, inode)?;
            let slice = |(at, offset, len): (u64, u64, u64)| Slice {
                at,
                offset: self.pass.window.absolute(offset),
                len,
            };
            pieces.into_iter().map(slice).collect()
        } else {
            let runs = mapping::runs(&mut self.pass, inode)?;
            let block = self.pass.sup.block_size;
            let slice = |run: &mapping::Run| {
                let at = run.logical * block;
                let len = (run.count * block).min(inode.size - at);
                Slice { at, offset: self.pass.window.absolute(run.physical * block), len }
            };
            runs.iter().map(slice).collect()
        };
        let file: &Arc<Backing> = self.pass.window.file();
        Ok(Content::Slices { file: Arc::clone(file), slices, size: inode.size })
    }

    /// Of several names of a file, the first has it.
    fn finish(mut self) -> (Tree, Vec<String>) {
        for (_, mut names) in self.names.into_values() {
            let has_it = names[0].clone();
            names.sort_unstable();
            let Some(content) = self.tree.nodes.get(&has_it).map(|node| node.kind.clone()) else { continue };
            for name in &names {
                let node = self.tree.nodes.get_mut(name).expect("all names of a file are there, or none");
                node.kind = if *name == names[0] {
                    content.clone()
                } else {
                    NodeKind::HardLink { to: names[0].clone() }
                };
            }
        }
        if self.left_more > 0 {
            self.left.push(format!("{} more", self.left_more));
        }
        (self.tree, self.left)
    }
}

/// What a symbolic link says.
pub(super) fn target(pass: &mut Pass<'_>, inode: &Inode) -> Result<Vec<u8>, ExtError> {
    let size = inode.size;
    let wrong = |pass: &Pass<'_>, wanted: String| ExtError::Field {
        structure: Structure::Inode(inode.number),
        offset: pass.window.absolute(inode.at + 4),
        field: "i_size",
        value: size,
        wanted,
    };
    let most = pass.sup.block_size.min(LONGEST_PATH as u64);
    if size == 0 || size > most {
        return Err(wrong(pass, format!("1 to {most} bytes for a symbolic link")));
    }
    let target = if inode.is(INLINE) {
        inline(pass, inode, most)?
    } else if inode.is_fast_symlink(pass.sup) {
        inode.block[..size as usize].to_vec()
    } else {
        xattr::content(pass, inode, most)?
    };
    if target.contains(&0) {
        return Err(ExtError::Damaged {
            structure: Structure::Content(inode.number),
            offset: pass.window.absolute(inode.at),
            problem: "a symbolic link with a NUL".to_owned(),
        });
    }
    Ok(target)
}

/// Where in the file system the content of a file is that is in its inode: in 60 bytes where the places of blocks would
/// be, and in an attribute. Place in the file, place in the file system, and length of each piece.
///
/// `mke2fs` 1.47 makes such files of big ones that are all hole: what is missing are zeros.
fn inline_pieces(pass: &Pass<'_>, inode: &Inode) -> Result<Vec<(u64, u64, u64)>, ExtError> {
    let first = inode.block.len() as u64;
    let mut pieces = vec![(0, inode.at + 40, first.min(inode.size))];
    if let Some((rest, at)) = xattr::inline_rest(pass, inode)?
        && inode.size > first
    {
        pieces.push((first, at, (rest.len() as u64).min(inode.size - first)));
    }
    pieces.retain(|(_, _, len)| *len > 0);
    Ok(pieces)
}

/// The content of a file that is in its inode, which has `limit` bytes at most.
pub(super) fn inline(pass: &Pass<'_>, inode: &Inode, limit: u64) -> Result<Vec<u8>, ExtError> {
    let mut bytes = vec![0; inode.size.min(limit) as usize];
    for (at, offset, len) in inline_pieces(pass, inode)? {
        let Some(part) = bytes.get_mut(at as usize..) else { break };
        let len = part.len().min(len as usize);
        pass.window.read(offset, &mut part[..len], Structure::Content(inode.number))?;
    }
    Ok(bytes)
}

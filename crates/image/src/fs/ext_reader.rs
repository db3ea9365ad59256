//! A reader of ext2, ext3 and ext4 that is somewhere in a file: no mount, no loop device, nothing written.
//!
//! [`ExtReader::tree`] gives everything in it as a [`Tree`] whose contents stay where they are. Every place and count is
//! looked at before it is used, each block of metadata is taken once, checksums are checked where there are some, and an
//! error names the structure and the byte of the image.
//!
//! Source: Linux `Documentation/filesystems/ext4/`, and `fs/ext4/` where that is silent.

mod directory;
mod error;
mod features;
mod inode;
mod mapping;
mod pass;
mod superblock;
mod walk;
mod window;
mod xattr;

use std::sync::Arc;

use bootway_exec::Cancel;
use bootway_plan::TreePath;
use camino::Utf8Path;

pub use self::{
    error::{ExtError, Structure},
    superblock::ExtFacts,
};
use self::{
    inode::{ENCRYPTED, INLINE, Inode, Type},
    pass::Pass,
    superblock::Super,
    walk::Names,
    window::Window,
};
use crate::{Tree, tree::Backing};

/// The inode of the root directory.
const ROOT: u32 = 2;
/// As many symbolic links as the kernel follows.
const MAX_LINKS: u32 = 40;

/// An ext2, ext3 or ext4 file system inside of a file, to be read only.
///
/// That its superblock forbids writing, as on a `ChromeOS` root, makes no difference here: [`ExtFacts`] says so.
///
/// ```no_run
/// use bootway_image::ExtReader;
///
/// let shim = ExtReader::open("shim.bin".as_ref(), 0x1234_0000, u64::MAX)?;
/// let release = shim.read(&"etc/lsb-release".parse()?, 1 << 20)?;
/// println!("{}: {}", shim.facts().name, String::from_utf8_lossy(&release));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ExtReader {
    window: Window,
    sup: Super,
}

/// What is in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtEntry {
    /// Its name; bytes that are not UTF-8 are replaced.
    pub name: String,
    /// Whether it is a directory.
    pub is_dir: bool,
    /// Whether it is a regular file.
    pub is_file: bool,
    /// Bytes.
    pub size: u64,
}

impl ExtReader {
    /// The file system from byte `offset` of the file at `path` on, which has `len` bytes at most.
    ///
    /// # Errors
    ///
    /// If there is none, it is cut, or needs something that is not known here.
    pub fn open(path: &Utf8Path, offset: u64, len: u64) -> Result<Self, ExtError> {
        Self::at(Backing::open(path)?, offset, len)
    }

    /// The same, in a file that is open already.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn at(file: Arc<Backing>, offset: u64, len: u64) -> Result<Self, ExtError> {
        let window = Window::new(file, offset, len);
        let sup = superblock::read(&window)?;
        Ok(Self { window, sup })
    }

    /// What the file system says about itself.
    pub const fn facts(&self) -> &ExtFacts {
        &self.sup.facts
    }

    /// Everything in it, and a sentence on each file that could not be taken: names that are not UTF-8, what is
    /// encrypted, and that a journal was not played back.
    ///
    /// Regular files are read only when their contents are.
    ///
    /// # Errors
    ///
    /// If anything in it is damaged, or `cancel` is.
    pub fn tree(&self, cancel: &Cancel) -> Result<(Tree, Vec<String>), ExtError> {
        walk::tree(&self.window, &self.sup, Names::Utf8, cancel)
    }

    /// The same with what is not UTF-8 replaced, to be looked at and not to be written.
    pub(crate) fn listing(&self) -> Result<Tree, ExtError> {
        let (tree, _) = walk::tree(&self.window, &self.sup, Names::Replaced, &Cancel::default())?;
        Ok(tree)
    }

    /// What is in the directory at `path`. Symbolic links are followed, and never lead out of the file system.
    ///
    /// # Errors
    ///
    /// If there is none, or it is damaged.
    pub fn list(&self, path: &TreePath) -> Result<Vec<ExtEntry>, ExtError> {
        let cancel = Cancel::default();
        let (inode, parent) = self.find(path)?;
        if inode.kind() != Type::Directory {
            return Err(ExtError::WrongKind { path: path.to_string(), wanted: "directory" });
        }
        let mut pass = Pass::new(&self.window, &self.sup, &cancel);
        let mut listed = Vec::new();
        for entry in directory::entries(&mut pass, &inode, parent)? {
            let inode = pass.inode(entry.inode)?;
            listed.push(ExtEntry {
                name: String::from_utf8_lossy(&entry.name).into_owned(),
                is_dir: inode.kind() == Type::Directory,
                is_file: inode.kind() == Type::File,
                size: inode.size,
            });
        }
        Ok(listed)
    }

    /// The content of the regular file at `path`, which has `limit` bytes at most. Symbolic links are followed, and never
    /// lead out of the file system.
    ///
    /// # Errors
    ///
    /// If there is none, it is bigger, or it is damaged.
    pub fn read(&self, path: &TreePath, limit: u64) -> Result<Vec<u8>, ExtError> {
        let cancel = Cancel::default();
        let (inode, _) = self.find(path)?;
        if inode.kind() != Type::File || inode.is(ENCRYPTED) {
            return Err(ExtError::WrongKind {
                path: path.to_string(),
                wanted: "regular file that can be read",
            });
        }
        if inode.size > limit {
            return Err(ExtError::TooBig { path: path.to_string(), size: inode.size, limit });
        }
        let mut pass = Pass::new(&self.window, &self.sup, &cancel);
        if inode.is(INLINE) {
            walk::inline(&pass, &inode, limit)
        } else {
            xattr::content(&mut pass, &inode, limit)
        }
    }

    /// The inode at `path` with all links followed, and that of the directory it is in.
    fn find(&self, path: &TreePath) -> Result<(Inode, u32), ExtError> {
        let cancel = Cancel::default();
        let not_found = || ExtError::NotFound { path: path.to_string() };
        let split = |path: &[u8]| -> Vec<Vec<u8>> {
            let names = path.split(|byte| *byte == b'/');
            names.filter(|name| !matches!(*name, b"" | b".")).rev().map(<[u8]>::to_vec).collect()
        };
        let mut todo = split(path.as_str().as_bytes());
        let mut links = 0;
        // The directories from the root on; the last one is where it looks.
        let mut above = vec![Pass::new(&self.window, &self.sup, &cancel).inode(ROOT)?];
        loop {
            let here = above.last().expect("the root is never taken away");
            let parent = if above.len() > 1 { above[above.len() - 2].number } else { ROOT };
            let Some(name) = todo.pop() else { return Ok((here.clone(), parent)) };
            if name == b".." {
                above.truncate((above.len() - 1).max(1));
                continue;
            }
            if here.kind() != Type::Directory {
                return Err(not_found());
            }
            // A new one each time: the same directory may be come by again.
            let mut pass = Pass::new(&self.window, &self.sup, &cancel);
            let entries = directory::entries(&mut pass, here, parent)?;
            let entry = entries.into_iter().find(|entry| entry.name == name).ok_or_else(not_found)?;
            let inode = pass.inode(entry.inode)?;
            match inode.kind() {
                Type::Symlink => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(not_found());
                    }
                    let target = walk::target(&mut pass, &inode)?;
                    if target.starts_with(b"/") {
                        above.truncate(1);
                    }
                    todo.extend(split(&target));
                }
                Type::Directory => above.push(inode),
                _ if todo.is_empty() => return Ok((inode, here.number)),
                _ => return Err(not_found()),
            }
        }
    }
}

#[cfg(test)]
mod tests;

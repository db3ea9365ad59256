//! A cpio archive to a tree.

use std::{collections::BTreeMap, io, sync::Arc};

use bootway_plan::TreePath;
use thiserror::Error;

use super::{Composer, Content, Node, NodeKind, Tree, TreeError};
use crate::format::cpio::{self, Header, ScanError};

/// A longer target is none: `PATH_MAX`.
const MAX_TARGET: usize = 4095;
/// More than any initramfs has.
const MAX_FILES: usize = 1 << 20;

impl Tree {
    /// The tree that the kernel unpacks from `archive`, one newc archive or several in a row with zeros between.
    ///
    /// Paths lead through symbolic links of the archive as they do when the kernel unpacks it, but never out of its root.
    ///
    /// # Errors
    ///
    /// If the archive is not whole, or has a file that cannot be.
    pub fn from_cpio(archive: &[u8]) -> Result<Self, CpioError> {
        let mut unpacked = Unpacked { composer: Composer::new(), first: BTreeMap::new(), files: 0 };
        let mut rest = archive;
        let mut begin = 0;
        while !rest.is_empty() {
            unpacked.first.clear();
            let mut wrong = None;
            let scanned = cpio::scan(&mut &*rest, u64::MAX >> 1, |header, name, data| {
                let mut content = Vec::new();
                data.read_to_end(&mut content)?;
                unpacked.take(header, name, content).map_err(|error| {
                    let text = error.to_string();
                    wrong = Some(error);
                    io::Error::other(text)
                })
            });
            let length = match (scanned, wrong) {
                (_, Some(error)) => return Err(error),
                (Err(error), None) => return Err(CpioError::Damaged { begin, source: boxed(error) }),
                (Ok(length), None) => length as usize,
            };
            // Zeros stand between archives, and behind the last one.
            let behind = &rest[length.min(rest.len())..];
            let zeros = behind.iter().take_while(|byte| **byte == 0).count();
            rest = &behind[zeros..];
            begin = archive.len() - rest.len();
        }
        Ok(unpacked.composer.finish())
    }
}

struct Unpacked {
    composer: Composer,
    /// First names of files with several, by inode number; the last name carries the data.
    first: BTreeMap<u32, Vec<TreePath>>,
    files: usize,
}

impl Unpacked {
    fn take(&mut self, header: &Header, name: &[u8], content: Vec<u8>) -> Result<(), CpioError> {
        let shown = || name.escape_ascii().to_string();
        self.files += 1;
        if self.files > MAX_FILES {
            return Err(CpioError::File {
                name: shown(),
                reason: format!("it is one of more than {MAX_FILES}"),
            });
        }
        let text = std::str::from_utf8(name)
            .map_err(|_| CpioError::File { name: shown(), reason: "its name is not UTF-8".to_owned() })?;
        let path: TreePath = text.parse().map_err(|_| CpioError::File {
            name: shown(),
            reason: "its name leads out of the root".to_owned(),
        })?;
        let (major, minor) = header.rdev;
        let kind = match header.mode & 0o170_000 {
            0o040_000 => NodeKind::Directory,
            0o100_000 => NodeKind::File(Content::Bytes(Arc::from(content))),
            0o120_000 => NodeKind::Symlink {
                target: target(content).map_err(|reason| CpioError::File { name: shown(), reason })?,
            },
            0o020_000 => NodeKind::CharDevice { major, minor },
            0o060_000 => NodeKind::BlockDevice { major, minor },
            0o010_000 => NodeKind::Fifo,
            0o140_000 => NodeKind::Socket,
            other => {
                let reason = format!("its type {other:#o} is none");
                return Err(CpioError::File { name: shown(), reason });
            }
        };
        let links = matches!(kind, NodeKind::File(_)) && header.nlink > 1;
        let node =
            Node { uid: header.uid, gid: header.gid, ..Node::new((header.mode & 0o7777) as u16, kind) };
        let placed = |source| CpioError::Place { name: shown(), source };
        let NodeKind::File(Content::Bytes(bytes)) = &node.kind else {
            self.composer.place(&path, node).map_err(placed)?;
            return Ok(());
        };
        if links {
            let names = self.first.entry(header.ino).or_default();
            let data = !bytes.is_empty();
            names.push(path.clone());
            let names = names.clone();
            if data {
                for other in &names {
                    self.composer.place(other, node.clone()).map_err(placed)?;
                }
                return Ok(());
            }
        }
        self.composer.place(&path, node).map_err(placed)?;
        Ok(())
    }
}

fn boxed(error: ScanError) -> Box<dyn std::error::Error + Send + Sync> {
    match error {
        ScanError::Io(error) => Box::new(error),
        ScanError::Invalid(error) => Box::new(error),
    }
}

fn target(content: Vec<u8>) -> Result<String, String> {
    if content.is_empty() || content.len() > MAX_TARGET {
        return Err(format!("its target has {} bytes: 1 to {MAX_TARGET} are allowed", content.len()));
    }
    let text = String::from_utf8(content).map_err(|_| "its target is not UTF-8".to_owned())?;
    let text = text.trim_end_matches('\0').to_owned();
    if text.is_empty() || text.contains('\0') { Err("its target has a NUL".to_owned()) } else { Ok(text) }
}

/// An archive cannot become a tree.
#[derive(Debug, Error)]
pub enum CpioError {
    /// It is not whole.
    #[error("the cpio archive that begins at byte {begin} is damaged")]
    Damaged {
        /// Of the archive, where there are several.
        begin: usize,
        /// How.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A file in it cannot be.
    #[error("`{name}` in the cpio archive cannot be taken: {reason}")]
    File {
        /// Its name, escaped.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A file in it has no place.
    #[error("`{name}` in the cpio archive has no place")]
    Place {
        /// Its name, escaped.
        name: String,
        /// Why.
        source: TreeError,
    },
}

#[cfg(test)]
mod tests;

//! Names and contents of whatever holds files: a tree, or a file system inside of a file.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt,
    path::PathBuf,
};

use bootway_exec::Cancel;
use bootway_plan::{InvalidManifest, TreePath, step::Owners};
use bootway_squashfs::read::{Entry, Image, ReadError, What};
use camino::{Utf8Path, Utf8PathBuf};
use thiserror::Error;

use crate::{
    Content, ExtError, ExtReader, Node, NodeKind, Tree,
    format::superblock::{self, START, Superblock},
    fs::{
        fat::FatReader,
        iso::{Extents, IsoError, IsoReader},
    },
    listing::{Attributes, Found, Listing},
    oci::{Container, Unreadable},
    tree::{self, TreeError, load_directory, load_made},
};

/// More than any image has; a damaged one may say that it has more.
pub(super) const MOST_FILES: usize = 8 << 20;
/// Deeper than any path that can be opened.
const MOST_LEVELS: usize = 512;

/// Something that holds files.
pub(crate) enum Volume<'a> {
    /// The directory of a tree artifact.
    Tree(&'a Utf8Path),
    /// Any other directory.
    Directory(&'a Utf8Path),
    /// What is in memory: an initramfs.
    Unpacked(Tree),
    Squashfs {
        image: Box<Image>,
        /// What the regular files are called; a name need not be UTF-8.
        paths: Vec<PathBuf>,
    },
    Ext {
        ext: Box<ExtReader>,
        /// Of the regular files.
        contents: Vec<Content>,
    },
    Fat {
        fat: FatReader<&'a File>,
        paths: Vec<String>,
    },
    Iso {
        iso: Box<IsoReader<'a>>,
        files: Vec<Extents>,
    },
    /// The layers of an image over each other.
    Container {
        container: &'a Container,
        image: usize,
    },
}

/// The first bytes at `start`, fewer at the end of the file.
pub(super) fn start_of(file: &File, start: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; START];
    let mut length = 0;
    while length < START {
        match file.read_at(&mut bytes[length..], start + length as u64)? {
            0 => break,
            more => length += more,
        }
    }
    bytes.truncate(length);
    Ok(bytes)
}

impl<'a> Volume<'a> {
    /// The file system at byte `start` of `file`, which is at `path`.
    pub(crate) fn open(path: &Utf8Path, file: &'a File, start: u64) -> Result<Self, Damaged> {
        // Before the others: what is before its descriptors may be anything.
        if let Some(iso) = IsoReader::open(file, start)? {
            return Ok(Self::Iso { iso: Box::new(iso), files: Vec::new() });
        }
        Ok(match superblock::parse(&start_of(file, start)?) {
            Some(Superblock::Squashfs) => {
                Self::Squashfs { image: Box::new(squashfs(file, start)?), paths: Vec::new() }
            }
            Some(Superblock::Ext(_)) => {
                Self::Ext { ext: Box::new(ExtReader::open(path, start, u64::MAX)?), contents: Vec::new() }
            }
            Some(Superblock::Fat(_)) => Self::Fat { fat: FatReader::open(file, start)?, paths: Vec::new() },
            None => return Err(Damaged::Unsupported("no file system is recognised".to_owned())),
        })
    }

    pub(crate) fn list(&mut self) -> Result<Listing, Damaged> {
        match self {
            Self::Tree(dir) => Ok(list_nodes(&load_made(dir)?.nodes)),
            Self::Directory(dir) => {
                Ok(list_nodes(&load_directory(dir, Owners::Keep, &Cancel::default())?.nodes))
            }
            Self::Unpacked(tree) => Ok(list_nodes(&tree.nodes)),
            Self::Squashfs { image, paths } => list_squashfs(image, paths),
            Self::Ext { ext, contents } => list_ext(ext, contents),
            Self::Fat { fat, paths } => list_fat(fat, paths),
            Self::Iso { iso, files } => Ok(iso.list(files)?),
            Self::Container { container, image } => {
                let files = container.stored.get(*image).map(|it| it.files.listing.files.clone());
                Ok(Listing::new(files.unwrap_or_default()))
            }
        }
    }

    /// The first `limit` bytes of a file.
    pub(crate) fn read(&mut self, path: &TreePath, number: u64, limit: u64) -> Result<Vec<u8>, Damaged> {
        match self {
            Self::Tree(dir) | Self::Directory(dir) => {
                let mut bytes = Vec::new();
                let file = fs_err::File::open(tree::join(dir, path))?;
                file.take(limit).read_to_end(&mut bytes)?;
                Ok(bytes)
            }
            Self::Unpacked(tree) => {
                let node = first_name(&tree.nodes, path).and_then(|path| tree.nodes.get(path));
                let Some(Node { kind: NodeKind::File(content), .. }) = node else {
                    return Err(no_such_file());
                };
                let mut bytes = Vec::new();
                content.open()?.take(limit).read_to_end(&mut bytes)?;
                Ok(bytes)
            }
            Self::Squashfs { image, paths } => {
                let path = paths.get(number as usize).ok_or_else(no_such_file)?;
                let mut bytes = Vec::new();
                let file = image.read(&image.entry(path)?)?;
                file.take(limit).read_to_end(&mut bytes)?;
                Ok(bytes)
            }
            Self::Ext { contents, .. } => {
                let content = contents.get(number as usize).ok_or_else(no_such_file)?;
                let mut bytes = Vec::new();
                content.open()?.take(limit).read_to_end(&mut bytes)?;
                Ok(bytes)
            }
            Self::Fat { fat, paths } => {
                let path = paths.get(number as usize).ok_or_else(no_such_file)?;
                Ok(fat.read(path, limit)?)
            }
            Self::Iso { iso, files } => {
                Ok(iso.read(files.get(number as usize).ok_or_else(no_such_file)?, limit)?)
            }
            Self::Container { container, image } => Ok(container.read_file(*image, number, limit)?),
        }
    }

    /// A file whose bytes are in one piece: the file on the host that has them, and where in it they begin.
    pub(super) fn place(
        &self,
        whole: &Utf8Path,
        path: &TreePath,
        number: u64,
    ) -> Result<(Utf8PathBuf, u64), Damaged> {
        match self {
            Self::Tree(dir) | Self::Directory(dir) => Ok((tree::join(dir, path), 0)),
            Self::Iso { iso, files } => {
                let extents = files.get(number as usize).ok_or_else(no_such_file)?;
                let at = iso.place(extents);
                let at = at.ok_or_else(|| Damaged::Unsupported(format!("`{path}` is in pieces")))?;
                Ok((whole.to_owned(), at))
            }
            _ => Err(Damaged::Unsupported("`inside` is for files of an ISO image or a tree".to_owned())),
        }
    }
}

/// The squashfs image from byte `start` of `file` on.
pub(super) fn squashfs(file: &File, start: u64) -> Result<Image, Damaged> {
    let length = file.metadata()?.len().saturating_sub(start);
    Ok(Image::at(file.try_clone()?, start, length)?)
}

fn no_such_file() -> Damaged {
    Damaged::Bytes("no such file".to_owned())
}

fn list_squashfs(image: &Image, paths: &mut Vec<PathBuf>) -> Result<Listing, Damaged> {
    let mut listing = Listing::default();
    paths.clear();
    for entry in image.entries() {
        let entry = entry?;
        if listing.files.len() > MOST_FILES || entry.path().components().count() > MOST_LEVELS {
            return Err(Damaged::Bytes("it has more files, or deeper ones, than can be".to_owned()));
        }
        let path = entry.path().to_string_lossy().parse();
        let path = path.map_err(|error: InvalidManifest| Damaged::Bytes(error.to_string()))?;
        let found = match &entry.stat().what {
            What::Directory => Found::Directory,
            What::File { size } => {
                paths.push(entry.path().to_owned());
                Found::File { size: *size, number: paths.len() as u64 - 1 }
            }
            What::Symlink { target } => {
                Found::Symlink { target: String::from_utf8_lossy(target).into_owned() }
            }
            What::CharDevice { .. } | What::BlockDevice { .. } | What::Fifo | What::Socket => Found::Other,
        };
        listing.attributes.insert(TreePath::clone(&path), attributes_of(image, &entry)?);
        listing.files.insert(path, found);
    }
    Ok(listing)
}

fn attributes_of(image: &Image, entry: &Entry) -> Result<Attributes, Damaged> {
    let stat = entry.stat();
    let special = match &stat.what {
        What::CharDevice { major, minor } => Some(device("character", *major, *minor)),
        What::BlockDevice { major, minor } => Some(device("block", *major, *minor)),
        What::Fifo => Some("a named pipe".to_owned()),
        What::Socket => Some("a socket".to_owned()),
        What::Directory | What::File { .. } | What::Symlink { .. } => None,
    };
    let xattrs = image.xattrs(entry)?.into_iter();
    let xattrs = xattrs.map(|(name, value)| (String::from_utf8_lossy(&name).into_owned(), value.into()));
    Ok(Attributes {
        mode: Some(stat.mode),
        owner: Some((stat.uid, stat.gid)),
        mtime: Some(stat.mtime),
        special,
        xattrs: xattrs.collect(),
        ..Attributes::default()
    })
}

fn list_ext(ext: &ExtReader, contents: &mut Vec<Content>) -> Result<Listing, Damaged> {
    contents.clear();
    let nodes = ext.listing()?.nodes;
    let listing = list_nodes(&nodes);
    let files = nodes.into_values().filter_map(|node| match node.kind {
        NodeKind::File(content) => Some(content),
        _ => None,
    });
    contents.extend(files);
    Ok(listing)
}

/// What is in a tree; the regular files are numbered in the order of their first names.
fn list_nodes(nodes: &BTreeMap<TreePath, Node>) -> Listing {
    let mut listing = Listing::default();
    let mut number = 0;
    for (path, node) in nodes {
        let mut attributes = Attributes {
            mode: Some(node.mode),
            owner: Some((node.uid, node.gid)),
            xattrs: node.xattrs.clone(),
            ..Attributes::default()
        };
        let found = match &node.kind {
            NodeKind::Directory => Found::Directory,
            NodeKind::File(content) => {
                number += 1;
                attributes.digest = content.digest();
                Found::File { size: content.size(), number: number - 1 }
            }
            // Its first name sorts before it.
            NodeKind::HardLink { to } => {
                attributes.first_name = Some(to.clone());
                listing.files.get(to).cloned().unwrap_or(Found::Other)
            }
            NodeKind::Symlink { target } => Found::Symlink { target: target.clone() },
            NodeKind::CharDevice { major, minor } => {
                attributes.special = Some(device("character", *major, *minor));
                Found::Other
            }
            NodeKind::BlockDevice { major, minor } => {
                attributes.special = Some(device("block", *major, *minor));
                Found::Other
            }
            NodeKind::Fifo => {
                attributes.special = Some("a named pipe".to_owned());
                Found::Other
            }
            NodeKind::Socket => {
                attributes.special = Some("a socket".to_owned());
                Found::Other
            }
        };
        listing.files.insert(path.clone(), found);
        listing.attributes.insert(path.clone(), attributes);
    }
    listing
}

fn first_name<'a>(nodes: &'a BTreeMap<TreePath, Node>, path: &'a TreePath) -> Option<&'a TreePath> {
    match &nodes.get(path)?.kind {
        NodeKind::HardLink { to } => Some(to),
        _ => Some(path),
    }
}

fn device(kind: &str, major: u32, minor: u32) -> String {
    format!("the {kind} device {major}:{minor}")
}

fn list_fat(fat: &mut FatReader<&File>, paths: &mut Vec<String>) -> Result<Listing, Damaged> {
    let mut listing = Listing::default();
    listing.files.insert(TreePath::root(), Found::Directory);
    let mut todo = vec![(TreePath::root(), 0)];
    while let Some((parent, level)) = todo.pop() {
        if listing.files.len() > MOST_FILES || level > MOST_LEVELS {
            return Err(Damaged::Bytes("it has more files, or deeper ones, than can be".to_owned()));
        }
        for entry in fat.list(parent.as_str())? {
            let path = parent.join(&entry.name).map_err(|error| Damaged::Bytes(error.to_string()))?;
            let found = if entry.is_dir {
                todo.push((path.clone(), level + 1));
                Found::Directory
            } else {
                paths.push(path.as_str().to_owned());
                Found::File { size: entry.size, number: paths.len() as u64 - 1 }
            };
            listing.files.insert(path, found);
        }
    }
    Ok(listing)
}

/// A volume cannot be read.
#[derive(Debug, Error)]
pub(crate) enum Damaged {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("{0}")]
    Bytes(String),
    #[error("{0}")]
    Unsupported(String),
    #[error(transparent)]
    Tree(#[from] TreeError),
    #[error(transparent)]
    Squashfs(#[from] ReadError),
    #[error(transparent)]
    Ext(#[from] ExtError),
    #[error(transparent)]
    Fat(#[from] crate::fs::fat::FatError),
    #[error(transparent)]
    Iso(#[from] IsoError),
    #[error(transparent)]
    Container(#[from] Unreadable),
}

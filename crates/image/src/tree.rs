//! A tree of files in memory: what a file system will hold.
//!
//! Contents stay where they are until they are written to their final place: a node of a regular file says where its
//! bytes can be read. [`write()`] makes a tree artifact of one, a directory beside its [`Manifest`].

use std::{
    collections::BTreeMap,
    io::{self, Read},
    os::unix::fs::PermissionsExt,
    sync::Arc,
};

use bootway_exec::{Cx, MissingInput, StepOutput};
use bootway_plan::{
    ArtifactKind, Class, Digest, Explain, InvalidManifest, Manifest, Name, Source, TreePath,
    step::{self, Owners, TreeFrom, TreePart},
};
use camino::{Utf8Path, Utf8PathBuf};
use thiserror::Error;

use crate::{
    ExtError,
    class::{class_of, hint_of},
};

mod compose;
mod cpio;
mod follow;
mod image;
mod load;
mod slices;
mod write;

pub(crate) use compose::{Composer, matcher, without};
pub use cpio::CpioError;
pub(crate) use load::{join, load, load_directory, load_made};
use slices::SliceReader;
pub use slices::{Backing, Slice};
pub(crate) use slices::{Stretch, stretches};
pub use write::write;

/// A tree of files, by path; the root is a node too. Parents sort before what is in them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    /// By path.
    pub nodes: BTreeMap<TreePath, Node>,
}

/// One file of a tree, of whatever kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Permission bits, 0 to 0o7777.
    pub mode: u16,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Extended attributes by full name.
    pub xattrs: BTreeMap<String, Vec<u8>>,
    /// What it is.
    pub kind: NodeKind,
}

/// What a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeKind {
    /// A directory.
    Directory,
    /// A regular file.
    File(Content),
    /// Another name of the regular file at this path, which sorts before it.
    HardLink {
        /// The first name.
        to: TreePath,
    },
    /// A symbolic link.
    Symlink {
        /// What it says.
        target: String,
    },
    /// A character device.
    CharDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

/// Where the bytes of a regular file are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// In memory.
    Bytes(Arc<[u8]>),
    /// In a file of the host.
    File {
        /// Which.
        path: Utf8PathBuf,
        /// Its size in bytes; a file that has changed since is an error, not a surprise.
        size: u64,
        /// Of its bytes, if a step made it.
        digest: Option<Digest>,
    },
    /// In pieces of another file, such as a disk image; what is between them is zeros that are stored nowhere.
    Slices {
        /// The file that has them.
        file: Arc<Backing>,
        /// The pieces: ascending, none overlaps another, none ends after `size`.
        slices: Arc<[Slice]>,
        /// Bytes of all of it, holes too.
        size: u64,
    },
}

impl Content {
    /// Bytes.
    pub fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { size, .. } | Self::Slices { size, .. } => *size,
        }
    }

    /// Of the bytes, if it is known without reading them.
    pub(crate) const fn digest(&self) -> Option<Digest> {
        match self {
            Self::File { digest, .. } => *digest,
            Self::Bytes(_) | Self::Slices { .. } => None,
        }
    }

    /// The bytes, to be read from the beginning. The reader does not check the size.
    pub fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        Ok(match self {
            Self::Bytes(bytes) => Box::new(&**bytes),
            Self::File { path, .. } => Box::new(fs_err::File::open(path)?),
            Self::Slices { file, slices, size } => Box::new(SliceReader { file, slices, size: *size, at: 0 }),
        })
    }
}

impl Node {
    /// A node that root owns, without extended attributes.
    pub const fn new(mode: u16, kind: NodeKind) -> Self {
        Self { mode, uid: 0, gid: 0, xattrs: BTreeMap::new(), kind }
    }
}

/// Composes a tree from others and edits it.
pub fn tree(cx: &Cx<'_>, step: &step::Tree) -> Result<Vec<StepOutput>, TreeError> {
    let mut composer = compose(cx, &step.from, step.owners)?;
    for edit in &step.edits {
        composer.edit(edit)?;
    }
    let path = cx.out.join("tree");
    write(cx, &composer.finish(), &path)?;
    Ok(vec![StepOutput { name: Name::fixed("tree"), kind: ArtifactKind::Tree, path }])
}

/// Lays the trees of `from` over each other, in order.
pub(crate) fn compose(cx: &Cx<'_>, from: &[TreeFrom], owners: Owners) -> Result<Composer, TreeError> {
    let mut composer = Composer::new();
    for from in from {
        let source = from.source();
        let at = if let TreeFrom::Part(part) = from { part.at.clone() } else { TreePath::root() };
        let input = cx.input(source)?;
        let metadata = fs_err::metadata(&input.path)?;
        if let TreeFrom::Part(part @ TreePart { partition: Some(wanted), .. }) = from {
            if metadata.is_dir() {
                return Err(TreeError::NoImage { name: source.clone() });
            }
            let layer = image::load(cx, source, &input.path, wanted)?;
            composer.overlay(&compose::select(layer, part)?, &at)?;
        } else if metadata.is_dir() {
            let layer = load(cx, source, owners)?;
            let layer = if let TreeFrom::Part(part) = from { compose::select(layer, part)? } else { layer };
            composer.overlay(&layer, &at)?;
        } else if at.is_root() {
            return Err(TreeError::NoPlace { name: source.clone() });
        } else {
            let mode = if metadata.permissions().mode() & 0o100 == 0 { 0o644 } else { 0o755 };
            // The digest of a made file is known only if it is an output by itself and not a file inside of one.
            let digest = (input.made && source.inside().is_none()).then_some(input.digest);
            let content = Content::File { path: input.path.clone(), size: metadata.len(), digest };
            composer.place(&at, Node::new(mode, NodeKind::File(content)))?;
        }
    }
    Ok(composer)
}

/// The manifest of the tree artifact at `dir`: `DIR.manifest`.
pub(crate) fn manifest_path(dir: &Utf8Path) -> Utf8PathBuf {
    Utf8PathBuf::from(format!("{dir}.manifest"))
}

/// Reads the manifest of the tree artifact at `dir`.
pub(crate) fn read_manifest(dir: &Utf8Path) -> Result<Manifest, TreeError> {
    let path = manifest_path(dir);
    let text = fs_err::read_to_string(&path)?;
    Manifest::from_text(&text).map_err(|source| TreeError::Manifest { path, source })
}

/// A tree cannot be read, composed or written.
#[derive(Debug, Error)]
pub enum TreeError {
    /// A file of the host.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The engine did not provide an input.
    #[error(transparent)]
    Input(#[from] MissingInput),
    /// A tree is needed, and this is a file.
    #[error("`{name}` is a file, not a tree: name a directory, or a step that makes a tree")]
    NotATree {
        /// As the plan names it.
        name: Source,
    },
    /// A file is laid over the root of a tree.
    #[error(
        "`{name}` is one file and has no place in the tree: write `{{ source = \"{name}\", at = \"path/of/the/file\" }}`"
    )]
    NoPlace {
        /// As the plan names it.
        name: Source,
    },
    /// A partition is asked for, and there can be none.
    #[error("`{name}` is a directory, and `partition` is about images: leave it out")]
    NoImage {
        /// As the plan names it.
        name: Source,
    },
    /// An image has no such partition, or it holds no tree.
    #[error("`{name}` has no ext2, ext3 or ext4 for {wanted}")]
    NoPartition {
        /// As the plan names it.
        name: Source,
        /// The partition that the plan has, and what there is instead.
        wanted: Box<str>,
    },
    /// The file system of an image cannot be read.
    #[error("the file system at byte {offset} of `{name}` cannot be read")]
    Image {
        /// As the plan names it.
        name: Source,
        /// Where it begins.
        offset: u64,
        /// Why.
        #[source]
        source: Box<ExtError>,
    },
    /// A pattern cannot be read.
    #[error("`{pattern}` is not a pattern")]
    Pattern {
        /// As it is in the plan.
        pattern: String,
        /// What is wrong with it.
        #[source]
        source: globset::Error,
    },
    /// A pattern of `keep` matches nothing.
    #[error("`{pattern}` matches nothing in `{name}`: fix it, or take it out of `keep`")]
    NoMatch {
        /// As it is in the plan.
        pattern: String,
        /// Where it was looked for.
        name: Source,
    },
    /// A directory would be replaced with all that is in it.
    #[error(
        "`{path}` is a directory with {files} files and would be replaced: remove it first, or `drop` what replaces it"
    )]
    Replaces {
        /// Where.
        path: TreePath,
        /// How many files are in it, at any depth.
        files: usize,
    },
    /// An edit is about something that is not there.
    #[error("cannot {what} `{path}`: nothing is there")]
    Nothing {
        /// The kind of edit.
        what: &'static str,
        /// Where.
        path: TreePath,
    },
    /// A directory is needed.
    #[error("`{path}` is not a directory")]
    NotADirectory {
        /// Where.
        path: TreePath,
    },
    /// A regular file is needed.
    #[error("`{path}` is not a regular file")]
    NotAFile {
        /// Where.
        path: TreePath,
    },
    /// Symbolic links lead in a circle.
    #[error("more than 40 symbolic links at `{path}`: they lead in a circle")]
    Loop {
        /// Where.
        path: TreePath,
    },
    /// A file is not what it was when the step began.
    #[error("`{path}` has changed while it was read: it had {expected} bytes, and has {found}")]
    Changed {
        /// On the host.
        path: Utf8PathBuf,
        /// Bytes, when the tree was read.
        expected: u64,
        /// Bytes, now.
        found: u64,
    },
    /// The manifest beside a tree is damaged.
    #[error("the manifest `{path}` cannot be read")]
    Manifest {
        /// Of the tree.
        path: Utf8PathBuf,
        /// Why.
        #[source]
        source: InvalidManifest,
    },
    /// A name or a link is not UTF-8.
    #[error("`{escaped}` in `{dir}` is not UTF-8: rename it, or leave it out")]
    NotUtf8 {
        /// The directory that has it.
        dir: Utf8PathBuf,
        /// The name or the link's target, with every other byte as `\xNN`.
        escaped: String,
    },
    /// Someone asked to stop.
    #[error("cancelled")]
    Cancelled,
}

impl Explain for TreeError {
    fn class(&self) -> Class {
        match self {
            Self::Io(error) => class_of(error),
            Self::Manifest { .. } | Self::Changed { .. } => Class::Step,
            Self::Input(error) => error.class(),
            Self::Image { source, .. } => source.class(),
            Self::NotATree { .. }
            | Self::NoImage { .. }
            | Self::NoPartition { .. }
            | Self::NoPlace { .. }
            | Self::Pattern { .. }
            | Self::NoMatch { .. }
            | Self::Replaces { .. }
            | Self::Nothing { .. }
            | Self::NotADirectory { .. }
            | Self::NotAFile { .. }
            | Self::Loop { .. }
            | Self::NotUtf8 { .. } => Class::Plan,
            Self::Cancelled => Class::Cancelled,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Io(error) => hint_of(error),
            Self::NoPlace { .. } => Some(
                "to take the files of a disk or ext image, write `partition = \"largest\"` beside it"
                    .to_owned(),
            ),
            Self::Manifest { .. } => Some("make the tree again: run its step with `--fresh`".to_owned()),
            _ => None,
        }
    }
}

//! What an image is made of: directories and files, or a tar archive.

use std::{
    io::{self, Read as _},
    ops::ControlFlow,
    os::unix::{ffi::OsStrExt, fs::FileExt as _},
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
};

use bootway_plan::{Class, Failure};
use bootway_squashfs::{Exclude, Node, Rules, TarStream, Tree, TreeError};

use super::{failure, stdin::Stdin};

/// What an image is made of.
#[derive(Debug)]
pub(super) enum Source {
    /// One directory, whose content is the root; or several, each under its name.
    Files(Vec<PathBuf>),
    /// A tar archive in a file; `None` is standard input.
    Tar(Option<PathBuf>),
}

impl Source {
    /// A failure that names the archive, if it is about what is in one.
    pub(super) fn named(&self, failure: Failure) -> Failure {
        let name = match self {
            Self::Tar(path) if failure.class == Class::Step => path.as_deref(),
            _ => return failure,
        };
        let name = name.map_or_else(|| "standard input".to_owned(), |path| format!("`{}`", path.display()));
        failure.because(format!("cannot make an image of {name}"))
    }
}

/// A tree that is there, or one that goes by.
pub(super) enum Input {
    Tree(Tree),
    Stream(Box<TarStream>),
}

/// Looks at the sources. With `under_name`, a single one is stored under its name whatever it is.
///
/// # Errors
///
/// One that is not there, or an archive that is not alone.
pub(super) fn look(sources: &[PathBuf], under_name: bool) -> Result<Source, Failure> {
    if sources.iter().any(|it| it == Path::new("-")) {
        return match sources {
            [_] if under_name => {
                Err(Failure::new(Class::Plan, "`--under-name` needs a source that has a name"))
            }
            [_] => Ok(Source::Tar(None)),
            _ => Err(Failure::new(Class::Plan, "a tar from standard input has to be the only source")
                .hint("join them before: `tar --concatenate`")),
        };
    }
    for source in sources {
        // A link is stored as a link, so it need not lead anywhere.
        fs_err::symlink_metadata(source).map_err(|error| cannot_read(source, &error))?;
    }
    match sources {
        [alone] if !under_name && fs_err::metadata(alone).is_ok_and(|it| it.is_file()) && is_tar(alone)? => {
            Ok(Source::Tar(Some(alone.clone())))
        }
        _ => Ok(Source::Files(sources.to_vec())),
    }
}

/// How the containers of a tar begin: gzip, xz, zstd.
const CONTAINERS: [&[u8]; 3] = [b"\x1f\x8b", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"];

/// Whether a file is a tar archive by its content, compressed or not.
fn is_tar(path: &Path) -> Result<bool, Failure> {
    let read = || -> io::Result<bool> {
        let mut head = Vec::new();
        fs_err::File::open(path)?.take(512).read_to_end(&mut head)?;
        if !CONTAINERS.iter().any(|magic| head.starts_with(magic)) {
            return Ok(head.get(257..262) == Some(b"ustar"));
        }
        // One that is damaged is to be told as what it was meant to be.
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        if name.contains(".tar") || [".tgz", ".txz", ".tzst"].iter().any(|end| name.ends_with(end)) {
            return Ok(true);
        }
        let file = fs_err::File::open(path)?;
        let first = TarStream::new(file, &Rules::default()).and_then(|mut stream| stream.next().map(|_| ()));
        Ok(first.is_ok())
    };
    read().map_err(|error| cannot_read(path, &error))
}

/// Begins to read a tar: one in a file that is not compressed is a tree at once.
///
/// # Errors
///
/// If it cannot be read.
pub(super) fn open_tar(path: Option<&Path>, rules: &Rules, stop: &Arc<AtomicBool>) -> Result<Input, Failure> {
    let input = match path {
        None => TarStream::new(Stdin::new(stop), rules).map(|it| Input::Stream(Box::new(it))),
        Some(path) => {
            let mut head = [0; 6];
            let file = fs_err::File::open(path).map_err(|error| cannot_read(path, &error))?;
            let begin = file.file().read_at(&mut head, 0).map_err(|error| cannot_read(path, &error))?;
            if CONTAINERS.iter().any(|magic| head[..begin].starts_with(magic)) {
                TarStream::new(file, rules).map(|it| Input::Stream(Box::new(it)))
            } else {
                Tree::from_tar(file.into_file(), rules).map(Input::Tree)
            }
        }
    };
    input.map_err(|error| failure::of_tree(&error))
}

/// A tree in which even a single directory is under its name.
///
/// # Errors
///
/// As of [`Tree::scan_all`].
pub(super) fn scan_named(
    paths: &[PathBuf],
    rules: &Rules,
    watch: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> Result<Tree, TreeError> {
    let [alone] = paths else { return Tree::scan_all(paths, rules, watch) };
    if !alone.is_dir() {
        return Tree::scan_all(paths, rules, watch);
    }
    let unnamed = || TreeError::Unnamed { path: alone.clone() };
    let real = fs_err::canonicalize(alone).map_err(|_| unnamed())?;
    let (Some(parent), Some(name)) = (real.parent(), real.file_name().map(OsStrExt::as_bytes)) else {
        return Err(unnamed());
    };
    // All of the directory above but this one is left out.
    let (name, others) = (name.to_owned(), rules.exclude.clone());
    let exclude = Exclude::new(move |path: &[u8]| {
        let first = path.split(|byte| *byte == b'/').next().unwrap_or_default();
        first != name || others.has(path)
    });
    let mut tree = Tree::scan(parent, &Rules { exclude, ..rules.clone() }, watch)?;
    let made = Tree::scan_all(&[] as &[PathBuf], rules, &mut Tree::unwatched())?;
    let root: &Node = made.node(Tree::ROOT);
    tree.insert("", root.clone())?;
    Ok(tree)
}

fn cannot_read(path: &Path, error: &io::Error) -> Failure {
    Failure::new(Class::Environment, error.to_string())
        .because(format!("cannot read the source `{}`", path.display()))
}

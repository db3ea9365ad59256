//! The serialisation whose SHA-256 names the contents of a store path.
//!
//! Strings are a length of eight bytes, little-endian, the bytes, and zeros up to a multiple of eight. A file is `(`,
//! `type`, `regular`, then `executable` and an empty string if it is, `contents` and the contents; a link `symlink` and
//! `target`; a directory has an `entry` for each name, in the order of bytes. Times, owners and other modes are not in
//! it. Specification: figure 5.2 of Dolstra, *The Purely Functional Software Deployment Model*, 2006; witness:
//! `nix-store --dump`.

use std::{
    ffi::OsString,
    fs::{File, Metadata},
    io::{self, Read, Write},
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

use bootway_exec::Cancel;
use bootway_plan::{Digest, Digester};

/// What every NAR begins with.
const MAGIC: &[u8] = b"nix-archive-1";
/// Read at once; cancellation is looked at in between.
const STRIDE: usize = 256 << 10;

/// The NAR of a path, measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nar {
    /// SHA-256 of it.
    pub hash: Digest,
    /// Bytes of it.
    pub size: u64,
}

/// A file that was seen on the way, for whoever makes a manifest.
pub(super) struct Seen<'a> {
    /// Below the path; empty for itself.
    pub(super) inside: &'a Path,
    pub(super) kind: SeenKind<'a>,
}

/// What was seen.
pub(super) enum SeenKind<'a> {
    Directory,
    File { executable: bool, size: u64, digest: Digest },
    Symlink(&'a Path),
}

/// Writes the NAR of the file, link or directory at `path` to `out`.
///
/// # Errors
///
/// If something cannot be read, changes meanwhile, or is neither of the three; if `cancel` was asked
/// ([`io::ErrorKind::Interrupted`]).
pub fn write_nar(path: &Path, out: &mut impl Write, cancel: &Cancel) -> io::Result<()> {
    Dump::new(out, cancel, None).run(path)
}

/// Hash and size of the NAR of what is at `path`.
///
/// # Errors
///
/// As of [`write_nar`].
pub fn nar(path: &Path, cancel: &Cancel) -> io::Result<Nar> {
    measure(path, cancel, None)
}

/// The same, and every file that is in it.
pub(super) fn nar_seen(path: &Path, cancel: &Cancel, seen: &mut dyn FnMut(Seen<'_>)) -> io::Result<Nar> {
    measure(path, cancel, Some(seen))
}

fn measure(path: &Path, cancel: &Cancel, seen: Option<&mut dyn FnMut(Seen<'_>)>) -> io::Result<Nar> {
    let mut hashed = Hashed { hash: Digester::default(), size: 0 };
    Dump::new(&mut hashed, cancel, seen).run(path)?;
    Ok(Nar { hash: hashed.hash.finish(), size: hashed.size })
}

/// Bytes of the NAR of what is at `path`; contents are not read.
///
/// # Errors
///
/// As of [`write_nar`].
pub fn nar_size(path: &Path, cancel: &Cancel) -> io::Result<u64> {
    let mut size = magic_size();
    let mut todo = vec![path.to_owned()];
    while let Some(path) = todo.pop() {
        if cancel.is_cancelled() {
            return Err(cancelled());
        }
        let metadata = fs_err::symlink_metadata(&path)?;
        match Kind::of(&path, &metadata)? {
            Kind::File { executable } => size += file_size(metadata.len(), executable),
            Kind::Symlink(target) => size += link_size(target.as_os_str().len()),
            Kind::Directory => {
                size += directory_size();
                for name in names(&path)? {
                    size += entry_size(name.len());
                    todo.push(path.join(name));
                }
            }
        }
    }
    Ok(size)
}

/// Bytes of what every NAR begins with.
pub(super) const fn magic_size() -> u64 {
    text_size(MAGIC.len() as u64)
}

/// Bytes of a file that has `length` bytes.
pub(super) fn file_size(length: u64, executable: bool) -> u64 {
    let words = words_size(&["(", "type", "regular", "contents", ")"]);
    words + text_size(length) + if executable { words_size(&["executable", ""]) } else { 0 }
}

/// Bytes of a link whose target has `length` bytes.
pub(super) fn link_size(length: usize) -> u64 {
    words_size(&["(", "type", "symlink", "target", ")"]) + text_size(length as u64)
}

/// Bytes of a directory without its entries.
pub(super) fn directory_size() -> u64 {
    words_size(&["(", "type", "directory", ")"])
}

/// Bytes of an entry of a directory without what it is, if its name has `length` bytes.
pub(super) fn entry_size(length: usize) -> u64 {
    words_size(&["entry", "(", "name", "node", ")"]) + text_size(length as u64)
}

const fn text_size(length: u64) -> u64 {
    8 + length.next_multiple_of(8)
}

fn words_size(words: &[&str]) -> u64 {
    words.iter().map(|word| text_size(word.len() as u64)).sum()
}

/// What a NAR can have.
enum Kind {
    File { executable: bool },
    Symlink(PathBuf),
    Directory,
}

impl Kind {
    fn of(path: &Path, metadata: &Metadata) -> io::Result<Self> {
        let kind = metadata.file_type();
        if kind.is_file() {
            Ok(Self::File { executable: metadata.permissions().mode() & 0o100 != 0 })
        } else if kind.is_symlink() {
            fs_err::read_link(path).map(Self::Symlink)
        } else if kind.is_dir() {
            Ok(Self::Directory)
        } else {
            let what = format!("`{}` is neither a file, nor a link, nor a directory", path.display());
            Err(io::Error::new(io::ErrorKind::InvalidData, what))
        }
    }
}

/// The names in a directory, in the order of bytes.
fn names(path: &Path) -> io::Result<Vec<OsString>> {
    let mut names = fs_err::read_dir(path)?
        .map(|entry| entry.map(|it| it.file_name()))
        .collect::<io::Result<Vec<_>>>()?;
    names.sort_unstable();
    Ok(names)
}

fn cancelled() -> io::Error {
    io::Error::new(io::ErrorKind::Interrupted, "cancelled")
}

struct Hashed {
    hash: Digester,
    size: u64,
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hash.update(bytes);
        self.size += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is still to be written.
enum Todo {
    /// What is there, below the root.
    Node(PathBuf),
    /// An entry of a directory.
    Entry(PathBuf),
    /// The end of an entry, of a node.
    Close,
}

struct Dump<'a, 's, W> {
    out: &'a mut W,
    cancel: &'a Cancel,
    seen: Option<&'a mut (dyn FnMut(Seen<'_>) + 's)>,
    buffer: Vec<u8>,
    /// Words that are not written yet.
    words: Vec<u8>,
}

impl<'a, 's, W: Write> Dump<'a, 's, W> {
    fn new(out: &'a mut W, cancel: &'a Cancel, seen: Option<&'a mut (dyn FnMut(Seen<'_>) + 's)>) -> Self {
        Self { out, cancel, seen, buffer: vec![0; STRIDE], words: Vec::new() }
    }

    /// A stack, and not recursion: the depth is whatever the tree has.
    fn run(mut self, root: &Path) -> io::Result<()> {
        self.text(MAGIC);
        let mut todo = vec![Todo::Node(PathBuf::new())];
        while let Some(next) = todo.pop() {
            match next {
                Todo::Close => self.word(")"),
                Todo::Entry(inside) => {
                    self.words_of(["entry", "(", "name"]);
                    self.text(inside.file_name().unwrap_or_default().as_bytes());
                    self.word("node");
                    todo.extend([Todo::Close, Todo::Node(inside)]);
                }
                Todo::Node(inside) => self.node(root, &inside, &mut todo)?,
            }
            if self.words.len() >= STRIDE {
                self.flush()?;
            }
        }
        self.flush()?;
        self.out.flush()
    }

    fn node(&mut self, root: &Path, inside: &Path, todo: &mut Vec<Todo>) -> io::Result<()> {
        if self.cancel.is_cancelled() {
            return Err(cancelled());
        }
        // Joined to nothing it would end with a slash, which follows a link.
        let path = if inside.as_os_str().is_empty() { root.to_owned() } else { root.join(inside) };
        let metadata = fs_err::symlink_metadata(&path)?;
        self.words_of(["(", "type"]);
        todo.push(Todo::Close);
        match Kind::of(&path, &metadata)? {
            Kind::Directory => {
                self.word("directory");
                self.see(inside, SeenKind::Directory);
                let names = names(&path)?;
                todo.extend(names.into_iter().rev().map(|name| Todo::Entry(inside.join(name))));
            }
            Kind::Symlink(target) => {
                self.words_of(["symlink", "target"]);
                self.text(target.as_os_str().as_bytes());
                self.see(inside, SeenKind::Symlink(&target));
            }
            Kind::File { executable } => {
                self.word("regular");
                if executable {
                    self.words_of(["executable", ""]);
                }
                self.word("contents");
                let digest = self.contents(&path, metadata.size())?;
                self.see(inside, SeenKind::File { executable, size: metadata.size(), digest });
            }
        }
        Ok(())
    }

    /// The contents of a file that has `size` bytes, and their digest if somebody wants it.
    fn contents(&mut self, path: &Path, size: u64) -> io::Result<Digest> {
        self.words.extend(size.to_le_bytes());
        self.flush()?;
        let mut file = File::open(path).map_err(|error| at(path, &error))?;
        let mut digester = self.seen.is_some().then(Digester::default);
        let mut left = size;
        while left > 0 {
            if self.cancel.is_cancelled() {
                return Err(cancelled());
            }
            let wanted = usize::try_from(left).unwrap_or(STRIDE).min(STRIDE);
            let got = file.read(&mut self.buffer[..wanted]).map_err(|error| at(path, &error))?;
            if got == 0 {
                return Err(changed(path));
            }
            self.out.write_all(&self.buffer[..got])?;
            if let Some(digester) = &mut digester {
                digester.update(&self.buffer[..got]);
            }
            left -= got as u64;
        }
        if file.read(&mut self.buffer[..1]).map_err(|error| at(path, &error))? != 0 {
            return Err(changed(path));
        }
        self.out.write_all(&[0; 8][..(8 - size as usize % 8) % 8])?;
        Ok(digester.unwrap_or_default().finish())
    }

    fn see(&mut self, inside: &Path, kind: SeenKind<'_>) {
        if let Some(seen) = &mut self.seen {
            seen(Seen { inside, kind });
        }
    }

    fn words_of<const N: usize>(&mut self, words: [&str; N]) {
        for word in words {
            self.word(word);
        }
    }

    fn word(&mut self, word: &str) {
        self.text(word.as_bytes());
    }

    fn text(&mut self, text: &[u8]) {
        self.words.extend((text.len() as u64).to_le_bytes());
        self.words.extend(text);
        self.words.resize(self.words.len().next_multiple_of(8), 0);
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.write_all(&self.words)?;
        self.words.clear();
        Ok(())
    }
}

fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot read `{}`: {error}", path.display()))
}

fn changed(path: &Path) -> io::Error {
    io::Error::other(format!("`{}` changed while it was read", path.display()))
}

#[cfg(test)]
mod tests;

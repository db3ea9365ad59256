//! The files below a directory, and what becomes of them; nothing is written before all of it is known.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    rc::Rc,
};

use camino::{Utf8Path, Utf8PathBuf};
use fs_err::{File, OpenOptions};

use super::{PatchError, limits};

/// What the partial files are called until they get their names.
const PARTIAL: &str = ".partial-patch-";

/// The mode of a file that is new.
const NEW: u32 = 0o644;

/// A file in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) bytes: Vec<u8>,
    /// Permissions, without the type.
    pub(super) mode: u32,
}

impl Content {
    /// An empty file that is new.
    pub(super) const fn empty() -> Self {
        Self { bytes: Vec::new(), mode: NEW }
    }

    pub(super) const fn is_executable(&self) -> bool {
        self.mode & 0o100 != 0
    }

    /// Makes it executable for those who can read it, or for nobody.
    pub(super) const fn set_executable(&mut self, executable: bool) {
        let readers = (self.mode & 0o444) >> 2;
        self.mode = if executable { self.mode | readers } else { self.mode & !0o111 };
    }
}

/// A file as it will be; `None` if there will be none.
pub(super) type Edit = (String, Option<Content>);

/// A directory, and what is to be changed in it.
pub(super) struct Tree<'d> {
    dir: &'d Utf8Path,
    changed: BTreeMap<String, Option<Rc<Content>>>,
    /// Directories that were found to be ones.
    directories: BTreeSet<String>,
    touched: u64,
}

impl<'d> Tree<'d> {
    pub(super) fn new(dir: &'d Utf8Path) -> Self {
        Self { dir, changed: BTreeMap::new(), directories: BTreeSet::new(), touched: 0 }
    }

    /// Counts bytes that were worked on.
    pub(super) fn touch(&mut self, bytes: u64) -> Result<(), PatchError> {
        self.touched = self.touched.saturating_add(bytes);
        if self.touched > limits::TOUCHED {
            return Err(PatchError::TooBig {
                what: "what the diff changes".to_owned(),
                limit: limits::TOUCHED,
            });
        }
        Ok(())
    }

    /// The file `name` as it is now.
    pub(super) fn get(&mut self, name: &str) -> Result<Option<Rc<Content>>, PatchError> {
        match self.changed.get(name) {
            Some(changed) => Ok(changed.clone()),
            None => self.original(name),
        }
    }

    pub(super) fn has(&mut self, name: &str) -> Result<bool, PatchError> {
        match self.changed.get(name) {
            Some(changed) => Ok(changed.is_some()),
            None => Ok(self.place(name)?.1.is_some()),
        }
    }

    /// The file `name` as it was before the diff.
    pub(super) fn original(&mut self, name: &str) -> Result<Option<Rc<Content>>, PatchError> {
        let (path, Some(metadata)) = self.place(name)? else { return Ok(None) };
        let too_big = || PatchError::TooBig { what: format!("`{name}`"), limit: limits::FILE };
        if metadata.len() > limits::FILE {
            return Err(too_big());
        }
        let mut bytes = Vec::with_capacity(metadata.len() as usize);
        File::open(path)?.take(limits::FILE + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limits::FILE {
            return Err(too_big());
        }
        self.touch(bytes.len() as u64)?;
        Ok(Some(Rc::new(Content { bytes, mode: metadata.permissions().mode() & 0o7777 })))
    }

    /// Where `name` is, and what is there: a regular file or nothing, in a directory that no link leads to.
    fn place(&mut self, name: &str) -> Result<(Utf8PathBuf, Option<std::fs::Metadata>), PatchError> {
        let path = self.dir.join(name);
        for (end, _) in name.match_indices('/') {
            let directory = &name[..end];
            if self.directories.contains(directory) {
                continue;
            }
            match looked_at(&self.dir.join(directory))? {
                None => return Ok((path, None)),
                Some(there) if there.is_dir() => drop(self.directories.insert(directory.to_owned())),
                Some(there) => {
                    return Err(PatchError::NotAFile { name: directory.to_owned(), is: kind(&there) });
                }
            }
        }
        match looked_at(&path)? {
            Some(there) if !there.is_file() => {
                Err(PatchError::NotAFile { name: name.to_owned(), is: kind(&there) })
            }
            there => Ok((path, there)),
        }
    }

    /// Takes a change, which the next one sees.
    pub(super) fn change(&mut self, (name, content): Edit) -> Result<(), PatchError> {
        if let Some(content) = &content {
            if content.bytes.len() as u64 > limits::FILE {
                return Err(PatchError::TooBig { what: format!("`{name}`"), limit: limits::FILE });
            }
            self.touch(content.bytes.len() as u64)?;
        }
        self.changed.insert(name, content.map(Rc::new));
        Ok(())
    }

    /// Writes every file that is another one than before, all of them or none; their names.
    ///
    /// Each is written beside its place first, so that a full disk is noticed before anything is changed.
    pub(super) fn write(mut self) -> Result<Vec<String>, PatchError> {
        let changed = std::mem::take(&mut self.changed);
        let mut edits = BTreeMap::new();
        for (name, content) in changed {
            let before = self.original(&name)?;
            if before != content {
                edits.insert(name, content);
            }
        }
        for (name, _) in edits.iter().filter(|(_, content)| content.is_some()) {
            let mut parents = name.match_indices('/').map(|(end, _)| &name[..end]);
            if let Some(file) = parents.find(|parent| edits.get(*parent).is_some_and(Option::is_some)) {
                return Err(PatchError::NotAFile { name: file.to_owned(), is: "a directory" });
            }
        }
        let mut written = Written { dir: self.dir, partial: Vec::new(), directories: Vec::new() };
        for (name, content) in &edits {
            if let Some(content) = content {
                written.write(name, content)?;
            }
        }
        written.commit(&edits)?;
        Ok(edits.into_keys().collect())
    }
}

/// What is at `path` itself, without following a link.
fn looked_at(path: &Utf8Path) -> Result<Option<std::fs::Metadata>, PatchError> {
    match fs_err::symlink_metadata(path) {
        Ok(there) => Ok(Some(there)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

fn kind(there: &std::fs::Metadata) -> &'static str {
    if there.is_symlink() {
        "a symbolic link"
    } else if there.is_dir() {
        "a directory"
    } else if there.is_file() {
        "a file"
    } else {
        "a device, pipe or socket"
    }
}

/// Files that wait beside their places; they and their directories are removed unless they get their names.
struct Written<'d> {
    dir: &'d Utf8Path,
    /// The partial file and its name.
    partial: Vec<(Utf8PathBuf, String)>,
    directories: Vec<Utf8PathBuf>,
}

impl Written<'_> {
    fn write(&mut self, name: &str, content: &Content) -> Result<(), PatchError> {
        let path = self.dir.join(name);
        let directory = path.parent().unwrap_or(self.dir);
        let new: Vec<&Utf8Path> =
            directory.ancestors().take_while(|it| *it != self.dir && !it.exists()).collect();
        for directory in new.into_iter().rev() {
            fs_err::create_dir(directory)?;
            self.directories.push(directory.to_owned());
        }
        let partial = directory.join(format!("{PARTIAL}{}", self.partial.len()));
        // What another one left when it was ended.
        if looked_at(&partial)?.is_some() {
            fs_err::remove_file(&partial)?;
        }
        let mut file = OpenOptions::new().write(true).create_new(true).open(&partial)?;
        self.partial.push((partial, name.to_owned()));
        file.write_all(&content.bytes)?;
        file.set_permissions(std::fs::Permissions::from_mode(content.mode))?;
        Ok(())
    }

    /// Gives each its name, and removes what is to be removed.
    fn commit(mut self, edits: &BTreeMap<String, Option<Rc<Content>>>) -> Result<(), PatchError> {
        for (partial, name) in std::mem::take(&mut self.partial) {
            fs_err::rename(partial, self.dir.join(name))?;
        }
        self.directories.clear();
        for (name, _) in edits.iter().filter(|(_, content)| content.is_none()) {
            let path = self.dir.join(name);
            fs_err::remove_file(&path)?;
            // A directory that nothing is left in goes, too, as with git and GNU `patch`; any other refuses.
            let above = path.ancestors().skip(1).take_while(|it| *it != self.dir);
            for directory in above {
                if fs_err::remove_dir(directory).is_err() {
                    break;
                }
            }
        }
        Ok(())
    }
}

impl Drop for Written<'_> {
    /// After an error, which says what is wrong: what cannot be removed now is replaced by the next one.
    fn drop(&mut self) {
        for (partial, _) in &self.partial {
            let _ = fs_err::remove_file(partial);
        }
        for directory in self.directories.iter().rev() {
            let _ = fs_err::remove_dir(directory);
        }
    }
}

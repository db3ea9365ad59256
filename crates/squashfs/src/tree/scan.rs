//! A tree of directories of the host.
//!
//! One system call for each directory's names, one for each file, and, if extended attributes are kept, one more.

use std::{
    collections::{BTreeMap, HashMap},
    ffi::{CStr, CString, OsStr},
    fs::File,
    io,
    mem::MaybeUninit,
    ops::ControlFlow,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{
        AtFlags, FileType, Mode, OFlags, RawDir, Stat, lgetxattr, llistxattr, major, minor, open, readlinkat,
        stat, statat,
    },
    io::Errno,
};

use super::{Content, Id, Ident, Kind, Node, Rules, Tree, TreeError, Xattrs, limits};

/// Told how many files were found so far; `Break` stops the scan.
type Watch<'a> = dyn FnMut(u64) -> ControlFlow<()> + 'a;

/// Extended attributes by name.
type Attributes = BTreeMap<Box<[u8]>, Box<[u8]>>;

/// How many files are found between two looks at whether to stop.
const PATIENCE: usize = 512;

impl Tree {
    /// A tree of what is in a directory, which becomes the root; symbolic links in it stay what they are.
    ///
    /// A file with several names in it (hard links) is one file. Contents are not read.
    ///
    /// `watch` is told how many files were found, every few hundred of them and at the end; if it breaks, the scan
    /// ends with [`TreeError::Cancelled`].
    ///
    /// # Errors
    ///
    /// If anything in it cannot be read, or if the format cannot hold it.
    pub fn scan(
        directory: impl AsRef<Path>,
        rules: &Rules,
        watch: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> Result<Self, TreeError> {
        let mut scan = Scan::new(rules, watch);
        scan.root(directory.as_ref())?;
        scan.finish()
    }

    /// A tree of several sources, as `mksquashfs` does it: a directory that is alone becomes the root; of several
    /// sources, each is in the root by its own name. Such a root is as the rules make it, with mode 0755.
    ///
    /// # Errors
    ///
    /// As with [`Tree::scan`], and if two sources have the same name, or one has none.
    pub fn scan_all(
        sources: &[impl AsRef<Path>],
        rules: &Rules,
        watch: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> Result<Self, TreeError> {
        let mut scan = Scan::new(rules, watch);
        if let [alone] = sources
            && fs_err::metadata(alone.as_ref()).is_ok_and(|file| file.is_dir())
        {
            scan.root(alone.as_ref())?;
            return scan.finish();
        }
        for source in sources {
            scan.source(source.as_ref())?;
        }
        scan.finish()
    }

    /// For [`Tree::scan`], when nobody waits for it: never stops.
    pub fn unwatched() -> impl FnMut(u64) -> ControlFlow<()> {
        |_| ControlFlow::Continue(())
    }
}

struct Scan<'a> {
    tree: Tree,
    rules: &'a Rules,
    watch: &'a mut Watch<'a>,
    /// Files of several names that were found already.
    linked: HashMap<(u64, u64), Id>,
    /// Where it is: on the host, and in the tree.
    host: PathBuf,
    inside: Vec<u8>,
    /// The device of the source.
    device: u64,
    /// For names of directories, and of extended attributes.
    buffer: Box<[MaybeUninit<u8>]>,
    names: Vec<u8>,
    value: Vec<u8>,
}

impl<'a> Scan<'a> {
    fn new(rules: &'a Rules, watch: &'a mut Watch<'a>) -> Self {
        Self {
            tree: rules.root(),
            rules,
            watch,
            linked: HashMap::new(),
            host: PathBuf::new(),
            inside: Vec::new(),
            device: 0,
            buffer: vec![MaybeUninit::uninit(); 64 << 10].into(),
            names: vec![0; 64 << 10],
            value: vec![0; 64 << 10],
        }
    }

    fn finish(self) -> Result<Tree, TreeError> {
        let done = (self.watch)(self.tree.nodes.len() as u64);
        if done.is_break() { Err(TreeError::Cancelled) } else { Ok(self.tree) }
    }

    /// The source is the root.
    fn root(&mut self, source: &Path) -> Result<(), TreeError> {
        source.clone_into(&mut self.host);
        let stat = stat(source).map_err(|error| TreeError::read(source, error))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            return Err(TreeError::read(source, Errno::NOTDIR));
        }
        self.device = stat.st_dev;
        // Its extended attributes are asked for by a path that a symbolic link cannot be the end of.
        let inside = source.join(".");
        let node = self.node(&stat, Kind::Directory(BTreeMap::new()), Some(&inside))?;
        self.tree.count_owners(b"", &node)?;
        self.tree.made = super::Made { mtime: node.mtime, ..self.tree.made };
        self.tree.become_like(Tree::ROOT, node);
        self.directory(Tree::ROOT)
    }

    /// The source is in the root, by its own name.
    fn source(&mut self, source: &Path) -> Result<(), TreeError> {
        let name = source.file_name().ok_or_else(|| TreeError::Unnamed { path: source.to_owned() })?;
        if self.tree.names(Tree::ROOT).is_some_and(|names| names.contains_key(name.as_bytes())) {
            return Err(TreeError::Twice { name: name.to_string_lossy().into_owned() });
        }
        source.clone_into(&mut self.host);
        name.as_bytes().clone_into(&mut self.inside);
        let c_name = CString::new(source.as_os_str().as_bytes())
            .map_err(|error| TreeError::read(source, io::Error::from(error)))?;
        let stat = statat(rustix::fs::CWD, &c_name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|error| TreeError::read(source, error))?;
        self.device = stat.st_dev;
        if let Some(id) = self.file(rustix::fs::CWD, &c_name, &stat)? {
            self.tree.enter(Tree::ROOT, name.as_bytes(), id);
        }
        self.inside.clear();
        Ok(())
    }

    /// What is in the directory where we are.
    fn directory(&mut self, id: Id) -> Result<(), TreeError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory: File =
            open(&self.host, flags, Mode::empty()).map_err(|error| self.unreadable(error))?.into();
        let names = self.list(&directory)?;
        let length = self.inside.len();
        let mut entries = Vec::with_capacity(names.len());
        for name in names {
            let bytes = name.as_bytes();
            if length > 0 {
                self.inside.push(b'/');
            }
            self.inside.extend_from_slice(bytes);
            self.host.push(OsStr::from_bytes(bytes));
            if !self.rules.exclude.has(&self.inside) {
                let stat = statat(&directory, &name, AtFlags::SYMLINK_NOFOLLOW)
                    .map_err(|error| self.unreadable(error))?;
                if let Some(id) = self.file(&directory, &name, &stat)? {
                    entries.push((bytes.into(), id));
                }
            }
            self.host.pop();
            self.inside.truncate(length);
        }
        if let Kind::Directory(names) = &mut self.tree.nodes[id.index()].kind {
            *names = BTreeMap::from_iter(entries);
        }
        Ok(())
    }

    /// The names in a directory, by their bytes.
    fn list(&mut self, directory: &File) -> Result<Vec<CString>, TreeError> {
        let mut names = Vec::new();
        let mut entries = RawDir::new(directory, &mut self.buffer);
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(|error| TreeError::read(&self.host, error))?;
            if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
                names.push(entry.file_name().to_owned());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// The file where we are, with what is in it; `None` if it is to be left out.
    fn file(
        &mut self,
        parent: impl rustix::fd::AsFd,
        name: &CStr,
        stat: &Stat,
    ) -> Result<Option<Id>, TreeError> {
        let place = (stat.st_dev, stat.st_ino);
        if self.rules.skip.contains(&place) {
            return Ok(None);
        }
        limits::name(&self.inside, name.to_bytes().rsplit(|byte| *byte == b'/').next().unwrap_or_default())?;
        let several = stat.st_nlink > 1 && FileType::from_raw_mode(stat.st_mode) != FileType::Directory;
        if several && let Some(id) = self.linked.get(&place) {
            self.tree.links[id.index()] += 1;
            return Ok(Some(*id));
        }
        let kind = self.kind(parent, name, stat)?;
        let node = self.node(stat, kind, None)?;
        let is_directory = node.is_directory();
        limits::check(&self.inside, &node)?;
        self.tree.count_owners(&self.inside, &node)?;
        let id = self.tree.push(&self.inside, node)?;
        if self.tree.nodes.len().is_multiple_of(PATIENCE)
            && (self.watch)(self.tree.nodes.len() as u64).is_break()
        {
            return Err(TreeError::Cancelled);
        }
        if several {
            self.linked.insert(place, id);
        }
        if is_directory && !(self.rules.one_file_system && stat.st_dev != self.device) {
            self.directory(id)?;
        }
        Ok(Some(id))
    }

    fn kind(&self, parent: impl rustix::fd::AsFd, name: &CStr, stat: &Stat) -> Result<Kind, TreeError> {
        let device = (major(stat.st_rdev), minor(stat.st_rdev));
        Ok(match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Kind::Directory(BTreeMap::new()),
            FileType::RegularFile => Kind::File(Content::File {
                path: self.host.as_path().into(),
                ident: Ident {
                    dev: stat.st_dev,
                    ino: stat.st_ino,
                    size: stat.st_size.cast_unsigned(),
                    mtime: nanoseconds(stat.st_mtime, stat.st_mtime_nsec),
                    ctime: nanoseconds(stat.st_ctime, stat.st_ctime_nsec),
                },
            }),
            FileType::Symlink => {
                let target = readlinkat(parent, name, Vec::new()).map_err(|error| self.unreadable(error))?;
                Kind::Symlink(target.into_bytes().into())
            }
            FileType::CharacterDevice => Kind::CharDevice { major: device.0, minor: device.1 },
            FileType::BlockDevice => Kind::BlockDevice { major: device.0, minor: device.1 },
            FileType::Fifo => Kind::Fifo,
            FileType::Socket => Kind::Socket,
            FileType::Unknown => {
                return Err(TreeError::read(&self.host, io::Error::other("it is of no kind that we know")));
            }
        })
    }

    /// The file where we are, by the rules. Extended attributes are asked for at `path` if it is given.
    fn node(&mut self, stat: &Stat, kind: Kind, path: Option<&Path>) -> Result<Node, TreeError> {
        let node = Node {
            mode: (stat.st_mode & 0o7777) as u16,
            uid: stat.st_uid,
            gid: stat.st_gid,
            mtime: 0,
            xattrs: if self.rules.xattrs == Xattrs::Keep { self.xattrs(path)? } else { BTreeMap::new() },
            kind,
        };
        self.rules.apply(&self.inside, node, stat.st_mtime.into())
    }

    fn xattrs(&mut self, path: Option<&Path>) -> Result<Attributes, TreeError> {
        let path = path.unwrap_or(&self.host);
        let mut xattrs = BTreeMap::new();
        let length = match llistxattr(path, &mut *self.names) {
            Ok(length) => length,
            // A file system without them.
            Err(Errno::NOTSUP) => 0,
            Err(error) => return Err(TreeError::read(path, error)),
        };
        for name in self.names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
            if self.rules.keeps(&mut self.tree, &self.inside, name)? {
                let length = lgetxattr(path, OsStr::from_bytes(name), &mut *self.value)
                    .map_err(|error| TreeError::read(path, error))?;
                xattrs.insert(name.into(), self.value[..length].into());
            }
        }
        Ok(xattrs)
    }

    fn unreadable(&self, error: Errno) -> TreeError {
        TreeError::read(&self.host, error)
    }
}

fn nanoseconds(seconds: impl Into<i128>, rest: impl Into<i128>) -> i128 {
    seconds.into() * 1_000_000_000 + rest.into()
}

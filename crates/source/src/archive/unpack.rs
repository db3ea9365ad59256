//! Archives to one tree on disk.

use std::{
    collections::VecDeque,
    io::{BufReader, Read, Seek, SeekFrom, Write},
    os::unix::fs::PermissionsExt as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, Scope},
};

use bootway_exec::{Cx, StepOutput};
use bootway_plan::{ArtifactKind, Digester, EntryKind, Manifest, Name, TreePath};
use camino::{Utf8Path, Utf8PathBuf};
use fs_err::File;

use super::{
    ar,
    decode::{Decoded, Sniffed, decoder, sniff},
    fault::{ArchiveError, Fault, Stop},
    layout::{Content, Kind, Layout, Meta},
    limits,
    route::Route,
    select::Selection,
    tarball::{self, Member, MemberKind, readable},
};
use crate::meter::Meter;

/// Bytes read from an archive at once.
const BUFFER: usize = 256 << 10;

/// Something to unpack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Archive {
    /// Where it is.
    pub(crate) path: Utf8PathBuf,
    /// What errors call it.
    pub(crate) label: String,
}

/// An archive that is being decompressed.
struct Stream<'a> {
    decoded: Decoded<'a>,
    /// Bytes of the archive that were read.
    consumed: Arc<AtomicU64>,
    /// Bytes of the archive.
    length: u64,
}

impl<'a> Stream<'a> {
    fn start<'scope>(
        scope: &'scope Scope<'scope, '_>,
        cx: &'a Cx<'a>,
        archive: &Archive,
    ) -> Result<Self, Stop> {
        let mut file = File::open(&archive.path)?;
        let length = file.metadata()?.len();
        let mut start = Vec::new();
        (&mut file).take(ar::MAGIC.len() as u64).read_to_end(&mut start)?;
        file.seek(SeekFrom::Start(0))?;
        let (part, size) = match sniff(&start) {
            Sniffed::Package => {
                let data = ar::find_data(&mut file, length)?;
                (data.name, data.size)
            }
            Sniffed::Stream(_) | Sniffed::Unsupported(_) => ("the archive".to_owned(), length),
        };
        let consumed = Arc::new(AtomicU64::new(0));
        let input = Counted { input: file, count: Arc::clone(&consumed) };
        let input = decoder(BufReader::with_capacity(BUFFER, input.take(size)), cx.jobs)?;
        Ok(Self { decoded: Decoded::start(scope, input, part, cx.cancel), consumed, length })
    }
}

/// A tree that archives are unpacked into, one after the other, later ones over earlier ones.
///
/// Contents are written to numbered files as they come, and get their names when all names are known: no path from an
/// archive is ever given to the operating system while links are being made.
pub(crate) struct Unpacker<'a> {
    cx: &'a Cx<'a>,
    selection: &'a Selection,
    layout: Layout,
    /// The numbered files.
    contents: Utf8PathBuf,
    /// Bytes of all files so far.
    size: u64,
    /// Owners and modes are not taken from the archives.
    plain: bool,
}

impl<'a> Unpacker<'a> {
    /// An empty tree, to be written below `cx.out`.
    pub(crate) fn new(cx: &'a Cx<'a>, selection: &'a Selection) -> Result<Self, ArchiveError> {
        let contents = cx.out.join(".contents");
        fs_err::create_dir_all(&contents)?;
        Ok(Self { cx, selection, layout: Layout::default(), contents, size: 0, plain: false })
    }

    /// Every file will belong to root, and can be executed by everybody or nobody.
    pub(crate) const fn plain(mut self) -> Self {
        self.plain = true;
        self
    }

    /// Begins anew, as if nothing had been added.
    pub(crate) fn again(self) -> Result<Self, ArchiveError> {
        fs_err::remove_dir_all(&self.contents)?;
        fs_err::create_dir(&self.contents)?;
        Ok(Self { layout: Layout::default(), size: 0, ..self })
    }

    /// Takes away what is at `path`, and everything below it.
    pub(crate) fn erase(&mut self, path: &TreePath) {
        self.layout.erase(path);
    }

    /// Adds `archives`, in order, without the first `strip` components of their paths.
    ///
    /// While one is unpacked, those behind it are already decompressed. `meter` counts the bytes of the archives.
    pub(crate) fn add(
        &mut self,
        archives: &[Archive],
        strip: u32,
        meter: &Meter<'_>,
    ) -> Result<(), ArchiveError> {
        let cx = self.cx;
        thread::scope(|scope| {
            let mut waiting = archives.iter();
            let mut begun = VecDeque::new();
            loop {
                let room = cx.jobs.max(1) + 1 - begun.len();
                begun.extend(
                    waiting.by_ref().take(room).map(|archive| (archive, Stream::start(scope, cx, archive))),
                );
                let Some((archive, stream)) = begun.pop_front() else { return Ok(()) };
                let mut route = Route::stripped(strip);
                let read = stream.and_then(|stream| self.read(stream, &mut route, meter));
                read.map_err(|stop| stop.of(&archive.label))?;
            }
        })
    }

    /// Adds one archive along `route`; `false` if it cannot be taken, because its members are not all in one directory.
    pub(crate) fn add_along(
        &mut self,
        archive: &Archive,
        mut route: Route,
        meter: &Meter<'_>,
    ) -> Result<bool, ArchiveError> {
        let cx = self.cx;
        let read = thread::scope(|scope| {
            Stream::start(scope, cx, archive).and_then(|stream| self.read(stream, &mut route, meter))
        });
        match read {
            Ok(()) => Ok(true),
            Err(Stop::Apart) => Ok(false),
            Err(stop) => Err(stop.of(&archive.label)),
        }
    }

    fn read(&mut self, mut stream: Stream<'_>, route: &mut Route, meter: &Meter<'_>) -> Result<(), Stop> {
        let mut counted = 0;
        while let Some(member) = tarball::next(&mut stream.decoded)? {
            self.member(member, route, &mut stream.decoded)?;
            let now = stream.consumed.load(Ordering::Relaxed);
            meter.add(now - counted);
            counted = now;
        }
        meter.add(stream.length.saturating_sub(counted));
        Ok(())
    }

    fn member(&mut self, member: Member, route: &mut Route, stream: &mut Decoded<'_>) -> Result<(), Stop> {
        let rest = member.size + tarball::padding(member.size);
        let Some(path) = route.of(&member.path, member.kind == MemberKind::Directory)? else {
            return stream.skip(rest);
        };
        let (place, kept) = self.layout.place(path, self.selection)?;
        let executable = member.mode & 0o111 != 0;
        let meta = if self.plain { plain(&member) } else { own(&member) };
        let kind = match member.kind {
            MemberKind::File => {
                let content = self.content(stream, member.size, kept, executable)?;
                stream.skip(tarball::padding(member.size))?;
                return Ok(self.layout.insert(&place, meta, Kind::File(content), kept)?);
            }
            MemberKind::HardLink(target) => {
                stream.skip(rest)?;
                let Some(target) = route.of(&target, false)? else {
                    return Err(Fault::Path {
                        path: readable(&target),
                        reason: "is a hard link's target and is stripped",
                    }
                    .into());
                };
                return Ok(self.layout.link(&place, &target, kept)?);
            }
            MemberKind::Directory => Kind::Directory,
            MemberKind::Symlink(target)
                if target.is_empty() || target.len() > limits::TARGET || target.contains('\0') =>
            {
                let reason = "is a symbolic link with a target that none can have";
                return Err(Fault::Path { path: readable(&member.path), reason }.into());
            }
            MemberKind::Symlink(target) => Kind::Symlink(target),
            MemberKind::CharDevice(major, minor) => Kind::CharDevice(major, minor),
            MemberKind::BlockDevice(major, minor) => Kind::BlockDevice(major, minor),
            MemberKind::Fifo => Kind::Fifo,
        };
        stream.skip(rest)?;
        Ok(self.layout.insert(&place, meta, kind, kept)?)
    }

    /// Stores the next `size` bytes of `stream`, or passes over them.
    fn content(
        &mut self,
        stream: &mut Decoded<'_>,
        size: u64,
        kept: bool,
        executable: bool,
    ) -> Result<Content, Stop> {
        if !kept {
            stream.skip(size)?;
            return Ok(self.layout.content(None));
        }
        self.size = self.size.saturating_add(size);
        if self.size > limits::CONTENT {
            return Err(Fault::too_big("all files", self.size, limits::CONTENT).into());
        }
        let path = self.contents.join(self.layout.contents().to_string());
        let mut file = File::create_new(&path)?;
        let mut digester = Digester::default();
        let mut rest = size;
        while rest > 0 {
            let bytes = stream.next(rest)?;
            if bytes.is_empty() {
                return Err(stream.truncated().into());
            }
            digester.update(bytes);
            file.write_all(bytes)?;
            rest -= bytes.len() as u64;
        }
        // Whatever the umask is.
        let mode = if executable { 0o755 } else { 0o644 };
        file.set_permissions(std::fs::Permissions::from_mode(mode))?;
        Ok(self.layout.content(Some((size, digester.finish()))))
    }

    /// Writes the tree to `cx.out/tree` and its manifest to `cx.out/tree.manifest`.
    pub(crate) fn finish(self, label: &str) -> Result<StepOutput, ArchiveError> {
        let (manifest, contents) = self.layout.finish().map_err(|fault| Stop::from(fault).of(label))?;
        let tree = self.cx.out.join("tree");
        let settle = Settle { cx: self.cx, tree: &tree, manifest: &manifest };
        settle.directories()?;
        for (content, path) in contents {
            settle.check()?;
            fs_err::rename(self.contents.join(content.to_string()), tree.join(path.as_str()))?;
        }
        settle.links()?;
        fs_err::remove_dir_all(&self.contents)?;
        fs_err::write(self.cx.out.join("tree.manifest"), manifest.to_text())?;
        Ok(StepOutput { name: Name::fixed("tree"), kind: ArtifactKind::Tree, path: tree })
    }
}

/// Gives names to what is stored. Every parent is a real directory, because symbolic links come last.
struct Settle<'a> {
    cx: &'a Cx<'a>,
    tree: &'a Utf8Path,
    manifest: &'a Manifest,
}

impl Settle<'_> {
    fn check(&self) -> Result<(), ArchiveError> {
        if self.cx.cancel.is_cancelled() { Err(ArchiveError::Cancelled) } else { Ok(()) }
    }

    fn directories(&self) -> Result<(), ArchiveError> {
        let directories =
            self.manifest.entries.iter().filter(|(_, entry)| entry.kind == EntryKind::Directory);
        for (path, _) in directories {
            self.check()?;
            let path = self.host(path);
            fs_err::create_dir(&path)?;
            fs_err::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
        }
        Ok(())
    }

    /// Hard links, then symbolic links. Devices and pipes are in the manifest only.
    fn links(&self) -> Result<(), ArchiveError> {
        for (path, entry) in &self.manifest.entries {
            if let EntryKind::HardLink { to } = &entry.kind {
                self.check()?;
                fs_err::hard_link(self.host(to), self.host(path))?;
            }
        }
        for (path, entry) in &self.manifest.entries {
            if let EntryKind::Symlink { target } = &entry.kind {
                self.check()?;
                fs_err::os::unix::fs::symlink(target, self.host(path))?;
            }
        }
        Ok(())
    }

    fn host(&self, path: &TreePath) -> Utf8PathBuf {
        if path.is_root() { self.tree.to_owned() } else { self.tree.join(path.as_str()) }
    }
}

/// What the archive says of a member.
fn own(member: &Member) -> Meta {
    Meta { mode: member.mode, uid: member.uid, gid: member.gid, xattrs: member.xattrs.clone() }
}

/// What holds for a member whoever made the archive.
fn plain(member: &Member) -> Meta {
    let mode = match member.kind {
        MemberKind::Symlink(_) => 0o777,
        MemberKind::Directory => 0o755,
        _ if member.mode & 0o111 != 0 => 0o755,
        _ => 0o644,
    };
    Meta { mode, ..Meta::default() }
}

/// Counts what is read.
struct Counted<R> {
    input: R,
    count: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.input.read(buffer)?;
        self.count.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

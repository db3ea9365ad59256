//! Those who are asked what is in an image.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fs::File,
    io::{BufReader, Cursor, Read},
    os::unix::ffi::OsStrExt,
    path::Path,
};

use backhand::{FilesystemReader, InnerNode};
use bootway_squashfs::read::{Image, What};

use crate::{
    facts::{Digest, Fact, Facts, symlink},
    host::{self, Ask},
    program::{output, run},
};

/// Who is asked. The kernel is always asked.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "one for each witness")]
pub(crate) struct Witnesses {
    pub(crate) unsquashfs: bool,
    pub(crate) sqfs2tar: bool,
    pub(crate) ours: bool,
    pub(crate) backhand: bool,
    /// Whether the image says which files have holes: `mksquashfs` keeps it to itself.
    pub(crate) holes: bool,
}

impl Witnesses {
    pub(crate) const ALL: Self =
        Self { unsquashfs: true, sqfs2tar: true, ours: true, backhand: true, holes: true };
    /// Those who can read everything that the format has.
    pub(crate) const COMPLETE: Self = Self { backhand: false, ..Self::ALL };
}

/// Everybody who is asked says that `image` is what it should be.
#[track_caller]
pub(crate) fn agree(image: &Path, expected: &Facts, witnesses: Witnesses) {
    let differences = disagreements(image, expected, witnesses);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// What anybody who is asked says against it.
pub(crate) fn disagreements(image: &Path, expected: &Facts, witnesses: Witnesses) -> Vec<String> {
    let mut all = Vec::new();
    let mut hear = |who: &str, told: &Facts, leaves_out: &dyn Fn(&[u8], &Fact) -> bool| {
        let differences = expected.differences(told, leaves_out);
        all.extend(differences.into_iter().map(|difference| format!("{who}: {difference}")));
    };
    hear("the kernel", &kernel(image, expected, witnesses.holes), &|_, _| false);
    if witnesses.ours {
        hear("our reader", &ours(image), &|_, _| false);
    }
    if witnesses.unsquashfs {
        hear("unsquashfs", &unsquashfs(image), &|_, _| false);
    }
    if witnesses.sqfs2tar {
        hear("sqfs2tar", &sqfs2tar(image), &|path, fact| path.is_empty() || fact.what == "socket");
    }
    if witnesses.backhand {
        hear("backhand", &backhand(image), &|_, _| false);
    }
    all
}

/// A mounted image; unmounted when it is dropped.
pub(crate) struct Mounted(tempfile::TempDir);

impl Mounted {
    pub(crate) fn new(image: &Path) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let arguments = [
            OsStr::new("-t"),
            "squashfs".as_ref(),
            "-o".as_ref(),
            "loop,ro".as_ref(),
            image.as_ref(),
            dir.path().as_ref(),
        ];
        let output = run("mount", arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "the kernel does not mount the image ({said}): run this test as root, with loop devices"
        );
        Self(dir)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let output = run("umount", ["--lazy".as_ref(), self.path()]);
        let said = String::from_utf8_lossy(&output.stderr);
        if !std::thread::panicking() {
            assert!(output.status.success(), "umount: {said}");
        }
    }
}

/// The kernel, which mounts it.
fn kernel(image: &Path, expected: &Facts, holes: bool) -> Facts {
    let mounted = Mounted::new(image);
    let stat = rustix::fs::statvfs(mounted.path()).unwrap();
    let mut facts = host::facts(mounted.path(), Ask::Image(holes.then_some(stat.f_bsize)));
    let files =
        expected.files.iter().filter(|(path, fact)| fact.first.as_ref() == Some(*path)).count() as u64;
    if stat.f_files != files {
        facts.faults.push(format!("the file system says {} inodes and has {files}", stat.f_files));
    }
    let length = image.metadata().unwrap().len();
    let size = stat.f_blocks * stat.f_frsize;
    if size + 4096 + stat.f_bsize < length || size > length + stat.f_bsize {
        facts.faults.push(format!("the file system says {size} bytes, the image has {length}"));
    }
    facts
}

/// `unsquashfs`, which unpacks it.
fn unsquashfs(image: &Path) -> Facts {
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("unpacked");
    output(
        "unsquashfs",
        [OsStr::new("-no-progress"), "-quiet".as_ref(), "-d".as_ref(), to.as_ref(), image.as_ref()],
    );
    host::facts(&to, Ask::Source)
}

/// `sqfs2tar`, whose archive the `tar` crate reads. It has no word for the root and for sockets.
fn sqfs2tar(image: &Path) -> Facts {
    let archive = output("sqfs2tar", [image]);
    let mut facts = Facts::default();
    let mut members = tar::Archive::new(Cursor::new(archive));
    for member in members.entries().unwrap() {
        let mut member = member.unwrap();
        let path = member.path_bytes().into_owned();
        let path = path.strip_suffix(b"/").unwrap_or(&path).to_vec();
        let mut xattrs = BTreeMap::new();
        for record in member.pax_extensions().unwrap().into_iter().flatten() {
            let record = record.unwrap();
            if let Some(name) = record.key_bytes().strip_prefix(b"SCHILY.xattr.") {
                xattrs.insert(name.to_vec(), record.value_bytes().to_vec());
            }
        }
        let link = member.link_name_bytes().unwrap_or_default().into_owned();
        let header = member.header().clone();
        let device = || {
            format!("{}:{}", header.device_major().unwrap().unwrap(), header.device_minor().unwrap().unwrap())
        };
        let kind = header.entry_type();
        let what = if kind.is_hard_link() {
            let same = facts.files[&link].clone();
            facts.files.insert(path, same);
            continue;
        } else if kind.is_dir() {
            "directory".to_owned()
        } else if kind.is_file() {
            "file".to_owned()
        } else if kind.is_symlink() {
            symlink(&link)
        } else if kind.is_character_special() {
            format!("char {}", device())
        } else if kind.is_block_special() {
            format!("block {}", device())
        } else {
            assert!(kind.is_fifo(), "sqfs2tar says {kind:?}");
            "fifo".to_owned()
        };
        let fact = Fact {
            what,
            mode: header.mode().unwrap() & 0o7777,
            uid: header.uid().unwrap() as u32,
            gid: header.gid().unwrap() as u32,
            mtime: header.mtime().unwrap().cast_signed(),
            digest: kind.is_file().then(|| Digest::read(&mut member).unwrap()),
            links: None,
            first: Some(path.clone()),
            xattrs: Some(xattrs),
        };
        facts.files.insert(path, fact);
    }
    facts.settled()
}

/// Our own reader.
pub(crate) fn ours(path: &Path) -> Facts {
    let mut facts = Facts::default();
    let image = Image::open(path).unwrap();
    let mut first: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
    for entry in image.entries() {
        let entry = entry.unwrap();
        let path = entry.path().as_os_str().as_bytes().to_vec();
        let stat = entry.stat();
        let mut digest = None;
        let what = match &stat.what {
            What::Directory => "directory".to_owned(),
            What::File { size } => {
                let read = Digest::read(image.read(&entry).unwrap()).unwrap();
                assert_eq!(read.size, *size);
                digest = Some(read);
                "file".to_owned()
            }
            What::Symlink { target } => symlink(target),
            What::CharDevice { major, minor } => format!("char {major}:{minor}"),
            What::BlockDevice { major, minor } => format!("block {major}:{minor}"),
            What::Fifo => "fifo".to_owned(),
            What::Socket => "socket".to_owned(),
        };
        let xattrs = image.xattrs(&entry).unwrap();
        let fact = Fact {
            what,
            mode: stat.mode.into(),
            uid: stat.uid,
            gid: stat.gid,
            mtime: stat.mtime.into(),
            digest,
            links: Some(stat.links.into()),
            first: Some(first.entry(stat.inode).or_insert_with(|| path.clone()).clone()),
            xattrs: Some(xattrs.into_iter().map(|(name, value)| (name.into(), value.into())).collect()),
        };
        facts.files.insert(path, fact);
    }
    facts.settled()
}

/// The reader of the crate `backhand`, which knows nothing of extended attributes and links.
fn backhand(path: &Path) -> Facts {
    let mut facts = Facts::default();
    let image = FilesystemReader::from_reader(BufReader::new(File::open(path).unwrap())).unwrap();
    for node in image.files() {
        let path: OsString = node.fullpath.strip_prefix("/").unwrap().into();
        let mut digest = None;
        let device =
            |number: u32| format!("{}:{}", number >> 8 & 0xfff, number & 0xff | number >> 12 & 0xf_ff00);
        let what = match &node.inner {
            InnerNode::File(file) => {
                let reader = image.file(file).reader();
                digest = Some(Digest::read(reader.take(u64::MAX)).unwrap());
                "file".to_owned()
            }
            InnerNode::Symlink(link) => symlink(link.link.as_os_str().as_bytes()),
            InnerNode::Dir(_) => "directory".to_owned(),
            InnerNode::CharacterDevice(device_) => format!("char {}", device(device_.device_number)),
            InnerNode::BlockDevice(device_) => format!("block {}", device(device_.device_number)),
            InnerNode::NamedPipe => "fifo".to_owned(),
            InnerNode::Socket => "socket".to_owned(),
        };
        let fact = Fact {
            what,
            mode: node.header.permissions.into(),
            uid: node.header.uid,
            gid: node.header.gid,
            mtime: node.header.mtime.into(),
            digest,
            links: None,
            first: None,
            xattrs: None,
        };
        facts.files.insert(path.as_bytes().to_vec(), fact);
    }
    facts.settled()
}

//! What is known of every file of a tree, and where two that should be the same differ.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    io::{self, Read},
};

use bootway_squashfs::{Content, Id, Kind, Tree};

/// All files by path; the root is the empty one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    pub(crate) files: BTreeMap<Vec<u8>, Fact>,
    /// What is wrong beside the files.
    pub(crate) faults: Vec<String>,
}

/// What is known of a file; what a witness cannot tell is `None`.
#[derive(Clone, Debug)]
pub(crate) struct Fact {
    /// The kind, with a symbolic link's target and a device's number.
    pub(crate) what: String,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: i64,
    pub(crate) digest: Option<Digest>,
    pub(crate) links: Option<u64>,
    /// The first path of the same file.
    pub(crate) first: Option<Vec<u8>>,
    pub(crate) xattrs: Option<BTreeMap<Vec<u8>, Vec<u8>>>,
}

/// A content, in a few bytes.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Digest {
    pub(crate) size: u64,
    hash: blake3::Hash,
    /// Which pages of 4 KiB have nothing but zeros.
    pub(crate) zeros: Vec<bool>,
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes, hash {}", self.size, &self.hash.to_hex()[..12])
    }
}

/// To compare with at the speed of memory.
static ZEROS: [u8; Digest::PAGE] = [0; Digest::PAGE];

impl Digest {
    pub(crate) const PAGE: usize = 4096;

    /// Reads everything. Zeros are only counted, so that holes of gigabytes are quick.
    pub(crate) fn read(mut from: impl Read) -> io::Result<Self> {
        let mut hasher = blake3::Hasher::new();
        // Most files are small, and many are empty.
        let mut buffer = vec![0; Self::PAGE];
        let (mut size, mut zeros) = (0, Vec::new());
        loop {
            let mut length = 0;
            while length < buffer.len() {
                match from.read(&mut buffer[length..])? {
                    0 => break,
                    count => length += count,
                }
            }
            if length == 0 {
                hasher.update(&u64::to_le_bytes(size));
                return Ok(Self { size, hash: hasher.finalize(), zeros });
            }
            let pages = buffer[..length].chunks(Self::PAGE).map(|page| *page == ZEROS[..page.len()]);
            let before = zeros.len();
            zeros.extend(pages);
            if zeros[before..].contains(&false) {
                hasher.update(&u64::to_le_bytes(size)).update(&buffer[..length]);
            }
            size += length as u64;
            buffer.resize(64 << 10, 0);
        }
    }
}

impl Facts {
    /// Calls the first name of every file the one that is first by its bytes: readers differ in their order.
    pub(crate) fn settled(mut self) -> Self {
        let mut names = HashMap::new();
        for (path, fact) in &mut self.files {
            if let Some(first) = &mut fact.first {
                first.clone_from(names.entry(first.clone()).or_insert_with(|| path.clone()));
            }
        }
        self
    }

    /// What a tree in memory should become.
    pub(crate) fn of(tree: &Tree) -> Self {
        let mut facts = Self::default();
        let mut first: HashMap<Id, Vec<u8>> = HashMap::new();
        let mut walk = tree.walk();
        while let Some((path, id)) = walk.next() {
            let node = tree.node(id);
            let (what, content) = describe(&node.kind);
            let digest = content.map(|content| match content {
                Content::Bytes(bytes) => Digest::read(&**bytes).unwrap(),
                other => panic!("only contents in memory are compared from a tree: {other:?}"),
            });
            let fact = Fact {
                what,
                mode: node.mode.into(),
                uid: node.uid,
                gid: node.gid,
                mtime: node.mtime.into(),
                digest,
                links: Some(tree.links(id).into()),
                first: Some(first.entry(id).or_insert_with(|| path.to_vec()).clone()),
                xattrs: Some(node.xattrs.iter().map(|(k, v)| (k.to_vec(), v.to_vec())).collect()),
            };
            facts.files.insert(path.to_vec(), fact);
        }
        facts.settled()
    }

    /// How `told` differs from this, a line each, the first few.
    pub(crate) fn differences(&self, told: &Self, leaves_out: impl Fn(&[u8], &Fact) -> bool) -> Vec<String> {
        let mut differences = told.faults.clone();
        for (path, fact) in &self.files {
            match told.files.get(path) {
                Some(other) => differences.extend(fact.differences(path, other)),
                None if leaves_out(path, fact) => {}
                None => differences.push(format!("`{}` is missing", path.escape_ascii())),
            }
        }
        let more = told.files.keys().filter(|path| !self.files.contains_key(*path));
        differences.extend(more.map(|path| format!("`{}` is there and should not be", path.escape_ascii())));
        let count = differences.len();
        if count > 12 {
            differences.truncate(12);
            differences.push(format!("and {} more", count - 12));
        }
        differences
    }
}

impl Fact {
    fn differences(&self, path: &[u8], other: &Self) -> Vec<String> {
        let mut differences = Vec::new();
        let mut say = |field: &str, here: String, there: String| {
            let (here, there) = (cut(here), cut(there));
            differences.push(format!("`{}`: {field} should be {here} and is {there}", path.escape_ascii()));
        };
        macro_rules! same {
            ($($field:ident),*) => {
                $(if self.$field != other.$field {
                    say(stringify!($field), format!("{:?}", self.$field), format!("{:?}", other.$field));
                })*
            };
        }
        macro_rules! same_if_told {
            ($($field:ident),*) => {
                $(if other.$field.is_some() && self.$field != other.$field {
                    say(stringify!($field), format!("{:?}", self.$field), format!("{:?}", other.$field));
                })*
            };
        }
        same!(what, uid, gid, mtime);
        if self.mode != other.mode {
            say("mode", format!("{:04o}", self.mode), format!("{:04o}", other.mode));
        }
        same_if_told!(digest, links, first, xattrs);
        differences
    }
}

fn cut(text: String) -> String {
    if text.len() > 300 { text.chars().take(300).chain(['…']).collect() } else { text }
}

fn describe(kind: &Kind) -> (String, Option<&Content>) {
    let text = match kind {
        Kind::Directory(_) => "directory".to_owned(),
        Kind::File(content) => return ("file".to_owned(), Some(content)),
        Kind::Symlink(target) => symlink(target),
        Kind::CharDevice { major, minor } => format!("char {major}:{minor}"),
        Kind::BlockDevice { major, minor } => format!("block {major}:{minor}"),
        Kind::Fifo => "fifo".to_owned(),
        Kind::Socket => "socket".to_owned(),
    };
    (text, None)
}

pub(crate) fn symlink(target: &[u8]) -> String {
    format!("symlink to {}", target.escape_ascii())
}

//! Trees that libFuzzer makes up, as NARs, which another reader takes apart.
//!
//! Nothing reads NARs but Nix; what writes and measures them must do the same for any names and any bytes.
#![no_main]

mod seeds;

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    io::ErrorKind,
    os::unix::{
        ffi::OsStrExt,
        fs::{PermissionsExt, symlink},
    },
    path::Path,
};

use bootway_exec::Cancel;
use bootway_nix::closure::{Nar, nar, nar_size, write_nar};
use bootway_plan::Digest;
use libfuzzer_sys::fuzz_target;

/// Directories in directories.
const DEPTH: usize = 6;

fuzz_target!(init: seeds::write(trees), |bytes: &[u8]| {
    let wanted = Node::made_up(&mut Bytes(bytes), 0);
    let at = std::env::temp_dir().join("nar");
    remove(&at);
    wanted.make(&at);
    let (mut written, cancel) = (Vec::new(), Cancel::default());
    write_nar(&at, &mut written, &cancel).expect("it is there");
    let size = written.len() as u64;
    assert_eq!(nar(&at, &cancel).expect("it is there"), Nar { hash: Digest::of(&written), size });
    assert_eq!(nar_size(&at, &cancel).expect("it is there"), size);
    let mut rest = Reader(&written);
    rest.word("nix-archive-1");
    assert_eq!(rest.node(), wanted);
    assert!(rest.0.is_empty());
});

#[derive(Debug, PartialEq, Eq)]
enum Node {
    File { executable: bool, contents: Vec<u8> },
    Link(Vec<u8>),
    Directory(BTreeMap<Vec<u8>, Node>),
}

/// What libFuzzer made up; zeros behind its end.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn next(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn some(&mut self, most: usize) -> Vec<u8> {
        let count = usize::from(self.next()) % most;
        (0..count).map(|_| self.next()).collect()
    }

    /// What can be the name of a file, or where a link leads.
    fn name(&mut self, instead: &[(u8, u8)]) -> Vec<u8> {
        let mut name = self.some(24);
        for byte in &mut name {
            *byte = instead.iter().find(|(no, _)| no == byte).map_or(*byte, |(_, yes)| *yes);
        }
        if matches!(&name[..], b"" | b"." | b"..") { b"x".to_vec() } else { name }
    }
}

impl Node {
    fn made_up(bytes: &mut Bytes<'_>, depth: usize) -> Self {
        match bytes.next() % 4 {
            0 => Self::File { executable: bytes.next() % 2 == 1, contents: bytes.some(40) },
            1 => Self::Link(bytes.name(&[(0, 1)])),
            _ if depth == DEPTH => Self::Directory(BTreeMap::new()),
            _ => {
                let count = bytes.next() % 8;
                let entry = |_| (bytes.name(&[(0, 1), (b'/', b'.')]), Self::made_up(bytes, depth + 1));
                // `./` can become what is no name.
                Self::Directory(
                    (0..count).map(entry).filter(|(name, _)| name != b".." && name != b".").collect(),
                )
            }
        }
    }

    fn make(&self, at: &Path) {
        match self {
            Self::File { executable, contents } => {
                fs::write(at, contents).expect("a file");
                let mode = if *executable { 0o755 } else { 0o644 };
                fs::set_permissions(at, fs::Permissions::from_mode(mode)).expect("a mode");
            }
            Self::Link(target) => symlink(OsStr::from_bytes(target), at).expect("a link"),
            Self::Directory(entries) => {
                fs::create_dir(at).expect("a directory");
                entries.iter().for_each(|(name, node)| node.make(&at.join(OsStr::from_bytes(name))));
            }
        }
    }
}

/// Takes a NAR apart, and takes nothing else.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn text(&mut self) -> &'a [u8] {
        let (length, rest) = self.0.split_first_chunk().expect("a length");
        let length = usize::try_from(u64::from_le_bytes(*length)).expect("a length");
        let (text, rest) = rest.split_at(length);
        let (zeros, rest) = rest.split_at(length.next_multiple_of(8) - length);
        assert!(zeros.iter().all(|byte| *byte == 0));
        self.0 = rest;
        text
    }

    fn word(&mut self, word: &str) {
        assert_eq!(self.text(), word.as_bytes());
    }

    fn node(&mut self) -> Node {
        self.word("(");
        self.word("type");
        let node = match self.text() {
            b"regular" => {
                let first = self.text();
                let executable = first == b"executable";
                if executable {
                    self.word("");
                    self.word("contents");
                } else {
                    assert_eq!(first, b"contents");
                }
                Node::File { executable, contents: self.text().to_vec() }
            }
            b"symlink" => {
                self.word("target");
                Node::Link(self.text().to_vec())
            }
            b"directory" => return self.directory(),
            other => panic!("{other:?}"),
        };
        self.word(")");
        node
    }

    fn directory(&mut self) -> Node {
        let mut entries: BTreeMap<Vec<u8>, Node> = BTreeMap::new();
        loop {
            match self.text() {
                b")" => return Node::Directory(entries),
                b"entry" => {
                    self.word("(");
                    self.word("name");
                    let name = self.text().to_vec();
                    assert!(entries.keys().all(|it| *it < name), "names are sorted");
                    self.word("node");
                    let node = self.node();
                    self.word(")");
                    entries.insert(name, node);
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

fn remove(at: &Path) {
    let removed = match fs::symlink_metadata(at) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(at),
        Ok(_) => fs::remove_file(at),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    };
    removed.expect("what was there is removed");
}

fn trees() -> Vec<(String, Vec<u8>)> {
    let seeds: [(&str, &[u8]); 4] = [
        ("program", &[0, 1, 9, b'#', b'!', b'/', b'b', b'i', b'n', b'/', b's', b'h']),
        ("link", &[1, 4, b'a', b'/', b'.', b'.']),
        (
            "directory",
            &[2, 3, 1, b'a', 2, 1, 1, b'c', 0, 0, 3, 1, 2, 3, 3, b'a', b'.', b'b', 0, 1, 8, 1, 2, 3],
        ),
        ("empty", &[2, 0]),
    ];
    seeds.map(|(name, bytes)| (name.to_owned(), bytes.to_vec())).into()
}

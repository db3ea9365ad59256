//! Trees that nobody would make, read back by our reader, and discs that are not whole.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{Seek as _, SeekFrom},
    sync::Arc,
};

use bootway_exec::Cx;
use bootway_plan::TreePath;
use proptest::prelude::*;

use super::*;
use crate::{
    fs::iso::IsoReader,
    listing::Found,
    tree::{Content, Node, NodeKind, Tree},
};

fn plain() -> step::Iso {
    step(r#"{"from": ["./tree"], "volume-id": "ODD"}"#)
}

/// Writes `tree`, leaving out what is zero.
fn written(cx: &Cx<'_>, tree: &Tree, to: &camino::Utf8Path) {
    let step = plain();
    let layout = Layout::of(tree, &step, cx.epoch).unwrap();
    let file = fs_err::File::create(to).unwrap();
    file.set_len(layout.size()).unwrap();
    let _all =
        write::write(cx, &layout, None, Sparse(file), &mut Progress::bytes(cx, layout.size())).unwrap();
}

/// What gigabytes are compared with at once.
static ZEROS: [u8; 1 << 20] = [0; 1 << 20];

/// A file that is not written to where there would be zeros.
struct Sparse(fs_err::File);

impl Write for Sparse {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if ZEROS.get(..bytes.len()) == Some(bytes) {
            let _at = self.0.seek(SeekFrom::Current(i64::try_from(bytes.len()).unwrap()))?;
            return Ok(bytes.len());
        }
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

fn file(bytes: Vec<u8>) -> NodeKind {
    NodeKind::File(Content::Bytes(Arc::from(bytes)))
}

/// What is there, in words; a file's by its content.
fn read_back(path: &camino::Utf8Path) -> BTreeMap<String, String> {
    let image = File::open(path).unwrap();
    let reader = IsoReader::open(&image, 0).unwrap().unwrap();
    let mut files = Vec::new();
    let listing = reader.list(&mut files).unwrap();
    let words = |found: &Found| match found {
        Found::Directory => "directory".to_owned(),
        Found::File { number, .. } => {
            let bytes = reader.read(&files[*number as usize], u64::MAX).unwrap();
            format!("file {}", Digest::of(&bytes))
        }
        Found::Symlink { target } => format!("link {target}"),
        Found::Other => "other".to_owned(),
    };
    listing.files.iter().map(|(path, found)| (path.to_string(), words(found))).collect()
}

fn put_in(tree: &Tree) -> BTreeMap<String, String> {
    let words = |node: &Node| match &node.kind {
        NodeKind::Directory => "directory".to_owned(),
        NodeKind::File(Content::Bytes(bytes)) => format!("file {}", Digest::of(bytes)),
        NodeKind::Symlink { target } => format!("link {target}"),
        _ => "other".to_owned(),
    };
    let root = (TreePath::root().to_string(), "directory".to_owned());
    tree.nodes.iter().map(|(path, node)| (path.to_string(), words(node))).chain([root]).collect()
}

/// A tree of these: where, among the directories before it, what it is called, what it is, and how big.
fn tree(of: Vec<(usize, String, u8, usize)>) -> Tree {
    let mut tree = Tree::default();
    let mut directories = vec![TreePath::root()];
    for (place, name, kind, size) in of {
        let parent = &directories[place % directories.len()];
        let Ok(path) = format!("{parent}/{name}").parse::<TreePath>() else { continue };
        if tree.nodes.contains_key(&path) {
            continue;
        }
        let kind = match kind {
            0 => NodeKind::Directory,
            1 => NodeKind::Symlink { target: format!("../{name}/{}", "x/".repeat(size % 500) + "end") },
            _ => file((0..size).map(|n| (n % 251) as u8 + 1).collect()),
        };
        if kind == NodeKind::Directory {
            directories.push(path.clone());
        }
        let _before = tree.nodes.insert(path, Node::new(0o755, kind));
    }
    tree
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_is_put_in_is_read_back(
        of in proptest::collection::vec((any::<usize>(), "[^/\0]{1,60}|[A-Za-z.]{1,9}|(ab){100}", 0..4_u8, 0..6000_usize), 0..60)
    ) {
        let tree = tree(of);
        let runner = SystemRunner::default();
        let sandbox = Sandbox::new(&runner);
        let path = sandbox.root().join("odd.iso");
        written(&sandbox.cx(), &tree, &path);
        prop_assert_eq!(read_back(&path), put_in(&tree));
    }
}

#[test]
fn a_file_of_more_than_four_gib_is_in_parts() {
    const SIZE: u64 = (4 << 30) + 5000;
    let runner = SystemRunner::default();
    let sandbox = sandbox(&runner, |dir| {
        let big = fs_err::File::create(dir.join("big")).unwrap();
        big.set_len(SIZE).unwrap();
        std::os::unix::fs::FileExt::write_all_at(big.file(), b"the end", SIZE - 7).unwrap();
    });
    let tree = tree::compose(&sandbox.cx(), &plain().from, step::Owners::Root).unwrap().finish();
    let path = sandbox.cx().out.join("image.iso");
    written(&sandbox.cx(), &tree, &path);
    let image = File::open(&path).unwrap();
    let reader = IsoReader::open(&image, 0).unwrap().unwrap();
    let mut files = Vec::new();
    let listing = reader.list(&mut files).unwrap();
    assert!(matches!(listing.files[&"big".parse().unwrap()], Found::File { size: SIZE, .. }));
    assert_eq!(files[0].len(), 2);
    let mut end = [0; 7];
    let at = reader.place(&files[0]).expect("its parts follow each other") + SIZE - 7;
    std::os::unix::fs::FileExt::read_exact_at(&image, &mut end, at).unwrap();
    assert_eq!(&end, b"the end");
    let listed = xorriso(&sandbox, &["-find", "/big", "-exec", "lsdl", "--"]);
    assert!(listed.contains(&format!(" {SIZE} ")), "{listed}");
}

#[test]
fn a_disc_that_was_cut_short_is_not_taken_for_a_whole_one() {
    let runner = SystemRunner::default();
    let sandbox = sandbox(&runner, |dir| {
        fs_err::write(dir.join("one"), vec![1; 300_000]).unwrap();
        fs_err::write(dir.join("boot"), vec![2; 100_000]).unwrap();
    });
    let bootable = step(r#"{"from": ["./tree"], "volume-id": "CUT", "bios": {"loader": "boot"}}"#);
    let made = iso(&sandbox.cx(), &bootable).unwrap();
    verify(ArtifactKind::Iso, &made[0].path).unwrap();
    let bytes = fs_err::read(&made[0].path).unwrap();
    let cut = sandbox.root().join("cut.iso");
    for at in (0..bytes.len()).step_by(100_001) {
        fs_err::write(&cut, &bytes[..at]).unwrap();
        assert!(verify(ArtifactKind::Iso, &cut).is_err(), "cut at {at} of {}", bytes.len());
    }
}

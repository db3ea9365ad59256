use std::os::unix::fs::MetadataExt;

use bootway_exec::{Sandbox, SystemRunner};
use bootway_plan::Digest;
use proptest::{collection::vec, prelude::*};

use super::*;
use crate::{Content, Node, NodeKind, Tree, sink::Sink, tree::write};

/// A file with these pieces of `host`, as `(gap before it, where in the host, length)`; what it should read as.
fn content(file: &Arc<Backing>, host: &[u8], pieces: &[(u64, u64, u64)], tail: u64) -> (Content, Vec<u8>) {
    let (mut slices, mut wanted) = (Vec::new(), Vec::new());
    for &(gap, offset, len) in pieces {
        wanted.resize(wanted.len() + gap as usize, 0);
        slices.push(Slice { at: wanted.len() as u64, offset, len });
        wanted.extend_from_slice(&host[offset as usize..][..len as usize]);
    }
    wanted.resize(wanted.len() + tail as usize, 0);
    let size = wanted.len() as u64;
    (Content::Slices { file: Arc::clone(file), slices: slices.into(), size }, wanted)
}

fn host(sandbox: &Sandbox<'_>, len: usize) -> (Arc<Backing>, Vec<u8>) {
    let bytes: Vec<u8> = (0..len).map(|n| (n / 3 % 251) as u8 + 1).collect();
    let path = sandbox.root().join("host");
    fs_err::write(&path, &bytes).unwrap();
    (Backing::open(&path).unwrap(), bytes)
}

#[test]
fn pieces_and_holes_read_as_one_file_everywhere() {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let cx = sandbox.cx();
    let (file, bytes) = host(&sandbox, 1 << 20);
    let piece = (0..9000_u64, 0..(900_u64 << 10), 1..90_000_u64);
    let config = ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(pieces in vec(piece, 0..6), tail in 0..9000_u64, cut: u64)| {
        let (content, wanted) = content(&file, &bytes, &pieces, tail);
        let mut read = Vec::new();
        content.open().unwrap().read_to_end(&mut read).unwrap();
        prop_assert!(read == wanted);

        // Into a disk, in two parts of it.
        let size = wanted.len() as u64;
        let half = if size == 0 { 0 } else { cut % size };
        let path = sandbox.root().join("disk");
        let mut sink = Sink::create(&cx, &path, (4 << 20) + size, size).unwrap();
        sink.content(&content, &[(4096, half), (2 << 20, size - half)]).unwrap();
        sink.finish().unwrap();
        let disk = fs_err::read(&path).unwrap();
        prop_assert!(disk[4096..][..half as usize] == wanted[..half as usize]);
        prop_assert!(disk[2 << 20..][..(size - half) as usize] == wanted[half as usize..]);

        // As a file of a tree.
        let kind = NodeKind::File(content);
        let nodes = [("", NodeKind::Directory), ("it", kind)];
        let nodes = nodes.map(|(path, kind)| (path.parse().unwrap_or_default(), Node::new(0o755, kind)));
        let dir = sandbox.root().join("tree");
        let manifest = write(&cx, &Tree { nodes: nodes.into() }, &dir).unwrap();
        prop_assert!(fs_err::read(dir.join("it")).unwrap() == wanted);
        prop_assert!(manifest.to_text().contains(&Digest::of(&wanted).to_string()));
        fs_err::remove_dir_all(dir).unwrap();
    });
}

#[test]
fn holes_stay_holes() {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let cx = sandbox.cx();
    let (file, bytes) = host(&sandbox, 8192);
    let (content, _) = content(&file, &bytes, &[(32 << 20, 0, 8192)], 32 << 20);
    let nodes = [("", NodeKind::Directory), ("it", NodeKind::File(content.clone()))];
    let nodes = nodes.map(|(path, kind)| (path.parse().unwrap_or_default(), Node::new(0o755, kind)));
    let dir = sandbox.root().join("tree");
    write(&cx, &Tree { nodes: nodes.into() }, &dir).unwrap();
    let disk = sandbox.root().join("disk");
    let mut sink = Sink::create(&cx, &disk, content.size(), content.size()).unwrap();
    sink.content(&content, &[(0, content.size())]).unwrap();
    sink.finish().unwrap();
    for path in [dir.join("it"), disk] {
        let meta = fs_err::metadata(&path).unwrap();
        assert_eq!(meta.len(), content.size());
        assert!(meta.blocks() * 512 < 1 << 20, "{path}");
    }
}

#[test]
fn a_file_that_was_cut_since_is_an_error_that_names_it() {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let (file, bytes) = host(&sandbox, 8192);
    let (content, _) = content(&file, &bytes, &[(0, 4000, 4192)], 0);
    fs_err::OpenOptions::new().write(true).open(file.path()).unwrap().set_len(5000).unwrap();
    let error = content.open().unwrap().read_to_end(&mut Vec::new()).unwrap_err().to_string();
    assert!(error.contains("host`, which had 8192 bytes"), "{error}");
    let cx = sandbox.cx();
    let mut sink = Sink::create(&cx, &sandbox.root().join("disk"), 8192, 4192).unwrap();
    assert!(sink.content(&content, &[(0, 4192)]).is_err());
}

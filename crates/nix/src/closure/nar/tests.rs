use std::os::unix::fs::symlink;

use bootway_exec::{Cmd, Runner as _, SystemRunner};
use camino::Utf8Path;
use proptest::prelude::*;

use super::*;
use crate::testing::TestNix;

/// Everything that a NAR can have, with sizes around its padding.
fn make(dir: &Utf8Path) {
    fs_err::create_dir_all(dir.join("empty")).unwrap();
    fs_err::create_dir_all(dir.join("a.b/c")).unwrap();
    for size in [0, 1, 7, 8, 9, 4096, (256 << 10) + 3] {
        fs_err::write(dir.join(format!("a.b/{size}")), vec![b'x'; size]).unwrap();
    }
    fs_err::write(dir.join("a"), "sorts before `a.b`").unwrap();
    fs_err::write(dir.join("a.b/c/ünï"), "bytes, and not letters").unwrap();
    let program = dir.join("program");
    fs_err::write(&program, "#!/bin/sh\n").unwrap();
    fs_err::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    symlink("../nowhere", dir.join("link")).unwrap();
    symlink("a.b", dir.join("to-directory")).unwrap();
}

fn dumped(path: &Utf8Path) -> Vec<u8> {
    let mut out = Vec::new();
    write_nar(path.as_std_path(), &mut out, &Cancel::default()).unwrap();
    out
}

#[test]
fn a_nar_is_what_nix_dumps_byte_for_byte() {
    let nix = TestNix::new();
    let dir = nix.root().join("tree");
    make(&dir);
    for path in [dir.clone(), dir.join("program"), dir.join("link"), dir.join("a.b/7"), dir.join("empty")] {
        let theirs = raw(&nix, &["--dump", path.as_str()]);
        assert!(dumped(&path) == theirs, "{path}");
        let measured = nar(path.as_std_path(), &Cancel::default()).unwrap();
        assert_eq!(measured, Nar { hash: Digest::of(&theirs), size: theirs.len() as u64 });
        assert_eq!(nar_size(path.as_std_path(), &Cancel::default()).unwrap(), theirs.len() as u64);
        let hash = nix.ok("nix", &["hash", "path", "--base16", "--type", "sha256", path.as_str()]);
        assert_eq!(hash.trim(), measured.hash.to_string());
    }
}

/// What `nix-store` prints, byte for byte.
fn raw(nix: &TestNix, args: &[&str]) -> Vec<u8> {
    let cmd = nix.cmd(Cmd::user("nix-store").args(args.iter().copied()));
    let mut process = SystemRunner::default().spawn(&cmd).unwrap();
    let mut printed = Vec::new();
    loop {
        match process.poll(std::time::Duration::from_millis(50)) {
            bootway_exec::Poll::Output(bootway_plan::Stream::Stdout, bytes) => printed.extend(bytes),
            bootway_exec::Poll::Ended(exit) => {
                assert_eq!(exit, bootway_exec::Exit::Code(0));
                return printed;
            }
            _ => (),
        }
    }
}

#[test]
fn what_no_store_can_have_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let _socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let error = nar(&path, &Cancel::default()).unwrap_err().to_string();
    assert!(error.ends_with("/socket` is neither a file, nor a link, nor a directory"), "{error}");
}

#[test]
fn it_stops_when_asked() {
    let dir = tempfile::tempdir().unwrap();
    let cancel = Cancel::default();
    cancel.cancel();
    assert_eq!(nar(dir.path(), &cancel).unwrap_err().kind(), io::ErrorKind::Interrupted);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Another writer, of another shape: recursion over a tree in memory.
    #[test]
    fn any_tree_is_written_as_the_grammar_says(
        files in proptest::collection::btree_map("[a-c.]{1,3}(/[a-c-]{1,2}){0,2}", proptest::collection::vec(any::<u8>(), 0..20), 0..8),
    ) {
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            let path = dir.path().join(name);
            // A name may be a directory already, or lead through a file.
            if path.parent().is_some_and(|it| fs_err::create_dir_all(it).is_ok()) {
                let _ = fs_err::write(path, bytes);
            }
        }
        let mut expected = text(b"nix-archive-1");
        expected.extend(node(dir.path()));
        let path = Utf8Path::from_path(dir.path()).unwrap();
        prop_assert_eq!(dumped(path), expected);
    }
}

fn text(bytes: &[u8]) -> Vec<u8> {
    let mut text = (bytes.len() as u64).to_le_bytes().to_vec();
    text.extend(bytes);
    while !text.len().is_multiple_of(8) {
        text.push(0);
    }
    text
}

fn node(path: &Path) -> Vec<u8> {
    let words = |words: &[&[u8]]| words.iter().flat_map(|word| text(word)).collect::<Vec<u8>>();
    let inner = if path.is_dir() {
        let mut names: Vec<_> = std::fs::read_dir(path).unwrap().map(|it| it.unwrap().file_name()).collect();
        names.sort();
        let entry = |name: OsString| {
            let inside = node(&path.join(&name));
            [words(&[b"entry", b"(", b"name", name.as_bytes(), b"node"]), inside, words(&[b")"])].concat()
        };
        [words(&[b"directory"]), names.into_iter().flat_map(entry).collect()].concat()
    } else {
        words(&[b"regular", b"contents", &std::fs::read(path).unwrap()])
    };
    [words(&[b"(", b"type"]), inner, words(&[b")"])].concat()
}

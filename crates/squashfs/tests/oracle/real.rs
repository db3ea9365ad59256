//! Trees as they are.

use std::path::{Path, PathBuf};

use bootway_squashfs::{Compressor, Options, Rules, Tree, Writer};

use crate::{
    host::{self, Ask},
    witness::{Witnesses, agree},
};

/// Paths of trees, with `:` between them, that are taken instead of those of this machine.
const TREES: &str = "BOOTWAY_TREES";

/// What every Debian has, or the tests' other tools bring along: programs, libraries, modules of Perl and Python.
const HERE: [&str; 5] = [
    "/usr/share/zoneinfo",
    "/usr/share/perl",
    "/usr/lib/python3",
    "/usr/lib/x86_64-linux-gnu/perl-base",
    "/usr/sbin",
];

#[test]
fn trees_of_real_systems_are_read_by_all() {
    let trees: Vec<PathBuf> = match std::env::var_os(TREES) {
        Some(paths) => std::env::split_paths(&paths).collect(),
        None => HERE.iter().map(PathBuf::from).filter(|path| path.is_dir()).collect(),
    };
    assert!(!trees.is_empty(), "none of {HERE:?} is there: set {TREES} to some trees");
    for tree in trees {
        read_by_all(&tree);
    }
}

fn read_by_all(from: &Path) {
    let dir = tempfile::tempdir().unwrap();
    let facts = host::facts(from, Ask::Source);
    let tree = Tree::scan(from, &Rules::default(), &mut Tree::unwatched()).unwrap();
    let image = dir.path().join("image");
    let options = Options { compressor: Compressor::Zstd { level: 3 }, ..Options::default() };
    Writer::new(options).write(&tree, &image).unwrap();
    agree(&image, &facts, Witnesses::COMPLETE);
}

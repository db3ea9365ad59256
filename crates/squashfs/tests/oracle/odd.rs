//! Trees at the edges of the format.

use std::{fs::File, os::unix::fs::FileExt, path::Path};

use bootway_squashfs::{BlockSize, Compressor, Kind, Node, Options, Rules, Summary, Tree, Writer};

use crate::{
    facts::Facts,
    host::{self, Ask},
    trees::{self, noise, prose},
    witness::{Witnesses, agree, disagreements},
};

fn quick() -> Options {
    Options { compressor: Compressor::Zstd { level: 1 }, ..Options::default() }
}

/// Writes a tree of memory, and everybody agrees to it.
#[track_caller]
fn agreed(tree: &Tree, options: Options, witnesses: Witnesses) -> Summary {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("image");
    let summary = Writer::new(options).write(tree, &image).unwrap();
    agree(&image, &Facts::of(tree), witnesses);
    summary
}

/// Only these can hold names of 256 bytes, 65,535 owners and attributes of 60,000 bytes.
const FEW: Witnesses = Witnesses { unsquashfs: false, sqfs2tar: false, backhand: false, ..Witnesses::ALL };

fn of(contents: &[Vec<u8>]) -> Tree {
    let mut tree = Tree::default();
    for (index, content) in contents.iter().enumerate() {
        tree.insert(format!("file-{index}"), Node::file(0o644, content.as_slice())).unwrap();
    }
    tree
}

#[test]
fn the_smallest_trees_are_read_by_all() {
    let block = 128 << 10;
    let trees: [Vec<Vec<u8>>; 10] = [
        vec![],
        vec![vec![]],
        vec![vec![], vec![], vec![]],
        vec![b"x".to_vec()],
        vec![vec![0]],
        vec![prose(1, block)],
        vec![prose(1, block - 1)],
        vec![prose(1, block + 1)],
        vec![vec![0; block]],
        vec![noise(1, block), noise(1, block), noise(1, 2 * block), noise(1, block + 1)],
    ];
    for contents in &trees {
        agreed(&of(contents), quick(), Witnesses::ALL);
        agreed(&of(contents), Options { tail_ends: true, export: false, ..quick() }, Witnesses::ALL);
    }
}

#[test]
fn equal_files_are_in_the_image_once() {
    let same = [noise(1, 300_000), noise(1, 300_000), noise(2, 100), noise(2, 100)];
    let summary = agreed(&of(&same), quick(), Witnesses::ALL);
    assert_eq!(summary.duplicates, 300_100);
    assert!(summary.image < 310_000, "{summary:?}");
    // Files that begin alike, or have the same length and the same end, are not equal.
    let alike = [noise(1, 300_000), [&noise(1, 262_144)[..], &noise(3, 37_856)].concat()];
    agreed(&of(&alike), quick(), Witnesses::ALL);
}

#[test]
fn a_directory_holds_70_000_names() {
    let mut tree = Tree::default();
    for name in 0..70_000_u32 {
        let content = if name.is_multiple_of(7_000) { prose(name.into(), 3000) } else { Vec::new() };
        tree.insert(format!("directory/entry-{name}"), Node::file(0o644, content)).unwrap();
    }
    agreed(&tree, quick(), Witnesses::COMPLETE);
}

#[test]
fn names_of_one_directory_lead_to_files_that_are_far_apart() {
    let mut tree = Tree::default();
    let mut ids = Vec::new();
    for name in 0..40_000_u32 {
        ids.push(tree.insert(format!("all/{name:05}"), Node::file(0o600, *b"")).unwrap());
    }
    for link in 0..600 {
        let id = if link % 2 == 0 { ids[link] } else { ids[ids.len() - link] };
        tree.link(format!("links/{link}"), id).unwrap();
    }
    agreed(&tree, quick(), FEW);
}

#[test]
fn what_no_other_file_system_holds_is_read_by_the_kernel() {
    for block_size in [BlockSize::MIN, BlockSize::MAX] {
        agreed(&trees::impossible(), Options { block_size, ..quick() }, FEW);
    }
}

#[test]
fn owners_and_groups_are_up_to_65_535() {
    let mut tree = Tree::default();
    for owner in 0..65_535_u32 {
        let name = format!("{}/{owner}", owner % 100);
        tree.insert(name, Node::new(0o600, Kind::Fifo).owner(owner * 3, (65_534 - owner) * 3)).unwrap();
    }
    agreed(&tree, quick(), FEW);
}

#[test]
fn directories_are_a_thousand_deep() {
    let mut tree = Tree::default();
    tree.insert("d/".repeat(1000) + "bottom", Node::file(0o644, *b"here")).unwrap();
    agreed(&tree, quick(), FEW);
}

/// Linux reads no more of a symbolic link than a page, since 6.11.
#[test]
fn symbolic_links_that_linux_does_not_follow_are_refused() {
    let mut tree = Tree::default();
    tree.insert("link", Node::symlink(vec![b't'; 4095])).unwrap();
    agreed(&tree, quick(), Witnesses::COMPLETE);
    insta::assert_snapshot!(tree.insert("longer", Node::symlink(vec![b't'; 4096])).unwrap_err(), @"the symbolic link `longer` says 4096 bytes, squashfs holds 1 to 4095: make it shorter or leave it out");
}

#[test]
fn five_gibibytes_of_holes_stay_holes() {
    let dir = tempfile::tempdir().unwrap();
    let from = dir.path().join("tree");
    std::fs::create_dir(&from).unwrap();
    let file = File::create(from.join("sparse")).unwrap();
    file.set_len((5 << 30) + 12_345).unwrap();
    for (at, what) in [(0, "begin"), ((4 << 30) - 3, "on the edge"), ((5 << 30) + 12_342, "end")] {
        file.write_all_at(what.as_bytes(), at).unwrap();
    }
    std::fs::write(from.join("after"), prose(1, 200_000)).unwrap();
    let facts = host::facts(&from, Ask::Source);
    let tree = Tree::scan(&from, &Rules::default(), &mut Tree::unwatched()).unwrap();
    let image = dir.path().join("image");
    let summary = Writer::new(quick()).write(&tree, &image).unwrap();
    assert!(summary.image < 200_000, "{summary:?}");
    assert!(summary.read < 2 << 20, "holes are not read: {summary:?}");
    agree(&image, &facts, Witnesses { sqfs2tar: false, backhand: false, ..Witnesses::ALL });
}

/// An image as it was yesterday is no reason to believe that of today.
#[test]
fn threads_do_not_change_the_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let from = dir.path().join("tree");
    std::fs::create_dir(&from).unwrap();
    trees::rich(&from);
    let tree = Tree::scan(&from, &Rules::default(), &mut Tree::unwatched()).unwrap();
    let image = |threads: usize| {
        let image = dir.path().join(threads.to_string());
        Writer::new(Options { threads: threads.try_into().ok(), ..quick() }).write(&tree, &image).unwrap();
        std::fs::read(image).unwrap()
    };
    let one = image(1);
    assert!([2, 3, 8].into_iter().all(|threads| image(threads) == one));
}

/// A damaged image is noticed by the harness, whatever is damaged.
#[test]
fn a_flipped_bit_in_the_contents_is_seen() {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("image");
    let tree = of(&[noise(1, 200_000)]);
    Writer::new(quick()).write(&tree, &image).unwrap();
    let file = File::options().write(true).open(&image).unwrap();
    file.write_all_at(&[!noise(1, 1001)[1000]], 96 + 1000).unwrap();
    assert!(written(&image)[96 + 1000] != noise(1, 1001)[1000]);
    assert!(!disagreements(&image, &Facts::of(&tree), Witnesses::ALL).is_empty());
}

fn written(image: &Path) -> Vec<u8> {
    std::fs::read(image).unwrap()
}

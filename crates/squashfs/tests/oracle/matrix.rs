//! Every compressor with small, usual and large blocks.

use std::fs;

use bootway_squashfs::{BlockSize, Compressor, Options, Rules, Tree, Writer};

use crate::{
    host::{self, Ask},
    trees,
    witness::{Witnesses, agree},
};

fn blocks_of(compressor: Compressor) {
    let dir = tempfile::tempdir().unwrap();
    let from = dir.path().join("tree");
    fs::create_dir(&from).unwrap();
    trees::rich(&from);
    let facts = host::facts(&from, Ask::Source);
    let tree = Tree::scan(&from, &Rules::default(), &mut Tree::unwatched()).unwrap();
    let image = dir.path().join("image");
    for (index, size) in [4 << 10, 128 << 10, 1 << 20].into_iter().enumerate() {
        let options = Options {
            compressor,
            block_size: BlockSize::new(size).unwrap(),
            tail_ends: index == 1,
            export: index != 2,
            ..Options::default()
        };
        Writer::new(options).write(&tree, &image).unwrap();
        agree(&image, &facts, Witnesses::COMPLETE);
    }
}

#[test]
fn gzip_is_read_by_all() {
    blocks_of(Compressor::Gzip { level: 6 });
}

#[test]
fn zstd_is_read_by_all() {
    blocks_of(Compressor::Zstd { level: 15 });
}

#[test]
fn xz_is_read_by_all() {
    blocks_of(Compressor::Xz { level: 3, bcj: None });
}

#[test]
fn xz_with_a_filter_is_read_by_all() {
    blocks_of(Compressor::Xz { level: 0, bcj: Some(bootway_squashfs::Bcj::X86) });
}

#[test]
fn lz4_is_read_by_all() {
    blocks_of(Compressor::Lz4 { high: false });
}

#[test]
fn the_highest_levels_are_read_by_all() {
    for compressor in
        [Compressor::Zstd { level: 22 }, Compressor::Gzip { level: 12 }, Compressor::Lz4 { high: true }]
    {
        let dir = tempfile::tempdir().unwrap();
        let from = dir.path().join("tree");
        fs::create_dir(&from).unwrap();
        fs::write(from.join("prose"), trees::prose(1, 2_300_000)).unwrap();
        let facts = host::facts(&from, Ask::Source);
        let tree = Tree::scan(&from, &Rules::default(), &mut Tree::unwatched()).unwrap();
        for block_size in [BlockSize::MIN, BlockSize::MAX] {
            let image = dir.path().join("image");
            Writer::new(Options { compressor, block_size, ..Options::default() })
                .write(&tree, &image)
                .unwrap();
            // Its gzip is not built here: it would change the flate2 of every other test.
            let backhand = compressor.name() != "gzip";
            agree(&image, &facts, Witnesses { backhand, ..Witnesses::ALL });
        }
    }
}

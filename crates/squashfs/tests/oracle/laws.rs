//! What holds for every tree, shown with trees of chance.

use std::{fs, path::Path};

use bootway_squashfs::{BlockSize, Cache, Compressor, Kind, Node, Options, Rules, Tree, Writer};
use proptest::{collection::vec, prelude::*, sample::select};

use crate::{
    facts::Facts,
    trees::{noise, prose},
    witness::{Witnesses, agree, ours},
};

/// Lengths around the edges of blocks, and few seeds, so that equal files and equal blocks are common.
fn content() -> impl Strategy<Value = Vec<u8>> {
    let length = prop_oneof![
        Just(0_usize),
        1..200_usize,
        select(vec![4095_usize, 4096, 4097, 8192, 12_289, 131_072, 131_073, 262_144]),
        0..400_000_usize
    ];
    (0..4_u8, 0..3_u64, length).prop_map(|(shape, seed, length)| match shape {
        0 => noise(seed, length),
        1 => prose(seed, length),
        2 => vec![0; length],
        _ => [vec![0; length / 2], noise(seed, length - length / 2)].concat(),
    })
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        6 => content().prop_map(|content| Node::file(0, content).kind),
        1 => Just(Node::directory(0).kind),
        1 => vec(1..=255_u8, 1..300).prop_map(|target| Node::symlink(target).kind),
        1 => (0..4096_u32, 0..(1_u32 << 20)).prop_map(|(major, minor)| Kind::CharDevice { major, minor }),
        1 => (0..4096_u32, 0..(1_u32 << 20)).prop_map(|(major, minor)| Kind::BlockDevice { major, minor }),
        1 => Just(Kind::Fifo),
    ]
}

fn node() -> impl Strategy<Value = Node> {
    let owner =
        prop_oneof![Just(0), 0..5_u32, any::<u32>().prop_filter("-1 is nobody", |id| *id != u32::MAX)];
    let xattrs = vec((select(vec!["trusted.a", "trusted.b", "security.c"]), vec(128..255_u8, 0..200)), 0..3);
    (kind(), 0..0o10000_u16, owner.clone(), owner, any::<u32>(), xattrs).prop_map(
        |(kind, mode, uid, gid, mtime, xattrs)| {
            let mode = if matches!(kind, Kind::Symlink(_)) { 0o777 } else { mode };
            let node = Node::new(mode, kind).owner(uid, gid).mtime(mtime);
            xattrs.into_iter().fold(node, |node, (name, value)| node.xattr(name, value))
        },
    )
}

/// Trees of files and hard links, in few directories.
fn tree() -> impl Strategy<Value = Tree> {
    let path = || "([abc]/){0,3}[a-f]{1,2}";
    (node(), vec((path(), node(), proptest::option::of(path())), 0..40)).prop_map(|(root, files)| {
        let root = Node { kind: Node::directory(0).kind, ..root };
        let mut tree = Tree::new(root).unwrap();
        for (path, node, link) in files {
            // What is in the way of another stays there.
            if let Ok(id) = tree.insert(path, node)
                && let Some(link) = link
            {
                let _in_the_way = tree.link(link, id);
            }
        }
        tree
    })
}

fn options() -> impl Strategy<Value = Options> {
    let compressor = select(vec![
        Compressor::Gzip { level: 1 },
        Compressor::Zstd { level: 1 },
        Compressor::Lz4 { high: false },
        Compressor::Xz { level: 0, bcj: None },
    ]);
    (compressor, 12..=20_u32, any::<bool>(), any::<bool>(), 1..4_usize).prop_map(
        |(compressor, log, tail_ends, export, threads)| Options {
            compressor,
            block_size: BlockSize::new(1 << log).unwrap(),
            tail_ends,
            export,
            threads: threads.try_into().ok(),
            ..Options::default()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn our_reader_finds_what_our_writer_wrote(tree in tree(), options in options()) {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("image");
        Writer::new(options).write(&tree, &image).unwrap();
        let differences = Facts::of(&tree).differences(&ours(&image), |_, _| false);
        prop_assert!(differences.is_empty(), "{}", differences.join("\n"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn everybody_finds_what_our_writer_wrote(tree in tree(), options in options()) {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("image");
        Writer::new(options).write(&tree, &image).unwrap();
        agree(&image, &Facts::of(&tree), Witnesses::COMPLETE);
    }

    #[test]
    fn builds_with_a_cache_are_the_builds_without(
        files in vec((0..12_u8, content()), 1..12),
        rounds in vec(vec((0..12_u8, 0..6_u8, content()), 0..4), 1..5),
        options in options(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let from = dir.path().join("tree");
        fs::create_dir_all(from.join("sub")).unwrap();
        let cache = Cache::open(&dir.path().join("cache")).unwrap();
        for (name, content) in &files {
            fs::write(place(&from, *name), content).unwrap();
        }
        for edits in std::iter::once(&Vec::new()).chain(&rounds) {
            for (name, edit, content) in edits {
                change(&place(&from, *name), *edit, content);
            }
            let tree = Tree::scan(&from, &Rules::default(), &mut Tree::unwatched()).unwrap();
            let (warm, cold) = (dir.path().join("warm"), dir.path().join("cold"));
            Writer::new(options.clone()).cache(&cache).write(&tree, &warm).unwrap();
            Writer::new(options.clone()).write(&tree, &cold).unwrap();
            prop_assert!(fs::read(&warm).unwrap() == fs::read(&cold).unwrap(), "after {edits:?}");
        }
    }
}

fn place(from: &Path, name: u8) -> std::path::PathBuf {
    from.join(if name.is_multiple_of(3) { format!("sub/{name}") } else { name.to_string() })
}

/// One of the ways in which files change.
fn change(path: &Path, edit: u8, content: &[u8]) {
    let old = fs::read(path).unwrap_or_default();
    match edit {
        0 => fs::write(path, content).unwrap(),
        1 => fs::write(path, [&old, content].concat()).unwrap(),
        2 => fs::write(path, &old[..old.len() / 2]).unwrap(),
        3 => drop(fs::remove_file(path)),
        4 => {
            // The same length, another byte.
            let mut new = old;
            if let Some(byte) = new.last_mut() {
                *byte ^= 1;
            }
            fs::write(path, new).unwrap();
        }
        _ => {
            let name = path.with_extension("renamed");
            let _may_be_missing = fs::rename(path, name);
        }
    }
}

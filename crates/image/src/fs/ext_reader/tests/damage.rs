//! Every field damaged in turn, cuts, flips, and bytes that are no file system at all.

use std::fs::File;

use proptest::{collection::vec, prelude::*};

use super::*;

/// A small image, and where its structures are.
struct Small {
    path: Utf8PathBuf,
    file: File,
    bytes: Vec<u8>,
    before: Tree,
}

impl Small {
    fn new(sandbox: &Sandbox<'_>, options: &str) -> Self {
        let source = sandbox.root().join("small");
        fs_err::create_dir_all(source.join("dir/below")).unwrap();
        fs_err::write(source.join("dir/file"), bytes(5000, 9)).unwrap();
        fs_err::write(source.join("dir/tiny"), "x").unwrap();
        fs_err::write(source.join("big"), bytes(40_000, 9)).unwrap();
        fs_err::remove_file(source.join("link")).ok();
        symlink("dir/file", source.join("link")).unwrap();
        set_xattr(&source.join("dir/file"), "user.it", &bytes(300, 1));
        let path = mke2fs(sandbox, Some(&source), options, "1M");
        let file = fs_err::OpenOptions::new().read(true).write(true).open(&path).unwrap().into_file();
        let bytes = fs_err::read(&path).unwrap();
        let before = in_memory(tree_of(&path));
        Self { path, file, bytes, before }
    }

    /// What is read while `bytes` are at `at`.
    fn with(&self, at: usize, bytes: &[u8]) -> Result<Tree, String> {
        self.file.write_all_at(bytes, at as u64).unwrap();
        let result = ExtReader::open(&self.path, 0, u64::MAX)
            .and_then(|reader| reader.tree(&Cancel::default()))
            .map(|(tree, _)| in_memory(tree))
            .map_err(|error| error.to_string());
        self.file.write_all_at(&self.bytes[at..at + bytes.len()], at as u64).unwrap();
        result
    }

    fn le32(&self, at: usize) -> usize {
        u32::from_le_bytes(self.bytes[at..at + 4].try_into().unwrap()) as usize
    }

    /// Every word of every structure that the tree is read from: what it is, where, and how long it is.
    fn words(&self) -> Vec<(&'static str, usize, usize)> {
        let descriptors = 2048;
        let inodes = self.le32(descriptors + 8) * 1024;
        let inode_size = u16::from_le_bytes(self.bytes[1024 + 88..1024 + 90].try_into().unwrap()) as usize;
        let mut words: Vec<_> = (0..256).map(|n| ("superblock", 1024 + 4 * n, 4)).collect();
        words.extend((0..16).map(|n| ("group 0", descriptors + 4 * n, 4)));
        for number in [2, 11, 12, 13, 14, 15, 16, 17, 18] {
            words.extend(
                (0..inode_size / 4).map(|n| ("inode", inodes + (number - 1) * inode_size + 4 * n, 4)),
            );
        }
        for name in ["lost+found", "dir", "big", "link", "file", "tiny", "below"] {
            let at = self.entry(name);
            words.extend(
                [(at, 4), (at + 4, 2), (at + 6, 1), (at + 7, 1), (at + 8, 1)]
                    .map(|(at, len)| ("directory", at, len)),
            );
        }
        words
    }

    /// Where the directory entry of `name` is.
    fn entry(&self, name: &str) -> usize {
        let is = |at: &usize| {
            self.bytes[*at + 6] as usize == name.len()
                && self.bytes[at + 8..].starts_with(name.as_bytes())
                && (1..100).contains(&self.le32(*at))
        };
        (4096..self.bytes.len() - 300).step_by(4).find(is).unwrap_or_else(|| panic!("no entry for {name}"))
    }
}

/// What a field of these bytes becomes.
fn damages(bytes: &[u8]) -> [Vec<u8>; 5] {
    let flipped = |n: usize, bit: u8| {
        let mut bytes = bytes.to_vec();
        bytes[n] ^= bit;
        bytes
    };
    [
        flipped(0, 1),
        flipped(bytes.len() - 1, 0x80),
        flipped(0, 0x10),
        vec![0; bytes.len()],
        vec![0xff; bytes.len()],
    ]
}

#[test]
fn with_checksums_each_damaged_field_is_named_or_makes_no_difference() {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let small = Small::new(&sandbox, "-t ext4 -b 1024 -O metadata_csum,^has_journal,^resize_inode -N 32");
    let mut named = 0;
    for (structure, at, len) in small.words() {
        for damaged in damages(&small.bytes[at..at + len]) {
            match small.with(at, &damaged) {
                Ok(tree) => assert_eq!(tree, small.before, "{structure}, byte {at}: {damaged:x?}"),
                Err(said) => {
                    assert!(
                        said.contains(structure) && said.contains("byte"),
                        "{structure}, byte {at}: {said}"
                    );
                    named += 1;
                }
            }
        }
    }
    assert!(named > 1500, "{named}");
}

#[test]
fn without_checksums_nothing_is_made_of_damaged_fields_that_is_not_there() {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    for options in [
        "-t ext2 -b 1024 -N 32",
        "-t ext4 -b 1024 -O ^metadata_csum,^has_journal,^resize_inode -N 32",
        "-t ext4 -b 1024 -O ^metadata_csum,^has_journal,^resize_inode,inline_data -N 32",
    ] {
        let small = Small::new(&sandbox, options);
        for (structure, at, len) in small.words() {
            for damaged in damages(&small.bytes[at..at + len]) {
                match small.with_facts(at, &damaged) {
                    Ok(tree) => {
                        assert!(tree.nodes.len() < 20, "{structure}, byte {at}");
                    }
                    Err(said) => assert!(said.contains("byte"), "{structure}, byte {at}: {said}"),
                }
            }
        }
    }
}

impl Small {
    /// As [`with`](Self::with), without reading contents: a damaged size may say that there are a lot of zeros.
    fn with_facts(&self, at: usize, bytes: &[u8]) -> Result<Tree, String> {
        self.file.write_all_at(bytes, at as u64).unwrap();
        let result = ExtReader::open(&self.path, 0, u64::MAX)
            .and_then(|reader| reader.tree(&Cancel::default()))
            .map(|(tree, _)| tree)
            .map_err(|error| error.to_string());
        self.file.write_all_at(&self.bytes[at..at + bytes.len()], at as u64).unwrap();
        result
    }
}

#[test]
fn a_cut_image_is_refused_wherever_it_is_cut() {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    for options in ["-t ext2 -b 1024", "-t ext4 -b 4096"] {
        let image = mke2fs(&sandbox, None, options, "4M");
        for len in (0..4 * MIB).step_by(4096).chain([1023, 1024, 2047, 4 * MIB - 1]) {
            let error = ExtReader::open(&image, 0, len).unwrap_err();
            let said = error.to_string();
            assert!(
                said.contains("superblock") && said.contains("cut") && said.contains("byte"),
                "{len}: {said}"
            );
        }
        opened(&image);
    }
}

#[test]
fn where_it_is_in_a_file_makes_no_difference() {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let small = Small::new(&sandbox, "-t ext4 -b 1024 -N 32");
    let disk = sandbox.root().join("disk");
    let start = 34 * 512;
    fs_err::write(&disk, [vec![0xee; start], small.bytes.clone(), vec![0xee; 4096]].concat()).unwrap();
    let reader = ExtReader::open(&disk, start as u64, small.bytes.len() as u64).unwrap();
    let (tree, _) = reader.tree(&Cancel::default()).unwrap();
    assert_same(&small.before, &tree, "in a disk");
    let said = |offset| ExtReader::open(&disk, offset, u64::MAX).unwrap_err().to_string();
    insta::assert_snapshot!(said(512), @"no ext file system: byte 1592 has 0xeeee, and not the 0xef53 of a superblock");
    insta::assert_snapshot!(said(1 << 40), @"the superblock is cut: it needs bytes 1099511628800 to 1099511629824, and the image ends at 1099511627776");
    insta::assert_snapshot!(said(u64::MAX), @"the superblock is cut: it needs bytes 18446744073709551615 to 18446744073709551615, and the image ends at 18446744073709551615");
}

#[test]
fn flipped_bits_never_panic() {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let options =
        ["-t ext2 -b 1024 -N 32", "-t ext4 -b 1024 -O ^metadata_csum,^has_journal,inline_data -N 32"];
    let images = options.map(|options| Small::new(&sandbox, options));
    let config = ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(which in 0..2_usize, at in 0..(200_usize << 10), byte: u8)| {
        if let Ok(tree) = images[which].with_facts(at, &[byte]) {
            prop_assert!(tree.nodes.len() < 20);
        }
    });
}

#[test]
fn arbitrary_bytes_behind_a_superblock_never_panic() {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let path = sandbox.root().join("arbitrary");
    let config = ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(
        bytes in vec(any::<u8>(), 32 << 10),
        log in 0..4_u32,
        compatible: u32,
        incompatible: u32,
        groups in 1..5_u32,
        revision in 0..2_u32,
        table in 0..32_u32,
    )| {
        let mut bytes = bytes;
        let mut set = |at: usize, value: u32| bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        let size = 1024_u32 << log;
        let first = u32::from(log == 0);
        let blocks = (32 << 10) / size;
        let per_group = (blocks / groups).max(8);
        let groups = (blocks - first).div_ceil(per_group);
        for (at, value) in [
            (0, groups * 16), (4, blocks), (20, first), (24, log), (28, log), (32, per_group), (36, per_group),
            (40, 16), (56, 0xef53), (76, revision), (84, 11), (88, 128), (92, compatible),
            (96, incompatible & 0x2_c6d6), (100, 0),
        ] {
            set(1024 + at, value);
        }
        set(((first + 1) * size) as usize + 8, table);
        fs_err::write(&path, &bytes).unwrap();
        if let Ok(reader) = ExtReader::open(&path, 0, u64::MAX) {
            drop(reader.tree(&Cancel::default()));
            drop(reader.read(&"etc/lsb-release".parse().unwrap(), 1 << 20));
        }
    });
}

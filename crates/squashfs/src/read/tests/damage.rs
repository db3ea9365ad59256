//! Images that are damaged, byte by byte, and images that are made to do damage.

use std::{fs, os::unix::fs::symlink, path::Path};

use super::made::{COMPRESSORS, Made};
use crate::{
    format::superblock::Superblock,
    read::{Extract, Image, Verify},
};

/// A little of everything, in a few kilobytes.
fn small_tree() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a"), b"text ".repeat(1000)).unwrap();
    fs::write(dir.path().join("tail"), "tail").unwrap();
    fs::create_dir(dir.path().join("d")).unwrap();
    fs::hard_link(dir.path().join("a"), dir.path().join("d/again")).unwrap();
    symlink("a", dir.path().join("to-a")).unwrap();
    let at = dir.path().join("tail");
    rustix::fs::lsetxattr(at, "user.x", b"value", rustix::fs::XattrFlags::empty()).unwrap();
    dir
}

/// Does all that can be done, with whatever comes of it.
fn use_it(bytes: &[u8]) {
    let Ok(image) = Image::from_bytes(bytes) else { return };
    for entry in image.entries().take(1000).map_while(Result::ok) {
        let _ = image.xattrs(&entry);
        let Ok(mut reader) = image.read(&entry) else { continue };
        for _ in 0..100 {
            if !matches!(reader.next_chunk(), Ok(Some(_))) {
                break;
            }
        }
    }
    let options = Verify { limit: 1 << 20, threads: std::num::NonZero::new(1), ..Verify::default() };
    if image.verify(&options).is_sound() {
        assert_eq!(image.entries().filter(Result::is_err).count(), 0);
    }
}

#[test]
fn a_flipped_bit_or_a_cut_is_an_error_at_worst() {
    let tree = small_tree();
    for compressor in COMPRESSORS {
        let made = Made::new(tree.path(), &["-comp", compressor, "-b", "4K", "-nopad"]);
        let bytes = fs::read(&made.image).unwrap();
        for at in 0..bytes.len() {
            for bit in [0x01, 0x10, 0x80, 0xff] {
                let mut damaged = bytes.clone();
                damaged[at] ^= bit;
                use_it(&damaged);
            }
            use_it(&bytes[..at]);
        }
    }
}

#[test]
fn a_cut_is_always_noticed() {
    let made = Made::new(small_tree().path(), &["-b", "4K", "-nopad"]);
    let bytes = fs::read(&made.image).unwrap();
    for len in 0..bytes.len() {
        assert!(Image::from_bytes(&bytes[..len]).is_err(), "{len}");
    }
}

#[test]
fn damage_in_what_has_a_checksum_is_always_noticed() {
    // zlib has one, and so has everything in this image but its size words.
    let made = Made::new(small_tree().path(), &["-comp", "gzip", "-b", "4K", "-nopad", "-no-fragments"]);
    let bytes = fs::read(&made.image).unwrap();
    let image = Image::from_bytes(&bytes[..]).unwrap();
    let data = Superblock::LEN..image.superblock.inode_table as usize;
    assert!(image.verify(&Verify::default()).is_sound());
    let mut stored = 0;
    for at in data {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0xff;
        let verified = Image::from_bytes(&damaged[..]).unwrap().verify(&Verify::default());
        stored += u32::from(verified.is_sound());
    }
    // `tail` is four bytes, which no compressor makes smaller.
    assert_eq!(stored, 4);
}

/// An image whose metadata is stored as it is, with one name in it changed to another of the same length.
fn renamed(image: &Path, from: &[u8], to: &[u8]) -> Image {
    let mut bytes = fs::read(image).unwrap();
    let at = bytes.windows(from.len()).rposition(|window| window == from).unwrap();
    bytes[at..at + to.len()].copy_from_slice(to);
    Image::from_bytes(bytes).unwrap()
}

#[test]
fn no_name_leads_out_of_the_directory() {
    let tree = tempfile::tempdir().unwrap();
    fs::create_dir(tree.path().join("aa")).unwrap();
    fs::write(tree.path().join("aa/evil"), "outside").unwrap();
    let made = Made::new(tree.path(), &["-noI", "-noD", "-noF"]);
    let place = tempfile::tempdir().unwrap();
    let refused = |from: &[u8], to: &[u8]| {
        let image = renamed(&made.image, from, to);
        assert!(!image.verify(&Verify::default()).is_sound());
        let error = image.extract(place.path().join("in"), &Extract::default()).unwrap_err();
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
        error.to_string()
    };
    let all = [refused(b"aa", b".."), refused(b"evil", b"/etc"), refused(b"evil", b"ev\0l")];
    insta::assert_snapshot!(all.join("\n"), @r"
    `/`: the name `..` stands for another directory
    `aa`: the name `/etc` has a slash
    `aa`: the name `ev\x00l` has a zero byte
    ");
}

#[test]
fn no_file_is_written_through_a_link_of_the_image() {
    let tree = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    symlink(outside.path(), tree.path().join("aaaa")).unwrap();
    fs::create_dir(tree.path().join("aaab")).unwrap();
    fs::write(tree.path().join("aaab/evil"), "outside").unwrap();
    let made = Made::new(tree.path(), &["-noI", "-noD", "-noF"]);
    let image = renamed(&made.image, b"aaab", b"aaaa");
    let error = image.extract(tree.path().join("in"), &Extract::default()).unwrap_err();
    assert_eq!(error.to_string(), "`aaaa`: the name `aaaa` is there twice");
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[test]
fn a_directory_in_itself_ends() {
    let tree = tempfile::tempdir().unwrap();
    fs::create_dir_all(tree.path().join("a/b")).unwrap();
    let made = Made::new(tree.path(), &["-noI"]);
    let bytes = fs::read(&made.image).unwrap();
    let image = Image::from_bytes(&bytes[..]).unwrap();
    let inodes = image.superblock.inode_table as usize + 2;
    // Basic directory inodes of 32 bytes: `b`, `a`, and the root. `b` takes the listing of `a`, and so holds itself.
    let mut looped = bytes.clone();
    looped.copy_within(inodes + 48..inodes + 60, inodes + 16);
    let image = Image::from_bytes(&looped[..]).unwrap();
    let last = image.entries().last().unwrap().unwrap_err();
    assert_eq!(last.to_string(), "`a/b/b`: the directory is also somewhere else: no directory has two names");
    let verified = image.verify(&Verify::default());
    let problems: Vec<String> = verified.problems.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(problems.join("\n"), @"
    `a/b`: its parent is said to be 1, and is 2
    `a/b`: the directory has two names
    ");
}

#[test]
fn verify_says_what_is_wrong_and_where() {
    let tree = small_tree();
    let made = Made::new(tree.path(), &["-noI", "-noD", "-noF", "-noX", "-noId", "-b", "4K"]);
    let bytes = fs::read(&made.image).unwrap();
    let image = Image::from_bytes(&bytes[..]).unwrap();
    let [inodes, ids, xattrs] =
        [image.superblock.inode_table, image.superblock.id_table, image.superblock.xattr_table]
            .map(|at| at as usize);
    let verdict = |at: usize, value: u8| {
        let mut damaged = bytes.clone();
        damaged[at] = value;
        match Image::from_bytes(&damaged[..]) {
            Ok(image) => {
                let verified = image.verify(&Verify::default());
                verified.problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
            }
            Err(error) => error.to_string(),
        }
    };
    let all = [
        // The first inode is that of `a`: its owner, its number, its names.
        verdict(inodes + 2 + 4, 7),
        verdict(inodes + 2 + 12, 200),
        verdict(inodes + 2 + 40, 3),
        verdict(ids + 7, 1),
        verdict(xattrs + 8, 9),
        verdict(4, 9),
        verdict(bytes.len() - 1, 1),
    ];
    insta::assert_snapshot!(all.join("\n"), @"
    inode 1: owner 7 is meant, and there are 1
    `a`: inode 200 is meant, and there are 5; `/`: its entry `a` has the number of no inode; `d`: its entry `again` has the number of no inode; `a`: it has no name; inode 1: it is in the export table, and is not there
    `a`: the number of names is said to be 3, and is 2
    owners would be at 72057594037933404 to 72057594037933404, and the image has 5473 bytes: it is cut short or damaged
    the table of sets of extended attributes at 5498: the size of the table is said to be 144, and is 16; the table of sets of extended attributes at 5532: a metadata block would be at 5516 to 11000, and the image has 5532 bytes: it is cut short or damaged
    the table of references to inodes at 5418: the size of the table is said to be 72, and is 40; the table of inodes at 5100: the number of inodes is said to be 9, and is 5; the table of references to inodes at 5460: the export table is cut short: 1 bytes are missing
    the padding: it is not zeros
    ");
}

#[test]
fn a_file_of_more_holes_than_there_are_numbers_is_a_problem() {
    // Found by fuzzing: one more than this number is none.
    let tree = tempfile::tempdir().unwrap();
    fs::write(tree.path().join("zeros"), [0; 9000]).unwrap();
    fs::hard_link(tree.path().join("zeros"), tree.path().join("again")).unwrap();
    let made = Made::new(tree.path(), &["-noI", "-b", "4K"]);
    let mut bytes = fs::read(&made.image).unwrap();
    let image = Image::from_bytes(&bytes[..]).unwrap();
    assert!(image.verify(&Verify::default()).is_sound());
    // The extended inode of a file has it after its size.
    let at = image.superblock.inode_table as usize + 2 + 16 + 16;
    bytes[at..at + 8].fill(0xff);
    let verified = Image::from_bytes(&bytes[..]).unwrap().verify(&Verify::default());
    let problem = verified.problems[0].to_string();
    assert!(
        problem.starts_with("`again`: the number of bytes in holes is said to be 18446744073709551615"),
        "{problem}"
    );
}

//! Images that were made to do harm.

use super::*;
use crate::tree::write;

/// An image without checksums, in memory.
struct Bad {
    bytes: Vec<u8>,
    path: Utf8PathBuf,
}

const EXT2: &str = "-t ext2 -b 1024 -N 64";
const EXT4: &str = "-t ext4 -b 1024 -N 64 -O ^metadata_csum,^has_journal,^resize_inode";

impl Bad {
    fn new(sandbox: &Sandbox<'_>, options: &str) -> Self {
        let source = sandbox.root().join("bad");
        fs_err::create_dir_all(source.join("directory/inner")).unwrap();
        for name in ["seven77", "q9", "z", "directory/file", "twin-one"] {
            fs_err::write(source.join(name), bytes(30_000, 1)).unwrap();
        }
        fs_err::remove_file(source.join("twin-two")).ok();
        symlink("/etc", source.join("twin-two")).unwrap();
        let path = mke2fs(sandbox, Some(&source), options, "1M");
        Self { bytes: fs_err::read(&path).unwrap(), path }
    }

    fn le32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.bytes[at..at + 4].try_into().unwrap())
    }

    fn set(&mut self, at: usize, bytes: &[u8]) -> &mut Self {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    fn set32(&mut self, at: usize, value: u32) -> &mut Self {
        self.set(at, &value.to_le_bytes())
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

    /// Where the inode of `name` is.
    fn inode(&self, name: &str) -> usize {
        let number = self.le32(self.entry(name)) as usize;
        let size = usize::from(self.bytes[1024 + 88]) + 256 * usize::from(self.bytes[1024 + 89]);
        self.le32(2048 + 8) as usize * 1024 + (number - 1) * size
    }

    fn read(&self) -> Result<Tree, String> {
        fs_err::write(&self.path, &self.bytes).unwrap();
        let reader = ExtReader::open(&self.path, 0, u64::MAX).map_err(|error| error.to_string())?;
        let tree = reader.tree(&Cancel::default()).map_err(|error| error.to_string())?;
        Ok(tree.0)
    }

    /// What is wrong, without the numbers.
    fn said(&self) -> String {
        let said = self.read().unwrap_err();
        let mut text = String::new();
        for part in said.split_inclusive(|it: char| !it.is_ascii_digit()) {
            let part = part.trim_start_matches(|it: char| it.is_ascii_digit());
            text.push_str(part);
        }
        text
    }
}

#[test]
fn names_that_lead_elsewhere_are_errors() {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let said = |from: &str, to: &[u8]| {
        let mut bad = Bad::new(&sandbox, EXT2);
        let at = bad.entry(from);
        bad.set(at + 8, to).said()
    };
    insta::assert_snapshot!(said("seven77", b"../../x"), @"the directory of inode  at byte : the name `../../x` has a slash or a NUL");
    insta::assert_snapshot!(said("seven77", b"/etc/pw"), @"the directory of inode  at byte : the name `/etc/pw` has a slash or a NUL");
    insta::assert_snapshot!(said("seven77", b"a\0bcdef"), @r"the directory of inode  at byte : the name `a\xbcdef` has a slash or a NUL");
    insta::assert_snapshot!(said("q9", b".."), @"the directory of inode  at byte : `..` is there where a file's name should be");
    insta::assert_snapshot!(said("z", b"."), @"the directory of inode  at byte : `.` is there where a file's name should be");
    insta::assert_snapshot!(said("twin-two", b"twin-one"), @"the directory of inode  at byte : the entry `twin-one`: the name is there twice");
}

#[test]
fn directories_that_hold_themselves_are_errors() {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let said = |name: &str, inode: u32| {
        let mut bad = Bad::new(&sandbox, EXT2);
        let at = bad.entry(name);
        bad.set32(at, inode).said()
    };
    let bad = Bad::new(&sandbox, EXT2);
    let directory = bad.le32(bad.entry("directory"));
    insta::assert_snapshot!(said("inner", 2), @"the directory of inode  at byte : the entry `inner`: inode  is a directory that is in two places, or in itself");
    insta::assert_snapshot!(said("inner", directory), @"the directory of inode  at byte : the entry `inner`: inode  is a directory that is in two places, or in itself");
    insta::assert_snapshot!(said("file", directory), @"the directory of inode  at byte : the entry `file`: it says that it is of type , and its inode that it is Directory");
    insta::assert_snapshot!(said("q9", bad.le32(bad.entry("z"))), @"the directory of inode  at byte : the entry `z`: `i_links_count` of inode  is , and this is its second name");
    insta::assert_snapshot!(said("q9", 8), @"the directory of inode  at byte : `inode` is , and must be  to");
    insta::assert_snapshot!(said("q9", u32::MAX), @"the directory of inode  at byte : `inode` is , and must be  to");
}

#[test]
fn counts_of_two_to_the_thirty_second_are_errors() {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let said = |at: usize, value: u32| Bad::new(&sandbox, EXT4).set32(1024 + at, value).said();
    insta::assert_snapshot!(said(0, u32::MAX), @"the superblock at byte : `s_inodes_count` is , and must be  for  groups");
    insta::assert_snapshot!(said(4, u32::MAX), @"the superblock at byte : `s_blocks_count` is , so the file system is bytes  to , and the image ends at : it is cut");
    insta::assert_snapshot!(said(0x150, u32::MAX), @"the superblock at byte : `s_blocks_count` is , so the file system is bytes  to , and the image ends at : it is cut");
    insta::assert_snapshot!(said(24, u32::MAX), @"the superblock at byte : `s_log_block_size` is , and must be at most , for  KiB");
    insta::assert_snapshot!(said(32, u32::MAX), @"the superblock at byte : `s_blocks_per_group` is , and must be  to");
    insta::assert_snapshot!(said(32, 8), @"the superblock at byte : `s_inodes_count` is , and must be  for  groups");
    insta::assert_snapshot!(said(40, u32::MAX), @"the superblock at byte : `s_inodes_per_group` is , and must be  to");
    insta::assert_snapshot!(said(40, 0), @"the superblock at byte : `s_inodes_per_group` is , and must be  to");
    insta::assert_snapshot!(said(88, u32::MAX), @"the superblock at byte : `s_inode_size` is , and must be a power of two from  to a block");
}

#[test]
fn an_image_of_a_tebibyte_of_nothing_costs_nothing() {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let mut bad = Bad::new(&sandbox, EXT2);
    let before = bad.read().unwrap();
    let blocks = 1_u32 << 30;
    let groups = (blocks - 1).div_ceil(bad.le32(1024 + 32));
    let inodes = groups * bad.le32(1024 + 40);
    bad.set32(1024 + 4, blocks).set32(1024, inodes);
    fs_err::write(&bad.path, &bad.bytes).unwrap();
    fs_err::OpenOptions::new().write(true).open(&bad.path).unwrap().set_len(1 << 40).unwrap();
    let reader = opened(&bad.path);
    let (tree, _) = reader.tree(&Cancel::default()).unwrap();
    assert_eq!(tree.nodes.len(), before.nodes.len());
}

#[test]
fn block_maps_that_lead_in_circles_are_errors() {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    // Blocks at the end are free.
    let filled = |level: usize, with: u32| {
        let mut bad = Bad::new(&sandbox, EXT2);
        let at = bad.inode("q9");
        bad.set32(at + 4, u32::MAX).set32(at + 108, 3);
        bad.set32(at + 40 + 44 + 4 * level, 1000);
        for n in 0..256 {
            bad.set32(1000 * 1024 + 4 * n, with);
        }
        bad.said()
    };
    insta::assert_snapshot!(filled(3, 1000), @"the block map of inode  at byte : block  is used twice");
    insta::assert_snapshot!(filled(2, 999), @"the block map of inode  at byte : block  is used twice");
    insta::assert_snapshot!(filled(3, u32::MAX), @"the block map of inode  at byte : `i_block` is , and must be a block before");
    let mut bad = Bad::new(&sandbox, EXT2);
    let at = bad.inode("q9");
    insta::assert_snapshot!(bad.set32(at + 4, u32::MAX).set32(at + 108, u32::MAX).said(), @"inode  at byte : `i_size` is , and must be at most  blocks of  bytes");
}

#[test]
fn extents_that_are_not_there_or_more_than_there_is_are_errors() {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    // The header of `q9` and up to four extents of it.
    let with = |header: [u16; 4], entries: &[[u16; 6]]| {
        let mut bad = Bad::new(&sandbox, EXT4);
        let at = bad.inode("q9");
        bad.set32(at + 4, u32::MAX).set32(at + 108, 3);
        for (n, value) in header.into_iter().chain([0, 0]).chain(entries.concat()).enumerate() {
            bad.set(at + 40 + 2 * n, &value.to_le_bytes());
        }
        bad
    };
    let said = |header, entries: &[[u16; 6]]| with(header, entries).said();
    insta::assert_snapshot!(said([0xf30a, 1, 4, 0], &[[0, 0, 100, 0, 1000, 0]]), @"the extents of inode  at byte : `ee_start` is , and must be the first of  blocks before block");
    insta::assert_snapshot!(said([0xf30a, 1, 4, 0], &[[0, 0, 0, 0, 500, 0]]), @"the extents of inode  at byte : `ee_len` is , and must be  to  blocks, of ^ in all");
    insta::assert_snapshot!(said([0xf30a, 2, 4, 0], &[[0, 0, 9, 0, 500, 0], [8, 0, 9, 0, 600, 0]]), @"the extents of inode  at byte : `ee_block` is , and must be at least : extents ascend");
    let all = |n: u16| [n * 1000, 0, 900, 0, 100, 0];
    insta::assert_snapshot!(said([0xf30a, 4, 4, 0], &[all(0), all(1), all(2), all(3)]), @"the extents of inode  at byte : with it, files have more than the  blocks of the file system");
    insta::assert_snapshot!(said([0xf30a, 5, 4, 0], &[]), @"the extents of inode  at byte : `eh_entries` is , and must be at most");
    insta::assert_snapshot!(said([0xf30a, 1, 400, 0], &[]), @"the extents of inode  at byte : `eh_max` is , and must be  to");
    insta::assert_snapshot!(said([0xf30a, 1, 4, 6], &[]), @"the extents of inode  at byte : `eh_depth` is , and must be at most , with entries below");
    insta::assert_snapshot!(said([0xf30a, 0, 4, 1], &[]), @"the extents of inode  at byte : `eh_depth` is , and must be at most , with entries below");
    insta::assert_snapshot!(said([0, 0, 0, 0], &[]), @"the extents of inode  at byte : `eh_magic` is , and must be");
    // An index that leads to itself: the same node has another depth than it should.
    let mut bad = with([0xf30a, 1, 4, 5], &[[0, 0, 1000, 0, 0, 0]]);
    let node: Vec<u8> =
        [0xf30a_u16, 1, 84, 4, 0, 0, 0, 0, 1000, 0, 0, 0].iter().flat_map(|it| it.to_le_bytes()).collect();
    insta::assert_snapshot!(bad.set(1000 * 1024, &node).said(), @"the extents of inode  at byte : block  is used twice");
}

#[test]
fn attributes_that_share_their_bytes_are_errors() {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let block = |header: [u32; 3], entries: &[(u8, u16, u32)]| {
        let mut bad = Bad::new(&sandbox, EXT2);
        let at = bad.inode("q9");
        bad.set32(at + 104, 1000);
        for (n, word) in header.into_iter().enumerate() {
            bad.set32(1000 * 1024 + 4 * n, word);
        }
        for (n, (kind, offset, size)) in entries.iter().enumerate() {
            let at = 1000 * 1024 + 32 + 20 * n;
            bad.set(at, &[u8::from(*size != 7), *kind]).set(at + 2, &offset.to_le_bytes());
            bad.set32(at + 8, *size).set(at + 16, &[b'a' + n as u8]);
        }
        bad
    };
    let said = |header, entries: &[(u8, u16, u32)]| block(header, entries).said();
    let magic = 0xea02_0000;
    assert!(block([magic, 1, 1], &[(1, 500, 500)]).read().is_ok());
    insta::assert_snapshot!(said([0, 1, 1], &[]), @"the extended attributes of inode  at byte : `h_magic` is , and must be");
    insta::assert_snapshot!(said([magic, u32::MAX, 1], &[]), @"the extended attributes of inode  at byte : `h_refcount` is , and must be  to");
    insta::assert_snapshot!(said([magic, 1, 2], &[]), @"the extended attributes of inode  at byte : `h_blocks` is , and must be");
    insta::assert_snapshot!(said([magic, 1, 1], &[(1, 500, 500), (1, 500, 500), (1, 500, 500)]), @"the extended attributes of inode  at byte : the value of an entry ends behind it, or is another's too");
    insta::assert_snapshot!(said([magic, 1, 1], &[(1, 500, u32::MAX)]), @"the extended attributes of inode  at byte : the value of an entry ends behind it, or is another's too");
    insta::assert_snapshot!(said([magic, 1, 1], &[(77, 500, 0)]), @"the extended attributes of inode  at byte : `e_name_index` is , and none that is known");
    insta::assert_snapshot!(said([magic, 1, 1], &[(2, 500, 7)]), @"the extended attributes of inode  at byte : `system.posix_acl_access` is no access control list");
    let mut two = block([magic, 1, 1], &[(1, 500, 500)]);
    let at = two.inode("z");
    insta::assert_snapshot!(two.set32(at + 104, 1000).said(), @"the extended attributes of inode  at byte : more files share it than `h_refcount` says");
}

#[test]
fn links_out_of_the_root_are_written_as_they_are_and_never_followed() {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let (source, outside) = (sandbox.root().join("source"), sandbox.root().join("outside"));
    fs_err::create_dir_all(source.join("dir")).unwrap();
    fs_err::create_dir(&outside).unwrap();
    symlink(&outside, source.join("absolute")).unwrap();
    symlink("../../outside", source.join("dir/relative")).unwrap();
    fs_err::write(source.join("first"), "one").unwrap();
    fs_err::hard_link(source.join("first"), source.join("dir/second")).unwrap();
    let tree = tree_of(&mke2fs(&sandbox, Some(&source), "-t ext4", "4M"));
    let out = sandbox.root().join("written");
    write(&sandbox.cx(), &tree, &out).unwrap();
    assert_eq!(fs_err::read_dir(&outside).unwrap().count(), 0);
    assert_eq!(fs_err::read_link(out.join("absolute")).unwrap(), outside.as_std_path());
    assert_eq!(fs_err::read_to_string(out.join("dir/second")).unwrap(), "one");
    let reader = opened(&mke2fs(&sandbox, Some(&source), "-t ext2", "4M"));
    assert!(matches!(reader.list(&"absolute".parse().unwrap()), Err(ExtError::NotFound { .. })));
}

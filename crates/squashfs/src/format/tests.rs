use proptest::{collection::vec, option, prelude::*};

use super::{
    block::{DataBlock, MetadataHeader},
    directory::{Entry, Header, IndexEntry, Listed, Listing},
    fragment::Fragment,
    inode::{Body, Directory, File, Inode, Tail, Type, device},
    superblock::Superblock,
    xattr::{Key, Value, XattrId, XattrTable},
    *,
};
use crate::BlockSize;

const BLOCK: BlockSize = BlockSize::MIN;

fn superblock() -> Superblock {
    Superblock {
        inodes: 7,
        made: 1_700_000_000,
        block_size: BlockSize::COMMON,
        fragments: 1,
        compressor: 6,
        flags: 0xc0,
        ids: 1,
        root: InodeRef { block: 0, offset: 32 },
        bytes_used: 1000,
        id_table: 900,
        xattr_table: ABSENT,
        inode_table: 96,
        directory_table: 300,
        fragment_table: 700,
        export_table: 800,
    }
}

fn refused(change: impl FnOnce(&mut Superblock)) -> String {
    let mut superblock = superblock();
    change(&mut superblock);
    Superblock::decode(&superblock.encode()).unwrap_err().to_string()
}

#[test]
fn a_superblock_is_what_it_was() {
    assert_eq!(Superblock::decode(&superblock().encode()), Ok(superblock()));
}

#[test]
fn a_superblock_that_linux_does_not_mount_is_refused() {
    let all = [
        refused(|it| it.inodes = 0),
        refused(|it| it.ids = 0),
        refused(|it| it.root.offset = 8192),
        refused(|it| it.bytes_used = u64::MAX),
        refused(|it| it.bytes_used = 900),
        refused(|it| it.xattr_table = 900),
        refused(|it| it.export_table = 900),
        refused(|it| it.fragment_table = 800),
        refused(|it| it.directory_table = 701),
        refused(|it| it.inode_table = 300),
        refused(|it| it.inode_table = 95),
    ];
    insta::assert_snapshot!(all.join("\n"), @"
    the number of inodes is `0`: there is at least the root
    the number of owners is `0`: the root has at least one
    the place of the root is `8192`: its offset must be below 8192
    the image's size is `18446744073709551615`: it must be below 2^63
    the place of the owners is `900`: each table must begin before the one that follows it, and before the image ends
    the place of the owners is `900`: each table must begin before the one that follows it, and before the image ends
    the place of the export table is `900`: each table must begin before the one that follows it, and before the image ends
    the place of the fragments is `800`: each table must begin before the one that follows it, and before the image ends
    the place of the directories is `701`: each table must begin before the one that follows it, and before the image ends
    the place of the inodes is `300`: each table must begin before the one that follows it, and before the image ends
    the place of the inodes is `95`: it must follow the superblock
    ");
}

#[test]
fn bytes_of_other_formats_are_refused() {
    let mut bytes = superblock().encode();
    bytes[28] = 3;
    let version = Superblock::decode(&bytes).unwrap_err();
    bytes[28] = 4;
    bytes[22] = 16;
    let log = Superblock::decode(&bytes).unwrap_err();
    bytes[12] = 1;
    let size = Superblock::decode(&bytes).unwrap_err();
    let short = Superblock::decode(&bytes[..20]).unwrap_err();
    bytes[0] = b's';
    let magic = Superblock::decode(&bytes).unwrap_err();
    insta::assert_snapshot!(format!("{version}\n{log}\n{size}\n{short}\n{magic}"), @"
    it is squashfs 3.0: 4.0 is what can be read, and what Linux has had since 2.6.29
    the logarithm of the block size is `16`: it must agree with the block size
    the block size is `131073`: it must be a power of two from 4096 to 1048576
    the superblock is cut short: 2 bytes are missing
    it begins with `ssqs` and not with `hsqs`
    ");
}

#[test]
fn device_numbers_are_those_of_linux() {
    assert_eq!(device::encode(8, 1), Some(0x801));
    assert_eq!(device::encode(259, 0x12345), Some(0x1231_0345));
    assert_eq!(device::encode(4096, 0), None);
    assert_eq!(device::encode(0, 1 << 20), None);
}

fn name() -> impl Strategy<Value = Box<[u8]>> {
    vec(1_u8.., 1..=256)
        .prop_map(|name| name.iter().map(|byte| if *byte == b'/' { b'_' } else { *byte }).collect())
}

fn index() -> impl Strategy<Value = IndexEntry> {
    (any::<u32>(), any::<u32>(), name()).prop_map(|(index, block, name)| IndexEntry { index, block, name })
}

fn body() -> impl Strategy<Value = Body> {
    let directory = (any::<u32>(), 0..8192_u16, 0..u32::MAX - 3, any::<u32>(), vec(index(), 0..3))
        .prop_map(|(block, offset, size, parent, index)| Directory { block, offset, size, parent, index });
    let tail =
        option::of((0..u32::MAX, any::<u32>()).prop_map(|(fragment, offset)| Tail { fragment, offset }));
    let file = (any::<u64>(), any::<bool>(), 0..100_000_u64, 0..3_u64, tail).prop_map(
        |(start, far, size, sparse, tail)| {
            let start = if far { start } else { start & 0xffff_ffff };
            let mut file = File { start, size, sparse, tail, blocks: Vec::new() };
            file.blocks = (0..file.block_count(BLOCK) as u32).collect();
            file
        },
    );
    prop_oneof![
        directory.prop_map(Body::Directory),
        file.prop_map(Body::File),
        name().prop_map(|target| Body::Symlink { target }),
        any::<u32>().prop_map(Body::BlockDevice),
        any::<u32>().prop_map(Body::CharDevice),
        Just(Body::Fifo),
        Just(Body::Socket),
    ]
}

proptest! {
    #[test]
    fn an_inode_is_what_it_was(
        (mode, uid, gid, mtime) in any::<(u16, u16, u16, u32)>(),
        number in 1_u32..,
        links in any::<u32>(),
        xattrs in option::of(0..u32::MAX),
        body in body(),
    ) {
        let inode = Inode { mode, uid, gid, mtime, number, links, xattrs, body };
        let mut bytes = Vec::new();
        inode.encode(&mut bytes);
        let mut rest = bytes.as_slice();
        prop_assert_eq!(Inode::decode(&mut rest, BLOCK), Ok(inode));
        prop_assert_eq!(rest.len(), 0);
    }

    #[test]
    fn a_listing_is_what_it_was(names in proptest::collection::btree_set(name(), 0..40), run in 1..10_usize) {
        let names: Vec<_> = names.into_iter().filter(|name| **name != *b"." && **name != *b"..").collect();
        let mut bytes = Vec::new();
        let mut expected = Vec::new();
        for (block, names) in names.chunks(run).enumerate() {
            let header = bytes.len() as u32;
            let block = block as u32;
            bytes.extend_from_slice(&Header { count: names.len() as u32, block, base: 100 }.encode());
            for (n, name) in names.iter().enumerate() {
                Entry { offset: n as u16, delta: -i16::try_from(n).unwrap(), kind: Type::Fifo, name }.encode(&mut bytes);
                expected.push(Listed {
                    inode: InodeRef { block: block.into(), offset: n as u16 },
                    number: 100 - n as u32,
                    kind: Type::Fifo,
                    name: name.clone(),
                    header: (n == 0).then_some(header),
                });
            }
        }
        let mut listing = Listing::new(bytes.len() as u32);
        let mut rest = bytes.as_slice();
        let mut found = Vec::new();
        while let Some(entry) = listing.next(&mut rest).unwrap() {
            found.push(entry);
        }
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn words_are_what_they_were(
        len in 1..=4096_u32, stored: bool, start: u64, place in any::<u64>(), count: u32, size: u32, ids in 1_u32..,
        (major, minor) in (0..1_u32 << 12, 0..1_u32 << 20),
    ) {
        let block = if stored { DataBlock::Stored(len) } else { DataBlock::Packed(len) };
        prop_assert_eq!(DataBlock::decode(block.encode(), 4096), Ok(block));
        let fragment = Fragment { start, block };
        prop_assert_eq!(Fragment::decode(&mut &fragment.encode()[..], 4096), Ok(fragment));
        let header = MetadataHeader { len: len as u16, stored };
        prop_assert_eq!(MetadataHeader::decode(header.encode()), Ok(header));
        let place = InodeRef::unpack(place);
        prop_assert_eq!(InodeRef::unpack(place.pack()), place);
        let id = XattrId { place, count, size };
        prop_assert_eq!(XattrId::decode(&mut &id.encode()[..]), Ok(id));
        let table = XattrTable { start, ids };
        prop_assert_eq!(XattrTable::decode(&mut &table.encode()[..]), Ok(table));
        prop_assert_eq!(device::decode(device::encode(major, minor).unwrap()), (major, minor));
    }

    #[test]
    fn an_extended_attribute_is_what_it_was(
        prefix in 0..3_usize, rest in vec(1_u8.., 1..200), value in vec(any::<u8>(), 0..300), place: u64, out_of_line: bool,
    ) {
        let prefix: &[u8] = [&b"user."[..], b"trusted.", b"security."][prefix];
        let key = Key { name: [prefix, &rest].concat().into(), out_of_line };
        let value = if out_of_line { Value::There(InodeRef::unpack(place)) } else { Value::Here(value.into()) };
        let mut bytes = Vec::new();
        prop_assert!(key.encode(&mut bytes));
        value.encode(&mut bytes);
        let mut rest = bytes.as_slice();
        prop_assert_eq!(Key::decode(&mut rest), Ok(key));
        prop_assert_eq!(Value::decode(&mut rest, out_of_line), Ok(value));
        prop_assert_eq!(rest.len(), 0);
    }

    #[test]
    fn no_bytes_panic(bytes in vec(any::<u8>(), 0..200)) {
        let _ = Superblock::decode(&bytes);
        let _ = Inode::decode(&mut &bytes[..], BLOCK);
        let mut listing = Listing::new(bytes.len() as u32);
        let mut rest = &bytes[..];
        while let Ok(Some(_)) = listing.next(&mut rest) {}
        let _ = Key::decode(&mut &bytes[..]);
        let _ = Value::decode(&mut &bytes[..], false);
    }
}

#[test]
fn attributes_that_squashfs_cannot_hold_are_told() {
    assert!(Key::fits(b"security.capability"));
    assert!(!Key::fits(b"system.posix_acl_access"));
    assert!(!Key::fits(b"user."));
    assert!(!Key { name: (*b"system.posix_acl_access").into(), out_of_line: false }.encode(&mut Vec::new()));
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    let refused = |names: &[&[u8]]| {
        let mut bytes = Header { count: names.len() as u32, block: 0, base: 1 }.encode().to_vec();
        for name in names {
            Entry { offset: 0, delta: 0, kind: Type::File, name }.encode(&mut bytes);
        }
        let mut listing = Listing::new(bytes.len() as u32);
        let mut rest = bytes.as_slice();
        loop {
            match listing.next(&mut rest) {
                Ok(Some(_)) => {}
                Ok(None) => panic!("`{names:?}` was taken"),
                Err(error) => return error.to_string(),
            }
        }
    };
    let all = [
        refused(&[b".."]),
        refused(&[b"."]),
        refused(&[b"a/b"]),
        refused(&[b"a\0"]),
        refused(&[b"b", b"a"]),
        refused(&[b"a", b"a"]),
    ];
    insta::assert_snapshot!(all.join("\n"), @r"
    the name `..` stands for another directory
    the name `.` stands for another directory
    the name `a/b` has a slash
    the name `a\x00` has a zero byte
    the name `a` does not follow the one before it in the order of bytes
    the name `a` is there twice
    ");
}

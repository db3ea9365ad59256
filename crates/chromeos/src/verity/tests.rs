use std::{io::Write, sync::atomic::AtomicU64};

use bootway_exec::{Cmd, Sandbox, SystemRunner, run};
use proptest::prelude::*;

use super::*;

fn format(hash: DmHash, version: VerityVersion, salt: &[u8]) -> VerityFormat<'_> {
    VerityFormat { version, hash, salt }
}

/// `blocks` blocks, no two of them the same.
fn data(blocks: u64) -> Vec<u8> {
    (0..blocks * BLOCK).map(|at| (at / 7 % 251) as u8 ^ (at / BLOCK) as u8).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text.chars().collect();
    digits.chunks(2).map(|two| u8::from_str_radix(&two.iter().collect::<String>(), 16).unwrap()).collect()
}

/// `before` bytes, `data`, and the tree that `veritysetup` makes of it; the root digest.
fn made(blocks: u64, before: u64, format: VerityFormat<'_>) -> (File, Vec<u8>) {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let cx = sandbox.cx();
    let (plain, tree) = (sandbox.root().join("data"), sandbox.root().join("tree"));
    fs_err::write(&plain, data(blocks)).unwrap();
    let version = match format.version {
        VerityVersion::V0 => "0",
        VerityVersion::V1 => "1",
    };
    let hash = match format.hash {
        DmHash::Sha1 => "sha1",
        DmHash::Sha256 => "sha256",
    };
    let salt = if format.salt.is_empty() { "-".to_owned() } else { hex(format.salt) };
    let command = Cmd::user("veritysetup").args([
        "format".to_owned(),
        "--no-superblock".to_owned(),
        format!("--format={version}"),
        format!("--hash={hash}"),
        format!("--salt={salt}"),
        plain.to_string(),
        tree.to_string(),
    ]);
    let output =
        run(&cx, &command).unwrap_or_else(|error| panic!("{error} (apt-get install cryptsetup-bin)"));
    let said = String::from_utf8(output.stdout).unwrap();
    let root = said.lines().find_map(|line| line.strip_prefix("Root hash:")).expect("it says the root hash");
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&vec![0xa5; before as usize]).unwrap();
    file.write_all(&data(blocks)).unwrap();
    file.write_all(&fs_err::read(&tree).unwrap_or_default()).unwrap();
    (file, unhex(root.trim()))
}

fn ranges(file: &File, blocks: u64, before: u64) -> (Range<u64>, Range<u64>) {
    let end = before + blocks * BLOCK;
    (before..end, end..file.metadata().unwrap().len())
}

fn verified(
    file: &File,
    blocks: u64,
    before: u64,
    format: VerityFormat<'_>,
    root: &[u8],
) -> Result<Verified, VerityError> {
    let (data, hashes) = ranges(file, blocks, before);
    verify(file, data, hashes, format, root, &Cancel::default(), &|_| {})
}

#[test]
fn what_veritysetup_makes_is_verified_in_each_format() {
    let salt = [0x5a; 32];
    for hash in [DmHash::Sha1, DmHash::Sha256] {
        for version in [VerityVersion::V0, VerityVersion::V1] {
            for (blocks, salt) in [(1, &salt[..]), (2, &[]), (128, &salt[..]), (129, &salt[..7]), (300, &[])]
            {
                let format = format(hash, version, salt);
                let (file, root) = made(blocks, 8192, format);
                let seen = verified(&file, blocks, 8192, format, &root).unwrap();
                assert_eq!(seen.blocks, blocks);
                let (data, _) = ranges(&file, blocks, 8192);
                let own = root_digest(&file, data, format, &Cancel::default(), &|_| {}).unwrap();
                assert_eq!(own, root, "{hash:?} {version:?} {blocks}");
            }
        }
    }
}

#[test]
fn three_levels_are_verified() {
    let format = format(DmHash::Sha256, VerityVersion::V0, b"salt");
    let (file, root) = made(16_400, 0, format);
    let total = AtomicU64::new(0);
    let (data, hashes) = ranges(&file, 16_400, 0);
    let add = |bytes| _ = total.fetch_add(bytes, Ordering::Relaxed);
    let seen = verify(&file, data, hashes, format, &root, &Cancel::default(), &add).unwrap();
    assert_eq!(seen, Verified { blocks: 16_400, hash_blocks: 129 + 2 + 1 });
    assert_eq!(total.into_inner(), 16_400 * BLOCK);
}

#[test]
fn the_first_bad_block_is_named() {
    let format = format(DmHash::Sha256, VerityVersion::V0, b"salt");
    let (file, root) = made(300, 4096, format);
    let flip = |at: u64| {
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 1], at).unwrap();
    };
    let said = |at: &[u64]| {
        for at in at {
            flip(*at);
        }
        let error = verified(&file, 300, 4096, format, &root).unwrap_err().to_string();
        for at in at {
            flip(*at);
        }
        error.split(", has the digest").next().unwrap().to_owned()
    };
    let tree = 4096 + 300 * BLOCK;
    assert_eq!(said(&[4096 + 299 * BLOCK, 4096 + 7 * BLOCK + 5]), "block 7 of the data, at byte 32768");
    assert_eq!(said(&[4096 + 299 * BLOCK]), "block 299 of the data, at byte 1228800");
    assert_eq!(said(&[4096, tree + 2 * BLOCK]), "block 1 of level 0 of the hash tree, at byte 1241088");
    assert_eq!(said(&[4096, tree]), "the root of the hash tree, at byte 1232896");
    verified(&file, 300, 4096, format, &root).unwrap();
}

#[test]
fn the_read_only_byte_of_a_file_system_is_part_of_what_is_vouched_for() {
    let format = format(DmHash::Sha256, VerityVersion::V0, &[1; 32]);
    let (file, root) = made(40, 0, format);
    file.write_all_at(&[0xff], 0x467).unwrap();
    let error = verified(&file, 40, 0, format, &root).unwrap_err();
    assert!(matches!(error, VerityError::Data { block: 0, offset: 0, .. }), "{error}");
}

#[test]
fn what_cannot_be_is_said() {
    let format = format(DmHash::Sha256, VerityVersion::V0, b"salt");
    let (file, root) = made(300, 0, format);
    let ask = |data: Range<u64>, hashes: Range<u64>, root: &[u8]| {
        verify(&file, data, hashes, format, root, &Cancel::default(), &|_| {}).unwrap_err().to_string()
    };
    let (data, hashes) = ranges(&file, 300, 0);
    insta::assert_snapshot!(ask(data.start..data.end + 1, hashes.clone(), &root), @"bytes 0 to 1228801 are not whole blocks of 4096 bytes of a file of 1245184 bytes");
    insta::assert_snapshot!(ask(0..0, hashes.clone(), &root), @"bytes 0 to 0 are not whole blocks of 4096 bytes of a file of 1245184 bytes");
    insta::assert_snapshot!(ask(0..u64::MAX - 4095, hashes.clone(), &root), @"bytes 0 to 18446744073709547520 are not whole blocks of 4096 bytes of a file of 1245184 bytes");
    insta::assert_snapshot!(ask(data.clone(), hashes.start..hashes.end - 1, &root), @"the hash tree at byte 1228800 needs 16384 bytes, and 16383 are there: the image is cut");
    insta::assert_snapshot!(ask(data.clone(), u64::MAX..u64::MAX, &root), @"the hash tree at byte 18446744073709551615 needs 16384 bytes, and 0 are there: the image is cut");
    insta::assert_snapshot!(ask(data, hashes, &root[..20]), @"the root digest has 20 bytes, and the hash 32");
}

#[test]
fn it_stops_when_asked() {
    let format = format(DmHash::Sha1, VerityVersion::V0, b"");
    let (file, root) = made(300, 0, format);
    let cancel = Cancel::default();
    cancel.cancel();
    let (data, hashes) = ranges(&file, 300, 0);
    let result = verify(&file, data, hashes, format, &root, &cancel, &|_| {});
    assert!(matches!(result, Err(VerityError::Cancelled)));
}

#[test]
fn any_flipped_bit_of_data_or_tree_is_found() {
    let format = format(DmHash::Sha1, VerityVersion::V0, b"x");
    let (file, root) = made(140, 0, format);
    let len = file.metadata().unwrap().len();
    proptest!(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() }, |(at in 0..len, bit in 0..8_u32)| {
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 1_u8 << bit], at).unwrap();
        let result = verified(&file, 140, 0, format, &root);
        file.write_all_at(&byte, at).unwrap();
        prop_assert!(result.is_err());
    });
    verified(&file, 140, 0, format, &root).unwrap();
}

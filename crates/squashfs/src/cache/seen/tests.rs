use std::{collections::HashMap, fs};

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

const TREE: [u8; 32] = [5; 32];
/// Seconds since 1970.
const NOW: i128 = 1_700_000_000 * 1_000_000_000;

fn cache() -> (TempDir, Cache) {
    let dir = TempDir::new().unwrap();
    let cache = Cache::open(&dir.path().join("cache")).unwrap();
    (dir, cache)
}

fn ident(ino: u64, size: u64) -> Ident {
    Ident { dev: 3, ino, size, mtime: 1_234_567_890_123_456_789, ctime: 1_234_567_890_123_456_789 }
}

fn hashes(ident: &Ident, salt: u8) -> Vec<Hash> {
    (0..ident.size.div_ceil(4096))
        .map(|block| if block % 5 == 1 { HOLE } else { [salt ^ block as u8 | 1; 32] })
        .collect()
}

#[test]
fn a_file_is_known_until_anything_of_it_changes() {
    let (_dir, cache) = cache();
    let mut writer = SeenWriter::new(TREE, BlockSize::MIN);
    let file = ident(1, 10_000);
    writer.record(&ident(0, 0), &[], NOW);
    writer.record(&file, &[[1; 32], HOLE, [3; 32]], NOW);
    writer.save(&cache).unwrap();
    let seen = Seen::load(&cache, &TREE, BlockSize::MIN);
    assert_eq!(seen.len(), 2);
    assert_eq!(seen.lookup(&file), Some([[1; 32], HOLE, [3; 32]].as_slice()));
    assert_eq!(seen.lookup(&ident(0, 0)), Some([].as_slice()));
    for other in [
        Ident { dev: 4, ..file },
        Ident { ino: 2, ..file },
        Ident { size: 10_001, ..file },
        Ident { mtime: file.mtime + 1, ..file },
        Ident { ctime: file.ctime - 1, ..file },
    ] {
        assert_eq!(seen.lookup(&other), None, "{other:?}");
    }
    assert_eq!(Seen::load(&cache, &[6; 32], BlockSize::MIN).lookup(&file), None);
    assert_eq!(Seen::load(&cache, &TREE, BlockSize::MAX).lookup(&file), None);
}

#[test]
fn a_file_that_changed_just_before_it_was_read_is_not_recorded() {
    const MS: i128 = 1_000_000;
    let known = |mtime: i128, ctime: i128| {
        let (_dir, cache) = cache();
        let mut writer = SeenWriter::new(TREE, BlockSize::MIN);
        let file = Ident { mtime, ctime, ..ident(1, 1) };
        writer.record(&file, &[[1; 32]], NOW);
        writer.save(&cache).unwrap();
        Seen::load(&cache, &TREE, BlockSize::MIN).lookup(&file).is_some()
    };
    let old = NOW - 1_000_000 * MS + 1;
    assert!(known(old, old));
    assert!(known(old, NOW - 20 * MS - 1));
    assert!(!known(old, NOW - 20 * MS));
    assert!(!known(NOW - 20 * MS, old));
    assert!(!known(old, NOW));
    assert!(!known(NOW + 1, old), "its time is in the future");
    // Times of whole seconds are no better than that.
    assert!(known(0, NOW - 3000 * MS));
    assert!(!known(0, NOW - 2000 * MS));
    assert!(known(0, NOW - 1999 * MS));
}

#[test]
fn every_damaged_byte_of_a_list_is_noticed() {
    let (_dir, cache) = cache();
    let mut writer = SeenWriter::new(TREE, BlockSize::MIN);
    for ino in 0..5 {
        let file = ident(ino, ino * 5000);
        writer.record(&file, &hashes(&file, 1), NOW);
    }
    writer.save(&cache).unwrap();
    let path = path(&cache, &TREE, BlockSize::MIN);
    let good = fs::read(&path).unwrap();
    let check = |bytes: &[u8], what: &str| {
        fs::write(&path, bytes).unwrap();
        let seen = Seen::load(&cache, &TREE, BlockSize::MIN);
        for ino in 0..5 {
            assert_eq!(seen.lookup(&ident(ino, ino * 5000)), None, "{what}");
        }
    };
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        check(&bad, &format!("byte {at}"));
        check(&good[..at], &format!("length {at}"));
    }
    check(&[good.as_slice(), b"\0"].concat(), "longer");
}

#[test]
fn a_list_that_says_too_much_is_not_followed() {
    let (_dir, cache) = cache();
    for (files, first) in [(1_u64, 1_u64), (1, u64::MAX), (u64::MAX, 0), (u64::MAX / 64, 0), (0, 0)] {
        let mut bytes = head(&TREE, BlockSize::MIN).to_vec();
        bytes.extend_from_slice(&files.to_le_bytes());
        bytes.extend_from_slice(&1_u64.to_le_bytes());
        encode(&ident(1, 4096), first, &mut bytes);
        bytes.extend_from_slice(&[7; 32]);
        bytes.extend_from_slice(&sum(&bytes).to_le_bytes());
        fs::write(path(&cache, &TREE, BlockSize::MIN), &bytes).unwrap();
        let seen = Seen::load(&cache, &TREE, BlockSize::MIN);
        assert_eq!(seen.lookup(&ident(1, 4096)), None, "{files} files, first hash {first}");
    }
}

#[test]
fn at_most_64_lists_are_kept_and_none_that_is_old() {
    let (_dir, cache) = cache();
    let count = || fs::read_dir(cache.seen()).unwrap().count();
    let commit = |tree: u8| {
        let session = cache.session("recipe").unwrap();
        let mut seen = SeenWriter::new([tree; 32], BlockSize::MIN);
        seen.record(&ident(tree.into(), 0), &[], NOW);
        let image = tempfile::tempfile().unwrap();
        assert_eq!(session.commit(&image, &[], Some(seen)).warning, None);
    };
    (0..70).for_each(commit);
    assert_eq!(count(), 64);
    for tree in 10..70 {
        let file = fs::File::options().write(true).open(path(&cache, &[tree; 32], BlockSize::MIN)).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000)).unwrap();
    }
    commit(69); // Nothing new in it, and it is young again.
    assert_eq!(count(), 5);
    assert_eq!(Seen::load(&cache, &[69; 32], BlockSize::MIN).len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_list_says_what_was_recorded_last(
        rounds in prop::collection::vec(
            prop::collection::vec((0..20_u64, 0..40_000_u64, 0..3_i128, 0..3_i128, any::<u8>()), 0..60),
            1..4,
        ),
    ) {
        let (_dir, cache) = cache();
        for files in rounds {
            let mut model: HashMap<Ident, Vec<Hash>> = HashMap::new();
            let mut writer = SeenWriter::new(TREE, BlockSize::MIN);
            for (ino, size, mtime, ctime, salt) in files {
                // Some of them changed when they were read.
                let file = Ident { dev: ino % 2, ino, size: size % 3 * 6000, mtime: NOW * mtime / 2, ctime: NOW * ctime / 2 };
                let hashes = hashes(&file, salt);
                writer.record(&file, &hashes, NOW);
                if mtime < 2 && ctime < 2 {
                    model.entry(file).or_insert(hashes);
                }
            }
            writer.save(&cache).unwrap();
            let seen = Seen::load(&cache, &TREE, BlockSize::MIN);
            prop_assert_eq!(seen.len(), model.len());
            for ino in 0..20 {
                for (size, mtime, ctime) in (0..27).map(|n| (n % 3 * 6000, i128::from(n / 3 % 3), i128::from(n / 9))) {
                    let file = Ident { dev: ino % 2, ino, size, mtime: NOW * mtime / 2, ctime: NOW * ctime / 2 };
                    prop_assert_eq!(seen.lookup(&file), model.get(&file).map(Vec::as_slice));
                }
            }
        }
    }
}

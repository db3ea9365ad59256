//! Entries are right or missing, whatever happened to the files.

use std::fs;

use super::*;

/// Blocks of which a pack has few bytes.
fn small() -> Vec<u64> {
    (0..).filter(|&number| block(number).len() < 300).take(8).collect()
}

/// The only file of that kind.
fn only(dir: &Path, extension: &str) -> PathBuf {
    let paths = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut paths = paths.filter(|path| path.extension().is_some_and(|it| it == extension));
    let path = paths.next().unwrap();
    assert_eq!(paths.next(), None);
    path
}

/// How many blocks a build makes anew; that the others are right is checked by the build.
fn missing(cache: &Cache, numbers: &[u64]) -> usize {
    build(&cache.session("recipe").unwrap(), numbers.iter().copied()).fresh()
}

#[test]
fn every_damaged_byte_of_a_pack_is_noticed() {
    let (_dir, cache) = cache();
    let numbers = small();
    build_and_commit(&cache, numbers.clone());
    let path = only(&cache.packs(), "pack");
    let good = fs::read(&path).unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        fs::write(&path, &bad).unwrap();
        assert_eq!(missing(&cache, &numbers), usize::from(at >= 96), "byte {at}");
    }
    for length in 0..good.len() {
        fs::write(&path, &good[..length]).unwrap();
        assert!((1..=8).contains(&missing(&cache, &numbers)), "length {length}");
    }
}

#[test]
fn every_damaged_byte_of_an_index_is_noticed() {
    let (_dir, cache) = cache();
    let numbers = small();
    build_and_commit(&cache, numbers.clone());
    let path = only(&cache.packs(), "index");
    let good = fs::read(&path).unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        fs::write(&path, &bad).unwrap();
        assert_eq!(missing(&cache, &numbers), 8, "byte {at}");
    }
    for length in 0..good.len() {
        fs::write(&path, &good[..length]).unwrap();
        assert_eq!(missing(&cache, &numbers), 8, "length {length}");
    }
    fs::write(&path, [good.as_slice(), b"\0"].concat()).unwrap();
    assert_eq!(missing(&cache, &numbers), 8);
}

#[test]
fn a_damaged_index_is_made_anew_and_removed() {
    let (_dir, cache) = cache();
    build_and_commit(&cache, 0..10);
    let path = only(&cache.packs(), "index");
    fs::write(&path, fs::read(&path).unwrap().split_last().unwrap().1).unwrap();
    let (fresh, committed) = build_and_commit(&cache, 0..11);
    assert_eq!((fresh, committed.warning, committed.removed), (11, None, 1));
    assert_ne!(only(&cache.packs(), "index"), path);
    assert_eq!(build_and_commit(&cache, 0..11), (0, Committed::default()));

    // Of the same image, which gives it the same name.
    let path = only(&cache.packs(), "index");
    fs::write(&path, "").unwrap();
    let (fresh, committed) = build_and_commit(&cache, 0..11);
    assert_eq!((fresh, committed.warning, committed.removed), (11, None, 0));
    assert_eq!(build_and_commit(&cache, 0..11), (0, Committed::default()));
}

#[test]
fn a_damaged_entry_is_made_anew_and_found_where_it_is_sound() {
    let (_dir, cache) = cache();
    build_and_commit(&cache, 0..10);
    let path = only(&cache.packs(), "pack");
    let mut bytes = fs::read(&path).unwrap();
    bytes[96] ^= 1;
    fs::write(&path, bytes).unwrap();
    let (fresh, committed) = build_and_commit(&cache, 0..10);
    assert_eq!((fresh, committed.damaged, committed.added), (1, 1, block(0).len() as u64));
    let (fresh, committed) = build_and_commit(&cache, 0..10);
    assert_eq!((fresh, committed.damaged), (0, 0));
}

#[test]
fn the_first_damaged_place_of_a_run_is_named_and_all_are_avoided() {
    let (_dir, cache) = cache();
    build_and_commit(&cache, 0..10);
    let path = only(&cache.packs(), "pack");
    let session = cache.session("recipe").unwrap();
    let run: Vec<Place> = (0..10).map(|number| session.find(&key(number)).unwrap()).collect();
    let mut bytes = fs::read(&path).unwrap();
    for at in [4, 7] {
        bytes[run[at].offset as usize] ^= 0x80;
    }
    fs::write(&path, &bytes).unwrap();
    assert_eq!(session.read(&run, &mut Vec::new()), Err(Damaged { at: 4 }));
    let found: Vec<bool> = (0..10).map(|number| session.find(&key(number)).is_some()).collect();
    assert_eq!(found, [true, true, true, true, false, true, true, false, true, true]);

    // A pack that became shorter while it is in use.
    fs::write(&path, &bytes[..run[9].end() as usize - 1]).unwrap();
    assert_eq!(session.read(&run[8..], &mut Vec::new()), Err(Damaged { at: 1 }));
    assert_eq!(session.read(&run[8..9], &mut Vec::new()), Ok(()));
    assert_eq!(session.damaged(), 3);
}

#[test]
fn a_pack_that_went_away_is_missing_and_nothing_else() {
    let (_dir, cache) = cache();
    build_and_commit(&cache, 0..10);
    let session = cache.session("recipe").unwrap();
    let place = session.find(&key(1)).unwrap();
    fs::remove_file(only(&cache.packs(), "pack")).unwrap();
    assert_eq!(session.read(&[place], &mut Vec::new()), Err(Damaged { at: 0 }));
    assert_eq!(session.find(&key(1)), None);
    drop(session);
    let (fresh, committed) = build_and_commit(&cache, 0..10);
    assert_eq!((fresh, committed.warning), (10, None));
    assert_eq!(left(&cache).len(), 2);
}

#[test]
fn files_that_nobody_writes_any_more_are_removed() {
    let (_dir, cache) = cache();
    build_and_commit(&cache, 0..10);
    let rubbish = [
        cache.dir().join(".tmp-1"),
        cache.packs().join(".tmp-1-2-3"),
        cache.packs().join("0123456789abcdef0123456789abcdef.pack"),
        cache.packs().join("fedcba9876543210fedcba9876543210.index"),
        cache.seen().join(".tmp-1-2-3"),
    ];
    for path in &rubbish {
        fs::write(path, "torn").unwrap();
    }
    let written = temporary::Temporary::new(&cache.packs()).unwrap();
    fs::write(cache.packs().join("notes.txt"), "not ours").unwrap();
    let (fresh, committed) = build_and_commit(&cache, 0..10);
    assert_eq!((fresh, committed.warning, committed.removed), (0, None, 2));
    for path in &rubbish {
        assert!(!path.exists(), "{}", path.display());
    }
    assert_eq!(left(&cache).len(), 4); // A pack and its index, the note, and what is being written.
    drop(written);
    assert_eq!(left(&cache).len(), 3);
}

#[test]
fn a_cache_that_cannot_be_read_is_an_error_that_names_the_file() {
    let (_dir, cache) = cache();
    fs::remove_dir(cache.packs()).unwrap();
    fs::write(cache.packs(), "").unwrap();
    let text = cache.session("recipe").map(drop).unwrap_err().to_string();
    insta::assert_snapshot!(text.replace(cache.dir().to_str().unwrap(), "DIR"), @"failed to read directory `DIR/packs`: Not a directory (os error 20)");
    let text = cache.usage().unwrap_err().to_string();
    insta::assert_snapshot!(text.replace(cache.dir().to_str().unwrap(), "DIR"), @"failed to read directory `DIR/packs`: Not a directory (os error 20)");
}

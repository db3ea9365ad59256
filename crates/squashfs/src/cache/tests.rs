use std::{fs::File, os::unix::fs::FileExt as _};

use tempfile::TempDir;

use super::*;

/// An image of blocks that follow each other, some of them new.
struct Image {
    file: File,
    entries: Vec<Entry>,
}

/// The block of that number: 1 to 9,000 bytes that nothing else has.
fn block(number: u64) -> Vec<u8> {
    let mut bytes = vec![0; 1 + (number as usize * 2_654_435_761) % 9000];
    blake3::Hasher::new().update(&number.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

fn key(number: u64) -> Key {
    Key::block(blake3::hash(&number.to_le_bytes()).as_bytes())
}

/// What a build does: takes what it finds, "compresses" what it does not, and keeps it all.
fn build(session: &Session, numbers: impl IntoIterator<Item = u64>) -> Image {
    let file = tempfile::tempfile().unwrap();
    let (mut entries, mut at, mut out) = (Vec::new(), 96, Vec::new());
    for number in numbers {
        let (key, expected) = (key(number), block(number));
        let mut found = None;
        while let Some(place) = session.find(&key) {
            if session.read(&[place], &mut out).is_ok() {
                assert_eq!(out, expected, "block {number} has the bytes of another");
                found = Some(place);
                break;
            }
        }
        let length = expected.len() as u32;
        file.write_all_at(&expected, at).unwrap();
        entries.push(match found {
            Some(place) => Entry::reused(key, at, &place),
            None => Entry::fresh(key, at, length, number.is_multiple_of(3), sum(&expected)),
        });
        at += u64::from(length);
    }
    Image { file, entries }
}

impl Image {
    fn fresh(&self) -> usize {
        self.entries.iter().filter(|entry| entry.is_fresh()).count()
    }
}

fn cache() -> (TempDir, Cache) {
    let dir = TempDir::new().unwrap();
    let cache = Cache::open(&dir.path().join("cache")).unwrap();
    (dir, cache)
}

#[track_caller]
fn build_and_commit(cache: &Cache, numbers: impl IntoIterator<Item = u64>) -> (usize, Committed) {
    let session = cache.session("recipe").unwrap();
    let image = build(&session, numbers);
    (image.fresh(), session.commit(&image.file, &image.entries, None))
}

#[test]
fn what_one_build_compressed_the_next_one_finds() {
    let (_dir, cache) = cache();
    let (fresh, committed) = build_and_commit(&cache, 0..100);
    assert_eq!((fresh, committed.warning), (100, None));
    let (fresh, committed) = build_and_commit(&cache, 0..101);
    assert_eq!((fresh, committed.warning), (1, None));
    let (fresh, committed) = build_and_commit(&cache, 0..101);
    assert_eq!((fresh, committed), (0, Committed::default()));
    assert_eq!(cache.usage().unwrap().packs, 2);
    assert_eq!(cache.session("another recipe").unwrap().find(&key(1)), None);
}

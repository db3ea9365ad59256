use std::{fs::File, os::unix::fs::FileExt as _};

use tempfile::TempDir;

use super::{commit::Committed, *};

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

#[test]
fn keys_of_the_same_bytes_differ_by_what_they_are_of() {
    let hash = [7; 32];
    let keys = [
        Key::block(&hash),
        Key::metadata(&hash),
        Key::fragment([(&hash, 5)].into_iter()),
        Key::fragment([(&hash, 6)].into_iter()),
        Key::fragment([(&hash, 5), (&hash, 5)].into_iter()),
    ];
    for (at, key) in keys.iter().enumerate() {
        assert!(!keys[..at].contains(key), "key {at}");
    }
}

#[test]
fn a_run_is_read_at_once_wherever_its_places_are() {
    let (_dir, cache) = cache();
    build_and_commit(&cache, 0..10);
    build_and_commit(&cache, 0..20);
    let session = cache.session("recipe").unwrap();
    let numbers = [3, 4, 5, 15, 16, 4, 0, 9];
    let run: Vec<Place> = numbers.iter().map(|&number| session.find(&key(number)).unwrap()).collect();
    let mut out = vec![1; 7];
    session.read(&run, &mut out).unwrap();
    assert_eq!(out, numbers.iter().flat_map(|&number| block(number)).collect::<Vec<u8>>());
    assert!(run[0].stored && !run[1].stored);
    session.read(&[], &mut out).unwrap();
    assert!(out.is_empty());
}

#[test]
fn a_directory_with_other_files_is_left_alone() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("thesis.tex"), "").unwrap();
    let text = Cache::open(dir.path()).unwrap_err().to_string();
    insta::assert_snapshot!(text.replace(dir.path().to_str().unwrap(), "DIR"), @"`DIR` is not a cache, for `thesis.tex` is in it: name an empty directory");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_cache_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_dir, cache) = cache();
    build_and_commit(&cache, 0..3);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(cache.dir()), 0o700);
    for entry in fs::read_dir(cache.packs()).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
}

#[test]
fn what_is_twice_in_an_image_is_kept_once() {
    let (_dir, cache) = cache();
    let (_, committed) = build_and_commit(&cache, [1, 2, 1, 1, 2]);
    assert_eq!(committed.added, (block(1).len() + block(2).len()) as u64);
    assert_eq!(build_and_commit(&cache, [2, 1]), (0, Committed::default()));
}

#[test]
fn a_full_disk_costs_the_next_build_time_and_this_one_nothing() {
    let Some(small) = mounted::tmpfs("size=256k") else { return };
    let cache = Cache::open(&small.path().join("cache")).unwrap();
    let (_, committed) = build_and_commit(&cache, 0..200);
    let warning = committed.warning.unwrap();
    assert!(
        warning
            .starts_with("what was compressed could not be kept for the next build: failed to write to file")
    );
    assert!(warning.ends_with("No space left on device (os error 28)"), "{warning}");
    assert!(left(&cache).is_empty(), "{:?}", left(&cache));
    let (fresh, committed) = build_and_commit(&cache, 0..10);
    assert_eq!((fresh, committed.warning), (10, None));
}

/// Names of packs and of what is on its way to be one.
fn left(cache: &Cache) -> Vec<String> {
    let names = fs::read_dir(cache.packs()).unwrap();
    let mut names: Vec<String> =
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

mod bounds;
mod damage;
mod mounted;
mod processes;
mod sharing;

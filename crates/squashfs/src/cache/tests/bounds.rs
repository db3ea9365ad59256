//! What goes, and what stays.

use super::*;

/// A cache of which every pack was used at another second, the first made first.
fn aged(cache: &Cache, names: &[String]) {
    for (age, name) in names.iter().enumerate() {
        let file = File::options().write(true).open(cache.packs().join(format!("{name}.index"))).unwrap();
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000 + age as u64);
        file.set_modified(time).unwrap();
    }
}

fn names(cache: &Cache) -> Vec<String> {
    left(cache).iter().filter_map(|name| name.strip_suffix(".pack").map(str::to_owned)).collect()
}

/// One pack each, oldest first.
fn packs(cache: &Cache, builds: &[std::ops::Range<u64>]) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for numbers in builds {
        build_and_commit(cache, numbers.clone());
        let new = names(cache).into_iter().find(|name| !all.contains(name)).unwrap();
        all.push(new);
    }
    aged(cache, &all);
    all
}

#[test]
fn the_pack_that_was_not_used_for_longest_goes_first() {
    let (_dir, cache) = cache();
    let all = packs(&cache, &[0..20, 100..120, 200..220]);
    build_and_commit(&cache, 0..20); // Used again: now the second is the oldest.
    let bytes = cache.usage().unwrap().bytes;
    let (_, committed) = build_and_commit(&cache.clone().limit(bytes - 1), 0..20);
    assert_eq!((committed.removed, committed.warning), (1, None));
    let left = names(&cache);
    assert!(left.contains(&all[0]) && !left.contains(&all[1]) && left.contains(&all[2]));
    assert!(cache.usage().unwrap().bytes < bytes);
}

#[test]
fn what_was_just_used_stays_even_if_the_cache_is_full() {
    let (_dir, cache) = cache();
    packs(&cache, &[0..20, 100..120, 200..220]);
    let (fresh, committed) = build_and_commit(&cache.clone().limit(1), 100..120);
    assert_eq!((fresh, committed.removed, committed.warning), (0, 2, None));
    assert_eq!(build_and_commit(&cache, 100..120).0, 0);
}

#[test]
fn an_image_that_is_larger_than_the_cache_is_not_kept() {
    let (_dir, cache) = cache();
    let (_, committed) = build_and_commit(&cache.clone().limit(10_000), 0..20);
    insta::assert_snapshot!(committed.warning.unwrap(), @"what was compressed could not be kept for the next build: the image's blocks have 92610 bytes, and the cache has room for 10000: raise its limit");
    assert_eq!(cache.usage().unwrap(), Usage::default());
}

#[test]
fn a_cache_stays_within_its_limit_however_much_changes() {
    let (_dir, cache) = cache();
    let cache = cache.limit(400_000);
    for round in 0..60 {
        let (_, committed) = build_and_commit(&cache, round * 7..round * 7 + 50);
        assert_eq!(committed.warning, None);
        let bytes = cache.usage().unwrap().bytes;
        // Blocks of the file system are larger than those of the image.
        assert!(bytes <= 440_000, "{bytes} bytes after {round} rounds");
        assert_eq!(build_and_commit(&cache, round * 7..round * 7 + 50).0, 0);
    }
}

#[test]
fn an_image_scattered_over_many_packs_gets_one_of_its_own() {
    let (_dir, cache) = cache();
    for end in 1..=16 {
        build_and_commit(&cache, 0..end * 5);
        assert_eq!(cache.usage().unwrap().packs as u64, end);
    }
    let (fresh, committed) = build_and_commit(&cache, 0..90);
    assert_eq!((fresh, committed.removed, committed.warning), (10, 16, None));
    assert_eq!(cache.usage().unwrap().packs, 1);
    assert_eq!(build_and_commit(&cache, 0..90), (0, Committed::default()));
}

#[test]
fn two_images_that_share_half_settle_down() {
    let (_dir, cache) = cache();
    let build = |image: u64| {
        let numbers = if image == 0 { 0..100 } else { 60..160 };
        build_and_commit(&cache, numbers)
    };
    assert_eq!(build(0).0, 100);
    let (fresh, committed) = build(1);
    assert_eq!((fresh, committed.warning), (60, None));
    for image in [0, 1, 0, 1] {
        assert_eq!(build(image), (0, Committed::default()));
    }
    assert_eq!(cache.usage().unwrap().packs, 2);
}

#[test]
fn there_are_at_most_256_packs() {
    let (_dir, cache) = cache();
    for image in 0..258 {
        build_and_commit(&cache, image * 3..image * 3 + 2);
    }
    assert_eq!(cache.usage().unwrap().packs, 256);
}

#[test]
fn nothing_is_removed_while_somebody_else_builds() {
    let (_dir, cache) = cache();
    packs(&cache, &[0..20, 100..120]);
    let other = cache.session("recipe").unwrap();
    let (_, committed) = build_and_commit(&cache.clone().limit(1), 100..120);
    assert_eq!((committed.removed, committed.warning), (0, None));
    assert_eq!(build(&other, 0..20).fresh(), 0);
    drop(other);
    let (_, committed) = build_and_commit(&cache.clone().limit(1), 100..120);
    assert_eq!(committed.removed, 1);
}

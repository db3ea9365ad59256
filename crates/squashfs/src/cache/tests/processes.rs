//! Builds at the same time, and builds that are killed.
#![expect(clippy::disallowed_methods, reason = "tests start processes themselves in this crate")]

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use super::*;

const DIR: &str = "BOOTWAY_TEST_CACHE";
const ROUNDS: &str = "BOOTWAY_TEST_ROUNDS";
/// Bytes: so few that packs go all the time.
const LIMIT: u64 = 600_000;

/// A process that builds `rounds` times, and says when it keeps each, and when each is done.
fn start(cache: &Cache, rounds: u64) -> Child {
    let name = concat!(module_path!(), "::builds_when_it_is_told_to");
    let name = name.split_once("::").unwrap().1;
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(DIR, cache.dir())
        .env(ROUNDS, rounds.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn builds(cache: &Cache, rounds: u64) {
    let seed = u64::from(std::process::id());
    for round in 0..rounds {
        let first = (seed + round * 13) % 200;
        let session = cache.session("recipe").unwrap();
        let image = build(&session, first..first + 40);
        let mut seen = SeenWriter::new([(round % 3) as u8; 32], crate::BlockSize::COMMON);
        let ident = crate::Ident { dev: 1, ino: round, size: 1, mtime: 0, ctime: 1 };
        seen.record(&ident, &[[9; 32]], session.began());
        println!("commit {round}");
        let committed = session.commit(&image.file, &image.entries, Some(seen));
        assert_eq!(committed.warning, None);
        println!("round {round}");
    }
}

/// Does nothing unless a test starts it.
#[test]
fn builds_when_it_is_told_to() {
    if let (Ok(dir), Ok(rounds)) = (std::env::var(DIR), std::env::var(ROUNDS)) {
        builds(&Cache::open(Path::new(&dir)).unwrap().limit(LIMIT), rounds.parse().unwrap());
    }
}

#[track_caller]
fn is_clean(cache: &Cache) {
    assert_eq!(torn(cache), 0, "{:?} {:?}", left(cache), seen(cache));
}

/// How many files are on their way, or half of a pack.
fn torn(cache: &Cache) -> usize {
    let packs = left(cache);
    let halves = packs.iter().filter_map(|name| name.split_once('.')).filter(|(stem, _)| {
        packs.contains(&format!("{stem}.pack")) != packs.contains(&format!("{stem}.index"))
    });
    halves.count() + seen(cache).iter().chain(&packs).filter(|name| name.starts_with(".tmp")).count()
}

fn seen(cache: &Cache) -> Vec<String> {
    fs::read_dir(cache.seen())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn a_build_that_is_killed_leaves_nothing_and_harms_nothing() {
    let (_dir, cache) = cache();
    for moment in 0..60_u64 {
        let mut child = start(&cache, u64::MAX);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let begun = lines.by_ref().filter(|line| line.as_ref().unwrap().starts_with("commit"));
        assert_eq!(begun.take(1 + moment as usize % 3).count(), 1 + moment as usize % 3);
        for spin in 0..moment * 2 {
            std::hint::black_box(block(spin)); // Somewhere in it.
        }
        child.kill().unwrap();
        child.wait().unwrap();
        eprintln!("killed: {} torn files", torn(&cache));
        let (_, committed) = build_and_commit(&cache, moment..moment + 40);
        assert_eq!(committed.warning, None);
        is_clean(&cache);
        assert_eq!(build_and_commit(&cache, moment..moment + 40).0, 0);
    }
}

#[test]
fn processes_build_at_the_same_time() {
    let (_dir, cache) = cache();
    let children: Vec<Child> = (0..4).map(|_| start(&cache, 40)).collect();
    for mut child in children {
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(lines.filter(|line| line.as_ref().unwrap().starts_with("round")).count(), 40);
        assert!(child.wait().unwrap().success());
    }
    build_and_commit(&cache, 0..1);
    is_clean(&cache);
}

#[test]
fn threads_build_at_the_same_time() {
    let (_dir, cache) = cache();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| builds(&cache.clone().limit(LIMIT), 40));
        }
    });
    build_and_commit(&cache, 0..1);
    is_clean(&cache);
}

#[test]
fn one_session_serves_many_threads() {
    let (_dir, cache) = cache();
    build_and_commit(&cache, 0..100);
    let session = cache.session("recipe").unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(build(&session, 0..100).fresh(), 0));
        }
    });
}

#[test]
fn two_builds_may_keep_the_same() {
    let (_dir, cache) = cache();
    let (one, two) = (cache.session("recipe").unwrap(), cache.session("recipe").unwrap());
    let (first, second) = (build(&one, 0..20), build(&two, 0..21));
    assert_eq!((first.fresh(), second.fresh()), (20, 21));
    assert_eq!(one.commit(&first.file, &first.entries, None).warning, None);
    assert_eq!(two.commit(&second.file, &second.entries, None).warning, None);
    assert_eq!(cache.usage().unwrap().packs, 2);
    assert_eq!(build_and_commit(&cache, 0..21), (0, Committed::default()));
    assert_eq!(build_and_commit(&cache, 0..20), (0, Committed::default()));
}

//! A closure into a store in a directory: 30,000 files in 300 paths, beside what the documents of such tests do, which is
//! `xargs -P N cp --recursive --no-dereference --reflink=auto`, then `nix-store --load-db`.
//!
//! `xargs` without `-n` gives all paths to one `cp`, whatever `-P` says, so the same is measured with as many of them at
//! once as there are processors. Everybody registers what they have copied; everybody's store must pass
//! `nix-store --verify --check-contents` in the first round.

use bootway_plan::{Class, Failure};
use camino::{Utf8Path, Utf8PathBuf};

use super::{
    io,
    rounds::{Contender, Times, take_turns},
};
use crate::{
    Done,
    sh::{Sh, cargo, root, sh},
};

const PATHS: &str = "300";
const FILES: &str = "30000";
/// Who, and at most how much of the time of the documents' command.
const GOALS: [(&str, f64); 2] = [("bootway, copied", 0.4), ("bootway, hard links", 0.15)];
/// What the documents do.
const PEER: &str = "xargs cp";

/// Measures in `rounds` rounds below `scratch`, where all of it is on one file system.
///
/// # Errors
///
/// If a contender is missing, fails, or makes something else.
pub(super) fn run(scratch: &Utf8Path, rounds: usize) -> Done {
    cargo([
        "build",
        "--release",
        "-p",
        "bootway-nix",
        "--example",
        "make_store",
        "--example",
        "install_closure",
    ])
    .run()?;
    let scratch = absolute(scratch)?;
    let (source, out) = (scratch.join("source"), scratch.join("out"));
    if !source.join("registration").exists() {
        remove(&source)?;
        sh(&example("make_store"), [source.as_str(), PATHS, FILES]).run()?;
    }
    let (files, bytes) = (super::count(&source.join("nix"), &["-type", "f"])?, size(&source)?);
    println!("{files} files in {PATHS} paths, {} MiB, in {scratch}", bytes >> 20);
    let contenders = contenders(&source, &out)?;
    let checked = std::cell::RefCell::new(vec![false; contenders.len()]);
    let times = take_turns(
        &contenders,
        rounds,
        || {
            remove(&out)?;
            fs_err::create_dir_all(out.join("nix/store")).map_err(io)
        },
        |place, _, _| {
            if std::mem::replace(&mut checked.borrow_mut()[place], true) {
                return Ok(());
            }
            nix_store(&out, &["--verify", "--check-contents"]).quiet()?;
            let knows = |store: &Utf8Path| nix_store(store, &["--dump-db"]).quiet();
            if knows(&out)? == knows(&source)? { Ok(()) } else { Err(other()) }
        },
    )?;
    remove(&out)?;
    report(&contenders, &times);
    Ok(())
}

fn contenders(source: &Utf8Path, out: &Utf8Path) -> Result<Vec<Contender>, Failure> {
    let processors = std::thread::available_parallelism().map_err(io)?.to_string();
    let (registration, paths) = (source.join("registration"), source.join("paths"));
    let ours = |name: &str, mode: &str, verify: &str| Contender {
        name: name.to_owned(),
        commands: vec![sh(
            &example("install_closure"),
            [registration.as_str(), source.as_str(), out.as_str(), mode, verify, &processors],
        )],
    };
    let store = out.join("nix/store");
    let theirs = |name: &str, several: &[&str]| Contender {
        name: name.to_owned(),
        commands: vec![
            sh("xargs", ["--arg-file", paths.as_str(), "--no-run-if-empty", "--max-procs", &processors])
                .args(several.iter().copied())
                .args(["cp", "--recursive", "--no-dereference", "--reflink=auto", "--target-directory"])
                .args([store.as_str()]),
            nix_store(out, &["--load-db"]).stdin(&registration),
        ],
    };
    Ok(vec![
        theirs(PEER, &[]),
        ours("bootway, copied", "auto", "sizes"),
        theirs("xargs -n 10 cp", &["--max-args", "10"]),
        ours("bootway, hard links", "hardlink", "sizes"),
        ours("bootway, hashed", "auto", "hashes"),
    ])
}

fn nix_store(store: &Utf8Path, args: &[&str]) -> Sh {
    sh("nix-store", ["--option", "build-users-group", "", "--store", store.as_str()])
        .args(args.iter().copied())
}

fn example(name: &str) -> String {
    let target = std::env::var("CARGO_TARGET_DIR").map_or_else(|_| root().join("target"), Utf8PathBuf::from);
    target.join("release/examples").join(name).into_string()
}

fn other() -> Failure {
    Failure::new(Class::Step, "other paths are registered than were to be installed")
}

fn absolute(path: &Utf8Path) -> Result<Utf8PathBuf, Failure> {
    fs_err::create_dir_all(path).map_err(io)?;
    path.canonicalize_utf8().map_err(io)
}

fn size(dir: &Utf8Path) -> Result<u64, Failure> {
    let said = sh("du", ["--apparent-size", "-sb", dir.as_str()]).quiet()?;
    super::first_number(&said)
}

/// Removes a store; its directories cannot be written to by whoever is not root.
fn remove(dir: &Utf8Path) -> Done {
    if dir.exists() {
        sh("chmod", ["-R", "u+w", dir.as_str()]).quiet()?;
        fs_err::remove_dir_all(dir).map_err(io)?;
    }
    Ok(())
}

fn report(contenders: &[Contender], times: &[Times]) {
    println!("\n{:<20} {:>8} {:>8}", "", "wall", "CPU");
    for (contender, times) in contenders.iter().zip(times) {
        println!("{:<20} {:>6.2} s {:>6.2} s", contender.name, times.wall(), times.cpu());
    }
    let of =
        |name: &str| contenders.iter().zip(times).find(|(it, _)| it.name == name).map(|(_, times)| times);
    let Some(peer) = of(PEER) else { return };
    println!();
    for (name, goal) in GOALS {
        let Some(times) = of(name) else { continue };
        let wall = times.wall() / peer.wall();
        let verdict = if wall <= goal { "good" } else { "MISSED" };
        println!("{name:<20} {wall:>5.2} of the time of {PEER}; at most {goal}: {verdict}");
    }
}

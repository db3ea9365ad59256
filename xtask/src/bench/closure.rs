//! A closure into a store in a directory: 30,000 files in 300 paths, beside what the documents of such tests do, which is
//! `xargs -P N cp --recursive --no-dereference --reflink=auto`, then `nix-store --load-db`.
//!
//! `xargs` without `-n` gives all paths to one `cp`, whatever `-P` says, so the same is measured with as many of them at
//! once as there are processors. Everybody registers what they have copied. The documents' command looks at nothing that
//! it has copied, and bootway at names, kinds and sizes unless the row says otherwise; nobody's time has the first round's
//! `nix-store --verify --check-contents` in it, which everybody's store must pass.

use std::time::Duration;

use bootway_plan::{Class, Failure};
use camino::{Utf8Path, Utf8PathBuf};

use super::{
    io, released,
    rounds::{Contender, Times, take_turns},
};
use crate::{
    Done,
    sh::{Sh, cargo, sh},
};

const PATHS: &str = "300";
const FILES: &str = "30000";
/// Who, and at most how much of the time of the documents' command.
const GOALS: [(&str, f64); 3] =
    [("bootway, copied", 0.4), ("bootway, hard links", 0.15), ("bootway, links, unseen", 0.15)];
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
    let contenders = contenders(&scratch, &source, &out)?;
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
    report(&contenders, &times)
}

fn contenders(scratch: &Utf8Path, source: &Utf8Path, out: &Utf8Path) -> Result<Vec<Contender>, Failure> {
    let processors = std::thread::available_parallelism().map_err(io)?.to_string();
    let (registration, paths) = (source.join("registration"), source.join("paths"));
    let ours = |name: &str, mode: &str, verify: &str| Contender {
        name: name.to_owned(),
        commands: vec![
            sh(
                &example("install_closure"),
                [registration.as_str(), source.as_str(), out.as_str(), mode, verify, &processors],
            )
            .env("TMPDIR", scratch.as_str()),
        ],
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
        ours("bootway, links, unseen", "hardlink", "none"),
        ours("bootway, hashed", "auto", "hashes"),
    ])
}

fn nix_store(store: &Utf8Path, args: &[&str]) -> Sh {
    sh("nix-store", ["--option", "build-users-group", "", "--store", store.as_str()])
        .args(args.iter().copied())
}

fn example(name: &str) -> String {
    released(&format!("examples/{name}"))
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

/// The least is what a machine can do that does nothing else; the median is what it did.
fn report(contenders: &[Contender], times: &[Times]) -> Done {
    let load = fs_err::read_to_string("/proc/loadavg").map_err(io)?;
    println!("\nload average {}", load.split(' ').next().unwrap_or_default());
    println!("{:<24} {:>16} {:>16}", "", "wall", "CPU");
    println!("{:<24} {:>8}{:>8} {:>8}{:>8}", "", "least", "median", "least", "median");
    for (contender, times) in contenders.iter().zip(times) {
        let figures = [least(&times.wall), times.wall(), least(&times.cpu), times.cpu()];
        let [wall, median_wall, cpu, median_cpu] = figures.map(|seconds| format!("{seconds:.2} s"));
        println!("{:<24} {wall:>8}{median_wall:>8} {cpu:>8}{median_cpu:>8}", contender.name);
    }
    let of =
        |name: &str| contenders.iter().zip(times).find(|(it, _)| it.name == name).map(|(_, times)| times);
    let Some(peer) = of(PEER) else { return Ok(()) };
    println!("\nshares of the time of {PEER}: wall, least and median; CPU, least");
    for (name, goal) in GOALS {
        let Some(times) = of(name) else { continue };
        let wall = times.wall() / peer.wall();
        let verdict = if wall <= goal { "good" } else { "MISSED" };
        let (best, cpu) = (least(&times.wall) / least(&peer.wall), least(&times.cpu) / least(&peer.cpu));
        println!("{name:<24} {best:>5.2} {wall:>5.2} {cpu:>5.2}; at most {goal}: {verdict}");
    }
    Ok(())
}

fn least(of: &[Duration]) -> f64 {
    of.iter().min().map_or(0.0, Duration::as_secs_f64)
}

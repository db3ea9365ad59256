//! A shim taken apart, beside the programs that scripts do it with; and a disk assembled, beside a copy of it.

use bootway_plan::{Class, Failure};
use camino::{Utf8Path, Utf8PathBuf};

use super::{
    io, released,
    rounds::{Contender, Times, take_turns},
};
use crate::{
    Done, fixtures,
    sh::{Sh, cargo, sh},
};

/// Seconds of CPU that a harvest of the fixture may take.
const CPU: f64 = 0.5;
/// Of binwalk's time, on the same kernel.
const OF_BINWALK: f64 = 0.02;
/// Of a sparse copy of the disk.
const OF_COPY: f64 = 1.5;

/// Measures a harvest of the fixture; and, with a `tree`, the assembly of a disk around it.
///
/// # Errors
///
/// If a contender is missing or fails.
pub(super) fn run(tree: Option<&Utf8Path>, scratch: &Utf8Path, rounds: usize) -> Done {
    let fixture = fixtures::shim_dir()?;
    fs_err::create_dir_all(scratch).map_err(io)?;
    cargo([
        "build",
        "--release",
        "-p",
        "bootway-chromeos",
        "--example",
        "harvest",
        "--example",
        "take_initramfs",
    ])
    .run()?;
    let out = scratch.join("out");
    let clean = || clean(&out);
    clean()?;
    let example = |name: &str, args: &[&Utf8Path]| {
        vec![sh(&released(&format!("examples/{name}")), args.iter().map(|arg| arg.as_str()))]
    };
    let kernel = fixture.join("kern-a.bin");
    let (shim, recovery) = (fixture.join("shim.bin"), fixture.join("recovery.bin"));
    let contenders = [
        Contender { name: "binwalk".into(), commands: binwalk(&kernel, &out)? },
        Contender { name: "initramfs".into(), commands: example("take_initramfs", &[&kernel, &out]) },
        Contender { name: "harvest".into(), commands: example("harvest", &[&shim, &recovery, &out]) },
    ];
    let times = take_turns(&contenders, rounds, clean, |_, times, printed| {
        let peak = printed.iter().filter_map(|it| it.lines().last()?.trim().parse().ok()).max();
        times.peak_kib = times.peak_kib.max(peak.unwrap_or(0));
        Ok(())
    })?;
    let [binwalk, initramfs, harvest] = &times[..] else { return Ok(()) };
    println!();
    for (contender, times) in contenders.iter().zip(&times) {
        let (wall, cpu, peak) = (times.wall(), times.cpu(), times.peak());
        println!("{:<9} {wall:>6.2} s {cpu:>6.2} s of CPU {peak:>8}", contender.name);
    }
    verdict("s of CPU for a whole harvest", harvest.cpu(), CPU);
    verdict("of binwalk's CPU for the initramfs, as it does", initramfs.cpu() / binwalk.cpu(), OF_BINWALK);
    verdict("of binwalk's time for the initramfs", initramfs.wall() / binwalk.wall(), OF_BINWALK);
    println!("{:>6.3} of binwalk's CPU for a whole harvest", harvest.cpu() / binwalk.cpu());
    match tree {
        Some(tree) => assembly(tree, &fixture, scratch, rounds),
        None => Ok(()),
    }
}

fn verdict(what: &str, found: f64, most: f64) {
    let word = if found <= most { "good" } else { "MISSED" };
    println!("{found:>6.3} {what}; at most {most}: {word}");
}

fn clean(out: &Utf8Path) -> Done {
    if out.exists() {
        fs_err::remove_dir_all(out).map_err(io)?;
    }
    fs_err::create_dir_all(out).map_err(io)
}

/// What a script does on the kernel partition: binwalk, then binwalk on what came out.
///
/// Which file that is, the script reads off binwalk's output; here that is found out before, and not measured.
fn binwalk(kernel: &Utf8Path, out: &Utf8Path) -> Result<Vec<Sh>, Failure> {
    let listed = sh("binwalk", [kernel.as_str()]).quiet()?;
    let line = listed.lines().find(|line| line.contains("gzip compressed data"));
    let offset = line.and_then(|line| line.split_whitespace().nth(1)).and_then(|hex| hex.strip_prefix("0x"));
    let offset = offset.ok_or_else(|| {
        Failure::new(Class::Environment, "binwalk finds no gzip in the fixture's kernel partition".to_owned())
    })?;
    let extract =
        |file: &Utf8Path| sh("binwalk", ["--extract", "--run-as=root", "-C", out.as_str(), file.as_str()]);
    Ok(vec![extract(kernel), extract(&out.join("_kern-a.bin.extracted").join(offset))])
}

/// A disk with a root made of `tree`, assembled by bootway, beside a sparse copy of the same disk.
fn assembly(tree: &Utf8Path, fixture: &Utf8Path, scratch: &Utf8Path, rounds: usize) -> Done {
    cargo(["build", "--release", "-p", "bootway-image", "--example", "make_disk"]).run()?;
    let (out, esp): (Utf8PathBuf, Utf8PathBuf) = (scratch.join("out"), scratch.join("esp"));
    clean(&esp)?;
    let root_tree = scratch.join("root");
    if !root_tree.exists() {
        sh("cp", ["-a", tree.as_str(), root_tree.as_str()]).run()?;
    }
    fs_err::copy(fixture.join("kern-a.bin"), esp.join("kernel")).map_err(io)?;
    let made = scratch.join("made");
    clean(&made)?;
    let make =
        |to: &Utf8Path| sh(&released("examples/make_disk"), [root_tree.as_str(), esp.as_str(), to.as_str()]);
    make(&made).quiet()?;
    let disk = made.join("disk.raw");
    let copy = sh("cp", ["--sparse=always", "--reflink=never", disk.as_str(), out.join("copy.raw").as_str()]);
    let contenders = [
        Contender { name: "copy".into(), commands: vec![copy] },
        Contender { name: "bootway".into(), commands: vec![make(&out)] },
    ];
    let times: Vec<Times> = take_turns(&contenders, rounds, || clean(&out), |_, _, _| Ok(()))?;
    let [copy, ours] = &times[..] else { return Ok(()) };
    println!();
    verdict("of the time of a sparse copy of the assembled disk", ours.wall() / copy.wall(), OF_COPY);
    verdict("of its CPU", ours.cpu() / copy.cpu(), OF_COPY);
    Ok(())
}

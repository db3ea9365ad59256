//! How fast a disk is made, beside the programs that people use for it and beside what nothing can beat.
//!
//! All contenders get the same tree and make the same thing of it: a GPT disk with an ESP of 128 MiB and an ext4 root.
//! They take turns, so that what else the machine does falls on all of them, and the median of the rounds counts.

use std::time::{Duration, Instant};

use bootway_plan::{Class, Failure};
use camino::{Utf8Path, Utf8PathBuf};
use clap::{Args, Subcommand};

use crate::{
    Done,
    sh::{Sh, cargo, root, sh},
};

/// Bytes of a MiB.
const MIB: u64 = 1 << 20;
/// Ticks of a second in `/proc/self/stat`, on every Linux.
const TICKS: u64 = 100;
/// What the issue asks for: name of the peer, and the most we may take of its time.
const GOALS: [(&str, f64); 3] = [("genimage", 0.2), ("script", 0.4), ("limit", 1.3)];

/// Measure beside other programs
#[derive(Debug, Args)]
pub(crate) struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// A GPT disk with an ESP and an ext4 root, beside genimage, a script, and the limit
    Disk {
        /// A root file system of Debian of 700 MB or more, such as mmdebstrap makes
        tree: Utf8PathBuf,
        /// Where to work: a tmpfs, so that the disk's noise is out
        #[arg(long, default_value = "/dev/shm/bootway-bench")]
        scratch: Utf8PathBuf,
        /// How often each takes its turn
        #[arg(long, default_value_t = 5)]
        rounds: usize,
    },
}

impl Bench {
    pub(crate) fn run(&self) -> Done {
        match &self.what {
            What::Disk { tree, scratch, rounds } => disk(tree, scratch, *rounds),
        }
    }
}

/// Who makes a disk, and how.
struct Contender {
    name: &'static str,
    commands: Vec<Sh>,
}

/// What one took, round by round.
#[derive(Default)]
struct Times {
    wall: Vec<Duration>,
    cpu: Vec<Duration>,
    peak_kib: u64,
}

/// Measures a disk made of `tree`, a root file system of Debian, in `rounds` rounds below `scratch`, which should be a
/// tmpfs: then the disk's noise is out.
///
/// # Errors
///
/// If a contender is missing or fails.
fn disk(tree: &Utf8Path, scratch: &Utf8Path, rounds: usize) -> Done {
    cargo(["build", "--release", "-p", "bootway-image", "--example", "make_disk", "--example", "copy_limit"])
        .run()?;
    let sources = Sources::prepare(tree, scratch)?;
    println!("{} files, {} MiB in {tree}", sources.files, sources.bytes / MIB);
    let contenders = contenders(&sources)?;
    let mut times: Vec<Times> = contenders.iter().map(|_| Times::default()).collect();
    for round in 0..rounds {
        for (contender, times) in contenders.iter().zip(&mut times) {
            sources.clean()?;
            let (cpu, started) = (children_cpu()?, Instant::now());
            for command in &contender.commands {
                let printed = command.quiet()?;
                times.peak_kib = times.peak_kib.max(printed.trim().parse().unwrap_or(0));
            }
            times.wall.push(started.elapsed());
            times.cpu.push(children_cpu()?.saturating_sub(cpu));
            let last = |of: &[Duration]| of.last().map_or(0.0, Duration::as_secs_f64);
            println!(
                "round {}: {:<9} {:.2} s, {:.2} s of CPU",
                round + 1,
                contender.name,
                last(&times.wall),
                last(&times.cpu)
            );
        }
    }
    sources.clean()?;
    report(&contenders, &times);
    Ok(())
}

/// What all of them read, and where they write.
struct Sources {
    root: Utf8PathBuf,
    esp: Utf8PathBuf,
    out: Utf8PathBuf,
    files: u64,
    bytes: u64,
}

impl Sources {
    fn prepare(tree: &Utf8Path, scratch: &Utf8Path) -> Result<Self, Failure> {
        let [root, esp, out] = ["root", "esp", "out"].map(|name| scratch.join(name));
        fs_err::create_dir_all(scratch).map_err(io)?;
        if !root.exists() {
            sh("cp", ["-a", tree.as_str(), root.as_str()]).run()?;
        }
        if !esp.exists() {
            for dir in ["EFI/BOOT", "EFI/debian", "loader/entries"] {
                fs_err::create_dir_all(esp.join(dir)).map_err(io)?;
            }
            fs_err::write(esp.join("loader/loader.conf"), "timeout 3\n").map_err(io)?;
            for entry in fs_err::read_dir(root.join("boot")).map_err(io)? {
                let entry = entry.map_err(io)?;
                let name = entry.file_name().to_string_lossy().into_owned();
                if name.starts_with("vmlinuz") || name.starts_with("initrd") {
                    fs_err::copy(entry.path(), esp.join("EFI/debian").join(name)).map_err(io)?;
                }
            }
        }
        let (files, bytes) = sh("du", ["--apparent-size", "-sb", root.as_str()])
            .quiet()
            .and_then(|du| first_number(&du))
            .and_then(|bytes| Ok((count(&root)?, bytes)))?;
        Ok(Self { root, esp, out, files, bytes })
    }

    /// The root partition of those that must be told its size: their tables, an inode for every 16 KiB, a journal.
    const fn root_mib(&self) -> u64 {
        (self.bytes + self.bytes / 8 + self.files * 4096) / MIB + 64
    }

    fn clean(&self) -> Done {
        if self.out.exists() {
            fs_err::remove_dir_all(&self.out).map_err(io)?;
        }
        fs_err::create_dir_all(&self.out).map_err(io)
    }
}

fn contenders(sources: &Sources) -> Result<Vec<Contender>, Failure> {
    let Sources { root: tree, esp, out, .. } = sources;
    let example = |name: &str| root().join("target/release/examples").join(name).into_string();
    let disk = out.join("disk.img").into_string();
    let mib = sources.root_mib();
    let config = out.with_file_name("genimage.cfg");
    fs_err::write(&config, genimage_config(mib)).map_err(io)?;
    let temporary = out.join("tmp");
    Ok(vec![
        Contender {
            name: "limit",
            commands: vec![sh(&example("copy_limit"), [&disk, tree.as_str(), esp.as_str()])],
        },
        Contender {
            name: "bootway",
            commands: vec![sh(&example("make_disk"), [tree.as_str(), esp.as_str(), out.as_str()])],
        },
        Contender { name: "script", commands: script(sources, &disk, mib) },
        Contender {
            name: "genimage",
            commands: vec![
                sh(
                    "genimage",
                    ["--config", config.as_str(), "--rootpath", tree.as_str(), "--inputpath", esp.as_str()],
                )
                .args(["--outputpath", out.as_str(), "--tmppath", temporary.as_str()]),
            ],
        },
    ])
}

/// The fastest that the usual programs can: each writes straight into the disk.
fn script(sources: &Sources, disk: &str, mib: u64) -> Vec<Sh> {
    let esp = |name: &str| sources.esp.join(name).into_string();
    let size = format!("{}M", mib + 130);
    let offset = format!("offset={}", 129 * MIB);
    vec![
        sh("truncate", ["-s", &size, disk]),
        sh("sgdisk", ["-n", "1:1M:+128M", "-t", "1:ef00", "-c", "1:ESP"]).args([
            "-n",
            &format!("2:129M:+{mib}M"),
            "-t",
            "2:8304",
            "-c",
            "2:ROOT",
            disk,
        ]),
        sh("mkfs.fat", ["-F", "32", "-s", "1", "-n", "ESP", "--offset", "2048", disk, "131072"]),
        sh("mcopy", ["-s", "-i", &format!("{disk}@@1M"), &esp("EFI"), &esp("loader"), "::"]),
        sh(
            "mke2fs",
            ["-q", "-F", "-t", "ext4", "-L", "ROOT", "-d", sources.root.as_str(), "-E", &offset, disk],
        )
        .args([format!("{mib}M")]),
    ]
}

fn genimage_config(mib: u64) -> String {
    format!(
        r#"image esp.vfat {{
    vfat {{
        files = {{ "EFI", "loader" }}
        extraargs = "-F 32 -s 1 -n ESP"
    }}
    size = 128M
}}
image root.ext4 {{
    ext4 {{
        label = "ROOT"
        use-mke2fs = true
    }}
    size = {mib}M
}}
image disk.img {{
    hdimage {{
        partition-table-type = gpt
    }}
    partition ESP {{
        image = "esp.vfat"
        partition-type-uuid = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
    }}
    partition ROOT {{
        image = "root.ext4"
        partition-type-uuid = "4f68bce3-e8cd-4db1-96e7-fbcaf984b709"
    }}
}}
"#
    )
}

fn report(contenders: &[Contender], times: &[Times]) {
    println!("\n{:<9} {:>8} {:>8} {:>10}", "", "wall", "CPU", "peak");
    let mut medians = Vec::new();
    for (contender, times) in contenders.iter().zip(times) {
        let (wall, cpu) = (median(&times.wall), median(&times.cpu));
        let peak = if times.peak_kib > 0 {
            format!("{} MB", times.peak_kib * 1024 / 1_000_000)
        } else {
            String::new()
        };
        println!("{:<9} {wall:>6.2} s {cpu:>6.2} s {peak:>10}", contender.name);
        medians.push((contender.name, wall, cpu));
    }
    let of = |name: &str| {
        medians.iter().find(|(it, ..)| *it == name).map_or((0.0, 0.0), |(_, wall, cpu)| (*wall, *cpu))
    };
    let ours = of("bootway");
    println!();
    for (name, goal) in GOALS {
        let (wall, cpu) = of(name);
        let (wall, cpu) = (ours.0 / wall, ours.1 / cpu);
        let verdict = if wall <= goal && cpu <= goal { "good" } else { "MISSED" };
        println!(
            "bootway / {name:<8} {wall:>5.2} of its time, {cpu:>5.2} of its CPU; at most {goal}: {verdict}"
        );
    }
}

fn median(of: &[Duration]) -> f64 {
    let mut sorted = of.to_vec();
    sorted.sort();
    sorted.get(sorted.len() / 2).map_or(0.0, Duration::as_secs_f64)
}

/// User and system time of all children that have ended, in steps of 10 ms.
fn children_cpu() -> Result<Duration, Failure> {
    let stat = fs_err::read_to_string("/proc/self/stat").map_err(io)?;
    // Fields are counted behind the name, which is in parentheses and may have anything in it.
    let fields: Vec<&str> = stat.rsplit_once(") ").map_or(Vec::new(), |(_, rest)| rest.split(' ').collect());
    let ticks: u64 =
        fields.get(13..15).unwrap_or_default().iter().filter_map(|field| field.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(ticks * 1000 / TICKS))
}

fn count(dir: &Utf8Path) -> Result<u64, Failure> {
    let listed = sh("find", [dir.as_str(), "-printf", "x"]).quiet()?;
    Ok(listed.len() as u64)
}

fn first_number(text: &str) -> Result<u64, Failure> {
    let digits = text.split_whitespace().next().unwrap_or_default();
    digits.parse().map_err(|_| Failure::new(Class::Bug, format!("`{text}` begins with no number")))
}

#[expect(clippy::needless_pass_by_value, reason = "as `map_err` hands it over")]
fn io(error: std::io::Error) -> Failure {
    Failure::new(Class::Environment, error.to_string())
}

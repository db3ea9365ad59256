//! A disk: a GPT with an ESP of 128 MiB and an ext4 root, made of the same tree by everybody.

use bootway_plan::Failure;
use camino::{Utf8Path, Utf8PathBuf};

use super::{
    count, first_number, io, released,
    rounds::{Contender, Times, take_turns},
};
use crate::{
    Done,
    sh::{Sh, cargo, sh},
};

/// Bytes of a MiB.
const MIB: u64 = 1 << 20;
/// What the issue asks for: name of the peer, and the most we may take of its time.
const GOALS: [(&str, f64); 3] = [("genimage", 0.2), ("script", 0.4), ("limit", 1.3)];

/// Measures a disk made of `tree`, a root file system of Debian, in `rounds` rounds below `scratch`, which should be a
/// tmpfs: then the disk's noise is out.
///
/// # Errors
///
/// If a contender is missing or fails.
pub(super) fn run(tree: &Utf8Path, scratch: &Utf8Path, rounds: usize) -> Done {
    cargo(["build", "--release", "-p", "bootway-image", "--example", "make_disk", "--example", "copy_limit"])
        .run()?;
    let sources = Sources::prepare(tree, scratch)?;
    println!("{} files, {} MiB in {tree}", sources.files, sources.bytes / MIB);
    let contenders = contenders(&sources)?;
    let times = take_turns(
        &contenders,
        rounds,
        || sources.clean(),
        |_, times, printed| {
            // Some say how much memory they had.
            let said = printed.iter().filter_map(|it| it.trim().parse().ok()).max();
            times.peak_kib = times.peak_kib.max(said.unwrap_or(0));
            Ok(())
        },
    )?;
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
            .and_then(|bytes| Ok((count(&root, &[])?, bytes)))?;
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
    let example = |name: &str| released(&format!("examples/{name}"));
    let disk = out.join("disk.img").into_string();
    let mib = sources.root_mib();
    let config = out.with_file_name("genimage.cfg");
    fs_err::write(&config, genimage_config(mib)).map_err(io)?;
    let temporary = out.join("tmp");
    Ok(vec![
        Contender {
            name: "limit".into(),
            commands: vec![sh(&example("copy_limit"), [&disk, tree.as_str(), esp.as_str()])],
        },
        Contender {
            name: "bootway".into(),
            commands: vec![sh(&example("make_disk"), [tree.as_str(), esp.as_str(), out.as_str()])],
        },
        Contender { name: "script".into(), commands: script(sources, &disk, mib) },
        Contender {
            name: "genimage".into(),
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
    for (contender, times) in contenders.iter().zip(times) {
        let (wall, cpu, peak) = (times.wall(), times.cpu(), times.peak());
        println!("{:<9} {wall:>6.2} s {cpu:>6.2} s {peak:>10}", contender.name);
    }
    let of =
        |name: &str| contenders.iter().zip(times).find(|(it, _)| it.name == name).map(|(_, times)| times);
    let Some(ours) = of("bootway") else { return };
    println!();
    for (name, goal) in GOALS {
        let Some(times) = of(name) else { continue };
        let (wall, cpu) = (ours.wall() / times.wall(), ours.cpu() / times.cpu());
        let verdict = if wall <= goal && cpu <= goal { "good" } else { "MISSED" };
        println!(
            "bootway / {name:<8} {wall:>5.2} of its time, {cpu:>5.2} of its CPU; at most {goal}: {verdict}"
        );
    }
}

//! Tests of a guest: a machine that is booted once, saved, and restored for each test.
//!
//! Beside it: the same machine booted for each, the guest's own reboot, and QEMU alone, which saves all of the memory to a
//! file and reads all of it again. A guest has answered when a command of its shell has come back whole.

mod peer;
mod plan;

use std::time::{Duration, Instant};

use bootway_plan::{Class, Event, EventKind, Failure};
use camino::{Utf8Path, Utf8PathBuf};

use super::{io, released, rounds::median};
use crate::{
    Done,
    sh::{cargo, root, sh},
};

/// What is measured.
struct Size {
    name: &'static str,
    mib: u32,
    /// Memory that the guest has written to before it is saved.
    dirty_mib: u32,
}

const SIZES: [Size; 3] = [
    Size { name: "256 MiB", mib: 256, dirty_mib: 0 },
    Size { name: "1 GiB", mib: 1024, dirty_mib: 0 },
    Size { name: "1 GiB, 512 MiB of it written", mib: 1024, dirty_mib: 512 },
];

/// At most this share of a boot until the first command of a test is answered.
const RESTORE_GOAL: f64 = 0.05;
/// The same for a Debian with systemd.
const IMAGE_GOAL: f64 = 0.02;
/// At most this share of booting for each test.
const SUITE_GOAL: f64 = 0.15;
/// Tests on one machine that was saved, two at a time.
const SUITE: usize = 40;

/// What tests do.
#[derive(Clone, Copy)]
enum Tests {
    /// Ask for one command.
    Answer,
    /// The same, and half a second of work that leaves the processor alone: what is restored ahead is ready by then.
    Work,
    /// Ask for one command, and reboot.
    Reboot,
}

/// What starts.
enum Guest<'a> {
    /// Busybox, from a kernel of this machine.
    Busybox(&'a Size),
    /// The disk of the demo plan, from its firmware on.
    Demo,
    /// A disk whose system has systemd, and the kernel that is on it.
    Image(&'a Image),
}

/// A disk to measure, too.
#[derive(Debug, clap::Args)]
pub(super) struct Image {
    /// A raw disk with systemd, to be measured, too
    #[arg(long = "image", requires = "kernel")]
    disk: Option<Utf8PathBuf>,
    /// Its kernel
    #[arg(long)]
    kernel: Option<Utf8PathBuf>,
    /// Its initramfs
    #[arg(long)]
    initrd: Option<Utf8PathBuf>,
    /// Its kernel's command line
    #[arg(long, default_value = "root=/dev/vda rw console=ttyS0 quiet")]
    cmdline: String,
}

/// What a run told, milliseconds.
#[derive(Debug, Default)]
struct Told {
    ready: Vec<f64>,
    save: Vec<f64>,
    restore: Vec<f64>,
    /// From asking for the first command of a test until its answer.
    answer: Vec<f64>,
    /// From the end of a test until the first command of the next one is answered.
    next: Vec<f64>,
    reboot: Vec<f64>,
    /// Of the step.
    wall: f64,
}

/// Measures with `rounds` tests each below `scratch`.
///
/// # Errors
///
/// If something is missing, or fails.
pub(super) fn run(scratch: &Utf8Path, rounds: usize, image: &Image) -> Done {
    cargo(["build", "--release", "-p", "bootway"]).run()?;
    fs_err::create_dir_all(scratch).map_err(io)?;
    let scratch = scratch.canonicalize_utf8().map_err(io)?;
    prepare(&scratch)?;
    println!("load average {}", load()?);
    println!(
        "{:<30} {:>9} {:>8} {:>9} {:>9} {:>9} {:>9} {:>7}",
        "medians, ms", "boot", "save", "restore", "+ answer", "per test", "reboot", "share"
    );
    for size in &SIZES {
        let told = measure(&scratch, &Guest::Busybox(size), rounds)?;
        row(size.name, &told, RESTORE_GOAL);
        let theirs = peer::measure(&scratch, &kernel()?, size.mib, size.dirty_mib, rounds.min(5))?;
        println!(
            "{:<30} {:>9.0} {:>8.0} {:>9} {:>9.0}",
            "  QEMU alone, the whole memory", theirs.boot, theirs.save, "", theirs.restored
        );
    }
    let told = measure(&scratch, &Guest::Demo, rounds)?;
    row("the demo's disk, 256 MiB", &told, RESTORE_GOAL);
    let mut guests = vec![("busybox", Guest::Busybox(&SIZES[0])), ("the demo's disk", Guest::Demo)];
    if image.disk.is_some() {
        let told = measure(&scratch, &Guest::Image(image), rounds)?;
        row("systemd, 512 MiB", &told, IMAGE_GOAL);
        guests.push(("systemd", Guest::Image(image)));
    }
    println!("{SUITE} tests, two at a time:");
    for (name, guest) in guests {
        suites(&scratch, name, &guest)?;
    }
    println!("load average {}", load()?);
    Ok(())
}

fn row(name: &str, told: &Told, goal: f64) {
    let [boot, save, restore, next, reboot] =
        [&told.ready, &told.save, &told.restore, &told.next, &told.reboot].map(|of| median(of.clone()));
    let answered: Vec<f64> = told.restore.iter().zip(&told.answer).map(|(a, b)| a + b).collect();
    let (least, answered) = (told.next.iter().copied().fold(f64::MAX, f64::min), median(answered));
    let share = next / boot;
    let verdict = if share <= goal { "good" } else { "MISSED" };
    println!(
        "{name:<30} {boot:>9.0} {save:>8.0} {restore:>9.0} {answered:>9.0} {next:>9.0} {reboot:>9.0} {share:>7.3}; at most \
         {goal}: {verdict}; least {least:.0} ms"
    );
}

/// All tests of a suite: on one machine that is booted and saved, on the same when it was saved before, and each on one
/// that boots.
fn suites(scratch: &Utf8Path, name: &str, guest: &Guest<'_>) -> Done {
    let wall = |snapshot: &str| -> Result<f64, Failure> {
        plan::write(scratch, guest, snapshot, SUITE, Tests::Answer)?;
        Ok(told(scratch, 2)?.wall)
    };
    forget(scratch)?;
    let (made, found, booted) = (wall("required")?, wall("required")?, wall("never")?);
    let share = made / booted;
    let verdict = if share <= SUITE_GOAL { "good" } else { "MISSED" };
    println!(
        "{name:<30} {:.1} s on one machine that is booted and saved, {:.1} s on one that was saved before, {:.1} s booting \
         each; {share:.3} and {:.3}, at most {SUITE_GOAL}: {verdict}",
        made / 1000.0,
        found / 1000.0,
        booted / 1000.0,
        found / booted
    );
    Ok(())
}

/// Boots and saves once, and restores for each of `rounds` tests, one at a time; then boots and reboots some.
fn measure(scratch: &Utf8Path, guest: &Guest<'_>, rounds: usize) -> Result<Told, Failure> {
    forget(scratch)?;
    let mut all = Told::default();
    plan::write(scratch, guest, "required", rounds, Tests::Work)?;
    let saved = told(scratch, 1)?;
    (all.save, all.restore, all.answer, all.next) = (saved.save, saved.restore, saved.answer, saved.next);
    // What the boot is that is not to be saved, and has no memory to fill.
    let plain = match guest {
        Guest::Busybox(size) => &Guest::Busybox(&Size { dirty_mib: 0, ..**size }),
        Guest::Demo | Guest::Image(_) => guest,
    };
    plan::write(scratch, plain, "never", rounds.min(5), Tests::Reboot)?;
    let booted = told(scratch, 1)?;
    (all.ready, all.reboot) = (booted.ready, booted.reboot);
    Ok(all)
}

fn forget(scratch: &Utf8Path) -> Done {
    match fs_err::remove_dir_all(scratch.join("work/cache/vm")) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io(error)),
        _ => Ok(()),
    }
}

/// What all plans read.
fn prepare(scratch: &Utf8Path) -> Done {
    fs_err::create_dir_all(scratch.join("early/bin")).map_err(io)?;
    fs_err::copy("/bin/busybox", scratch.join("early/bin/busybox")).map_err(io)?;
    fs_err::copy(kernel()?, scratch.join("vmlinuz")).map_err(io)?;
    let init = "#!/bin/busybox sh\n/bin/busybox --install -s /bin\nmkdir -p /proc /sys /dev /fill\n\
                mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs dev /dev\n\
                mount -t tmpfs -o size=600m fill /fill\nwhile :; do setsid cttyhack sh; done\n";
    fs_err::write(scratch.join("early/init"), init).map_err(io)?;
    let plans = root().join("fixtures/plans");
    fs_err::copy(plans.join("demo.lock"), scratch.join("bench.lock")).map_err(io)?;
    copy(&plans.join("demo"), &scratch.join("demo"))
}

/// Copies a directory of files.
fn copy(from: &Utf8Path, to: &Utf8Path) -> Done {
    fs_err::create_dir_all(to).map_err(io)?;
    for entry in from.read_dir_utf8().map_err(io)? {
        let entry = entry.map_err(io)?;
        let to = to.join(entry.file_name());
        if entry.file_type().map_err(io)?.is_dir() {
            copy(entry.path(), &to)?;
        } else {
            fs_err::copy(entry.path(), &to).map_err(io)?;
        }
    }
    Ok(())
}

/// Runs the plan, and reads what it told.
fn told(scratch: &Utf8Path, jobs: usize) -> Result<Told, Failure> {
    let program = released("bootway");
    let (plan, work) = (scratch.join("bench.plan.toml"), scratch.join("work"));
    let args = ["build", plan.as_str(), "--work", work.as_str(), "--step", "tests", "--fresh", "--no-report"];
    sh(&program, args).args(["-j", &jobs.to_string()]).quiet()?;
    let log = fs_err::read_to_string(work.join("runs/latest/events.jsonl")).map_err(io)?;
    let mut all = Told::default();
    let (mut started, mut worked) = (0, 0);
    for line in log.lines() {
        let event: Event = serde_json::from_str(line)
            .map_err(|error| Failure::new(Class::Bug, format!("`{line}`: {error}")))?;
        let is_tests = event.step.as_ref().is_some_and(|step| step.as_str() == "tests");
        match event.kind {
            EventKind::Started if is_tests => started = event.at_ms,
            EventKind::Finished if is_tests => all.wall = ms(event.at_ms - started),
            EventKind::Timing(timing) => match timing.name.as_str() {
                "boot-to-ready" => all.ready.push(ms(timing.ms)),
                "save" => all.save.push(ms(timing.ms)),
                "restore" => all.restore.push(ms(timing.ms)),
                _ => {}
            },
            EventKind::Check { name, after_ms, .. } if name.ends_with("answers") => {
                all.answer.push(ms(after_ms));
                if worked > 0 {
                    all.next.push(ms(event.at_ms - worked));
                }
            }
            EventKind::Check { name, .. } if name.ends_with("works") => worked = event.at_ms,
            EventKind::Check { name, after_ms, .. } if name.ends_with("reboots") => {
                all.reboot.push(ms(after_ms));
            }
            _ => {}
        }
    }
    Ok(all)
}

/// The newest kernel of this machine.
fn kernel() -> Result<Utf8PathBuf, Failure> {
    let entries = Utf8Path::new("/boot").read_dir_utf8().map_err(io)?.flatten();
    let kernels = entries.map(camino::Utf8DirEntry::into_path);
    let newest =
        kernels.filter(|path| path.file_name().is_some_and(|name| name.starts_with("vmlinuz-"))).max();
    newest.ok_or_else(|| Failure::new(Class::Environment, "there is no kernel in /boot: `cargo xtask setup`"))
}

fn load() -> Result<String, Failure> {
    let load = fs_err::read_to_string("/proc/loadavg").map_err(io)?;
    Ok(load.split(' ').next().unwrap_or_default().to_owned())
}

/// Milliseconds since `began`.
fn since(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1000.0
}

/// More than that is no answer.
const PATIENCE: Duration = Duration::from_mins(5);

/// Milliseconds to calculate with.
#[expect(clippy::cast_precision_loss, reason = "nobody waits for 2^52 of them")]
const fn ms(of: u64) -> f64 {
    of as f64
}

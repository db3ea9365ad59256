//! `bootway write`: an image to a stick or a card, and the proof that it is there.

use std::{
    io::{IsTerminal as _, Write as _},
    time::Instant,
};

use bootway_image::{ImageKind, MovedBackup, move_gpt_backup, read_gpt_lenient};
use bootway_plan::{Bytes, Class, Failure, exit_code};
use bootway_report::span;
use camino::{Utf8Path, Utf8PathBuf};
use clap::Args;

use self::{
    copy::{Copied, Copy, Stopped},
    host::Host,
    target::{Allowed, Target, about},
};
use crate::{
    progress::{Stage, watched},
    signals::Signals,
    style,
};

mod copy;
mod host;
mod list;
mod target;

/// Write an image to a USB stick or an SD card, and read it back
///
/// The device is refused if it holds the running system, if anything on it is in use, if it cannot be taken out, or if
/// it is too small. Holes of the image become zeros. Everything is read back and compared; then the backup of the
/// partition table is moved to the end of the device, where firmware looks for it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  bootway write --list\n  sudo bootway write shimboot.raw /dev/sdb\n\n\
    A file can stand for a device: `truncate --size=8G stick && bootway write shimboot.raw ./stick --yes`.\n\
    Exit code 4 if the image or the device is refused, 5 if it cannot be written, 6 if it does not keep what was written, 130 if \
    stopped or not confirmed.")]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub(crate) struct Write {
    /// The image, as it will be on the device
    #[arg(required_unless_present = "list")]
    image: Option<Utf8PathBuf>,
    /// The whole device, such as `/dev/sdb`, or a file that stands for one
    #[arg(required_unless_present = "list")]
    device: Option<Utf8PathBuf>,
    /// List the devices that can be taken out, and what they are used for
    #[arg(long, conflicts_with_all = ["image", "device"])]
    list: bool,
    /// Do not ask: for scripts
    #[arg(long)]
    yes: bool,
    /// Write to a device of more than 256 GiB
    #[arg(long)]
    allow_large: bool,
    /// Write to a disk that cannot be taken out
    #[arg(long)]
    allow_fixed: bool,
    /// Leave the backup of the partition table where the image has it
    #[arg(long)]
    keep_gpt: bool,
    /// Do not read back
    #[arg(long)]
    no_verify: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
    /// Show no progress
    #[arg(long)]
    no_progress: bool,
}

impl Write {
    pub(crate) fn run(&self, color: style::When) -> Result<u8, Failure> {
        let host = Host::here();
        let (Some(image), Some(device)) = (&self.image, &self.device) else {
            return list::list(&host, self.json);
        };
        let (source, size) = open_image(image)?;
        let target = Target::find(&host, device)?;
        if same_file(image, device) {
            return Err(Failure::new(Class::Environment, format!("`{device}` is the image itself")));
        }
        let allowed = Allowed { large: self.allow_large, fixed: self.allow_fixed };
        target.check(Bytes::new(size), allowed)?;
        if !self.yes && !std::io::stdin().is_terminal() {
            let failure = Failure::new(
                Class::Environment,
                format!("nobody can be asked whether `{device}` may be overwritten"),
            );
            crate::say_failure(&failure.hint("say `--yes` if it may"));
            return Ok(exit_code::USAGE);
        }
        if !self.yes && !confirmed(&target, image, Bytes::new(size))? {
            return Err(Failure::new(Class::Cancelled, format!("not confirmed: `{device}` is as it was")));
        }
        let opened = target.open()?;
        let signals = Signals::listen();
        let job = Job {
            write: self,
            color,
            signals: &signals,
            target: &target,
            image,
            source,
            size,
            device: opened,
        };
        match job.run() {
            Ok(done) => {
                self.tell(image, &target, &done);
                Ok(exit_code::DONE)
            }
            Err(failure) if failure.class == Class::Cancelled => {
                crate::say_failure(&failure);
                Ok(signals.exit_code(exit_code::INTERRUPTED))
            }
            Err(failure) => Err(failure),
        }
    }

    fn tell(&self, image: &Utf8Path, target: &Target, done: &Done) {
        let moved = done.moved;
        if self.json {
            let it = serde_json::json!({
                "image": image,
                "device": target.path,
                "bytes": done.size,
                "written": done.copied.written,
                "zeroed": done.copied.zeroed,
                "verified": !self.no_verify,
                "gpt-backup": moved.map(|it| serde_json::json!({ "from": it.from, "to": it.to, "sector-size": it.sector_size })),
                "ms": done.ms,
            });
            crate::print(&(serde_json::to_string_pretty(&it).expect("plain data") + "\n"));
            return;
        }
        let human = |bytes: u64| Bytes::new(bytes).human();
        let mut text = format!("`{}` has the image: {} written", target.path, human(done.copied.written));
        if done.copied.zeroed > 0 {
            text += &format!(", {} of zeros", human(done.copied.zeroed));
        }
        text += if self.no_verify { ", not read back" } else { ", read back and the same" };
        if moved.is_some() {
            text += "; the backup of its partition table is at its end now";
        }
        style::say(&format!("{text}, in {}", span(done.ms)));
    }
}

/// One image to one device.
struct Job<'a> {
    write: &'a Write,
    color: style::When,
    signals: &'a Signals,
    target: &'a Target,
    image: &'a Utf8Path,
    source: fs_err::File,
    size: u64,
    device: fs_err::File,
}

/// What was done.
struct Done {
    size: u64,
    copied: Copied,
    moved: Option<MovedBackup>,
    ms: u64,
}

impl Job<'_> {
    fn run(&self) -> Result<Done, Failure> {
        let begun = Instant::now();
        #[expect(
            clippy::redundant_closure_for_method_calls,
            reason = "the method is not general enough in its lifetime"
        )]
        let copied = self.watched(|copy| copy.write()).map_err(|stopped| self.incomplete(stopped))?;
        if !self.write.no_verify {
            if !self.write.json {
                style::say("written; reading it back");
            }
            self.watched(|copy| copy.verify(&copied)).map_err(|stopped| self.unproved(stopped))?;
        }
        let moved = if self.write.keep_gpt { None } else { self.move_backup()? };
        let ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(Done { size: self.size, copied, moved, ms })
    }

    fn watched<T>(&self, work: impl FnOnce(&Copy<'_>) -> Result<T, Stopped>) -> Result<T, Stopped> {
        let style = style::terminal(self.color, false);
        let quiet = self.write.json || self.write.no_progress;
        watched(&style, quiet, |tell| {
            let total = Some(self.size);
            work(&Copy {
                image: &self.source,
                size: self.size,
                device: &self.device,
                is_file: self.target.disk.is_none(),
                stop: self.signals.flag(),
                tell: &|done| tell(Stage::Read { done, total }),
            })
        })
    }

    fn move_backup(&self) -> Result<Option<MovedBackup>, Failure> {
        let file = self.device.file();
        move_gpt_backup(file, self.target.size.get()).map_err(|error| {
            Failure::new(Class::Step, error.to_string())
                .because(format!(
                    "`{}` has the image, but the backup of its partition table could not be moved to its end",
                    self.target.path
                ))
                .hint("`--keep-gpt` leaves it where the image has it")
        })
    }

    /// What is to be said of a device that has a part of the image.
    fn incomplete(&self, stopped: Stopped) -> Failure {
        let device = &self.target.path;
        let text =
            format!("`{device}` is incomplete: it has a part of `{}` and no partition table", self.image);
        self.failure(stopped).because(text)
    }

    /// What is to be said of a device that has all of it, as far as anybody knows.
    fn unproved(&self, stopped: Stopped) -> Failure {
        let device = &self.target.path;
        match stopped {
            Stopped::Differs(_) => {
                self.failure(stopped).because(format!("`{device}` does not keep what is written to it"))
            }
            _ => self
                .failure(stopped)
                .because(format!("`{device}` has the image, and it was not read back whole")),
        }
    }

    fn failure(&self, stopped: Stopped) -> Failure {
        let (class, text, hint) = match stopped {
            Stopped::Asked => {
                (Class::Cancelled, "stopped".to_owned(), "write the image again before the device is used")
            }
            Stopped::Image(error) => (
                Class::Environment,
                format!("cannot read `{}`: {error}", self.image),
                "write the image again before the device is used",
            ),
            Stopped::Device(error) if error.kind() == std::io::ErrorKind::StorageFull => {
                (Class::Step, error.to_string(), "the file system that the file is on is full")
            }
            Stopped::Device(error) => (
                Class::Step,
                error.to_string(),
                "a device that cannot be written or read is most likely worn out: use another one",
            ),
            Stopped::Differs(at) => (
                Class::Check,
                format!("what is read back from byte {at} on is not what was written there"),
                "it is broken, or pretends to be bigger than it is: use another one",
            ),
        };
        Failure::new(class, text).hint(hint)
    }
}

/// Opens an image; a packed one is refused, because nothing starts from it.
fn open_image(path: &Utf8Path) -> Result<(fs_err::File, u64), Failure> {
    use std::os::unix::fs::FileExt as _;
    const PACKED: [(&[u8], &str, &str); 5] = [
        (b"PK\x03\x04", "a zip archive", "unzip IMAGE"),
        (b"\x1f\x8b", "packed with gzip", "gunzip IMAGE"),
        (b"\xfd7zXZ\0", "packed with xz", "unxz IMAGE"),
        (b"\x28\xb5\x2f\xfd", "packed with zstd", "unzstd IMAGE"),
        (b"QFI\xfb", "a qcow2 image", "qemu-img convert -O raw IMAGE disk.raw"),
    ];
    let io = |error: std::io::Error| Failure::new(Class::Environment, error.to_string());
    let file = fs_err::File::open(path).map_err(io)?;
    let metadata = file.metadata().map_err(io)?;
    if !metadata.is_file() || metadata.len() == 0 {
        return Err(Failure::new(
            Class::Environment,
            format!("`{path}` is not an image: it is no file, or empty"),
        ));
    }
    let mut magic = [0; 16];
    let read = file.file().read_at(&mut magic, 0).map_err(io)?;
    if let Some((_, what, how)) = PACKED.iter().find(|(start, ..)| magic[..read].starts_with(start)) {
        let failure =
            Failure::new(Class::Environment, format!("`{path}` is {what}: nothing starts from that"));
        let how = how.replace("IMAGE", path.as_str());
        return Err(failure.hint(format!("unpack it first: `{how}`")));
    }
    check_whole(path, &file, metadata.len(), &magic[..read])?;
    Ok((file, metadata.len()))
}

/// A download that failed is no image, however well it can be written.
fn check_whole(path: &Utf8Path, file: &fs_err::File, size: u64, start: &[u8]) -> Result<(), Failure> {
    let refuse = |text| Err(Failure::new(Class::Environment, text).hint("download or build it again"));
    if start.starts_with(b"<") {
        let start = start.escape_ascii();
        return refuse(format!("`{path}` is no image: it begins with `{start}`, and is a page of the web"));
    }
    if let Ok(found) = read_gpt_lenient(&mut file.file())
        && let Some((entry, end)) = found.gpt.beyond()
    {
        let number = entry.number;
        return refuse(format!(
            "`{path}` was cut short: it has {size} bytes, and its partition {number} ends at byte {end}"
        ));
    }
    match bootway_image::look(path).map(|report| report.image) {
        Ok(ImageKind::Iso(iso)) if !iso.flaws.is_empty() => {
            refuse(format!("`{path}` is damaged: {}", iso.flaws[0]))
        }
        _ => Ok(()),
    }
}

fn same_file(one: &Utf8Path, other: &Utf8Path) -> bool {
    let real = |path: &Utf8Path| path.canonicalize_utf8().ok();
    real(one).is_some_and(|one| Some(one) == real(other))
}

/// Asks for the name of the device, and says what is lost.
#[expect(clippy::print_stderr, reason = "a question to a person at a terminal")]
fn confirmed(target: &Target, image: &Utf8Path, size: Bytes) -> Result<bool, Failure> {
    let what = match &target.disk {
        Some(disk) => format!("{} ({})", target.path, about(disk)),
        None => format!("the file {} ({})", target.path, target.size.human()),
    };
    let partitions = target.disk.as_ref().map_or(0, |disk| disk.partitions.len());
    eprintln!("{image} ({}) goes to {what}.", size.human());
    eprintln!(
        "Everything on it is lost{}.",
        match partitions {
            0 => String::new(),
            1 => ": one partition".to_owned(),
            n => format!(": {n} partitions"),
        }
    );
    eprint!("Type {} to go on: ", target.name());
    let _ = std::io::stderr().flush();
    let mut line = String::new();
    std::io::stdin()
        .read_line(&mut line)
        .map_err(|error| Failure::new(Class::Environment, error.to_string()))?;
    Ok(line.trim() == target.name())
}

//! What is written to, and why it must not be.

use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};

use bootway_plan::{Bytes, Class, Failure};
use camino::{Utf8Path, Utf8PathBuf};

use super::host::{By, Disk, Host, Numbered};

/// More than any stick has that somebody wants to lose.
const LARGE: u64 = 256 << 30;

/// Where an image goes.
#[derive(Debug)]
pub(super) struct Target {
    /// As it was asked for.
    pub(super) path: Utf8PathBuf,
    pub(super) size: Bytes,
    /// The disk; a file that stands for one is none.
    pub(super) disk: Option<Disk>,
}

/// What is allowed although it is likely to be a mistake.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Allowed {
    /// A disk of more than 256 GiB.
    pub(super) large: bool,
    /// A disk that cannot be taken out.
    pub(super) fixed: bool,
}

impl Target {
    /// What is at `path`.
    pub(super) fn find(host: &Host, path: &Utf8Path) -> Result<Self, Failure> {
        let refuse = |text: String| Failure::new(Class::Environment, text);
        let metadata = fs_err::metadata(path).map_err(|error| {
            let hint = "`bootway write --list` says what there is; a file must be there in its full size: `truncate --size=8G FILE`";
            refuse(error.to_string()).hint(hint)
        })?;
        if metadata.is_file() {
            return Ok(Self { path: path.to_owned(), size: Bytes::new(metadata.len()), disk: None });
        }
        if !metadata.file_type().is_block_device() {
            return Err(refuse(format!("`{path}` is neither a block device nor a file")));
        }
        let device = metadata.rdev();
        let number = format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
        match host.by_number(&number) {
            Some(Numbered::Disk(disk)) => {
                Ok(Self { path: path.to_owned(), size: disk.size, disk: Some(*disk) })
            }
            Some(Numbered::Partition { of }) => Err(refuse(format!("`{path}` is a partition"))
                .hint(format!("an image with a partition table goes to the whole disk: `/dev/{of}`"))),
            None => Err(refuse(format!("the kernel does not say what `{path}` ({number}) is"))),
        }
    }

    /// Whether an image of `size` bytes may be written to it.
    pub(super) fn check(&self, size: Bytes, allowed: Allowed) -> Result<(), Failure> {
        let path = &self.path;
        let refuse = |text: String| Err(Failure::new(Class::Environment, text));
        if let Some(disk) = &self.disk {
            check_uses(path, disk)?;
            if disk.read_only {
                return refuse(format!("`{path}` is read-only: look for the lock on the card"));
            }
            if !disk.removable && !allowed.fixed {
                let text = format!("`{path}` ({}) cannot be taken out", about(disk));
                return Err(Failure::new(Class::Environment, text).hint(
                    "`bootway write --list` says what can; `--allow-fixed` writes to it all the same",
                ));
            }
            if disk.size.get() > LARGE && !allowed.large {
                let text = format!("`{path}` has {}, which is a lot for a stick", disk.size.human());
                return Err(Failure::new(Class::Environment, text)
                    .hint("if it is the one that is meant, say `--allow-large`"));
            }
        }
        if self.size < size {
            return refuse(format!("the image has {}, `{path}` has {}", size.human(), self.size.human()));
        }
        Ok(())
    }

    /// Opens it for nobody else: a disk that came into use since it was looked at is refused by the kernel.
    pub(super) fn open(&self) -> Result<fs_err::File, Failure> {
        const O_EXCL: i32 = rustix::fs::OFlags::EXCL.bits().cast_signed();
        let mut options = fs_err::OpenOptions::new();
        options.read(true).write(true);
        if self.disk.is_some() {
            fs_err::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, O_EXCL);
        }
        options.open(&self.path).map_err(|error| {
            let failure = Failure::new(Class::Environment, error.to_string());
            match error.kind() {
                std::io::ErrorKind::PermissionDenied => failure.hint(format!(
                    "disks are root's: run it with sudo, or let the group `disk` have you; `ls -l {}` says who may",
                    self.path
                )),
                std::io::ErrorKind::ResourceBusy => failure.hint("something uses it: unmount what is on it, and close what formats it"),
                _ => failure,
            }
        })
    }

    /// What has to be typed to go on.
    pub(super) fn name(&self) -> &str {
        self.disk.as_ref().map_or_else(|| self.path.file_name().unwrap_or_default(), |disk| &disk.name)
    }
}

/// A disk in a few words.
pub(super) fn about(disk: &Disk) -> String {
    let mut words: Vec<String> = Vec::new();
    words.extend(Some(disk.model.clone()).filter(|it| !it.is_empty()));
    words.extend([disk.transport.to_owned(), disk.size.human()]);
    words.join(", ")
}

fn check_uses(path: &Utf8Path, disk: &Disk) -> Result<(), Failure> {
    let Some(first) = disk.uses.iter().find(|it| it.is_system()).or(disk.uses.first()) else { return Ok(()) };
    let said: Vec<String> = disk.uses.iter().map(ToString::to_string).collect();
    if first.is_system() {
        let text =
            format!("`{path}` ({}) holds the system that is running: {}", about(disk), said.join(", "));
        return Err(Failure::new(Class::Environment, text).hint(
            "nothing that bootway writes goes there; `bootway write --list` says what can be written to",
        ));
    }
    let failure = Failure::new(Class::Environment, format!("`{path}` is in use: {}", said.join(", ")));
    let mounts = disk.uses.iter().filter(|it| matches!(it.by, By::Mount(_)));
    let unmount: Vec<String> = mounts.map(|it| format!("umount /dev/{}", it.part)).collect();
    Err(if unmount.is_empty() {
        failure.hint("take apart what is made of it, or use another disk")
    } else {
        failure.hint(format!("unmount it first: `{}`", unmount.join("`, `")))
    })
}

//! Why a guest was not found to be good.

use std::{io, time::Duration};

use bootway_exec::{Exit, MissingInput, RunError, SpawnError};
use bootway_plan::{Class, Explain, Failure, step::Arch};
use camino::{Utf8Path, Utf8PathBuf};
use thiserror::Error;

use crate::{MachineError, watcher::End};

mod words;

pub use words::{LastWords, Said};
use words::{because, of_arch, others, panic_hint, when};
pub(crate) use words::{brief, seconds};

/// A guest could not be started, or is not good.
#[derive(Debug, Error)]
pub enum VmError {
    /// The plan's machines do not add up.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// A check is not one.
    #[error("{0}")]
    Check(String),
    /// Something to boot is not in the plan.
    #[error("`boot = \"{boot}\"` needs `{key}`: add it to the step")]
    Nothing {
        /// What starts.
        boot: &'static str,
        /// The parameter.
        key: &'static str,
    },
    /// The engine did not provide an input.
    #[error(transparent)]
    Input(#[from] MissingInput),
    /// There is no UEFI firmware here.
    #[error("this host has no UEFI firmware for QEMU{}", of_arch(*arch))]
    NoFirmware {
        /// For which processor.
        arch: Arch,
    },
    /// The machine's TPM does not come to be there.
    #[error("the machine's TPM did not listen within {}", seconds(*limit))]
    NoTpm {
        /// How long it was waited for.
        limit: Duration,
    },
    /// The machine's TPM is gone.
    #[error("the machine's TPM, which is swtpm, {exit}")]
    Tpm {
        /// How it ended.
        exit: Exit,
        /// What it printed.
        #[source]
        said: Option<Said>,
    },
    /// KVM was asked for and does not work.
    #[error("the machine asks for KVM: {reason}")]
    NoKvm {
        /// Why not.
        reason: String,
    },
    /// The probe of the accelerator did not start.
    #[error(transparent)]
    Probe(RunError),
    /// QEMU did not start.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// A file could not be read or written.
    #[error("cannot prepare the machine in `{path}`")]
    Io {
        /// Where.
        path: Utf8PathBuf,
        /// Why.
        source: io::Error,
    },
    /// QEMU runs, and is not there for who controls it.
    #[error("QEMU did not answer on its control socket within {}", seconds(*limit))]
    NoControl {
        /// How long it was waited for.
        limit: Duration,
    },
    /// QEMU ended by itself.
    #[error("QEMU {exit} {}{}", when(*after), because(reason.as_deref()))]
    QemuEnded {
        /// How.
        exit: Exit,
        /// Since it was started.
        after: Duration,
        /// Its own word for it, if the machine was shut down.
        reason: Option<String>,
        /// What it printed.
        #[source]
        said: Option<Said>,
    },
    /// The guest's kernel gave up.
    #[error("the guest's kernel panicked: `{line}`")]
    Panicked {
        /// What it said.
        line: String,
    },
    /// The firmware gave up.
    #[error("the firmware found nothing to start: `{line}`")]
    NothingToStart {
        /// What it said.
        line: String,
    },
    /// A boot loader that is a Linux system gave up.
    #[error("{meaning}: `{line}`")]
    GaveUp {
        /// What that means.
        meaning: &'static str,
        /// What it said.
        line: String,
    },
    /// The firmware of a Chromebook would not start this image.
    #[error("{}", failure.chain.first().map_or("the image has no kernel to start", String::as_str))]
    NotChosen {
        /// Why.
        failure: Box<Failure>,
        /// What is behind that.
        #[source]
        behind: Option<Said>,
    },
    /// Something that was found on the image is not as it must be.
    #[error("{name}: {detail}{}", others(*more))]
    Finding {
        /// What was looked at.
        name: String,
        /// What was seen.
        detail: String,
        /// How many other findings are not good either.
        more: usize,
    },
    /// The command line is longer than the kernel's room for it.
    #[error(
        "the kernel's command line has {length} bytes, and there is room for {limit}: shorten the step's `cmdline`"
    )]
    Cmdline {
        /// What it has.
        length: usize,
        /// What there is room for.
        limit: usize,
    },
    /// A disk cannot be what it is to be.
    #[error("`{path}` cannot be a disk of the machine: it is too big, or its name is too long")]
    Disk {
        /// The image.
        path: Utf8PathBuf,
    },
    /// An image is made of other files, too.
    #[error("`{path}` is a qcow2 image that has a part of its data in another file, or is cut short")]
    LeadsAway {
        /// The image.
        path: Utf8PathBuf,
    },
    /// A port of the host cannot lead to the guest.
    #[error("port {host} of this machine cannot lead to the guest: {why}")]
    Port {
        /// Of the host.
        host: u16,
        /// QEMU's word for it.
        why: String,
    },
    /// A machine cannot be kept as it is.
    #[error("the machine cannot be saved: {reason}")]
    NotKept {
        /// Why.
        reason: String,
    },
    /// Tests were decided, and are not good.
    #[error("test `{name}` failed{}: {error}", others(*more))]
    Test {
        /// The first that is not good.
        name: String,
        /// Why.
        error: Box<VmError>,
        /// How many others are not good either.
        more: usize,
    },
    /// QEMU does not do what it is asked to.
    #[error("QEMU refused `{command}`: {why}")]
    Control {
        /// Its own word for it.
        command: &'static str,
        /// Its own word for it.
        why: String,
    },
    /// The guest switched itself off before its checks were decided.
    #[error("the guest switched itself off ({reason}) before its checks were decided{words}")]
    Off {
        /// QEMU's word for it.
        reason: String,
        /// What it said last.
        words: LastWords,
    },
    /// The guest reset itself when nobody asked for it.
    #[error("the guest reset itself ({reason}) although nobody asked for it{words}")]
    Reset {
        /// QEMU's word for it.
        reason: String,
        /// What it said last.
        words: LastWords,
    },
    /// Something fills the console, so that no command gets through.
    #[error("the guest's console is full of what is not a command's{words}")]
    Flooded {
        /// What it said last.
        words: LastWords,
    },
    /// There was no shell in time.
    #[error("the guest had no shell within {}{words}", seconds(*waited))]
    NoShell {
        /// How long it was waited for.
        waited: Duration,
        /// What the guest said last.
        words: LastWords,
        /// What to try.
        hint: String,
    },
    /// The guest does not let us in.
    #[error("{reason}")]
    Refused {
        /// Why, in a sentence.
        reason: String,
    },
    /// The step took too long.
    #[error("the guest still ran when the step's limit of {} was reached", seconds(*limit))]
    StepLimit {
        /// The limit.
        limit: Duration,
    },
    /// Checks were decided, and are not good.
    #[error("check `{name}` failed{}: {detail}", others(*more))]
    Failed {
        /// The first that is not good.
        name: String,
        /// Why.
        detail: String,
        /// How many others are not good either, or were not reached.
        more: usize,
        /// The one behind which none was reached.
        stopped: Option<String>,
    },
    /// Someone asked to stop.
    #[error("cancelled")]
    Cancelled,
}

impl VmError {
    /// For an error at `path`.
    pub(crate) fn io(path: &Utf8Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }

    /// For a guest that says in `line` that it will not get further.
    pub(crate) fn of_end(end: End, line: &str) -> Self {
        let line = line.trim().to_owned();
        match end {
            End::Panic => Self::Panicked { line },
            End::NothingToStart => Self::NothingToStart { line },
            End::GaveUp(meaning) => Self::GaveUp { meaning, line },
        }
    }

    /// For an image without a kernel that would be started.
    pub(crate) fn not_chosen(failure: Failure) -> Self {
        let behind = failure.chain.get(1..).unwrap_or_default().join("\n");
        Self::NotChosen { behind: (!behind.is_empty()).then_some(Said(behind)), failure: Box::new(failure) }
    }
}

impl VmError {
    /// Why a check behind this was not run.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Failed { stopped: Some(late), .. } => format!("not reached: `{late}` took too long"),
            error => error.to_string(),
        }
    }
}

impl From<RunError> for VmError {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Spawn(error) => Self::Spawn(error),
            RunError::Cancelled => Self::Cancelled,
            error @ (RunError::Failed { .. } | RunError::TimedOut { .. }) => Self::Probe(error),
        }
    }
}

impl Explain for VmError {
    fn class(&self) -> Class {
        match self {
            Self::Machine(error) => error.class(),
            Self::Input(error) => error.class(),
            Self::Test { error, .. } => error.class(),
            Self::Check(_) | Self::Nothing { .. } => Class::Plan,
            Self::NoFirmware { .. }
            | Self::NoTpm { .. }
            | Self::Tpm { .. }
            | Self::NoKvm { .. }
            | Self::Probe(_)
            | Self::Spawn(_)
            | Self::Io { .. }
            | Self::NoControl { .. }
            | Self::Control { .. }
            | Self::NotKept { .. }
            | Self::Port { .. }
            | Self::Disk { .. }
            | Self::LeadsAway { .. }
            | Self::QemuEnded { .. } => Class::Environment,
            Self::NotChosen { failure, .. } => failure.class,
            Self::Panicked { .. }
            | Self::NothingToStart { .. }
            | Self::GaveUp { .. }
            | Self::Finding { .. }
            | Self::Cmdline { .. }
            | Self::Off { .. }
            | Self::Reset { .. }
            | Self::Flooded { .. }
            | Self::NoShell { .. }
            | Self::Refused { .. }
            | Self::Failed { .. } => Class::Check,
            Self::StepLimit { .. } => Class::Step,
            Self::Cancelled => Class::Cancelled,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Spawn(error) => error.hint(),
            Self::NoFirmware { arch: Arch::X8664 } => {
                Some("install it: `apt-get install ovmf`, or set the machine's `firmware = \"bios\"`".to_owned())
            }
            Self::NoFirmware { arch: Arch::Aarch64 } => {
                Some("install it: `apt-get install qemu-efi-aarch64`".to_owned())
            }
            Self::NoKvm { .. } => Some("set the machine's `accel = \"auto\"`, or use a host with KVM".to_owned()),
            Self::NotChosen { failure, .. } => failure.hint.clone(),
            Self::LeadsAway { .. } => Some("make it one file: `qemu-img convert -O qcow2 IMAGE WHOLE`".to_owned()),
            Self::Disk { .. } => Some("attach it as another disk, or move it to a shorter path".to_owned()),
            Self::Flooded { .. } => Some(
                "give the shell a line of its own: `channel = \"port\"`, `\"systemd\"` or `\"ssh\"` for the machine"
                    .to_owned(),
            ),
            Self::NoShell { hint, .. } => Some(hint.clone()),
            Self::Test { error, .. } => error.hint(),
            Self::Port { .. } => Some("write only the guest's port, and bootway finds a free one".to_owned()),
            Self::NotKept { .. } => {
                Some("leave out `snapshot`, and each test boots a machine of its own".to_owned())
            }
            Self::StepLimit { .. } => Some("raise the step's `limit`, or find out why it takes so long".to_owned()),
            Self::Panicked { line } => panic_hint(line).map(str::to_owned),
            Self::NothingToStart { .. } => Some(
                "UEFI starts `EFI/BOOT/BOOTX64.EFI` from a FAT partition of type `esp`; a BIOS starts the first sector"
                    .to_owned(),
            ),
            Self::Machine(_)
            | Self::Check(_)
            | Self::Nothing { .. }
            | Self::Input(_)
            | Self::Probe(_)
            | Self::Io { .. }
            | Self::NoControl { .. }
            | Self::NoTpm { .. }
            | Self::Tpm { .. }
            | Self::Control { .. }
            | Self::GaveUp { .. }
            | Self::Finding { .. }
            | Self::Cmdline { .. }
            | Self::QemuEnded { .. }
            | Self::Off { .. }
            | Self::Reset { .. }
            | Self::Refused { .. }
            | Self::Failed { .. }
            | Self::Cancelled => None,
        }
    }
}

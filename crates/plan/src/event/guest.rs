//! What is told of guests, and of the files and times that stay with a run.

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

use crate::{Bytes, Digest, Name};

/// What a guest is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct GuestInfo {
    /// Which `[machine.NAME]`; `None` for one of defaults.
    pub machine: Option<Name>,
    /// What starts: `disk`, `iso`, `kernel`, `chromeos`.
    pub boot: String,
    /// What starts it: `bios` or `uefi`.
    pub firmware: String,
    /// Of the machine.
    pub memory: Bytes,
    /// Of the machine.
    pub cpus: u32,
    /// `kvm` or `tcg`.
    pub accel: String,
    /// Why it is this one.
    pub accel_reason: String,
    /// What it starts from, as it was when it started.
    pub images: Vec<GuestImage>,
}

/// What a guest starts from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct GuestImage {
    /// As the plan calls it.
    pub source: String,
    /// Where it is; what a link leads to.
    pub path: Utf8PathBuf,
    /// Of its bytes.
    pub digest: Digest,
    /// Of the file.
    pub size: Bytes,
}

/// How long a part of a step took, by a name that is the same in every run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Timing {
    /// `boot-to-login`, `boot-to-ready`, `boot-to-ssh`, `save`, `restore`.
    pub name: String,
    /// How long.
    pub ms: u64,
    /// The test it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<String>,
}

/// A file that is no output, and stays with the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Kept {
    /// What it is.
    pub what: KeptKind,
    /// What it is called, such as the check that it is about.
    pub label: String,
    /// Where it is, from the directory of the run.
    pub path: Utf8PathBuf,
    /// The test it is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<String>,
}

/// What a [`Kept`] file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeptKind {
    /// What was printed or done, with times.
    Log,
    /// Facts for programs.
    Metadata,
    /// A picture of a guest's screen, PNG.
    Screenshot,
    /// What a guest said about a check that was not good.
    Diagnostics,
    /// A file of a guest, because the plan asked for it.
    File,
}

/// Something that took longer than it did in earlier runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Slower {
    /// What: `step boots`, `boot-to-ready of boots`, `phase test`.
    pub what: String,
    /// How long it took.
    pub ms: u64,
    /// Median of the good runs before.
    pub usual_ms: u64,
    /// How many those are.
    pub runs: u32,
}

impl std::fmt::Display for Slower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { what, ms, usual_ms, runs } = self;
        let seconds = |ms: u64| format!("{}.{} s", ms / 1000, ms % 1000 / 100);
        let (took, usual) = (seconds(*ms), seconds(*usual_ms));
        write!(f, "{what} took {took}; the median of {runs} good runs before is {usual}")
    }
}

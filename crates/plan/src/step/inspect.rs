//! Parameters of `inspect`: expectations on an image or tree.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Healthcheck, PartitionType};
use crate::{Bytes, Millis, Source};

/// Look into an image or a tree, and hold it against expectations; one check for each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Inspect {
    /// A disk, a file system, an ISO image, a container image, or a tree.
    pub image: Source,
    /// What must be true of it.
    pub expect: Vec<Expect>,
}

/// One expectation. With `partition` or `inside`, the rest is about what is in that partition or file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Expect {
    /// The label of a partition that must be there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<String>,
    /// The partition's type.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<PartitionType>,
    /// A file of an ISO image or a tree that is a file system itself, as a pattern that matches once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inside: Option<String>,
    /// The file system: `fat32`, `ext2`, `ext4`, `squashfs`, `iso9660`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fs: Option<String>,
    /// How big it must be at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_size: Option<Bytes>,
    /// A path that must be there, as a pattern that matches at least once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Text that the file at `path` must contain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
    /// A path that must not be there, as a pattern.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lacks: Option<String>,
    /// Firmware that an ISO image must start from a disc with: `bios`, `uefi`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub boot: Vec<String>,
    /// Whether an ISO image must have a partition table as well, so that it starts from a stick, or must have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hybrid: Option<bool>,
    /// Of a container image, as the rest: the program and its first arguments, all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// Arguments that a user may replace, all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cmd: Option<Vec<String>>,
    /// Variables of the environment, and their values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Labels, and their values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub label: BTreeMap<String, String>,
    /// What it listens on: `"8080"`, `"53/udp"`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub port: Vec<String>,
    /// Who runs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Its health check: whatever is said about it; `{}` if there must be one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    /// How many layers it must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layers: Option<u32>,
    /// How many layers it may have at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_layers: Option<u32>,
    /// What it does when docker or podman runs it for a moment; does not run where neither is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runs: Option<Runs>,
}

/// What a container does when its entrypoint is run for a moment, without a network. It must end, unless it `stays`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Runs {
    /// Arguments instead of the image's own `cmd`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub args: Option<Vec<String>>,
    /// Variables of its environment, beside those of the image.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// The exit code that it must end with; 0 unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit: Option<u8>,
    /// A part of what it prints, on standard output or standard error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
    /// How long it may take to end; 20 seconds unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within: Option<Millis>,
    /// As a server does, it must still run after this long; then it is stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stays: Option<Millis>,
}

impl Runs {
    /// What cannot be meant, as a sentence.
    pub fn impossible(&self) -> Option<&'static str> {
        if self.stays.is_some() && (self.exit.is_some() || self.within.is_some()) {
            return Some("what `stays` does not end: leave out `exit` and `within`, or `stays`");
        }
        let nothing = |time: Option<Millis>| time.is_some_and(|time| time.get() == 0);
        if nothing(self.stays) || nothing(self.within) {
            return Some("no time at all proves nothing: say how long, such as `2s`");
        }
        self.contains
            .as_ref()
            .is_some_and(String::is_empty)
            .then_some("`contains` looks for nothing: write what must be printed")
    }
}

impl Inspect {
    /// Whether what comes of it depends on the machine, and not only on the image.
    pub(crate) fn runs_something(&self) -> bool {
        self.expect.iter().any(|expect| expect.runs.is_some())
    }
}

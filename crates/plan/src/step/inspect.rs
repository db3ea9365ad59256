//! Parameters of `inspect`: expectations on an image or tree.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::PartitionType;
use crate::{Bytes, Source};

/// Look into an image or a tree, and hold it against expectations; one check for each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Inspect {
    /// A disk, a file system, or a tree.
    pub image: Source,
    /// What must be true of it.
    pub expect: Vec<Expect>,
}

/// One expectation. With `partition`, the rest is about what is in that partition of a disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Expect {
    /// The label of a partition that must be there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<String>,
    /// The partition's type.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<PartitionType>,
    /// The file system: `fat32`, `ext2`, `ext4`, `squashfs`.
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
}

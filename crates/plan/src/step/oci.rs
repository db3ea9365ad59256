//! Parameters of `oci`: a tree to a container image.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Source;

/// A tree to a container image, without a container engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Oci {
    /// The tree.
    pub from: Source,
}

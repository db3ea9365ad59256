//! Parameters of `edit` and `rootfs`: changes to the root of a namespace, and the root as a tree.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Edit;
use crate::{Name, TreePath};

/// Change files in the root of the phase's namespace; what has changed is the step's layer. Its paths begin at the root:
/// `install-prefix` and `destdir` of the phase are for packages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct EditRoot {
    /// What is done, in order.
    pub edits: Vec<Edit>,
}

/// The root of a namespace as it is after all steps before this one, as a tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Rootfs {
    /// Which namespace.
    pub namespace: Name,
    /// The directory of the root that becomes the tree; all of it unless said.
    #[serde(default, skip_serializing_if = "TreePath::is_root")]
    #[schemars(with = "String")]
    pub path: TreePath,
    /// What to leave out, as patterns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drop: Vec<String>,
}

impl EditRoot {
    pub(super) fn summary(&self) -> String {
        let places: Vec<String> = self.edits.iter().map(Edit::summary).collect();
        places.join(", ")
    }
}

impl Rootfs {
    pub(super) fn summary(&self) -> String {
        if self.path.is_root() {
            self.namespace.to_string()
        } else {
            format!("{}: {}", self.namespace, self.path)
        }
    }
}

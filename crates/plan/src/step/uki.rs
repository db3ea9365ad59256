//! Parameters of `uki`: one EFI program with everything in it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Source;

/// A unified kernel image: an EFI stub with a kernel, its initramfs and its command line as PE sections.
///
/// Source: UAPI group, Unified Kernel Image (UAPI.5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Uki {
    /// The stub, `linuxx64.efi.stub` of systemd.
    pub stub: Source,
    /// The kernel.
    pub kernel: Source,
    /// Initramfs images, concatenated in this order.
    #[serde(default)]
    pub initrd: Vec<Source>,
    /// The kernel command line, at most 2047 bytes.
    pub cmdline: String,
    /// The text of `/etc/os-release`: a path or output; a minimal one unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os_release: Option<Source>,
}

impl Uki {
    pub(super) fn sources(&self) -> Vec<&Source> {
        [&self.stub, &self.kernel].into_iter().chain(&self.initrd).chain(&self.os_release).collect()
    }
}

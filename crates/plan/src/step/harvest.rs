//! Parameters of `harvest`: `ChromeOS` images to what an image of one's own is made of.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de, de::IntoDeserializer as _};

use crate::{ArtifactKind, Name, OutputName, Source};

/// Take kernel, initramfs, modules, firmware and module options out of an RMA shim and a recovery image.
///
/// Images are raw disks (`.bin`), such a disk in a zip archive (`.bin.zip`), or a directory of downloaded chunks with
/// their manifest. They are only read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Harvest {
    /// The shim: its kernel, its initramfs, its modules and its firmware.
    pub image: Source,
    /// SHA-256 that the shim must have: of the raw disk, or of the file as it is.
    #[serde(default, deserialize_with = "some", skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// The recovery image of the same board: newer firmware, and module options. Nothing if the text is empty, so that
    /// a variable may be.
    #[serde(default, deserialize_with = "some", skip_serializing_if = "Option::is_none")]
    pub recovery: Option<Source>,
    /// SHA-256 that the recovery image must have.
    #[serde(default, deserialize_with = "some", skip_serializing_if = "Option::is_none")]
    pub recovery_sha256: Option<String>,
    /// The GPT label of the kernel partition; unless said, the one that the firmware would start.
    #[serde(default, deserialize_with = "some", skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// Take `lib/modules` of the shim; it must have some.
    #[serde(default = "yes")]
    pub modules: bool,
    /// Take `lib/firmware` of the shim, with that of the recovery image over it.
    #[serde(default = "yes")]
    pub firmware: bool,
    /// Take `lib/modprobe.d` and `etc/modprobe.d` of the recovery image.
    #[serde(default = "yes")]
    pub modprobe: bool,
    /// What the harvest must have, as patterns: `lib/modules/*/modules.dep`, `init` of the initramfs as
    /// `initramfs:init`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expect: Vec<String>,
}

/// Reads a value from a text, and nothing from an empty one.
fn some<'de, D: de::Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    let text = String::deserialize(from)?;
    if text.is_empty() { Ok(None) } else { T::deserialize(text.into_deserializer()).map(Some) }
}

const fn yes() -> bool {
    true
}

impl Harvest {
    pub(super) fn sources(&self) -> Vec<&Source> {
        [Some(&self.image), self.recovery.as_ref()].into_iter().flatten().collect()
    }

    /// Whether it makes the tree `drivers`.
    pub const fn has_drivers(&self) -> bool {
        self.modules || self.firmware || self.modprobe
    }

    pub(super) fn outputs(&self) -> Vec<(OutputName, ArtifactKind)> {
        let mut outputs = vec![
            (Name::fixed("kernel"), ArtifactKind::ChromeosKernel),
            (Name::fixed("bzimage"), ArtifactKind::Kernel),
            (Name::fixed("cmdline"), ArtifactKind::Text),
            (Name::fixed("initramfs"), ArtifactKind::Tree),
            (Name::fixed("cpio"), ArtifactKind::Initramfs),
            (Name::fixed("report"), ArtifactKind::Text),
        ];
        if self.has_drivers() {
            outputs.push((Name::fixed("drivers"), ArtifactKind::Tree));
        }
        outputs
    }

    pub(super) fn file_name(output: &OutputName) -> String {
        match output.as_str() {
            "kernel" => "kernel.bin".to_owned(),
            "bzimage" => "bzImage".to_owned(),
            "cmdline" => "cmdline.txt".to_owned(),
            "cpio" => "initramfs.cpio".to_owned(),
            "report" => "report.json".to_owned(),
            tree => tree.to_owned(),
        }
    }

    pub(super) fn summary(&self) -> String {
        match &self.recovery {
            Some(recovery) => format!("{}, firmware of {recovery}", self.image),
            None => self.image.to_string(),
        }
    }
}

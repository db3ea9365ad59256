//! Parameters of `iso`: a tree to a disc that starts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ArtifactKind, Source, TreePath, step::TreeFrom};

/// A tree to an ISO 9660 image with Rock Ridge, that BIOS and UEFI can start from, burnt or written to a stick.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Iso {
    /// What it is made of, in order.
    pub from: Vec<TreeFrom>,
    /// What it is called: 1 to 32 of `A-Z`, `0-9` and `_`, as a kernel finds it by `LABEL=`.
    pub volume_id: String,
    /// How a BIOS starts it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bios: Option<IsoBios>,
    /// How UEFI starts it: a file of the tree that is a FAT image with `EFI/BOOT/BOOTX64.EFI`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub uefi: Option<TreePath>,
}

/// How a BIOS starts a disc.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct IsoBios {
    /// A file of the tree that is a boot loader for discs, such as `isolinux.bin`; it is told where it is.
    #[schemars(with = "String")]
    pub loader: TreePath,
    /// The code of the first sector, which starts the loader from a stick, such as `isohdpfx.bin`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mbr: Option<Source>,
}

/// Characters of a volume's name. Source: ECMA-119, section 7.4.1.
const VOLUME_ID: usize = 32;

impl Iso {
    pub(super) fn sources(&self) -> Vec<&Source> {
        let mbr = self.bios.as_ref().and_then(|bios| bios.mbr.as_ref());
        self.from.iter().map(TreeFrom::source).chain(mbr).collect()
    }

    /// What it makes: without anything that starts, a disc is a file like others.
    pub const fn kind(&self) -> ArtifactKind {
        if self.bios.is_some() || self.uefi.is_some() { ArtifactKind::Iso } else { ArtifactKind::File }
    }

    pub(super) fn summary(&self) -> String {
        let from: Vec<String> = self.from.iter().map(|from| from.source().to_string()).collect();
        let by: Vec<&str> = [self.bios.as_ref().map(|_| "bios"), self.uefi.as_ref().map(|_| "uefi")]
            .into_iter()
            .flatten()
            .collect();
        let boots = if by.is_empty() { String::new() } else { format!(", boots with {}", by.join(", ")) };
        format!("{} from {}{boots}", self.volume_id, from.join(" + "))
    }

    /// Why there is no such image.
    pub fn impossible(&self) -> Option<String> {
        let id = &self.volume_id;
        let is_plain = |it: char| it.is_ascii_uppercase() || it.is_ascii_digit() || it == '_';
        if id.is_empty() || id.len() > VOLUME_ID || !id.chars().all(is_plain) {
            return Some(format!("`volume-id` `{id}` must have 1 to {VOLUME_ID} of `A-Z`, `0-9` and `_`"));
        }
        self.from.is_empty().then(|| "this disc is made of nothing: add a tree to `from`".to_owned())
    }
}

//! Parameters of `disk`: partitions to a GPT disk.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize, de};

use super::Owners;
use crate::{ArtifactKind, Bytes, Source};

/// Lay out a disk with a GUID partition table and write it in one pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Disk {
    /// In the order of the disk.
    #[serde(rename = "partition")]
    pub partitions: Vec<Partition>,
    /// Of the whole disk; as big as its partitions need unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Bytes>,
    /// 512 or 4096 bytes.
    #[serde(default = "sector")]
    pub sector_size: Bytes,
    /// How the file is written.
    #[serde(default)]
    pub format: DiskFormat,
    /// What says where partitions are.
    #[serde(default, skip_serializing_if = "Table::is_gpt")]
    pub table: Table,
}

/// What says where partitions are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Table {
    /// A GUID partition table at the beginning, and its backup at the end.
    #[default]
    Gpt,
    /// Nothing: the file is the one partition that there is, a file system without a disk.
    None,
}

impl Table {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
    const fn is_gpt(&self) -> bool {
        matches!(self, Self::Gpt)
    }
}

const fn sector() -> Bytes {
    Bytes::new(512)
}

/// How the disk's file is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DiskFormat {
    /// Byte for byte, sparse.
    #[default]
    Raw,
    /// As QEMU's own format, in which only what holds something is stored, and which stays small when it is copied.
    Qcow2,
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Partition {
    /// GPT partition name, at most 36 UTF-16 code units.
    pub label: String,
    /// What the firmware or the operating system will take it for.
    #[serde(rename = "type")]
    pub kind: PartitionType,
    /// How big.
    #[serde(default)]
    pub size: Size,
    /// The file system that is made from `content`; without it, `content` is an image and is copied as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fs: Option<FsKind>,
    /// The file system's own label, at most 16 bytes for ext, 11 for FAT; as much of the partition's label as fits
    /// unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fs_label: Option<String>,
    /// Whether an ext4 has a journal; it has unless said, if it has room for one. What is only read needs none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journal: Option<bool>,
    /// A tree for a file system, an image to copy; without it, the file system is empty or the partition is zero.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Source>,
    /// Who owns content that comes from a directory.
    #[serde(default)]
    pub owners: Owners,
    /// What the files of the content must have together at least: less is a mistake, such as another tree than was
    /// meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_content: Option<Bytes>,
    /// `ChromeOS` boot attributes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<BootAttributes>,
    /// Takes the room that is left on a disk with a `size`.
    #[serde(default)]
    pub grow: bool,
    /// Attribute bits that are set besides, by number: 0 required, 2 legacy boot, 60 read-only, 63 no automount …
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<u8>,
    /// Its place in the table, from 1; the next free one unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u32>,
}

/// What a partition is, by the name the field uses; or any type GUID.
///
/// The GUIDs themselves are known to the image crate only.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PartitionType {
    /// EFI system partition.
    Esp,
    /// Extended boot loader partition.
    Xbootldr,
    /// Root file system, x86-64.
    RootX8664,
    /// Root file system, arm64.
    RootArm64,
    /// Generic Linux data.
    LinuxData,
    /// Swap.
    Swap,
    /// BIOS boot partition of GRUB.
    BiosBoot,
    /// `ChromeOS` kernel: a vboot-signed blob, not a file system.
    ChromeosKernel,
    /// `ChromeOS` root file system.
    ChromeosRootfs,
    /// `ChromeOS` reserved.
    ChromeosReserved,
    /// Any other, by its GUID in the usual mixed form, lower case.
    Guid(String),
}

impl PartitionType {
    /// Every type that has a name.
    pub const NAMED: [(&str, Self); 10] = [
        ("esp", Self::Esp),
        ("xbootldr", Self::Xbootldr),
        ("root-x86-64", Self::RootX8664),
        ("root-arm64", Self::RootArm64),
        ("linux-data", Self::LinuxData),
        ("swap", Self::Swap),
        ("bios-boot", Self::BiosBoot),
        ("chromeos-kernel", Self::ChromeosKernel),
        ("chromeos-rootfs", Self::ChromeosRootfs),
        ("chromeos-reserved", Self::ChromeosReserved),
    ];

    /// The word for it in a plan.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Guid(guid) => guid,
            named => Self::NAMED.iter().find(|(_, kind)| kind == named).map_or("", |(name, _)| name),
        }
    }
}

impl JsonSchema for PartitionType {
    fn schema_name() -> Cow<'static, str> {
        "PartitionType".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let named: Vec<&str> = Self::NAMED.iter().map(|(name, _)| *name).collect();
        let guid = "^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$";
        json_schema!({
            "description": "What a partition is, by the name the field uses; or any type GUID.",
            "anyOf": [{ "type": "string", "enum": named }, { "type": "string", "pattern": guid }]
        })
    }
}

impl fmt::Display for PartitionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for PartitionType {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for PartitionType {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const NAMES: &[&str] = &[
            "esp",
            "xbootldr",
            "root-x86-64",
            "root-arm64",
            "linux-data",
            "swap",
            "bios-boot",
            "chromeos-kernel",
            "chromeos-rootfs",
            "chromeos-reserved",
            "a type GUID",
        ];
        let text = String::deserialize(deserializer)?;
        if let Some((_, kind)) = Self::NAMED.iter().find(|(name, _)| *name == text) {
            return Ok(kind.clone());
        }
        let hyphens = [8, 13, 18, 23];
        let is_guid = text.len() == 36
            && text
                .bytes()
                .enumerate()
                .all(|(n, byte)| if hyphens.contains(&n) { byte == b'-' } else { byte.is_ascii_hexdigit() });
        if is_guid {
            return Ok(Self::Guid(text.to_ascii_lowercase()));
        }
        Err(de::Error::unknown_variant(&text, NAMES))
    }
}

/// The file systems that a partition can be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FsKind {
    /// FAT32, for the ESP.
    Fat32,
    /// Read by every ChromeOS kernel.
    Ext2,
    /// With a journal and checksums.
    Ext4,
}

impl FsKind {
    /// The word for it in a plan.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fat32 => "fat32",
            Self::Ext2 => "ext2",
            Self::Ext4 => "ext4",
        }
    }
}

/// How big a partition is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Size {
    /// As big as the content needs, to the byte, rounded up to the alignment.
    #[default]
    #[serde(serialize_with = "serialize_fit")]
    Fit,
    /// Exactly this.
    Exactly(Bytes),
    /// A share, and more.
    Share(Share),
}

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let share = generator.subschema_for::<Share>();
        json_schema!({
            "description": "How big a partition is: `\"fit\"`, exactly `\"32MiB\"`, or a share.",
            "anyOf": [{ "const": "fit" }, { "type": "string", "pattern": "^[0-9]+(B|KiB|MiB|GiB)$" }, share]
        })
    }
}

fn serialize_fit<S: serde::Serializer>(serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str("fit")
}

/// `of × percent ÷ 100 + plus`, at least `min`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Share {
    /// Of what.
    #[serde(default)]
    pub of: ShareOf,
    /// How much of it.
    #[serde(default = "hundred")]
    pub percent: u32,
    /// Added to that.
    #[serde(default)]
    pub plus: Bytes,
    /// At least this.
    #[serde(default)]
    pub min: Bytes,
}

const fn hundred() -> u32 {
    100
}

/// What a share is a share of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ShareOf {
    /// What the content needs, with everything that the file system needs for it.
    #[default]
    Content,
    /// What the files of the content have, in blocks of 4 KiB, as `du` counts them; never less than the content needs.
    Files,
    /// The `size` of the disk.
    Disk,
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Size;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size: \"32MiB\", \"fit\", or { of, percent, plus, min }")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Size, E> {
                if text == "fit" { Ok(Size::Fit) } else { text.parse().map(Size::Exactly).map_err(E::custom) }
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Size, A::Error> {
                Share::deserialize(de::value::MapAccessDeserializer::new(map)).map(Size::Share)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fit => f.pad("fit"),
            Self::Exactly(bytes) => f.pad(&bytes.to_string()),
            Self::Share(Share { of, percent, plus, min }) => {
                let of = match of {
                    ShareOf::Content => "content",
                    ShareOf::Files => "files",
                    ShareOf::Disk => "disk",
                };
                let mut text = format!("{percent}% of {of}");
                if plus.get() > 0 {
                    text += &format!(" + {plus}");
                }
                if min.get() > 0 {
                    text += &format!(", at least {min}");
                }
                f.pad(&text)
            }
        }
    }
}

/// `ChromeOS` boot attributes: GPT attribute bits 48 to 56.
///
/// Source: `ChromiumOS` disk format, "Selecting the kernel".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct BootAttributes {
    /// 0 to 15; higher is tried first, 0 never.
    pub priority: u8,
    /// 0 to 15 attempts left.
    #[serde(default)]
    pub tries: u8,
    /// Whether it has booted before.
    #[serde(default)]
    pub successful: bool,
}

impl Disk {
    /// What it makes: without a table, what its one partition holds.
    pub fn kind(&self) -> ArtifactKind {
        match (self.table, self.partitions.first().and_then(|it| it.fs)) {
            (Table::Gpt, _) if self.format == DiskFormat::Qcow2 => ArtifactKind::Qcow2,
            (Table::Gpt, _) => ArtifactKind::Disk,
            (Table::None, Some(FsKind::Ext2 | FsKind::Ext4)) => ArtifactKind::Ext4,
            (Table::None, _) => ArtifactKind::File,
        }
    }

    pub(super) fn summary(&self) -> String {
        let labels: Vec<&str> = self.partitions.iter().map(|partition| partition.label.as_str()).collect();
        match self.table {
            Table::Gpt => format!("GPT: {}", labels.join(", ")),
            Table::None => format!("no table: {}", labels.join(", ")),
        }
    }
}

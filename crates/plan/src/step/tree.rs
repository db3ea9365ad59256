//! Parameters of `tree`, `initramfs` and `squashfs`: trees and what they are packed into.

use std::{fmt, ops::RangeInclusive};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de};

use crate::{Bytes, Source, TreePath};

/// Compose a tree from others, later ones over earlier ones, and edit it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Tree {
    /// What it is made of, in order.
    #[serde(default)]
    pub from: Vec<TreeFrom>,
    /// What is done to it then, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub edits: Vec<Edit>,
    /// Who owns directories that come from a path.
    #[serde(default)]
    pub owners: Owners,
}

/// A tree, or a part of one, in another tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum TreeFrom {
    /// All of it, at the root.
    All(Source),
    /// With a place or a selection.
    Part(TreePart),
}

/// A part of a tree, and where it goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TreePart {
    /// The tree, one file (`packages:bin/busybox`), or with `partition` an image.
    pub source: Source,
    /// Where in an image the tree is, which must be ext2, ext3 or ext4: the label of a partition or of its file system,
    /// `largest` for the biggest such partition of a disk, or `whole` if the image is a file system itself. Owners and
    /// modes are those of the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<String>,
    /// Where it goes: the directory that receives a tree, or the name that a file gets.
    #[serde(default)]
    #[schemars(with = "String")]
    pub at: TreePath,
    /// What to take, as patterns; everything unless said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keep: Vec<String>,
    /// What to leave out of what is taken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drop: Vec<String>,
}

impl<'de> Deserialize<'de> for TreeFrom {
    /// By hand, because an untagged enum loses the place of an error.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = TreeFrom;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a step, a path, or { source, partition, at, keep, drop }")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<TreeFrom, E> {
                text.parse().map(TreeFrom::All).map_err(E::custom)
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<TreeFrom, A::Error> {
                TreePart::deserialize(de::value::MapAccessDeserializer::new(map)).map(TreeFrom::Part)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl TreeFrom {
    /// Where it comes from.
    pub const fn source(&self) -> &Source {
        match self {
            Self::All(source) => source,
            Self::Part(part) => &part.source,
        }
    }
}

/// Who owns what comes from a directory that is no step's output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Owners {
    /// Root owns everything; a file's mode is 0755 if its owner may execute it, else 0644. The same result for every
    /// user and umask.
    #[default]
    Root,
    /// Owners and modes as they are in the directory.
    Keep,
}

/// One change to a tree. Parent directories are made as needed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Edit {
    /// Write a text file.
    Write {
        /// Where.
        #[schemars(with = "String")]
        path: TreePath,
        /// Its content.
        text: String,
        /// Permission bits, octal.
        #[serde(default = "Mode::file")]
        mode: Mode,
        /// Only if nothing is there.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        if_missing: bool,
    },
    /// Make a symbolic link.
    Symlink {
        /// Where.
        #[schemars(with = "String")]
        path: TreePath,
        /// What it says.
        target: String,
        /// Only if nothing is there.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        if_missing: bool,
    },
    /// Remove a file or directory, which must be there.
    Remove {
        /// Where.
        #[schemars(with = "String")]
        path: TreePath,
    },
    /// Make a directory.
    Mkdir {
        /// Where.
        #[schemars(with = "String")]
        path: TreePath,
        /// Permission bits, octal.
        #[serde(default = "Mode::directory")]
        mode: Mode,
    },
    /// Change permission bits.
    Chmod {
        /// Where.
        #[schemars(with = "String")]
        path: TreePath,
        /// Permission bits, octal.
        mode: Mode,
    },
    /// Change the owner.
    Chown {
        /// Where.
        #[schemars(with = "String")]
        path: TreePath,
        /// Numeric owner.
        uid: u32,
        /// Numeric group.
        gid: u32,
    },
    /// Copy a file within the tree.
    Copy {
        /// From where.
        #[schemars(with = "String")]
        path: TreePath,
        /// To where.
        #[schemars(with = "String")]
        to: TreePath,
    },
    /// Empty a file.
    Truncate {
        /// Where.
        #[schemars(with = "String")]
        path: TreePath,
    },
}

impl Edit {
    /// What it does, in a few words.
    pub(super) fn summary(&self) -> String {
        match self {
            Self::Write { path, .. } => format!("write {path}"),
            Self::Symlink { path, target, .. } => format!("link {path} -> {target}"),
            Self::Remove { path } => format!("remove {path}"),
            Self::Mkdir { path, .. } => format!("mkdir {path}"),
            Self::Chmod { path, mode } => format!("chmod {:04o} {path}", mode.0),
            Self::Chown { path, uid, gid } => format!("chown {uid}:{gid} {path}"),
            Self::Copy { path, to } => format!("copy {path} to {to}"),
            Self::Truncate { path } => format!("empty {path}"),
        }
    }
}

/// Permission bits, written in octal: `"0755"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Mode(pub u16);

impl Mode {
    const fn file() -> Self {
        Self(0o644)
    }

    const fn directory() -> Self {
        Self(0o755)
    }
}

impl TryFrom<String> for Mode {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let mode = u16::from_str_radix(&text, 8).ok().filter(|mode| *mode <= 0o7777);
        mode.map(Self).ok_or_else(|| format!("`{text}` is not a mode: write it in octal, such as `0755`"))
    }
}

impl From<Mode> for String {
    fn from(mode: Mode) -> Self {
        format!("{:04o}", mode.0)
    }
}

impl Tree {
    pub(super) fn sources(&self) -> Vec<&Source> {
        self.from.iter().map(TreeFrom::source).collect()
    }

    pub(super) fn summary(&self) -> String {
        let from: Vec<String> = self.from.iter().map(|from| from.source().to_string()).collect();
        match (from.is_empty(), self.edits.len()) {
            (true, edits) => format!("{edits} edits"),
            (false, 0) => from.join(" + "),
            (false, edits) => format!("{}, {edits} edits", from.join(" + ")),
        }
    }
}

/// A tree to a cpio archive in the newc format, which the kernel unpacks as its first root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Initramfs {
    /// What it is made of, in order.
    pub from: Vec<TreeFrom>,
    /// The tree with `lib/modules/VERSION`, when `modules` are asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<Source>,
    /// Kernel modules, which come with all that they depend on, and with a `modules.dep` of their own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub modules: Vec<String>,
    /// How it is compressed.
    #[serde(default)]
    pub compression: Compression,
}

impl Initramfs {
    pub(super) fn summary(&self) -> String {
        let from: Vec<String> = self.from.iter().map(|from| from.source().to_string()).collect();
        format!("{}, {} modules", from.join(" + "), self.modules.len())
    }
}

/// How an initramfs is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Compression {
    /// As it is.
    None,
    /// Read by every kernel.
    Gzip,
    /// Read by Linux 5.9 and later; fast.
    #[default]
    Zstd,
    /// Small, and slow to boot under emulation.
    Xz,
}

/// A tree to a squashfs 4.0 image.
///
/// What is not said about compression is what was measured as the best for whole systems.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Squashfs {
    /// The tree.
    pub from: Source,
    /// How blocks are compressed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compressor: Option<Compressor>,
    /// How hard it tries: 1 to 12 for gzip, 1 to 22 for zstd, 0 to 9 for xz.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<u8>,
    /// Bytes of a block: a power of two from 4 KiB to 1 MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block_size: Option<Bytes>,
    /// What to leave out, as patterns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
}

impl Squashfs {
    /// What no image can be made with, as a sentence.
    pub(crate) fn impossible(&self) -> Option<String> {
        if let Some(size) = self.block_size
            && !(size.get().is_power_of_two() && (4 << 10..=1 << 20).contains(&size.get()))
        {
            return Some(format!("`block-size` is {size}: write a power of two from 4KiB to 1MiB"));
        }
        let (Some(compressor), Some(level)) = (self.compressor, self.level) else { return None };
        match compressor.levels() {
            Some(levels) if levels.contains(&level) => None,
            Some(levels) => {
                let (first, last) = levels.into_inner();
                Some(format!("{compressor} has no level {level}: write one from {first} to {last}"))
            }
            None => Some(format!(
                "{compressor} has no levels: leave `level` out; the slow and small way of `lz4` is `lz4hc`"
            )),
        }
    }

    pub(super) fn summary(&self) -> String {
        let Self { from, compressor, level, .. } = self;
        match (compressor, level) {
            (Some(compressor), Some(level)) => format!("{from}, {compressor} {level}"),
            (Some(compressor), None) => format!("{from}, {compressor}"),
            (None, Some(level)) => format!("{from}, level {level}"),
            (None, None) => from.to_string(),
        }
    }
}

/// How squashfs blocks are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Compressor {
    /// zlib; read by every kernel.
    Gzip,
    /// Zstandard; Linux 4.14 and later.
    Zstd,
    /// LZMA2.
    Xz,
    /// LZ4; fastest to make and to read.
    Lz4,
    /// LZ4, smaller and slower to make, and as fast to read.
    Lz4hc,
}

impl Compressor {
    /// The word for it in a plan.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Xz => "xz",
            Self::Lz4 => "lz4",
            Self::Lz4hc => "lz4hc",
        }
    }

    /// The levels that it has, if it has any.
    pub const fn levels(self) -> Option<RangeInclusive<u8>> {
        match self {
            Self::Gzip => Some(1..=12),
            Self::Zstd => Some(1..=22),
            Self::Xz => Some(0..=9),
            Self::Lz4 | Self::Lz4hc => None,
        }
    }
}

impl fmt::Display for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

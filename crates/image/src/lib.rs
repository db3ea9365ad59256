//! Bytes on disk.
#![forbid(unsafe_code)]

mod compress;
mod disk;
mod format;
mod fs;
mod initramfs;
mod inspect;
mod layout;
mod modules;
mod partition_type;
mod progress;
mod sink;
mod squashfs;
mod tree;
mod uki;
mod verify;

pub use disk::{DiskError, disk, disk_layout};
pub use format::{
    gpt::{Copy as GptCopy, Entry as GptEntry, Gpt, GptError, read as read_gpt},
    guid::Guid,
};
pub use fs::{
    FsError,
    ext2::Ext2Problem,
    fat::{FatEntry, FatError, FatProblem, FatReader},
};
pub use initramfs::{InitramfsError, initramfs};
pub use inspect::{FsReport, ImageKind, ImageReport, InspectError, PartitionReport, inspect, look};
pub use layout::LayoutError;
pub use modules::ModulesError;
pub use sink::SinkError;
pub use squashfs::{SquashfsError, commands as squashfs_commands, squashfs};
pub use tree::{Content, DigestCache, Node, NodeKind, Tree, TreeError, tree, write as write_tree};
pub use uki::{UkiError, uki};
pub use verify::{VerifyError, verify};

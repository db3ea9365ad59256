//! Trees, file systems, partition tables and disks: from files to bytes on a disk, without root.
//!
//! - A [`Tree`] is what a file system will hold; [`tree()`](fn@tree) composes one, [`write_tree`] makes an artifact.
//! - [`initramfs()`](fn@initramfs), [`squashfs()`](fn@squashfs), [`uki()`](fn@uki) and [`disk()`](fn@disk) are the
//!   steps that make images of trees.
//! - [`verify()`](fn@verify) says whether an output is what it is said to be, [`look`] what any image is, and
//!   [`inspect()`](fn@inspect) holds one against expectations.
//!
//! The same input gives the same bytes: no clock, no randomness, and no name of this machine gets into an image.
//!
//! ```
//! use bootway_exec::{Sandbox, SystemRunner};
//! use bootway_image::{look, tree, verify};
//! use bootway_plan::{ArtifactKind, step};
//!
//! let runner = SystemRunner::default();
//! let sandbox = Sandbox::new(&runner);
//! let write = step::Edit::Write { path: "etc/motd".parse()?, text: "hello\n".to_owned(), mode: step::Mode(0o644), if_missing: false };
//! let step = step::Tree { from: Vec::new(), edits: vec![write], owners: step::Owners::Root };
//! let made = tree(&sandbox.cx(), &step)?;
//! verify(ArtifactKind::Tree, &made[0].path)?;
//! assert!(look(&made[0].path)?.to_string().ends_with("6 B, tree of 3 files\n"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod class;
mod compare;
mod compress;
mod disk;
mod format;
mod fs;
mod initramfs;
mod inspect;
mod iso;
mod layout;
mod listing;
mod modules;
mod move_backup;
mod oci;
mod partition_type;
mod progress;
mod sink;
mod squashfs;
mod tree;
mod uki;
mod verify;

pub use compare::{Cause, CompareError, Comparison, Difference, Side, What, compare};
pub use compress::{decompress, unpacking};
pub use disk::{DiskError, disk, disk_layout};
pub use format::{
    gpt::{
        Copy as GptCopy, CopyState as GptCopyState, Entry as GptEntry, Found as GptFound, Gpt, GptError,
        GptProblem, read as read_gpt, read_lenient as read_gpt_lenient,
    },
    guid::Guid,
    modinfo::{InvalidModule, Modinfo, parse as parse_modinfo},
};
pub use fs::{
    FsError,
    ext_reader::{ExtEntry, ExtError, ExtFacts, ExtReader, Structure as ExtStructure},
    ext2::Ext2Problem,
    fat::{FatEntry, FatError, FatProblem, FatReader},
    iso::{IsoBootEntry, IsoFile, IsoPartition, IsoReport},
};
pub use initramfs::{InitramfsError, initramfs};
pub use inspect::{
    FsReport, ImageKind, ImageReport, InspectError, PartitionReport, container_commands, inspect, look,
};
pub use iso::{IsoError, iso};
pub use layout::LayoutError;
pub use modules::ModulesError;
pub use move_backup::{MoveBackupError, MovedBackup, move_gpt_backup};
pub use oci::{
    ContainerFormat, ContainerHealthcheck, ContainerImage, ContainerLayer, ContainerReport, OciError, oci,
};
pub use partition_type::{guid_of as partition_type_guid, name_of as partition_type_name};
pub use sink::SinkError;
pub use squashfs::{SquashfsError, squashfs};
pub use tree::{
    Backing, Content, CpioError, Node, NodeKind, Slice, Tree, TreeError, tree, write as write_tree,
};
pub use uki::{UkiError, uki};
pub use verify::{VerifyError, verify};

//! Why a harvest failed.

use std::io;

use bootway_exec::{MissingInput, RunError};
use bootway_image::{CpioError, ExtError, GptError, TreeError};
use bootway_plan::{Class, Explain, TreePath};
use camino::Utf8PathBuf;
use thiserror::Error;

use crate::{
    kernel::KernelError,
    open::OpenError,
    vboot::{VbootError, VerifyError},
};

/// A harvest failed; nothing of it is an output.
#[derive(Debug, Error)]
pub enum HarvestError {
    /// A file of the host.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The engine did not provide an input.
    #[error(transparent)]
    Input(#[from] MissingInput),
    /// An image cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// An image has no partition table that can be used.
    #[error("`{path}` is not a ChromeOS image")]
    Gpt {
        /// The raw disk.
        path: Utf8PathBuf,
        /// Why.
        source: GptError,
    },
    /// There is no kernel partition to take.
    #[error("{}", no_kernel(label.as_deref(), path, found))]
    NoKernelPartition {
        /// The raw disk.
        path: Utf8PathBuf,
        /// As the plan names it.
        label: Option<String>,
        /// Numbers and labels of what there is.
        found: Vec<String>,
    },
    /// A kernel partition cannot be read.
    #[error("partition `{label}` is not a whole kernel partition")]
    Vboot {
        /// Of the partition.
        label: String,
        /// Why.
        source: VbootError,
    },
    /// A kernel partition is whole, and not what was signed.
    #[error("partition `{label}` is not what was signed")]
    Unsigned {
        /// Of the partition.
        label: String,
        /// Which signature is wrong.
        source: VerifyError,
    },
    /// A kernel cannot be taken apart.
    #[error("cannot take the kernel in partition `{label}` apart")]
    Kernel {
        /// Of the partition.
        label: String,
        /// Where, and why.
        source: KernelError,
    },
    /// An initramfs cannot become a tree.
    #[error("cannot unpack the initramfs in partition `{label}`")]
    Initramfs {
        /// Of the partition.
        label: String,
        /// Why.
        source: Box<CpioError>,
    },
    /// The kernel does not say its version.
    #[error("the kernel in partition `{label}` does not say its version, so its modules cannot be told")]
    NoVersion {
        /// Of the partition.
        label: String,
    },
    /// There is no root partition.
    #[error(
        "`{path}` has no root partition behind its kernel partition: number {number} must be of type chromeos-rootfs and longer than a sector; there are {}",
        found.join(", ")
    )]
    NoRoot {
        /// The raw disk.
        path: Utf8PathBuf,
        /// The number it would have.
        number: u32,
        /// Numbers and labels of what there is.
        found: Vec<String>,
    },
    /// A root partition cannot be read.
    #[error("cannot read the file system in partition `{label}` of `{path}`")]
    Root {
        /// The raw disk.
        path: Utf8PathBuf,
        /// Of the partition.
        label: String,
        /// Why.
        source: ExtError,
    },
    /// The shim has no modules for its kernel.
    #[error(
        "the shim has no `lib/modules/{release}`, the modules of its kernel: it has {}; `modules = false` takes none",
        if found.is_empty() { "none at all".to_owned() } else { found.join(", ") }
    )]
    NoModules {
        /// What `uname -r` will say.
        release: String,
        /// Versions that there are modules for.
        found: Vec<String>,
    },
    /// A module is not for this kernel, or no module.
    #[error("`{path}` is no module of kernel {release}: {reason}")]
    Module {
        /// In the shim's root.
        path: TreePath,
        /// What `uname -r` will say.
        release: String,
        /// What is wrong.
        reason: String,
    },
    /// What depmod wrote does not fit the modules.
    #[error("depmod's result is wrong: {reason}")]
    Depmod {
        /// How.
        reason: String,
    },
    /// A program failed.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A compressed file cannot be unpacked.
    #[error("cannot unpack `{path}`")]
    Unpack {
        /// In the root of its image.
        path: TreePath,
        /// Why.
        source: io::Error,
    },
    /// Something that the plan expects is not there.
    #[error("the harvest lacks {}", missing.join(", "))]
    Lacks {
        /// Patterns without a match.
        missing: Vec<String>,
    },
    /// A tree cannot be composed or written.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// Someone asked to stop.
    #[error("cancelled")]
    Cancelled,
}

fn no_kernel(label: Option<&str>, path: &Utf8PathBuf, found: &[String]) -> String {
    let found = if found.is_empty() { "no partitions at all".to_owned() } else { found.join(", ") };
    match label {
        Some(label) => format!("`{path}` has no partition labelled `{label}`: there are {found}"),
        None => format!(
            "`{path}` has no kernel partition that the firmware would start (type chromeos-kernel, priority above 0, successful or with tries left): there are {found}"
        ),
    }
}

impl Explain for HarvestError {
    fn class(&self) -> Class {
        match self {
            Self::Io(error)
                if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) =>
            {
                Class::Environment
            }
            Self::Input(error) => error.class(),
            Self::Open(error) => error.class(),
            Self::Run(error) => error.class(),
            Self::Tree(error) => error.class(),
            Self::Cancelled => Class::Cancelled,
            _ => Class::Step,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Open(error) => error.hint(),
            Self::Run(error) => error.hint(),
            Self::Tree(error) => error.hint(),
            Self::Vboot { .. } | Self::Unsigned { .. } | Self::Kernel { .. } => Some(
                "the image may be damaged: hold it against its SHA-256 (`sha256 = \"…\"` in the step), or get it again"
                    .to_owned(),
            ),
            Self::NoKernelPartition { label: Some(_), .. } => Some(
                "name one of these with `kernel`, or leave it out for the one that the firmware would start"
                    .to_owned(),
            ),
            Self::NoKernelPartition { label: None, .. } => {
                Some("name the one to take by its label: `kernel = \"KERN-A\"`".to_owned())
            }
            Self::Lacks { .. } => Some(
                "patterns of `expect` are paths in the drivers, and behind `initramfs:` in the initramfs"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}

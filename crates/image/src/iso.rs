//! A tree to a disc that starts: ISO 9660 with Rock Ridge, El Torito, and the table of a stick.
//!
//! Where everything is, is known before a byte is written: directories first, then files in the order of their paths, each
//! in whole blocks. So the image is written once, from its beginning to its end, and is the same each time.
//!
//! Sources: ECMA-119, 4th edition; IEEE P1281 (SUSP 1.12) and P1282 (RRIP 1.12); "El Torito" 1.0; UEFI 2.10, section 13.3.2;
//! `isohybrid` of syslinux 6.

use std::io::{self, BufWriter, Write};

use bootway_exec::{Cx, MissingInput, StepOutput};
use bootway_plan::{Class, Explain, Name, TreePath, step};
use thiserror::Error;

use crate::{
    class::{class_of, hint_of},
    progress::Progress,
    tree::{self, TreeError},
};

mod boot;
mod directory;
mod layout;
mod rock_ridge;
mod write;

use layout::Layout;

/// Bytes of a block.
const BLOCK: u64 = 2048;

/// Packs trees into a disc.
///
/// The image is the same each time: sorted by path, every time the plan's epoch.
pub fn iso(cx: &Cx<'_>, step: &step::Iso) -> Result<Vec<StepOutput>, IsoError> {
    let tree = tree::compose(cx, &step.from, step::Owners::Root)?.finish();
    let mbr = match step.bios.as_ref().and_then(|bios| bios.mbr.as_ref()) {
        Some(source) => Some(boot::mbr_code(&cx.input(source)?.path)?),
        None => None,
    };
    let layout = Layout::of(&tree, step, cx.epoch)?;
    let path = cx.out.join("image.iso");
    let file = BufWriter::with_capacity(1 << 20, fs_err::File::create_new(&path)?);
    let mut progress = Progress::bytes(cx, layout.size());
    write::write(cx, &layout, mbr.as_ref(), file, &mut progress)?.flush()?;
    Ok(vec![StepOutput { name: Name::fixed("image"), kind: step.kind(), path }])
}

/// A disc cannot be made.
#[derive(Debug, Error)]
pub enum IsoError {
    /// A file of the host.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The engine did not provide an input.
    #[error(transparent)]
    Input(#[from] MissingInput),
    /// What it is made of.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// What is to start is not there.
    #[error("there is no file `{path}` in the tree, which {what} is to start")]
    NoLoader {
        /// In the tree.
        path: TreePath,
        /// Who starts it.
        what: &'static str,
    },
    /// What is to start cannot be started.
    #[error("`{path}` cannot be started by {what}: {why}")]
    Loader {
        /// In the tree, or on the host.
        path: String,
        /// Who starts it.
        what: &'static str,
        /// Why not.
        why: String,
    },
    /// A name that does not fit.
    #[error("`{path}`: {why}")]
    Name {
        /// In the tree.
        path: TreePath,
        /// Why not.
        why: String,
    },
    /// More than the format can hold.
    #[error(
        "the disc would have {blocks} blocks of 2048 bytes, and there is room for 4294967295: put less on it"
    )]
    TooLarge {
        /// Blocks.
        blocks: u64,
    },
    /// A time that the format cannot hold.
    #[error("the epoch {epoch} is not between 1970-01-01 and 2155-12-31, which is what a disc can hold")]
    Epoch {
        /// Seconds since 1970-01-01 UTC.
        epoch: u64,
    },
    /// Someone asked to stop.
    #[error("cancelled")]
    Cancelled,
}

impl Explain for IsoError {
    fn class(&self) -> Class {
        match self {
            Self::Io(error) => class_of(error),
            Self::Input(error) => error.class(),
            Self::Tree(error) => error.class(),
            Self::NoLoader { .. }
            | Self::Loader { .. }
            | Self::Name { .. }
            | Self::TooLarge { .. }
            | Self::Epoch { .. } => Class::Plan,
            Self::Cancelled => Class::Cancelled,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Io(error) => hint_of(error),
            Self::Tree(error) => error.hint(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;

//! `unpack`: an archive to a tree.

use bootway_exec::{Cx, MissingInput, StepOutput};
use bootway_plan::{Class, Explain, step};
use thiserror::Error;

use crate::{
    archive::{Archive, ArchiveError, InvalidPattern, Selection, Unpacker},
    meter::Meter,
};

/// Unpacks a tar archive (plain, gzip, bzip2, xz or zstd) or a Debian package to the output `tree`.
///
/// What it is follows from its first bytes, not from its name. Owners, modes and devices go into the manifest only, so
/// it works for every user. Nothing is ever written outside of the tree: links are followed inside of it, `..` is an
/// error.
///
/// # Errors
///
/// If the archive is damaged, hostile or of another kind, or the tree cannot be written.
pub fn unpack(cx: &Cx<'_>, step: &step::Unpack) -> Result<Vec<StepOutput>, UnpackError> {
    let input = cx.input(&step.from)?;
    let selection = Selection::new(&step.keep, &step.drop)?;
    let label = step.from.to_string();
    let meter = Meter::new(cx, Some(input.size.get()));
    let mut unpacker = Unpacker::new(cx, &selection)?;
    let archive = Archive { path: input.path.clone(), label: label.clone() };
    unpacker.add(&[archive], step.strip, &meter)?;
    note_unused(cx, &selection);
    Ok(vec![unpacker.finish(&label)?])
}

/// Says which patterns matched nothing.
pub(crate) fn note_unused(cx: &Cx<'_>, selection: &Selection) {
    for pattern in selection.unused() {
        cx.note(format!("pattern `{pattern}` matches nothing"));
    }
}

/// An archive was not unpacked.
#[derive(Debug, Error)]
pub enum UnpackError {
    /// The engine forgot it.
    #[error(transparent)]
    Input(#[from] MissingInput),
    /// The plan has a bad pattern.
    #[error(transparent)]
    Pattern(#[from] InvalidPattern),
    /// The archive is no good, or the tree could not be written.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}

impl Explain for UnpackError {
    fn class(&self) -> Class {
        match self {
            Self::Input(error) => error.class(),
            Self::Pattern(error) => error.class(),
            Self::Archive(error) => error.class(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Input(error) => error.hint(),
            Self::Pattern(error) => error.hint(),
            Self::Archive(error) => error.hint(),
        }
    }
}

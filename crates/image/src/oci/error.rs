//! Why a container image cannot be made.

use std::io;

use bootway_exec::MissingInput;
use bootway_plan::{Class, Explain, TreePath};
use thiserror::Error;

use crate::{
    class::{class_of, hint_of},
    tree::TreeError,
};

/// A container image cannot be made.
#[derive(Debug, Error)]
pub enum OciError {
    /// A file of the host.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The engine did not provide an input.
    #[error(transparent)]
    Input(#[from] MissingInput),
    /// What it is made of.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// Parameters that exclude each other.
    #[error("{reason}")]
    Impossible {
        /// Why, and what to do.
        reason: String,
    },
    /// The image could be made, and no engine could run it.
    #[error("the image would be no good: {}", flaws.join("; "))]
    NoGood {
        /// Everything that is wrong with it.
        flaws: Vec<String>,
    },
    /// A layer of nothing.
    #[error("`layers` names `{path}`, and it is not in the tree: fix the path, or take it out")]
    NoFiles {
        /// In the plan.
        path: TreePath,
    },
    /// A file that no layer can hold.
    #[error("`{path}` is a socket, which no layer can hold: remove it from the tree")]
    Socket {
        /// In the tree.
        path: TreePath,
    },
    /// A name that hides another file.
    #[error("`{path}` has a name that hides files of other layers: rename it, or remove it from the tree")]
    Whiteout {
        /// In the tree.
        path: TreePath,
    },
    /// An extended attribute that no layer can hold.
    #[error("the attribute `{name}` of `{path}` has `=` in its name, which no layer can hold: remove it")]
    Xattr {
        /// In the tree.
        path: TreePath,
        /// Of the attribute.
        name: String,
    },
    /// A time that the format cannot hold.
    #[error("the epoch {epoch} is after 2242-03-16, the last day that a layer can hold")]
    Epoch {
        /// Seconds since 1970-01-01 UTC.
        epoch: u64,
    },
    /// Someone asked to stop.
    #[error("cancelled")]
    Cancelled,
}

impl Explain for OciError {
    fn class(&self) -> Class {
        match self {
            Self::Io(error) => class_of(error),
            Self::Input(error) => error.class(),
            Self::Tree(error) => error.class(),
            Self::Impossible { .. }
            | Self::NoGood { .. }
            | Self::NoFiles { .. }
            | Self::Socket { .. }
            | Self::Whiteout { .. }
            | Self::Xattr { .. }
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

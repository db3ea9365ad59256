//! Why a file was not downloaded.

use std::io;

use bootway_plan::{Class, Digest, Explain};
use thiserror::Error;

use crate::archive::class_of_io;

/// A file was not downloaded.
#[derive(Debug, Error)]
pub enum DownloadError {
    /// What came is something else.
    #[error("`{url}` is the wrong file: its SHA-256 is `{got}`, and `{wanted}` is wanted")]
    WrongDigest {
        /// From where.
        url: String,
        /// What it should be.
        wanted: Digest,
        /// What it is.
        got: Digest,
    },
    /// Nothing came.
    #[error("cannot download {}", tried.join("; "))]
    Unreachable {
        /// Each URL and why it failed.
        tried: Vec<String>,
    },
    /// What came could not be stored.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Someone asked to stop.
    #[error("cancelled")]
    Cancelled,
}

impl Explain for DownloadError {
    fn class(&self) -> Class {
        match self {
            Self::WrongDigest { .. } | Self::Unreachable { .. } => Class::Step,
            Self::Io(error) => class_of_io(error),
            Self::Cancelled => Class::Cancelled,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::WrongDigest { got, .. } => Some(format!(
                "if the file was replaced on purpose and you trust it, set `sha256 = \"{got}\"`; else use a `mirror` that has the old one"
            )),
            Self::Unreachable { .. } => Some(
                "look at the network, at `http_proxy`, or name a mirror that has it; while there is a network, \
                 `bootway fetch` gets everything that the plan needs"
                    .to_owned(),
            ),
            Self::Io(_) | Self::Cancelled => None,
        }
    }
}

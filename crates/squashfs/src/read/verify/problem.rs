//! What can be wrong, and where.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use thiserror::Error;

use crate::read::ReadError;

/// Something that is wrong.
#[derive(Debug, Error)]
#[error("{place}: {fault}")]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// What.
    pub fault: Fault,
}

/// A place in an image.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Place {
    /// A table, at a place from the beginning of the image.
    Table {
        /// Which.
        name: &'static str,
        /// Where.
        at: u64,
    },
    /// A file.
    Inode {
        /// Its number.
        number: u32,
        /// One of its names, if one was found.
        path: Option<PathBuf>,
    },
    /// A fragment.
    Fragment {
        /// Which.
        index: u32,
    },
    /// What follows the last table.
    Padding,
}

impl Place {
    pub(super) const fn inode(number: u32) -> Self {
        Self::Inode { number, path: None }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Table { name, at } => write!(f, "the table of {name} at {at}"),
            Self::Inode { path: Some(path), .. } => {
                let shown = if path.as_os_str().is_empty() { Path::new("/") } else { path };
                write!(f, "`{}`", shown.display())
            }
            Self::Inode { number, path: None } => write!(f, "inode {number}"),
            Self::Fragment { index } => write!(f, "fragment {index}"),
            Self::Padding => f.write_str("the padding"),
        }
    }
}

/// What is wrong with a place.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Fault {
    /// It cannot be read.
    #[error(transparent)]
    Unreadable(#[from] ReadError),
    /// Two places do not say the same.
    #[error("{what} is said to be {said}, and is {found}")]
    Disagrees {
        /// On what.
        what: &'static str,
        /// What is written.
        said: u64,
        /// What there is.
        found: u64,
    },
    /// A number of something that is not there.
    #[error("{what} {index} is meant, and there are {count}")]
    Missing {
        /// Of what.
        what: &'static str,
        /// Which.
        index: u64,
        /// How many there are.
        count: u64,
    },
    /// A name that does not lead to where it should.
    #[error("its entry `{}` {rule}", name.escape_ascii())]
    Name {
        /// The name.
        name: Box<[u8]>,
        /// What is wrong with it.
        rule: &'static str,
    },
    /// Something that is forbidden.
    #[error("{0}")]
    Rule(&'static str),
}

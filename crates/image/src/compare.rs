//! What differs between two images, two trees or two files, where, and by which cause.
//!
//! Bytes decide: two files are the same when all their bytes are. Where they are not, both are taken apart, from the
//! partition table to the section of a program, until the place is found where they begin to differ. What cannot be
//! read is a difference as well: it is never said to be the same.

use std::io;

use bootway_exec::Cancel;
use bootway_plan::{Class, Explain};
use camino::Utf8Path;
use serde::Serialize;
use thiserror::Error;

use crate::{InspectError, class::class_of, inspect::Volume, oci::Container, tree::manifest_path};

mod archive;
mod bytes;
mod cause;
mod images;
mod program;
mod show;
mod volumes;

pub use cause::Cause;

/// The largest file inside of an image that is compared, and the most that a compressed one may unpack to.
const MAX_CONTENT: u64 = 512 << 20;
/// Where bytes are of which no file is made.
const OUTSIDE: &str = "outside of all files: times, identifiers, or where things lie";

/// What two files, directories or images have in common, and what not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Comparison {
    /// How many files are the same on both sides: of everything that was looked into, the innermost.
    pub same: u64,
    /// What is not the same, in the order in which it was found.
    pub differences: Vec<Difference>,
}

/// Something that is not the same on both sides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Difference {
    /// Where, from the outside to the inside: a partition, a path, a member of an archive.
    pub place: Vec<String>,
    /// What it is.
    #[serde(flatten)]
    pub what: What,
}

/// In what two sides differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "what", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum What {
    /// One side does not have it.
    Only {
        /// Which side has it.
        side: Side,
        /// What is there.
        is: String,
    },
    /// Something that is said of it: a mode, an identifier, a time.
    Value {
        /// What is said.
        name: String,
        /// On the first side.
        a: String,
        /// On the second side.
        b: String,
    },
    /// Its bytes.
    Content {
        /// The first byte that differs, from 0.
        at: u64,
        /// How many bytes there are on the first side.
        a_size: u64,
        /// How many bytes there are on the second side.
        b_size: u64,
        /// How many of them differ, if both sides have as many.
        differing: Option<u64>,
        /// The part of the file that the first difference is in: a section, a line.
        part: Option<String>,
        /// What the first side has there.
        a: String,
        /// What the second side has there.
        b: String,
        /// Why they differ, by what is there.
        cause: Cause,
    },
    /// It could not be compared.
    Unread {
        /// Why not.
        why: String,
    },
}

/// One of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// The first.
    A,
    /// The second.
    B,
}

impl Comparison {
    /// Whether nothing differs.
    pub const fn is_same(&self) -> bool {
        self.differences.is_empty()
    }
}

/// Compares what is at `a` with what is at `b`: files, images, trees that a step made, other directories.
///
/// Owners, modes and extended attributes are compared where both sides have some; of a directory of the host also hard
/// links, and never times.
///
/// # Errors
///
/// If one of them cannot be opened, or `cancel` is.
pub fn compare(a: &Utf8Path, b: &Utf8Path, cancel: &Cancel) -> Result<Comparison, CompareError> {
    let mut pass = Pass { cancel, found: Comparison::default() };
    pass.paths(&Place::default(), a, b)?;
    Ok(pass.found)
}

/// Where something is: the way to it from the outside.
#[derive(Clone, Debug, Default)]
struct Place(Vec<String>);

impl Place {
    fn inside(&self, name: impl Into<String>) -> Self {
        let mut place = self.clone();
        place.0.push(name.into());
        place
    }
}

/// A comparison under way.
struct Pass<'a> {
    cancel: &'a Cancel,
    found: Comparison,
}

impl Pass<'_> {
    fn differs(&mut self, place: &Place, what: What) {
        self.found.differences.push(Difference { place: place.0.clone(), what });
    }

    /// Something that both sides say.
    fn value<T: ToString + ?Sized>(&mut self, place: &Place, name: &str, a: &T, b: &T) {
        let (a, b) = (a.to_string(), b.to_string());
        if a != b {
            self.differs(place, What::Value { name: name.to_owned(), a, b });
        }
    }

    fn unread(&mut self, place: &Place, why: &impl ToString) {
        self.differs(place, What::Unread { why: why.to_string() });
    }

    fn go_on(&self) -> Result<(), CompareError> {
        if self.cancel.is_cancelled() { Err(CompareError::Cancelled) } else { Ok(()) }
    }

    fn paths(&mut self, place: &Place, a: &Utf8Path, b: &Utf8Path) -> Result<(), CompareError> {
        self.go_on()?;
        match (fs_err::metadata(a)?.is_dir(), fs_err::metadata(b)?.is_dir()) {
            (true, true) => self.directories(place, a, b),
            (false, false) => self.files(place, a, b),
            (is_dir, _) => {
                let [a, b] = [is_dir, !is_dir].map(|is| if is { "a directory" } else { "a file" });
                self.value(place, "kind", a, b);
                Ok(())
            }
        }
    }

    fn directories(&mut self, place: &Place, a: &Utf8Path, b: &Utf8Path) -> Result<(), CompareError> {
        let layouts = [a, b].map(|dir| Container::read(dir).ok().flatten());
        if let [Some(a), Some(b)] = &layouts {
            return self.containers(place, a, b);
        }
        let volume = |dir| {
            if manifest_path(dir).is_file() { Volume::Tree(dir) } else { Volume::Directory(dir) }
        };
        self.volumes(place, (a, &mut volume(a)), (b, &mut volume(b)))
    }

    fn files(&mut self, place: &Place, a: &Utf8Path, b: &Utf8Path) -> Result<(), CompareError> {
        let open = |path| Ok::<_, io::Error>(fs_err::File::open(path)?.into_file());
        let files = [open(a)?, open(b)?];
        let sizes = [files[0].metadata()?.len(), files[1].metadata()?.len()];
        let Some(found) = bytes::first(&files, [0, 0], sizes, self.cancel)? else {
            self.found.same += 1;
            return Ok(());
        };
        let before = self.found.differences.len();
        let taken_apart = self.images(place, [a, b], &files)?;
        if taken_apart && self.found.differences.len() > before {
            return Ok(());
        }
        if taken_apart {
            // All that is in it is the same, and yet the bytes are not.
            let what = bytes::around(&files, [0, 0], sizes, found, Some(OUTSIDE))?;
            self.differs(place, what);
            return Ok(());
        }
        if sizes.iter().any(|size| *size > MAX_CONTENT) {
            let what = bytes::around(&files, [0, 0], sizes, found, None)?;
            self.differs(place, what);
            return Ok(());
        }
        let [a, b] = [fs_err::read(a)?, fs_err::read(b)?];
        self.contents(place, &a, &b)
    }
}

/// Two things cannot be compared.
#[derive(Debug, Error)]
pub enum CompareError {
    /// A file of the host.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// An image cannot be looked at.
    #[error(transparent)]
    Look(#[from] InspectError),
    /// Someone asked to stop.
    #[error("cancelled")]
    Cancelled,
}

impl Explain for CompareError {
    fn class(&self) -> Class {
        match self {
            Self::Io(error) => class_of(error),
            Self::Look(error) => error.class(),
            Self::Cancelled => Class::Cancelled,
        }
    }
}

#[cfg(test)]
mod tests;

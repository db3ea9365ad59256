//! Patches: unified diffs, applied to the files of a source.

use std::{cmp::Reverse, io};

use bootway_plan::Bytes;
use camino::Utf8Path;
use thiserror::Error;

use apply::{Outcome, all};
use parse::parse;
use tree::Tree;

mod apply;
mod conflict;
mod fit;
mod header;
mod limits;
mod name;
mod parse;
mod quilt;
mod standing;
#[cfg(test)]
mod tests;
mod tree;

pub use conflict::Conflict;
pub use quilt::quilt;

/// What became of a diff that fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Patched {
    /// Its changes are in the files now.
    Applied {
        /// Every file that was made, changed or removed, from the directory that the diff is applied to; sorted.
        files: Vec<String>,
        /// Hunks that were found elsewhere than the diff says: the file, the number of the hunk from 1, and how many
        /// lines further down it was.
        shifted: Vec<(String, usize, i64)>,
    },
    /// Its changes were in the files before, all of them.
    AlreadyApplied,
}

/// Applies a unified diff to the files below `dir`, with `strip` leading components of each name removed.
///
/// Either the whole diff is applied or nothing is changed, and applying it once more changes nothing, too. Everything is
/// worked out in memory, then each file is written beside its place and renamed. A hunk may have moved within its file, and
/// is taken from the nearest place where all of its lines are; none of its context is ever left out, as that would be a
/// guess. What `diff -u` and `git diff` write is understood: files that are new, removed, renamed, copied or
/// made executable, quoted names, lines that end with CR LF or not at all. Text around the hunks is not looked at.
///
/// Nothing outside of `dir` is read or written: symbolic links are not followed, and names that lead upwards are errors.
/// It must be a directory that nobody else writes to.
///
/// ```
/// use bootway_sysroot::{Patched, patch};
/// use camino::Utf8Path;
///
/// let dir = tempfile::tempdir()?;
/// let dir = Utf8Path::from_path(dir.path()).unwrap();
/// std::fs::write(dir.join("greeting"), "hello\n")?;
/// let diff = b"--- a/greeting\n+++ b/greeting\n@@ -1 +1 @@\n-hello\n+good morning\n";
/// assert!(matches!(patch(dir, diff, 1)?, Patched::Applied { .. }));
/// assert_eq!(std::fs::read_to_string(dir.join("greeting"))?, "good morning\n");
/// assert_eq!(patch(dir, diff, 1)?, Patched::AlreadyApplied);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// If it is not a unified diff of text, does not fit or fits only in part, or a file cannot be read or written.
pub fn patch(dir: &Utf8Path, diff: &[u8], strip: u32) -> Result<Patched, PatchError> {
    let mut changes = parse(diff, strip)?;
    let forward = all(Tree::new(dir), changes.iter(), false);
    if forward.as_ref().is_err_and(|error| !error.is_conflict()) {
        return forward.and_then(write);
    }
    changes.iter_mut().for_each(parse::Change::reverse);
    let backward = all(Tree::new(dir), changes.iter().rev(), true).ok().filter(|outcome| outcome.weight > 0);
    // What was added may well fit once more: then the nearer place counts, then how much is found there.
    let rank = |outcome: &Outcome<'_>| (outcome.distance(), Reverse(outcome.weight));
    match (forward, backward) {
        (Ok(forward), Some(backward)) if rank(&backward) < rank(&forward) => Ok(Patched::AlreadyApplied),
        (Ok(forward), _) => write(forward),
        (Err(_), Some(_)) => Ok(Patched::AlreadyApplied),
        (Err(error), None) => {
            changes.iter_mut().for_each(parse::Change::reverse);
            Err(standing::explained(Tree::new(dir), &mut changes, error))
        }
    }
}

fn write(outcome: Outcome<'_>) -> Result<Patched, PatchError> {
    let files = outcome.tree.write()?;
    if files.is_empty() {
        return Ok(Patched::AlreadyApplied);
    }
    Ok(Patched::Applied { files, shifted: outcome.shifted })
}

/// `text` in one line, with what cannot be printed escaped, and cut to what fits into a message.
fn shown(text: &[u8]) -> String {
    const SHOWN: usize = 120;
    let text = String::from_utf8_lossy(&text[..text.len().min(SHOWN * 4)]);
    let shown: String = text.chars().take(SHOWN).flat_map(printable).collect();
    if text.chars().count() > SHOWN { format!("{shown}…") } else { shown }
}

fn printable(c: char) -> Vec<char> {
    if c == '\t' {
        vec![c]
    } else if c.is_control() {
        c.escape_default().collect()
    } else {
        vec![c]
    }
}

/// A diff was not applied, and nothing was changed.
#[derive(Debug, Error)]
pub enum PatchError {
    /// It has no changes.
    #[error(
        "there is nothing to apply in it: it must be a unified diff, as `diff -u` or `git diff` writes it"
    )]
    NoDiff,
    /// It is damaged.
    #[error("line {line} of the diff: {reason}")]
    Malformed {
        /// Of the diff, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A name in it is not that of a file below the directory.
    #[error("line {line} of the diff: the name `{name}` {reason}")]
    Name {
        /// Of the diff, from 1.
        line: usize,
        /// As the diff has it.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// It has bytes instead of lines.
    #[error("line {line} of the diff: `{file}` is binary")]
    Binary {
        /// Of the diff, from 1.
        line: usize,
        /// Which file.
        file: String,
    },
    /// It is of a kind that is known, and not read.
    #[error("line {line} of the diff: this is {what}: {remedy}")]
    Unsupported {
        /// Of the diff, from 1.
        line: usize,
        /// What it is.
        what: String,
        /// What to do about it.
        remedy: &'static str,
    },
    /// It is too big for memory.
    #[error("{what} is too big: the limit is {}", limit_shown(*.limit))]
    TooBig {
        /// What.
        what: String,
        /// The limit, in bytes or lines.
        limit: u64,
    },
    /// What should be changed is no file.
    #[error("`{name}` is {is}: only regular files are changed, and only in directories")]
    NotAFile {
        /// Which.
        name: String,
        /// What it is.
        is: &'static str,
    },
    /// What should be changed is not there.
    #[error("there is no file `{name}` (line {line} of the diff)")]
    Missing {
        /// Which file.
        name: String,
        /// Of the diff, from 1.
        line: usize,
    },
    /// What should be made is there, and something else is in it.
    #[error("the diff would make `{name}` (line {line}), which is there with something else in it")]
    Exists {
        /// Which file.
        name: String,
        /// Of the diff, from 1.
        line: usize,
    },
    /// A hunk does not fit.
    #[error("{0}")]
    Conflict(Box<Conflict>),
    /// Some of it is in the files already.
    #[error(
        "{applied} of {hunks} hunks are applied already: {there} is in the file, and {not} (line {line} of the diff) is not"
    )]
    Partly {
        /// The first hunk that is.
        there: String,
        /// The first hunk that is not.
        not: String,
        /// Where the latter begins in the diff, from 1.
        line: usize,
        /// How many are.
        applied: usize,
        /// How many there are.
        hunks: usize,
    },
    /// The list of Debian's patches is not understood.
    #[error("line {line} of `{file}`: {reason}")]
    Series {
        /// The list.
        file: String,
        /// Of the list, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A file could not be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
}

fn limit_shown(limit: u64) -> String {
    if limit == limits::ROWS as u64 { format!("{limit} lines") } else { Bytes::new(limit).to_string() }
}

impl PatchError {
    /// Whether it is about the files as they are, and not about the diff itself.
    const fn is_conflict(&self) -> bool {
        matches!(self, Self::Missing { .. } | Self::Exists { .. } | Self::Conflict(_) | Self::Partly { .. })
    }

    /// What to do about it, if anything in particular.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Conflict(_) | Self::Exists { .. } => {
                "it is for another version of the source: make it anew for this one, or remove it from the plan"
            }
            Self::Missing { .. } => {
                "it is for another version of the source, or another number of leading components is to be stripped \
                 from its names"
            }
            Self::Partly { .. } => "take what the source has already out of the diff",
            Self::Binary { .. } => {
                "take it out of the diff, and copy the file into the source with a step of its own"
            }
            Self::NotAFile { is: "a symbolic link", .. } => {
                "change the file that the link leads to, by its own name"
            }
            _ => return None,
        };
        Some(text.to_owned())
    }
}

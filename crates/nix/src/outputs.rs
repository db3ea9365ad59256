//! What a derivation made, found where the plan says and nowhere else.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use bootway_exec::{Cancel, Cx};
use bootway_plan::{ArtifactKind, Bytes, Class, Explain, step};
use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use globset::GlobBuilder;
use thiserror::Error;

use crate::{Nix, realise::Cause};

mod tree;

pub(crate) use tree::manifest;

/// Names that a message lists.
const SHOWN: usize = 12;

/// Names that are looked at; an output with more needs a pattern for a part of it, and none has as many.
const NAMES: usize = 200_000;

/// Links that lead to links are followed so far.
const LINKS: usize = 40;

/// What Nix and its build farms write into outputs for themselves.
const NOT_MEANT: &str = "nix-support";

/// A store on this machine's disk.
pub(crate) struct Disk<'a> {
    nix: &'a Nix<'a>,
    /// What store paths begin with: `/nix/store`.
    store_dir: Utf8PathBuf,
}

/// Something in an output.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Found {
    /// On disk, without links.
    path: Utf8PathBuf,
    is_dir: bool,
}

/// Where the artifact is on disk: the output itself, or the one thing in it that is meant.
///
/// # Errors
///
/// If nothing or more than one thing matches, or what does is not of the right kind or too small.
pub(crate) fn find(
    cx: &Cx<'_>,
    nix: &Nix<'_>,
    store_path: &Utf8Path,
    step: &step::NixBuild,
) -> Result<Utf8PathBuf, OutputError> {
    let store_dir = store_path.parent().unwrap_or(store_path).to_owned();
    let disk = Disk { nix, store_dir };
    if fs_err::symlink_metadata(nix.on_disk(store_path)).is_err_and(|it| it.kind() == io::ErrorKind::NotFound)
    {
        return Err(OutputError::Elsewhere { path: store_path.to_owned() });
    }
    let output =
        disk.resolve(store_path)?.ok_or_else(|| OutputError::Outside { path: store_path.to_owned() })?;
    let tree = step.kind == ArtifactKind::Tree;
    let found = if !output.is_dir && !tree || output.is_dir && tree && step.glob.is_none() {
        output.path
    } else if output.is_dir {
        choose(store_path, step, &disk.everything(&output.path, cx.cancel)?)?
    } else {
        return Err(OutputError::Kind { path: store_path.to_owned(), kind: step.kind });
    };
    let size = fs_err::metadata(&found)?.len();
    match step.min_size {
        Some(limit) if !tree && size < limit.get() => {
            Err(OutputError::TooSmall { path: found, size: Bytes::new(size), limit })
        }
        _ => Ok(found),
    }
}

/// The one of `all` that `step` means.
fn choose(
    output: &Utf8Path,
    step: &step::NixBuild,
    all: &BTreeMap<String, Found>,
) -> Result<Utf8PathBuf, OutputError> {
    let tree = step.kind == ArtifactKind::Tree;
    let invalid = |reason: String| OutputError::Glob { glob: step.glob.clone().unwrap_or_default(), reason };
    let matcher = step.glob.as_deref().map(|glob| {
        let built = GlobBuilder::new(glob.trim_start_matches("./")).literal_separator(true).build();
        built.map(|glob| glob.compile_matcher()).map_err(|error| invalid(error.kind().to_string()))
    });
    let matcher = matcher.transpose()?;
    let meant = |name: &str| match &matcher {
        Some(matcher) => matcher.is_match(name),
        None => !name.starts_with(NOT_MEANT),
    };
    let candidates = || all.iter().filter(|(_, found)| found.is_dir == tree);
    let matches: Vec<(&String, &Found)> = candidates().filter(|(name, _)| meant(name)).collect();
    let targets: BTreeSet<&Found> = matches.iter().map(|(_, found)| *found).collect();
    let names = |names: Vec<&String>| names.into_iter().cloned().collect();
    match (targets.len(), targets.first()) {
        (1, Some(one)) => Ok(one.path.clone()),
        (0, _) => Err(OutputError::Missing {
            path: output.to_owned(),
            glob: step.glob.clone(),
            candidates: names(candidates().map(|(name, _)| name).collect()),
        }),
        _ => Err(OutputError::Ambiguous {
            path: output.to_owned(),
            glob: step.glob.clone(),
            matches: names(matches.into_iter().map(|(name, _)| name).collect()),
        }),
    }
}

impl Disk<'_> {
    /// What a path in the store is on disk, with links followed inside the store; `None` if they lead out of it or to
    /// nothing.
    fn resolve(&self, path: &Utf8Path) -> io::Result<Option<Found>> {
        let mut rest: Vec<String> = match path.strip_prefix(&self.store_dir) {
            Ok(inner) => inner.components().rev().map(|part| part.to_string()).collect(),
            Err(_) => return Ok(None),
        };
        let mut at = self.store_dir.clone();
        let mut links = 0;
        while let Some(part) = rest.pop() {
            let next = match part.as_str() {
                "." => continue,
                ".." if at == self.store_dir => return Ok(None),
                ".." => {
                    at.pop();
                    continue;
                }
                name => at.join(name),
            };
            let on_disk = self.nix.on_disk(&next);
            match fs_err::symlink_metadata(&on_disk) {
                Ok(metadata) if !metadata.is_symlink() => at = next,
                Ok(_) => {
                    links += 1;
                    let Ok(target) = on_disk.read_link_utf8() else { return Ok(None) };
                    if links > LINKS {
                        return Ok(None);
                    }
                    if target.is_absolute() {
                        let Ok(inner) = target.strip_prefix(&self.store_dir) else { return Ok(None) };
                        at.clone_from(&self.store_dir);
                        rest.extend(parts(inner));
                    } else {
                        rest.extend(parts(&target));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        let path = self.nix.on_disk(&at);
        let metadata = fs_err::symlink_metadata(&path)?;
        let known = metadata.is_dir() || metadata.is_file();
        Ok(known.then(|| Found { is_dir: metadata.is_dir(), path }))
    }

    /// Everything in an output by its name in there: files and directories, through links.
    fn everything(&self, output: &Utf8Path, cancel: &Cancel) -> Result<BTreeMap<String, Found>, OutputError> {
        let mut all = BTreeMap::new();
        // A directory and the name that led to it; one that links lead back to is not entered again.
        let mut todo = vec![(output.to_owned(), String::new(), vec![output.to_owned()])];
        while let Some((dir, prefix, above)) = todo.pop() {
            if cancel.is_cancelled() {
                return Err(OutputError::Cancelled);
            }
            for entry in dir.read_dir_utf8()? {
                let entry = entry?;
                let name = format!("{prefix}{}", entry.file_name());
                if all.len() == NAMES {
                    return Err(OutputError::TooMany { path: output.to_owned() });
                }
                let Some(found) = self.resolve(&self.logical(entry.path()))? else { continue };
                if found.is_dir && !above.contains(&found.path) {
                    let mut above = above.clone();
                    above.push(found.path.clone());
                    todo.push((found.path.clone(), format!("{name}/"), above));
                }
                all.insert(name, found);
            }
        }
        Ok(all)
    }

    /// What the store calls something on disk.
    fn logical(&self, on_disk: &Utf8Path) -> Utf8PathBuf {
        let real = self.nix.on_disk(&self.store_dir);
        match on_disk.strip_prefix(&real) {
            Ok(inner) => self.store_dir.join(inner),
            Err(_) => on_disk.to_owned(),
        }
    }
}

/// The parts of a path, last first.
fn parts(path: &Utf8Path) -> Vec<String> {
    let parts = path.components().filter(|part| !matches!(part, Utf8Component::CurDir));
    let parts: Vec<String> = parts.map(|part| part.to_string()).collect();
    parts.into_iter().rev().collect()
}

/// There is no artifact in an output.
#[derive(Debug, Error)]
pub enum OutputError {
    /// Nothing matches.
    #[error("{} in `{path}`{}", wanted(glob.as_deref()), list("; there is only ", candidates))]
    Missing {
        /// The output.
        path: Utf8PathBuf,
        /// The pattern.
        glob: Option<String>,
        /// What could have.
        candidates: Vec<String>,
    },
    /// More than one thing matches.
    #[error("{} in `{path}` matches {}{}", glob.as_ref().map_or("more than one file".to_owned(), |glob| format!("`{glob}`")), if glob.is_some() { "more than one: " } else { "" }, list("", matches))]
    Ambiguous {
        /// The output.
        path: Utf8PathBuf,
        /// The pattern.
        glob: Option<String>,
        /// What matches.
        matches: Vec<String>,
    },
    /// A file is no tree.
    #[error("`{path}` is a file, and a {kind} is wanted")]
    Kind {
        /// The output.
        path: Utf8PathBuf,
        /// What is wanted.
        kind: ArtifactKind,
    },
    /// There is too little of it.
    #[error("`{path}` has {}, and at least {} are wanted", size.human(), limit.human())]
    TooSmall {
        /// The file.
        path: Utf8PathBuf,
        /// What it has.
        size: Bytes,
        /// What it should have.
        limit: Bytes,
    },
    /// Links lead out of the store.
    #[error("`{path}` leads out of the store, or to nothing")]
    Outside {
        /// The output.
        path: Utf8PathBuf,
    },
    /// The store that holds it is not on this machine's disk, or somebody removed it there.
    #[error("`{path}` is valid, as the store says, and is not on this machine's disk")]
    Elsewhere {
        /// The output.
        path: Utf8PathBuf,
    },
    /// There are too many names to look at.
    #[error("`{path}` holds more than {NAMES} names")]
    TooMany {
        /// The output.
        path: Utf8PathBuf,
    },
    /// The pattern is none.
    #[error("`{glob}` is not a pattern: {reason}")]
    Glob {
        /// The pattern.
        glob: String,
        /// Why.
        reason: String,
    },
    /// Something in it cannot be in an image.
    #[error("`{path}` is not UTF-8, or neither a file, a directory nor a link")]
    Strange {
        /// What.
        path: String,
    },
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Someone asked to stop.
    #[error("cancelled")]
    Cancelled,
}

fn wanted(glob: Option<&str>) -> String {
    glob.map_or("there is no file".to_owned(), |glob| format!("nothing matches `{glob}`"))
}

fn list(before: &str, names: &[String]) -> String {
    if names.is_empty() {
        return String::new();
    }
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    let more = names.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{before}{}{more}", shown.join(", "))
}

impl OutputError {
    /// In which way.
    pub(crate) const fn cause(&self) -> Cause {
        match self {
            Self::Missing { .. } | Self::Outside { .. } | Self::Elsewhere { .. } => Cause::OutputMissing,
            Self::Ambiguous { .. } | Self::TooMany { .. } => Cause::OutputAmbiguous,
            Self::Cancelled => Cause::Interrupted,
            Self::Kind { .. }
            | Self::TooSmall { .. }
            | Self::Glob { .. }
            | Self::Strange { .. }
            | Self::Io(_) => Cause::OutputBad,
        }
    }
}

impl Explain for OutputError {
    fn class(&self) -> Class {
        match self {
            Self::Glob { .. } => Class::Plan,
            Self::Cancelled => Class::Cancelled,
            Self::Elsewhere { .. } => Class::Environment,
            _ => Class::Step,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Missing { glob: Some(_), .. } => "fix `glob`; it starts inside the output".to_owned(),
            Self::Missing { glob: None, .. } => "build another attribute or another `output`".to_owned(),
            Self::Ambiguous { .. } => "write a `glob` that matches one of them".to_owned(),
            Self::Elsewhere { path } => format!(
                "if `NIX_REMOTE` leads to another machine, use `builders` of `[nix]` instead; if somebody removed \
                 it: nix-store --repair-path {path}"
            ),
            Self::Kind { .. } => "write another `kind`".to_owned(),
            Self::TooSmall { .. } => "find out what is missing, or lower `min-size`".to_owned(),
            _ => return None,
        })
    }
}

//! What a command made, found where the plan says and nowhere else.

use bootway_exec::{Cx, StepOutput};
use bootway_plan::{ArtifactKind, Bytes, Class, Explain, OutputName, step};
use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use globset::{GlobBuilder, GlobMatcher};
use thiserror::Error;
use walkdir::WalkDir;

use super::walk;

/// Names that a message lists.
const SHOWN: usize = 8;

/// Where one output is to be found.
pub(super) struct Place<'a> {
    name: &'a OutputName,
    output: &'a step::CommandOutput,
    wanted: Wanted,
    /// Where it belongs, from the directory of outputs.
    goes: String,
}

enum Wanted {
    Path(Utf8PathBuf),
    Glob(Box<GlobMatcher>),
}

/// Where each output of `step` is to be found; checked before anything runs.
pub(super) fn places(step: &step::Command) -> Result<Vec<Place<'_>>, OutputError> {
    step.outputs.iter().map(|(name, output)| place(name, output)).collect()
}

fn place<'a>(name: &'a OutputName, output: &'a step::CommandOutput) -> Result<Place<'a>, OutputError> {
    let invalid =
        |text: &str, reason| OutputError::Place { name: name.clone(), text: text.to_owned(), reason };
    let (wanted, goes) = match (&output.path, &output.glob) {
        (Some(path), None) => {
            let inside = |part| matches!(part, Utf8Component::Normal(_) | Utf8Component::CurDir);
            let normal = |part| matches!(part, Utf8Component::Normal(_));
            let components = || Utf8Path::new(path).components();
            if !components().all(inside) || !components().any(normal) {
                return Err(invalid(path, "leaves `${out}`: write a relative path without `..`".to_owned()));
            }
            (Wanted::Path(path.into()), path.clone())
        }
        (None, Some(text)) => {
            let glob = GlobBuilder::new(text.trim_start_matches("./")).literal_separator(true).build();
            let glob = glob.map_err(|error| invalid(text, format!("is not a pattern: {}", error.kind())))?;
            (Wanted::Glob(Box::new(glob.compile_matcher())), name.to_string())
        }
        (Some(_), Some(_)) => {
            return Err(invalid("path", "and `glob` exclude each other: write one".to_owned()));
        }
        (None, None) => {
            return Err(invalid("outputs", "says no place for it: write `path` or `glob`".to_owned()));
        }
    };
    Ok(Place { name, output, wanted, goes })
}

/// Finds all outputs, then moves those that a pattern found to where they belong.
pub(super) fn take(cx: &Cx<'_>, places: &[Place<'_>]) -> Result<Vec<StepOutput>, OutputError> {
    let found = places.iter().map(|place| find(cx, place)).collect::<Result<Vec<_>, _>>()?;
    let mut outputs = Vec::new();
    for (place, found) in places.iter().zip(found) {
        let path = cx.out.join(&place.goes);
        if found != path {
            if path.symlink_metadata().is_ok() {
                return Err(OutputError::Taken { name: place.name.clone(), found, path });
            }
            fs_err::rename(&found, &path)?;
        }
        let size = measure(cx, place, &path)?;
        match place.output.min_size {
            Some(limit) if size < limit => {
                return Err(OutputError::TooSmall { name: place.name.clone(), size, limit });
            }
            _ => {}
        }
        outputs.push(StepOutput { name: place.name.clone(), kind: place.output.kind, path });
    }
    Ok(outputs)
}

/// Bytes of an output. A tree gets its manifest here.
fn measure(cx: &Cx<'_>, place: &Place<'_>, path: &Utf8Path) -> Result<Bytes, OutputError> {
    if place.output.kind != ArtifactKind::Tree {
        return Ok(Bytes::new(fs_err::metadata(path)?.len()));
    }
    let manifest = walk::manifest(path, cx.cancel)?;
    let beside = Utf8PathBuf::from(format!("{path}.manifest"));
    if beside.symlink_metadata().is_ok() {
        return Err(OutputError::Taken { name: place.name.clone(), found: beside.clone(), path: beside });
    }
    fs_err::write(&beside, manifest.to_text())?;
    Ok(Bytes::new(manifest.content_size()))
}

fn find(cx: &Cx<'_>, place: &Place<'_>) -> Result<Utf8PathBuf, OutputError> {
    match &place.wanted {
        Wanted::Path(path) => find_path(cx, place, path),
        Wanted::Glob(glob) => find_match(cx, place, glob),
    }
}

fn find_path(cx: &Cx<'_>, place: &Place<'_>, inner: &Utf8Path) -> Result<Utf8PathBuf, OutputError> {
    let path = cx.out.join(inner);
    let metadata = match fs_err::symlink_metadata(&path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let others = list(everything(cx.out)?);
            return Err(OutputError::NotMade { name: place.name.clone(), wanted: inner.to_string(), others });
        }
        Err(error) => return Err(error.into()),
    };
    // A directory on the way may be a link to anywhere.
    let parent = path.parent().unwrap_or(cx.out);
    if !fs_err::canonicalize(parent)?.starts_with(fs_err::canonicalize(cx.out)?) {
        return Err(OutputError::Outside { name: place.name.clone(), wanted: inner.to_string() });
    }
    let is = if metadata.is_symlink() {
        "a symbolic link"
    } else if metadata.is_dir() {
        "a directory"
    } else if metadata.is_file() {
        "a file"
    } else {
        "neither a file nor a directory"
    };
    let fits = if place.output.kind == ArtifactKind::Tree { metadata.is_dir() } else { metadata.is_file() };
    if fits {
        return Ok(path);
    }
    Err(OutputError::Kind {
        name: place.name.clone(),
        wanted: inner.to_string(),
        is,
        kind: place.output.kind,
    })
}

fn find_match(cx: &Cx<'_>, place: &Place<'_>, glob: &GlobMatcher) -> Result<Utf8PathBuf, OutputError> {
    let tree = place.output.kind == ArtifactKind::Tree;
    let of_kind = |found: &Found| if tree { found.is_dir } else { found.is_file };
    let candidates: Vec<Found> = everything(cx.out)?.into_iter().filter(of_kind).collect();
    let matches: Vec<&Found> = candidates.iter().filter(|found| glob.is_match(&found.inner)).collect();
    let wanted = glob.glob().glob().to_owned();
    match matches[..] {
        [one] => Ok(cx.out.join(&one.inner)),
        [] => Err(OutputError::NotMade { name: place.name.clone(), wanted, others: list(candidates) }),
        _ => {
            let matches = list(matches.into_iter().cloned());
            Err(OutputError::Ambiguous { name: place.name.clone(), wanted, matches })
        }
    }
}

#[derive(Clone)]
struct Found {
    inner: String,
    is_file: bool,
    is_dir: bool,
}

/// Everything below `out` that has a readable name, sorted.
fn everything(out: &Utf8Path) -> Result<Vec<Found>, OutputError> {
    let mut all = Vec::new();
    for found in WalkDir::new(out).min_depth(1).sort_by_file_name() {
        let found = found.map_err(std::io::Error::from)?;
        let inner = found.path().strip_prefix(out).expect("a walk stays below its root");
        if let Some(inner) = inner.to_str() {
            let kind = found.file_type();
            all.push(Found { inner: inner.to_owned(), is_file: kind.is_file(), is_dir: kind.is_dir() });
        }
    }
    Ok(all)
}

fn list(found: impl IntoIterator<Item = Found>) -> String {
    let names: Vec<String> = found.into_iter().map(|found| format!("`{}`", found.inner)).collect();
    match names.len() {
        0 => "nothing".to_owned(),
        n if n > SHOWN => format!("{} and {} more", names[..SHOWN].join(", "), n - SHOWN),
        _ => names.join(", "),
    }
}

/// A command ended with code 0, and what it should have made is not what is there.
#[derive(Debug, Error)]
pub enum OutputError {
    /// The plan says no usable place.
    #[error("output `{name}`: `{text}` {reason}")]
    Place {
        /// Which output.
        name: OutputName,
        /// As the plan has it.
        text: String,
        /// What is wrong with it, and what to write.
        reason: String,
    },
    /// Nothing is there.
    #[error(
        "the command exited with code 0 but made no `{wanted}` for output `{name}`: `${{out}}` has {others}"
    )]
    NotMade {
        /// Which output.
        name: OutputName,
        /// Its path or pattern.
        wanted: String,
        /// What is there.
        others: String,
    },
    /// Several things are there.
    #[error("output `{name}` is to be the one match of `{wanted}`, and there are several: {matches}")]
    Ambiguous {
        /// Which output.
        name: OutputName,
        /// Its pattern.
        wanted: String,
        /// What it matches.
        matches: String,
    },
    /// It is behind a link that leads away.
    #[error(
        "output `{name}` at `{wanted}` is behind a symbolic link that leaves `${{out}}`: write the file itself there"
    )]
    Outside {
        /// Which output.
        name: OutputName,
        /// Its path.
        wanted: String,
    },
    /// It is something else.
    #[error("output `{name}` at `{wanted}` is {is}, which cannot be of kind `{kind}`")]
    Kind {
        /// Which output.
        name: OutputName,
        /// Its path.
        wanted: String,
        /// What is there.
        is: &'static str,
        /// What should be there.
        kind: ArtifactKind,
    },
    /// It is suspiciously small.
    #[error("output `{name}` has {}, and `min-size` is {limit}", size.human())]
    TooSmall {
        /// Which output.
        name: OutputName,
        /// What it has.
        size: Bytes,
        /// What it should have at least.
        limit: Bytes,
    },
    /// Its place is taken.
    #[error(
        "output `{name}` cannot be at `{path}`, where the command made something else: give one of them another name"
    )]
    Taken {
        /// Which output.
        name: OutputName,
        /// What it is.
        found: Utf8PathBuf,
        /// Where it belongs.
        path: Utf8PathBuf,
    },
    /// Trees have names that can be written down.
    #[error("`{path}` has a name or a link that is not UTF-8: rename it")]
    NotUtf8 {
        /// As well as it can be shown.
        path: String,
    },
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// Someone asked to stop.
    #[error("cancelled")]
    Cancelled,
}

impl Explain for OutputError {
    fn class(&self) -> Class {
        match self {
            Self::Place { .. } => Class::Plan,
            Self::NotMade { .. }
            | Self::Ambiguous { .. }
            | Self::Outside { .. }
            | Self::Kind { .. }
            | Self::TooSmall { .. }
            | Self::Taken { .. }
            | Self::NotUtf8 { .. }
            | Self::Io(_) => Class::Step,
            Self::Cancelled => Class::Cancelled,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NotMade { .. } => Some("write it to `${out}`, or fix `outputs` in the plan".to_owned()),
            Self::Ambiguous { .. } => Some("make the pattern narrower, or name the `path`".to_owned()),
            Self::Kind { is: "a symbolic link", .. } => Some("copy what it points to".to_owned()),
            Self::Kind { .. } => Some("fix `kind` in the plan, or what the command writes".to_owned()),
            Self::TooSmall { .. } => {
                Some("look at what the command printed: it may have given up half-way".to_owned())
            }
            Self::Place { .. }
            | Self::Outside { .. }
            | Self::Taken { .. }
            | Self::NotUtf8 { .. }
            | Self::Io(_)
            | Self::Cancelled => None,
        }
    }
}

//! Expectations on an image or tree, and what any image is.

use std::{fs::File, io, time::Instant};

use bootway_exec::{Cx, MissingInput, StepOutput};
use bootway_plan::{
    Class, EventKind, Explain, TreePath, Verdict,
    step::{self, Expect},
};
use thiserror::Error;

use crate::{
    class::class_of,
    tree::{self, TreeError},
};

mod report;
mod volume;

pub use report::{FsReport, ImageKind, ImageReport, PartitionReport, look};
use volume::{Found, Listing, Volume};

/// How much of a file is searched for `contains`.
const MAX_CONTENT: u64 = 64 << 20;
/// How many paths a message names at most.
const MAX_NAMED: usize = 5;

/// Looks into an image and holds it against every expectation; each is a check of its own.
///
/// # Errors
///
/// If an expectation is not met, after all were looked at; or if the image cannot be read.
pub fn inspect(cx: &Cx<'_>, step: &step::Inspect) -> Result<Vec<StepOutput>, InspectError> {
    let input = cx.input(&step.image)?;
    let report = look(&input.path)?;
    let file = if matches!(report.image, ImageKind::Tree { .. }) {
        None
    } else {
        Some(fs_err::File::open(&input.path)?.into_file())
    };
    let mut failed = Vec::new();
    for expect in &step.expect {
        if cx.cancel.is_cancelled() {
            return Err(InspectError::Cancelled);
        }
        let began = Instant::now();
        let result = check(&report, file.as_ref(), expect);
        let name = name(expect);
        let (verdict, detail) = match result {
            Ok(detail) => (Verdict::Passed, detail),
            Err(detail) => (Verdict::Failed, detail),
        };
        if verdict == Verdict::Failed {
            failed.push(format!("{name}: {detail}"));
        }
        let after_ms = began.elapsed().as_millis() as u64;
        (cx.emit)(EventKind::Check { name, verdict, after_ms, detail: Some(detail) });
    }
    if failed.is_empty() {
        Ok(Vec::new())
    } else {
        Err(InspectError::Failed { of: step.expect.len(), failed })
    }
}

/// What an expectation expects, in a few words.
fn name(expect: &Expect) -> String {
    let mut words = Vec::new();
    words.extend(expect.partition.as_ref().map(|label| format!("partition {label}")));
    words.extend(expect.kind.as_ref().map(|kind| format!("is {kind}")));
    words.extend(expect.fs.as_ref().map(|fs| format!("is {fs}")));
    words.extend(expect.min_size.map(|size| format!("has {size}")));
    words.extend(expect.path.as_ref().map(|path| format!("has {path}")));
    words.extend(expect.contains.as_ref().map(|text| format!("with {text:?}")));
    words.extend(expect.lacks.as_ref().map(|path| format!("lacks {path}")));
    if words.is_empty() { "is there".to_owned() } else { words.join(", ") }
}

/// What was seen, or what is wrong.
fn check(report: &ImageReport, file: Option<&File>, expect: &Expect) -> Result<String, String> {
    let (offset, size, fs) = match (&report.image, &expect.partition) {
        (ImageKind::Disk { partitions, .. }, Some(label)) => {
            let partition = partitions.iter().find(|partition| partition.label == *label);
            let partition = partition.ok_or_else(|| {
                let labels: Vec<_> = partitions.iter().map(|partition| partition.label.as_str()).collect();
                format!("there is no such partition: the disk has `{}`", labels.join("`, `"))
            })?;
            if let Some(kind) = expect.kind.as_ref().filter(|kind| kind.as_str() != partition.kind) {
                return Err(format!("it is of type {}, and not {kind}", partition.kind));
            }
            (partition.offset.get(), partition.size, partition.fs.as_ref())
        }
        (_, Some(_)) => return Err(format!("there is no partition table: {}", short(report))),
        (ImageKind::Disk { .. }, None)
            if expect.fs.is_some() || expect.path.is_some() || expect.lacks.is_some() =>
        {
            return Err("this is a disk: say in which `partition`".to_owned());
        }
        (ImageKind::FileSystem(fs), None) => (0, report.size, Some(fs)),
        (_, None) => (0, report.size, None),
    };
    if let (None, Some(kind)) = (&expect.partition, &expect.kind) {
        return Err(format!("`type` {kind} is about a partition: say which `partition`"));
    }
    let mut seen = vec![fs.map_or_else(|| size.human(), ToString::to_string)];
    if let Some(wanted) = &expect.fs
        && fs.is_none_or(|fs| fs.name != *wanted)
    {
        return Err(format!(
            "found {}, and not {wanted}",
            fs.map_or("no file system that is known", |fs| &fs.name)
        ));
    }
    if let Some(wanted) = expect.min_size.filter(|wanted| *wanted > size) {
        return Err(format!("it has {}, and not {}", size.human(), wanted.human()));
    }
    if expect.path.is_some() || expect.lacks.is_some() {
        let mut volume = match file {
            None => Volume::Tree(&report.path),
            Some(file) => Volume::open(&report.path, file, offset)
                .map_err(|error| format!("it cannot be read: {error}"))?,
        };
        seen.extend(check_paths(&mut volume, expect)?);
    }
    Ok(seen.join("; "))
}

fn check_paths(volume: &mut Volume<'_>, expect: &Expect) -> Result<Option<String>, String> {
    let listing = volume.list().map_err(|error| format!("it cannot be read: {error}"))?;
    if let Some(pattern) = &expect.lacks {
        let found = matches(&listing, pattern)?;
        if !found.is_empty() {
            return Err(format!("`{pattern}` is there: {}", some_of(&found)));
        }
    }
    let Some(pattern) = &expect.path else { return Ok(None) };
    let found = matches(&listing, pattern)?;
    if found.is_empty() {
        return Err(format!("nothing matches `{pattern}` among {} files", listing.files.len()));
    }
    let Some(wanted) = &expect.contains else { return Ok(Some(some_of(&found))) };
    for path in &found {
        let place = listing.resolve(path);
        let Some((place, Found::File { number, .. })) = place.and_then(|it| listing.files.get_key_value(&it))
        else {
            continue;
        };
        let bytes = volume
            .read(place, *number, MAX_CONTENT)
            .map_err(|error| format!("`{path}` cannot be read: {error}"))?;
        if bytes.windows(wanted.len().max(1)).any(|window| window == wanted.as_bytes()) || wanted.is_empty() {
            return Ok(Some(path.to_string()));
        }
    }
    Err(format!("{wanted:?} is not in {}", some_of(&found)))
}

/// The paths that `pattern` matches; one without wildcards leads through symbolic links.
fn matches(listing: &Listing, pattern: &str) -> Result<Vec<TreePath>, String> {
    if !pattern.contains(['*', '?', '[', '{']) {
        let path: TreePath =
            pattern.parse().map_err(|error: bootway_plan::InvalidManifest| error.to_string())?;
        let is_there = listing.files.contains_key(&path) || listing.resolve(&path).is_some();
        return Ok(if is_there { vec![path] } else { Vec::new() });
    }
    let glob = tree::matcher(pattern).map_err(|error| error.to_string())?;
    Ok(listing.files.keys().filter(|path| glob.is_match(path.as_str())).cloned().collect())
}

fn some_of(paths: &[TreePath]) -> String {
    let named: Vec<_> = paths.iter().take(MAX_NAMED).map(ToString::to_string).collect();
    let more = paths.len().saturating_sub(MAX_NAMED);
    if more == 0 { named.join(", ") } else { format!("{} and {more} more", named.join(", ")) }
}

/// The first line of a report.
fn short(report: &ImageReport) -> String {
    report.to_string().lines().next().unwrap_or_default().to_owned()
}

/// An image is not as expected, or cannot be read.
#[derive(Debug, Error)]
pub enum InspectError {
    /// A file of the host.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The engine did not provide an input.
    #[error(transparent)]
    Input(#[from] MissingInput),
    /// A tree cannot be read.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// Expectations are not met.
    #[error("{} of {of} expectations failed:\n{}", failed.len(), failed.join("\n"))]
    Failed {
        /// How many there are.
        of: usize,
        /// What was expected and what was found, one for each that failed.
        failed: Vec<String>,
    },
    /// Someone asked to stop.
    #[error("cancelled")]
    Cancelled,
}

impl Explain for InspectError {
    fn class(&self) -> Class {
        match self {
            Self::Io(error) => class_of(error),
            Self::Input(error) => error.class(),
            Self::Tree(error) => error.class(),
            Self::Failed { .. } => Class::Check,
            Self::Cancelled => Class::Cancelled,
        }
    }
}

#[cfg(test)]
mod tests;

//! Expectations on an image or tree, and what any image is.

use std::{fs::File, io, time::Instant};

use bootway_exec::{Cx, MissingInput, RunError, StepOutput};
use bootway_plan::{
    Bytes, Class, EventKind, Explain, TreePath, Verdict,
    step::{self, Expect},
};
use camino::{Utf8Path, Utf8PathBuf};
use thiserror::Error;

use crate::{
    class::class_of,
    format::qcow2::{self, Qcow2Error},
    listing::{Found, Listing},
    oci::{Container, ContainerReport},
    tree::{self, TreeError},
};

mod container;
mod iso;
mod report;
mod runs;
mod show;
mod volume;

pub(crate) use report::look_into;
pub use report::{FsReport, ImageKind, ImageReport, PartitionReport, look};
pub use runs::container_commands;
pub(crate) use volume::Volume;

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
    let path = as_disk(&cx.input(&step.image)?.path, cx.scratch)?;
    let (report, container) = look_into(&path)?;
    let file =
        if fs_err::metadata(&path)?.is_dir() { None } else { Some(fs_err::File::open(&path)?.into_file()) };
    let mut failed = Vec::new();
    for (expect, number) in step.expect.iter().zip(1..) {
        if cx.cancel.is_cancelled() {
            return Err(InspectError::Cancelled);
        }
        let began = Instant::now();
        let seen = Seen { report: &report, file: file.as_ref(), container: container.as_ref() };
        let result = check(&seen, expect);
        let name = name(expect);
        let (verdict, detail) = match (result, &expect.runs, &container) {
            (Ok(detail), Some(runs), Some(container)) => {
                let (verdict, said) = runs::run(cx, container, runs, number)?;
                (verdict, if verdict == Verdict::Passed { format!("{detail}; {said}") } else { said })
            }
            (Ok(detail), ..) => (Verdict::Passed, detail),
            (Err(detail), ..) => (Verdict::Failed, detail),
        };
        if matches!(verdict, Verdict::Failed | Verdict::TimedOut) {
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

/// The disk in a qcow2 image, as a file in `dir`; everything else is what it is.
pub(crate) fn as_disk(path: &Utf8Path, dir: &Utf8Path) -> Result<Utf8PathBuf, InspectError> {
    if fs_err::metadata(path)?.is_dir() {
        return Ok(path.to_owned());
    }
    let Ok(Some(mut image)) = qcow2::open(path) else { return Ok(path.to_owned()) };
    let disk = dir.join(path.file_name().unwrap_or_default()).with_extension("raw");
    let unpacked = fs_err::File::create(&disk)?.into_file();
    match image.unpack(&unpacked) {
        Ok(()) => Ok(disk),
        Err(Qcow2Error::Io(error)) => Err(error.into()),
        // What it is is said by who looks at it.
        Err(Qcow2Error::Damaged(_) | Qcow2Error::Unsupported(_)) => {
            fs_err::remove_file(&disk)?;
            Ok(path.to_owned())
        }
    }
}

/// What an expectation expects, in a few words.
fn name(expect: &Expect) -> String {
    let mut words = Vec::new();
    words.extend(expect.partition.as_ref().map(|label| format!("partition {label}")));
    words.extend(expect.kind.as_ref().map(|kind| format!("is {kind}")));
    words.extend(expect.inside.as_ref().map(|path| format!("inside {path}")));
    words.extend(expect.fs.as_ref().map(|fs| format!("is {fs}")));
    words.extend(expect.min_size.map(|size| format!("has {size}")));
    words.extend(expect.path.as_ref().map(|path| format!("has {path}")));
    words.extend(expect.contains.as_ref().map(|text| format!("with {text:?}")));
    words.extend(expect.lacks.as_ref().map(|path| format!("lacks {path}")));
    words.extend(expect.boot.iter().map(|firmware| format!("boots with {firmware}")));
    words.extend(expect.hybrid.map(|hybrid| if hybrid { "is hybrid" } else { "is not hybrid" }.to_owned()));
    words.extend(container::names(expect));
    if words.is_empty() { "is there".to_owned() } else { words.join(", ") }
}

/// What expectations are held against.
struct Seen<'a> {
    report: &'a ImageReport,
    /// Nothing for a directory.
    file: Option<&'a File>,
    container: Option<&'a Container>,
}

/// What was seen, or what is wrong.
fn check(it: &Seen<'_>, expect: &Expect) -> Result<String, String> {
    let mut seen = match (&it.report.image, it.container) {
        (ImageKind::Container(report), Some(container)) => {
            return check_container(report, container, expect);
        }
        (ImageKind::Iso(iso), _) => iso::check(iso, expect)?,
        _ => iso::none(expect)?,
    };
    if let Some(what) = container::names(expect).first() {
        return Err(format!("`{what}` is about a container image: {}", short(it.report)));
    }
    let part = part(it.report, expect)?;
    let opened = |path: &Utf8Path, error: volume::Damaged| format!("`{path}` cannot be read: {error}");
    let mut volume = match it.file {
        None => Volume::Tree(&it.report.path),
        Some(_) if expect.inside.is_none() => return check_part(it, &part, expect, seen),
        Some(file) => Volume::open(&it.report.path, file, part.offset)
            .map_err(|error| opened(&it.report.path, error))?,
    };
    let Some(pattern) = &expect.inside else { return check_part(it, &part, expect, seen) };
    let (path, offset, size) = find_inside(&mut volume, &it.report.path, pattern)?;
    let file = fs_err::File::open(&path).map_err(|error| error.to_string())?.into_file();
    let fs = report::fs_at(&file, offset).map_err(|error| error.to_string())?;
    let image = match &fs {
        Some(fs) => ImageKind::FileSystem(fs.clone()),
        None => ImageKind::Unknown { starts_with: String::new() },
    };
    let report = ImageReport { path, size, image };
    let inner = Seen { report: &report, file: Some(&file), container: None };
    seen.push(pattern.clone());
    check_part(&inner, &Part { offset, size, fs: fs.as_ref() }, expect, seen)
}

/// Where in a file the volume is that an expectation is about.
struct Part<'a> {
    offset: u64,
    size: Bytes,
    fs: Option<&'a FsReport>,
}

fn part<'a>(report: &'a ImageReport, expect: &Expect) -> Result<Part<'a>, String> {
    let part = match (&report.image, &expect.partition) {
        (ImageKind::Disk { partitions, .. }, Some(label)) => {
            let partition = partitions.iter().find(|partition| partition.label == *label);
            let partition = partition.ok_or_else(|| {
                let labels: Vec<_> = partitions.iter().map(|partition| partition.label.as_str()).collect();
                format!("there is no such partition: the disk has `{}`", labels.join("`, `"))
            })?;
            if let Some(kind) = expect.kind.as_ref().filter(|kind| kind.as_str() != partition.kind) {
                return Err(format!("it is of type {}, and not {kind}", partition.kind));
            }
            Part { offset: partition.offset.get(), size: partition.size, fs: partition.fs.as_ref() }
        }
        (_, Some(_)) => return Err(format!("there is no partition table: {}", short(report))),
        (ImageKind::Disk { .. }, None)
            if expect.fs.is_some()
                || expect.path.is_some()
                || expect.lacks.is_some()
                || expect.inside.is_some() =>
        {
            return Err("this is a disk: say in which `partition`".to_owned());
        }
        (ImageKind::FileSystem(fs), None) => Part { offset: 0, size: report.size, fs: Some(fs) },
        (_, None) => Part { offset: 0, size: report.size, fs: None },
    };
    match (&expect.partition, &expect.kind) {
        (None, Some(kind)) => Err(format!("`type` {kind} is about a partition: say which `partition`")),
        _ => Ok(part),
    }
}

fn check_part(
    it: &Seen<'_>,
    part: &Part<'_>,
    expect: &Expect,
    mut seen: Vec<String>,
) -> Result<String, String> {
    let name = match (&it.report.image, part.fs) {
        (ImageKind::Iso(_), _) => Some("iso9660"),
        (_, fs) => fs.map(|fs| fs.name.as_str()),
    };
    seen.push(part.fs.map_or_else(|| part.size.human(), ToString::to_string));
    if let Some(wanted) = expect.fs.as_ref().filter(|wanted| name != Some(wanted)) {
        return Err(format!("found {}, and not {wanted}", name.unwrap_or("no file system that is known")));
    }
    if let Some(wanted) = expect.min_size.filter(|wanted| *wanted > part.size) {
        return Err(format!("it has {}, and not {}", part.size.human(), wanted.human()));
    }
    if expect.path.is_some() || expect.lacks.is_some() {
        let mut volume = match it.file {
            None => Volume::Tree(&it.report.path),
            Some(file) => Volume::open(&it.report.path, file, part.offset)
                .map_err(|error| format!("it cannot be read: {error}"))?,
        };
        seen.extend(check_paths(&mut volume, expect)?);
    }
    Ok(seen.join("; "))
}

/// The one file that `pattern` matches: the file on the host that has it, from which byte on, and its size.
fn find_inside(
    volume: &mut Volume<'_>,
    whole: &Utf8Path,
    pattern: &str,
) -> Result<(Utf8PathBuf, u64, Bytes), String> {
    let listing = volume.list().map_err(|error| format!("it cannot be read: {error}"))?;
    let found = matches(&listing, pattern)?;
    let [path] = &found[..] else {
        return Err(match found.len() {
            0 => format!("nothing matches `{pattern}` among {} files", listing.files.len()),
            _ => format!("`{pattern}` must match one file: {}", some_of(&found)),
        });
    };
    let place = listing.resolve(path).and_then(|place| listing.files.get_key_value(&place));
    let Some((place, Found::File { size, number })) = place else {
        return Err(format!("`{path}` is not a regular file"));
    };
    let (path, at) = volume.place(whole, place, *number).map_err(|error| error.to_string())?;
    Ok((path, at, Bytes::new(*size)))
}

/// Every image in the archive must be as expected.
fn check_container(
    report: &ContainerReport,
    container: &Container,
    expect: &Expect,
) -> Result<String, String> {
    if !report.flaws.is_empty() {
        return Err(format!("it is damaged: {}", report.flaws.join("; ")));
    }
    iso::none(expect)?;
    if expect.partition.is_some() || expect.kind.is_some() || expect.fs.is_some() || expect.inside.is_some() {
        return Err("this is a container image: it has neither partitions nor file systems".to_owned());
    }
    let mut seen = Vec::new();
    for (index, image) in report.images.iter().enumerate() {
        let named = |error: String| {
            if report.images.len() == 1 { error } else { format!("{}: {error}", image.platform) }
        };
        let size = Bytes::new(image.layers.iter().map(|layer| layer.size.get()).sum());
        if let Some(wanted) = expect.min_size.filter(|wanted| *wanted > size) {
            return Err(named(format!("it has {}, and not {}", size.human(), wanted.human())));
        }
        seen.push(format!("{}, {}", image.platform, size.human()));
        seen.extend(container::check(image, expect).map_err(named)?);
        if expect.path.is_some() || expect.lacks.is_some() {
            let mut volume = Volume::Container { container, image: index };
            seen.extend(check_paths(&mut volume, expect).map_err(named)?);
        }
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
    /// A container image cannot be handed to an engine.
    #[error("the image cannot be handed to an engine: {0}")]
    Container(String),
    /// A container engine.
    #[error(transparent)]
    Engine(RunError),
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

impl From<RunError> for InspectError {
    fn from(error: RunError) -> Self {
        if matches!(error, RunError::Cancelled) { Self::Cancelled } else { Self::Engine(error) }
    }
}

impl Explain for InspectError {
    fn class(&self) -> Class {
        match self {
            Self::Io(error) => class_of(error),
            Self::Input(error) => error.class(),
            Self::Tree(error) => error.class(),
            Self::Container(_) => Class::Step,
            Self::Engine(error) => error.class(),
            Self::Failed { .. } => Class::Check,
            Self::Cancelled => Class::Cancelled,
        }
    }
}

#[cfg(test)]
mod tests;

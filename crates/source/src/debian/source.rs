//! `debian-source`: a source package to a tree.

use bootway_exec::{Cx, StepOutput};
use bootway_plan::{TreePath, step};

use super::{
    DebianError, DebianFiles,
    lock::{LockFile, SourceRequest, SourceResolution},
    pool::{Pool, Pooled},
    resolve::{ResolveError, nearest},
    suite::Suite,
};
use crate::{
    archive::{Archive, Route, Selection, Unpacker},
    meter::Meter,
    store::Store,
    unpack::note_unused,
};
use index::Index;
use parts::{Part, Place, parts};

mod index;
mod parts;
#[cfg(test)]
mod tests;

/// Unpacks a Debian source package to the output `tree`: what its authors released, and in `debian` what Debian adds.
///
/// The first time, the name is resolved with the archive's signed index, and the answer is written to the lock file.
/// From then on exactly the locked files are used; when they are all in the cache, there is no network traffic at all.
/// Every file belongs to root, and is executable or not, whatever the archives say. Patches are not applied.
///
/// Source: `dpkg-source(1)`, "SOURCE PACKAGE FORMATS".
///
/// # Errors
///
/// If the archive cannot be reached or is not signed, the package is unknown, damaged or of another format, or the tree
/// cannot be written.
pub fn debian_source(
    cx: &Cx<'_>,
    step: &step::DebianSource,
    files: &DebianFiles<'_>,
) -> Result<Vec<StepOutput>, DebianError> {
    let selection = Selection::new(&step.keep, &step.drop)?;
    let store = Store::new(cx)?;
    let resolution = resolution(cx, step, files, &store)?;
    let parts = parts_of(step, &resolution)?;
    let archives = archives(cx, &store, step, &resolution, &parts)?;
    let meter = Meter::new(cx, Some(parts.iter().map(|part| part.file.size).sum()));
    let mut unpacker = Unpacker::new(cx, &selection)?.plain();
    // What is not in one directory of its archive, which is seen when it is read.
    let mut apart = Vec::new();
    let mut todo = 0;
    while let Some(part) = parts.get(todo) {
        let route = route(&mut unpacker, part.place, apart.contains(&todo));
        if unpacker.add_along(&archives[todo], route, &meter)? {
            todo += 1;
        } else {
            apart.push(todo);
            todo = 0;
            unpacker = unpacker.again()?;
        }
    }
    note_unused(cx, &selection);
    Ok(vec![unpacker.finish(&format!("{} {}", step.package, resolution.version))?])
}

/// Where a part goes; what it replaces is taken away, as by `dpkg-source`.
fn route(unpacker: &mut Unpacker<'_>, place: Place<'_>, is_apart: bool) -> Route {
    let directory = |name: &str| TreePath::root().join(name).expect("it is the name of a directory");
    let base = match place {
        Place::Source => TreePath::root(),
        Place::Component(name) => {
            unpacker.erase(&directory(name));
            directory(name)
        }
        Place::Debian => {
            unpacker.erase(&directory("debian"));
            return Route::to(TreePath::root());
        }
    };
    if is_apart { Route::to(base) } else { Route::below(base) }
}

/// Brings its archives into the cache.
pub(super) fn download(
    cx: &Cx<'_>,
    step: &step::DebianSource,
    files: &DebianFiles<'_>,
    store: &Store<'_>,
) -> Result<(), DebianError> {
    let resolution = resolution(cx, step, files, store)?;
    archives(cx, store, step, &resolution, &parts_of(step, &resolution)?)?;
    Ok(())
}

fn parts_of<'a>(
    step: &step::DebianSource,
    resolution: &'a SourceResolution,
) -> Result<Vec<Part<'a>>, DebianError> {
    let package = || format!("{} {}", step.package, resolution.version);
    parts(resolution).map_err(|reason| DebianError::Source { package: package(), reason })
}

fn resolution(
    cx: &Cx<'_>,
    step: &step::DebianSource,
    files: &DebianFiles<'_>,
    store: &Store<'_>,
) -> Result<SourceResolution, DebianError> {
    let path = files.lock_path(cx.plan_dir, step.into());
    let request = SourceRequest::of(step);
    if let Some(resolution) = LockFile::read(&path)?.source(&request) {
        return Ok(resolution.clone());
    }
    let suite = Suite::from(step.archive());
    let release = suite.release(cx, files.keyring, store)?;
    let indexes = suite.indexes(cx, &release, store)?;
    let mut index = Index::default();
    for text in &indexes {
        index.add(text);
    }
    let source = index.get(&step.package).ok_or_else(|| unknown(&index, step))?;
    let resolution = SourceResolution {
        request,
        date: release.date,
        version: source.version.to_owned(),
        format: source.format.to_owned(),
        files: source.files().map_err(|reason| suite.bad_index(reason))?,
    };
    LockFile::record_source(&path, resolution.clone())?;
    cx.note(format!("locked source package {} {} in `{path}`", step.package, resolution.version));
    Ok(resolution)
}

fn unknown(index: &Index<'_>, step: &step::DebianSource) -> ResolveError {
    let name = &step.package;
    let remedy = match index.of_binary(name) {
        Some(source) => format!("it is built from the source package `{source}`"),
        None => nearest(name, index.names()),
    };
    let place = format!("the sources of {} {}", step.suite, step.components.join(" "));
    ResolveError::Unknown { package: name.clone(), place, remedy }
}

/// Every part's archive, in their order.
fn archives(
    cx: &Cx<'_>,
    store: &Store<'_>,
    step: &step::DebianSource,
    resolution: &SourceResolution,
    parts: &[Part<'_>],
) -> Result<Vec<Archive>, DebianError> {
    let files = parts.iter().map(|part| part.file);
    let files: Vec<Pooled<'_>> =
        files.map(|file| Pooled { sha256: file.sha256, size: file.size, path: &file.path }).collect();
    let pool = Pool { mirror: &step.mirror, date: resolution.date.as_deref() };
    let paths = pool.download(cx, store, &files)?;
    let archive = |(part, path): (&Part<'_>, _)| Archive { path, label: part.file.name.clone() };
    Ok(parts.iter().zip(paths).map(archive).collect())
}

//! Archives of sources, for packages that are built from them.

use std::collections::BTreeSet;

use bootway_exec::{Cx, Input};
use bootway_plan::{Action, Digest, Failure, Source, step::Package};
use bootway_source::{unpack_to, unpacked_key};
use camino::Utf8Path;

use crate::{Loaded, Work, digests::Digests, dispatch::explain, stamp::Stamp};

/// Writes what `archive` has to `dir`, which is not there yet; only what matches `keep`, if that says something.
pub(crate) fn unpack(cx: &Cx<'_>, archive: &Input, keep: &[String], dir: &Utf8Path) -> Result<(), Failure> {
    explain(unpack_to(cx, archive, keep, dir))
}

/// The names of everything unpacked that packages of the plan are built from.
pub(crate) fn unpacked(loaded: &Loaded, work: &Work) -> BTreeSet<String> {
    let digests = Digests::load(work.cache().join("digests.json"));
    let key = |package: &Package| {
        let archive = archive(package.source.as_ref()?, loaded, work, &digests)?;
        Some(unpacked_key(archive, &package.keep).to_string())
    };
    let packages = loaded.plan.steps().filter_map(|step| match &step.action {
        Action::Package(package) => key(package),
        _ => None,
    });
    packages.collect()
}

/// The digest of an archive, if it can be known.
fn archive(source: &Source, loaded: &Loaded, work: &Work, digests: &Digests) -> Option<Digest> {
    match source {
        // What cannot be read is not known.
        Source::Path { path, .. } => digests.file(&loaded.path(path)).ok(),
        Source::Output { of, .. } => {
            if let Action::Fetch(fetch) = &loaded.plan.step(of.step.as_str())?.action {
                return Some(fetch.sha256);
            }
            let artifacts = Stamp::read(&work.out(&of.step))?.artifacts;
            let wanted = of.output.as_ref();
            artifacts.iter().find(|it| wanted.is_none_or(|name| it.output == *name)).map(|it| it.digest)
        }
    }
}

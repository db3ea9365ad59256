//! Archives of sources, for packages that are built from them.

use bootway_exec::{Cx, Input, Inputs};
use bootway_plan::{Failure, Source, step::Unpack};
use camino::Utf8Path;

use crate::dispatch::explain;

/// Writes what `archive` has to `dir`, which is not there yet; only what matches `keep`, if that says something.
pub(crate) fn unpack(cx: &Cx<'_>, archive: &Input, keep: &[String], dir: &Utf8Path) -> Result<(), Failure> {
    let from = Source::Path { path: archive.path.clone(), inside: None };
    let inputs = Inputs::from([(from.clone(), archive.clone())]);
    let aside = cx.scratch.join("unpacked");
    let step = Unpack { from, strip: 0, keep: keep.to_vec(), drop: Vec::new() };
    let outputs = explain(bootway_source::unpack(&Cx { inputs: &inputs, out: &aside, ..*cx }, &step))?;
    for output in outputs {
        fs_err::rename(output.path, dir).map_err(|error| {
            Failure::new(bootway_plan::Class::Environment, error.to_string()).because("cannot use the source")
        })?;
    }
    Ok(())
}

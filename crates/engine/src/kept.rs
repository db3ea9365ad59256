//! Earlier builds of a `nix-build`, which a plan may want to keep.

use bootway_exec::{Cmd, Cx};
use bootway_plan::{Action, Failure, NixConfig};
use camino::Utf8Path;

use crate::{Loaded, StepEnd, dispatch::explain};

/// Keeps what is in place of a step that has ended well, if the plan wants more than the last build to be kept.
pub(crate) fn keep(
    cx: &Cx<'_>,
    action: &Action,
    loaded: &Loaded,
    roots: &Utf8Path,
    end: &StepEnd,
) -> Result<(), Failure> {
    let Action::NixBuild(step) = action else { return Ok(()) };
    let kept_already = match end {
        StepEnd::Done(_) => false,
        // Of a run before the plan said so.
        StepEnd::Cached(_) => bootway_nix::is_kept_build(cx.placed, roots),
        StepEnd::Skipped(_) | StepEnd::Failed(_) => true,
    };
    if kept_already || !wants(loaded.plan.nix()) {
        return Ok(());
    }
    explain(bootway_nix::keep_build(cx, step, loaded.plan.nix(), roots))
        .map_err(|failure| failure.because("the build is good, and is not kept"))
}

/// The command that this runs after a build.
pub(crate) fn command(cx: &Cx<'_>, action: &Action, loaded: &Loaded, roots: &Utf8Path) -> Option<Cmd> {
    let Action::NixBuild(step) = action else { return None };
    let nix = loaded.plan.nix();
    wants(nix).then(|| bootway_nix::keep_build_command(cx, step, nix, roots))
}

fn wants(nix: &NixConfig) -> bool {
    nix.kept_builds() > 1
}

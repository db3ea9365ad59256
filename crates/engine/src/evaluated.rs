//! What a step of kind `nix-build` depends on: the derivation that its attribute evaluates to, and nothing else.

use bootway_exec::Cx;
use bootway_nix::Evaluated;
use bootway_plan::{Action, Failure};
use camino::Utf8Path;

use crate::{Loaded, dispatch::explain};

/// The derivation of a `nix-build`; `None` for every other kind.
pub(crate) fn evaluate(cx: &Cx<'_>, action: &Action, loaded: &Loaded) -> Result<Option<Evaluated>, Failure> {
    match action {
        Action::NixBuild(step) => explain(bootway_nix::evaluate(cx, step, loaded.plan.nix())).map(Some),
        _ => Ok(None),
    }
}

/// Whether the store, too, still holds what is linked to in `out`; true for every other kind.
pub(crate) fn is_kept(cx: &Cx<'_>, action: &Action, loaded: &Loaded, out: &Utf8Path) -> bool {
    match action {
        // A store that cannot be asked is asked again by the build, which says why.
        Action::NixBuild(step) => bootway_nix::is_kept(cx, step, loaded.plan.nix(), out).unwrap_or(false),
        _ => true,
    }
}

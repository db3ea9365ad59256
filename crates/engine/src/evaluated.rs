//! What a step of kind `nix-build` depends on: the derivation that its attribute evaluates to, and nothing else.

use std::thread;

use bootway_exec::Cx;
use bootway_nix::Evaluated;
use bootway_plan::{Action, Failure};
use camino::Utf8Path;

use crate::{Loaded, dispatch::explain};

/// What Nix says of a step before it is known whether it has to run.
#[derive(Debug)]
pub(crate) struct Known {
    /// The derivation of a `nix-build`; `None` for every other kind.
    pub(crate) evaluated: Option<Evaluated>,
    /// Whether the store, too, still holds what is linked to in the directory of outputs; true for every other kind.
    pub(crate) kept: bool,
}

/// Evaluates, and asks the store about `out` meanwhile: each takes as long as Nix takes to start, or longer.
pub(crate) fn ask(cx: &Cx<'_>, action: &Action, loaded: &Loaded, out: &Utf8Path) -> Result<Known, Failure> {
    let Action::NixBuild(step) = action else { return Ok(Known { evaluated: None, kept: true }) };
    let nix = loaded.plan.nix();
    thread::scope(|scope| {
        // A store that cannot be asked is asked again by the build, which says why.
        let kept = scope.spawn(|| bootway_nix::is_kept(cx, step, nix, out).unwrap_or(false));
        let evaluated = explain(bootway_nix::evaluate(cx, step, nix));
        let kept = kept.join().expect("asking a store does not panic");
        Ok(Known { evaluated: Some(evaluated?), kept })
    })
}

//! Whether roots of namespaces can be made up on this machine, found out by making one.

use std::sync::Mutex;

use bootway_exec::{Cx, Inputs, Runner, remove_all};
use bootway_plan::{Base, EventKind, Failure, Inside, Step, TreePath};
use camino::{Utf8Path, Utf8PathBuf};

use crate::{Loaded, Missing, Work, looking::looking};

/// How a root was made up, or why it could not be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RootProbe {
    /// Where it was tried: on the file system of the work directory.
    pub dir: Utf8PathBuf,
    /// What was done in another way than it is as a rule, and why.
    pub notes: Vec<String>,
    /// What stands in the way of any.
    pub missing: Option<Missing>,
}

/// Enters a root as the steps of namespaces would, one with nothing in it; `None` if no step runs in one.
///
/// What it is tried with is removed, and the work directory is not made.
pub fn probe_roots(
    loaded: &Loaded,
    steps: &[&Step],
    work: &Work,
    runner: &dyn Runner,
    helper: &[String],
) -> Option<RootProbe> {
    let in_roots: Vec<&&Step> =
        steps.iter().filter(|step| step.skipped.is_none() && step.has_layer()).collect();
    let step = in_roots.first()?;
    let inside = Inside {
        base: Base::Host,
        layers: Vec::new(),
        view: TreePath::root(),
        binds: Vec::new(),
        ..step.inside.clone()?
    };
    let dir = place(work);
    let scratch = dir.join(format!(".bootway-probe-{}", std::process::id()));
    let notes = Mutex::new(Vec::new());
    let hear = |kind: EventKind| {
        if let EventKind::Note { text } = kind {
            notes.lock().expect("nobody panics here").push(text);
        }
    };
    let entered = looking(step, loaded, work, runner, &Inputs::new(), |cx| {
        bootway_sysroot::probe(&Cx { helper, scratch: &scratch, inside: Some(&inside), emit: &hear, ..*cx })
    });
    // What cannot be removed could not be made either, which is said.
    let _ = remove_all(&scratch);
    let missing = entered.err().map(|error| {
        let failure = Failure::of(&error);
        let hint = failure.hint.map(|hint| format!("; {hint}")).unwrap_or_default();
        Missing {
            what: "a root for namespaces".to_owned(),
            needed_by: in_roots.iter().map(|step| format!("`{}`", step.id)).collect(),
            remedy: failure.chain.join(": ") + &hint,
            debian_package: None,
        }
    });
    Some(RootProbe { dir, notes: notes.into_inner().expect("nobody panics here"), missing })
}

/// Where the work directory is or will be.
fn place(work: &Work) -> Utf8PathBuf {
    let dir = work.root().ancestors().find(|dir| dir.exists()).unwrap_or(Utf8Path::new("/"));
    dir.to_owned()
}

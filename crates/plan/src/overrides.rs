//! Overrides: changes to a plan that are tried out before they are written into it.
//!
//! An override is an edit of the plan's text, so that what is tried is what `backport` writes: comments, order and
//! layout stay. Source of the format: the overrides of bootstrap-qcow2's sysroot builder, of which this is a superset.

use std::{collections::BTreeMap, fmt};

use serde_json::{Map, Value};
use thiserror::Error;

use crate::{Class, Explain};

mod apply;
mod diff;
mod document;
mod known;
mod read;
mod step;
mod write;

pub(crate) use document::{document_json as json_of_document, one_line as toml_value};
pub(crate) use read::words;

/// What is changed about a step or a package, by key, in the words of the plan.
pub(crate) type Changes = Map<String, Value>;

/// Changes to a plan, `PLAN.overrides.json`.
///
/// ```
/// use bootway_plan::Overrides;
///
/// let plan = "format = 1\nname = \"p\"\nepoch = 0\n\n[[phase]]\nname = \"one\"\n\n  # Says hello.\n  \
///             [[phase.step]]\n  name = \"hello\"\n  command = { argv = [\"echo\", \"hello\"] }\n";
/// let overrides = Overrides::from_json(
///     r#"{"phases": {"one": {"steps": {"hello": {"argv_add": ["you"]}}}}}"#,
/// )?;
/// assert!(overrides.apply(plan)?.contains("# Says hello.\n"));
/// assert!(overrides.apply(plan)?.contains(r#"argv = ["echo", "hello", "you"]"#));
/// # Ok::<(), bootway_plan::OverrideProblems>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overrides {
    /// Values of variables: over the environment and the default, below `--var`. [`Overrides::apply`] leaves them
    /// alone; they go into [`Vars::overrides`](crate::Vars::overrides).
    pub vars: BTreeMap<String, String>,
    pub(crate) env: Changes,
    pub(crate) env_unset: Vec<String>,
    pub(crate) packages: BTreeMap<String, Changes>,
    pub(crate) phases: BTreeMap<String, PhaseChanges>,
}

/// What is changed about a phase.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct PhaseChanges {
    /// `namespace`, `install-prefix`, `destdir`, `description`; `null` takes one away.
    pub(crate) set: Changes,
    pub(crate) env: Changes,
    pub(crate) env_unset: Vec<String>,
    /// Only these are built, in the order of the plan.
    pub(crate) packages: Option<Vec<String>>,
    pub(crate) extra_steps: Vec<Changes>,
    pub(crate) steps: BTreeMap<String, Changes>,
}

/// Everything that is wrong with overrides: at once, each with where it is in their file.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct OverrideProblems {
    /// How the user names the file of the overrides.
    pub file: Option<String>,
    /// At least one: where, and what.
    pub problems: Vec<(String, String)>,
}

impl OverrideProblems {
    /// The same, with the name of the file that every place is in.
    #[must_use]
    pub fn in_file(mut self, file: &str) -> Self {
        self.file = Some(file.to_owned());
        self
    }
}

impl fmt::Display for OverrideProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the overrides in `{}` cannot be used", self.file.as_deref().unwrap_or("overrides.json"))?;
        if self.problems.len() > 1 {
            write!(f, ": {} problems", self.problems.len())?;
        }
        self.problems.iter().try_for_each(|(place, what)| match place.as_str() {
            "" => write!(f, "\n{what}"),
            place => write!(f, "\n{place}: {what}"),
        })
    }
}

impl Explain for OverrideProblems {
    fn class(&self) -> Class {
        Class::Plan
    }

    fn hint(&self) -> Option<String> {
        Some(
            "nothing was run; `bootway overrides check` looks at them again, `--no-overrides` goes without"
                .to_owned(),
        )
    }
}

impl Overrides {
    /// Reads overrides from JSON; keys are in `snake_case` or in `kebab-case`.
    ///
    /// # Errors
    ///
    /// Everything that is no override, whatever the plan.
    pub fn from_json(text: &str) -> Result<Self, OverrideProblems> {
        read::read(text)
    }

    /// As JSON, in `snake_case`, with a line break at the end.
    pub fn to_json(&self) -> String {
        write::json(self)
    }

    /// Whether nothing is changed.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// How many values are changed.
    pub fn count(&self) -> usize {
        let of_phase = |it: &PhaseChanges| {
            it.set.len()
                + it.env.len()
                + it.env_unset.len()
                + usize::from(it.packages.is_some())
                + it.extra_steps.len()
                + it.steps.values().map(Map::len).sum::<usize>()
        };
        self.vars.len()
            + self.env.len()
            + self.env_unset.len()
            + self.packages.values().map(Map::len).sum::<usize>()
            + self.phases.values().map(of_phase).sum::<usize>()
    }

    /// The text of the plan with the overrides in it: comments, order and layout stay. Variables stay as they are.
    ///
    /// # Errors
    ///
    /// All phases, steps, packages, variables and keys that the plan does not have.
    pub fn apply(&self, plan: &str) -> Result<String, OverrideProblems> {
        apply::apply(self, plan, false)
    }

    /// The same, with the values of variables as their defaults: nothing is left to override.
    ///
    /// # Errors
    ///
    /// As of [`Overrides::apply`].
    pub fn backport(&self, plan: &str) -> Result<String, OverrideProblems> {
        apply::apply(self, plan, true)
    }

    /// The overrides that make the plan `new` of the plan `old`.
    ///
    /// # Errors
    ///
    /// Everything that overrides cannot say: a step that has moved, a phase that is gone.
    pub fn diff(old: &str, new: &str) -> Result<Self, OverrideProblems> {
        diff::diff(old, new)
    }
}

#[cfg(test)]
mod tests;

//! From names to packages.

use std::collections::{BTreeMap, VecDeque};

use bootway_plan::step;
use thiserror::Error;

use super::index::{Index, Package, Relation};

/// Names that are alike are worth mentioning from here on, on a scale to 1.
const ALIKE: f64 = 0.6;

/// The packages that `step` asks for, with what they depend on if it says so, by name.
///
/// As `apt` does without recommendations: of alternatives, the one that is chosen already, else the first that the
/// archive has. `Conflicts` and `Breaks` are not looked at: nothing is configured, only unpacked.
///
/// # Errors
///
/// If a package or a dependency is not in the archive.
pub(crate) fn resolve<'i, 'a>(
    index: &'i Index<'a>,
    step: &step::Debian,
) -> Result<BTreeMap<&'a str, &'i Package<'a>>, ResolveError> {
    let mut chosen = BTreeMap::new();
    let mut queue = VecDeque::new();
    for name in &step.packages {
        let package = index.get(name).ok_or_else(|| unknown(index, name, step))?;
        if chosen.insert(package.name, package).is_none() {
            queue.push_back(package);
        }
    }
    while let Some(package) = queue.pop_front().filter(|_| step.dependencies) {
        for group in package.needs() {
            if group.iter().any(|relation| is_met(index, &chosen, relation)) {
                continue;
            }
            let choice = group.iter().find_map(|relation| best(index, relation));
            let choice = choice.ok_or_else(|| ResolveError::Unmet {
                package: package.name.to_owned(),
                needs: group.iter().map(|relation| relation.name).collect::<Vec<_>>().join(" | "),
            })?;
            chosen.insert(choice.name, choice);
            queue.push_back(choice);
        }
    }
    Ok(chosen)
}

fn is_met(index: &Index<'_>, chosen: &BTreeMap<&str, &Package<'_>>, relation: &Relation<'_>) -> bool {
    chosen.get(relation.name).is_some_and(|package| package.satisfies(relation))
        || index.providers(relation).iter().any(|provider| chosen.contains_key(provider.name))
}

fn best<'i, 'a>(index: &'i Index<'a>, relation: &Relation<'_>) -> Option<&'i Package<'a>> {
    let real = index.get(relation.name).filter(|package| package.satisfies(relation));
    real.or_else(|| index.providers(relation).first().copied())
}

fn unknown(index: &Index<'_>, name: &str, step: &step::Debian) -> ResolveError {
    let virtual_of = index.providers(&Relation { name, version: None });
    let remedy = if virtual_of.is_empty() {
        nearest(name, index.names())
    } else {
        const SHOWN: usize = 5;
        let names: Vec<String> =
            virtual_of.iter().take(SHOWN).map(|package| format!("`{}`", package.name)).collect();
        format!("it is provided by {}", names.join(", "))
    };
    let place = format!("{} {} ({})", step.suite, step.components.join(" "), step.arch);
    ResolveError::Unknown { package: name.to_owned(), place, remedy }
}

/// What to say about a name that is none of `names`: the one that it is most like.
pub(crate) fn nearest<'n>(name: &str, names: impl Iterator<Item = &'n str>) -> String {
    let nearest = names.map(|other| (strsim::jaro_winkler(name, other), other));
    let nearest = nearest.max_by(|a, b| a.0.total_cmp(&b.0)).filter(|(alike, _)| *alike >= ALIKE);
    nearest.map_or_else(
        || "look for it at packages.debian.org".to_owned(),
        |(_, other)| format!("did you mean `{other}`?"),
    )
}

/// Names are not packages.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ResolveError {
    /// The archive has no such package.
    #[error("there is no package `{package}` in {place}: {remedy}")]
    Unknown {
        /// As it was given.
        package: String,
        /// Suite, components and architecture.
        place: String,
        /// The nearest name, or who provides it.
        remedy: String,
    },
    /// The archive lacks what a package depends on.
    #[error("`{package}` depends on `{needs}`, which is not there: add a component or a suite that has it")]
    Unmet {
        /// Which package.
        package: String,
        /// All alternatives.
        needs: String,
    },
}

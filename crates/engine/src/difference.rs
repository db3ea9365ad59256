//! What two builds of a plan made differently, and from what.

use std::collections::{BTreeMap, BTreeSet};

use bootway_exec::Cancel;
use bootway_image::{Difference, Side, What, compare};
use bootway_plan::{Artifact, Class, Explain as _, Failure, OutputName};
use camino::Utf8Path;
use serde::Serialize;

use crate::{digests::Digests, key::Key, stamp::Stamp};

/// What two builds made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct BuildDifference {
    /// How many outputs are the same.
    pub same: u64,
    /// The others: those that were made from the same, then the others, each by step and output.
    pub outputs: Vec<OutputDifference>,
}

/// An output that is not the same in two builds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct OutputDifference {
    /// The directory of the step that made it.
    pub step: String,
    /// Which of its outputs.
    pub output: OutputName,
    /// What the step was made from in one build and not in the other, by name; nothing if it was made from the same: then
    /// the step itself does not make the same twice.
    pub made_from: Vec<String>,
    /// What is in it that differs.
    pub differences: Vec<Difference>,
}

/// Whether builds have been made in this directory, so that [`difference`] can compare it with another.
pub fn is_work(dir: &Utf8Path) -> bool {
    dir.join("out").is_dir() && dir.join("runs").is_dir()
}

/// Compares everything that the steps in the work directory `a` made with what those in `b` made.
///
/// An output is the same if its digest is, and if it still is what was made.
///
/// # Errors
///
/// If one of them cannot be read, or `cancel` is.
pub fn difference(a: &Utf8Path, b: &Utf8Path, cancel: &Cancel) -> Result<BuildDifference, Failure> {
    let (of_a, of_b) = (Steps::read(a)?, Steps::read(b)?);
    let mut found = BuildDifference::default();
    let steps: BTreeSet<&String> = of_a.0.keys().chain(of_b.0.keys()).collect();
    for step in steps {
        let (in_a, in_b) = (of_a.0.get(step), of_b.0.get(step));
        let made_from = match (in_a, in_b) {
            (Some(a), Some(b)) => parts(&a.key, &b.key),
            _ => Vec::new(),
        };
        for name in names(in_a, in_b) {
            let differences =
                match (in_a.and_then(|it| it.output(&name)), in_b.and_then(|it| it.output(&name))) {
                    (Some(Ok(a)), Some(Ok(b))) if a.digest == b.digest => {
                        found.same += 1;
                        continue;
                    }
                    (Some(Ok(a)), Some(Ok(b))) => compare_outputs(a, b, cancel)?,
                    (Some(Err(why)), _) => {
                        vec![whole(What::Unread { why: format!("in the first build, {why}") })]
                    }
                    (_, Some(Err(why))) => {
                        vec![whole(What::Unread { why: format!("in the second build, {why}") })]
                    }
                    (Some(Ok(only)), None) => {
                        vec![whole(What::Only { side: Side::A, is: only.kind.to_string() })]
                    }
                    (None, Some(Ok(only))) => {
                        vec![whole(What::Only { side: Side::B, is: only.kind.to_string() })]
                    }
                    (None, None) => continue,
                };
            let made_from = made_from.clone();
            found.outputs.push(OutputDifference { step: step.clone(), output: name, made_from, differences });
        }
    }
    // What was made from the same comes first: the others may follow from it.
    found.outputs.sort_by_key(|it| !it.made_from.is_empty());
    Ok(found)
}

/// What differs between two outputs whose digests do.
fn compare_outputs(a: &Artifact, b: &Artifact, cancel: &Cancel) -> Result<Vec<Difference>, Failure> {
    match compare(&a.path, &b.path, cancel) {
        Ok(found) if found.is_same() => {
            let why = format!("nothing was found, and yet their digests are {} and {}", a.digest, b.digest);
            Ok(vec![whole(What::Unread { why })])
        }
        Ok(found) => Ok(found.differences),
        Err(error) if error.class() == Class::Cancelled => Err(Failure::of(&error)),
        Err(error) => Ok(vec![whole(What::Unread { why: error.to_string() })]),
    }
}

/// Of the output as a whole.
const fn whole(what: What) -> Difference {
    Difference { place: Vec::new(), what }
}

fn names(a: Option<&Made>, b: Option<&Made>) -> BTreeSet<OutputName> {
    a.into_iter().chain(b).flat_map(|made| &made.artifacts).map(|it| it.output.clone()).collect()
}

impl BuildDifference {
    /// Whether nothing differs.
    pub const fn is_same(&self) -> bool {
        self.outputs.is_empty()
    }
}

/// What a step made.
struct Made {
    key: Key,
    artifacts: Vec<Artifact>,
    /// Why it is no longer what was made.
    spoiled: Option<String>,
}

impl Made {
    /// An output of this name, if it is still what was made.
    fn output(&self, name: &OutputName) -> Option<Result<&Artifact, &str>> {
        let artifact = self.artifacts.iter().find(|it| it.output == *name)?;
        Some(self.spoiled.as_deref().map_or(Ok(artifact), Err))
    }
}

/// By the names of their directories.
struct Steps(BTreeMap<String, Made>);

impl Steps {
    fn read(root: &Utf8Path) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| Failure::new(Class::Environment, error.to_string());
        let digests = Digests::load(root.join("cache/digests.json"));
        let mut steps = BTreeMap::new();
        for entry in root.join("out").read_dir_utf8().map_err(failed)? {
            let dir = entry.map_err(failed)?.path().to_owned();
            let name = dir.file_name().unwrap_or_default().to_owned();
            // What is not whole has no stamp.
            let Some(stamp) = Stamp::read(&dir).filter(|_| !name.starts_with('.')) else { continue };
            let spoiled = stamp.verify(&dir, &digests).err();
            steps.insert(name, Made { artifacts: stamp.artifacts_in(&dir), key: stamp.key, spoiled });
        }
        if steps.is_empty() {
            let text = format!("no step is done in `{root}`");
            return Err(Failure::new(Class::Nothing, text).hint("build both plans to their end first"));
        }
        Ok(Self(steps))
    }
}

/// The parts that are not the same in both keys.
fn parts(a: &Key, b: &Key) -> Vec<String> {
    let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    names.into_iter().filter(|name| a.get(*name) != b.get(*name)).cloned().collect()
}

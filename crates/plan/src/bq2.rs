//! Plans of bootstrap-qcow2's sysroot builder, as plans of ours.
//!
//! Source: the original's plan JSON in formats 1 and 2. A step that builds becomes a `package`, one that writes becomes an
//! `edit`; what has no counterpart is an error that lists all of it.

use std::{collections::BTreeSet, fmt};

use serde::Deserialize;
use serde_json::{Map, Value, json};
use thiserror::Error;

use crate::{Class, Explain, Name, overrides::Changes};

mod export;
mod kept;
mod keys;
mod print;
mod shape;
mod step;

pub(crate) use kept::Kept;

pub use export::{Exported, export_bq2};

/// Everything about a plan of the original that bootway has no counterpart for.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct ImportProblems {
    /// At least one: where, and what.
    pub problems: Vec<(String, String)>,
}

impl fmt::Display for ImportProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        say(f, "this plan cannot be imported", &self.problems)
    }
}

/// Everything about a plan that the original has no counterpart for.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct ExportProblems {
    /// At least one: where, and what.
    pub problems: Vec<(String, String)>,
}

impl fmt::Display for ExportProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        say(f, "this plan cannot be exported", &self.problems)
    }
}

impl Explain for ExportProblems {
    fn class(&self) -> Class {
        Class::Plan
    }
}

fn say(f: &mut fmt::Formatter<'_>, head: &str, problems: &[(String, String)]) -> fmt::Result {
    f.write_str(head)?;
    if problems.len() > 1 {
        write!(f, ": {} problems", problems.len())?;
    }
    problems.iter().try_for_each(|(place, what)| match place.as_str() {
        "" => write!(f, "\n{what}"),
        place => write!(f, "\n{place}: {what}"),
    })
}

impl Explain for ImportProblems {
    fn class(&self) -> Class {
        Class::Plan
    }
}

/// A plan of the original.
#[derive(Clone, Debug, Deserialize)]
struct Plan {
    #[serde(default)]
    phases: Vec<Phase>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Phase {
    name: String,
    #[serde(default)]
    description: Option<String>,
    /// Of format 1.
    #[serde(default)]
    environment: Option<String>,
    /// Of format 2.
    #[serde(default)]
    namespace: Option<String>,
    #[serde(default)]
    install_prefix: Option<String>,
    #[serde(default)]
    destdir: Option<String>,
    #[serde(default)]
    env: Map<String, Value>,
    #[serde(default)]
    steps: Vec<Step>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct Step {
    name: String,
    strategy: String,
    workdir: Option<String>,
    build_dir: Option<String>,
    configure_flags: Vec<String>,
    patches: Vec<String>,
    install_prefix: Option<String>,
    destdir: Option<String>,
    env: Map<String, Value>,
    sources: Vec<Origin>,
    extract_sources: Vec<Origin>,
    packages: Vec<String>,
    content: Option<String>,
}

/// A source, or an archive of one.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct Origin {
    name: String,
    url: Option<String>,
    sha256: Option<String>,
    filename: Option<String>,
    build_directory: Option<String>,
}

/// What a plan of ours says instead of a step of the original.
#[derive(Clone, Debug)]
enum Instead {
    /// These keys of a step, in order.
    Step(Vec<(&'static str, Value)>),
    /// Nothing, for this reason.
    Nothing(&'static str),
}

/// What steps are converted with.
#[derive(Clone, Debug, Default)]
struct Place<'a> {
    namespace: Option<&'a str>,
    destdir: Option<&'a str>,
    /// What downloads and archives are called.
    origins: &'a [Origin],
}

/// The newest format of the original.
const NEWEST: u32 = 2;

/// What was read, and the plan that it is.
struct Imported {
    /// Of the plan, without what it has no word for.
    text: String,
    original: Value,
    format: u32,
}

/// Prints the text of a plan for the JSON of the original; it is called `name`.
///
/// Names that no step of ours may have are mapped: capitals to small letters, everything else to `-`, at most 40
/// characters. A name that is in several phases gets the phase before it. What the plan has no word for is in its table
/// `bq2`, for [`export_bq2`].
///
/// # Errors
///
/// If it is of no format that was ever current, and every step that has no counterpart.
pub fn import_bq2(text: &str, name: &Name) -> Result<String, ImportProblems> {
    let Imported { text, original, format } = imported(text, name)?;
    let unsaid = export::unsaid(&text, &original, format);
    Ok(text + &unsaid.map(|it| it.text()).unwrap_or_default())
}

fn imported(text: &str, name: &Name) -> Result<Imported, ImportProblems> {
    let one = |what: String| ImportProblems { problems: vec![(String::new(), what)] };
    let original: Value =
        serde_json::from_str(text).map_err(|error| one(format!("this is not JSON: {error}")))?;
    if original.is_array() {
        return Err(one(
            "Legacy build plan format is not supported: regenerate the plan with sysroot-builder".to_owned(),
        ));
    }
    let format = match original.get("format_version") {
        Some(format) if *format == 1 => 1,
        Some(format) if *format == 2 => 2,
        Some(format) => {
            return Err(one(format!("Unsupported build plan format version {format} (expected 1 or 2)")));
        }
        None => return Err(one("`format_version` is missing here: this is no build plan".to_owned())),
    };
    let value = crate::overrides::words(original.clone());
    let problems = keys::unknown_keys(&value);
    if !problems.is_empty() {
        return Err(ImportProblems { problems });
    }
    let plan: Plan = serde_json::from_value(literal(value))
        .map_err(|error| one(format!("this is no build plan: {error}")))?;
    let text = print::print(&plan, format, name)?;
    Ok(Imported { text, original, format })
}

/// A step of the original in the overrides of a phase, as a step of ours.
pub(crate) fn extra_step(
    step: &Changes,
    phase: &str,
    destdir: Option<&str>,
    namespace: Option<&str>,
    is_taken: impl Fn(&str) -> bool,
) -> Result<Changes, String> {
    let step: Step = serde_json::from_value(literal(Value::Object(step.clone())))
        .map_err(|error| format!("this is no step: {error}"))?;
    let place = Place { namespace, destdir, origins: &[] };
    let Instead::Step(entries) = step::convert(&step, &place)? else {
        return Err(format!("a step of strategy `{}` does nothing here: leave it out", step.strategy));
    };
    let short = name(&step.name);
    let long = name_in(phase, &step.name);
    // The same name in another phase is good in the original.
    let id = if is_taken(&short) && short != long && !is_taken(&long) { long } else { short };
    let entries = entries.into_iter().map(|(key, value)| (key.to_owned(), value));
    Ok(std::iter::once(("name".to_owned(), json!(id))).chain(entries).collect())
}

/// The same with `${` as a plan writes the characters themselves: the original has no variables.
fn literal(value: Value) -> Value {
    match value {
        Value::String(text) => text.replace("${", "$${").into(),
        Value::Array(all) => all.into_iter().map(literal).collect(),
        Value::Object(table) => {
            Value::Object(table.into_iter().map(|(key, it)| (key, literal(it))).collect())
        }
        other => other,
    }
}

/// The longest name there is.
const LONGEST: usize = 40;

/// `text` as a name of ours.
pub(crate) fn name(text: &str) -> String {
    let letter = |c: char| match c.to_ascii_lowercase() {
        c @ ('a'..='z' | '0'..='9' | '-' | '_') => c,
        _ => '-',
    };
    let name: String = text.chars().map(letter).take(LONGEST).collect();
    let name = name.trim_start_matches(['-', '_']);
    if name.is_empty() { "step".to_owned() } else { name.to_owned() }
}

/// The name of a step that is in several phases: cut where the phase is, as the ends of names tell stages apart.
pub(crate) fn name_in(phase: &str, text: &str) -> String {
    let (mut phase, text) = (name(phase), name(text));
    phase.truncate(LONGEST.saturating_sub(text.len() + 1));
    name(&format!("{phase}-{text}"))
}

/// A patch as a path of the plan.
pub(crate) fn patch(text: &str) -> String {
    let is_patch = matches!(text.rsplit_once('.'), Some((_, "patch" | "diff")));
    let is_path = ["./", "../", "/"].iter().any(|start| text.starts_with(start));
    if is_patch && !is_path && !text.contains(':') { format!("./{text}") } else { text.to_owned() }
}

/// Names that are in several phases.
fn shared(plan: &Plan) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let names = plan.phases.iter().flat_map(|phase| phase.steps.iter().map(|step| name(&step.name)));
    names.filter(|name| !seen.insert(name.clone())).collect()
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

fn text_of<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests;

//! What a build plan of the original says that a plan of ours has no word for.
//!
//! A plan that was imported has it as `[bq2]`, and the export says it again as long as it means this plan. Nothing else
//! reads it.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::{Map, Value};

use super::{NEWEST, list, print::line, text_of};

/// What the build plan said that a plan has no word for: `bootway plan --export bq2` says it again, and nothing else reads
/// it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "BuildPlan")]
pub(crate) struct Kept {
    /// The format of the build plan: 1 or 2.
    #[serde(deserialize_with = "known_format")]
    pub(super) format: u32,
    /// Phases that were said in other words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    phase: Vec<KeptPhase>,
}

fn known_format<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    match u32::deserialize(from)? {
        format @ 1..=NEWEST => Ok(format),
        format => Err(D::Error::custom(format!("the format of a build plan is 1 or {NEWEST}, not {format}"))),
    }
}

/// A phase of a build plan that was said in other words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "BuildPlanPhase")]
struct KeptPhase {
    /// Its name in the plan.
    name: String,
    /// Keys with other values, as JSON.
    #[serde(default, skip_serializing_if = "Said::is_empty")]
    says: Said,
    /// Keys that it did not have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    lacks: Vec<String>,
    /// Steps that were said in other words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    step: Vec<KeptStep>,
}

/// A step of a build plan that was said in other words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "BuildPlanStep")]
struct KeptStep {
    /// Its name in what is exported; of one that the plan has nothing for, only for people.
    name: String,
    /// Where it was among the steps, if the plan has nothing in its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at: Option<usize>,
    /// It was not there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    left_out: bool,
    /// Keys with other values, as JSON.
    #[serde(default, skip_serializing_if = "Said::is_empty")]
    says: Said,
    /// Keys that it did not have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    lacks: Vec<String>,
}

/// A JSON object, written as text: TOML has no `null`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
struct Said(Map<String, Value>);

impl Said {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl TryFrom<String> for Said {
    type Error = serde_json::Error;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        serde_json::from_str(&text).map(Self)
    }
}

impl From<Said> for String {
    fn from(said: Said) -> Self {
        Value::Object(said.0).to_string()
    }
}

/// What makes `original` of `ours`, but for the key `except`: keys with other values, and keys that it lacks.
fn between(ours: &Value, original: &Value, except: &str) -> (Said, Vec<String>) {
    let (Some(ours), Some(original)) = (ours.as_object(), original.as_object()) else {
        return (Said::default(), Vec::new());
    };
    let other = original.iter().filter(|(key, value)| *key != except && ours.get(*key) != Some(value));
    let lacks = ours.keys().filter(|key| !original.contains_key(*key)).cloned().collect();
    (Said(other.map(|(key, value)| (key.clone(), value.clone())).collect()), lacks)
}

/// The way back.
fn change(what: &mut Value, says: &Said, lacks: &[String]) {
    let Some(table) = what.as_object_mut() else { return };
    table.retain(|key, _| !lacks.contains(key));
    table.extend(says.0.clone());
}

impl Kept {
    /// What must be said besides `ours`, which is what is exported, so that it is `original`.
    pub(super) fn between(ours: &Value, original: &Value, format: u32) -> Self {
        let phases = list(ours, "phases").zip(list(original, "phases"));
        let phases = phases.map(|(ours, original)| KeptPhase::between(ours, original));
        Self { format, phase: phases.filter(|it| !it.is_empty()).collect() }
    }

    /// Where each part of it belongs: the format, and then each phase and its steps.
    pub(super) fn places(&self) -> Vec<String> {
        let of_phase = |phase: &KeptPhase| {
            let steps = phase.step.iter().map(|step| format!("{}: {}", phase.name, step.name));
            std::iter::once(phase.name.clone()).chain(steps).collect::<Vec<_>>()
        };
        std::iter::once(String::new()).chain(self.phase.iter().flat_map(of_phase)).collect()
    }

    /// Says those parts again that are `meant`.
    pub(super) fn say(&self, plan: &mut Value, meant: &[bool]) {
        let mut meant = meant.iter().skip(1).copied();
        for kept in &self.phase {
            let is_meant = meant.next().unwrap_or_default();
            let steps: Vec<_> = kept.step.iter().zip(meant.by_ref().take(kept.step.len())).collect();
            let phases = plan["phases"].as_array_mut().into_iter().flatten();
            let Some(phase) = phases.into_iter().find(|it| text_of(it, "name") == kept.name) else {
                continue;
            };
            if let Some(of_phase) = phase.get_mut("steps").and_then(Value::as_array_mut) {
                say_steps(of_phase, steps.iter().filter(|(_, is_meant)| *is_meant).map(|(step, _)| *step));
            }
            if is_meant {
                change(phase, &kept.says, &kept.lacks);
            }
        }
    }

    /// The end of a plan; nothing if there is nothing to be said.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        if self.format == NEWEST && self.phase.is_empty() {
            return text;
        }
        text += &format!(
            "\n# What the build plan said that a plan has no word for. Only `bootway plan --export bq2` reads it.\n\
             [bq2]\nformat = {}\n",
            self.format
        );
        for phase in &self.phase {
            text += &written("\n[[bq2.phase]]\n", "", &serde_json::json!(phase));
            for step in &phase.step {
                text += &written("\n  [[bq2.phase.step]]\n", "  ", &serde_json::json!(step));
            }
        }
        text
    }
}

fn written(head: &str, indent: &str, table: &Value) -> String {
    let keys = ["name", "at", "left-out", "lacks", "says"].into_iter();
    let lines = keys.filter_map(|key| Some(format!("{indent}{key} = {}\n", line(table.get(key)?))));
    std::iter::once(head.to_owned()).chain(lines).collect()
}

impl KeptPhase {
    fn between(ours: &Value, original: &Value) -> Self {
        let steps: Vec<&Value> = list(ours, "steps").collect();
        let (mut next, mut kept) = (0, Vec::new());
        for (at, said) in list(original, "steps").enumerate() {
            let Some(more) = steps[next..].iter().position(|it| is_same(it, said)) else {
                kept.push(KeptStep::whole(at, said));
                continue;
            };
            kept.extend(steps[next..next + more].iter().map(|it| KeptStep::left_out(it)));
            next += more + 1;
            let ours = steps[next - 1];
            let (says, lacks) = between(ours, said, "");
            if !says.is_empty() || !lacks.is_empty() {
                let name = text_of(ours, "name").to_owned();
                kept.push(KeptStep { name, at: None, left_out: false, says, lacks });
            }
        }
        kept.extend(steps[next..].iter().map(|it| KeptStep::left_out(it)));
        let (says, lacks) = between(ours, original, "steps");
        Self { name: text_of(ours, "name").to_owned(), says, lacks, step: kept }
    }

    fn is_empty(&self) -> bool {
        self.says.is_empty() && self.lacks.is_empty() && self.step.is_empty()
    }
}

impl KeptStep {
    /// One that the plan has nothing for.
    fn whole(at: usize, said: &Value) -> Self {
        let (says, lacks) = between(&Value::Object(Map::new()), said, "");
        Self { name: text_of(said, "name").to_owned(), at: Some(at), left_out: false, says, lacks }
    }

    /// One that was not there.
    fn left_out(ours: &Value) -> Self {
        let name = text_of(ours, "name").to_owned();
        Self { name, at: None, left_out: true, says: Said::default(), lacks: Vec::new() }
    }
}

/// Whether what is exported as `ours` was `said`.
fn is_same(ours: &Value, said: &Value) -> bool {
    const DOWNLOAD: &str = "download-sources";
    let downloads = |it| text_of(it, "strategy") == DOWNLOAD;
    if downloads(ours) || downloads(said) {
        return downloads(ours) && downloads(said);
    }
    text_of(ours, "name") == super::name(text_of(said, "name"))
}

/// Changes and leaves out steps, and then puts those in that are missing.
fn say_steps<'a>(steps: &mut Vec<Value>, kept: impl Iterator<Item = &'a KeptStep>) {
    let (mut others, missing): (Vec<_>, Vec<_>) = kept.partition(|it| it.at.is_none());
    steps.retain_mut(|step| {
        let Some(n) = others.iter().position(|it| it.name == text_of(step, "name")) else { return true };
        let kept = others.remove(n);
        change(step, &kept.says, &kept.lacks);
        !kept.left_out
    });
    for kept in missing {
        let mut step = Value::Object(Map::new());
        change(&mut step, &kept.says, &kept.lacks);
        steps.insert(kept.at.unwrap_or_default().min(steps.len()), step);
    }
}

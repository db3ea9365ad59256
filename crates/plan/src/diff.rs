//! What changed between two plans, or between two states of one.

use std::{collections::BTreeSet, fmt};

use serde::Serialize;
use serde_json::Value;

use crate::Plan;

/// What changed from one plan to another, in the order of the plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PlanDiff {
    /// Nothing, if the plans are the same.
    pub changes: Vec<Change>,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Change {
    /// A step is new.
    Added {
        /// Which, and what it does.
        step: String,
    },
    /// A step is gone.
    Removed {
        /// Which.
        step: String,
    },
    /// The steps that both have come in another order.
    Reordered {
        /// The new order.
        order: Vec<String>,
    },
    /// A value is another.
    Changed {
        /// Where: `step root: tree.edits[2].text`.
        place: String,
        /// What it was; `None` if it was not there.
        before: Option<Value>,
        /// What it is; `None` if it is gone.
        after: Option<Value>,
    },
}

impl PlanDiff {
    /// What changed from `before` to `after`.
    pub fn between(before: &Plan, after: &Plan) -> Self {
        let mut changes = Vec::new();
        let (old, new) = (head(before), head(after));
        compare("plan", &old, &new, &mut changes);
        let ids = |plan: &Plan| plan.steps().map(|step| step.id.to_string()).collect::<Vec<_>>();
        let (old_ids, new_ids) = (ids(before), ids(after));
        for step in before.steps().filter(|step| !new_ids.contains(&step.id.to_string())) {
            changes.push(Change::Removed { step: step.id.to_string() });
        }
        let common = |ids: &[String], other: &[String]| {
            ids.iter().filter(|id| other.contains(id)).cloned().collect::<Vec<_>>()
        };
        let order = common(&new_ids, &old_ids);
        if order != common(&old_ids, &new_ids) {
            changes.push(Change::Reordered { order });
        }
        for step in after.steps() {
            match before.step(step.id.as_str()) {
                None => {
                    let what = format!("{} ({}: {})", step.id, step.action.kind(), step.action.summary());
                    changes.push(Change::Added { step: what });
                }
                Some(old) => {
                    let value =
                        |step| flatten_step(serde_json::to_value(step).expect("a step is plain data"));
                    compare(&format!("step {}: ", step.id), &value(old), &value(step), &mut changes);
                }
            }
        }
        Self { changes }
    }

    /// Whether nothing changed.
    pub const fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
}

/// A plan without its steps.
fn head(plan: &Plan) -> Value {
    let mut value = serde_json::to_value(plan).expect("a plan is plain data");
    if let Some(table) = value.as_object_mut() {
        table.remove("phases");
    }
    value
}

/// A step as it is written: its kind is a key of its own.
fn flatten_step(mut step: Value) -> Value {
    if let Some(table) = step.as_object_mut() {
        table.remove("id");
        table.remove("needs"); // They follow from the parameters.
        for nested in ["action", "common"] {
            if let Some(Value::Object(inner)) = table.remove(nested) {
                table.extend(inner);
            }
        }
        table.remove("name");
    }
    step
}

fn compare(place: &str, before: &Value, after: &Value, changes: &mut Vec<Change>) {
    let join = |place: &str, key: &str| {
        if place.ends_with(": ") { format!("{place}{key}") } else { format!("{place}.{key}") }
    };
    match (before, after) {
        (Value::Object(old), Value::Object(new)) => {
            let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            for key in keys {
                pair(join(place, key), old.get(key), new.get(key), changes);
            }
        }
        (Value::Array(old), Value::Array(new)) => {
            for n in 0..old.len().max(new.len()) {
                pair(format!("{place}[{n}]"), old.get(n), new.get(n), changes);
            }
        }
        _ if before == after => (),
        _ => changes.push(Change::Changed {
            place: place.to_owned(),
            before: Some(before.clone()),
            after: Some(after.clone()),
        }),
    }
}

fn pair(place: String, before: Option<&Value>, after: Option<&Value>, changes: &mut Vec<Change>) {
    match (before, after) {
        (Some(before), Some(after)) => compare(&place, before, after, changes),
        _ => changes.push(Change::Changed { place, before: before.cloned(), after: after.cloned() }),
    }
}

impl fmt::Display for PlanDiff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.changes.iter().try_for_each(|change| match change {
            Change::Added { step } => writeln!(f, "+ step {step}"),
            Change::Removed { step } => writeln!(f, "- step {step}"),
            Change::Reordered { order } => writeln!(f, "~ order: {}", order.join(", ")),
            Change::Changed { place, before: Some(before), after: Some(after) } => {
                writeln!(f, "~ {place}: {before} → {after}")
            }
            Change::Changed { place, before: None, after } => {
                writeln!(f, "+ {place}: {}", after.as_ref().unwrap_or(&Value::Null))
            }
            Change::Changed { place, before: Some(before), after: None } => {
                writeln!(f, "- {place}: {before}")
            }
        })
    }
}

//! Conditions on variables.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    nearest::unknown,
    node::{Node, Value},
    problem::Collector,
};

/// A condition on variables; exactly one of `var`, `all`, `any`, `not`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct When {
    /// The variable that `is`, `in` and `set` are about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub var: Option<String>,
    /// It has this value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is: Option<String>,
    /// It has one of these values.
    #[serde(rename = "in", skip_serializing_if = "Option::is_none")]
    pub one_of: Option<Vec<String>>,
    /// It is not empty (`true`), or it is (`false`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set: Option<bool>,
    /// All of these hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub all: Vec<Self>,
    /// One of these holds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub any: Vec<Self>,
    /// This does not hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not: Option<Box<Self>>,
}

impl When {
    /// Whether it holds, and why (not); an unknown variable is an error.
    pub(crate) fn holds(&self, values: &BTreeMap<String, String>) -> Result<(bool, String), String> {
        let given = [self.var.is_some(), !self.all.is_empty(), !self.any.is_empty(), self.not.is_some()];
        if given.iter().filter(|it| **it).count() != 1 {
            return Err("a condition has exactly one of `var`, `all`, `any` and `not`".to_owned());
        }
        if let Some(inner) = &self.not {
            let (holds, why) = inner.holds(values)?;
            return Ok((!holds, why));
        }
        if let Some(var) = &self.var {
            return self.about(var, values);
        }
        let all = self.any.is_empty();
        let mut reasons = Vec::new();
        for inner in if all { &self.all } else { &self.any } {
            let (holds, why) = inner.holds(values)?;
            if holds != all {
                return Ok((holds, why));
            }
            reasons.push(why);
        }
        Ok((all, reasons.join(", ")))
    }

    fn about(&self, var: &str, values: &BTreeMap<String, String>) -> Result<(bool, String), String> {
        let Some(value) = values.get(var) else {
            let known: Vec<&str> = values.keys().map(String::as_str).collect();
            return Err(unknown("variable", var, &known));
        };
        let holds = match (&self.is, &self.one_of, self.set) {
            (Some(wanted), None, None) => value == wanted,
            (None, Some(wanted), None) => wanted.contains(value),
            (None, None, Some(set)) => value.is_empty() != set,
            _ => return Err("a condition on a variable has exactly one of `is`, `in` and `set`".to_owned()),
        };
        let why =
            if value.is_empty() { format!("`{var}` is not set") } else { format!("`{var}` is `{value}`") };
        Ok((holds, why))
    }
}

/// Takes the elements of every array below `node` out whose `when` does not hold, and the `when` of those that stay.
///
/// An element is a table; one that is written as a single key (`{ mkdir = { … } }`) has its `when` beside that key.
pub(crate) fn prune(node: &mut Node, values: &BTreeMap<String, String>, problems: &mut Collector<'_>) {
    match &mut node.value {
        Value::Table(entries) => entries.iter_mut().for_each(|(_, node)| prune(node, values, problems)),
        Value::Array(elements) => {
            elements.retain_mut(|element| stays(element, values, problems));
            for node in elements {
                prune(node, values, problems);
            }
        }
        _ => (),
    }
}

/// Whether an element of an array stays; one whose condition cannot be read does.
fn stays(element: &mut Node, values: &BTreeMap<String, String>, problems: &mut Collector<'_>) -> bool {
    let Some((_, condition)) = element.take("when") else { return true };
    let mut errors = Vec::new();
    let when: Option<When> = condition.read(&mut errors);
    problems.add_errors(errors, &condition.span);
    match when.map(|when| when.holds(values)) {
        None => true,
        Some(Ok((holds, _))) => holds,
        Some(Err(reason)) => {
            problems.add(&condition.span, format!("this `when`: {reason}"));
            true
        }
    }
}

//! Variables of a plan: what they may be, what they are, and where that came from.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    nearest::unknown,
    node::{Key, Node, Value},
    problem::Collector,
    spec::When,
    step::BUILD_PLACES,
    target::PLACES,
};

/// What the world outside the plan says about its variables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vars {
    /// From the command line: `--var NAME=VALUE`. Beats everything.
    pub given: BTreeMap<String, String>,
    /// From overrides. Beats the environment and the default.
    pub overrides: BTreeMap<String, String>,
    /// The environment; used for variables that name one.
    pub env: BTreeMap<String, String>,
}

/// A variable, `[vars.NAME]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct VarSpec {
    /// What it holds.
    #[serde(rename = "type")]
    pub kind: VarType,
    /// Its value when nobody says another.
    pub default: Option<VarValue>,
    /// The values it may have.
    pub choices: Vec<String>,
    /// The environment variable that it is read from.
    pub env: Option<String>,
    /// The least value of an `int`.
    pub min: Option<i64>,
    /// The largest value of an `int`.
    pub max: Option<i64>,
    /// Whether its value is kept out of logs and reports.
    pub secret: bool,
    /// What it is for.
    pub help: Option<String>,
    /// It is `true` where this holds, else `false`; nobody else says its value. Conditions on variables that come
    /// later in the file are errors.
    pub when: Option<When>,
}

/// What a variable holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum VarType {
    /// Text.
    #[default]
    String,
    /// A whole number.
    Int,
    /// `true` or `false`.
    Bool,
    /// A path; relative ones start at the plan's directory.
    Path,
}

/// A value as it may be written in TOML.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum VarValue {
    /// Text.
    String(String),
    /// A whole number.
    Int(i64),
    /// `true` or `false`.
    Bool(bool),
}

impl<'de> Deserialize<'de> for VarValue {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = VarValue;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a string, a whole number, or true or false")
            }

            fn visit_str<E>(self, text: &str) -> Result<VarValue, E> {
                Ok(VarValue::String(text.to_owned()))
            }

            fn visit_i64<E>(self, number: i64) -> Result<VarValue, E> {
                Ok(VarValue::Int(number))
            }

            fn visit_bool<E>(self, truth: bool) -> Result<VarValue, E> {
                Ok(VarValue::Bool(truth))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl std::fmt::Display for VarValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::String(text) => f.write_str(text),
            Self::Int(number) => number.fmt(f),
            Self::Bool(truth) => truth.fmt(f),
        }
    }
}

/// A variable with its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Var {
    /// As text; `[secret]` when it is one.
    pub value: String,
    /// `--var`, `overrides`, `env NAME`, or `default`.
    pub from: String,
}

/// The variables of a plan after everybody has spoken.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bound {
    /// Real values.
    pub(crate) values: BTreeMap<String, String>,
    /// Of those that are no text.
    pub(crate) kinds: BTreeMap<String, VarType>,
    /// What may be shown.
    pub(crate) shown: BTreeMap<String, Var>,
    /// Values that must not be.
    pub(crate) secrets: Vec<String>,
}

/// Gives every variable of the `[vars]` table its value.
pub(crate) fn bind(table: Option<&Node>, vars: &Vars, problems: &mut Collector<'_>) -> Bound {
    let mut bound = Bound::default();
    let entries = table.map_or(&[][..], Node::entries);
    let known: Vec<&str> = entries.iter().map(|(key, _)| key.text.as_str()).collect();
    for name in vars.given.keys().filter(|name| !known.contains(&name.as_str())) {
        let span = table.map_or(0..0, |node| node.span.clone());
        problems.add(&span, format!("{}, in `--var {name}=…`", unknown("variable", name, &known)));
    }
    for (key, node) in entries {
        let mut errors = Vec::new();
        let spec: Option<VarSpec> = node.read(&mut errors);
        problems.add_errors(errors, &node.span);
        let Some(spec) = spec else {
            bound.values.insert(key.text.clone(), String::new()); // Its uses are not a second problem.
            continue;
        };
        if let Some(when) = &spec.when {
            bound.follow(key, when, &spec, vars, problems);
            continue;
        }
        let from_env = || {
            let name = spec.env.as_ref()?;
            Some((vars.env.get(name).filter(|value| !value.is_empty())?.clone(), format!("env {name}")))
        };
        let given = vars.given.get(&key.text).map(|value| (value.clone(), "--var".to_owned()));
        let overridden = || Some((vars.overrides.get(&key.text)?.clone(), "overrides".to_owned()));
        let default = || Some((spec.default.as_ref()?.to_string(), "default".to_owned()));
        let Some((value, from)) = given.or_else(overridden).or_else(from_env).or_else(default) else {
            let env = spec.env.as_ref().map(|env| format!(" or set {env}")).unwrap_or_default();
            problems.add(&key.span, format!("`{0}` has no value: pass `--var {0}=…`{env}", key.text));
            bound.values.insert(key.text.clone(), String::new());
            continue;
        };
        if let Err(reason) = spec.check(&value) {
            let shown = if spec.secret { "[secret]" } else { &value };
            problems.add(&key.span, format!("`{}` cannot be `{shown}` (from {from}): {reason}", key.text));
        }
        if spec.secret {
            bound.secrets.push(value.clone());
        }
        let value = if spec.kind == VarType::Path { as_path(value) } else { value };
        let shown = if spec.secret { "[secret]".to_owned() } else { value.clone() };
        bound.shown.insert(key.text.clone(), Var { value: shown, from });
        bound.kinds.insert(key.text.clone(), spec.kind);
        bound.values.insert(key.text.clone(), value);
    }
    bound
}

impl Bound {
    /// `${epoch}` and `${epoch-date}`: the plan's time in seconds, and as ISO 8601 has it. A variable of that name wins.
    pub(crate) fn add_epoch(&mut self, epoch: u64) {
        for (name, value) in [("epoch", epoch.to_string()), ("epoch-date", iso_8601(epoch))] {
            self.values.entry(name.to_owned()).or_insert(value);
        }
    }

    /// Gives a variable the truth of its condition.
    fn follow(&mut self, key: &Key, when: &When, spec: &VarSpec, vars: &Vars, problems: &mut Collector<'_>) {
        if *spec != (VarSpec { when: spec.when.clone(), help: spec.help.clone(), ..VarSpec::default() }) {
            let message = "a variable with a `when` is true or false by it: it has nothing else but `help`";
            problems.add(&key.span, message);
        }
        if vars.given.contains_key(&key.text) {
            let message = format!("`{}` follows from other variables: give those with `--var`", key.text);
            problems.add(&key.span, message);
        }
        let value = match when.holds(&self.values) {
            Ok((holds, why)) => {
                self.shown.insert(key.text.clone(), Var { value: holds.to_string(), from: why });
                holds
            }
            Err(reason) => {
                problems.add(
                    &key.span,
                    format!("the `when` of `{}`: {reason}; what it is about is written before it", key.text),
                );
                false
            }
        };
        self.kinds.insert(key.text.clone(), VarType::Bool);
        self.values.insert(key.text.clone(), value.to_string());
    }
}

/// `2025-01-01T00:00:00Z`.
///
/// Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
fn iso_8601(seconds: u64) -> String {
    let days = seconds / 86_400 + 719_468; // Since 0000-03-01.
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// As a reference says it: a relative path begins with `./` or `../`.
fn as_path(value: String) -> String {
    let is_reference = ["/", "./", "../"].iter().any(|start| value.starts_with(start));
    if value.is_empty() || value == "." || value == ".." || is_reference {
        value
    } else {
        format!("./{value}")
    }
}

impl VarSpec {
    fn check(&self, value: &str) -> Result<(), String> {
        if !self.choices.is_empty() && !self.choices.iter().any(|it| it == value) {
            return Err(format!("use one of {}", self.choices.join(", ")));
        }
        match self.kind {
            VarType::String | VarType::Path => Ok(()),
            VarType::Bool if value == "true" || value == "false" => Ok(()),
            VarType::Bool => Err("use `true` or `false`".to_owned()),
            VarType::Int => {
                let number: i64 = value.parse().map_err(|_| "use a whole number".to_owned())?;
                match (self.min, self.max) {
                    (Some(min), _) if number < min => Err(format!("use at least {min}")),
                    (_, Some(max)) if number > max => Err(format!("use at most {max}")),
                    _ => Ok(()),
                }
            }
        }
    }
}

/// Places that a running step fills in; they are no variables.
const BUILT_IN: [&str; 4] = ["plan-dir", "out", "scratch", "port"];

/// Who looks at a text again once its variables are filled in.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Later<'a> {
    /// Nobody.
    Nothing,
    /// A running `command`: the built-in places and the steps of the plan stay.
    Command(&'a [String]),
    /// A package that is built: what is known when it is stays.
    Package,
    /// A target: what a profile and a variant fill in stays, and no variable takes its place.
    Target,
}

impl Later<'_> {
    /// Whether `${NAME}` stays although it may be a variable.
    fn claims(self, name: &str) -> bool {
        matches!(self, Self::Target) && PLACES.contains(&name)
    }

    /// Whether `${NAME}`, which is no variable, stays.
    fn knows(self, name: &str) -> bool {
        match self {
            Self::Nothing => false,
            Self::Command(steps) => stays(name, steps),
            Self::Package => BUILD_PLACES.contains(&name),
            Self::Target => PLACES.contains(&name),
        }
    }
}

/// Replaces `${NAME}` in every string of `node`; `$${` stands for `${`.
///
/// A string that is nothing but a variable of type `int` or `bool` becomes a number or a truth value.
pub(crate) fn substitute(node: &mut Node, bound: &Bound, later: Later<'_>, problems: &mut Collector<'_>) {
    node.each_string(&mut |span, text| {
        if let Some(value) = whole(text, bound, later) {
            return Some(value);
        }
        let mut result = String::new();
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            if rest[..at].ends_with('$') {
                // A text that is looked at once more keeps its mark until then.
                result += if matches!(later, Later::Nothing) { &rest[..at - 1] } else { &rest[..at] };
                result += "${";
                rest = &rest[at + 2..];
                continue;
            }
            let Some(end) = rest[at..].find('}').map(|end| at + end) else {
                problems
                    .add(span, "`${` without `}`: close it, or write `$${` for the characters themselves");
                return None;
            };
            result += &rest[..at];
            let name = &rest[at + 2..end];
            match bound.values.get(name) {
                Some(value) if !later.claims(name) => result += value,
                _ if later.knows(name) => result += &rest[at..=end],
                _ => problems.add(span, unknown_place(name, bound, later)),
            }
            rest = &rest[end + 1..];
        }
        result += rest;
        Some(Value::String(result))
    });
}

/// The number or truth value that `text` stands for, if it is nothing but such a variable.
fn whole(text: &str, bound: &Bound, later: Later<'_>) -> Option<Value> {
    let name = text.strip_prefix("${")?.strip_suffix('}')?;
    if later.claims(name) {
        return None;
    }
    let value = bound.values.get(name)?;
    match bound.kinds.get(name)? {
        VarType::Int => value.parse().ok().map(Value::Integer),
        VarType::Bool => value.parse().ok().map(Value::Bool),
        VarType::String | VarType::Path => None,
    }
}

fn stays(name: &str, steps: &[String]) -> bool {
    let step = name.split(['/', ':']).next().unwrap_or_default();
    BUILT_IN.contains(&name) || name.contains('/') || steps.iter().any(|it| it == step)
}

fn unknown_place(name: &str, bound: &Bound, later: Later<'_>) -> String {
    if matches!(later, Later::Nothing) && BUILT_IN.contains(&name) {
        return format!("`${{{name}}}` is known only to `command` steps: write a relative path instead");
    }
    let places: &[&str] = if matches!(later, Later::Target) { &PLACES } else { &[] };
    let known: Vec<&str> = bound.values.keys().map(String::as_str).chain(places.iter().copied()).collect();
    unknown("variable", name, &known)
}

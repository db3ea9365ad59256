//! The keys that a plan has, from the types that read it.

use std::collections::BTreeMap;

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Map, Value};

use crate::{Action, spec::StepCommon, step::PackageChange, step::PackageSpec};

/// What can be changed about something: each key, and whether its value is a list.
#[derive(Clone, Debug, Default)]
pub(super) struct Keys(BTreeMap<String, bool>);

impl Keys {
    /// Of `[package.NAME]`.
    pub(super) fn of_package() -> Self {
        of::<PackageSpec>()
    }

    /// Of `[phase.package.NAME]`.
    pub(super) fn of_change() -> Self {
        of::<PackageChange>()
    }

    /// Of any step, without its parameters and its name.
    pub(super) fn of_step() -> Self {
        let mut keys = of::<StepCommon>();
        keys.0.remove("name");
        keys
    }

    /// Of the parameters of a kind of step; none if it has no parameters of the usual sort.
    pub(super) fn of_kind(kind: &str) -> Self {
        let mut generator = SchemaSettings::draft07().into_generator();
        let schema = Action::json_schema(&mut generator).to_value();
        let variants = schema["oneOf"].as_array();
        let found = variants.into_iter().flatten().find_map(|it| it["properties"].get(kind));
        let reference = found.and_then(|it| it["$ref"].as_str()).and_then(|it| it.rsplit('/').next());
        let definition = reference.and_then(|name| generator.definitions().get(name));
        definition.or(found).map(properties).unwrap_or_default()
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    pub(super) fn is_list(&self, key: &str) -> bool {
        self.0.get(key).copied().unwrap_or_default()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

fn of<T: JsonSchema>() -> Keys {
    let mut generator = SchemaSettings::draft07().into_generator();
    properties(&T::json_schema(&mut generator).to_value())
}

fn properties(schema: &Value) -> Keys {
    let empty = Map::new();
    let is_list = |schema: &Value| match &schema["type"] {
        Value::String(kind) => kind == "array",
        Value::Array(kinds) => kinds.iter().any(|kind| kind == "array"),
        _ => false,
    };
    let table = schema["properties"].as_object().unwrap_or(&empty);
    Keys(table.iter().map(|(key, schema)| (key.clone(), is_list(schema))).collect())
}

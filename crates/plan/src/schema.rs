//! The JSON Schema of `plan.toml`, for editors.

use std::collections::BTreeSet;

use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use crate::{
    Action,
    spec::{Head, PhaseHead, StepCommon},
    vars::VarSpec,
};

/// The JSON Schema of a plan, made from the types that read it.
///
/// Where the reader looks closer than a schema can (references, rules between parameters), the schema is the looser.
pub fn json_schema() -> Value {
    let mut generator = SchemaSettings::draft07().into_generator();
    let mut step = object::<StepCommon>(&mut generator);
    let variants = generator.subschema_for::<Action>();
    let mut kinds = Vec::new();
    let definitions = generator.definitions().clone();
    let action = resolve(variants.as_value(), &definitions);
    for variant in action["oneOf"].as_array().into_iter().flatten() {
        for (kind, schema) in variant["properties"].as_object().into_iter().flatten() {
            let mut schema = schema.clone();
            if let (Some(text), Some(table)) = (variant.get("description"), schema.as_object_mut()) {
                // A schema beside a reference is ignored in draft 7, so the reference is wrapped.
                if let Some(reference) = table.remove("$ref") {
                    table.insert("allOf".into(), json!([{ "$ref": reference }]));
                }
                table.insert("description".into(), text.clone());
            }
            step["properties"][kind] = schema;
            kinds.push(json!({ "required": [kind] }));
        }
    }
    step["oneOf"] = Value::Array(kinds);
    let mut phase = object::<PhaseHead>(&mut generator);
    phase["properties"]["step"] =
        json!({ "type": "array", "items": { "$ref": "#/definitions/Step" }, "description": "In order." });
    let mut plan = object::<Head>(&mut generator);
    let var = generator.subschema_for::<VarSpec>();
    plan["properties"]["format"] = json!({ "const": 1, "description": "The format of the plan." });
    plan["properties"]["vars"] = json!({ "type": "object", "additionalProperties": var, "description": "Variables, used as `${name}`." });
    plan["properties"]["phase"] =
        json!({ "type": "array", "items": { "$ref": "#/definitions/Phase" }, "description": "In order." });
    let mut definitions = generator.take_definitions(true);
    definitions.remove("Action");
    allow_when(&step, &mut definitions);
    definitions.insert("Step".into(), step);
    definitions.insert("Phase".into(), phase);
    plan["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    plan["title"] = json!("bootway plan, format 1");
    plan["definitions"] = Value::Object(definitions);
    plan
}

/// Lets every table in an array of a step's parameters have a `when`.
fn allow_when(step: &Value, definitions: &mut Map<String, Value>) {
    let mut elements = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let kinds: Vec<&Value> = Action::KINDS.iter().map(|kind| &step["properties"][kind]).collect();
    for kind in kinds {
        each_element(kind, false, definitions, &mut seen, &mut elements);
    }
    let when = json!({ "$ref": "#/definitions/When" });
    let when = json!({ "allOf": [when], "description": "Whether it is there at all; without it, it is." });
    for name in elements {
        let Some(definition) = definitions.get_mut(&name) else { continue };
        let one_of = definition["oneOf"].as_array().is_some();
        if one_of {
            for variant in definition["oneOf"].as_array_mut().into_iter().flatten() {
                if variant.get("properties").is_some() {
                    variant["properties"]["when"] = when.clone();
                }
            }
        } else if definition.get("properties").is_some() {
            definition["properties"]["when"] = when.clone();
        }
    }
}

/// Finds the names of all definitions that are elements of arrays below `schema`.
fn each_element(
    schema: &Value,
    element: bool,
    definitions: &Map<String, Value>,
    seen: &mut BTreeSet<(String, bool)>,
    elements: &mut BTreeSet<String>,
) {
    match schema {
        Value::Array(all) => {
            for it in all {
                each_element(it, element, definitions, seen, elements);
            }
        }
        Value::Object(table) => {
            if let Some(name) = schema["$ref"].as_str().and_then(|it| it.rsplit('/').next()) {
                if seen.insert((name.to_owned(), element)) {
                    if element {
                        elements.insert(name.to_owned());
                    }
                    each_element(resolve(schema, definitions), element, definitions, seen, elements);
                }
                return;
            }
            for (key, value) in table {
                // What says the same thing in other words is still an element; what is inside of it is not.
                let element = key == "items" || element && matches!(key.as_str(), "anyOf" | "allOf");
                each_element(value, element, definitions, seen, elements);
            }
        }
        _ => (),
    }
}

fn object<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    let mut schema = T::json_schema(generator).to_value();
    if schema.get("properties").is_none() {
        schema["properties"] = Value::Object(Map::new());
    }
    schema
}

/// What a reference of the form `#/definitions/NAME` refers to.
fn resolve<'a>(schema: &'a Value, definitions: &'a Map<String, Value>) -> &'a Value {
    let name = schema["$ref"].as_str().and_then(|it| it.rsplit('/').next());
    name.and_then(|name| definitions.get(name)).unwrap_or(schema)
}

//! The plan format for people, from its JSON Schema.

use std::fmt::Write as _;

use bootway_plan::Action;
use serde_json::{Map, Value};

/// `docs/plan-format.md`.
pub(crate) fn markdown(schema: &Value) -> String {
    let format =
        Format { definitions: schema["definitions"].as_object().expect("the schema has definitions") };
    let mut text = String::from(HEAD);
    text += "\n## The plan\n\n";
    text += &format.table(schema, &[]);
    text += "\n## A phase\n\n`[[phase]]`\n\n";
    text += &format.table(format.definition("Phase"), &[]);
    text += "\n## Any step\n\n`[[phase.step]]`: these keys, and exactly one that is its kind.\n\n";
    text += &format.table(format.definition("Step"), &Action::KINDS);
    text += "\n## Kinds of steps\n";
    let mut shown = vec!["Phase".to_owned(), "Step".to_owned()];
    for kind in Action::KINDS {
        let name = format.name_of(&format.definition("Step")["properties"][kind]);
        text += &format.section(&format!("`{kind}`"), &name);
        shown.push(name);
    }
    text += "\n## What values look like\n";
    for name in format.definitions.keys().filter(|name| !shown.contains(name)) {
        text += &format.section(&words(name), name);
    }
    text
}

const HEAD: &str = r#"# The plan format

This page is made from the types by `cargo xtask docs`, as is `schemas/plan.schema.json`, which editors understand:
begin a plan with `#:schema PATH/plan.schema.json`.

A plan is strict TOML: an unknown key is an error, and so is everything else that would otherwise be ignored.
A step's kind is its key (`squashfs = { … }`), so that an error points at the value itself. Edges come from references
(`packages:boot/vmlinuz-*`), so the graph cannot disagree with the data.

A table in any list of a step's parameters (a partition, a part of a tree, an edit, an expectation, a check) may have a
[`when`](#when): if it does not hold, the plan is read as if the table were not there. An edit has it beside its one key:

```toml
edits = [
  { truncate = { path = "etc/machine-id" } },
  { symlink = { path = "sbin/init", target = "/init" }, when = { var = "init", set = true } },
]
```

A condition that is needed in many places gets a name: `[vars.inject]` with `when = { var = "drivers", in = ["inject",
"both"] }` is `true` or `false`, and `"${inject}"` may stand where a truth value is wanted.

`${epoch}` is the plan's time in seconds, `${epoch-date}` the same as `2025-01-01T00:00:00Z`. The value of a variable of
type `path` needs no `./` before it.
"#;

struct Format<'a> {
    definitions: &'a Map<String, Value>,
}

impl Format<'_> {
    fn definition(&self, name: &str) -> &Value {
        self.definitions.get(name).unwrap_or(&Value::Null)
    }

    fn section(&self, title: &str, name: &str) -> String {
        let definition = self.definition(name);
        let mut text = format!("\n### {title}\n\n{}\n", prose(definition));
        let table = self.table(definition, &[]);
        if !table.is_empty() {
            text += &format!("\n{table}");
        }
        text + &self.alternatives(definition)
    }

    /// The keys of a table, one a row.
    fn table(&self, schema: &Value, without: &[&str]) -> String {
        let Some(properties) = schema["properties"].as_object() else { return String::new() };
        let required: Vec<&str> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let mut text = String::from("| key | value | unless said | what it is |\n|---|---|---|---|\n");
        for (key, value) in properties.iter().filter(|(key, _)| !without.contains(&key.as_str())) {
            let default =
                if required.contains(&key.as_str()) { "required".to_owned() } else { default(value) };
            writeln!(text, "| `{key}` | {} | {default} | {} |", self.kind(value), one_line(&prose(value)))
                .expect("writing to a string does not fail");
        }
        text
    }

    /// The words or shapes that a value may have.
    fn alternatives(&self, definition: &Value) -> String {
        let all = ["oneOf", "anyOf"].iter().find_map(|key| definition[*key].as_array());
        let rows: Vec<String> = all.into_iter().flatten().filter_map(|it| self.alternative(it)).collect();
        if rows.is_empty() { String::new() } else { format!("\n{}\n", rows.join("\n")) }
    }

    fn alternative(&self, schema: &Value) -> Option<String> {
        let meaning = one_line(&prose(schema));
        if let Some(word) = schema.get("const") {
            return Some(format!("- `{}`: {meaning}", word.to_string().trim_matches('"')));
        }
        // What every variant may have besides is said once, in the text at the top.
        let mut properties = schema["properties"].as_object().into_iter().flatten();
        if let Some((key, value)) = properties.find(|(key, _)| *key != "when") {
            let parameters = value["properties"].as_object().into_iter().flatten();
            let parameters: Vec<String> = parameters
                .map(|(name, it)| format!("`{name}` ({})", one_line(&prose(it)).trim_end_matches('.')))
                .collect();
            return Some(format!("- `{key} = {{ … }}`: {meaning} {}", parameters.join(", ")));
        }
        schema.get("description").map(|_| format!("- {}: {meaning}", self.kind(schema)))
    }

    /// What may be written, in a few words, with a link to more.
    fn kind(&self, value: &Value) -> String {
        let name = self.name_of(value);
        if !name.is_empty() {
            return format!("[{}](#{})", words(&name), anchor(&name));
        }
        let any_of = value["anyOf"].as_array();
        if let Some(real) = any_of.into_iter().flatten().find(|it| it["type"] != "null") {
            return self.kind(real);
        }
        let kind = value["type"].as_array().map_or(&value["type"], |kinds| &kinds[0]);
        match kind.as_str() {
            Some("array") => format!("list of {}", self.kind(&value["items"])),
            Some("object") if value["additionalProperties"].is_object() => {
                format!("table of {}", self.kind(&value["additionalProperties"]))
            }
            Some("object") => "table".to_owned(),
            Some("integer") => "whole number".to_owned(),
            Some("boolean") => "`true` or `false`".to_owned(),
            Some("string") => "text".to_owned(),
            Some("null") => "`\"fit\"`".to_owned(),
            _ => value.get("const").map_or_else(String::new, |word| format!("`{word}`")),
        }
    }

    /// The definition that `value` refers to; empty if it does not.
    fn name_of(&self, value: &Value) -> String {
        let direct = value["$ref"].as_str().or_else(|| value["allOf"][0]["$ref"].as_str());
        let name = direct.and_then(|it| it.rsplit('/').next()).unwrap_or_default();
        if self.definitions.contains_key(name) { name.to_owned() } else { String::new() }
    }
}

fn default(value: &Value) -> String {
    match value.get("default") {
        None | Some(Value::Null) => String::new(),
        Some(Value::Array(list)) if list.is_empty() => String::new(),
        Some(Value::Object(table)) if table.is_empty() => String::new(),
        Some(Value::String(text)) if text.is_empty() => String::new(),
        Some(other) => format!("`{other}`"),
    }
}

/// The description, without examples, which are for programmers.
fn prose(schema: &Value) -> String {
    let text = schema["description"].as_str().unwrap_or_default();
    text.split("```").step_by(2).collect::<String>().trim().to_owned()
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

/// `FsKind` as people say it: `fs kind`.
fn words(name: &str) -> String {
    let mut text = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !text.is_empty() {
            text.push(' ');
        }
        text.push(c.to_ascii_lowercase());
    }
    text
}

/// The anchor that Markdown gives to the heading of a definition.
fn anchor(name: &str) -> String {
    match name {
        "Phase" => "a-phase".to_owned(),
        "Step" => "any-step".to_owned(),
        _ => words(name).replace(' ', "-"),
    }
}

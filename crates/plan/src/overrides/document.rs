//! Edits of TOML that leave everything else as it was written.

use serde_json::Value as Json;
use toml_edit::{Array, InlineTable, Item, RawString, Table, TableLike, Value};

/// A value of JSON as TOML writes it.
///
/// # Errors
///
/// `null`, which is only good for taking something away.
pub(super) fn value(json: &Json) -> Result<Value, String> {
    Ok(match json {
        Json::Null => return Err("`null` takes a whole value away, and is none itself".to_owned()),
        Json::Bool(truth) => (*truth).into(),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => number.into(),
            (None, Some(number)) => number.into(),
            (None, None) => return Err(format!("`{number}` does not fit into 64 bits")),
        },
        Json::String(text) => in_one_line(text),
        Json::Array(all) => Value::Array(all.iter().map(value).collect::<Result<Array, _>>()?),
        Json::Object(table) => {
            let entries = table.iter().map(|(key, it)| Ok((key.as_str(), value(it)?)));
            Value::InlineTable(
                entries.collect::<Result<Vec<_>, String>>()?.into_iter().collect::<InlineTable>(),
            )
        }
    })
}

/// A text with its line breaks escaped: a table in one line has no room for others.
fn in_one_line(text: &str) -> Value {
    let plain = Value::from(text);
    if !text.contains(['\n', '\r']) {
        return plain;
    }
    // JSON escapes everything that TOML does, but for one character.
    let escaped = Json::from(text).to_string().replace('\u{7f}', "\\u007F");
    escaped.parse().unwrap_or(plain)
}

/// A value of JSON in a line of TOML.
pub(crate) fn one_line(json: &Json) -> Result<String, String> {
    value(json).map(|it| it.to_string())
}

/// A whole document of TOML as JSON.
pub(crate) fn document_json(document: &toml_edit::DocumentMut) -> Json {
    json(document.as_item())
}

/// The other way around.
pub(super) fn json(item: &Item) -> Json {
    match item {
        Item::None => Json::Null,
        Item::Value(value) => json_of(value),
        Item::Table(table) => {
            Json::Object(table.iter().map(|(key, item)| (key.to_owned(), json(item))).collect())
        }
        Item::ArrayOfTables(all) => {
            Json::Array(all.iter().map(|table| json(&Item::Table(table.clone()))).collect())
        }
    }
}

fn json_of(value: &Value) -> Json {
    match value {
        Value::String(it) => it.value().as_str().into(),
        Value::Integer(it) => (*it.value()).into(),
        Value::Float(it) => (*it.value()).into(),
        Value::Boolean(it) => (*it.value()).into(),
        Value::Datetime(it) => it.value().to_string().into(),
        Value::Array(all) => all.iter().map(json_of).collect(),
        Value::InlineTable(table) => {
            Json::Object(table.iter().map(|(key, it)| (key.to_owned(), json_of(it))).collect())
        }
    }
}

/// Gives `key` a value: in the place of the one that it has, or behind the others.
pub(super) fn set(item: &mut Item, key: &str, new: Value) {
    if let Item::Value(Value::InlineTable(inline)) = item {
        let old = inline.get(key).map(|it| it.decor().clone());
        let one_line = is_one_line(inline);
        inline.insert(key, new);
        match (old, inline.get_mut(key)) {
            (Some(old), Some(new)) => *new.decor_mut() = old,
            _ if one_line => inline.fmt(),
            _ => (),
        }
        return;
    }
    let of_empty =
        item.as_table().filter(|table| table.is_empty()).map(|table| last_line(table.decor().prefix()));
    let Some(table) = item.as_table_like_mut() else { return };
    if let Some(Item::Value(old)) = table.get_mut(key) {
        let decor = old.decor().clone();
        *old = new;
        *old.decor_mut() = decor;
        return;
    }
    let indent = of_empty.unwrap_or_else(|| indent_of(table));
    table.insert(key, Item::Value(new));
    if let Some(mut key) = table.key_mut(key) {
        key.leaf_decor_mut().set_prefix(indent);
    }
}

/// Takes `key` away, if it is there.
pub(super) fn remove(item: &mut Item, key: &str) {
    if let Item::Value(Value::InlineTable(inline)) = item {
        let one_line = is_one_line(inline);
        if inline.remove(key).is_some() && one_line {
            inline.fmt();
        }
    } else if let Some(table) = item.as_table_like_mut() {
        table.remove(key);
    }
}

/// What is under `key`; a table without entries, if nothing is.
pub(super) fn inner<'a>(item: &'a mut Item, key: &str) -> Option<&'a mut Item> {
    if item.as_table_like()?.get(key).is_none() {
        set(item, key, Value::InlineTable(InlineTable::new()));
    }
    item.as_table_like_mut()?.get_mut(key)
}

/// Adds a value to the end of a list, in the layout of the others; `false` if there is no list.
pub(super) fn push(item: &mut Item, key: &str, new: Value) -> bool {
    if item.as_table_like().is_some_and(|table| table.get(key).is_none()) {
        set(item, key, Value::Array(Array::new()));
    }
    let found = item.as_table_like_mut().and_then(|table| table.get_mut(key));
    match found {
        Some(Item::Value(Value::Array(array))) => push_to(array, new),
        Some(Item::ArrayOfTables(all)) => match new {
            Value::InlineTable(inline) => all.push(inline.into_table()),
            _ => return false,
        },
        _ => return false,
    }
    true
}

fn push_to(array: &mut Array, mut new: Value) {
    let last = array.len().checked_sub(1).and_then(|last| array.get(last));
    let indent = last.and_then(|last| {
        let prefix = last.decor().prefix()?.as_str()?;
        Some(prefix[prefix.rfind('\n')?..].to_owned())
    });
    let Some(indent) = indent else {
        array.push(new);
        return;
    };
    let last = array.len() - 1;
    if let Some(last) = array.get_mut(last) {
        // What stands between the last value and the bracket is the bracket's.
        let suffix = last.decor().suffix().and_then(|it| it.as_str()).unwrap_or_default().to_owned();
        last.decor_mut().set_suffix("");
        if !array.trailing_comma() && array.trailing().as_str().unwrap_or_default().is_empty() {
            array.set_trailing(suffix);
        }
    }
    let mut prefix = indent.clone();
    let trailing = array.trailing().as_str().unwrap_or_default().to_owned();
    if let (true, Some(at)) = (trailing.contains('#'), trailing.rfind('\n')) {
        // A comment behind the last comma stays where it is.
        prefix = format!("{}{indent}", &trailing[..at]);
        array.set_trailing(&trailing[at..]);
    }
    *new.decor_mut() = toml_edit::Decor::new(prefix, "");
    array.push_formatted(new);
}

/// Takes the values that are `wanted` away out of a list.
pub(super) fn drop_from(item: &mut Item, key: &str, wanted: &[Json]) {
    let found = item.as_table_like_mut().and_then(|table| table.get_mut(key));
    if let Some(Item::Value(Value::Array(array))) = found {
        let place = array.get(0).and_then(|it| it.decor().prefix()).cloned();
        array.retain(|it| !wanted.contains(&json_of(it)));
        // Whatever is first now stands where the first one stood.
        if let Some(first) = array.get_mut(0) {
            first.decor_mut().set_prefix(place.unwrap_or_default());
        }
    }
}

/// Merges texts into the table under `key`; `null` takes one away.
pub(super) fn merge(
    item: &mut Item,
    key: &str,
    entries: &serde_json::Map<String, Json>,
) -> Result<(), String> {
    for (name, json) in entries {
        if json.is_null() {
            if let Some(inner) = item.as_table_like_mut().and_then(|table| table.get_mut(key)) {
                remove(inner, name);
            }
            continue;
        }
        let new = value(json)?;
        if let Some(inner) = inner(item, key) {
            set(inner, name, new);
        }
    }
    Ok(())
}

/// A table for `[phase.KEY.NAME]`, before the steps of the phase and indented as they are.
pub(super) fn sub_table<'a>(phase: &'a mut Table, key: &str, name: &str) -> Option<&'a mut Item> {
    let indent = indent_of_steps(phase);
    if !phase.contains_key(key) {
        let mut all = Table::new();
        all.set_implicit(true);
        phase.insert(key, Item::Table(all));
        // Steps come last: a table is written behind the one that is before it.
        phase.sort_values_by(|a, _, b, _| (a.get() == "step").cmp(&(b.get() == "step")));
    }
    let all = phase.get_mut(key)?;
    if all.as_table_like()?.get(name).is_none() {
        match all {
            Item::Table(all) => {
                let mut table = Table::new();
                table.decor_mut().set_prefix(format!("\n{indent}"));
                all.insert(name, Item::Table(table));
            }
            _ => set(all, name, Value::InlineTable(InlineTable::new())),
        }
    }
    all.as_table_like_mut()?.get_mut(name)
}

/// The white space before the keys of a table.
fn indent_of(table: &dyn TableLike) -> String {
    let key = table.iter().filter(|(_, item)| item.is_value()).find_map(|(name, _)| table.key(name));
    last_line(key.and_then(|key| key.leaf_decor().prefix()))
}

/// The white space before the steps of a phase.
pub(super) fn indent_of_steps(phase: &Table) -> String {
    let first = phase.get("step").and_then(Item::as_array_of_tables).and_then(|it| it.get(0));
    last_line(first.and_then(|step| step.decor().prefix()))
}

fn last_line(prefix: Option<&RawString>) -> String {
    let prefix = prefix.and_then(RawString::as_str).unwrap_or_default();
    prefix[prefix.rfind('\n').map_or(0, |at| at + 1)..].to_owned()
}

/// Edits a table as an item.
pub(super) fn edit<T>(table: &mut Table, change: impl FnOnce(&mut Item) -> T) -> T {
    let mut item = Item::Table(std::mem::take(table));
    let result = change(&mut item);
    if let Item::Table(changed) = item {
        *table = changed;
    }
    result
}

fn is_one_line(table: &InlineTable) -> bool {
    !table.to_string().contains('\n')
}

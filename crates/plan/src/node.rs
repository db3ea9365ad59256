//! A document whose every value knows where it was written.
//!
//! `toml`'s own deserializer stops at the first error. This one reads from a tree that can be mended: after an error
//! the offending entry is taken out and the rest is read again, so that a person sees everything that is wrong with
//! a plan at once. It also keeps what serde knows (the field, and which were expected) instead of a sentence, so that
//! the nearest match can be offered.

use std::ops::Range;

use serde::de::{self, IntoDeserializer as _};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::nearest::nearest;

mod error;

pub(crate) use error::{ErrorKind, NodeError};

/// Bytes of the source text.
pub(crate) type Span = Range<usize>;

/// A value and where it is written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) span: Span,
    pub(crate) value: Value,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Table(Vec<(Key, Node)>),
    Array(Vec<Node>),
    String(String),
    Integer(i64),
    Float(f64),
    Bool(bool),
    Datetime(String),
}

/// The key of an entry and where it is written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Key {
    pub(crate) span: Span,
    pub(crate) text: String,
}

impl Node {
    /// Reads TOML; a syntax error comes back with its place.
    pub(crate) fn from_toml(text: &str) -> Result<Self, (Span, String)> {
        let table = DeTable::parse(text)
            .map_err(|error| (error.span().unwrap_or(0..text.len()), error.message().to_owned()))?;
        let span = table.span();
        Ok(Self { span, value: Value::Table(entries(table.into_inner())?) })
    }

    /// An entry of a table.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        self.entries().iter().find(|(it, _)| it.text == key).map(|(_, node)| node)
    }

    /// The entries of a table; of anything else, none.
    pub(crate) fn entries(&self) -> &[(Key, Self)] {
        if let Value::Table(entries) = &self.value { entries } else { &[] }
    }

    /// The elements of an array; of anything else, none.
    pub(crate) fn elements(&self) -> &[Self] {
        if let Value::Array(elements) = &self.value { elements } else { &[] }
    }

    /// The text of a string.
    pub(crate) fn as_str(&self) -> Option<&str> {
        if let Value::String(text) = &self.value { Some(text) } else { None }
    }

    /// Takes an entry out of a table.
    pub(crate) fn take(&mut self, key: &str) -> Option<(Key, Self)> {
        let Value::Table(entries) = &mut self.value else { return None };
        let at = entries.iter().position(|(it, _)| it.text == key)?;
        Some(entries.remove(at))
    }

    /// Puts an entry that was taken out back, in its place.
    pub(crate) fn put(&mut self, entry: Option<(Key, Self)>) {
        let Value::Table(entries) = &mut self.value else { return };
        entries.extend(entry);
        entries.sort_by_key(|(key, _)| key.span.start);
    }

    /// Calls `change` on every string below, with its place; what it returns takes the string's place.
    pub(crate) fn each_string(&mut self, change: &mut dyn FnMut(&Span, &str) -> Option<Value>) {
        match &mut self.value {
            Value::String(text) => {
                if let Some(value) = change(&self.span, text) {
                    self.value = value;
                }
            }
            Value::Table(entries) => entries.iter_mut().for_each(|(_, node)| node.each_string(change)),
            Value::Array(elements) => elements.iter_mut().for_each(|node| node.each_string(change)),
            Value::Integer(_) | Value::Float(_) | Value::Bool(_) | Value::Datetime(_) => (),
        }
    }

    /// Reads a `T` from this, mending and going on after each error; `None` if something essential is missing.
    pub(crate) fn read<T: de::DeserializeOwned>(&self, errors: &mut Vec<NodeError>) -> Option<T> {
        let mut node = self.clone();
        let mut removed: Vec<String> = Vec::new();
        let mut found = Vec::new();
        let result = loop {
            let error = match T::deserialize(&node) {
                Ok(value) => break Some(value),
                Err(error) => error,
            };
            if let ErrorKind::UnknownField(field, expected) = &error.kind {
                // What it was meant to be is not missing besides.
                removed.extend(nearest(field, expected.iter().copied()).map(str::to_owned));
            }
            let span = error.span.clone().unwrap_or_else(|| node.span.clone());
            let follows = match &error.kind {
                ErrorKind::MissingField(field) => removed.iter().any(|it| it == field),
                ErrorKind::Keys(keys) => keys.is_empty() && !self.is_empty_at(&span),
                _ => false,
            };
            if !follows {
                found.push(error);
            }
            if span == node.span || !node.remove(&span, &mut removed) {
                break None;
            }
        };
        let value = if found.is_empty() { result } else { None };
        errors.extend(found);
        value
    }

    /// Whether there is a table with nothing in it at `span`.
    fn is_empty_at(&self, span: &Span) -> bool {
        match &self.value {
            Value::Table(entries) if self.span == *span => entries.is_empty(),
            Value::Table(entries) => entries.iter().any(|(_, node)| node.is_empty_at(span)),
            Value::Array(elements) => elements.iter().any(|node| node.is_empty_at(span)),
            _ => false,
        }
    }

    /// Takes out the entry or element that `span` is the key or the value of.
    fn remove(&mut self, span: &Span, removed: &mut Vec<String>) -> bool {
        match &mut self.value {
            Value::Table(entries) => {
                if let Some(at) =
                    entries.iter().position(|(key, node)| key.span == *span || node.span == *span)
                {
                    removed.push(entries.remove(at).0.text);
                    return true;
                }
                entries.iter_mut().any(|(_, node)| node.remove(span, removed))
            }
            Value::Array(elements) => {
                if let Some(at) = elements.iter().position(|node| node.span == *span) {
                    elements.remove(at);
                    return true;
                }
                elements.iter_mut().any(|node| node.remove(span, removed))
            }
            _ => false,
        }
    }
}

fn entries(table: DeTable<'_>) -> Result<Vec<(Key, Node)>, (Span, String)> {
    let entry = |(key, value): (Spanned<std::borrow::Cow<'_, str>>, Spanned<DeValue<'_>>)| {
        let key = Key { span: key.span(), text: key.into_inner().into_owned() };
        Ok((key, node(value)?))
    };
    let mut entries: Vec<(Key, Node)> = table.into_iter().map(entry).collect::<Result<_, _>>()?;
    entries.sort_by_key(|(key, _)| key.span.start); // In the order of the file, not of the alphabet.
    Ok(entries)
}

fn node(value: Spanned<DeValue<'_>>) -> Result<Node, (Span, String)> {
    let span = value.span();
    let value = match value.into_inner() {
        DeValue::String(text) => Value::String(text.into_owned()),
        DeValue::Integer(number) => {
            let parsed = i64::from_str_radix(number.as_str(), number.radix());
            Value::Integer(
                parsed.map_err(|_| (span.clone(), "this number does not fit into 64 bits".to_owned()))?,
            )
        }
        DeValue::Float(number) => {
            let parsed = number.as_str().parse();
            Value::Float(parsed.map_err(|_| (span.clone(), "this is not a number".to_owned()))?)
        }
        DeValue::Boolean(truth) => Value::Bool(truth),
        DeValue::Datetime(time) => Value::Datetime(time.to_string()),
        DeValue::Array(elements) => Value::Array(elements.into_iter().map(node).collect::<Result<_, _>>()?),
        DeValue::Table(table) => Value::Table(entries(table)?),
    };
    Ok(Node { span, value })
}

impl<'de> de::Deserializer<'de> for &Node {
    type Error = NodeError;

    fn deserialize_any<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, NodeError> {
        let result = match &self.value {
            Value::Table(entries) => visitor.visit_map(Entries { entries: entries.iter(), last: None }),
            Value::Array(elements) => visitor.visit_seq(Elements(elements.iter())),
            Value::String(text) | Value::Datetime(text) => visitor.visit_str(text),
            Value::Integer(number) => visitor.visit_i64(*number),
            Value::Float(number) => visitor.visit_f64(*number),
            Value::Bool(truth) => visitor.visit_bool(*truth),
        };
        result.map_err(|error| error.at(&self.span))
    }

    fn deserialize_option<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, NodeError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: de::Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, NodeError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: de::Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, NodeError> {
        let result = match &self.value {
            Value::String(text) => visitor.visit_enum(text.as_str().into_deserializer()),
            Value::Table(entries) if entries.len() == 1 => visitor.visit_enum(Variant(&entries[0])),
            Value::Table(entries) => {
                let keys = entries.iter().map(|(key, _)| key.text.clone()).collect();
                Err(NodeError::of(ErrorKind::Keys(keys)))
            }
            _ => Err(de::Error::custom("a word or a table with one key is wanted here")),
        };
        result.map_err(|error| error.at(&self.span))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

struct Elements<'a>(std::slice::Iter<'a, Node>);

impl<'de> de::SeqAccess<'de> for Elements<'_> {
    type Error = NodeError;

    fn next_element_seed<T: de::DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, NodeError> {
        let Some(node) = self.0.next() else { return Ok(None) };
        seed.deserialize(node).map(Some).map_err(|error| error.at(&node.span))
    }
}

struct Entries<'a> {
    entries: std::slice::Iter<'a, (Key, Node)>,
    last: Option<&'a Node>,
}

impl<'de> de::MapAccess<'de> for Entries<'_> {
    type Error = NodeError;

    fn next_key_seed<K: de::DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, NodeError> {
        let Some((key, node)) = self.entries.next() else { return Ok(None) };
        self.last = Some(node);
        let text: de::value::StrDeserializer<'_, NodeError> = key.text.as_str().into_deserializer();
        seed.deserialize(text).map(Some).map_err(|error| error.at(&key.span))
    }

    fn next_value_seed<V: de::DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, NodeError> {
        let node = self.last.expect("serde asks for a key first");
        seed.deserialize(node).map_err(|error| error.at(&node.span))
    }
}

struct Variant<'a>(&'a (Key, Node));

impl<'de> de::EnumAccess<'de> for Variant<'_> {
    type Error = NodeError;
    type Variant = Self;

    fn variant_seed<V: de::DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), NodeError> {
        let (key, _) = self.0;
        let text: de::value::StrDeserializer<'_, NodeError> = key.text.as_str().into_deserializer();
        Ok((seed.deserialize(text).map_err(|error| error.at(&key.span))?, self))
    }
}

impl<'de> de::VariantAccess<'de> for Variant<'_> {
    type Error = NodeError;

    fn unit_variant(self) -> Result<(), NodeError> {
        Err(NodeError::of(ErrorKind::Message(format!("`{}` takes no value", self.0.0.text)))
            .at(&self.0.1.span))
    }

    fn newtype_variant_seed<T: de::DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, NodeError> {
        seed.deserialize(&self.0.1).map_err(|error| error.at(&self.0.1.span))
    }

    fn tuple_variant<V: de::Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, NodeError> {
        de::Deserializer::deserialize_any(&self.0.1, visitor)
    }

    fn struct_variant<V: de::Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, NodeError> {
        de::Deserializer::deserialize_any(&self.0.1, visitor)
    }
}

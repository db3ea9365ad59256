//! Text with places that a profile and a variant fill in.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

use crate::nearest::unknown;

/// A place in a [`TargetTemplate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// `${target}`: the name of the target.
    Target,
    /// `${profile}`.
    Profile,
    /// `${variant}`.
    Variant,
    /// `${system}`: `x86_64-linux`.
    System,
    /// `${attribute}`: the attribute of the flake, filled in.
    Attribute,
    /// `${path}`: the artifact.
    Path,
}

/// The places by name; variables of a plan do not reach them.
pub(crate) const PLACES: [&str; 6] = ["target", "profile", "variant", "system", "attribute", "path"];

impl Place {
    const ALL: [Self; 6] =
        [Self::Target, Self::Profile, Self::Variant, Self::System, Self::Attribute, Self::Path];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        PLACES[self as usize]
    }
}

/// Text with places that a profile and a variant fill in: `test-origin-${profile}-${variant}`. `$${` stands for `${`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetTemplate(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Place(Place),
}

impl TargetTemplate {
    /// The text, with every place filled in.
    pub fn fill(&self, value: &dyn Fn(Place) -> String) -> String {
        let piece = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Place(place) => value(*place),
        };
        self.0.iter().map(piece).collect()
    }

    /// The places that it has.
    pub fn places(&self) -> impl Iterator<Item = Place> {
        self.0.iter().filter_map(|piece| if let Piece::Place(place) = piece { Some(*place) } else { None })
    }
}

impl std::str::FromStr for TargetTemplate {
    type Err = InvalidTargetTemplate;

    fn from_str(text: &str) -> Result<Self, InvalidTargetTemplate> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            if let Some(before) = rest[..at].strip_suffix('$') {
                plain += before;
                plain += "${";
                rest = &rest[at + 2..];
                continue;
            }
            plain += &rest[..at];
            let end = rest[at..].find('}').map(|end| at + end);
            let end = end.ok_or_else(|| InvalidTargetTemplate(format!("`{}` has no `}}`", &rest[at..])))?;
            let name = &rest[at + 2..end];
            let place = Place::ALL.into_iter().find(|place| place.as_str() == name);
            let place = place.ok_or_else(|| InvalidTargetTemplate(unknown("place", name, &PLACES)))?;
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
            }
            pieces.push(Piece::Place(place));
            rest = &rest[end + 1..];
        }
        plain += rest;
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Self(pieces))
    }
}

impl fmt::Display for TargetTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|piece| match piece {
            Piece::Text(text) => f.write_str(&text.replace("${", "$${")),
            Piece::Place(place) => write!(f, "${{{}}}", place.as_str()),
        })
    }
}

impl Serialize for TargetTemplate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TargetTemplate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = TargetTemplate;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text or a whole number")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<TargetTemplate, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_i64<E>(self, number: i64) -> Result<TargetTemplate, E> {
                Ok(TargetTemplate(vec![Piece::Text(number.to_string())]))
            }

            fn visit_u64<E>(self, number: u64) -> Result<TargetTemplate, E> {
                Ok(TargetTemplate(vec![Piece::Text(number.to_string())]))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for TargetTemplate {
    fn schema_name() -> Cow<'static, str> {
        "TargetTemplate".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Text in which `${target}`, `${profile}`, `${variant}` and `${system}` are filled in, and \
                            where it makes sense `${attribute}` and `${path}`.",
            "type": ["string", "integer"]
        })
    }
}

/// The text has a place that nobody fills in.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct InvalidTargetTemplate(String);

//! What serde says of a value that cannot be read, in words of plans.

use serde::de;

use super::Span;

/// Why a value cannot be read, and where it is.
#[derive(Clone, Debug)]
pub(crate) struct NodeError {
    pub(crate) span: Option<Span>,
    pub(crate) kind: ErrorKind,
}

/// What serde knows about an error.
#[derive(Clone, Debug)]
pub(crate) enum ErrorKind {
    UnknownField(String, &'static [&'static str]),
    UnknownVariant(String, &'static [&'static str]),
    MissingField(&'static str),
    /// There is to be one key, and there are these.
    Keys(Vec<String>),
    Message(String),
}

impl NodeError {
    pub(super) fn at(mut self, span: &Span) -> Self {
        self.span.get_or_insert_with(|| span.clone());
        self
    }

    pub(super) const fn of(kind: ErrorKind) -> Self {
        Self { span: None, kind }
    }
}

impl std::fmt::Display for NodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.kind)
    }
}

impl std::error::Error for NodeError {}

impl de::Error for NodeError {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self::of(ErrorKind::Message(message.to_string()))
    }

    fn invalid_type(found: de::Unexpected<'_>, wanted: &dyn de::Expected) -> Self {
        let found = match found {
            de::Unexpected::Str(text) => format!("the text \"{text}\""),
            de::Unexpected::Unsigned(number) => format!("the number {number}"),
            de::Unexpected::Signed(number) => format!("the number {number}"),
            de::Unexpected::Float(number) => format!("the number {number}"),
            de::Unexpected::Bool(truth) => truth.to_string(),
            de::Unexpected::Map => "a table".to_owned(),
            de::Unexpected::Seq => "a list".to_owned(),
            other => other.to_string(),
        };
        let wanted = wanted.to_string();
        let wanted = match wanted.as_str() {
            "a map" => "a table",
            "a sequence" => "a list",
            "a string" => "a text",
            "a boolean" => "`true` or `false`",
            "i8" | "i16" | "i32" | "i64" | "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number",
            // What serde calls it are the names of our types.
            name if name.starts_with("struct ") => "a table",
            other => other,
        };
        Self::of(ErrorKind::Message(format!("{wanted} is wanted here, not {found}")))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::of(ErrorKind::UnknownField(field.to_owned(), expected))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::of(ErrorKind::UnknownVariant(variant.to_owned(), expected))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::of(ErrorKind::MissingField(field))
    }
}

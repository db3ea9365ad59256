//! What an expectation came to, and what a person is told about it.

use super::query::{Look, Query, attribute, scoped};

/// How many things that are wrong a message names at most.
const MAX_NAMED: usize = 5;
/// How long a piece of a message may be, in characters.
const MAX_PIECE: usize = 400;

/// An expectation and what it came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdicted {
    /// What is expected, in a few words.
    pub(super) name: String,
    /// What was seen, or what is wrong.
    pub(super) result: Result<String, Wrong>,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    /// What was expected.
    pub(super) expected: String,
    /// What was found instead.
    pub(super) found: Vec<Found>,
    /// What can be evaluated by hand to see it.
    pub(super) again: Again,
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// It, in words.
    pub(super) text: String,
    /// The question whose answer was thrown, if nobody has said yet what was thrown.
    pub(super) thrown: Option<Query>,
}

/// What can be evaluated by hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// An attribute of the flake.
    Attribute(String),
    /// An expression in which the outputs and `flake` are in scope.
    Expr(String),
    /// Nothing: it is in a file.
    Nothing,
}

impl Verdicted {
    /// It is as expected.
    pub(super) fn good(name: impl Into<String>, seen: impl Into<String>) -> Self {
        Self { name: name.into(), result: Ok(cut(&seen.into())) }
    }

    /// It is not.
    pub(super) fn wrong(
        name: impl Into<String>,
        expected: impl Into<String>,
        found: Vec<Found>,
        again: Again,
    ) -> Self {
        Self { name: name.into(), result: Err(Wrong { expected: expected.into(), found, again }) }
    }
}

impl Found {
    /// It, in words.
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), thrown: None }
    }

    /// That something is what it is.
    pub(super) fn look(subject: &str, look: &Look, query: Query) -> Self {
        let space = if subject.is_empty() { "" } else { " " };
        let thrown = (look.is == "throws" && look.what.is_none()).then_some(query);
        Self { text: format!("{subject}{space}{look}"), thrown }
    }
}

impl Wrong {
    /// What is wrong, in a sentence; `again` says how to see it.
    pub(super) fn detail(&self, again: Option<String>) -> String {
        let named: Vec<String> = self.found.iter().take(MAX_NAMED).map(|found| cut(&found.text)).collect();
        let more = self.found.len().saturating_sub(MAX_NAMED);
        let more = if more == 0 { String::new() } else { format!("; and {more} more") };
        let again = again.map(|again| format!("; by hand: {again}")).unwrap_or_default();
        format!("expected {}, found {}{more}{again}", self.expected, named.join("; "))
    }
}

impl Again {
    /// Something in an output.
    pub(super) fn of(path: &[&str]) -> Self {
        Self::Attribute(attribute(path))
    }

    /// The expression that stands for itself, where `url` is the flake.
    pub(super) fn expression(&self, url: &str) -> Option<String> {
        let Self::Expr(expr) = self else { return None };
        let flake = super::query::string(url);
        Some(format!("let flake = builtins.getFlake {flake}; in {}", scoped(expr)))
    }
}

/// `text` without its end if it is long.
pub(super) fn cut(text: &str) -> String {
    let text = text.replace('\n', " ");
    match text.char_indices().nth(MAX_PIECE) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// `` `a`, `b` ``.
pub(super) fn quoted<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

//! What is wrong with a plan, where it is, and what to do about it.

use std::fmt;

use thiserror::Error;

use crate::{
    Class, Explain,
    nearest::unknown,
    node::{ErrorKind, NodeError, Span},
};

/// One thing that is wrong with a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where, if it is somewhere in the text.
    pub place: Option<Place>,
    /// What, with the remedy behind a colon.
    pub message: String,
}

/// A place in the text of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// In characters; at least 1, at most to the end of the line.
    pub length: usize,
    /// The whole line.
    pub text: String,
}

/// Everything that is wrong with a plan, in the order of its text.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct Problems {
    /// How the user names the plan.
    pub file: Option<String>,
    /// At least one.
    pub problems: Vec<Problem>,
}

impl Explain for Problems {
    fn class(&self) -> Class {
        Class::Plan
    }
}

impl Problems {
    /// The same, with the name of the file that every place is in.
    #[must_use]
    pub fn in_file(mut self, file: &str) -> Self {
        self.file = Some(file.to_owned());
        self
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.as_deref().unwrap_or("plan.toml");
        match self.problems.len() {
            1 => write!(f, "`{file}` is not a plan that can be run")?,
            n => write!(f, "`{file}` is not a plan that can be run: {n} problems")?,
        }
        for problem in &self.problems {
            let Some(place) = &problem.place else {
                write!(f, "\n{file}: {}", problem.message)?;
                continue;
            };
            let gutter = " ".repeat(place.line.to_string().len());
            let marks = "^".repeat(place.length);
            let indent = " ".repeat(place.column - 1);
            write!(f, "\n{file}:{}:{}: {}", place.line, place.column, problem.message)?;
            write!(f, "\n{gutter} |\n{} | {}\n{gutter} | {indent}{marks}", place.line, place.text)?;
        }
        Ok(())
    }
}

/// Collects problems while a plan is read.
#[derive(Debug)]
pub(crate) struct Collector<'a> {
    text: &'a str,
    problems: Vec<(usize, Problem)>,
}

impl<'a> Collector<'a> {
    pub(crate) const fn new(text: &'a str) -> Self {
        Self { text, problems: Vec::new() }
    }

    pub(crate) fn add(&mut self, span: &Span, message: impl Into<String>) {
        let problem = Problem { place: Some(self.place(span)), message: message.into() };
        if !self.problems.iter().any(|(_, it)| *it == problem) {
            self.problems.push((span.start, problem));
        }
    }

    /// Adds what serde found, in our words.
    pub(crate) fn add_errors(&mut self, errors: Vec<NodeError>, whole: &Span) {
        for error in errors {
            let span = error.span.unwrap_or_else(|| whole.clone());
            let message = match error.kind {
                ErrorKind::UnknownField(field, expected) => unknown("key", &field, expected),
                ErrorKind::UnknownVariant(variant, expected) => unknown("word", &variant, expected),
                ErrorKind::MissingField(field) => format!("`{field}` is missing here: add it"),
                ErrorKind::Keys(keys) if keys.is_empty() => {
                    "one key is wanted here: there is none".to_owned()
                }
                ErrorKind::Keys(keys) => {
                    let keys: Vec<_> = keys.iter().map(|key| format!("`{key}`")).collect();
                    format!("one key is wanted here, not {}: {}", keys.len(), keys.join(", "))
                }
                ErrorKind::Message(message) => message,
            };
            self.add(&span, message);
        }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    pub(crate) fn finish(mut self) -> Result<(), Problems> {
        if self.problems.is_empty() {
            return Ok(());
        }
        self.problems.sort_by_key(|(start, _)| *start);
        Err(Problems {
            file: None,
            problems: self.problems.into_iter().map(|(_, problem)| problem).collect(),
        })
    }

    fn place(&self, span: &Span) -> Place {
        let start = self.text.floor_char_boundary(span.start.min(self.text.len()));
        let line_start = self.text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = self.text[start..].find('\n').map_or(self.text.len(), |at| start + at);
        let end = self.text.floor_char_boundary(span.end.min(line_end)).max(start);
        Place {
            line: self.text[..start].matches('\n').count() + 1,
            column: self.text[line_start..start].chars().count() + 1,
            length: self.text[start..end].chars().count().max(1),
            text: self.text[line_start..line_end].trim_end().to_owned(),
        }
    }
}

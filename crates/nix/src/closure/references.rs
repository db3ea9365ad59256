//! What refers to what: the files that `exportReferencesGraph` writes.
//!
//! Without structured attributes a builder is given a file with, for each path, a line with the path, its deriver
//! (empty), the number of its references, and the references: no hash and no size, which have to be found out.
//! With `__structuredAttrs` it is given `.attrs.json`, where a list has all of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    iter::Peekable,
    str,
};

use serde::Deserialize;

use super::{
    InvalidRegistration, NotAClosure, PathInfo, Registration, StorePath, hash, registration::closed,
};

/// How much of a line is shown.
const SHOWN: usize = 80;

/// Paths, what built each, and what each refers to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct References {
    /// By path: deriver and references.
    pub paths: BTreeMap<StorePath, (Option<StorePath>, BTreeSet<StorePath>)>,
}

impl References {
    /// Reads a file of `exportReferencesGraph`.
    ///
    /// # Errors
    ///
    /// If a line is not what it must be, with its number.
    pub fn from_text(text: &str) -> Result<Self, InvalidRegistration> {
        let mut lines = Lines::new(text);
        let mut paths = BTreeMap::new();
        while let Some(path) = lines.path(|path| paths.contains_key(path))? {
            let of_path = lines.references()?;
            paths.insert(path, of_path);
        }
        Ok(Self { paths })
    }

    /// Its text.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for (path, (deriver, references)) in &self.paths {
            let deriver = deriver.as_ref().map_or("", StorePath::as_str);
            text += &format!("{path}\n{deriver}\n{}\n", references.len());
            text.extend(references.iter().map(|it| format!("{it}\n")));
        }
        text
    }

    /// Everything that is referred to is there.
    ///
    /// # Errors
    ///
    /// The first reference that leads out of it.
    pub fn verify(&self) -> Result<(), NotAClosure> {
        let references = self.paths.iter().map(|(path, (_, references))| (path, references));
        closed(references, |path| self.paths.contains_key(path))
    }
}

/// What a file about a closure may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClosureInfo {
    /// All of it.
    Registration(Registration),
    /// Without hashes and sizes.
    References(References),
}

impl ClosureInfo {
    /// Reads any of the three, told by what is in it: a registration, a file of `exportReferencesGraph`, or
    /// `.attrs.json` with its list under `closure`.
    ///
    /// # Errors
    ///
    /// If it is none of them, or damaged.
    pub fn from_text(text: &str) -> Result<Self, InvalidRegistration> {
        if text.trim_start().starts_with('{') {
            return from_attrs(text).map(Self::Registration);
        }
        let second = text.lines().nth(1).unwrap_or_default();
        if second.is_empty() || second.starts_with('/') {
            References::from_text(text).map(Self::References)
        } else {
            Registration::from_text(text).map(Self::Registration)
        }
    }
}

#[derive(Deserialize)]
struct Attrs {
    closure: Vec<Attr>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Attr {
    path: StorePath,
    nar_hash: String,
    nar_size: u64,
    references: BTreeSet<StorePath>,
}

fn from_attrs(text: &str) -> Result<Registration, InvalidRegistration> {
    let invalid = |line, found: String| InvalidRegistration {
        line,
        expected: "of an `.attrs.json` with a list `closure`, as `exportReferencesGraph.closure` makes it",
        found,
    };
    let attrs: Attrs =
        serde_json::from_str(text).map_err(|error| invalid(error.line(), error.to_string()))?;
    let mut paths = BTreeMap::new();
    for attr in attrs.closure {
        let nar_hash = hash::parse(&attr.nar_hash).ok_or_else(|| invalid(1, attr.nar_hash.clone()))?;
        let info = PathInfo { nar_hash, nar_size: attr.nar_size, deriver: None, references: attr.references };
        if let Some(twice) = paths.insert(attr.path.clone(), info) {
            return Err(invalid(1, format!("{} twice, {} bytes", attr.path, twice.nar_size)));
        }
    }
    Ok(Registration { paths })
}

/// Lines of either format, counted.
pub(super) struct Lines<'a> {
    rest: Peekable<str::Lines<'a>>,
    number: usize,
    last: &'a str,
}

impl<'a> Lines<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { rest: text.lines().peekable(), number: 0, last: "" }
    }

    /// What is wrong with the line that was read last.
    pub(super) fn wrong(&self, expected: &'static str) -> InvalidRegistration {
        let found = self.last.chars().take(SHOWN).collect();
        InvalidRegistration { line: self.number, expected, found }
    }

    /// The next line as what `read` makes of it.
    pub(super) fn parse<T>(
        &mut self,
        expected: &'static str,
        read: impl FnOnce(&'a str) -> Option<T>,
    ) -> Result<T, InvalidRegistration> {
        self.number += 1;
        let line = self.rest.next();
        self.last = line.unwrap_or("the end of the text");
        line.and_then(read).ok_or_else(|| self.wrong(expected))
    }

    /// A path at the beginning of what is known of it, or the end; none that `is_known` already.
    pub(super) fn path(
        &mut self,
        is_known: impl FnOnce(&StorePath) -> bool,
    ) -> Result<Option<StorePath>, InvalidRegistration> {
        if self.rest.peek().is_none() {
            return Ok(None);
        }
        let path = self.parse("a path of a store", |line| line.parse().ok())?;
        if is_known(&path) { Err(self.wrong("a path that was not there before")) } else { Ok(Some(path)) }
    }

    /// The deriver, and the references.
    pub(super) fn references(
        &mut self,
    ) -> Result<(Option<StorePath>, BTreeSet<StorePath>), InvalidRegistration> {
        let deriver = self.parse("the deriver, or nothing", |line| {
            if line.is_empty() { Some(None) } else { line.parse().ok().map(Some) }
        })?;
        let count: usize = self.parse("the number of references", |line| line.parse().ok())?;
        let mut references = BTreeSet::new();
        // However many it says that there are: a line that is missing ends it.
        for _ in 0..count {
            let reference = self.parse("a path that is referred to", |line| line.parse().ok())?;
            if !references.insert(reference) {
                return Err(self.wrong("a reference that was not there before"));
            }
        }
        Ok((deriver, references))
    }
}

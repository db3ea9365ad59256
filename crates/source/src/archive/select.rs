//! What to keep of a tree.

use std::sync::atomic::{AtomicBool, Ordering};

use bootway_plan::{Class, Explain, TreePath};
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use thiserror::Error;

/// The `keep` and `drop` patterns of a step.
///
/// `*` and `?` stop at a slash, `**` does not. A pattern that matches a directory means everything in it, too.
#[derive(Debug)]
pub(crate) struct Selection {
    keep: Patterns,
    drop: Patterns,
}

#[derive(Debug)]
struct Patterns {
    texts: Vec<String>,
    /// Two globs for each pattern: the place itself, and everything below it.
    set: GlobSet,
    matched: Vec<AtomicBool>,
}

impl Selection {
    /// Keeps what matches a pattern of `keep`, or everything if there is none, but nothing that matches `drop`.
    ///
    /// # Errors
    ///
    /// If a pattern is not a glob.
    pub(crate) fn new(keep: &[String], drop: &[String]) -> Result<Self, InvalidPattern> {
        Ok(Self { keep: Patterns::new("keep", keep)?, drop: Patterns::new("drop", drop)? })
    }

    /// Whether to keep what goes by `names`: the name that an archive has for it, and the place that it gets.
    pub(crate) fn keeps(&self, names: [&TreePath; 2]) -> bool {
        (self.keep.texts.is_empty() || self.keep.matches(names)) && !self.drop.matches(names)
    }

    /// Patterns that have matched nothing so far, and are probably misspelt.
    pub(crate) fn unused(&self) -> impl Iterator<Item = &str> {
        [&self.keep, &self.drop].into_iter().flat_map(|patterns| {
            let unused = patterns.texts.iter().zip(&patterns.matched);
            unused.filter(|(_, matched)| !matched.load(Ordering::Relaxed)).map(|(text, _)| text.as_str())
        })
    }
}

impl Patterns {
    fn new(list: &'static str, texts: &[String]) -> Result<Self, InvalidPattern> {
        let mut set = GlobSetBuilder::new();
        for text in texts {
            let place = text.trim_start_matches("./").trim_matches('/');
            for glob in [place.to_owned(), format!("{place}/**")] {
                let glob = GlobBuilder::new(&glob).literal_separator(true).backslash_escape(true).build();
                set.add(glob.map_err(|error| InvalidPattern { list, text: text.clone(), error })?);
            }
        }
        let set = set.build().map_err(|error| InvalidPattern { list, text: texts.join("`, `"), error })?;
        Ok(Self {
            matched: texts.iter().map(|_| AtomicBool::new(false)).collect(),
            texts: texts.to_vec(),
            set,
        })
    }

    fn matches(&self, names: [&TreePath; 2]) -> bool {
        if self.texts.is_empty() {
            return false;
        }
        let [named, placed] = names;
        let mut found = self.set.matches(named.as_str());
        if named != placed {
            found.extend(self.set.matches(placed.as_str()));
        }
        for index in &found {
            self.matched[index / 2].store(true, Ordering::Relaxed);
        }
        !found.is_empty()
    }
}

/// A pattern of `keep` or `drop` cannot be read.
#[derive(Clone, Debug, Error)]
#[error("`{text}` in `{list}` is not a pattern: {}", error.kind())]
pub struct InvalidPattern {
    list: &'static str,
    text: String,
    error: globset::Error,
}

impl Explain for InvalidPattern {
    fn class(&self) -> Class {
        Class::Plan
    }

    fn hint(&self) -> Option<String> {
        Some("write a path with `*`, `?`, `[…]`, `{a,b}` or `**`, such as `boot/vmlinuz-*`".to_owned())
    }
}

//! Source packages of an archive: its `Sources` files.
//!
//! Source: deb822(5) for the syntax; Debian Policy Manual 4.6, section 5.4, for the fields of a source package.

use std::{cmp::Ordering, collections::BTreeMap};

use super::super::{lock::SourceFile, version};

/// The source packages of an archive by name, the newest of each.
#[derive(Debug, Default)]
pub(super) struct Index<'a> {
    sources: BTreeMap<&'a str, Source<'a>>,
}

/// One stanza; the lines of its files are read when it is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Source<'a> {
    name: &'a str,
    pub(super) version: &'a str,
    pub(super) format: &'a str,
    directory: &'a str,
    /// The packages that are built from it.
    binaries: &'a str,
    files: &'a str,
}

impl<'a> Index<'a> {
    /// Adds the stanzas of a `Sources` file.
    pub(super) fn add(&mut self, text: &'a str) {
        let stanzas = text.split("\n\n").filter_map(Source::parse);
        for source in stanzas {
            let newer =
                |there: &Source<'_>| version::compare(there.version, source.version) == Ordering::Less;
            if self.sources.get(source.name).is_none_or(newer) {
                self.sources.insert(source.name, source);
            }
        }
    }

    /// The source package with this very name.
    pub(super) fn get(&self, name: &str) -> Option<&Source<'a>> {
        self.sources.get(name)
    }

    /// The source package that a binary package of this name is built from.
    pub(super) fn of_binary(&self, name: &str) -> Option<&'a str> {
        let builds = |source: &&Source<'_>| source.binaries.split(',').any(|binary| binary.trim() == name);
        self.sources.values().find(builds).map(|source| source.name)
    }

    /// Names of all source packages.
    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> {
        self.sources.keys().copied()
    }
}

impl<'a> Source<'a> {
    /// Reads a stanza; `None` if it is none of this suite, and only there because something was built with it.
    fn parse(stanza: &'a str) -> Option<Self> {
        let mut source = Self::default();
        for (key, value) in fields(stanza) {
            match key {
                "Package" => source.name = value.trim(),
                "Version" => source.version = value.trim(),
                "Format" => source.format = value.trim(),
                "Directory" => source.directory = value.trim(),
                "Binary" => source.binaries = value,
                "Checksums-Sha256" => source.files = value,
                "Extra-Source-Only" if value.trim() == "yes" => return None,
                _ => {}
            }
        }
        (!source.name.is_empty()).then_some(source)
    }

    /// What it is made of, sorted by name.
    ///
    /// # Errors
    ///
    /// What the stanza lacks.
    pub(super) fn files(&self) -> Result<Vec<SourceFile>, String> {
        let bad = |field: &str| format!("the stanza of `{}` has no good `{field}`", self.name);
        if self.version.is_empty() {
            return Err(bad("Version"));
        }
        let is_inside = !self.directory.is_empty() && !self.directory.split('/').any(|name| name == "..");
        if !is_inside {
            return Err(bad("Directory"));
        }
        let file = |line: &str| {
            let mut words = line.split_whitespace();
            let (sha256, size, name) =
                (words.next()?.parse().ok()?, words.next()?.parse().ok()?, words.next()?);
            let is_name = !name.contains('/') && name != ".." && words.next().is_none();
            let path = format!("{}/{name}", self.directory);
            is_name.then(|| SourceFile { name: name.to_owned(), size, sha256, path })
        };
        let lines = self.files.lines().filter(|line| !line.trim().is_empty());
        let mut files: Vec<SourceFile> =
            lines.map(file).collect::<Option<_>>().ok_or_else(|| bad("Checksums-Sha256"))?;
        if files.is_empty() {
            return Err(bad("Checksums-Sha256"));
        }
        files.sort();
        Ok(files)
    }
}

/// The fields of a stanza, with the lines that continue them.
fn fields(stanza: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = stanza.trim_start_matches('\n');
    std::iter::from_fn(move || {
        loop {
            let begins = |at: usize| !rest[at + 1..].starts_with([' ', '\t']);
            let end = rest.match_indices('\n').map(|(at, _)| at).find(|at| begins(*at)).unwrap_or(rest.len());
            if rest.is_empty() {
                return None;
            }
            let field = &rest[..end];
            rest = rest.get(end + 1..).unwrap_or_default();
            if let Some(field) = field.split_once(':') {
                return Some(field);
            }
        }
    })
}

//! What an archive has: its `Packages` files.
//!
//! Source: deb822(5) for the syntax; Debian Policy Manual 4.6, chapter 7, for the relations.

use std::{cmp::Ordering, collections::BTreeMap};

use bootway_plan::Digest;

use super::version;

/// The packages of an archive by name, the newest of each; and who provides what.
#[derive(Debug, Default)]
pub(crate) struct Index<'a> {
    packages: BTreeMap<&'a str, Package<'a>>,
    providers: BTreeMap<&'a str, Vec<(&'a str, Option<&'a str>)>>,
}

/// One stanza.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Package<'a> {
    pub(crate) name: &'a str,
    pub(crate) version: &'a str,
    pub(crate) arch: &'a str,
    /// Where its `.deb` is, from the root of the archive.
    pub(crate) path: &'a str,
    pub(crate) size: u64,
    pub(crate) sha256: Option<Digest>,
    priority: &'a str,
    depends: [&'a str; 2],
    provides: &'a str,
}

/// One alternative of a relation: `name (>= 1.2)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Relation<'a> {
    pub(crate) name: &'a str,
    pub(crate) version: Option<(Operator, &'a str)>,
}

/// How a version must compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Less,
    AtMost,
    Exactly,
    AtLeast,
    More,
}

impl<'a> Index<'a> {
    /// Adds the stanzas of a `Packages` file.
    ///
    /// # Errors
    ///
    /// The first stanza that lacks what a package needs.
    pub(crate) fn add(&mut self, text: &'a str) -> Result<(), String> {
        for stanza in text.split("\n\n").filter(|stanza| !stanza.trim().is_empty()) {
            let package = Package::parse(stanza)?;
            let newer =
                |there: &Package<'_>| version::compare(there.version, package.version) == Ordering::Less;
            if self.packages.get(package.name).is_none_or(newer) {
                self.packages.insert(package.name, package);
            }
        }
        Ok(())
    }

    /// Finds out who provides what; after all is added.
    pub(crate) fn link(&mut self) {
        for package in self.packages.values() {
            for provided in package.provides.split(',').filter_map(Relation::parse) {
                let version = provided.version.map(|(_, version)| version);
                self.providers.entry(provided.name).or_default().push((package.name, version));
            }
        }
    }

    /// The package with this very name.
    pub(crate) fn get(&self, name: &str) -> Option<&Package<'a>> {
        self.packages.get(name)
    }

    /// Names of all packages.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'a str> {
        self.packages.keys().copied()
    }

    /// Packages that provide what `relation` asks for, the most important first.
    pub(crate) fn providers(&self, relation: &Relation<'_>) -> Vec<&Package<'a>> {
        let all = self.providers.get(relation.name).into_iter().flatten();
        let suitable = all.filter(|(_, version)| match (relation.version, version) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some((operator, wanted)), Some(version)) => operator.holds(version, wanted),
        });
        let mut packages: Vec<&Package<'_>> = suitable.filter_map(|(name, _)| self.get(name)).collect();
        packages.sort_by_key(|package| (package.rank(), package.name));
        packages
    }
}

impl<'a> Package<'a> {
    fn parse(stanza: &'a str) -> Result<Self, String> {
        let mut package = Self::default();
        for line in stanza.lines() {
            let Some((key, value)) = line.split_once(':').filter(|_| !line.starts_with([' ', '\t'])) else {
                continue;
            };
            let value = value.trim();
            match key {
                "Package" => package.name = value,
                "Version" => package.version = value,
                "Architecture" => package.arch = value,
                "Filename" => package.path = value,
                "Size" => package.size = value.parse().unwrap_or(0),
                "SHA256" => package.sha256 = value.parse().ok(),
                "Priority" => package.priority = value,
                "Pre-Depends" => package.depends[0] = value,
                "Depends" => package.depends[1] = value,
                "Provides" => package.provides = value,
                _ => {}
            }
        }
        let missing = [
            ("Package", package.name.is_empty()),
            ("Version", package.version.is_empty()),
            ("Filename", package.path.is_empty() || package.path.split('/').any(|name| name == "..")),
            ("Size", package.size == 0),
            ("SHA256", package.sha256.is_none()),
        ];
        match missing.iter().find(|(_, missing)| *missing) {
            Some((field, _)) => Err(format!("the stanza of `{}` has no good `{field}`", package.name)),
            None => Ok(package),
        }
    }

    /// What it needs: all of the groups, any of each.
    pub(crate) fn needs(&self) -> impl Iterator<Item = Vec<Relation<'a>>> {
        let groups = self.depends.into_iter().flat_map(|field| field.split(','));
        groups
            .map(|group| group.split('|').filter_map(Relation::parse).collect())
            .filter(|group: &Vec<_>| !group.is_empty())
    }

    /// Whether it is what `relation` asks for, by its own name or by what it provides.
    pub(crate) fn satisfies(&self, relation: &Relation<'_>) -> bool {
        self.name == relation.name && relation.accepts(self.version)
    }

    fn rank(&self) -> usize {
        let ranks = ["required", "important", "standard", "optional"];
        ranks.iter().position(|rank| *rank == self.priority).unwrap_or(ranks.len())
    }
}

impl<'a> Relation<'a> {
    /// Reads `name:any (>= 1.2) [amd64]`.
    fn parse(text: &'a str) -> Option<Self> {
        let text = text.trim();
        let name_end = text.find([' ', '(', ':', '[', '<']).unwrap_or(text.len());
        let name = &text[..name_end];
        let version =
            text.split_once('(').and_then(|(_, rest)| rest.split_once(')')).and_then(|(inside, _)| {
                let inside = inside.trim();
                let digits = inside.find(|c: char| !"<>=".contains(c))?;
                let operator = match &inside[..digits] {
                    "<<" => Operator::Less,
                    "<=" | "<" => Operator::AtMost,
                    "=" => Operator::Exactly,
                    ">=" | ">" => Operator::AtLeast,
                    ">>" => Operator::More,
                    _ => return None,
                };
                Some((operator, inside[digits..].trim()))
            });
        (!name.is_empty()).then_some(Self { name, version })
    }

    fn accepts(&self, version: &str) -> bool {
        self.version.is_none_or(|(operator, wanted)| operator.holds(version, wanted))
    }
}

impl Operator {
    fn holds(self, version: &str, wanted: &str) -> bool {
        let order = version::compare(version, wanted);
        match self {
            Self::Less => order.is_lt(),
            Self::AtMost => order.is_le(),
            Self::Exactly => order.is_eq(),
            Self::AtLeast => order.is_ge(),
            Self::More => order.is_gt(),
        }
    }
}

//! Files that are made from the targets of a plan, as text.
//!
//! Each module turns [`Made`] into the text of one file and looks at nothing else, so that a file is stale exactly
//! when its text is not the one that is made.

mod completions;
mod compose;
mod docs;
mod justfile;
mod stale;

use bootway_plan::{Grid, Plan, Profiles, System};
use camino::{Utf8Path, Utf8PathBuf};
use clap::ValueEnum;

pub(crate) use docs::Unmarked;
pub(crate) use stale::difference;

/// What files are made from.
#[derive(Debug)]
pub(crate) struct Made<'a> {
    /// The targets, with their profiles.
    pub(crate) grids: &'a [Grid<'a>],
    /// The plan's file, without its directory.
    pub(crate) plan: &'a str,
    /// Its directory, absolute.
    pub(crate) dir: &'a Utf8Path,
    /// The system whose attributes are named: files must not depend on who makes them.
    pub(crate) system: System,
}

/// A kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum What {
    /// Completions of `bootway up` for bash, zsh and fish
    Completions,
    /// A compose file with a service for each container
    Compose,
    /// Recipes for `just`
    Justfile,
    /// A table in a Markdown file
    Docs,
}

impl What {
    pub(crate) const ALL: [Self; 4] = [Self::Completions, Self::Compose, Self::Justfile, Self::Docs];

    /// Its key in `[generate]`.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Completions => "completions",
            Self::Compose => "compose",
            Self::Justfile => "justfile",
            Self::Docs => "docs",
        }
    }

    /// Where it goes, as the plan says.
    pub(crate) fn place(self, plan: &Plan) -> Option<&str> {
        let generate = plan.generate();
        match self {
            Self::Completions => generate.completions.as_deref(),
            Self::Compose => generate.compose.as_deref(),
            Self::Justfile => generate.justfile.as_deref(),
            Self::Docs => generate.docs.as_deref(),
        }
    }

    /// The files of it, by path, relative to the plan's directory where `place` is. `old` reads a file that is there.
    pub(crate) fn files(
        self,
        made: &Made<'_>,
        place: &str,
        old: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Vec<(Utf8PathBuf, String)>, Unmarked> {
        let one = |text| Ok(vec![(Utf8PathBuf::from(place), text)]);
        match self {
            Self::Completions => {
                let dir = Utf8PathBuf::from(place);
                Ok(completions::files(made).map(|(name, text)| (dir.join(name), text)).to_vec())
            }
            Self::Compose => one(compose::text(made)),
            Self::Justfile => one(justfile::text(made, place)),
            Self::Docs => one(docs::text(made, place, old(place).as_deref())?),
        }
    }
}

impl Made<'_> {
    /// What a file says at its top: from what it is made.
    fn header(&self) -> String {
        let mut from = vec![format!("`{}`", self.plan)];
        for grid in self.grids {
            let list = match &grid.target().profiles {
                Profiles::Listed(_) => continue,
                Profiles::Nix { nix: file, .. } | Profiles::Toml { toml: file, .. } => format!("`{file}`"),
                Profiles::Flake { flake } => format!("the flake's `{flake}`"),
            };
            if !from.contains(&list) {
                from.push(list);
            }
        }
        format!("Made by `bootway generate` from {}: do not edit.", from.join(", "))
    }
}

#[cfg(test)]
mod tests;

//! A target whose profiles are known: every cell of profiles × variants.

use std::fmt;

use serde::Serialize;
use thiserror::Error;

use super::{
    Argv, Name, Need, Place, Platform, Profile, System, Target, TargetTemplate, Variant, argv::argv,
    check::against_profiles,
};
use crate::{ArtifactKind, nearest};

/// Programs that run containers, the first that is there first.
const ENGINES: [&str; 2] = ["docker", "podman"];

/// A target whose profiles are known.
#[derive(Clone, Debug)]
pub struct Grid<'a> {
    name: &'a Name,
    target: &'a Target,
    profiles: Vec<Profile>,
}

/// One profile of a target in one variant.
#[derive(Clone, Copy, Debug)]
pub struct Cell<'a> {
    /// The name of the target.
    pub target: &'a Name,
    /// The profile.
    pub profile: &'a Profile,
    /// The name of the variant.
    pub name: &'a Name,
    /// The variant.
    pub variant: &'a Variant,
    of: &'a Target,
}

/// What can be known about a machine before anything runs.
#[expect(missing_debug_implementations, reason = "holds closures")]
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// What it is.
    pub system: &'a System,
    /// Whether a program is on `PATH`.
    pub has_tool: &'a dyn Fn(&str) -> bool,
    /// Whether a container engine that is on `PATH` answers: docker needs a daemon that runs.
    pub engine_answers: &'a dyn Fn(&str) -> bool,
    /// Why hardware virtualisation cannot be used, if so.
    pub without_kvm: &'a dyn Fn() -> Option<String>,
}

impl<'a> Grid<'a> {
    /// The target `name` with its profiles.
    ///
    /// # Errors
    ///
    /// Everything in the target that does not go with the profiles.
    pub fn new(name: &'a Name, target: &'a Target, profiles: Vec<Profile>) -> Result<Self, GridError> {
        let complaints = against_profiles(target, &profiles);
        if complaints.is_empty() {
            return Ok(Self { name, target, profiles });
        }
        let say = |it: super::check::Complaint| format!("`{}`: {}", it.at.join("."), it.message);
        Err(GridError { target: name.clone(), complaints: complaints.into_iter().map(say).collect() })
    }

    /// The name of the target.
    pub const fn name(&self) -> &'a Name {
        self.name
    }

    /// The target.
    pub const fn target(&self) -> &'a Target {
        self.target
    }

    /// In the order of the list.
    pub fn profiles(&self) -> &[Profile] {
        &self.profiles
    }

    /// The profile that is meant when none is named.
    pub fn default_profile(&self) -> &Profile {
        self.target.default_profile.as_ref().unwrap_or(&self.profiles[0])
    }

    /// The variant that is meant when none is named.
    pub fn default_variant(&self) -> &Name {
        let first = || self.target.variants.keys().next().expect("a target has a variant");
        self.target.default_variant.as_ref().unwrap_or_else(first)
    }

    /// Every cell, profile by profile.
    pub fn cells(&self) -> impl Iterator<Item = Cell<'_>> {
        self.profiles.iter().flat_map(|profile| self.of_profile(profile))
    }

    /// The cells of one profile, in the order of the variants.
    pub fn of_profile<'b>(&'b self, profile: &'b Profile) -> impl Iterator<Item = Cell<'b>> {
        self.target.variants.iter().filter_map(move |(name, variant)| {
            let there = variant.profiles.as_ref().is_none_or(|it| it.contains(profile));
            there.then_some(Cell { target: self.name, profile, name, variant, of: self.target })
        })
    }

    /// The cell that a person means.
    ///
    /// # Errors
    ///
    /// If there is no such profile, no such variant, or not both together.
    pub fn choose(&self, profile: Option<&str>, variant: Option<&str>) -> Result<Cell<'_>, ChooseError> {
        let profile = match profile {
            None => self.default_profile(),
            Some(text) => self
                .profiles
                .iter()
                .find(|it| it.as_str() == text)
                .ok_or_else(|| self.unknown_profile(text))?,
        };
        let variant = match variant {
            None => self.default_variant(),
            Some(text) => self.target.variants.get(text).map(|(name, _)| name).ok_or_else(|| {
                let available = self.target.variants.keys().map(ToString::to_string).collect::<Vec<_>>();
                ChooseError::Variant {
                    target: self.name.clone(),
                    near: nearest(text, available.iter().map(String::as_str)).map(str::to_owned),
                    text: text.to_owned(),
                    available,
                }
            })?,
        };
        self.of_profile(profile).find(|cell| cell.name == variant).ok_or_else(|| ChooseError::Together {
            target: self.name.clone(),
            profile: profile.clone(),
            variant: variant.clone(),
            available: self.of_profile(profile).map(|cell| cell.name.to_string()).collect(),
        })
    }

    fn unknown_profile(&self, text: &str) -> ChooseError {
        let available: Vec<String> = self.profiles.iter().map(ToString::to_string).collect();
        ChooseError::Profile {
            target: self.name.clone(),
            near: nearest(text, available.iter().map(String::as_str)).map(str::to_owned),
            is_variant: self.target.variants.get(text).map(|_| self.default_profile().clone()),
            text: text.to_owned(),
            available,
        }
    }

    /// What to name where `cell` cannot run: those of its `instead` that can.
    pub fn instead(&self, cell: &Cell<'_>, facts: &Facts<'_>) -> Vec<Cell<'_>> {
        let named = cell.variant.instead.iter().filter_map(|name| {
            let (name, variant) = self.target.variants.get(name.as_str())?;
            let exists = |it: &&Profile| variant.profiles.as_ref().is_none_or(|all| all.contains(it));
            let same = self.profiles.iter().find(|it| *it == cell.profile).filter(exists);
            let profile = same.or_else(|| self.profiles.iter().find(exists))?;
            Some(Cell { target: self.name, profile, name, variant, of: self.target })
        });
        named.filter(|cell| cell.unavailable(facts).is_none()).collect()
    }
}

impl Cell<'_> {
    /// The attribute of the flake.
    pub fn attribute(&self, system: &System) -> String {
        let template = self.variant.attribute.as_ref().unwrap_or(&self.of.attribute);
        template.fill(&|place| self.place(place, system, ""))
    }

    /// A template of this cell, filled in; `path` is the artifact.
    pub fn fill(&self, template: &TargetTemplate, system: &System, path: &str) -> String {
        template.fill(&|place| match place {
            Place::Attribute => self.attribute(system),
            _ => self.place(place, system, path),
        })
    }

    fn place(&self, place: Place, system: &System, path: &str) -> String {
        match place {
            Place::Target => self.target.to_string(),
            Place::Profile => self.profile.to_string(),
            Place::Variant => self.name.to_string(),
            Place::System => system.to_string(),
            Place::Attribute => String::new(), // Checked: it is not used inside itself.
            Place::Path => path.to_owned(),
        }
    }

    /// What its container's image is called.
    pub fn image(&self, system: &System) -> String {
        let template = self.variant.container.as_ref().and_then(|it| it.image.as_ref());
        template.map_or_else(|| self.attribute(system) + ":latest", |it| self.fill(it, system, ""))
    }

    /// The arguments of the program when it is given `args` in an environment.
    pub fn argv(&self, args: &[String], system: &System, env: &dyn Fn(&str) -> Option<String>) -> Argv {
        argv(&self.of.env, args, &|name, spec| {
            let value = env(name).filter(|value| !value.is_empty());
            value.or_else(|| spec.default.as_ref().map(|template| self.fill(template, system, "")))
        })
    }

    /// Whether the attribute is there on `system`.
    pub fn exists_on(&self, system: &System) -> bool {
        let platforms = &self.variant.platforms;
        platforms.is_empty() || platforms.iter().any(|platform| platform.has(system))
    }

    /// Why it cannot run on a machine, if so.
    pub fn unavailable(&self, facts: &Facts<'_>) -> Option<Unavailable> {
        let needs = &self.variant.needs;
        for platforms in [&self.variant.platforms, &needs.platforms] {
            if !platforms.is_empty() && !platforms.iter().any(|platform| platform.has(facts.system)) {
                return Some(Unavailable::Platform { only: platforms.clone(), here: facts.system.clone() });
            }
        }
        if let Some(tool) = needs.tools.iter().find(|tool| !(facts.has_tool)(tool)) {
            return Some(Unavailable::Tools(vec![tool.clone()]));
        }
        let any_tool = self.any_tool();
        let found: Vec<&String> = any_tool.iter().filter(|tool| (facts.has_tool)(tool)).collect();
        if !any_tool.is_empty() && found.is_empty() {
            return Some(Unavailable::Tools(any_tool));
        }
        let are_engines = !found.is_empty() && found.iter().all(|tool| ENGINES.contains(&tool.as_str()));
        if are_engines && !found.iter().any(|tool| (facts.engine_answers)(tool)) {
            return Some(Unavailable::Silent(found.into_iter().cloned().collect()));
        }
        if needs.kvm == Some(Need::Required) {
            return (facts.without_kvm)().map(Unavailable::Kvm);
        }
        None
    }

    /// The programs of which it takes one; for a container these are the engines unless said.
    pub fn any_tool(&self) -> Vec<String> {
        if self.variant.needs.any_tool.is_empty() && self.by_engine() {
            return ENGINES.map(str::to_owned).to_vec();
        }
        self.variant.needs.any_tool.clone()
    }

    /// Whether a container engine runs it.
    pub fn by_engine(&self) -> bool {
        self.variant.kind == Some(ArtifactKind::Container) && self.variant.run.is_empty()
    }
}

impl fmt::Display for Cell<'_> {
    /// `test-origin/default/runner`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.target, self.profile, self.name)
    }
}

/// Why a cell cannot run on a machine, as short as in a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Error)]
#[serde(rename_all = "kebab-case")]
pub enum Unavailable {
    /// It is for other systems.
    #[error("{} only, this is {here}", only.iter().map(Platform::human).collect::<Vec<_>>().join(" or "))]
    Platform {
        /// For these.
        only: Vec<Platform>,
        /// This is another.
        here: System,
    },
    /// None of these programs is there.
    #[error("{} not found", .0.join(" or "))]
    Tools(Vec<String>),
    /// These container engines are there, and none of them answers.
    #[error("{}: daemon not running", .0.join(", "))]
    Silent(Vec<String>),
    /// Hardware virtualisation cannot be used.
    #[error("KVM not available: {0}")]
    Kvm(String),
}

/// What a person named is not there.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ChooseError {
    /// The message is the one that a `validateProfile` in Nix throws.
    #[error("Unknown {target} profile '{text}'. Available: {}", available.join(", "))]
    Profile {
        /// Of which target.
        target: Name,
        /// What was named.
        text: String,
        /// All there are.
        available: Vec<String>,
        /// What may have been meant.
        near: Option<String>,
        /// If it is a variant: the default profile.
        is_variant: Option<Profile>,
    },
    /// There is no such variant.
    #[error("Unknown {target} variant '{text}'. Available: {}", available.join(", "))]
    Variant {
        /// Of which target.
        target: Name,
        /// What was named.
        text: String,
        /// All there are.
        available: Vec<String>,
        /// What may have been meant.
        near: Option<String>,
    },
    /// The variant is not there for that profile.
    #[error(
        "{target} has no variant '{variant}' of profile '{profile}'. Available: {}",
        available.join(", ")
    )]
    Together {
        /// Of which target.
        target: Name,
        /// It exists.
        profile: Profile,
        /// It exists.
        variant: Name,
        /// The variants of the profile.
        available: Vec<String>,
    },
}

impl ChooseError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Profile { is_variant: Some(profile), text, .. } => {
                Some(format!("`{text}` is a variant: the profile comes first, `{profile} {text}`"))
            }
            Self::Profile { near, .. } | Self::Variant { near, .. } => {
                near.as_ref().map(|near| format!("did you mean `{near}`"))
            }
            Self::Together { .. } => None,
        }
    }
}

/// A target does not go with its profiles.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("target `{target}` does not go with its list of profiles: {}", complaints.join("; "))]
pub struct GridError {
    target: Name,
    complaints: Vec<String>,
}

impl crate::Explain for GridError {
    fn class(&self) -> crate::Class {
        crate::Class::Plan
    }
}

//! Parameters of `nix-check`: what must hold of a flake, by evaluation alone.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Digest;

/// What must hold of a flake, by evaluation alone; one check for each thing that must.
///
/// Expressions are Nix, with the outputs of the flake in scope, so that an attribute path is one
/// (`lib.profiles`); the flake itself is `flake`. Everything is evaluated without looking at the environment
/// and without building anything, also for systems that this machine is not. Names may have `*`, `?`, `[…]`
/// and `{a,b}`; a name with a dot says its output first (`apps.up`), any other is one of `packages`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct NixCheck {
    /// The flake; that of `[nix]` unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flake: Option<String>,
    /// The systems that the flake is for, such as `x86_64-linux`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub systems: Vec<String>,
    /// Its outputs: these and no others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs: Option<BTreeSet<String>>,
    /// How it says that a system cannot have something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gating: Option<Gating>,
    /// What every one of `systems` must have; of a name with wildcards, all that any system has and `only-on` does
    /// not name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub universal: Vec<String>,
    /// What those systems must have and the others of `systems` must not; systems may have wildcards, too.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub only_on: BTreeMap<String, Vec<String>>,
    /// How things are called.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub naming: Vec<Naming>,
    /// Files of the flake, as patterns, in which no lookup path such as `<nixpkgs>` may be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub no_lookup_path: Vec<String>,
    /// Lists of profiles: each can be had, and any other is refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub profiles: Vec<Profiles>,
    /// Expressions that must evaluate: a derivation to what would be built, any other set with each of its
    /// attributes, anything else to its value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evaluates: Vec<String>,
    /// Expressions that must throw.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub throws: Vec<Throws>,
    /// Expressions and the values that they must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub equals: BTreeMap<String, Value>,
    /// Expressions and what must be in their values: a piece of a text, an element of a list, or keys of a set with
    /// their values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub contains: BTreeMap<String, Value>,
    /// Locks all of the above: once it is here, nothing changes without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
}

/// How a flake says that a system cannot have something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Gating {
    /// It is not there: what is there is neither `null` nor throws.
    Omit,
}

/// How the attributes of one output are called, on every system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Naming {
    /// The output; `packages` unless said.
    #[serde(default = "packages")]
    pub output: String,
    /// Each name is one of these, with places such as `{profile}` filled in.
    pub templates: Vec<String>,
    /// What may be in the places.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub places: BTreeMap<String, Names>,
    /// Names that are good as they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<String>,
    /// Whether every name that the templates give must be there, except where `only-on` forbids it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub complete: bool,
}

fn packages() -> String {
    "packages".to_owned()
}

/// Some names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Names {
    /// These.
    These(Vec<String>),
    /// An expression that is a list of them.
    Of(String),
}

/// A list of profiles.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Profiles {
    /// Their names.
    pub list: Names,
    /// A function of a name that must evaluate for each of them, as in `evaluates`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<String>,
    /// What becomes of any other name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refuses: Option<Refuses>,
}

/// How a name that is no profile is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Refuses {
    /// A function of a name that must throw.
    pub by: String,
    /// The name that is tried.
    #[serde(default = "nobody")]
    pub name: String,
    /// What it must throw, exactly; `{name}` is the name and `{profiles}` are all profiles, with a comma between.
    pub message: String,
}

fn nobody() -> String {
    "no-such-profile".to_owned()
}

/// An expression that must throw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Throws {
    /// The expression.
    pub expr: String,
    /// What it must throw, exactly.
    pub message: String,
}

impl NixCheck {
    /// The digest that locks this contract: of all that must hold, not of where the flake is.
    ///
    /// ```
    /// use bootway_plan::step::NixCheck;
    ///
    /// let mut contract = NixCheck { evaluates: vec!["packages.x86_64-linux.default".into()], ..NixCheck::default() };
    /// contract.digest = Some(contract.lock());
    /// assert_eq!(contract.digest, Some(contract.lock()), "the lock is no part of what it locks");
    /// contract.evaluates.clear();
    /// assert_ne!(contract.digest, Some(contract.lock()));
    /// ```
    pub fn lock(&self) -> Digest {
        let locked = Self { flake: None, digest: None, ..self.clone() };
        Digest::of(&serde_json::to_vec(&locked).expect("parameters are plain data"))
    }

    /// Whether it says nothing that could be checked.
    pub fn is_empty(&self) -> bool {
        let Self { universal, only_on, naming, no_lookup_path, profiles, evaluates, .. } = self;
        self.outputs.is_none()
            && self.gating.is_none()
            && universal.is_empty()
            && only_on.is_empty()
            && naming.is_empty()
            && no_lookup_path.is_empty()
            && profiles.is_empty()
            && evaluates.is_empty()
            && self.throws.is_empty()
            && self.equals.is_empty()
            && self.contains.is_empty()
    }

    /// What is wrong with it that its types cannot see: the text of the plan that it is about, and why.
    pub(crate) fn problems(&self) -> Vec<(Option<String>, String)> {
        let mut problems = Vec::new();
        if self.is_empty() {
            problems
                .push((None, "without an expectation nothing is proved: write down what must hold".into()));
        }
        if self.systems.is_empty() && !(self.universal.is_empty() && self.only_on.is_empty()) {
            let message = "`universal` and `only-on` are about systems: list them in `systems`";
            problems.push((None, message.to_owned()));
        }
        for naming in &self.naming {
            problems.extend(naming.problems());
        }
        for profiles in self.profiles.iter().filter(|it| it.access.is_none() && it.refuses.is_none()) {
            let text = if let Names::Of(text) = &profiles.list { Some(text.clone()) } else { None };
            let message = "a list of profiles proves nothing by itself: add `access` or `refuses`";
            problems.push((text, message.to_owned()));
        }
        if let Some(digest) = self.digest
            && digest != self.lock()
        {
            let message = format!(
                "the contract is not the one that `digest` locks: if that is meant, write `digest = \"{}\"`",
                self.lock()
            );
            problems.push((Some(digest.to_string()), message));
        }
        problems
    }

    pub(super) fn summary(&self) -> String {
        let flake = self.flake.as_deref().unwrap_or(".");
        let mut words = Vec::new();
        words.extend(self.outputs.as_ref().map(|it| format!("{} outputs", it.len())));
        words.extend(self.gating.map(|Gating::Omit| "gating by omission".to_owned()));
        let mut count = |n: usize, noun: &str| {
            if n > 0 {
                words.push(format!("{n} {noun}"));
            }
        };
        count(self.universal.len(), "universal");
        count(self.only_on.len(), "gated");
        count(self.naming.len(), "naming");
        count(self.profiles.len(), "profile lists");
        count(self.evaluates.len() + self.equals.len() + self.contains.len(), "values");
        count(self.throws.len(), "throws");
        words.extend((!self.no_lookup_path.is_empty()).then(|| "no lookup paths".to_owned()));
        format!("{flake}: {}", words.join(", "))
    }
}

impl Naming {
    /// The names in braces of `template`, in order; `None` if its braces do not match.
    pub fn places_of(template: &str) -> Option<Vec<&str>> {
        let mut places = Vec::new();
        let mut rest = template;
        while let Some(start) = rest.find(['{', '}']) {
            let (place, behind) = rest[start..].strip_prefix('{')?.split_once('}')?;
            if place.is_empty() || place.contains('{') {
                return None;
            }
            places.push(place);
            rest = behind;
        }
        Some(places)
    }

    fn problems(&self) -> Vec<(Option<String>, String)> {
        let mut problems = Vec::new();
        if self.templates.is_empty() {
            problems.push((Some(self.output.clone()), "`templates` is empty: no name would be good".into()));
        }
        for template in &self.templates {
            let Some(places) = Self::places_of(template) else {
                let message = format!("the braces of `{template}` do not match: write `{{place}}`");
                problems.push((Some(template.clone()), message));
                continue;
            };
            let known: Vec<&str> = self.places.keys().map(String::as_str).collect();
            for place in places.into_iter().filter(|place| !known.contains(place)) {
                problems.push((Some(template.clone()), crate::nearest::unknown("place", place, &known)));
            }
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use crate::{Spec, Vars, resolve};

    #[track_caller]
    fn problems(check: &str) -> String {
        let text = format!(
            "format = 1\nname = \"demo\"\nepoch = 0\n[[phase]]\nname = \"check\"\n[[phase.step]]\nname = \"contract\"\n[phase.step.nix-check]\n{check}"
        );
        let result = Spec::from_toml(&text, &Vars::default()).and_then(|spec| resolve(&spec));
        result.map_or_else(|problems| problems.to_string(), |plan| plan.to_string())
    }

    #[test]
    fn a_contract_is_read() {
        insta::assert_snapshot!(problems(r#"
            systems  = ["x86_64-linux", "aarch64-darwin"]
            outputs  = ["apps", "packages"]
            gating   = "omit"
            universal = ["app", "apps.up"]
            no-lookup-path = ["**/*.nix"]
            evaluates = ["packages.x86_64-linux.app"]
            throws   = [{ expr = "lib.validate \"nope\"", message = "unknown" }]
            equals   = { "lib.version" = "1.0", "lib.ports" = [80, 443] }
            contains = { "lib.profiles" = "default" }

            [phase.step.nix-check.only-on]
            "*-vm" = ["*-linux"]

            [[phase.step.nix-check.naming]]
            templates = ["{target}-{profile}", "{target}"]
            except    = ["default"]
            places    = { target = ["app"], profile = "lib.profiles" }

            [[phase.step.nix-check.profiles]]
            list    = "lib.profiles"
            access  = "lib.configOf"
            refuses = { by = "lib.validate", message = "Unknown profile '{name}'. Available: {profiles}" }
        "#), @"
        plan demo, epoch 0
        check
          1. contract  nix-check  .: 2 outputs, gating by omission, 2 universal, 1 gated, 1 naming, 1 profile lists, 4 values, 1 throws, no lookup paths
        ");
    }

    #[test]
    fn what_cannot_be_meant_is_said_where_it_is() {
        insta::assert_snapshot!(problems(""), @"
        `plan.toml` is not a plan that can be run
        plan.toml:8:13: without an expectation nothing is proved: write down what must hold
          |
        8 | [phase.step.nix-check]
          |             ^^^^^^^^^
        ");
        insta::assert_snapshot!(problems("universal = [\"app\"]"), @"
        `plan.toml` is not a plan that can be run
        plan.toml:8:13: `universal` and `only-on` are about systems: list them in `systems`
          |
        8 | [phase.step.nix-check]
          |             ^^^^^^^^^
        ");
        insta::assert_snapshot!(problems(
            "naming = [{ templates = [\"{target}-{profil}\", \"{a\"], places = { target = [], profile = [] } }]"
        ), @r#"
        `plan.toml` is not a plan that can be run: 2 problems
        plan.toml:9:26: unknown place `profil`: did you mean `profile`
          |
        9 | naming = [{ templates = ["{target}-{profil}", "{a"], places = { target = [], profile = [] } }]
          |                          ^^^^^^^^^^^^^^^^^^^
        plan.toml:9:47: the braces of `{a` do not match: write `{place}`
          |
        9 | naming = [{ templates = ["{target}-{profil}", "{a"], places = { target = [], profile = [] } }]
          |                                               ^^^^
        "#);
        insta::assert_snapshot!(problems("profiles = [{ list = \"lib.profiles\" }]"), @r#"
        `plan.toml` is not a plan that can be run
        plan.toml:9:22: a list of profiles proves nothing by itself: add `access` or `refuses`
          |
        9 | profiles = [{ list = "lib.profiles" }]
          |                      ^^^^^^^^^^^^^^
        "#);
        insta::assert_snapshot!(problems("gatings = \"omit\""), @r#"
        `plan.toml` is not a plan that can be run
        plan.toml:9:1: unknown key `gatings`: did you mean `gating`
          |
        9 | gatings = "omit"
          | ^^^^^^^
        "#);
        insta::assert_snapshot!(problems("gating = \"null\""), @r#"
        `plan.toml` is not a plan that can be run
        plan.toml:9:10: unknown word `null`: use one of `omit`
          |
        9 | gating = "null"
          |          ^^^^^^
        "#);
    }

    #[test]
    fn a_locked_contract_changes_only_with_its_lock() {
        let changed = "outputs = [\"apps\", \"packages\"]\ndigest = \"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"";
        let said = problems(changed);
        insta::assert_snapshot!(said, @r#"
        `plan.toml` is not a plan that can be run
        plan.toml:10:10: the contract is not the one that `digest` locks: if that is meant, write `digest = "7962a95087107e38d01b422a4387217aeebe99cb933e6803e4b91db7c66d9925"`
           |
        10 | digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
           |          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
        "#);
        let (_, rest) = said.split_once("write `").unwrap();
        let (lock, _) = rest.split_once('`').unwrap();
        let locked = format!("outputs = [\"packages\", \"apps\"]\n{lock}");
        assert!(problems(&locked).starts_with("plan demo"), "{}", problems(&locked));
        let moved = format!("{locked}\nflake = \"./other\"");
        assert!(problems(&moved).starts_with("plan demo"), "where the flake is does not matter");
        let more = format!("{locked}\ngating = \"omit\"");
        assert!(problems(&more).contains("write `digest = "), "{}", problems(&more));
    }
}

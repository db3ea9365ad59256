//! `[tiers]`: checks that are run together, and how long they may take together.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Millis;

/// A tier of checks; each includes the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// Seconds.
    Quick,
    /// Minutes.
    Build,
    /// As long as it takes.
    Full,
}

impl Tier {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::Build => "build",
            Self::Full => "full",
        }
    }
}

/// What holds of the tiers as wholes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Tiers {
    /// How long each may take, with everything that it needs; as long as it takes unless said.
    #[serde(skip_serializing_if = "Budgets::is_empty")]
    pub budget: Budgets,
}

/// How long each tier may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Budgets {
    /// The checks of `quick`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quick: Option<Millis>,
    /// Those and the checks of `build`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build: Option<Millis>,
    /// All checks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub full: Option<Millis>,
}

impl Budgets {
    /// How long `tier` may take, if that is limited.
    pub const fn of(&self, tier: Tier) -> Option<Millis> {
        match tier {
            Tier::Quick => self.quick,
            Tier::Build => self.build,
            Tier::Full => self.full,
        }
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Tiers {
    /// Whether nothing is said.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Plan, Selection, Spec, Vars, resolve};

    fn plan(head: &str) -> Result<Plan, String> {
        let text = format!(
            r#"
            format = 1
            name = "demo"
            epoch = 0
            {head}
            [[phase]]
            name = "check"
            step = [
                {{ name = "contract", nix-check = {{ outputs = ["packages"] }} }},
                {{ name = "slow-contract", tier = "build", nix-check = {{ outputs = ["packages"] }} }},
                {{ name = "lint", tier = "quick", command = {{ argv = ["true"] }} }},
                {{ name = "later", placeholder = true, command = {{ argv = ["true"] }} }},
                {{ name = "helper", command = {{ argv = ["true"] }} }},
            ]
            "#
        );
        let plan = Spec::from_toml(&text, &Vars::default()).and_then(|spec| resolve(&spec));
        plan.map_err(|problems| problems.to_string())
    }

    #[test]
    fn each_tier_includes_the_ones_before_it() {
        let plan = plan("").unwrap();
        let steps = |tier| {
            let selection = Selection { tier: Some(tier), ..Selection::default() };
            let steps = selection.steps(&plan, None).unwrap();
            steps.iter().map(|step| step.id.as_str().to_owned()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(steps(Tier::Quick), "contract lint");
        assert_eq!(steps(Tier::Build), "contract slow-contract lint");
        assert_eq!(steps(Tier::Full), "contract slow-contract lint later");
    }

    #[test]
    fn each_tier_has_its_own_budget() {
        let some = plan(r#"tiers.budget = { quick = "60s", full = "1h" }"#).unwrap();
        let budgets = [Tier::Quick, Tier::Build, Tier::Full].map(|tier| some.tiers().budget.of(tier));
        assert_eq!(budgets, [Some(Millis::new(60_000)), None, Some(Millis::new(3_600_000))]);
        let wrong = plan(r#"tiers.budget = { fast = "60s" }"#).unwrap_err();
        assert!(wrong.contains("unknown key `fast`"), "{wrong}");
    }
}

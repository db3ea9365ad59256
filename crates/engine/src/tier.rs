//! What a tier comes to as a whole: its time, and whether everything in it proves something.

use bootway_plan::{Class, EventKind, Failure, Millis, Step, Tier, Tiers, Verdict};

use crate::Outcome;

/// What there is to say of a run's time, if its tier has a budget: a verdict if it took longer. That it did not is no
/// check that passed, as it proves nothing about what was made.
pub(crate) fn time(tier: Tier, tiers: &Tiers, took: Millis) -> Option<EventKind> {
    let budget = tiers.budget.of(tier)?;
    if took <= budget {
        return Some(EventKind::Note {
            text: format!("tier {} took {took}, and may take {budget}", tier.as_str()),
        });
    }
    Some(EventKind::Check {
        name: format!("tier {} in {budget}", tier.as_str()),
        verdict: Verdict::OverBudget,
        after_ms: took.get(),
        detail: Some(format!("it took {took}, and may take {budget}")),
    })
}

/// What keeps a tier from being good although every step of it ended well.
pub(crate) fn failures(
    tier: Tier,
    tiers: &Tiers,
    took: Millis,
    steps: &[&Step],
    outcome: &Outcome,
) -> Vec<Failure> {
    let mut failures = Vec::new();
    let ended_well = |step: &Step| outcome.steps.get(&step.id).is_some_and(|end| end.artifacts().is_some());
    let placeholders: Vec<String> = steps
        .iter()
        .filter(|step| step.common.placeholder && ended_well(step))
        .map(|step| format!("`{}`", step.id))
        .collect();
    let tier_name = tier.as_str();
    if !placeholders.is_empty() {
        let message =
            format!("tier `{tier_name}` has placeholders, which prove nothing: {}", placeholders.join(", "));
        let hint = "write the checks, or take the steps out of the plan until they are written";
        failures.push(Failure::new(Class::Check, message).hint(hint));
    }
    if let Some(budget) = tiers.budget.of(tier).filter(|budget| took > *budget) {
        let message = format!("tier `{tier_name}` took {took}, and may take {budget}");
        let hint = format!(
            "move what is slow to a later tier, or raise `{tier_name}` of `budget` in `[tiers]`: the report says what took how long"
        );
        failures.push(Failure::new(Class::Check, message).hint(hint));
    }
    failures
}

#[cfg(test)]
mod tests {
    use bootway_plan::{Spec, Vars, resolve};

    use super::*;
    use crate::StepEnd;

    #[test]
    fn time_is_judged_against_the_budget_of_the_tier_that_was_run() {
        let text = r#"
            format = 1
            name = "demo"
            epoch = 0
            tiers.budget = { quick = "60s", build = "10min" }
            [[phase]]
            name = "check"
            step = [{ name = "later", placeholder = true, command = { argv = ["true"] } }]
        "#;
        let plan = resolve(&Spec::from_toml(text, &Vars::default()).unwrap()).unwrap();
        let minutes = |n: u64| Millis::new(n * 60_000);
        let verdict = |tier, took| match time(tier, plan.tiers(), took) {
            Some(EventKind::Check { verdict, .. }) => format!("{verdict:?}"),
            Some(EventKind::Note { text }) => text,
            _ => "nothing".to_owned(),
        };
        assert_eq!(verdict(Tier::Quick, minutes(1)), "tier quick took 1min, and may take 1min");
        assert_eq!(verdict(Tier::Quick, minutes(2)), "OverBudget");
        assert_eq!(verdict(Tier::Build, minutes(2)), "tier build took 2min, and may take 10min");
        assert_eq!(verdict(Tier::Full, minutes(600)), "nothing");

        let steps: Vec<&Step> = plan.steps().collect();
        let mut outcome = Outcome::default();
        let none = failures(Tier::Full, plan.tiers(), minutes(1), &steps, &outcome);
        assert_eq!(none, [], "a placeholder that did not run is not what is wrong");
        outcome.steps.insert(steps[0].id.clone(), StepEnd::Done(Vec::new()));
        let both = failures(Tier::Quick, plan.tiers(), minutes(2), &steps, &outcome);
        let said: Vec<String> = both.iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(said.join("\n"), @"
        error: tier `quick` has placeholders, which prove nothing: `later`
          hint: write the checks, or take the steps out of the plan until they are written
        error: tier `quick` took 2min, and may take 1min
          hint: move what is slow to a later tier, or raise `quick` of `budget` in `[tiers]`: the report says what took how long
        ");
    }
}

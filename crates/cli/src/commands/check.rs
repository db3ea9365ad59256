//! `bootway check`: the steps of a tier.

use bootway_engine::Loaded;
use bootway_plan::{Failure, Selection, Tier, exit_code};
use clap::{Args, ValueEnum};

use crate::{
    commands::generate,
    grids::with_targets,
    open::PlanArgs,
    record::{RunArgs, record_outcome},
    style,
};

/// Run all checks of a tier, and what they need
///
/// Each tier includes the ones before it. The exit code is that of the worst verdict; a placeholder and a tier that
/// takes longer than its budget are verdicts, too.
#[derive(Debug, Args)]
pub(crate) struct Check {
    #[command(flatten)]
    plan: PlanArgs,
    /// Steps of this tier and the ones below it
    #[arg(long, value_name = "TIER", default_value = "quick")]
    tier: TierArg,
    /// Only say what the checks are
    #[arg(long)]
    list: bool,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum TierArg {
    /// Seconds
    Quick,
    /// Minutes
    Build,
    /// As long as it takes
    Full,
}

impl Check {
    pub(crate) fn run(&self, color: style::When) -> Result<u8, Failure> {
        let loaded = with_targets(self.plan.load_for(self.run.is_for_programs())?)?;
        let tier = match self.tier {
            TierArg::Quick => Tier::Quick,
            TierArg::Build => Tier::Build,
            TierArg::Full => Tier::Full,
        };
        let selection = Selection { tier: Some(tier), ..Selection::default() };
        if self.list {
            return list(&loaded, tier);
        }
        let seen = generate::seen_here(&loaded)?;
        let args = self.run.all_of_it();
        record_outcome(&loaded, self.plan.work(&loaded), selection, &args, seen, color).map(|(code, _)| code)
    }
}

/// Prints the checks of a tier: steps, and files that are made from targets.
fn list(loaded: &Loaded, tier: Tier) -> Result<u8, Failure> {
    let mut text = String::new();
    for step in loaded.plan.steps().filter(|step| step.common.tier.is_some_and(|it| it <= tier)) {
        text += &format!("{}  {}  {}\n", step.id, step.action.kind(), step.action.summary());
    }
    for file in generate::files_here(loaded)? {
        text += &format!("generate  {file}\n");
    }
    crate::print(&text);
    Ok(exit_code::DONE)
}

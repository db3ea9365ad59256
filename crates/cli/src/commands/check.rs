//! `bootway check`: the steps of a tier.

use bootway_plan::{Failure, Selection, Tier};
use clap::{Args, ValueEnum};

use crate::{
    open::PlanArgs,
    record::{RunArgs, record},
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
        let loaded = self.plan.load()?;
        let tier = match self.tier {
            TierArg::Quick => Tier::Quick,
            TierArg::Build => Tier::Build,
            TierArg::Full => Tier::Full,
        };
        let selection = Selection { tier: Some(tier), ..Selection::default() };
        record(&loaded, self.plan.work(&loaded), selection, &self.run.all_of_it(), color)
    }
}

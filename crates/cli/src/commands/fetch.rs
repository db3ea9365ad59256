//! `bootway fetch`: what a plan needs from the network, ahead of time.

use bootway_engine::downloads;
use bootway_exec::SystemRunner;
use bootway_plan::{Class, Failure, exit_code};
use clap::Args;

use crate::{
    open::{PlanArgs, SelectArgs},
    record::{RunArgs, ShowArgs, record},
    style,
};

/// Download and verify everything that a plan needs from the network, and build nothing
///
/// That is: files of `fetch` steps, sources of packages, and packages of Debian, which are resolved and locked if they are
/// not yet. All of it goes to the cache, where a build finds it without a network. What is in the cache already is read
/// and verified. Steps that use the network themselves when they run, such as those of Nix, are named.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Fetch {
    #[command(flatten)]
    plan: PlanArgs,
    #[command(flatten)]
    select: SelectArgs,
    #[command(flatten)]
    show: ShowArgs,
}

const EXAMPLES: &str = "\
Examples:
  bootway fetch system.plan.toml                      all that the plan needs
  bootway fetch system.plan.toml --package busybox    all that this package needs
  bootway fetch system.plan.toml --cache ~/sources    to a cache that plans share; build with the same";

impl Fetch {
    pub(crate) fn run(&self, color: style::When) -> Result<u8, Failure> {
        let loaded = self.plan.load_for(self.show.is_for_programs())?;
        let (work, selection) = (self.plan.work(&loaded), self.select.selection());
        let found = downloads(&loaded, &work, &SystemRunner::default(), &selection)?;
        for (step, how) in &found.own {
            style::say(&format!("not fetched: what `{step}` needs: {how}"));
        }
        if !found.steps.is_empty() {
            return record(&loaded, work, selection, &RunArgs::of_fetch(&self.show), color);
        }
        if found.own.is_empty() {
            style::say("nothing of it comes from the network");
            return Ok(exit_code::DONE);
        }
        Err(Failure::new(Class::Nothing, "nothing that the selected steps need can be fetched ahead of time"))
    }
}

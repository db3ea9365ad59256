//! `bootway build`: everything a plan asks for.

use bootway_engine::selected;
use bootway_exec::SystemRunner;
use bootway_plan::Failure;
use clap::Args;

use crate::{
    commands::plan::say_commands,
    open::{PlanArgs, SelectArgs},
    record::{RunArgs, record},
    style,
};

/// Build and prove everything a plan asks for
#[derive(Debug, Args)]
pub(crate) struct Build {
    #[command(flatten)]
    plan: PlanArgs,
    #[command(flatten)]
    select: SelectArgs,
    /// Print the commands that would be run, and run nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    run: RunArgs,
}

impl Build {
    pub(crate) fn run(&self, color: style::When) -> Result<u8, Failure> {
        let loaded = self.plan.load_for(self.run.is_for_programs())?;
        let work = self.plan.work(&loaded);
        let selection = self.select.selection();
        if self.dry_run {
            let (loaded, steps) = selected(&loaded, &work, &SystemRunner::default(), &selection)?;
            return say_commands(&loaded, &work, Some(&steps), self.run.is_for_programs());
        }
        record(&loaded, work, selection, &self.run, color)
    }
}

//! Building an image and booting it, from a fresh clone.

use bootway_plan::{Class, Failure};
use clap::Args;

use crate::{Done, packages::UsedBy, setup::have, sh::cargo};

/// Build a plan, the demo unless one is named, and boot it
#[derive(Debug, Args)]
pub(crate) struct BuildImage {
    /// Install what is missing first
    #[arg(long)]
    setup: bool,
    /// The plan, and options of `bootway build`
    #[arg(value_name = "PLAN|OPTION", trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

impl BuildImage {
    pub(crate) fn run(self) -> Done {
        // Whoever writes the plan first gets `--setup` as one of the options.
        let (setup, args): (Vec<String>, Vec<String>) =
            self.args.into_iter().partition(|arg| arg == "--setup");
        have(UsedBy::Demo, self.setup || !setup.is_empty())?;
        let plan =
            args.first().is_none_or(|arg| arg.starts_with('-')).then_some("fixtures/plans/demo.plan.toml");
        let build = cargo(["run", "--package", "bootway", "--", "build"]).args(plan).args(args);
        match build.code()? {
            Some(0) => Ok(()),
            // It has said why; its exit code is passed on by its class.
            Some(code) => Err(Failure::new(class(code), format!("the build exited with code {code}"))),
            None => Err(Failure::new(Class::Bug, "the build was killed by a signal")),
        }
    }
}

/// The class that an exit code of bootway stands for.
fn class(code: i32) -> Class {
    let all = [Class::Nothing, Class::Check, Class::Step, Class::Environment, Class::Plan, Class::Cancelled];
    all.into_iter().find(|class| i32::from(class.exit_code()) == code).unwrap_or(Class::Bug)
}

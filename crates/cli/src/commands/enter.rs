//! `bootway enter`: a shell in a root.

use bootway_engine::{enter_failed, enter_namespace};
use bootway_exec::{SystemRunner, replace};
use bootway_plan::{Class, Failure};
use camino::Utf8PathBuf;
use clap::Args;

use crate::{
    open::{OverrideArgs, PlanArgs},
    program::helper,
    style,
};

/// Open a shell in the root of a namespace, or where a step has failed
///
/// The root is as the steps that are done have left it. What is changed there is forgotten, except with `--failed`.
#[derive(Debug, Args)]
pub(crate) struct Enter {
    /// The namespace; with `--failed` a step that has failed, or the last one that has
    #[arg(value_name = "NAMESPACE", required_unless_present = "failed")]
    name: Option<String>,
    /// Go where a step has failed: with what it has left there, in the directory and the environment of its program
    #[arg(long)]
    failed: bool,
    /// The plan; `plan.toml` here unless said
    #[arg(long, value_name = "PLAN.TOML")]
    plan: Option<Utf8PathBuf>,
    /// Give a variable of the plan a value
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = crate::open::parse_var)]
    vars: Vec<(String, String)>,
    /// Where outputs, logs and reports go; `.bootway/NAME` beside the plan unless said
    #[arg(long, value_name = "DIR")]
    work: Option<Utf8PathBuf>,
    #[command(flatten)]
    over: OverrideArgs,
    /// What to run there instead of a shell
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

impl Enter {
    pub(crate) fn run(&self) -> Result<u8, Failure> {
        let plan = self.plan.clone().unwrap_or_else(|| "plan.toml".into());
        let of = PlanArgs {
            plan: Some(plan),
            vars: self.vars.clone(),
            work: self.work.clone(),
            over: self.over.clone(),
            ..PlanArgs::default()
        };
        let loaded = of.load()?;
        let (work, runner, helper) = (of.work(&loaded), SystemRunner::default(), helper()?);
        let cmd = if self.failed {
            let (step, cmd) =
                enter_failed(&loaded, &work, &runner, &helper, self.name.as_deref(), &self.command)?;
            style::say(&format!("where step `{step}` failed; `exit` leaves"));
            cmd
        } else {
            let name = self.name.as_deref().unwrap_or_default();
            enter_namespace(&loaded, &work, &runner, &helper, name, &self.command)?
        };
        let error = replace(&cmd, 0o022);
        Err(Failure::new(Class::Environment, error.to_string()))
    }
}

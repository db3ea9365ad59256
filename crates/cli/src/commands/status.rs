//! `bootway status`: what is done, what is stale and why.

use bootway_engine::{State, StepStatus, status};
use bootway_exec::SystemRunner;
use bootway_plan::{Failure, exit_code};
use clap::Args;

use crate::open::PlanArgs;

/// Say what is done, what is stale and why, and what comes next
#[derive(Debug, Args)]
pub(crate) struct Status {
    #[command(flatten)]
    plan: PlanArgs,
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Status {
    pub(crate) fn run(&self) -> Result<u8, Failure> {
        let loaded = self.plan.load_for(self.json)?;
        let work = self.plan.work(&loaded);
        let states = status(&loaded, &work, &SystemRunner::default());
        if self.json {
            crate::print(&(serde_json::to_string_pretty(&states).expect("plain data") + "\n"));
            return Ok(exit_code::DONE);
        }
        let mut text = describe(&states);
        if let Some(last) = crate::record::last_run(&work) {
            text += &format!("last run: {last}\n");
        }
        if let Some(file) = crate::failures::last(&work) {
            text += &format!("last failure: {file}\n");
        }
        crate::print(&text);
        Ok(exit_code::DONE)
    }
}

fn describe(states: &[StepStatus]) -> String {
    let width = states.iter().map(|it| it.step.as_str().len()).max().unwrap_or(0);
    let line = |it: &StepStatus| {
        let state = match &it.state {
            State::Done => "done".to_owned(),
            State::Never => "never done".to_owned(),
            State::Stale(reason) => format!("stale: {reason}"),
            State::Skipped(reason) => format!("skipped: {reason}"),
            State::Effect => "runs each time".to_owned(),
        };
        format!("{:width$}  {state}\n", it.step)
    };
    let mut text: String = states.iter().map(line).collect();
    let next = states.iter().find(|it| matches!(it.state, State::Never | State::Stale(_)));
    text += &next.map_or_else(|| "nothing to do\n".to_owned(), |next| format!("next: {}\n", next.step));
    text
}

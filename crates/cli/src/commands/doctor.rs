//! `bootway doctor`: what the machine lacks.

use bootway_engine::{Missing, doctor};
use bootway_plan::{Class, Failure, exit_code};
use clap::Args;

use crate::open::PlanArgs;

/// Say everything that this machine lacks for a plan
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    #[command(flatten)]
    plan: PlanArgs,
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Doctor {
    pub(crate) fn run(&self) -> Result<u8, Failure> {
        let loaded = self.plan.load()?;
        let steps: Vec<_> = loaded.plan.steps().collect();
        let missing = doctor(&loaded, &steps, &self.plan.work(&loaded));
        let text = if self.json {
            serde_json::to_string_pretty(&missing).expect("plain data") + "\n"
        } else {
            describe(&missing)
        };
        crate::print(&text);
        Ok(if missing.is_empty() { exit_code::DONE } else { Class::Environment.exit_code() })
    }
}

fn describe(missing: &[Missing]) -> String {
    if missing.is_empty() {
        return "nothing is missing\n".to_owned();
    }
    let mut text: String = missing.iter().map(|it| format!("missing: {it}\n")).collect();
    let mut packages: Vec<&str> = missing.iter().filter_map(|it| it.debian_package.as_deref()).collect();
    packages.sort_unstable();
    packages.dedup();
    if !packages.is_empty() {
        text += &format!("on Debian: apt-get install {}\n", packages.join(" "));
    }
    text
}

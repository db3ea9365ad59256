//! `bootway doctor`: what the machine lacks.

use bootway_engine::{Missing, RootProbe, doctor, probe_roots};
use bootway_exec::SystemRunner;
use bootway_plan::{Class, Failure, exit_code};
use clap::Args;

use crate::{open::PlanArgs, program::helper};

/// Say everything that this machine lacks for a plan
///
/// Whether roots of namespaces can be made up is found out by making one, beside the work directory or in it.
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
        let work = self.plan.work(&loaded);
        let mut missing = doctor(&loaded, &steps, &work);
        let roots = probe_roots(&loaded, &steps, &work, &SystemRunner::default(), &helper()?);
        missing.extend(roots.iter().filter_map(|it| it.missing.clone()));
        let text = if self.json {
            serde_json::to_string_pretty(&missing).expect("plain data") + "\n"
        } else {
            roots.as_ref().map_or_else(String::new, say_roots) + &describe(&missing)
        };
        crate::print(&text);
        Ok(if missing.is_empty() { exit_code::DONE } else { Class::Environment.exit_code() })
    }
}

/// That a root was entered, and in which way.
fn say_roots(probe: &RootProbe) -> String {
    if probe.missing.is_some() {
        return String::new(); // It is said with everything else that is.
    }
    let notes = probe.notes.iter().map(|note| format!("note: {note}\n"));
    format!("a root for namespaces was entered in `{}`\n{}", probe.dir, notes.collect::<String>())
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

//! What `bootway up --help` says about the plan that is here.

use std::ffi::OsString;

use bootway_plan::Failure;
use camino::Utf8PathBuf;

use super::words::is_up;
use crate::{
    commands::targets::table,
    grids::{Here, Lists},
    open::PlanArgs,
};

/// The targets of the plan that `args` are about, if they are arguments of `bootway up` and there is a plan.
///
/// Help is not the place to fail: what cannot be listed says so in a line.
pub(crate) fn targets(args: &[OsString]) -> Option<String> {
    if !is_up(args) {
        return None;
    }
    let plan = named(args);
    if plan.is_none() && !Utf8PathBuf::from("plan.toml").exists() {
        return Some("\nTargets: there is no plan.toml here\n".to_owned());
    }
    let text = list(&PlanArgs { plan, ..PlanArgs::default() });
    Some(
        text.unwrap_or_else(|failure| format!("\nTargets: cannot be listed: {}\n", failure.chain.join(": "))),
    )
}

fn named(args: &[OsString]) -> Option<Utf8PathBuf> {
    let text = |at: usize| args.get(at).and_then(|arg| arg.to_str());
    (1..args.len()).find_map(|at| match text(at)?.split_once('=') {
        None if text(at)? == "--plan" => text(at + 1).map(Utf8PathBuf::from),
        Some(("--plan", path)) => Some(path.into()),
        _ => None,
    })
}

fn list(plan: &PlanArgs) -> Result<String, Failure> {
    let loaded = plan.load_here()?;
    let lists = Lists::read(&loaded, |_| true)?;
    let here = Here::new(None);
    let tables: Vec<String> = lists.grids()?.iter().map(|grid| table(grid, &here)).collect();
    Ok(format!("\nTargets:\n{}", tables.concat()))
}

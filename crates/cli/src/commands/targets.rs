//! `bootway targets`: what a plan's flake offers to run, and what of it runs here.

use bootway_plan::{Cell, Class, Failure, Grid, System, exit_code};
use clap::Args;
use serde_json::{Value, json};

use crate::{
    grids::{Here, Lists},
    open::PlanArgs,
};

/// List the targets of a plan: profiles, variants, and what of it cannot run here
#[derive(Debug, Args)]
pub(crate) struct Targets {
    #[command(flatten)]
    plan: PlanArgs,
    /// As if this machine were another: `aarch64-darwin`
    #[arg(long, value_name = "SYSTEM")]
    system: Option<System>,
    /// As JSON: one object for each profile in each variant
    #[arg(long)]
    json: bool,
}

impl Targets {
    pub(crate) fn run(&self) -> Result<u8, Failure> {
        let loaded = self.plan.load_here()?;
        let lists = Lists::read(&loaded, |_| true)?;
        let grids = lists.grids()?;
        let here = Here::new(self.system.as_ref());
        if self.json {
            let rows: Vec<Value> = grids.iter().flat_map(|grid| rows(grid, &here)).collect();
            crate::print(&(serde_json::to_string_pretty(&rows).expect("plain data") + "\n"));
        } else {
            crate::print(&grids.iter().map(|grid| table(grid, &here)).collect::<Vec<_>>().join("\n"));
        }
        Ok(if grids.is_empty() { Class::Nothing.exit_code() } else { exit_code::DONE })
    }
}

fn rows(grid: &Grid<'_>, here: &Here) -> Vec<Value> {
    let row = |cell: Cell<'_>| {
        let why_not = here.facts(|facts| cell.unavailable(facts));
        json!({
            "target": cell.target,
            "profile": cell.profile,
            "variant": cell.name,
            "attribute": cell.attribute(&here.system),
            "kind": cell.variant.kind(),
            "help": cell.variant.help,
            "default": cell.profile == grid.default_profile() && cell.name == grid.default_variant(),
            "exists": cell.exists_on(&here.system),
            "available": why_not.is_none(),
            "reason": why_not.map(|reason| reason.to_string()),
        })
    };
    grid.cells().map(row).collect()
}

/// The target, its profiles with the variants that each has, and its variants with what is to be said about them.
pub(crate) fn table(grid: &Grid<'_>, here: &Here) -> String {
    let help = grid.target().help.as_ref().map(|help| format!(": {help}")).unwrap_or_default();
    let mut text = format!("{}{help}\n  profiles\n", grid.name());
    let width = grid.profiles().iter().map(|it| it.as_str().len()).max().unwrap_or(0);
    for profile in grid.profiles() {
        let variants: Vec<String> = grid.of_profile(profile).map(|cell| cell.name.to_string()).collect();
        let default = if profile == grid.default_profile() { "  (the default)" } else { "" };
        text += &format!("    {profile:width$}  {}{default}\n", variants.join(", "));
    }
    text += "  variants\n";
    let width = grid.target().variants.keys().map(|it| it.as_str().len()).max().unwrap_or(0);
    for (name, variant) in grid.target().variants.iter() {
        let cell = grid.cells().find(|cell| cell.name == name);
        let why_not = cell.and_then(|cell| here.facts(|facts| cell.unavailable(facts)));
        let mut said = variant.help.clone().into_iter().collect::<Vec<_>>();
        said.extend(why_not.map(|reason| format!("[not here: {reason}]")));
        if name == grid.default_variant() {
            said.push("(the default)".to_owned());
        }
        let line = format!("    {name:width$}  {}", said.join(" "));
        text += &format!("{}\n", line.trim_end());
    }
    text
}

//! `bootway gc`: what nobody needs any more, and letting go of it.

use std::fmt::Write as _;

use bootway_engine::{
    Collected, Garbage, Item, Keep, Loaded, Removed, What, collect, collect_command, garbage,
};
use bootway_exec::SystemRunner;
use bootway_plan::{Action, Failure, exit_code};
use camino::Utf8Path;
use clap::Args;
use serde_json::json;

use crate::{grids::with_targets, open::PlanArgs, signals::Signals, style};

/// List what nobody needs any more, and let go of it
///
/// That is: roots of builds of Nix beyond those that `keep` in `[nix]` keeps, outputs of steps that the plan does not
/// have any more, sources that no package is built from any more, logs of old runs and failures, what was changed in roots
/// that were entered, machines that no test went on from for long, and what a killed run left. Other roots of Nix and
/// `result` links are not looked at.
/// Without `--apply` and `--collect` nothing is changed.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Gc {
    #[command(flatten)]
    plan: PlanArgs,
    /// Remove what is listed; what a root kept stays in the store until that is collected
    #[arg(long)]
    apply: bool,
    /// Let Nix collect the plan's store: everything that no root holds, whoever put it there
    #[arg(long)]
    collect: bool,
    /// How many runs keep their log and reports
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
    keep_runs: u16,
    /// How many machines are kept for tests to go on from: those that were used last
    #[arg(long, value_name = "N", default_value_t = 4)]
    keep_machines: u16,
    /// How many failures stay written down; and of how many steps that failed it is kept what they worked with
    #[arg(long, value_name = "N", default_value_t = 20)]
    keep_failures: u16,
    /// As JSON
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  bootway gc                      what would be removed, what it takes, and why
  bootway gc --apply              remove exactly that
  bootway gc --apply --collect    and let Nix take from the store what no root holds now";

impl Gc {
    pub(crate) fn run(&self) -> Result<u8, Failure> {
        let loaded = with_targets(self.plan.load_here()?)?;
        let signals = Signals::listen();
        let (work, runner) = (self.plan.work(&loaded), SystemRunner::default());
        let hold = work.clone().hold()?;
        let keep = Keep {
            runs: self.keep_runs.into(),
            machines: self.keep_machines.into(),
            failures: self.keep_failures.into(),
        };
        let found = match &hold {
            Some(hold) => garbage(&loaded, hold, &runner, keep)?,
            None => Garbage::default(),
        };
        let removed = hold.as_ref().filter(|_| self.apply).map(|hold| found.remove(hold)).transpose()?;
        let command = collect_command(&loaded, &work, &runner).to_string();
        if !self.json {
            crate::print(&list(&found, removed, work.root()));
        }
        let mut collected = None;
        if self.collect {
            style::say(&format!("collecting: {command}"));
            collected = Some(collect(&loaded, &work, &runner, &signals.cancel())?);
        }
        if self.json {
            crate::print(&as_json(&found, removed, collected, &command));
        } else if collected.is_some() || uses_nix(&loaded) {
            crate::print(&of_the_store(&found, removed, collected, &command));
        }
        Ok(signals.exit_code(exit_code::DONE))
    }
}

fn as_json(found: &Garbage, removed: Option<Removed>, collected: Option<Collected>, command: &str) -> String {
    let mut value = serde_json::to_value(found).expect("plain data");
    value["removed"] = json!(removed);
    value["collected"] = json!(collected.map(|it| json!({ "paths": it.paths, "size": it.size })));
    value["collect-command"] = json!(command);
    serde_json::to_string_pretty(&value).expect("plain data") + "\n"
}

/// A line for each item, then what was done.
fn list(found: &Garbage, removed: Option<Removed>, root: &Utf8Path) -> String {
    let mut text = String::new();
    let asked = found.store_size.is_some();
    let rows: Vec<[String; 4]> = found.items.iter().map(|item| row(item, root, asked)).collect();
    let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
    let (a, b, c) = (width(0), width(1), width(2));
    for [what, place, size, why] in &rows {
        let _ = writeln!(text, "{what:a$}  {place:b$}  {size:>c$}  {why}");
    }
    text.extend(found.notes.iter().map(|note| format!("note: {note}\n")));
    text += &match removed {
        _ if found.items.is_empty() => "there is nothing to let go of\n".to_owned(),
        None => format!("{}; to remove it: bootway gc --apply\n", sums(found)),
        Some(removed) => {
            let freed = format!("{} freed on the disk", removed.size.human());
            format!("removed {}: {freed}\n", count(removed.items, "item"))
        }
    };
    text
}

/// What was done to the store, or would be.
fn of_the_store(
    found: &Garbage,
    removed: Option<Removed>,
    collected: Option<Collected>,
    command: &str,
) -> String {
    if let Some(it) = collected {
        return format!("collected {} of the store: {}\n", count(it.paths, "path"), it.size.human());
    }
    let left = match (removed, found.store_size) {
        (Some(_), Some(size)) => format!("up to {} stays in the store until it", size.human()),
        _ => "the store is left alone until it".to_owned(),
    };
    format!("{left} is collected: bootway gc --collect, which runs\n  {command}\n")
}

/// What, where, how big, why.
fn row(item: &Item, root: &Utf8Path, asked: bool) -> [String; 4] {
    let place = item.path.strip_prefix(root).unwrap_or(&item.path);
    let in_store = item.store_size.map(|size| format!("{} in the store", size.human()));
    let here = (item.what != What::Root).then(|| item.size.human());
    let size = match (here, in_store) {
        (Some(here), Some(in_store)) => format!("{here} + {in_store}"),
        (None, None) if asked => "nothing in the store".to_owned(),
        (here, in_store) => here.or(in_store).unwrap_or_else(|| "size unknown".to_owned()),
    };
    let why = match &item.store_path {
        Some(path) => format!("{}: {path}", item.why),
        None => item.why.clone(),
    };
    [item.what.as_str().to_owned(), place.to_string(), size, why]
}

/// How many of what, and what all of it takes.
fn sums(found: &Garbage) -> String {
    let mut text = count(found.items.len(), "item");
    let _ = write!(text, ", {} on the disk", found.size.human());
    if let Some(size) = found.store_size {
        let _ = write!(text, ", up to {} in the store", size.human());
    }
    text
}

fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

fn uses_nix(loaded: &Loaded) -> bool {
    let is_nix =
        |action: &Action| matches!(action, Action::NixBuild(_) | Action::NixCheck(_) | Action::Closure(_));
    loaded.plan.steps().any(|step| is_nix(&step.action))
}

//! `bootway plan`: what will happen, before it does.

use std::collections::BTreeMap;

use bootway_engine::{Loaded, Work, layouts, preview};
use bootway_exec::SystemRunner;
use bootway_plan::{
    Bytes, Class, DiskMap, Failure, Name, PlanDiff, StepId, exit_code, export_bq2, import_bq2,
};
use camino::{Utf8Path, Utf8PathBuf};
use clap::{Args, ValueEnum};

use crate::{open::PlanArgs, program::helper};

/// Print what a plan would do
#[derive(Debug, Args)]
pub(crate) struct Plan {
    #[command(flatten)]
    of: PlanArgs,
    /// The commands that would be run, and nothing else
    #[arg(long, conflicts_with_all = ["graph", "diff", "json"])]
    commands: bool,
    /// As JSON, to keep and compare; with `--diff`, the differences
    #[arg(long, conflicts_with = "graph")]
    json: bool,
    /// As a graph in the language of Graphviz
    #[arg(long, conflicts_with = "diff")]
    graph: bool,
    /// What has changed since another plan, or since an earlier state of this one kept with `--json`
    #[arg(long, value_name = "OTHER")]
    diff: Option<Utf8PathBuf>,
    /// Print the plan that a plan of another program is, which is named instead of the plan
    #[arg(long, value_name = "PROGRAM", conflicts_with_all = ["commands", "graph", "diff", "json"], requires = "plan")]
    import: Option<Foreign>,
    /// Print the plan of another program that this one is; what that does not say is said
    #[arg(long, value_name = "PROGRAM", conflicts_with_all = ["commands", "graph", "diff", "json", "import"])]
    export: Option<Foreign>,
}

/// A program with plans of its own
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Foreign {
    /// bootstrap-qcow2: the JSON of its sysroot builder, formats 1 and 2
    Bq2,
}

impl Plan {
    pub(crate) fn run(&self) -> Result<u8, Failure> {
        if let (Some(Foreign::Bq2), Some(file)) = (self.import, &self.of.plan) {
            return import(file);
        }
        if let Some(Foreign::Bq2) = self.export {
            return export(&self.of);
        }
        let loaded = self.of.load_for(self.json)?;
        let work = self.of.work(&loaded);
        if self.commands {
            return say_commands(&loaded, &work, None, false);
        }
        if let Some(other) = &self.diff {
            let diff = PlanDiff::between(&self.other(other)?, &loaded.plan);
            let json = || serde_json::to_string_pretty(&diff).expect("plain data") + "\n";
            crate::print(&if self.json { json() } else { diff.to_string() });
        } else if self.json {
            crate::print(&(loaded.plan.to_json() + "\n"));
        } else if self.graph {
            crate::print(&loaded.plan.to_dot());
        } else {
            crate::print(&loaded.plan.to_string());
            crate::print(&describe_layouts(&loaded, &work));
        }
        Ok(exit_code::DONE)
    }

    /// The plan to compare with, as a plan or as its JSON.
    fn other(&self, path: &Utf8Path) -> Result<bootway_plan::Plan, Failure> {
        if path.extension() != Some("json") {
            return Loaded::from_file(path, &self.of.vars()).map(|loaded| loaded.plan);
        }
        let failed = |reason: String| {
            Failure::new(Class::Plan, reason).because(format!("cannot compare with `{path}`"))
        };
        let text = fs_err::read_to_string(path).map_err(|error| failed(error.to_string()))?;
        serde_json::from_str(&text).map_err(|error| {
            failed(error.to_string()).hint("keep a state of a plan with `bootway plan --json > STATE.json`")
        })
    }
}

/// Prints a plan of bootstrap-qcow2 as a plan of ours.
fn import(file: &Utf8Path) -> Result<u8, Failure> {
    let text = fs_err::read_to_string(file).map_err(|error| {
        Failure::new(Class::Plan, error.to_string()).because(format!("cannot read `{file}`"))
    })?;
    let text = import_bq2(&text, &Name::fixed("sysroot"))
        .map_err(|problems| Failure::of(&problems).because(format!("`{file}`")))?;
    crate::print(&text);
    Ok(exit_code::DONE)
}

/// Prints a plan of ours, with its overrides, as one of bootstrap-qcow2.
fn export(of: &PlanArgs) -> Result<u8, Failure> {
    // What is no plan is nobody else's either.
    of.load_for(true)?;
    let file = of.plan_here();
    let mut text = fs_err::read_to_string(&file).map_err(|error| {
        Failure::new(Class::Plan, error.to_string()).because(format!("cannot read `{file}`"))
    })?;
    if let Some((overrides, from)) = of.over.read(&file)? {
        text = overrides.apply(&text).map_err(|problems| Failure::of(&problems.in_file(from.as_str())))?;
    }
    let exported =
        export_bq2(&text).map_err(|problems| Failure::of(&problems).because(format!("`{file}`")))?;
    for (place, what) in &exported.lost {
        let place = if place.is_empty() { "the plan" } else { place };
        crate::style::say(&format!("not the same when it is imported again: {place}: {what}"));
    }
    crate::print(&exported.json);
    Ok(exit_code::DONE)
}

/// Prints the commands of every step, or of those in `only`; as JSON, a line for each step with its phase and environment.
pub(crate) fn say_commands(
    loaded: &Loaded,
    work: &Work,
    only: Option<&[StepId]>,
    json: bool,
) -> Result<u8, Failure> {
    for (step, commands) in preview(loaded, work, &SystemRunner::default(), &helper()?)? {
        let Some(of) = loaded.plan.step(step.as_str()) else { continue };
        if only.is_some_and(|only| !only.contains(&step)) {
            continue;
        }
        let kind = of.action.kind();
        if json {
            let commands: Vec<String> = commands.iter().map(ToString::to_string).collect();
            let secret = |value: &String| loaded.plan.secrets().contains(value);
            let env: BTreeMap<&String, &str> = of
                .env
                .iter()
                .map(|(name, value)| (name, if secret(value) { "[secret]" } else { value.as_str() }))
                .collect();
            let line = serde_json::json!({
                "phase": of.phase, "step": step, "kind": kind, "env": env, "commands": commands,
            });
            crate::print(&format!("{line}\n"));
            continue;
        }
        let none = if commands.is_empty() { ": no program, done in process" } else { "" };
        crate::print(&format!("# {step} ({kind}){none}\n"));
        for command in commands {
            crate::print(&format!("{command}\n"));
        }
    }
    Ok(exit_code::DONE)
}

fn describe_layouts(loaded: &Loaded, work: &Work) -> String {
    let mut text = String::new();
    for (step, layout) in layouts(loaded, work, &SystemRunner::default()) {
        match layout {
            Ok(map) => text += &format!("\n{step}: {}\n{}", map.size.human(), describe_map(&map)),
            Err(reason) => text += &format!("\n{step}: sizes are {reason}\n"),
        }
    }
    text
}

/// One line for each partition, with the places and sizes that it will have.
fn describe_map(map: &DiskMap) -> String {
    let width = map.partitions.iter().map(|it| it.label.chars().count()).max().unwrap_or(0);
    let sector = map.sector_size.get().max(1);
    let line = |it: &bootway_plan::PartitionMap| {
        let free = Bytes::new(it.size.get().saturating_sub(it.used.get()));
        let fs = it.fs.as_deref().unwrap_or("");
        let line = format!(
            "  p{} {:width$}  sector {:>9}  {:>9}, {:>9} used, {:>9} free  {fs}",
            it.number,
            it.label,
            it.offset.get() / sector,
            it.size.human(),
            it.used.human(),
            free.human(),
        );
        format!("{}\n", line.trim_end())
    };
    map.partitions.iter().map(line).collect()
}

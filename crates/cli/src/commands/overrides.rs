//! `bootway overrides`: changes to a plan that are tried out, and how they become a part of it.

use bootway_engine::Loaded;
use bootway_plan::{Class, Digest, Failure, Overrides as Changes, PlanDiff, exit_code};
use camino::{Utf8Path, Utf8PathBuf};
use clap::{Args, Subcommand};

use crate::open::{BACKPORTED, OverrideArgs, PlanArgs, parse_var, said};

mod text_diff;

/// Check the overrides of a plan, make some of two plans, write them into the plan
///
/// `NAME.overrides.json` beside `NAME.plan.toml` is put over the plan by every command, which stays as it is until the
/// overrides are good: then `backport` writes them into it. See docs/guides/overrides.md.
#[derive(Debug, Args)]
pub(crate) struct Overrides {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Say everything that is wrong with them, or what they change
    Check(Of),
    /// Print the overrides that make one plan of another
    Diff {
        /// The plan to put them over
        old: Utf8PathBuf,
        /// The plan that it becomes
        new: Utf8PathBuf,
        /// Write them to this file instead
        #[arg(long, short, value_name = "FILE")]
        output: Option<Utf8PathBuf>,
    },
    /// Write them into the plan, whose comments and layout stay, and empty their file
    ///
    /// First it is proved that the plan is then what it was with the overrides; else nothing is written.
    Backport {
        #[command(flatten)]
        of: Of,
        /// Only print what would change in the plan
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Debug, Args)]
struct Of {
    /// The plan; `plan.toml` here unless said
    #[arg(value_name = "PLAN.TOML")]
    plan: Option<Utf8PathBuf>,
    /// Give a variable of the plan a value
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = parse_var)]
    vars: Vec<(String, String)>,
    /// The overrides; `NAME.overrides.json` beside `NAME.plan.toml` unless said
    #[arg(long, value_name = "FILE")]
    overrides: Option<Utf8PathBuf>,
}

impl Overrides {
    pub(crate) fn run(&self) -> Result<u8, Failure> {
        match &self.what {
            What::Check(of) => check(of),
            What::Diff { old, new, output } => diff(old, new, output.as_deref()),
            What::Backport { of, dry_run } => backport(of, *dry_run),
        }
    }
}

impl Of {
    fn args(&self) -> PlanArgs {
        let over = OverrideArgs { overrides: self.overrides.clone(), no_overrides: false };
        PlanArgs { plan: self.plan.clone(), vars: self.vars.clone(), over, ..PlanArgs::default() }
    }
}

fn check(of: &Of) -> Result<u8, Failure> {
    let args = of.args();
    let plan = args.plan_here();
    let Some((overrides, file)) = args.over.read(&plan)? else {
        crate::print(&format!("there are none: {} is not there\n", args.over.file(&plan)));
        return Ok(exit_code::DONE);
    };
    let after = Loaded::with_overrides(&plan, &args.vars(), &overrides, &file)?;
    crate::print(&format!("{}\n", said(&overrides, &file).split(';').next().unwrap_or_default()));
    match Loaded::from_file(&plan, &args.vars()) {
        Ok(before) => crate::print(&PlanDiff::between(&before.plan, &after.plan).to_string()),
        Err(_) => crate::print("the plan alone cannot be run\n"),
    }
    Ok(exit_code::DONE)
}

fn diff(old: &Utf8Path, new: &Utf8Path, output: Option<&Utf8Path>) -> Result<u8, Failure> {
    let overrides = Changes::diff(&read(old)?, &read(new)?).map_err(|problems| {
        let lines: Vec<String> =
            problems.problems.iter().map(|(place, what)| format!("{place}: {what}")).collect();
        Failure::new(Class::Plan, lines.join("\n"))
            .because(format!("no overrides make `{new}` of `{old}`"))
            .hint("change the plan itself in these places")
    })?;
    match output {
        Some(file) => replace(file, &overrides.to_json())?,
        None => crate::print(&overrides.to_json()),
    }
    Ok(exit_code::DONE)
}

fn backport(of: &Of, dry_run: bool) -> Result<u8, Failure> {
    let args = of.args();
    let path = args.plan_here();
    if !dry_run && let Some(file) = args.over.in_plan_already(&path)? {
        replace(&file, "{}\n")?;
        crate::style::say(&format!("{path} has them already, and {file} is empty now"));
        return Ok(exit_code::DONE);
    }
    let found = args.over.read(&path)?.filter(|(overrides, _)| !overrides.is_empty());
    let Some((overrides, file)) = found else {
        crate::print(&format!("nothing to do: there are no overrides in {}\n", args.over.file(&path)));
        return Ok(exit_code::DONE);
    };
    let old = read(&path)?;
    let tried = Loaded::with_overrides(&path, &args.vars(), &overrides, &file)?;
    let new = overrides.backport(&old).map_err(|problems| Failure::of(&problems.in_file(file.as_str())))?;
    let written = Loaded::from_text(&new, &tried.dir, &args.vars())
        .map_err(|problems| Failure::of(&problems.in_file(path.as_str())))?;
    if without_origins(&tried.plan) != without_origins(&written.plan) {
        let diff = PlanDiff::between(&tried.plan, &written.plan).to_string();
        return Err(Failure::new(Class::Plan, diff.trim_end().to_owned())
            .because(format!("`{path}` would not be what it is with the overrides: nothing was written"))
            .hint("a variable of the environment may take the place of what was overridden"));
    }
    crate::print(&text_diff::unified(path.as_str(), &old, &new));
    if dry_run {
        return Ok(exit_code::DONE);
    }
    // Two files cannot be written at once. The overrides say first which plan has them, so that at each moment they count
    // exactly once, whoever ends this.
    replace(&file, &written_into(&file, &new)?)?;
    replace(&path, &new)?;
    replace(&file, "{}\n")?;
    crate::style::say(&format!("{path} has them now, and {file} is empty"));
    Ok(exit_code::DONE)
}

/// The overrides of `file`, which are in the plan `plan`.
fn written_into(file: &Utf8Path, plan: &str) -> Result<String, Failure> {
    let failed = |why: String| Failure::new(Class::Plan, why).because(format!("cannot read `{file}`"));
    let text = fs_err::read_to_string(file).map_err(|error| failed(error.to_string()))?;
    let mut value: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| failed(error.to_string()))?;
    value[BACKPORTED] = Digest::of(plan.as_bytes()).to_string().into();
    Ok(serde_json::to_string_pretty(&value).expect("plain data") + "\n")
}

/// A plan, but for who said the values of its variables.
fn without_origins(plan: &bootway_plan::Plan) -> serde_json::Value {
    let mut value = serde_json::to_value(plan).expect("a plan is plain data");
    for var in value["vars"].as_object_mut().into_iter().flat_map(|vars| vars.values_mut()) {
        if let Some(var) = var.as_object_mut() {
            var.remove("from");
        }
    }
    value
}

fn read(path: &Utf8Path) -> Result<String, Failure> {
    fs_err::read_to_string(path).map_err(|error| {
        Failure::new(Class::Plan, error.to_string()).because(format!("cannot read the plan `{path}`"))
    })
}

/// Writes a file beside its place, and then there.
fn replace(path: &Utf8Path, text: &str) -> Result<(), Failure> {
    let partial = path.with_file_name(format!(".{}.partial", path.file_name().unwrap_or("file")));
    let write = || {
        use std::io::Write as _;
        let mut file = fs_err::File::create(&partial)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    let written = write()
        .and_then(|()| match fs_err::metadata(path) {
            Ok(old) => fs_err::set_permissions(&partial, old.permissions()),
            Err(_) => Ok(()),
        })
        .and_then(|()| fs_err::rename(&partial, path));
    written.map_err(|error| {
        Failure::new(Class::Environment, error.to_string()).because(format!("cannot write `{path}`"))
    })
}

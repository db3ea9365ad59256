//! `bootway up`: run a target.

use std::io::IsTerminal as _;

use bootway_engine::{Loaded, Seen};
use bootway_exec::{Cmd, Sandbox, SystemRunner, replace, run};
use bootway_nix::run_command;
use bootway_plan::{
    Argv, Cell, ChooseError, Class, Failure, Grid, Name, Selection, StepId, System, exit_code, nearest,
};
use camino::{Utf8Path, Utf8PathBuf};
use clap::Args;

use crate::{
    grids::{Here, Lists, asking, has_tool},
    open::PlanArgs,
    record::{RunArgs, record_outcome},
    style,
    up::{
        menu::{self, Item},
        start::{Engine, Start, start},
    },
};

/// Run a target of a plan, in one of its profiles and variants
///
/// Without a profile there is a menu on a terminal, and the defaults elsewhere. What follows the variant, or `--`, is
/// for the target and reaches it as it is. The exit code is that of the target.
#[derive(Debug, Args)]
pub(crate) struct Up {
    /// The profile
    profile: Option<String>,
    /// The variant
    variant: Option<String>,
    /// For the target
    #[arg(last = true, value_name = "ARGS")]
    args: Vec<String>,
    /// The target; the first of the plan unless said
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
    /// The plan; `plan.toml` here unless said
    #[arg(long, value_name = "PLAN.TOML")]
    plan: Option<Utf8PathBuf>,
    /// Give a variable of the plan a value
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = crate::open::parse_var)]
    vars: Vec<(String, String)>,
    /// Where outputs, logs and reports go; `.bootway/NAME` beside the plan unless said
    #[arg(long, value_name = "DIR")]
    work: Option<Utf8PathBuf>,
    /// As if this machine were another: `aarch64-darwin`
    #[arg(long, value_name = "SYSTEM")]
    system: Option<System>,
    /// Print what would be run, and run nothing; so does `PRINT_CMD=1` in the environment
    #[arg(long)]
    print: bool,
}

/// A person said something that is not there.
const NOT_THERE: Result<u8, Failure> = Ok(exit_code::USAGE);

impl Up {
    pub(crate) fn run(&self, color: style::When) -> Result<u8, Failure> {
        let plan = self.plan_args();
        let loaded = plan.load_here()?;
        let Some(target) = self.target(&loaded) else { return NOT_THERE };
        let lists = Lists::read(&loaded, |name| *name == target)?;
        let grids = lists.grids()?;
        let grid = &grids[0];
        let here = Here::new(self.system.as_ref());
        let cell = match self.choose(grid, &here)? {
            Ok(Some(cell)) => cell,
            Ok(None) => return Ok(exit_code::INTERRUPTED),
            Err(error) => {
                style::say(&format!("error: {error}"));
                if let Some(hint) = error.hint() {
                    style::say(&format!("  hint: {hint}"));
                }
                return NOT_THERE;
            }
        };
        let print = self.print || std::env::var("PRINT_CMD").is_ok_and(|it| it == "1");
        if !print || !cell.exists_on(&here.system) {
            can_run(grid, &cell, &here, self.target.as_deref())?;
        }
        let argv = cell.argv(&self.args, &here.system, &|name| std::env::var(name).ok());
        if cell.variant.by_nix() {
            return by_nix(&loaded, &cell, &here, &argv, print);
        }
        let (expanded, cells) = loaded.plan.with_targets(&grids, &here.system);
        let of_cell = |(_, it): &&(StepId, Cell<'_>)| it.to_string() == cell.to_string();
        let step = cells.iter().find(of_cell).map(|(step, _)| step.clone());
        let step = step.expect("what can run here exists here");
        let expanded = Loaded { plan: expanded, ..loaded.clone() };
        let work = plan.work(&expanded);
        let built = work.out(&step).join(BUILT);
        let program = engine(&cell, &here);
        let engine = Engine { program: &program, terminal: is_interactive() };
        if print {
            print_lines(&start(&cell, &here.system, &built, &argv, engine), &built);
            return Ok(exit_code::DONE);
        }
        let selection = Selection { steps: vec![step.to_string()], ..Selection::default() };
        let (code, _) =
            record_outcome(&expanded, work, selection, &RunArgs::default(), Seen::default(), color)?;
        if code != exit_code::DONE {
            return Ok(code);
        }
        // Programs find what is beside them, so they are told their real name.
        let real = built.canonicalize_utf8().unwrap_or(built);
        become_it(start(&cell, &here.system, &real, &argv, engine), &real)
    }

    fn plan_args(&self) -> PlanArgs {
        PlanArgs {
            plan: self.plan.clone(),
            vars: self.vars.clone(),
            work: self.work.clone(),
            ..PlanArgs::default()
        }
    }

    /// The target that is meant; `None` if there is none of that name, which was said.
    fn target(&self, loaded: &Loaded) -> Option<Name> {
        let targets = loaded.plan.targets();
        let Some(name) = &self.target else {
            // Without any, reading their lists says so.
            return Some(targets.keys().next().cloned().unwrap_or_else(|| Name::fixed("none")));
        };
        let known: Vec<&str> = targets.keys().map(Name::as_str).collect();
        if let Some((name, _)) = targets.get(name) {
            return Some(name.clone());
        }
        style::say(&format!("error: Unknown target '{name}'. Available: {}", known.join(", ")));
        if let Some(near) = nearest(name, known) {
            style::say(&format!("  hint: did you mean `{near}`"));
        }
        None
    }

    /// The cell that is meant: as it was said, by menu, or by default. `None` if the person at the menu went away.
    fn choose<'a>(
        &self,
        grid: &'a Grid<'_>,
        here: &Here,
    ) -> Result<Result<Option<Cell<'a>>, ChooseError>, Failure> {
        let (profile, variant) = (self.profile.as_deref(), self.variant.as_deref());
        if profile.is_none() && is_interactive() && !self.print {
            return ask(grid, here).map(Ok).map_err(|error| {
                Failure::new(Class::Environment, error.to_string()).because("cannot ask at this terminal")
            });
        }
        let cell = match grid.choose(profile, variant) {
            Ok(cell) => cell,
            Err(error) => return Ok(Err(error)),
        };
        let mut taken = Vec::new();
        if self.target.is_none() {
            taken.push(format!("target {}", cell.target));
        }
        if profile.is_none() {
            taken.push(format!("profile {}", cell.profile));
        }
        if variant.is_none() {
            taken.push(format!("variant {}", cell.name));
            style::say(&format!("taking the defaults: {}", taken.join(", ")));
        }
        Ok(Ok(Some(cell)))
    }
}

/// What `nix-build` calls its artifact.
const BUILT: &str = "built";

/// Whether there is a person who can be asked.
fn is_interactive() -> bool {
    let terminals = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    terminals && !std::env::var("CI").is_ok_and(|it| !it.is_empty())
}

/// Asks for a profile, then for one of its variants.
fn ask<'a>(grid: &'a Grid<'_>, here: &Here) -> std::io::Result<Option<Cell<'a>>> {
    let (mut input, mut output) = (std::io::stdin().lock(), std::io::stderr().lock());
    let profiles: Vec<Item> = grid
        .profiles()
        .iter()
        .map(|profile| Item { name: profile.to_string(), help: String::new() })
        .collect();
    let default = grid.profiles().iter().position(|it| it == grid.default_profile()).unwrap_or(0);
    let Some(n) = menu::choose("profile", &profiles, default, &mut input, &mut output)? else {
        return Ok(None);
    };
    let cells: Vec<Cell<'a>> = grid.of_profile(&grid.profiles()[n]).collect();
    let item = |cell: &Cell<'_>| {
        let why_not = here.facts(|facts| cell.unavailable(facts));
        let help = cell.variant.help.clone().unwrap_or_default();
        let help = why_not.map_or(help, |reason| format!("not here: {reason}"));
        Item { name: cell.name.to_string(), help }
    };
    let items: Vec<Item> = cells.iter().map(item).collect();
    let default = cells.iter().position(|cell| cell.name == grid.default_variant()).unwrap_or(0);
    let chosen = menu::choose("variant", &items, default, &mut input, &mut output)?;
    Ok(chosen.map(|n| cells[n]))
}

/// Says what can be run instead where `cell` cannot, in the words of who named a `target`.
fn can_run(grid: &Grid<'_>, cell: &Cell<'_>, here: &Here, target: Option<&str>) -> Result<(), Failure> {
    here.facts(|facts| {
        let Some(reason) = cell.unavailable(facts) else { return Ok(()) };
        let failure = Failure::new(Class::Environment, reason.to_string())
            .because(format!("`{}` of {} cannot run here", cell.name, cell.target));
        let option = target.map(|target| format!(" --target {target}")).unwrap_or_default();
        let instead: Vec<String> = grid
            .instead(cell, facts)
            .iter()
            .map(|it| format!("`bootway up{option} {} {}`", it.profile, it.name))
            .collect();
        Err(if instead.is_empty() {
            failure.hint("what can: `bootway targets`")
        } else {
            failure.hint(format!("try one of these instead: {}", instead.join(", ")))
        })
    })
}

/// Leaves all of it to `nix run`.
fn by_nix(loaded: &Loaded, cell: &Cell<'_>, here: &Here, argv: &Argv, print: bool) -> Result<u8, Failure> {
    let attribute = cell.attribute(&here.system);
    let (cmd, short) = asking(loaded, |flake| {
        if !print {
            flake.check_untracked().map_err(|error| Failure::of(&error))?;
        }
        let cmd = run_command(flake, &attribute, &argv.args);
        // What a person would type: options of ours that change nothing for them are left out.
        let short =
            Cmd::user("nix").args(["run".to_owned(), format!("{}#{attribute}", short(flake.reference()))]);
        let short = if argv.args.is_empty() { short } else { short.arg("--").args(&argv.args) };
        Ok::<_, Failure>((cmd, short))
    })?;
    let with_env = |cmd: Cmd| argv.env.iter().fold(cmd, |cmd, (name, value)| cmd.env(name, value.as_str()));
    let cmd = with_env(cmd);
    if print {
        crate::print(&format!("{cmd}\n"));
        return Ok(exit_code::DONE);
    }
    style::say(&format!("Executing: {short}"));
    Err(not_started(&replace(&cmd, crate::user_umask())))
}

/// A flake as a person here would type it.
fn short(reference: &str) -> String {
    let here = std::env::current_dir().ok().and_then(|dir| Utf8PathBuf::from_path_buf(dir).ok());
    match here.and_then(|here| Utf8Path::new(reference).strip_prefix(here).ok().map(Utf8Path::to_owned)) {
        Some(rest) if rest.as_str().is_empty() => ".".to_owned(),
        Some(rest) => format!("./{rest}"),
        None => reference.to_owned(),
    }
}

/// The container engine that is used: the first of those that the variant can do with that answers.
fn engine(cell: &Cell<'_>, here: &Here) -> String {
    let any = cell.any_tool();
    let answers = any.iter().find(|tool| has_tool(tool) && here.engine_answers(tool));
    answers.or(any.first()).cloned().unwrap_or_else(|| "docker".to_owned())
}

fn print_lines(start: &Start, built: &Utf8Path) {
    match start {
        Start::Run(lines) => crate::print(&lines.iter().map(|line| format!("{line}\n")).collect::<String>()),
        Start::Nothing => style::say(&format!("nothing runs it; when it is built it is `{built}`")),
    }
}

/// Runs all lines but the last, and becomes that.
fn become_it(start: Start, built: &Utf8Path) -> Result<u8, Failure> {
    let Start::Run(mut lines) = start else {
        crate::print(&format!("{built}\n"));
        return Ok(exit_code::DONE);
    };
    let last = lines.pop().expect("there is a line");
    let runner = SystemRunner::default();
    for line in lines {
        let sandbox = Sandbox::new(&runner);
        style::say(&format!("Executing: {line}"));
        run(&sandbox.cx(), &line).map_err(|error| {
            let failure = Failure::of(&error);
            let said = sandbox.lines().into_iter().skip(1).collect::<Vec<_>>().join("\n");
            if said.is_empty() { failure } else { failure.hint(said) }
        })?;
    }
    style::say(&format!("Executing: {last}"));
    Err(not_started(&replace(&last, crate::user_umask())))
}

fn not_started(error: &bootway_exec::SpawnError) -> Failure {
    let failure = Failure::new(Class::Environment, error.to_string());
    match (error.hint(), std::error::Error::source(error)) {
        (Some(hint), _) => failure.hint(hint),
        (None, Some(source)) => {
            Failure::new(Class::Environment, source.to_string()).because(error.to_string())
        }
        (None, None) => failure,
    }
}

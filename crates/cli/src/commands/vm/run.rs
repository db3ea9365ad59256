//! `bootway vm run`: a plan's guests, whatever is known about them.

use std::io::IsTerminal as _;

use bootway_engine::{Loaded, Seen};
use bootway_exec::{Runner, SystemRunner};
use bootway_plan::{Action, Class, Failure, Millis, Selection, exit_code, nearest};
use bootway_vm::{KeepRunner, KeptGuest};
use clap::Args;

use super::{attach::attach, guests};
use crate::{
    open::PlanArgs,
    program::this_program,
    record::{RunArgs, record_by},
    style,
};

/// Boot a plan's guests and decide their checks, even if nothing has changed
///
/// With --debug the first guest that is not good is kept: at a terminal its serial console is entered at once, and
/// elsewhere it is said how. It ends when it is stopped, or when its time is up.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Run {
    #[command(flatten)]
    plan: PlanArgs,
    /// The step that boots; all that do unless said
    #[arg(value_name = "STEP")]
    step: Option<String>,
    /// Keep the first guest that is not good
    #[arg(long)]
    debug: bool,
    /// How long it is kept
    #[arg(long, value_name = "DURATION", default_value = "30min", requires = "debug")]
    keep_for: Millis,
    #[command(flatten)]
    how: RunArgs,
}

const EXAMPLES: &str = "\
Examples:
  bootway vm run plan.toml boots            boot that step's guest
  bootway vm run plan.toml boots --debug    and be at its console if a check fails
  bootway vm attach                         come back to it
  bootway vm stop                           end it";

impl Run {
    pub(super) fn run(&self, color: style::When) -> Result<u8, Failure> {
        let loaded = self.plan.load()?;
        let work = self.plan.work(&loaded);
        let Some(steps) = self.steps(&loaded)? else { return Ok(exit_code::USAGE) };
        let selection = Selection { steps, ..Selection::default() };
        let system = SystemRunner { children: Some(work.children()) };
        let record = |runner: &dyn Runner, work| {
            record_by(runner, &loaded, work, selection, &self.how.anew(), Seen::default(), color)
                .map(|(code, _)| code)
        };
        if !self.debug {
            return record(&system, work);
        }
        let this = this_program()?;
        let by = ["keeper", "nurse"].map(|who| [&*this, "vm", who, "--"].map(str::to_owned).to_vec());
        let name = loaded.plan.name();
        let places = work.debug();
        let runner = KeepRunner::new(system, by, guests(), places, name.as_str(), self.keep_for.duration());
        let code = record(&runner, work)?;
        if let Some(guest) = runner.kept() {
            style::say(&kept(&guest));
            let is_terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
            if is_terminal && !self.how.is_for_programs() && std::env::var_os("CI").is_none() {
                attach(&guests(), Some(&guest.name))?;
            }
        }
        Ok(code)
    }

    /// The steps that are meant; `None` if there is none of that name, which was said.
    fn steps(&self, loaded: &Loaded) -> Result<Option<Vec<String>>, Failure> {
        let guests = loaded.plan.steps().filter(|step| matches!(step.action, Action::Vm(_)));
        let known: Vec<String> = guests.map(|step| step.id.to_string()).collect();
        if known.is_empty() {
            let failure = Failure::new(Class::Nothing, "the plan boots nothing: it has no `vm` step");
            return Err(failure);
        }
        let Some(step) = &self.step else { return Ok(Some(known)) };
        if known.contains(step) {
            return Ok(Some(vec![step.clone()]));
        }
        let near = nearest(step, known.iter().map(String::as_str));
        let hint = near.map_or_else(
            || format!("these do: {}", known.join(", ")),
            |near| format!("did you mean `{near}`"),
        );
        style::say(&format!("error: no step called `{step}` boots a guest\n  hint: {hint}"));
        Ok(None)
    }
}

/// What is said of a guest that was kept.
fn kept(guest: &KeptGuest) -> String {
    let KeptGuest { name, why, pid, console, left, .. } = guest;
    let why = why.lines().next().unwrap_or_default();
    format!(
        "\nthe guest {name} is kept for {left}: {why}\n\
         \x20 attach: bootway vm attach {name}    (Ctrl-] leaves, and the guest stays)\n\
         \x20 socket: {console}\n\
         \x20 stop:   bootway vm stop {name}\n\
         \x20 pid:    {pid}"
    )
}

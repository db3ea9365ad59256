//! A command that sees one store of Nix, and nothing else of it.

use std::collections::BTreeMap;

use bootway_exec::{Cmd, Cx, StepOutput};
use bootway_nix::closure::{isolate, isolate_commands};
use bootway_plan::{
    Action, Class, Failure,
    step::{Command, CommandNix},
};
use camino::Utf8Path;

use crate::{Loaded, dispatch::explain};

/// Runs the program of `step`, in an isolation if it asks for one.
pub(crate) fn command(cx: &Cx<'_>, step: &Command, loaded: &Loaded) -> Result<Vec<StepOutput>, Failure> {
    let Some(nix) = &step.nix else { return explain(bootway_sysroot::command(cx, step)) };
    let env = over(cx.env, explain(isolate(cx, nix, place(nix, loaded)?))?);
    explain(bootway_sysroot::command(&Cx { env: &env, ..*cx }, step))
}

/// What that would run.
pub(crate) fn commands(cx: &Cx<'_>, step: &Command, loaded: &Loaded) -> Result<Vec<Cmd>, Failure> {
    let Some(nix) = &step.nix else { return explain(bootway_sysroot::commands(cx, step)) };
    let (mut commands, env) = explain(isolate_commands(cx, nix, place(nix, loaded)?))?;
    let env = over(cx.env, env);
    commands.extend(explain(bootway_sysroot::commands(&Cx { env: &env, ..*cx }, step))?);
    Ok(commands)
}

/// The isolation has the last word: it is a promise.
fn over(env: &BTreeMap<String, String>, isolation: BTreeMap<String, String>) -> BTreeMap<String, String> {
    env.clone().into_iter().chain(isolation).collect()
}

/// Where the step whose store is meant has put it; nothing if it is a tree.
fn place<'a>(nix: &CommandNix, loaded: &'a Loaded) -> Result<Option<&'a Utf8Path>, Failure> {
    let step = nix.isolated.output().and_then(|of| loaded.plan.step(of.step.as_str()));
    if let Some(Action::Closure(closure)) = step.map(|step| &step.action) {
        return Ok(closure.into.as_deref());
    }
    let message = format!("`{}` is no step of kind `closure`", nix.isolated);
    Err(Failure::new(Class::Plan, message)
        .hint("`isolated` names the step that makes the store which the program sees"))
}

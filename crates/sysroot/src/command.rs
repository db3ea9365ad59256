//! `command`: a program that the plan names.

use std::time::Duration;

use bootway_exec::{Cmd, Cx, MissingInput, RunError, StepOutput, run};
use bootway_plan::{
    Class, Explain, ProgramEnd,
    step::{self, Part, Template},
};
use camino::Utf8Path;
use thiserror::Error;

use crate::{error::RootError, package, root::Program};

mod beside;
mod outputs;
#[cfg(test)]
mod tests;
mod walk;

pub use beside::BesideError;
pub use outputs::OutputError;

/// What a plan runs may take any time that its step is not limited to; a week is no time limit.
const NO_LIMIT: Duration = Duration::from_hours(7 * 24);

/// Runs the program of `step` and takes its outputs.
///
/// # Errors
///
/// If it does not end with code 0, or an output is missing, ambiguous, of another kind or too small.
pub fn command(cx: &Cx<'_>, step: &step::Command) -> Result<Vec<StepOutput>, CommandError> {
    if cx.inside.is_some() {
        return Ok(vec![package::command(cx, &in_root(cx, step)?)?]);
    }
    let places = outputs::places(step)?;
    let client = cmd_of(cx, step, &step.argv)?;
    match &step.beside {
        None => drop(run(cx, &client)?),
        Some(beside) => {
            let server = server_of(cx, step, beside)?;
            let sign = beside::Sign::of(&beside.ready, |template| fill(cx, template))?;
            beside::run_beside(cx, &server, &sign, beside.ready.within, &client)?;
        }
    }
    Ok(outputs::take(cx, &places)?)
}

/// What [`command()`] runs: one program, and before it the one that runs beside it. Nothing is looked at but paths, and
/// which ports are free.
///
/// # Errors
///
/// If `argv` is empty or names something that is no input of the step.
pub fn commands(cx: &Cx<'_>, step: &step::Command) -> Result<Vec<Cmd>, CommandError> {
    if cx.inside.is_some() {
        return Ok(vec![package::command_commands(cx, &in_root(cx, step)?)?]);
    }
    let server = step.beside.as_ref().map(|beside| server_of(cx, step, beside)).transpose()?;
    Ok(server.into_iter().chain([cmd_of(cx, step, &step.argv)?]).collect())
}

/// The program as it is started in the root of the step.
fn in_root(cx: &Cx<'_>, step: &step::Command) -> Result<Program, CommandError> {
    let argv: Vec<String> = step.argv.iter().map(|template| fill(cx, template)).collect::<Result<_, _>>()?;
    if argv.first().is_none_or(String::is_empty) {
        return Err(CommandError::NoProgram);
    }
    let cwd = step.cwd.as_ref().map_or_else(|| Ok("/".to_owned()), |cwd| fill(cx, cwd))?;
    let stdin = step.stdin.as_ref().map(|source| Ok::<_, MissingInput>(cx.input(source)?.path.clone()));
    Ok(Program { argv, cwd, stdin: stdin.transpose()?, ..Program::default() })
}

/// The program that runs beside it; it is asked to end before it is made to.
fn server_of(cx: &Cx<'_>, step: &step::Command, beside: &step::Beside) -> Result<Cmd, CommandError> {
    // What it would read from standard input is the client's.
    let step = step::Command { stdin: None, ..step.clone() };
    cmd_of(cx, &step, &beside.argv)
}

fn cmd_of(cx: &Cx<'_>, step: &step::Command, argv: &[Template]) -> Result<Cmd, CommandError> {
    let mut argv = argv.iter().map(|template| fill(cx, template));
    let program = argv.next().ok_or(CommandError::NoProgram)??;
    if program.is_empty() {
        return Err(CommandError::NoProgram);
    }
    let mut cmd = Cmd::user(anchored(cx, program)).args(argv.collect::<Result<Vec<_>, _>>()?).limit(NO_LIMIT);
    cmd = match &step.cwd {
        Some(cwd) => cmd.dir(&cx.plan_dir.join(fill(cx, cwd)?)),
        None => cmd.dir(cx.scratch),
    };
    if let Some(source) = &step.stdin {
        cmd = cmd.stdin_file(&cx.input(source)?.path);
    }
    cmd = cmd.env("SOURCE_DATE_EPOCH", cx.epoch.to_string());
    cmd = cx.env.iter().fold(cmd, |cmd, (key, value)| cmd.env(key, value));
    Ok(cx.secrets.iter().fold(cmd, Cmd::secret))
}

/// A program that is given as a relative path is beside the plan, as every relative path in a plan.
fn anchored(cx: &Cx<'_>, program: String) -> String {
    if program.contains('/') && Utf8Path::new(&program).is_relative() {
        let path = program.strip_prefix("./").unwrap_or(&program);
        return cx.plan_dir.join(path).into_string();
    }
    program
}

/// The text of `template` with its places filled in.
fn fill(cx: &Cx<'_>, template: &Template) -> Result<String, MissingInput> {
    template
        .parts()
        .iter()
        .map(|part| {
            Ok(match part {
                Part::Text(text) => text.clone(),
                Part::PlanDir => cx.plan_dir.to_string(),
                Part::Out => cx.out.to_string(),
                Part::Scratch => cx.scratch.to_string(),
                Part::Port => beside::free_port(cx.scratch.as_str()).to_string(),
                Part::Source(source) => cx.input(source)?.path.to_string(),
            })
        })
        .collect()
}

/// A command did not do what the plan says.
#[derive(Debug, Error)]
pub enum CommandError {
    /// There is nothing to run.
    #[error("`argv` names no program: write the program and its arguments")]
    NoProgram,
    /// The engine forgot it.
    #[error(transparent)]
    Input(#[from] MissingInput),
    /// The program beside it was not ready, or ended too early.
    #[error(transparent)]
    Beside(#[from] BesideError),
    /// The root that it runs in.
    #[error(transparent)]
    Root(#[from] RootError),
    /// The program did not end well.
    #[error(transparent)]
    Run(#[from] RunError),
    /// It ended well and did not make what it should.
    #[error(transparent)]
    Output(#[from] OutputError),
}

impl Explain for CommandError {
    fn program(&self) -> Option<ProgramEnd> {
        match self {
            Self::Root(error) => error.program(),
            Self::Run(error) => error.program(),
            _ => None,
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::NoProgram => Class::Plan,
            Self::Input(error) => error.class(),
            Self::Beside(error) => error.class(),
            Self::Root(error) => error.class(),
            Self::Run(error) => error.class(),
            Self::Output(error) => error.class(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NoProgram => None,
            Self::Input(error) => error.hint(),
            Self::Beside(error) => error.hint(),
            Self::Root(error) => error.hint(),
            Self::Run(error) => error.hint(),
            Self::Output(error) => error.hint(),
        }
    }
}

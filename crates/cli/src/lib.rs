//! Plan, build, boot and prove bootable images: the command line of bootway.
//!
//! The program is one call of [`run()`]; a workspace's own `xtask` calls the same with arguments of its own:
//!
//! ```
//! assert_eq!(bootway::run(["bootway", "plan", "no-such.plan.toml"]), 3);
//! ```
#![forbid(unsafe_code)]

mod commands;
mod demo;
mod failures;
mod generate;
mod grids;
mod open;
mod program;
mod progress;
mod record;
mod signals;
mod squashfs;
mod style;
mod up;
mod write;

use std::{ffi::OsString, sync::OnceLock};

use bootway_plan::{Failure, exit_code};
use clap::{Parser, Subcommand, error::ErrorKind};

use crate::commands::{
    build::Build, check::Check, completions::Completions, diff::Diff, doctor::Doctor, enter::Enter,
    fetch::Fetch, gc::Gc, generate::Generate, inside::Inside, inspect::Inspect, overrides::Overrides,
    plan::Plan, queue::Queue, report::Report, status::Status, targets::Targets, up::Up, vm::Vm,
};
use crate::{squashfs::Squashfs, write::Write};

/// Plan, build, boot and prove bootable images
///
/// One plan file in; a bootable image, the proof that it boots, and a report out.
#[derive(Debug, Parser)]
#[command(name = "bootway", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// When to use colour
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    color: style::When,
}

#[derive(Debug, Subcommand)]
enum Command {
    Build(Build),
    Fetch(Fetch),
    Check(Check),
    Plan(Plan),
    Overrides(Overrides),
    Status(Status),
    Doctor(Doctor),
    Gc(Gc),
    Enter(Enter),
    Up(Up),
    Vm(Vm),
    Targets(Targets),
    Generate(Generate),
    Report(Report),
    Queue(Queue),
    Inspect(Inspect),
    Diff(Diff),
    Write(Write),
    Squashfs(Squashfs),
    Completions(Completions),
    #[command(hide = true)]
    Inside(Inside),
}

/// Does what the arguments say, the first of which is the program's name, and returns the exit code.
///
/// Prints to standard output and standard error; handles SIGINT and SIGTERM from here on.
pub fn run<A: Into<OsString> + Clone>(args: impl IntoIterator<Item = A>) -> u8 {
    // What is made must not depend on who makes it.
    let _ = USER_UMASK.set(rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022)).bits());
    let args = up::separate(args.into_iter().map(Into::into).collect());
    let parsed = squashfs::rewrite(args.clone())
        .map_err(|message| clap::Error::raw(ErrorKind::UnknownArgument, message + "\n"))
        .and_then(|line| Ok((Cli::try_parse_from(line.args)?, line.notes)));
    let (cli, notes) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => {
            // If even this cannot be printed, there is nobody to tell.
            let _ = error.print();
            if error.kind() == ErrorKind::DisplayHelp
                && let Some(targets) = up::targets(&args)
            {
                print(&targets);
            }
            let asked_for = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            return if asked_for { exit_code::DONE } else { exit_code::USAGE };
        }
    };
    let result = match &cli.command {
        Command::Build(it) => it.run(cli.color),
        Command::Fetch(it) => it.run(cli.color),
        Command::Check(it) => it.run(cli.color),
        Command::Plan(it) => it.run(),
        Command::Overrides(it) => it.run(),
        Command::Status(it) => it.run(),
        Command::Doctor(it) => it.run(),
        Command::Gc(it) => it.run(),
        Command::Enter(it) => it.run(),
        Command::Up(it) => it.run(cli.color),
        Command::Vm(it) => it.run(cli.color),
        Command::Targets(it) => it.run(),
        Command::Generate(it) => it.run(),
        Command::Report(it) => it.run(),
        Command::Queue(it) => it.run(),
        Command::Inspect(it) => it.run(),
        Command::Diff(it) => it.run(),
        Command::Write(it) => it.run(cli.color),
        Command::Squashfs(it) => it.run(cli.color, &notes),
        Command::Completions(it) => it.run(),
        Command::Inside(it) => Ok(it.run()),
    };
    result.unwrap_or_else(|failure| {
        say_failure(&failure);
        failure.class.exit_code()
    })
}

/// The file mode creation mask that this process was started with.
static USER_UMASK: OnceLock<u32> = OnceLock::new();

/// For programs that take the place of this one.
fn user_umask() -> u32 {
    USER_UMASK.get().copied().unwrap_or(0o022)
}

#[expect(clippy::print_stderr, reason = "the command line is where failures are told")]
fn say_failure(failure: &Failure) {
    eprintln!("{failure}");
}

/// Writes to standard output; a reader that has gone away is no error of ours.
fn print(text: &str) {
    use std::io::Write as _;
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

//! `bootway vm`: a plan's guests, and those that were kept to be looked at.

use bootway_exec::{Cmd, Exit};
use bootway_plan::{Class, Failure, exit_code};
use bootway_vm::{Guests, KeptGuest, keeper, nurse};
use camino::Utf8PathBuf;
use clap::{Args, Subcommand};

use crate::{signals::Signals, style};

mod attach;
mod run;

/// Boot a plan's guests, and look at one that is not good
#[derive(Debug, Args)]
pub(crate) struct Vm {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Run(run::Run),
    Attach(Attach),
    Stop(Stop),
    List(List),
    #[command(hide = true)]
    Keeper(Keeper),
    #[command(hide = true)]
    Nurse(Nurse),
}

/// Be at the serial console of a guest that is kept
///
/// What is typed goes to the guest, Ctrl-C too; Ctrl-] leaves, and the guest stays. Without a terminal, standard input
/// is typed; when it has ended, this does as soon as the guest has said nothing for a second.
#[derive(Debug, Args)]
struct Attach {
    /// The guest; the only one unless said
    name: Option<String>,
}

/// End a guest that is kept, and remove what is left of it
#[derive(Debug, Args)]
struct Stop {
    /// The guest; the only one unless said
    name: Option<String>,
    /// All that are kept
    #[arg(long, conflicts_with = "name")]
    all: bool,
}

/// Say which guests are kept
#[derive(Debug, Args)]
struct List {
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Stand between bootway and QEMU
#[derive(Debug, Args)]
struct Keeper {
    /// QEMU's command line
    #[arg(last = true, required = true)]
    line: Vec<String>,
}

/// Stand between bootway and a TPM
#[derive(Debug, Args)]
struct Nurse {
    /// Its command line
    #[arg(last = true, required = true)]
    line: Vec<String>,
}

impl Vm {
    pub(crate) fn run(&self, color: style::When) -> Result<u8, Failure> {
        match &self.what {
            What::Run(it) => it.run(color),
            What::Attach(it) => attach::attach(&guests(), it.name.as_deref()),
            What::Stop(it) => it.run(),
            What::List(it) => it.run(),
            What::Keeper(it) => it.run(),
            What::Nurse(it) => it.run(),
        }
    }
}

/// The kept guests of this user.
fn guests() -> Guests {
    let runtime = std::env::var("XDG_RUNTIME_DIR").ok().map(Utf8PathBuf::from);
    Guests::of_user(runtime.as_deref())
}

impl Stop {
    fn run(&self) -> Result<u8, Failure> {
        let guests = guests();
        let names = if self.all {
            guests.list().map_err(|error| Failure::of(&error))?.into_iter().map(|it| it.name).collect()
        } else {
            vec![guests.find(self.name.as_deref()).map_err(|error| Failure::of(&error))?.name]
        };
        for name in &names {
            guests.stop(name).map_err(|error| Failure::of(&error))?;
            style::say(&format!("stopped {name}"));
        }
        if names.is_empty() {
            style::say("no guest is kept");
        }
        Ok(exit_code::DONE)
    }
}

impl List {
    fn run(&self) -> Result<u8, Failure> {
        let kept = guests().list().map_err(|error| Failure::of(&error))?;
        if self.json {
            crate::print(&(serde_json::to_string_pretty(&kept).expect("plain data") + "\n"));
        } else if kept.is_empty() {
            style::say("no guest is kept");
        } else {
            crate::print(&describe(&kept));
        }
        Ok(exit_code::DONE)
    }
}

/// A line for each: its name, how long it is kept, its process, and why.
fn describe(kept: &[KeptGuest]) -> String {
    let names = kept.iter().map(|it| it.name.chars().count()).max().unwrap_or(0);
    let line = |it: &KeptGuest| {
        let why = it.why.lines().next().unwrap_or_default();
        format!("{:names$}  {:>6} left  pid {}  {why}\n", it.name, it.left.to_string(), it.pid)
    };
    kept.iter().map(line).collect()
}

impl Keeper {
    fn run(&self) -> Result<u8, Failure> {
        let failed = |error: std::io::Error| {
            Failure::new(Class::Environment, error.to_string()).because("cannot look after a guest")
        };
        let here = std::env::current_dir().map_err(failed)?;
        let here = Utf8PathBuf::from_path_buf(here)
            .map_err(|path| failed(std::io::Error::other(format!("`{}` is not UTF-8", path.display()))))?;
        let cmd = started(&self.line).stdin_pipe();
        keeper(&cmd, &here, &Signals::listen().cancel()).map(end_as).map_err(failed)
    }
}

impl Nurse {
    fn run(&self) -> Result<u8, Failure> {
        let failed = |error: std::io::Error| {
            Failure::new(Class::Environment, error.to_string()).because("cannot look after a TPM")
        };
        nurse(&started(&self.line), &Signals::listen().cancel()).map(end_as).map_err(failed)
    }
}

/// The program that is to be looked after.
fn started(line: &[String]) -> Cmd {
    let (program, args) = line.split_first().expect("clap has seen to it");
    Cmd::user(program).args(args)
}

/// Ends this process as another has ended.
fn end_as(exit: Exit) -> u8 {
    match exit {
        Exit::Code(code) => u8::try_from(code).unwrap_or(exit_code::BUG),
        Exit::Signal => {
            let own = rustix::process::getpid();
            let _ = rustix::process::kill_process(own, rustix::process::Signal::KILL);
            exit_code::BUG
        }
    }
}

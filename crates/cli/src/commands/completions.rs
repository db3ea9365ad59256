//! `bootway completions`: for the shell.

use bootway_plan::{Failure, exit_code};
use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

/// Print completions for a shell
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// Which shell
    shell: Shell,
}

impl Completions {
    #[expect(clippy::unnecessary_wraps, reason = "every subcommand has the same shape")]
    pub(crate) fn run(&self) -> Result<u8, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut crate::Cli::command(), "bootway", &mut script);
        crate::print(&String::from_utf8_lossy(&script));
        Ok(exit_code::DONE)
    }
}

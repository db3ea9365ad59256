//! `bootway inside`: the other side of a root, started by ourselves only.

use bootway_engine::enter;
use camino::Utf8PathBuf;
use clap::Args;

/// Do one job in the root of a namespace; bootway starts this itself
#[derive(Debug, Args)]
pub(crate) struct Inside {
    /// What is to be done, and where
    #[arg(long, required_unless_present = "in_namespace")]
    setup: Option<Utf8PathBuf>,
    /// The same, when the namespaces are there
    #[arg(long, conflicts_with = "setup")]
    in_namespace: Option<Utf8PathBuf>,
    /// What runs, for whoever reads the command line
    #[arg(last = true)]
    line: Vec<String>,
}

impl Inside {
    pub(crate) fn run(&self) -> u8 {
        match (&self.setup, &self.in_namespace) {
            (_, Some(setup)) => enter(setup, true),
            (Some(setup), None) => enter(setup, false),
            (None, None) => bootway_plan::exit_code::USAGE,
        }
    }
}

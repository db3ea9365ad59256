//! What must hold before a commit is good: tests, and what needs no tool.

use clap::Args;

use crate::{Done, docs, fixtures, packages::UsedBy, setup::have, sh::cargo};

/// Run all tests
#[derive(Debug, Args)]
pub(crate) struct Test {
    /// Install what is missing first
    #[arg(long)]
    setup: bool,
    /// Options and filters of `cargo nextest run`; with any, the documentation's examples are left out
    #[arg(value_name = "NEXTEST", trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

impl Test {
    pub(crate) fn run(self) -> Done {
        let (setup, args): (Vec<String>, Vec<String>) =
            self.args.into_iter().partition(|arg| arg == "--setup");
        let setup = self.setup || !setup.is_empty();
        have(UsedBy::Tests, setup)?;
        if setup {
            fixtures::make()?;
        }
        if args.is_empty() {
            cargo(["test", "--workspace", "--doc"]).run()?;
        }
        // Last, so that its summary is the last thing to be seen.
        cargo(["nextest", "run", "--workspace"])
            .args(args)
            .env("INSTA_UPDATE", "no")
            .env("BOOTWAY_REQUIRE_TOOLS", "1")
            .run()
    }
}

/// Formatting, lints, documentation.
pub(crate) fn lint() -> Done {
    cargo(["fmt", "--all", "--check"]).run()?;
    cargo(["clippy", "--workspace", "--all-targets", "--", "--deny=warnings"]).run()?;
    cargo(["doc", "--workspace", "--no-deps", "--document-private-items"])
        .env("RUSTDOCFLAGS", "--deny=warnings --allow=rustdoc::private_intra_doc_links")
        .run()?;
    docs::Docs { check: true }.run()
}

/// Everything.
pub(crate) fn ci() -> Done {
    have(UsedBy::Tests, false)?;
    lint()?;
    Test { setup: false, args: Vec::new() }.run()
}

//! What must hold before a commit is good: tests, and what needs no tool.

use std::env;

use clap::Args;

use crate::{
    Done, docs, fixtures,
    packages::UsedBy,
    setup::have,
    sh::{cargo, search_path},
};

/// Run all tests
#[derive(Debug, Args)]
pub(crate) struct Test {
    /// Install what is missing first
    #[arg(long)]
    setup: bool,
    /// Then the tests of Nix again, with newer versions of it
    #[arg(long)]
    all: bool,
    /// Options and filters of `cargo nextest run`; with any, the documentation's examples are left out
    #[arg(value_name = "NEXTEST", trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

impl Test {
    pub(crate) fn run(self) -> Done {
        let (own, args): (Vec<String>, Vec<String>) =
            self.args.into_iter().partition(|arg| arg == "--setup" || arg == "--all");
        let given = |flag: bool, name: &str| flag || own.iter().any(|arg| arg == name);
        let (setup, all) = (given(self.setup, "--setup"), given(self.all, "--all"));
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
            .run()?;
        if all { with_every_nix() } else { Ok(()) }
    }
}

/// Every test that starts Nix, in words of nextest.
const NIX_TESTS: &str = "package(bootway-nix) \
    or (package(bootway) and test(/^(artifacts|checks|closures|completions|gc|nix|targets|untracked)::/)) \
    or (package(bootway-engine) and binary(closures)) or test(/nix/)";

/// The tests that start Nix, with each newer version that can be had.
fn with_every_nix() -> Done {
    for suite in fixtures::nix::SUITES {
        let programs = fixtures::nix::programs(suite)?;
        let mut path = vec![programs.into_std_path_buf()];
        path.extend(env::split_paths(&search_path()));
        let path =
            env::join_paths(path).expect("each is a part of PATH").into_string().expect("PATH is UTF-8");
        cargo(["nextest", "run", "--workspace", "-E", NIX_TESTS])
            .env("INSTA_UPDATE", "no")
            .env("BOOTWAY_REQUIRE_TOOLS", "1")
            .env("PATH", path)
            .run()?;
    }
    Ok(())
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
    Test { setup: false, all: false, args: Vec::new() }.run()
}

//! Fixtures that are made and not kept: too big for the repository, and the same for everyone who makes them.
//!
//! They are made in stages, each in a directory of a cache outside the clone, under the digest of its recipe; a link
//! in `target/fixtures` leads from the clone to the one that its recipe means. `fixtures/shim/README.md` has the rest.

mod arm;
mod cache;
mod disk;
mod ext2;
mod facts;
mod initramfs;
mod kernel;
pub(crate) mod nix;
mod recipe;
mod roots;
mod shim;
mod variants;
mod vboot;

use bootway_plan::{Class, Failure};
use camino::Utf8PathBuf;
use clap::{Args, Subcommand};

use crate::Done;

/// Make fixtures that are too big to be kept
#[derive(Debug, Args)]
pub(crate) struct Fixtures {
    #[command(subcommand)]
    fixture: Fixture,
}

#[derive(Debug, Subcommand)]
enum Fixture {
    /// An RMA shim of genuine format that boots, and a recovery image
    Shim(shim::Shim),
    /// A kernel and a busybox for 64-bit ARM
    Arm(arm::Arm),
    /// Newer versions of Nix, out of Debian's newer suites, without installing them
    Nix(nix::Nix),
}

impl Fixtures {
    pub(crate) fn run(&self) -> Done {
        match &self.fixture {
            Fixture::Shim(shim) => shim.run(),
            Fixture::Arm(arm) => arm.run(),
            Fixture::Nix(nix) => nix.run(),
        }
    }
}

/// Makes the fixtures that tests use, where they are not there yet.
pub(crate) fn make() -> Done {
    shim::Shim::default().run()?;
    arm::Arm::default().run()
}

/// Where the shim and what was found out about it are; an error says how to make it.
pub(crate) fn shim_dir() -> Result<Utf8PathBuf, Failure> {
    let dir = cache::linked("shim");
    if dir.is_dir() {
        return Ok(dir);
    }
    let failure = Failure::new(Class::Environment, format!("there is no `{dir}`"));
    Err(failure.hint("run `cargo xtask fixtures shim`"))
}

#[expect(clippy::needless_pass_by_value, reason = "what `map_err` gives")]
fn io(error: std::io::Error) -> Failure {
    Failure::new(Class::Environment, error.to_string())
}

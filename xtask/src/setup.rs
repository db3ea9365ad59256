//! Installing what is missing, or saying how.

use bootway_plan::{Class, Failure};
use clap::Args;

use crate::{
    Done,
    packages::{Package, UsedBy, has_program, missing},
    sh::{Sh, cargo, sh},
};

/// The version of cargo-nextest that is installed where there is none.
const NEXTEST: &str = "0.9.143";

/// Install what the tests and the demo need, and say what that is
#[derive(Debug, Args)]
pub(crate) struct Setup {
    /// Only say what is missing; exit code 4 if anything is
    #[arg(long)]
    check: bool,
}

impl Setup {
    pub(crate) fn run(&self) -> Done {
        have(UsedBy::Tests, !self.check)
    }
}

/// Sees to it that this machine has what `used_by` needs: installs it, or fails with everything that is missing.
pub(crate) fn have(used_by: UsedBy, install: bool) -> Done {
    let packages = missing(used_by);
    let nextest = used_by == UsedBy::Tests && !has_nextest();
    if packages.is_empty() && !nextest {
        println!("nothing is missing");
        return Ok(());
    }
    println!("this machine lacks:");
    for package in &packages {
        println!("  {:<24} for {}", package.name, package.purpose);
    }
    if nextest {
        println!("  {:<24} for running the tests", "cargo-nextest");
    }
    if !install {
        return Err(lacking(used_by, &packages, nextest));
    }
    if !packages.is_empty() {
        apt_get(&["update"])?.run()?;
        let names = packages.iter().map(|package| package.name);
        apt_get(&["install", "--yes", "--no-install-recommends"])?.args(names).run()?;
    }
    if nextest {
        // Its own code need not be fast: a build for debugging takes a third of the time.
        cargo(["install", "--locked", "--debug", "--version", NEXTEST, "cargo-nextest"]).run()?;
    }
    let left: Vec<&Package> = missing(used_by);
    if left.is_empty() && (!nextest || has_nextest()) {
        return Ok(());
    }
    let names: Vec<&str> = left.iter().map(|package| package.name).collect();
    Err(Failure::new(
        Class::Environment,
        format!("still missing after the installation: {}", names.join(", ")),
    ))
}

fn has_nextest() -> bool {
    cargo(["nextest", "--version"]).works()
}

fn lacking(used_by: UsedBy, packages: &[&Package], nextest: bool) -> Failure {
    let mut names: Vec<&str> = packages.iter().map(|package| package.name).collect();
    names.extend(nextest.then_some("cargo-nextest"));
    let command = match used_by {
        UsedBy::Demo => "cargo xtask build-image --setup",
        UsedBy::Tests => "cargo xtask test --setup",
    };
    Failure::new(Class::Environment, format!("missing: {}", names.join(", ")))
        .hint(format!("on Debian, `{command}` installs them first; with Nix, `nix develop ./nix` has them"))
}

/// apt-get as root, by way of sudo where needed.
fn apt_get(args: &[&'static str]) -> Result<Sh, Failure> {
    let by_hand = |why: &str| {
        let hint = "as root: `cargo xtask setup --check` lists the packages; with Nix: `nix develop ./nix`";
        Failure::new(Class::Environment, why).hint(hint)
    };
    if !has_program("apt-get") {
        return Err(by_hand("cannot install anything here: there is no apt-get"));
    }
    let apt_get = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet"];
    if rustix::process::geteuid().is_root() {
        return Ok(sh(apt_get[0], apt_get[1..].iter().copied()).args(args.iter().copied()));
    }
    if !has_program("sudo") {
        return Err(by_hand("cannot install anything here: this is not root, and there is no sudo"));
    }
    Ok(sh("sudo", apt_get).args(args.iter().copied()))
}

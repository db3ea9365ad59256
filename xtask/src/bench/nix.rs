//! What bootway adds to Nix: an attribute that is built already, by `nix build` and by a plan with one step.
//!
//! Both ask Nix what the attribute is now, which takes most of the time of either; bootway also asks whether its output
//! is valid, and writes a run with a ledger and a report. The store is of its own and reads no substituter.

use bootway_plan::{Class, Failure};
use camino::Utf8Path;

use super::{
    io, released,
    rounds::{Contender, Times, median, take_turns},
};
use crate::{
    Done,
    sh::{Sh, cargo, sh},
};

const FLAKE: &str = r#"{
  outputs = { self }: {
    packages.x86_64-linux.a = derivation {
      name = "a"; system = "x86_64-linux"; builder = "/bin/sh"; args = [ "-c" "echo built > $out" ];
    };
  };
}
"#;
/// At most so much more than `nix build`.
const GOAL_MS: f64 = 50.0;
const PEER: &str = "nix build";

/// Measures in `rounds` rounds below `scratch`.
///
/// # Errors
///
/// If a contender is missing or fails.
pub(super) fn run(scratch: &Utf8Path, rounds: usize) -> Done {
    cargo(["build", "--release", "-p", "bootway"]).run()?;
    let flake = scratch.join("flake");
    fs_err::create_dir_all(&flake).map_err(io)?;
    fs_err::write(flake.join("flake.nix"), FLAKE).map_err(io)?;
    let plan = scratch.join("bench.plan.toml");
    let text = format!(
        "format = 1\nname = \"bench\"\nepoch = 1735689600\n\n[nix]\nflake = \"{flake}\"\n\n[[phase]]\nname = \"build\"\n\n\
         [[phase.step]]\nname = \"a\"\nnix-build = {{ attribute = \"a\" }}\n"
    );
    fs_err::write(&plan, text).map_err(io)?;
    let contenders = [
        Contender { name: PEER.to_owned(), commands: vec![bare(scratch, &flake)] },
        Contender { name: "bootway build".to_owned(), commands: vec![ours(scratch, &plan)] },
    ];
    // The first turn of each builds, or finds built what the other did, and is not measured.
    for contender in &contenders {
        Times::default().take(&contender.commands)?;
    }
    let times = take_turns(&contenders, rounds, || Ok(()), |_, _, _| Ok(()))?;
    report(&contenders, &times)
}

fn bare(scratch: &Utf8Path, flake: &Utf8Path) -> Sh {
    alone(sh("nix", ["build", "--no-link", "--json", &format!("path:{flake}#a")]), scratch)
}

fn ours(scratch: &Utf8Path, plan: &Utf8Path) -> Sh {
    alone(sh(&released("bootway"), ["build", plan.as_str()]), scratch)
}

/// With a store in `scratch`.
fn alone(command: Sh, scratch: &Utf8Path) -> Sh {
    let at = |name: &str| scratch.join(name).into_string();
    let config = "experimental-features = nix-command flakes\nsubstituters =\nflake-registry =\n\
                  build-users-group =\nsandbox = false\n";
    command
        .dir(scratch)
        .env("NIX_STORE_DIR", at("store"))
        .env("NIX_STATE_DIR", at("var"))
        .env("NIX_LOG_DIR", at("log"))
        .env("NIX_CONF_DIR", at("etc"))
        .env("NIX_REMOTE", "")
        .env("XDG_CACHE_HOME", at("cache"))
        .env("NIX_CONFIG", config)
}

fn report(contenders: &[Contender], times: &[Times]) -> Done {
    let [peer, ours] = times else { return Err(Failure::new(Class::Bug, "there are two contenders")) };
    println!();
    for (contender, times) in contenders.iter().zip(times) {
        println!(
            "{:<14} {:>6.1} ms, {:>6.1} ms of CPU (medians)",
            contender.name,
            times.wall() * 1e3,
            times.cpu() * 1e3
        );
    }
    // Of each round's difference, since both of a round met the same machine.
    let more: Vec<f64> = ours
        .wall
        .iter()
        .zip(&peer.wall)
        .map(|(ours, peer)| (ours.as_secs_f64() - peer.as_secs_f64()) * 1e3)
        .collect();
    let more = median(more);
    let verdict = if more <= GOAL_MS { "good" } else { "MISSED" };
    println!(
        "bootway takes {more:.1} ms more (median of the rounds' differences); at most {GOAL_MS}: {verdict}"
    );
    Ok(())
}

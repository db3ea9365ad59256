//! The plan from source, for real: fetched once, then built twice without a network, at two places, by an ordinary user.
//!
//! Too long for every run of CI: some ten minutes, and 300 MB from the network. It fails if a build does, or if
//! the two differ in a byte.

use std::time::{Duration, Instant};

use bootway_plan::{Class, Failure};
use camino::Utf8Path;
use clap::Args;

use crate::{
    Done,
    packages::UsedBy,
    setup::have,
    sh::{Sh, cargo, root, sh},
};

/// The plan, and the directory beside it that it reads.
const PLAN: &str = "sysroot.plan.toml";
const READ: &str = "demo";
/// Nobody in particular.
const USER: &str = "65534";
/// Of different lengths: a path that gets into a program would move what is behind it.
const PLACES: [&str; 2] = ["one", "another-place-with-a-longer-name"];

/// Build the plan from source twice, offline, as an ordinary user, and compare
#[derive(Debug, Args)]
pub(crate) struct Sysroot {
    /// Keep what was fetched and built, in target/sysroot
    #[arg(long)]
    keep: bool,
    /// Options of `bootway build`, such as --var
    #[arg(value_name = "OPTION", last = true)]
    options: Vec<String>,
}

impl Sysroot {
    pub(crate) fn run(self) -> Done {
        have(UsedBy::Tests, false)?;
        cargo(["build", "--release", "--package", "bootway"]).run()?;
        let base = root().join("target/sysroot");
        remove(&base)?;
        prepare(&base)?;
        let options: Vec<&str> = self.options.iter().map(String::as_str).collect();
        let cache = base.join("cache");
        let of_plan = |chore: &str, place: &str| {
            let plan = base.join(place).join(PLAN);
            let args = [chore, plan.as_str(), "--cache", cache.as_str()];
            args.into_iter().chain(options.iter().copied()).map(ToOwned::to_owned).collect::<Vec<_>>()
        };
        let mut times = Vec::new();
        let mut timed = |what: String, run: &Sh| -> Done {
            let began = Instant::now();
            run.run()?;
            times.push((what, began.elapsed()));
            Ok(())
        };
        timed("fetched".to_owned(), &program(&base, true, of_plan("fetch", PLACES[0])))?;
        // What was fetched is locked beside the plan.
        copy_locks(&base.join(PLACES[0]), &base.join(PLACES[1]))?;
        for place in PLACES {
            timed(format!("built in {place}, offline"), &program(&base, false, of_plan("build", place)))?;
        }
        let [a, b] = PLACES.map(|place| base.join(place).join(".bootway/sysroot").into_string());
        timed("compared".to_owned(), &program(&base, false, vec!["diff".to_owned(), a, b]))?;
        for (what, time) in times {
            println!("{what}: {}", seconds(time));
        }
        if self.keep { Ok(()) } else { remove(&base) }
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The plan at both places, and the program, for somebody who is not root.
fn prepare(base: &Utf8Path) -> Done {
    for place in PLACES {
        let dir = base.join(place);
        fs_err::create_dir_all(&dir).map_err(io)?;
        let plans = root().join("fixtures/plans");
        sh("cp", ["-r", plans.join(PLAN).as_str(), plans.join(READ).as_str(), dir.as_str()]).run()?;
    }
    fs_err::copy(crate::bench::released("bootway"), base.join("bootway")).map_err(io)?;
    if is_root() { sh("chown", ["-R", &format!("{USER}:{USER}"), base.as_str()]).run() } else { Ok(()) }
}

/// The program in `base` as an ordinary user, with or without a network.
fn program(base: &Utf8Path, network: bool, args: Vec<String>) -> Sh {
    let mut argv: Vec<String> = Vec::new();
    if !network {
        argv.push("unshare".to_owned());
        argv.extend((!is_root()).then(|| "--map-current-user".to_owned()));
        argv.push("--net".to_owned());
    }
    if is_root() {
        argv.extend(["setpriv".to_owned(), format!("--reuid={USER}"), format!("--regid={USER}")]);
        argv.push("--clear-groups".to_owned());
    }
    argv.push(base.join("bootway").into_string());
    argv.extend(args);
    sh(&argv[0], argv[1..].iter().cloned()).env("HOME", base.as_str())
}

fn remove(dir: &Utf8Path) -> Done {
    if dir.exists() { sh("rm", ["-rf", dir.as_str()]).run() } else { Ok(()) }
}

/// Copies the lock files of one plan to another place of it.
fn copy_locks(from: &Utf8Path, to: &Utf8Path) -> Done {
    for entry in from.read_dir_utf8().map_err(io)? {
        let entry = entry.map_err(io)?;
        if entry.path().extension() == Some("lock") {
            fs_err::copy(entry.path(), to.join(entry.file_name())).map_err(io)?;
        }
    }
    Ok(())
}

fn seconds(time: Duration) -> String {
    format!("{} min {:02} s", time.as_secs() / 60, time.as_secs() % 60)
}

#[expect(clippy::needless_pass_by_value, reason = "as `map_err` hands it over")]
fn io(error: std::io::Error) -> Failure {
    Failure::new(Class::Environment, error.to_string())
}

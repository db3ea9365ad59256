//! A closure into a store in a directory: `install_closure REGISTRATION FROM INTO MODE VERIFY JOBS` does it and says what
//! it did. `FROM` is a directory with a store, or `/`.

use std::{error::Error, io::Write};

use bootway_exec::{Cx, Sandbox, SystemRunner};
use bootway_nix::closure::{Install, LocalStore, Registration, install};
use bootway_plan::{Failure, NixConfig};
use camino::Utf8Path;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [registration, from, into, mode, verify, jobs] = &args[..] else {
        return Err("usage: install_closure REGISTRATION FROM INTO MODE VERIFY JOBS".into());
    };
    let word = |word: &String| serde_json::Value::String(word.clone());
    let store = Some(from.clone()).filter(|from| from != "/");
    let from = LocalStore::of("/".into(), &NixConfig { store, ..NixConfig::default() })?;
    let wanted = Install {
        from: &from,
        registration: &Registration::from_text(&fs_err::read_to_string(registration)?)?,
        into: Utf8Path::new(into),
        mode: serde_json::from_value(word(mode))?,
        verify: serde_json::from_value(word(verify))?,
        jobs: jobs.parse()?,
    };
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let cx = Cx { jobs: wanted.jobs, ..sandbox.cx() };
    let installed = install(&cx, &wanted).map_err(|error| Failure::of(&error).to_string())?;
    writeln!(std::io::stdout(), "{installed}")?;
    Ok(())
}

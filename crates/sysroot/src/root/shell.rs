//! A root for a person, and whether there can be one.

use bootway_exec::{Cmd, Cx};

use super::{FAILED, Program, Root, SHELL};
use crate::{error::RootError, inside::Job};

/// What takes the place of this process to be a shell, or another program, in the root of `cx`.
///
/// With `failed`, in what a step that failed there has left in the scratch directory of `cx`: in the directory of the program
/// that failed, with its environment. Otherwise what is changed is forgotten.
///
/// # Errors
///
/// If the root cannot be prepared, or no step has failed there.
pub fn shell(cx: &Cx<'_>, argv: &[String], failed: bool) -> Result<Cmd, RootError> {
    let root = Root::of(cx)?;
    let mut program = Program { cwd: "/".to_owned(), ..Program::default() };
    if failed {
        let text = fs_err::read(root.dir.join(FAILED))?;
        program = serde_json::from_slice(&text).map_err(std::io::Error::other)?;
    } else {
        root.prepare()?;
    }
    // Nobody can try another way once it has taken our place.
    root.job(&Job::Nothing, &root.cmd("probe", &[])?, "probe", &[])?;
    program.argv = if argv.is_empty() { vec!["sh".to_owned()] } else { argv.to_vec() };
    let mut env = root.env(&program);
    if let Ok(term) = std::env::var("TERM") {
        env.insert("TERM".to_owned(), term);
    }
    let job = Job::Run { argv: program.argv.clone(), cwd: program.cwd.clone(), env };
    root.write_setup(job, SHELL)?;
    root.cmd(SHELL, &program.argv)
}

/// Whether a root can be made up here, found out by doing it.
///
/// # Errors
///
/// What stands in the way, and in the hint what to do.
pub fn probe(cx: &Cx<'_>) -> Result<(), RootError> {
    let root = Root::of(cx)?;
    root.prepare()?;
    root.job(&Job::Nothing, &root.cmd("probe", &[])?, "probe", &[])
}

//! A program that takes the place of this one.

use std::{io, os::unix::process::CommandExt as _};

use rustix::{fs::Mode, process::umask};

use crate::{Cmd, SpawnError};

/// Becomes `cmd`: the program takes the place of this process and has its terminal, its standard streams, its signals
/// and its parent; the parent sees the program's exit code. Nothing of this process runs afterwards, so whatever must
/// be cleared up is cleared up before.
///
/// Unlike a step's program it runs in the environment of the user, as if it had been typed: no locale, no search path
/// and no process group of ours. `mask` is the file mode creation mask that it gets.
///
/// Returns only if it could not be started.
pub fn replace(cmd: &Cmd, mask: u32) -> SpawnError {
    #[expect(clippy::disallowed_methods, reason = "this crate is where processes start")]
    let mut command = std::process::Command::new(cmd.program.as_str());
    command.args(&cmd.args).envs(&cmd.env);
    if let Some(dir) = &cmd.dir {
        command.current_dir(dir);
    }
    let ours = umask(Mode::from_raw_mode(mask));
    let source = command.exec();
    umask(ours);
    let program = cmd.program.clone();
    match source.kind() {
        io::ErrorKind::NotFound if cmd.dir.as_ref().is_none_or(|dir| dir.exists()) => {
            SpawnError::Missing { program }
        }
        _ => SpawnError::Os { program, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// That it works is seen where there is a process to spare: in the tests of `bootway up`.
    #[test]
    fn a_program_that_is_not_there_does_not_take_our_place() {
        let error = replace(&Cmd::user("no-such-program"), 0o022);
        assert_eq!(error.to_string(), "`no-such-program` is not on PATH");
    }
}

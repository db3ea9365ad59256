//! A child dies with its parent.
//!
//! The one crate with `unsafe` in it, and all of it: a hook between `fork` and `exec` cannot be set without.
//! Without this hook a SIGKILL of bootway would leave QEMU running for ever.
#![expect(unsafe_code, reason = "see docs/decisions/0004-one-unsafe-block.md")]

use std::{io, os::unix::process::CommandExt as _, process::Command};

use rustix::process::{Signal, getppid, set_parent_process_death_signal};

/// Has the kernel send SIGKILL to the program when the thread that starts it ends.
///
/// The signal reaches the program itself, not what it starts in turn. It is tied to the starting *thread*
/// (prctl(2), `PR_SET_PDEATHSIG`): keep that thread for as long as the program.
///
/// ```
/// let mut command = std::process::Command::new("true");
/// bootway_pdeath::die_with_parent(&mut command);
/// assert!(command.status()?.success());
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn die_with_parent(command: &mut Command) {
    let parent = rustix::process::getpid();
    let hook = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have ended before the line above took effect.
        if getppid() == Some(parent) { Ok(()) } else { Err(io::ErrorKind::Interrupted.into()) }
    };
    // SAFETY: between fork and exec only async-signal-safe calls are allowed. The hook makes two system calls
    // (prctl, getppid) through rustix, which neither allocates nor locks, and builds its error without allocating.
    unsafe {
        command.pre_exec(hook);
    }
}

//! What a restored guest needs to be told: which time it is, and something that no other copy of it knows.
//!
//! Its clock stands where it was saved, and all copies draw the same random numbers. No shell can set both, so a program
//! of some 300 bytes is put into the guest while it is saved, and is run when it is restored.

use std::time::Duration;

use bootway_plan::step::Arch;

/// What the program does: it says [`ASLEEP`], reads [`MESSAGE`] bytes from its standard input, sets the clock, adds the
/// entropy and has the kernel draw from it at once. Its exit code is 0, or which of the five failed. A terminal hands all
/// bytes over meanwhile, as they are.
///
/// These are `wake/*.s`, assembled. Sources: random(4), `clock_settime(2)`, `ioctl_tty(2)`, System V ABI for AMD64;
/// for 64-bit ARM, Linux, `include/uapi/asm-generic/unistd.h`.
const CODE: &[u8] = include_bytes!("wake/x86_64.bin");

/// The same for 64-bit ARM.
const ARM_CODE: &[u8] = include_bytes!("wake/aarch64.bin");

/// What the program says as soon as it can be told.
pub(crate) const ASLEEP: &str = "<_bwasleep\n";

/// Bytes of entropy: what a kernel draws from holds 32.
pub(crate) const ENTROPY: usize = 32;

/// Bytes that the program reads: a time, how much entropy there is, and the entropy. A terminal hands over no more than
/// 64 at once. Source: Linux, `drivers/tty/tty_io.c`, `iterate_tty_read`.
pub(crate) const MESSAGE: usize = 16 + 8 + ENTROPY;

/// Where the program is put, in the first of these directories that it can be started from.
const PLACES: &str = "/run /dev/shm /tmp /var/tmp /root /";

/// Name of the program in the guest.
const NAME: &str = ".bootway-wake";

/// Bytes of the two headers of the program.
const HEADERS: usize = 120;

/// The program, as a file. Source: ELF-64 object file format, version 1.5; System V ABI for AMD64.
fn program(arch: Arch) -> Vec<u8> {
    const BASE: u64 = 0x40_0000;
    let (processor, code) = match arch {
        Arch::X8664 => (62, CODE),
        Arch::Aarch64 => (183, ARM_CODE),
    };
    let size = (HEADERS + code.len()) as u64;
    let mut file = b"\x7FELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    file.extend_from_slice(&[2, 0, processor, 0, 1, 0, 0, 0]); // An executable.
    file.extend_from_slice(&(BASE + HEADERS as u64).to_le_bytes());
    file.extend_from_slice(&64_u64.to_le_bytes());
    file.extend_from_slice(&[0; 12]);
    file.extend_from_slice(&[64, 0, 56, 0, 1, 0, 64, 0, 0, 0, 0, 0]);
    file.extend_from_slice(&[1, 0, 0, 0, 5, 0, 0, 0]); // Loaded, read and executed.
    for field in [0, BASE, BASE, size, size, 0x1000] {
        file.extend_from_slice(&u64::to_le_bytes(field));
    }
    file.extend_from_slice(code);
    file
}

/// Bytes as `printf` makes them of its first argument.
fn octal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!(r"\{byte:03o}")).collect()
}

/// A command that puts the program into a guest, and prints where it is. It fails if it cannot be started from anywhere.
pub(crate) fn install(arch: Arch) -> String {
    let file = octal(&program(arch));
    format!(
        "for d in {PLACES}; do f=${{d%/}}/{NAME}; \
         {{ rm -f $f; printf '{file}' >$f && chmod 700 $f; }} 2>/dev/null || continue; \
         $f </dev/null >/dev/null 2>&1; test $? = 1 && {{ echo $f; exit 0; }}; rm -f $f; done; exit 1"
    )
}

/// What the program reads, for a guest where it is `now` since 1970-01-01 UTC.
pub(crate) fn message(now: Duration, entropy: &[u8; ENTROPY]) -> Vec<u8> {
    let mut message = Vec::with_capacity(MESSAGE);
    message.extend_from_slice(&now.as_secs().to_le_bytes());
    message.extend_from_slice(&u64::from(now.subsec_nanos()).to_le_bytes());
    message.extend_from_slice(&(8 * ENTROPY as u32).to_le_bytes());
    message.extend_from_slice(&(ENTROPY as u32).to_le_bytes());
    message.extend_from_slice(entropy);
    message
}

/// A command that has the program at `path` read `message`.
pub(crate) fn run(path: &str, message: &[u8]) -> String {
    format!("printf '{}' | {path} >/dev/null", octal(message))
}

/// What an exit code of the program means.
pub(crate) const fn meaning(code: u8) -> &'static str {
    match code {
        1 => "it was not told the time",
        2 => "the time could not be set: the guest's shell must be root's",
        3 => "there is no /dev/urandom",
        4 => "no entropy could be added: the guest's shell must be root's",
        5 => "the kernel is older than 4.17, and cannot draw random numbers anew",
        _ => "it was not started",
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use bootway_exec::{Cmd, Exit, RunError, Sandbox, SystemRunner, run as run_cmd};

    use camino::Utf8Path;

    use super::*;

    /// It is started, reads nothing, and says so. What it does with a message is shown by guests.
    #[test]
    fn it_is_a_program() {
        let runner = SystemRunner::default();
        let sandbox = Sandbox::new(&runner);
        let path = sandbox.cx().scratch.join(NAME);
        fs_err::write(&path, program(Arch::X8664)).unwrap();
        fs_err::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
        let ended = run_cmd(&sandbox.cx(), &Cmd::user(path.as_str()));
        assert!(matches!(ended, Err(RunError::Failed { exit: Exit::Code(1), .. })), "{ended:?}");
    }

    #[test]
    fn it_is_what_its_source_says() {
        let runner = SystemRunner::default();
        let sandbox = Sandbox::new(&runner);
        let cx = sandbox.cx();
        let sources = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("src/wake");
        for (source, prefix, code) in [("x86_64.s", "", CODE), ("aarch64.s", "aarch64-linux-gnu-", ARM_CODE)]
        {
            let (object, binary) = (cx.scratch.join("object"), cx.scratch.join("binary"));
            let made = [
                Cmd::user(format!("{prefix}as")).args([sources.join(source).as_str(), "-o", object.as_str()]),
                Cmd::user(format!("{prefix}objcopy")).args([
                    "-O",
                    "binary",
                    "-j",
                    ".text",
                    object.as_str(),
                    binary.as_str(),
                ]),
            ];
            for cmd in made {
                run_cmd(&cx, &cmd)
                    .expect("binutils, and those for aarch64: `cargo xtask setup` installs them");
            }
            assert!(fs_err::read(&binary).unwrap() == code, "assemble {source} again");
        }
    }

    #[test]
    fn a_message_has_a_time_and_entropy() {
        let said = run("/run/x", &message(Duration::new(1, 2), &[0xFF; ENTROPY]));
        assert!(said.starts_with(
            r"printf '\001\000\000\000\000\000\000\000\002\000\000\000\000\000\000\000\000\001\000\000\040\000\000\000\377"
        ));
        assert!(said.ends_with(r"\377' | /run/x >/dev/null"));
    }
}

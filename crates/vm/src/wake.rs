//! What a restored guest needs to be told: which time it is, and something that no other copy of it knows.
//!
//! Its clock stands where it was saved, and all copies draw the same random numbers. No shell can set both, so a program
//! of some 300 bytes is put into the guest while it is saved, and is run when it is restored.

use std::time::Duration;

use bootway_plan::step::Arch;

/// The program reads [`MESSAGE`] bytes from its standard input, sets the clock, adds the entropy and has the kernel draw
/// from it at once. Its exit code is 0, or which of the five failed.
///
/// ```text
///     sub rsp, 96;  read(0, rsp, 56) == 56                  else exit(1)
///     clock_settime(CLOCK_REALTIME, rsp) == 0               else exit(2)
///     ebx = open("/dev/urandom", O_WRONLY) >= 0             else exit(3)
///     ioctl(ebx, RNDADDENTROPY, rsp + 16) == 0              else exit(4)
///     ioctl(ebx, RNDRESEEDCRNG) == 0                        else exit(5)
///     exit(0)
/// ```
///
/// Sources: random(4), `clock_settime(2)`, System V ABI for AMD64.
#[rustfmt::skip]
const CODE: [u8; 152] = [
    0x48, 0x83, 0xec, 0x60, 0x31, 0xff, 0x48, 0x89, 0xe6, 0xba, 0x38, 0x00, 0x00, 0x00, 0x31, 0xc0, 0x0f, 0x05,
    0xbf, 0x01, 0x00, 0x00, 0x00, 0x83, 0xf8, 0x38, 0x75, 0x68,
    0xb8, 0xe3, 0x00, 0x00, 0x00, 0x31, 0xff, 0x48, 0x89, 0xe6, 0x0f, 0x05,
    0xbf, 0x02, 0x00, 0x00, 0x00, 0x85, 0xc0, 0x75, 0x53,
    0x48, 0x8d, 0x3d, 0x53, 0x00, 0x00, 0x00, 0xbe, 0x01, 0x00, 0x00, 0x00, 0xb8, 0x02, 0x00, 0x00, 0x00, 0x0f, 0x05,
    0xbf, 0x03, 0x00, 0x00, 0x00, 0x85, 0xc0, 0x78, 0x37, 0x89, 0xc3,
    0x89, 0xc7, 0xbe, 0x03, 0x52, 0x08, 0x40, 0x48, 0x8d, 0x54, 0x24, 0x10, 0xb8, 0x10, 0x00, 0x00, 0x00, 0x0f, 0x05,
    0xbf, 0x04, 0x00, 0x00, 0x00, 0x85, 0xc0, 0x75, 0x19,
    0x89, 0xdf, 0xbe, 0x07, 0x52, 0x00, 0x00, 0xb8, 0x10, 0x00, 0x00, 0x00, 0x0f, 0x05,
    0xbf, 0x05, 0x00, 0x00, 0x00, 0x85, 0xc0, 0x75, 0x02, 0x31, 0xff,
    0xb8, 0x3c, 0x00, 0x00, 0x00, 0x0f, 0x05,
    b'/', b'd', b'e', b'v', b'/', b'u', b'r', b'a', b'n', b'd', b'o', b'm', 0,
];

/// The same for 64-bit ARM, where `open` is `openat(AT_FDCWD, …)`. Source: Linux, `include/uapi/asm-generic/unistd.h`.
#[rustfmt::skip]
const ARM_CODE: [u32; 45] = [
    // sub sp, #96;  read(0, sp, 56);  w19 = 1;  exit if it is not 56
    0xd101_83ff, 0xd280_0000, 0x9100_03e1, 0xd280_0702, 0xd280_07e8, 0xd400_0001, 0xd280_0033, 0xf100_e01f, 0x5400_03c1,
    // clock_settime(0, sp);  w19 = 2;  exit if it is not 0
    0xd280_0000, 0x9100_03e1, 0xd280_0e08, 0xd400_0001, 0xd280_0053, 0xb500_0300,
    // openat(-100, "/dev/urandom", 1, 0);  w19 = 3;  exit if it is negative
    0x9280_0c60, 0x1000_0321, 0xd280_0022, 0xd280_0003, 0xd280_0708, 0xd400_0001, 0xd280_0073, 0xb7f8_0200,
    // x20 = it;  ioctl(x20, 0x40085203, sp + 16);  w19 = 4;  exit if it is not 0
    0xaa00_03f4, 0x528a_4061, 0x72a8_0101, 0x9100_43e2, 0xd280_03a8, 0xd400_0001, 0xd280_0093, 0xb500_0100,
    // ioctl(x20, 0x5207);  w19 = 5;  exit if it is not 0;  w19 = 0
    0xaa14_03e0, 0x528a_40e1, 0xd280_03a8, 0xd400_0001, 0xd280_00b3, 0xb500_0040, 0xd280_0013,
    // exit(w19)
    0xaa13_03e0, 0xd280_0ba8, 0xd400_0001,
    // "/dev/urandom"
    0x7665_642f, 0x6172_752f, 0x6d6f_646e, 0,
];

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
        Arch::X8664 => (62, CODE.to_vec()),
        Arch::Aarch64 => (183, ARM_CODE.into_iter().flat_map(u32::to_le_bytes).collect()),
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
    file.extend_from_slice(&code);
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
         $f </dev/null 2>/dev/null; test $? = 1 && {{ echo $f; exit 0; }}; rm -f $f; done; exit 1"
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
    format!("printf '{}' | {path}", octal(message))
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
        assert_eq!(program(Arch::X8664).len(), 272);
        assert_eq!(program(Arch::Aarch64).len(), 300);
    }

    #[test]
    fn a_message_has_a_time_and_entropy() {
        let said = run("/run/x", &message(Duration::new(1, 2), &[0xFF; ENTROPY]));
        assert!(said.starts_with(
            r"printf '\001\000\000\000\000\000\000\000\002\000\000\000\000\000\000\000\000\001\000\000\040\000\000\000\377"
        ));
        assert!(said.ends_with(r"\377' | /run/x"));
    }
}

//! Machines with a TPM.

use std::{io, time::Duration};

use bootway_exec::{Cmd, Exit, Poll, Process, Program, SpawnError};

use super::*;

const STEP: &str = r#"{"boot": "kernel", "kernel": "./vmlinuz", "initrd": "./initrd",
    "cmdline": "console=ttyS0 panic=-1 quiet no_timer_check", "machine": "m", "check": "#;

/// Sends a command to the TPM and prints the answer. Source: TCG TPM 2.0 Library, part 3, `TPM2_GetRandom` for 8 bytes.
const GET_RANDOM: &str = r"printf '\\200\\001\\000\\000\\000\\014\\000\\000\\001\\173\\000\\010' >/command; exec 3<>/dev/tpm0; cat /command >&3; dd bs=64 count=1 <&3 2>/dev/null | od -An -v -tx1 | tr -d ' \\n'";

/// Boots busybox on a machine with a TPM.
fn boot_tpm(runner: &dyn Runner, checks: &str, late: impl FnOnce(&Sandbox)) -> Seen {
    let machine = format!(r#"{{"accel": "tcg", "memory": "256MiB", "tpm": true, {GENEROUS}}}"#);
    boot_files(runner, &format!("{STEP}[{checks}]}}"), &machine, &[("initrd", &initramfs(SHELL))], late)
}

/// Programs that work in a directory below `root`.
fn running_in(root: &Utf8Path) -> Vec<String> {
    let all = fs_err::read_dir("/proc").unwrap().flatten();
    let here =
        all.filter(|it| std::fs::read_link(it.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(root)));
    here.map(|it| std::fs::read_to_string(it.path().join("comm")).unwrap_or_default()).collect()
}

/// Nobody works below `root`; who was killed needs a moment to be gone.
#[track_caller]
fn assert_nobody_is_left(root: &Utf8Path) {
    let since = Instant::now();
    while !running_in(root).is_empty() && since.elapsed() < Duration::from_secs(30) {
        std::thread::yield_now();
    }
    assert_eq!(running_in(root), Vec::<String>::new());
}

/// It answers, and it has the same state after a reboot, when its registers begin anew: it was not switched off.
#[test]
fn a_guest_has_a_tpm_that_answers() {
    let checks = format!(
        r#"{{"name": "is there", "run": "cat /sys/class/tpm/tpm0/tpm_version_major", "equals": "2"}},
           {{"name": "answers", "run": "{GET_RANDOM}", "matches": "^80010000001400000000 ?0008[0-9a-f]{{16}}$"}},
           {{"name": "reboots", "reboot": true}},
           {{"name": "still answers", "run": "{GET_RANDOM}", "matches": "^80010000001400000000 ?0008[0-9a-f]{{16}}$"}},
           {{"name": "off", "power-off": true}}"#
    );
    let mut root = Utf8PathBuf::new();
    let seen = boot_tpm(&SystemRunner::default(), &checks, |sandbox| root = sandbox.root().to_owned());
    assert!(seen.result.is_ok(), "{}\n{}\n{}", seen.failure(), seen.checks(), seen.console().join("\n"));
    assert_nobody_is_left(&root);
}

/// Whoever does not wait for the guest's end ends the TPM, too.
#[test]
fn a_tpm_ends_with_its_guest() {
    let mut root = Utf8PathBuf::new();
    let checks = r#"{"name": "is there", "console": "SeaBIOS"}"#;
    let seen = boot_tpm(&SystemRunner::default(), checks, |sandbox| root = sandbox.root().to_owned());
    assert!(seen.result.is_ok(), "{}\n{}", seen.failure(), seen.checks());
    assert_nobody_is_left(&root);
}

/// What becomes of the machine's TPM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Missing,
    /// It does not like what it is told.
    Refuses,
    /// Somebody kills it once the guest has said something.
    Killed,
}

#[derive(Debug)]
struct WithTpm(Fate);

impl Runner for WithTpm {
    fn spawn(&self, cmd: &Cmd) -> Result<Box<dyn Process>, SpawnError> {
        let system = SystemRunner::default();
        match (cmd.program(), self.0) {
            (Program::Tool(Tool::Swtpm), Fate::Missing) => {
                Err(SpawnError::Missing { program: Program::Tool(Tool::Swtpm) })
            }
            (Program::Tool(Tool::Swtpm), Fate::Refuses) => system.spawn(&cmd.clone().arg("--no-such-option")),
            (Program::Tool(Tool::Swtpm), Fate::Killed) => Ok(Box::new(Mortal(system.spawn(cmd)?, 200))),
            _ => system.spawn(cmd),
        }
    }
}

/// A process that is killed when it was looked at so often.
#[derive(Debug)]
struct Mortal(Box<dyn Process>, u32);

impl Process for Mortal {
    fn poll(&mut self, patience: Duration) -> Poll {
        self.1 = self.1.saturating_sub(1);
        if self.1 == 0 {
            self.0.kill();
        }
        match self.0.poll(patience) {
            Poll::Ended(Exit::Code(_)) => panic!("it was killed"),
            poll => poll,
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write(bytes)
    }

    fn kill(&mut self) {
        self.0.kill();
    }
}

#[test]
fn a_tpm_that_is_not_there_is_told() {
    let story = |fate| {
        let seen = boot_tpm(&WithTpm(fate), r#"{"name": "sleeps", "run": "sleep 1000"}"#, |_| {});
        assert_eq!(seen.class(), Some(Class::Environment));
        seen.story()
    };
    insta::assert_snapshot!(story(Fate::Missing), @"
    NotRun sleeps: `swtpm` is not on PATH

    error: `swtpm` is not on PATH
      hint: install it: `apt-get install swtpm`, or enter `nix develop ./nix`
    ");
    let refused: Vec<_> = story(Fate::Refuses).lines().take(4).map(str::to_owned).collect();
    insta::assert_snapshot!(refused.join("\n"), @"
    NotRun sleeps: the machine's TPM, which is swtpm, exited with code 1

    error: the machine's TPM, which is swtpm, exited with code 1
      caused by: socket: unrecognized option '--no-such-option'
    ");
    insta::assert_snapshot!(story(Fate::Killed), @"
    NotRun sleeps: the machine's TPM, which is swtpm, was killed by a signal

    error: the machine's TPM, which is swtpm, was killed by a signal
    ");
}

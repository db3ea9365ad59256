//! Guests that end, hang, or shout: each is told for what it is, and at once.

use std::sync::{Arc, Mutex};

use bootway_exec::{Cmd, Poll, Process, SpawnError};

use super::*;

/// What both channels tell alike.
fn told(before: &str, checks: &str) -> String {
    // Whoever has answered once is told apart from whoever boots: a delay is that of the command alone.
    let checks = format!(r#"{{"name": "is up", "run": "true"}}, {checks}"#);
    let [serial, port] = [Over::Serial, Over::Port].map(|over| {
        let seen = decided(over, before, &checks);
        tell_delays(over, &seen);
        // What firmware has said before stays on the line, as a kernel that is quiet says nothing.
        let words = regex_lite::Regex::new("(; its console said last: `)[^`]*(reboot|Booting)[^`]*").unwrap();
        words.replace_all(&seen.story(), "$1…").replacen("Passed is up: printed nothing\n", "", 1)
    });
    assert_eq!(serial, port, "over the console, and over a port");
    serial
}

/// For whoever wants to know how long it took: `cargo nextest run --no-capture`.
pub(super) fn tell_delays(over: Over, seen: &Seen) {
    for event in &seen.events {
        if let EventKind::Check { name, after_ms, verdict, .. } = event {
            println!("{over:?}: {verdict:?} {name} after {after_ms} ms");
        }
    }
}

#[test]
fn a_guest_that_reboots_by_itself_is_told() {
    let checks = r#"{"name": "reboots", "run": "echo 5 >/proc/sys/kernel/printk; echo goodbye; reboot -f; sleep 1000"}, {"name": "next", "run": "true"}"#;
    insta::assert_snapshot!(told("", checks), @"
    Failed reboots: the guest reset itself (guest-reset) although nobody asked for it; its console said last: `…`
    NotRun next: the guest reset itself (guest-reset) although nobody asked for it; its console said last: `…`

    error: the guest reset itself (guest-reset) although nobody asked for it; its console said last: `…`
    ");
}

#[test]
fn a_guest_that_powers_off_is_told() {
    let checks =
        r#"{"name": "powers off", "run": "poweroff -f; sleep 1000"}, {"name": "next", "run": "true"}"#;
    insta::assert_snapshot!(told("", checks), @"
    Failed powers off: the guest switched itself off (guest-shutdown) before its checks were decided; its console said last: `…`
    NotRun next: the guest switched itself off (guest-shutdown) before its checks were decided; its console said last: `…`

    error: the guest switched itself off (guest-shutdown) before its checks were decided; its console said last: `…`
    ");
}

#[test]
fn a_kernel_that_panics_is_told() {
    let checks = r#"{"name": "panics", "run": "echo c >/proc/sysrq-trigger; sleep 1000"}, {"name": "next", "run": "true"}"#;
    insta::assert_snapshot!(told("", checks), @"
    Failed panics: the guest's kernel panicked: `[time] Kernel panic - not syncing: sysrq triggered crash`
    NotRun next: the guest's kernel panicked: `[time] Kernel panic - not syncing: sysrq triggered crash`

    error: the guest's kernel panicked: `[time] Kernel panic - not syncing: sysrq triggered crash`
    ");
}

#[test]
fn a_command_that_hangs_is_told_when_its_time_is_up() {
    let checks = r#"{"name": "hangs", "run": "echo begun; sleep 1000", "within": "1s"}, {"name": "next", "run": "true"}"#;
    insta::assert_snapshot!(told("", checks), @"
    TimedOut hangs: `echo begun; sleep 1000` was still running after 1 s; it printed last: `begun`
    NotRun next: not reached: `hangs` took too long

    error: check `hangs` failed, and 1 more did not pass: `echo begun; sleep 1000` was still running after 1 s; it printed last: `begun`
    ");
}

/// Sends a signal to QEMU as soon as its guest says `NOW` on the console.
#[derive(Debug)]
struct Outsider {
    signal: &'static str,
    sent: Arc<Mutex<Option<Instant>>>,
}

#[derive(Debug)]
struct Victim {
    inner: Box<dyn Process>,
    dir: String,
    signal: &'static str,
    heard: Vec<u8>,
    sent: Arc<Mutex<Option<Instant>>>,
}

impl Runner for Outsider {
    fn spawn(&self, cmd: &Cmd) -> Result<Box<dyn Process>, SpawnError> {
        let inner = SystemRunner::default().spawn(cmd)?;
        let line = cmd.to_string();
        let dir = line
            .strip_prefix("cd ")
            .and_then(|rest| rest.split(" && ").next())
            .unwrap_or_default()
            .to_owned();
        Ok(Box::new(Victim {
            inner,
            dir,
            signal: self.signal,
            heard: Vec::new(),
            sent: Arc::clone(&self.sent),
        }))
    }
}

impl Process for Victim {
    fn poll(&mut self, patience: Duration) -> Poll {
        let poll = self.inner.poll(patience);
        if let Poll::Output(_, bytes) = &poll {
            self.heard.extend_from_slice(bytes);
            let mut sent = self.sent.lock().unwrap();
            if sent.is_none() && crate::watcher::find(&self.heard, b"NOW").is_some() {
                signal(&self.dir, self.signal);
                *sent = Some(Instant::now());
            }
        }
        poll
    }

    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.inner.write(bytes)
    }

    fn kill(&mut self) {
        self.inner.kill();
    }
}

/// Sends a signal to the process that runs in `dir`.
fn signal(dir: &str, signal: &str) {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let mut pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let runs_there =
        |pid: &u32| std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.to_str() == Some(dir));
    let pid = pids.find(runs_there).expect("QEMU runs");
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    bootway_exec::run(&sandbox.cx(), &Cmd::user("kill").args([signal.to_owned(), pid.to_string()])).unwrap();
}

/// Boots a guest whose QEMU gets `signal`.
fn signalled(over: Over, signal: &'static str, within: &str) -> String {
    let sent = Arc::default();
    let outsider = Outsider { signal, sent: Arc::clone(&sent) };
    let checks = format!(
        r#"{{"name": "is hit", "run": "echo N''OW >/dev/ttyS0; sleep 1000"{within}}}, {{"name": "next", "run": "true"}}"#
    );
    let (step, machine) = plan(over, &checks);
    let seen = boot_files(&outsider, &step, &machine, &[("initrd", &guest(over, "", &[]))], |_| {});
    let after = sent.lock().unwrap().expect("the guest said it").elapsed();
    println!("{over:?}: {signal}: the step ended {} ms after it", after.as_millis());
    // When QEMU ended, in its life.
    regex_lite::Regex::new("(at once|after [0-9.]+ s)")
        .unwrap()
        .replace_all(&seen.story(), "[when]")
        .into_owned()
}

#[test]
fn a_qemu_that_somebody_kills_is_told() {
    let [serial, port] = [Over::Serial, Over::Port].map(|over| signalled(over, "-KILL", ""));
    assert_eq!(serial, port, "over the console, and over a port");
    insta::assert_snapshot!(serial, @"
    NotRun is hit: QEMU was killed by a signal [when]
    NotRun next: QEMU was killed by a signal [when]

    error: QEMU was killed by a signal [when]
    ");
}

/// Nothing answers: not the guest, not QEMU.
#[test]
fn a_machine_that_stands_still_is_told_when_its_time_is_up() {
    let [serial, port] =
        [Over::Serial, Over::Port].map(|over| signalled(over, "-STOP", r#", "within": "3s""#));
    assert_eq!(serial, port, "over the console, and over a port");
    insta::assert_snapshot!(serial, @"
    TimedOut is hit: `echo N''OW >/dev/ttyS0; sleep 1000` was still running [when]; it printed nothing
    NotRun next: not reached: `is hit` took too long

    error: check `is hit` failed, and 1 more did not pass: `echo N''OW >/dev/ttyS0; sleep 1000` was still running [when]; it printed nothing
    ");
}

const SHOUTS: &str = "yes 'the guest shouts' >/dev/ttyS0 &";

#[test]
fn commands_over_a_port_are_exact_while_the_console_is_full() {
    let checks = r#"
        {"name": "adds", "run": "echo $((1+1))", "equals": "2"},
        {"name": "counts", "run": "seq 1 20000 | md5sum", "matches": "^[0-9a-f]{32}  -$"},
        {"name": "off", "power-off": true}"#;
    let seen = decided(Over::Port, SHOUTS, checks);
    tell_delays(Over::Port, &seen);
    assert!(seen.result.is_ok(), "{}", seen.story());
}

#[test]
fn a_console_that_is_full_is_told() {
    let checks = r#"
        {"name": "adds", "run": "echo $((1+1))", "equals": "2"},
        {"name": "shouts", "run": "yes 'the guest shouts' >/dev/ttyS0"},
        {"name": "next", "run": "echo $((1+1))", "equals": "2"}"#;
    let seen = decided(Over::Serial, "", checks);
    tell_delays(Over::Serial, &seen);
    let story =
        regex_lite::Regex::new("last: `[^`]*").unwrap().replace_all(&seen.story(), "last: `…").into_owned();
    insta::assert_snapshot!(story, @r#"
    Passed adds: printed `2`
    Failed shouts: the guest's console is full of what is not a command's; its console said last: `…`
    NotRun next: the guest's console is full of what is not a command's; its console said last: `…`

    error: the guest's console is full of what is not a command's; its console said last: `…`
      hint: give the shell a line of its own: `channel = "port"`, `"systemd"` or `"ssh"` for the machine
    "#);
}

#[test]
fn a_program_that_a_signal_ends_is_told() {
    let checks = r#"
        {"name": "crashes", "run": "echo begun; sh -c 'kill -SEGV $$'"},
        {"name": "exits", "run": "exit 255"}"#;
    insta::assert_snapshot!(told("", checks), @"
    Failed crashes: `echo begun; sh -c 'kill -SEGV $$'` exited with code 139, as what SIGSEGV ends does, wanted 0; printed `begun
    Segmentation fault`
    Failed exits: `exit 255` exited with code 255, wanted 0; printed nothing

    error: check `crashes` failed, and 1 more did not pass: `echo begun; sh -c 'kill -SEGV $$'` exited with code 139, as what SIGSEGV ends does, wanted 0; printed `begun
        Segmentation fault`
    ");
}

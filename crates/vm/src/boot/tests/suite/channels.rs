//! Tests on a saved machine that is not talked to over its console: what the host had of its line is gone.

use super::*;
use crate::boot::tests::exact::{Over, guest, over_ssh, plan};

/// Two tests, each of which asks, goes on behind a shell that was killed, and asks a guest that was reset.
const TESTS: &str = r#"
    {"name": "is exact", "run": "printf 'a\\000b\\r\\n\\033[6n# '; echo to both >&2; exit 7", "exit": 7, "contains": "a\u0000b\r\n\u001b[6n# to both"},
    {"name": "nothing of another", "run": "ls /mark; touch /mark", "contains": "No such file"},
    {"name": "random", "run": "head -c 16 /dev/urandom | od -An -tx1 | tr -d ' '", "matches": "^[0-9a-f]{32}$"},
    {"name": "time", "run": "date +%s"},
    {"name": "kills its shell", "run": "kill -9 $$", "within": "5min"},
    {"name": "has another", "run": "echo $((6*7))", "equals": "42"},
    {"name": "reboots", "reboot": true},
    {"name": "is as new", "run": "ls /mark", "exit": 1},
    {"name": "off", "power-off": true}"#;

/// Such guests, with what is in their initramfs beside busybox, and a key.
fn go_on(over: Over, checks: &str) {
    let (files, key) = if over == Over::Ssh { over_ssh::files() } else { (Vec::new(), Vec::new()) };
    let more: Vec<_> = files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    let (step, machine) = plan(over, READY);
    let tests = format!(
        r#"{{"snapshot": "required", "ssh-key": "./key", "test": [{{"name": "a", "check": [{checks}]}}, {{"name": "b", "check": [{checks}]}}], "#
    );
    let step = step.replacen('{', &tests, 1);
    let all: [(&str, &[u8]); 2] = [("initrd", &guest(over, "", &more)), ("key", &key)];
    let before = seconds_since_1970();
    let seen = boot_files(&SystemRunner::default(), &step, &machine, &all, |_| {});
    seen.assert_good();
    assert_eq!(seen.began(), (1, 2, 0), "{}", seen.notes());
    let times = seen.printed(": time");
    let is_now = |time: &String| (before..=seconds_since_1970()).contains(&time.parse().unwrap());
    assert!(times.len() == 2 && times.iter().all(is_now), "{before} {times:?}");
    let random = seen.printed(": random");
    assert!(random.len() == 2 && random[0] != random[1], "{random:?}");
}

#[test]
fn tests_over_a_port_go_on_from_a_saved_machine() {
    go_on(Over::Port, TESTS);
}

/// Each connects anew, over a port of its own: the connection that was there when the machine was saved is not its.
#[test]
fn tests_over_ssh_go_on_from_a_saved_machine() {
    // Who kills the shell of a connection has no other one in the same command.
    let without = TESTS.replacen("\"kill -9 $$\", \"within\"", "\"true\", \"within\"", 1);
    assert_ne!(without, TESTS);
    go_on(Over::Ssh, &without);
}
